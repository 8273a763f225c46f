package process_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/process"
)

const registered = "client.registered"

type chore struct {
	Event uuid.UUID `json:"event"`
}

func (chore) Kind() string { return "chore" }

func TestEveryEventLeadsToItsJob(t *testing.T) {
	w := newWorld(t)
	queue, err := jobs.Open(t.Context(), w.db, jobs.Config{Logger: w.cfg.Logger, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.Add(queue, jobs.Kind[chore]{Work: func(context.Context, *jobs.Job[chore]) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	rule := process.Handler{Name: "rule", Handle: func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		if _, ok := rec.Event.(client.Registered); !ok {
			return nil
		}
		return queue.Insert(ctx, tx, chore{rec.ID})
	}}
	for range 20 {
		w.register(uuid.New())
	}
	r, _ := w.run(rule)
	w.ready(r)
	for range 20 {
		w.register(uuid.New())
	}
	w.until("jobs", func() bool { return w.count(`select count(distinct args->>'event') from annals_jobs.river_job`) == 40 })
	if n := w.count(`select count(*) from annals_jobs.river_job`); n != 40 {
		t.Errorf("%d jobs", n)
	}
}

// A handler that is new begins where it says, and delays no other.
func TestNewHandlers(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.register(uuid.New())
	}
	r, stop := w.run(see("first"))
	w.ready(r)
	w.handled("first", registered, 10)
	stop()
	later := see("later")
	later.FromNow = true
	hold := make(chan struct{})
	slow := see("slow")
	slow.Handle = func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
		return saw(ctx, tx, "slow", rec)
	}
	w.cfg.Records = 3
	r, _ = w.run(slow, see("first"), later)
	w.ready(r)
	for range 10 {
		w.register(uuid.New())
	}
	w.handled("first", registered, 20)
	w.handled("later", registered, 10)
	w.once("slow", registered, 0)
	close(hold)
	w.handled("slow", registered, 20)
	for range 10 {
		w.register(uuid.New())
	}
	w.handled("first", registered, 30)
	w.handled("slow", registered, 30)
	w.handled("later", registered, 20)
}

// Processes are killed, or lose their connections, at any moment: within a transaction,
// while it commits, with two at it. Each event is handled once.
func TestCrash(t *testing.T) {
	w := newWorld(t)
	w.cfg.Records = 5
	var wild atomic.Bool
	wild.Store(true)
	fragile := see("fragile")
	fragile.Handle = func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		n := rand.IntN(40)
		if wild.Load() && n == 0 {
			_, err := tx.Exec(ctx, `select pg_terminate_backend(pg_backend_pid())`)
			return err
		}
		if err := saw(ctx, tx, "fragile", rec); err != nil {
			return err
		}
		if wild.Load() && n == 1 {
			return eventlog.ErrUnavailable
		}
		return nil
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 3 { // processes that come and go
		wg.Go(func() {
			for {
				_, stop := w.run(fragile)
				select {
				case <-time.After(time.Duration(50+rand.IntN(600)) * time.Millisecond):
					stop()
				case <-done:
					stop()
					return
				}
			}
		})
	}
	wg.Go(func() { // an administrator who ends whatever there is, leases as well
		for {
			select {
			case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
				_, _ = w.db.Exec(context.WithoutCancel(t.Context()), `select pg_terminate_backend(pid) from pg_stat_activity
					where datname = current_database() and pid <> pg_backend_pid() and random() < 0.3`)
			case <-done:
				return
			}
		}
	})
	const events = 300
	for range events {
		w.register(uuid.New())
	}
	<-time.After(2 * time.Second)
	close(done)
	wg.Wait()
	wild.Store(false)
	w.run(fragile)
	w.handled("fragile", registered, events)
	w.handled("fragile", "key.created", events)
	if n := w.count(`select count(*) from annals_process.parked`); n != 0 {
		t.Errorf("%d events were set aside for an outage", n)
	}
}

// One process at a time handles events, and another takes over.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t)
	var first, second atomic.Int64
	counting := func(n *atomic.Int64) process.Handler {
		return process.Handler{Name: "rule", Begin: func() { n.Add(1000) }, Handle: func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
			n.Add(1)
			return saw(ctx, tx, "rule", rec)
		}}
	}
	r, stop := w.run(counting(&first))
	w.ready(r)
	w.register(uuid.New())
	w.handled("rule", registered, 1)
	other, _ := w.run(counting(&second))
	w.ready(other)
	w.register(uuid.New())
	w.handled("rule", registered, 2)
	if second.Load() != 0 {
		t.Error("both were at it")
	}
	stop()
	w.register(uuid.New())
	w.handled("rule", registered, 3)
	if n := second.Load(); n != 1002 { // the key and the client
		t.Errorf("%d, and should have begun once, and handled two events", n)
	}
}

// flaky is a log that cannot be reached every third time it is asked, and breaks off
// after every tenth event.
type flaky struct {
	*eventlog.Log
	asked, told *atomic.Int64
}

func (f flaky) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return func(yield func(eventlog.Item, error) bool) {
		for item, err := range f.Log.Subscribe(ctx, after) {
			if f.told.Add(1)%10 == 0 {
				yield(eventlog.Item{}, eventlog.ErrUnavailable)
				return
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

func (f flaky) Head(ctx context.Context) (eventlog.Position, error) {
	if f.asked.Add(1)%3 == 1 {
		return eventlog.Position{}, eventlog.ErrUnavailable
	}
	return f.Log.Head(ctx)
}

func TestOutageOfTheLog(t *testing.T) {
	w := newWorld(t)
	w.cfg.Log = flaky{Log: w.log, asked: new(atomic.Int64), told: new(atomic.Int64)}
	w.run(see("rule"), see("other"))
	for range 30 {
		w.register(uuid.New())
	}
	w.handled("rule", registered, 30)
	w.handled("other", registered, 30)
}

// What cannot be read or handled is set aside and tried again; everything else goes
// on, what erases a person first of all.
func TestSetAside(t *testing.T) {
	w := newWorld(t)
	var mended atomic.Bool
	erased := make(chan uuid.UUID, 10)
	bad := see("bad")
	bad.Handle = func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		if err := saw(ctx, tx, "bad", rec); err != nil {
			return err
		}
		switch e := rec.Event.(type) {
		case client.StatusChanged:
			if !mended.Load() && e.To == client.Active {
				return errors.New(`no way with "Jürgen"`)
			}
			if !mended.Load() {
				panic("no way")
			}
		case client.Retagged:
			if !mended.Load() {
				_, err := tx.Exec(ctx, `select 1 / 0`)
				return err
			}
		case eventschema.KeyDestroyed:
			ref, err := rec.Ref()
			erased <- ref.ID
			return err
		}
		return nil
	}
	r, stop := w.run(bad, see("good"))
	w.ready(r)
	id := uuid.New()
	w.register(id)
	w.append(id, client.StatusChanged{From: client.Lead, To: client.Active}, client.Retagged{Added: []string{"x"}}, client.StatusChanged{From: client.Active, To: client.Inactive})
	w.append(id, client.Deactivated{Reason: "x"})
	w.erase(id)
	other := uuid.New()
	w.appendUnreadable(other)
	w.register(uuid.New())
	w.handled("bad", registered, 2)
	w.handled("good", "client.status_changed", 2)
	w.handled("bad", "client.deactivated", 1)
	w.once("bad", "client.status_changed", 0)
	w.once("bad", "client.retagged", 0)
	if got := <-erased; got != id {
		t.Error(got)
	}
	if n := w.count(`select count(*) from annals_process.parked where attempts = 1 and error not like '%Jürgen%'`); n != 5 {
		t.Errorf("%d were set aside, want three of one, and the unreadable one of both", n)
	}
	if got := gathered(t, r, "annals_process_parked_events"); got["bad"] != 4 || got["good"] != 1 {
		t.Errorf("metrics: %v", got)
	}
	stop()
	_, stop = w.run(bad, see("good"))
	w.until("tried again at start", func() bool { return w.count(`select count(*) from annals_process.parked where attempts = 2`) == 5 })
	stop()
	mended.Store(true)
	w.cfg.Retry = 50 * time.Millisecond
	w.run(bad, see("good"))
	w.handled("bad", "client.status_changed", 2)
	w.handled("bad", "client.retagged", 1)
	w.until("all but the unreadable", func() bool { return w.count(`select count(*) from annals_process.parked`) == 2 })
	w.until("tried again later", func() bool { return w.count(`select min(attempts) from annals_process.parked`) > 4 })
}

// When nothing can be handled, no event is to blame.
func TestSystematicFailure(t *testing.T) {
	w := newWorld(t)
	var mended atomic.Bool
	rule := see("rule")
	rule.Handle = func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
		if !mended.Load() {
			return errors.New("a bug")
		}
		return saw(ctx, tx, "rule", rec)
	}
	for range 60 {
		w.register(uuid.New())
	}
	r, stop := w.run(rule)
	w.until("given up", func() bool {
		return w.count(`select count(*) from annals_process.parked`) == 100 && r.Ready(t.Context()) != nil
	})
	stop()
	mended.Store(true)
	w.run(rule)
	w.handled("rule", registered, 60)
	w.handled("rule", "key.created", 60)
}

// Another log than the one that was followed is not followed from the middle.
func TestAnotherLog(t *testing.T) {
	w := newWorld(t)
	r, _ := w.run(see("rule"))
	w.ready(r)
	w.exec(`update annals_process.checkpoints set commit = 1000000, prepare = 1000000, last_event = 1000000`)
	w.register(uuid.New()) // the one that holds the lease finds itself fenced
	w.until("told", func() bool { return r.Ready(t.Context()) != nil })
	w.once("rule", registered, 0)
}

// gathered are a metric's values by process manager.
func gathered(t *testing.T, r *process.Runner, name string) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(r.Collector())
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range all {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				out[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}
