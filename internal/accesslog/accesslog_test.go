package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/accessed"
	"annals/eventschema"
	"annals/internal/access"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
)

// node is one that tests stop and start again.
type node struct {
	t                *testing.T
	listen, database string
	running          *esnode.Node
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, listen: "127.0.0.1:0", database: pgtest.Database(t)}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	var err error
	if n.running, err = esnode.Start(n.t.Context(), esnode.Config{Listen: n.listen, Database: n.database}); err != nil {
		n.t.Fatal(err)
	}
	n.listen = n.running.Addr()
}

func (n *node) stop() {
	if n.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.t.Context()), 10*time.Second)
	defer cancel()
	if err := n.running.Close(ctx); err != nil {
		n.t.Errorf("close the node: %v", err)
	}
	n.running = nil
}

func (n *node) log() *eventlog.Log {
	n.t.Helper()
	master, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := eventlog.Open(eventlog.Config{ConnectionString: n.running.ConnectionString(), Master: master})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(l.Close)
	return l
}

// clock is the time, until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// asking is a context in which somebody asks.
func asking(t *testing.T, who access.Actor) context.Context {
	t.Helper()
	return access.With(t.Context(), access.Caller{Actor: &who, IP: netip.MustParseAddr("203.0.113.7"), UserAgent: "curl/8", Request: uuid.New()})
}

// recorded is the access log, an inner list for each event.
func recorded(t *testing.T, l *eventlog.Log) (events [][]accessed.Entry, streams []string) {
	t.Helper()
	for item, err := range l.SubscribeAll(t.Context(), eventlog.Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Live {
			return events, streams
		}
		if item.Record == nil {
			continue
		}
		e, ok := item.Record.Event.(accessed.Recorded)
		if !ok {
			t.Fatalf("%T in the log, %v", item.Record.Event, item.Record.Err)
		}
		events = append(events, e.Entries)
		if s := item.Record.Stream; len(streams) == 0 || streams[len(streams)-1] != s {
			streams = append(streams, s)
		}
	}
	return nil, nil
}

func some(n int) []domain.ID {
	ids := make([]domain.ID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	return ids
}

// A look is in the log as soon as it is answered: who, what, when and from where, and of
// what was searched for no letter.
func TestWhatIsRecorded(t *testing.T) {
	t.Parallel()
	l := startNode(t).log()
	c := &clock{at: noon}
	r := New(Config{Log: l, Now: c.now, App: "annals 1"})
	employee, key := access.Actor{Who: uuid.New()}, access.Actor{Who: uuid.New(), Owner: uuid.New()}
	ctx := asking(t, employee)
	clients, item := some(3), uuid.New()
	for _, look := range []struct {
		ctx context.Context
		Look
	}{
		{ctx, Look{Kind: Search, Clients: clients, Filters: 2, Searched: "Núñez"}},
		{ctx, Look{Kind: Search, Searched: "nobody"}},
		{asking(t, key), Look{Kind: Content, Clients: clients[:1], Item: item}},
		{ctx, Look{Kind: Replay, Clients: clients[1:2], AsOf: "2026-03-31"}},
	} {
		if err := r.Record(look.ctx, look.Look); err != nil {
			t.Fatal(err)
		}
	}
	events, streams := recorded(t, l)
	got := slices.Concat(events...)
	from := access.From(ctx)
	want := []accessed.Entry{
		{Actor: employee.Who, Kind: Search, Clients: clients, Count: 3, Filters: 2, Searched: 5, At: noon, Request: from.Request, IP: "203.0.113.7", UserAgent: "curl/8"},
		{Actor: employee.Who, Kind: Search, Clients: []domain.ID{}, Searched: 6, At: noon, Request: from.Request, IP: "203.0.113.7", UserAgent: "curl/8"},
		{Actor: key.Who, Owner: key.Owner, Kind: Content, Clients: clients[:1], Count: 1, Item: item, At: noon, IP: "203.0.113.7", UserAgent: "curl/8"},
		{Actor: employee.Who, Kind: Replay, Clients: clients[1:2], Count: 1, AsOf: "2026-03-31", At: noon, Request: from.Request, IP: "203.0.113.7", UserAgent: "curl/8"},
	}
	want[2].Request = got[2].Request
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(streams) != 1 || !strings.HasPrefix(streams[0], "access-") {
		t.Errorf("in the streams %v", streams)
	}
}

// Readers who come together share appends, and each of them is recorded once.
func TestManyReadersShareAnAppend(t *testing.T) {
	t.Parallel()
	l := startNode(t).log()
	r := New(Config{Log: l, Now: (&clock{at: noon}).now})
	clients := some(1000)
	var wg sync.WaitGroup
	for _, client := range clients {
		wg.Go(func() {
			if err := r.Record(asking(t, access.Actor{Who: uuid.New()}), Look{Kind: Record, Clients: []domain.ID{client}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	events, _ := recorded(t, l)
	times := map[domain.ID]int{}
	for _, e := range slices.Concat(events...) {
		times[e.Clients[0]]++
	}
	for _, client := range clients {
		if times[client] != 1 {
			t.Errorf("%s is recorded %d times", client, times[client])
		}
	}
	if len(times) != len(clients) || len(events) > len(clients)/10 {
		t.Errorf("%d looks in %d events", len(times), len(events))
	}
}

// A look at more clients than an entry or an event holds leaves none of them out.
func TestLongList(t *testing.T) {
	t.Parallel()
	l := startNode(t).log()
	r := New(Config{Log: l, Now: (&clock{at: noon}).now})
	clients := some(30_050)
	if err := r.Record(asking(t, access.Actor{Who: uuid.New()}), Look{Kind: Export, Clients: clients}); err != nil {
		t.Fatal(err)
	}
	events, _ := recorded(t, l)
	var got []domain.ID
	for _, e := range slices.Concat(events...) {
		if len(e.Clients) > accessed.MostClients || e.Count != len(clients) {
			t.Errorf("an entry of %d clients of %d", len(e.Clients), e.Count)
		}
		got = append(got, e.Clients...)
	}
	if !slices.Equal(got, clients) {
		t.Errorf("%d of %d clients", len(got), len(clients))
	}
}

// While the log is away nothing is shown, whoever waits is told so in time, and what is
// answered again once it is back is in it.
func TestNothingIsShownUnrecorded(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	l := n.log()
	r := New(Config{Log: l, Now: (&clock{at: noon}).now, Timeout: 300 * time.Millisecond})
	ctx, clients := asking(t, access.Actor{Who: uuid.New()}), some(40)
	shown := map[domain.ID]bool{}
	var mu sync.Mutex
	look := func(of []domain.ID) {
		var wg sync.WaitGroup
		for _, client := range of {
			wg.Go(func() {
				began := time.Now()
				err := r.Record(ctx, Look{Kind: Record, Clients: []domain.ID{client}})
				if err != nil && !errors.Is(err, ErrUnrecorded) {
					t.Errorf("told %v", err)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("told after %s", took)
				}
				mu.Lock()
				shown[client] = err == nil
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	look(clients[:10])
	n.stop()
	look(clients[10:30])
	for _, client := range clients[10:30] {
		if shown[client] {
			t.Fatal("shown while the log was away")
		}
	}
	n.start()
	for deadline := time.Now().Add(20 * time.Second); r.Record(ctx, Look{Kind: Record, Clients: clients[30:31]}) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the log is back, and nothing is recorded")
		}
	}
	look(clients[31:])
	kept := map[domain.ID]bool{}
	events, _ := recorded(t, l)
	for _, e := range slices.Concat(events...) {
		kept[e.Clients[0]] = true
	}
	for i, client := range clients {
		if shown[client] && !kept[client] {
			t.Errorf("client %d was shown, and the log knows nothing of it", i)
		}
		if (i < 10 || i > 30) && !shown[client] {
			t.Errorf("client %d was not shown with the log there", i)
		}
	}
}

// Who gives up is not waited for, and takes nothing from the others.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	l := startNode(t).log()
	r := New(Config{Log: l, Now: (&clock{at: noon}).now})
	ctx, cancel := context.WithCancel(asking(t, access.Actor{Who: uuid.New()}))
	cancel()
	if err := r.Record(ctx, Look{Kind: Record, Clients: some(1)}); err == nil {
		t.Log("it was recorded before anybody noticed") // which is no harm
	}
	if err := r.Record(asking(t, access.Actor{Who: uuid.New()}), Look{Kind: Record, Clients: some(1)}); err != nil {
		t.Error(err)
	}
	if err := (*Recorder)(nil).Record(ctx, Look{Kind: Record}); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("with no recorder: %v", err)
	}
}

// A stream is of one recorder and one day, so that nobody waits for anybody and none gets
// long.
func TestStreams(t *testing.T) {
	t.Parallel()
	l := startNode(t).log()
	c := &clock{at: noon}
	one, other := New(Config{Log: l, Now: c.now}), New(Config{Log: l, Now: c.now})
	ctx := asking(t, access.Actor{Who: uuid.New()})
	for _, r := range []*Recorder{one, one, other, one} {
		if err := r.Record(ctx, Look{Kind: Record, Clients: some(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, streams := recorded(t, l); len(streams) != 3 || streams[0] != streams[2] || streams[0] == streams[1] {
		t.Errorf("two recorders write to %v", streams)
	}
	c.advance(12 * time.Hour)
	if err := one.Record(ctx, Look{Kind: Record, Clients: some(1)}); err != nil {
		t.Fatal(err)
	}
	if _, streams := recorded(t, l); len(streams) != 4 || streams[3] == streams[0] {
		t.Errorf("on the next day it goes on in %v", streams)
	}
	one.last = mostEvents - 1 // as after so many
	if err := one.Record(ctx, Look{Kind: Record, Clients: some(1)}); err != nil {
		t.Fatal(err)
	}
	if _, streams := recorded(t, l); len(streams) != 5 {
		t.Errorf("after %d events it goes on in %v", mostEvents, streams)
	}
}

// BenchmarkRecord is what recording adds to an answer, by how many readers there are at a
// time.
func BenchmarkRecord(b *testing.B) {
	for _, readers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			node, err := esnode.Start(b.Context(), esnode.Config{Listen: "127.0.0.1:0", Database: pgtest.Database(b)})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = node.Close(context.Background()) }()
			master, err := eventschema.NewLocalMaster(make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			l, err := eventlog.Open(eventlog.Config{ConnectionString: node.ConnectionString(), Master: master})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			r := New(Config{Log: l, Now: time.Now})
			ctx := access.With(b.Context(), access.Caller{Actor: &access.Actor{Who: uuid.New()}, UserAgent: strings.Repeat("x", 120), Request: uuid.New()})
			look := Look{Kind: List, Clients: some(50)}
			var mu sync.Mutex
			var took []time.Duration
			var wg sync.WaitGroup
			b.ResetTimer()
			for n := range readers {
				wg.Go(func() {
					for i := n; i < b.N; i += readers {
						began := time.Now()
						if err := r.Record(ctx, look); err != nil {
							b.Error(err)
						}
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "looks/s")
		})
	}
}
