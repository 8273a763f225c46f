package eventlog

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
	"annals/internal/postgres/pgtest"
)

// follower notes what a subscription delivers, and what is wrong with it.
type follower struct {
	t         *testing.T
	last      Position
	revisions map[string]Revision
	records   []Record
	live      int
}

func newFollower(t *testing.T) *follower {
	t.Helper()
	return &follower{t: t, revisions: map[string]Revision{}}
}

func (f *follower) take(item Item) {
	f.t.Helper()
	if c := item.Position.Compare(f.last); c < 0 || c == 0 && item.Record != nil {
		f.t.Errorf("position %v after %v", item.Position, f.last)
	}
	f.last = item.Position
	if item.Live {
		f.live++
	}
	if rec := item.Record; rec != nil {
		want := NoStream + 1
		if last, ok := f.revisions[rec.Stream]; ok {
			want = last + 1
		}
		if rec.Revision != want || rec.Position != item.Position {
			f.t.Errorf("%s at %d, want %d", rec.Stream, rec.Revision, want)
		}
		f.revisions[rec.Stream] = rec.Revision
		f.records = append(f.records, *rec)
	}
}

// until follows the log, again after every loss, until enough says so.
func (f *follower) until(ctx context.Context, l *Log, enough func() bool) (losses int) {
	f.t.Helper()
	for ctx.Err() == nil {
		for item, err := range l.Subscribe(ctx, f.last) {
			if err != nil {
				losses++
				break
			}
			if f.take(item); enough() {
				return losses
			}
		}
	}
	f.t.Error("never had enough")
	return losses
}

func (f *follower) of(category string) (n int) {
	for _, rec := range f.records {
		if ref, err := rec.Ref(); err == nil && ref.Category == category {
			n++
		}
	}
	return n
}

// TestSubscribe: what was there before, what comes while catching up, and what is
// new arrive once each, in order.
func TestSubscribe(t *testing.T) {
	connection := esnodetest.Start(t)
	l := openLog(t, connection)
	const streams, each = 6, 60
	ids := make([]domain.ID, streams)
	for i := range ids {
		ids[i] = uuid.New()
		last := mustAppend(t, l, Stream(domain.Client, ids[i]), NoStream, kim()).Revision
		for range each / 3 {
			last = mustAppend(t, l, Stream(domain.Client, ids[i]), last, client.StatusChanged{From: client.Lead, To: client.Active}).Revision
		}
	}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			last := Revision(each / 3)
			for last < each {
				res, err := l.Append(t.Context(), Stream(domain.Client, id), last, by(), client.StatusChanged{From: client.Lead, To: client.Active})
				if err != nil {
					t.Error(err)
					return
				}
				last = res.Revision
			}
		})
	}
	f := newFollower(t)
	f.until(t.Context(), openLog(t, connection), func() bool { return f.of(domain.Client) == streams*(each+1) })
	wg.Wait()
	if f.of(eventschema.Key) != streams {
		t.Errorf("%d keys", f.of(eventschema.Key))
	}
	for _, rec := range f.records {
		if rec.Err != nil || rec.Event == nil || len(rec.Erased) > 0 {
			t.Errorf("%+v", rec)
		}
	}

	// From any place in between, exactly the rest.
	for _, from := range []int{0, 1, len(f.records) / 2, len(f.records) - 2} {
		g := newFollower(t)
		g.last = f.records[from].Position
		for _, rec := range f.records[:from+1] {
			g.revisions[rec.Stream] = rec.Revision
		}
		g.until(t.Context(), l, func() bool { return g.live > 0 })
		if !slices.EqualFunc(g.records, f.records[from+1:], func(a, b Record) bool { return a.ID == b.ID }) {
			t.Errorf("from %d: %d records, want %d", from, len(g.records), len(f.records)-from-1)
		}
	}
}

// TestLive: a subscription says when it has caught up, and goes on.
func TestLive(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	stream := Stream(domain.Desk, uuid.New())
	mustAppend(t, l, stream, NoStream, north)
	f := newFollower(t)
	var second sync.Once
	f.until(t.Context(), l, func() bool {
		if f.live > 0 {
			second.Do(func() { mustAppend(t, l, stream, 0, north) })
		}
		return len(f.records) == 2
	})
	if f.live == 0 || f.revisions[stream] != 1 {
		t.Errorf("%+v", f)
	}
}

// TestOthersEvents: what is not ours is not delivered, and passed by.
func TestOthersEvents(t *testing.T) {
	connection := esnodetest.Start(t)
	l, raw := openLog(t, connection), vendor(t, connection)
	stranger := func() Position {
		res, err := raw.AppendToStream(t.Context(), "weather", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.EventData{EventType: "rain", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		return Position{res.CommitPosition, res.PreparePosition}
	}
	mustAppend(t, l, Stream(domain.Desk, uuid.New()), NoStream, north)
	past := stranger()
	f := newFollower(t)
	f.until(t.Context(), l, func() bool { return f.live > 0 })
	if len(f.records) != 1 || f.last.Compare(past) < 0 {
		t.Errorf("%d records, at %v, the stranger is at %v", len(f.records), f.last, past)
	}

	// While live, a silent subscription is checked, and starts again where it was.
	l.idle = 50 * time.Millisecond
	var later Position
	var once sync.Once
	f.live = 0
	losses := f.until(t.Context(), l, func() bool {
		if f.live > 0 {
			once.Do(func() { later = stranger() })
		}
		return f.live > 1 && f.last.Compare(later) >= 0
	})
	if losses > 0 || len(f.records) != 1 {
		t.Errorf("%d losses, %d records", losses, len(f.records))
	}
}

func TestSubscriptionEnds(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for item, err := range l.Subscribe(ctx, Position{}) {
		if last = err; item.Live {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
	last = nil
	for item, err := range l.Subscribe(t.Context(), Position{}) {
		if last = err; item.Live {
			l.Close()
		}
	}
	if last == nil {
		t.Error("goes on after the log was closed")
	}
	for _, err := range l.Subscribe(t.Context(), Position{}) {
		if !errors.Is(err, errClosed) {
			t.Errorf("a closed log: %v", err)
		}
	}
}

// TestNodeRestart: a subscription ends with the node and goes on after it, with
// nothing lost or told twice; what was appended meanwhile is appended once.
func TestNodeRestart(t *testing.T) {
	database := pgtest.Database(t)
	node, stop := startNode(t, "127.0.0.1:0", database)
	address := node.Addr()
	reader, writer := openLog(t, at(address)), openLog(t, at(address))
	stream := Stream(domain.Desk, uuid.New())
	mustAppend(t, writer, stream, NoStream, north)

	f := newFollower(t)
	caughtUp, appended := make(chan struct{}), make(chan struct{})
	var first sync.Once
	losses := make(chan int)
	go func() {
		losses <- f.until(t.Context(), reader, func() bool {
			if f.live > 0 {
				first.Do(func() { close(caughtUp) })
			}
			return len(f.records) == 3
		})
	}()
	<-caughtUp
	stop()
	go func() { // while there is no node
		defer close(appended)
		res, err := writer.Append(t.Context(), stream, 0, by(), north)
		if err != nil || res.Revision != 1 {
			t.Errorf("append over a restart: %+v, %v", res, err)
		}
	}()
	_, stop = startNode(t, address, database)
	<-appended
	mustAppend(t, writer, stream, 1, north)
	if n := <-losses; n == 0 {
		t.Error("the loss was not told")
	}
	if f.revisions[stream] != 2 || len(f.records) != 3 {
		t.Errorf("%+v", f.records)
	}
	stop()
}
