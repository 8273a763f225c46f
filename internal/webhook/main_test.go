package webhook_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/auth"
	"annals/internal/eventlog"
	"annals/internal/process"
	"annals/internal/webhook"
)

func TestMain(m *testing.M) {
	if os.Getenv("ANNALS_WEBHOOK_WORKER") != "" {
		if err := worker(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// worker is a process of its own that delivers, until it is killed.
func worker(ctx context.Context) error {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := eventlog.Open(eventlog.Config{ConnectionString: os.Getenv("ANNALS_WEBHOOK_WORKER"), Master: master, Logger: logger})
	if err != nil {
		return err
	}
	db, err := pgxpool.New(ctx, os.Getenv("ANNALS_WEBHOOK_DATABASE"))
	if err != nil {
		return err
	}
	store, err := webhook.Open(ctx, db, auth.MasterBox(master), time.Now)
	if err != nil {
		return err
	}
	api := &commands.API{Store: commands.NewStore(log), Now: time.Now, Logger: logger}
	rules, err := process.Open(ctx, db, process.Config{Log: log, Logger: logger, Now: time.Now, Handlers: []process.Handler{{Name: webhook.Handler, Handle: store.Follow}}})
	if err != nil {
		return err
	}
	wait := []time.Duration{0, 100 * time.Millisecond}
	for len(wait) < 14 {
		wait = append(wait, min(2*wait[len(wait)-1], 2*time.Second))
	}
	d, err := webhook.New(webhook.Config{
		Store: store, Log: log, Webhook: api.Webhook, Authority: api.WebhookAuthority, Place: api.ClientPlace, Disable: api.DisableWebhook,
		Warn:   func(context.Context, pgx.Tx, domain.ID, domain.ID, time.Time) error { return nil },
		Source: "https://annals.example", Private: true, Logger: logger, Now: time.Now, Schedule: wait, Probe: 500 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	go func() { _ = rules.Run(ctx) }()
	return d.Run(ctx)
}

// tally is what an endpoint has taken: how often each event, and whether each client's
// came in order.
type tally struct {
	mu    sync.Mutex
	times map[string]int
	last  map[string]int64
	wrong []string
}

func (y *tally) take(d delivery) {
	y.mu.Lock()
	defer y.mu.Unlock()
	e := d.event
	if y.times[e.ID]++; y.times[e.ID] > 1 {
		return
	}
	id := e.Data.ClientID.String()
	last, known := y.last[id]
	if e.Revision != last+1 && known || !known && e.Revision != 0 {
		y.wrong = append(y.wrong, fmt.Sprintf("%s: %d after %d", id, e.Revision, last))
	}
	y.last[id] = e.Revision
}

func (y *tally) counts() (events, twice int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, n := range y.times {
		twice += n - 1
	}
	return len(y.times), twice
}

func setting(name string, small int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return small
}

// TestNothingIsLost: many events to endpoints of which some fail, some are slow and one is
// down for the first half, by a worker that is killed again and again. The full size is
// ANNALS_WEBHOOK_EVENTS=100000 _ENDPOINTS=20 _KILLS=50.
func TestNothingIsLost(t *testing.T) {
	events, endpoints, kills := setting("ANNALS_WEBHOOK_EVENTS", 2000), setting("ANNALS_WEBHOOK_ENDPOINTS", 6), setting("ANNALS_WEBHOOK_KILLS", 5)
	s := newSite(t)
	all := make([]*tally, endpoints)
	var taken atomic.Int64 // by all
	for i := range all {
		all[i] = &tally{times: map[string]int{}, last: map[string]int64{}}
		r := newReceiver(t)
		r.answers(func(d delivery, _ int) (int, map[string]string) {
			switch {
			case i == 0 && taken.Load() < int64(events*(endpoints-1)/2): // is down
				return 503, nil
			case i%5 == 1 && rand.IntN(5) == 0: // fails
				return 500, nil
			case i%5 == 2: // is slow
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
			all[i].take(d)
			taken.Add(1)
			return 204, nil
		})
		s.hook(s.User, r.URL, nil)
	}
	go s.fill(events)
	for killed := 0; killed <= kills; killed++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ANNALS_WEBHOOK_WORKER="+s.EventStore(), "ANNALS_WEBHOOK_DATABASE="+s.Database)
		cmd.Stderr = s.Logs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(3 * time.Minute)
		goal := int64(events*endpoints) * int64(killed+1) / int64(kills+2)
		for {
			if killed < kills && taken.Load() >= goal {
				time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
				break
			}
			done := true
			for _, y := range all {
				n, _ := y.counts()
				done = done && n == events
			}
			if done {
				killed = kills
				break
			}
			if time.Now().After(end) {
				t.Errorf("it got no further than %d deliveries", taken.Load())
				killed = kills
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	total, twice := 0, 0
	for i, y := range all {
		n, again := y.counts()
		total, twice = total+n, twice+again
		if n != events {
			t.Errorf("endpoint %d got %d of %d events", i, n, events)
		}
		if len(y.wrong) > 0 {
			t.Errorf("endpoint %d got events out of order: %v", i, y.wrong[:min(5, len(y.wrong))])
		}
	}
	t.Logf("%d deliveries, %d of them twice", total, twice)
	if twice*100 > total*3 {
		t.Errorf("%d of %d deliveries came twice", twice, total)
	}
}

// fill appends so many events of clients.
func (s *site) fill(events int) {
	const each = 25
	n := max(events/each, 1)
	ids := make([]uuid.UUID, n)
	p := uuid.MustParse(s.project)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for e := range each {
		for _, id := range slices.All(ids) {
			m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond)}
			var event any = client.Registered{Details: client.Details{LastName: "Moreau"}, Assignment: client.Assignment{ProjectID: p}, Status: client.Lead}
			if e > 0 {
				event = client.Edited{From: client.Details{LastName: "A" + strconv.Itoa(e-1)}, To: client.Details{LastName: "A" + strconv.Itoa(e)}}
			}
			if _, err := s.Log.Append(context.Background(), eventlog.Stream(domain.Client, id), eventlog.Revision(e-1), m, event); err != nil {
				s.t.Errorf("append: %v", err)
				return
			}
		}
	}
}
