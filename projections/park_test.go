package projections

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// faulty is a projector with a fault in one client's status changes, until mended.
func faulty(of *Projector, fault func(b *pgx.Batch), mended *atomic.Bool, id *uuid.UUID) *Projector {
	p := *of
	p.Apply = func(b *pgx.Batch, r *eventlog.Record) {
		_, changes := r.Event.(client.StatusChanged)
		if ref, _ := r.Ref(); changes && ref.ID == *id && !mended.Load() {
			fault(b)
		}
		of.Apply(b, r)
	}
	return &p
}

var faults = map[string]func(*pgx.Batch){
	"panic":      func(*pgx.Batch) { panic("out of range") },
	"constraint": func(b *pgx.Batch) { b.Queue(`insert into clients select * from clients limit 1`) },
	"no such table": func(b *pgx.Batch) {
		b.Queue(`insert into nowhere values (1)`)
	},
	"argument": func(b *pgx.Batch) { b.Queue(`select $1::int`, "secret of Jürgen") },
	"data":     func(b *pgx.Batch) { b.Queue(`select $1::text::int`, "secret of Jürgen") },
	"no row": func(b *pgx.Batch) {
		changeClientStatus.Queue(b, orNull(uuid.New()), 1, time.Now(), "", "", []byte("{}"))
	},
	"deferred":  func(b *pgx.Batch) { b.Queue(`insert into deferred values (1), (1)`) },
	"too large": func(b *pgx.Batch) { b.Queue(`select pg_catalog.repeat('x', 2000000000)`) },
}

func TestParkAndResume(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var mended atomic.Bool
			var bad uuid.UUID
			p := faulty(clients, fault, &mended, &bad)
			if name == "deferred" {
				p.Tables += `; create table deferred (n int primary key deferrable initially deferred)`
			}
			w.cfg.Projectors = []*Projector{p}
			r, _ := w.run(p)
			w.caughtUp(r)
			c := w.company()
			bad = w.client(c, 1)
			good := w.client(c, 2)
			w.append(domain.Client, bad, client.StatusChanged{From: client.Lead, To: client.Active})
			w.append(domain.Client, good, client.StatusChanged{From: client.Lead, To: client.Active})
			w.append(domain.Client, bad, client.StatusChanged{From: client.Active, To: client.Inactive})
			w.append(domain.Client, bad, client.Retagged{Added: []string{"late"}})
			w.append(domain.Client, good, client.Retagged{Added: []string{"late"}})
			w.caughtUp(r)

			status := func(id uuid.UUID) (s string) {
				w.scan(`select status || ' ' || array_to_string(tags, ' ') from annals_read.clients where id = $1`, id)(&s)
				return s
			}
			if got := status(good); got != "active gold late vip" {
				t.Errorf("another client is %q", got)
			}
			if got := status(bad); got != "lead gold vip" {
				t.Errorf("the parked client is %q: nothing after the fault may be applied", got)
			}
			parked := w.parked()
			if len(parked) != 1 || parked[0].Stream != eventlog.Stream(domain.Client, bad) || parked[0].Revision != 1 || parked[0].Attempts != 1 ||
				parked[0].Type != "client.status_changed" || parked[0].Error == "" || strings.Contains(parked[0].Error, "Jürgen") {
				t.Fatalf("parked %+v", parked)
			}
			w.verified(p) // what is parked is no difference

			// Resuming without the cause being gone changes the error and nothing else.
			out, err := Resume(t.Context(), w.cfg, p.Name)
			if err != nil || len(out) != 1 || out[0].Err == nil {
				t.Fatalf("resumed %+v, %v", out, err)
			}
			if parked := w.parked(); len(parked) != 1 || parked[0].Attempts != 2 {
				t.Errorf("parked %+v", parked)
			}
			if _, err := Resume(t.Context(), w.cfg, p.Name, "client-"+good.String()); err == nil {
				t.Error("a stream was resumed that is not parked")
			}
			mended.Store(true)
			out, err = Resume(t.Context(), w.cfg, p.Name, "client-"+bad.String())
			if err != nil || len(out) != 1 || out[0].Err != nil || out[0].Events != 3 {
				t.Fatalf("resumed %+v, %v", out, err)
			}
			if got := status(bad); got != "inactive gold late vip" {
				t.Errorf("the resumed client is %q", got)
			}
			// The projector, which runs all the while, takes it up again.
			w.append(domain.Client, bad, client.StatusChanged{From: client.Inactive, To: client.Lead})
			w.caughtUp(r)
			if got := status(bad); got != "lead gold late vip" || len(w.parked()) != 0 {
				t.Errorf("afterwards the client is %q, parked %v", got, w.parked())
			}
			w.verified(p)
		})
	}
}

func (w *world) parked() (all []Parked) {
	w.t.Helper()
	stati, err := StatusOf(w.t.Context(), w.db, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range stati {
		all = append(all, s.Parked...)
	}
	return all
}

// An event that cannot be read parks its stream in every read model, live and in a build.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.company()
	before := w.client(c, 1)
	w.appendRaw(domain.Client, before, "client.teleported", `{}`)
	w.append(domain.Client, before, client.StatusChanged{From: client.Lead, To: client.Active})
	r, _ := w.run()
	w.caughtUp(r)
	after := w.client(c, 2)
	w.appendRaw(domain.Client, after, "client.status_changed", `{"from":7}`)
	w.append(domain.Client, after, client.StatusChanged{From: client.Lead, To: client.Active})
	w.append(domain.Client, w.client(c, 3), client.StatusChanged{From: client.Lead, To: client.Active})
	w.caughtUp(r)
	if n := len(w.parked()); n != 2*len(All) {
		t.Errorf("%d parked streams: %+v", n, w.parked())
	}
	var n int
	w.scan(`select count(*) from annals_read.clients where status = 'active'`)(&n)
	if n != 1 {
		t.Errorf("%d clients are active", n)
	}
	w.verified()
	out, err := Resume(t.Context(), w.cfg, "history")
	if err != nil || len(out) != 2 || out[0].Err == nil || out[1].Err == nil {
		t.Errorf("resumed what still cannot be read: %+v %v", out, err)
	}
	// Erasing a person does not wait for a parked stream, be it that of the key.
	w.appendRaw(eventschema.Key, after, "key.rotated", `{}`)
	w.erase(before)
	w.erase(after)
	w.caughtUp(r)
	w.scan(`select count(*) from annals_read.clients where erased and first_name = ''`)(&n)
	if n != 2 {
		t.Errorf("%d of 2 parked clients are erased", n)
	}
	if err := Rebuild(t.Context(), w.cfg, "clients"); err != nil {
		t.Fatal(err)
	}
	w.verified()
}

// When everything fails, the fault is not the events': the projector stops, and goes
// on when it is mended.
func TestSystematicFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run(clients)
	c := w.company()
	w.caughtUp(r)
	w.exec(`alter table ` + clients.Schema() + `.clients rename column company to compagnie`)
	for n := range streakMost + 50 {
		w.client(c, n)
	}
	until(t, "it stops", func() bool { return errors.Is(r.Ready(t.Context()), errSystematic) })
	if n := len(w.parked()); n != streakMost {
		t.Errorf("%d streams are parked", n)
	}
	w.exec(`alter table ` + clients.Schema() + `.clients rename column compagnie to company`)
	w.caughtUp(r)
	if out, err := Resume(t.Context(), w.cfg, "clients"); err != nil || len(out) != streakMost {
		t.Errorf("resumed %d, %v", len(out), err)
	}
	var n int
	w.scan(`select count(*) from annals_read.clients`)(&n)
	if n != streakMost+50 {
		t.Errorf("%d clients", n)
	}
	w.verified(clients)
}

// With another master key nobody can be read. That is no fault of the events, which
// wait for the right one.
func TestWrongMasterKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.company()
	w.client(c, 1)
	right := w.cfg.Log
	master, err := eventschema.NewLocalMaster([]byte("another secret of thirty-two byte"[:32]))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := eventlog.Open(eventlog.Config{ConnectionString: w.address, Master: master})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	w.cfg.Log = wrong
	r, stop := w.run()
	until(t, "the failure shows", func() bool { return errors.Is(r.Ready(t.Context()), eventschema.ErrMaster) })
	stop()
	if n := len(w.parked()); n != 0 {
		t.Errorf("%d streams are parked", n)
	}
	w.cfg.Log = right
	r, _ = w.run()
	w.caughtUp(r)
	w.verified()
}

// Resuming goes as far as the read model is, and leaves the rest to the projector.
func TestResumeBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mended atomic.Bool
	var bad uuid.UUID
	p := faulty(history, faults["panic"], &mended, &bad)
	w.cfg.Projectors = []*Projector{p}
	r, stop := w.run(p)
	bad = w.client(w.company(), 1)
	w.append(domain.Client, bad, client.StatusChanged{From: client.Lead, To: client.Active})
	w.append(domain.Client, bad, client.Retagged{Added: []string{"x"}})
	w.caughtUp(r)
	stop()
	mended.Store(true)
	w.append(domain.Client, bad, client.Retagged{Removed: []string{"x"}})
	out, err := Resume(t.Context(), w.cfg, p.Name)
	if err != nil || len(out) != 1 || out[0].Err != nil || out[0].Events != 2 {
		t.Errorf("resumed %+v, %v", out, err)
	}
	r, _ = w.run(p)
	w.caughtUp(r)
	var n int
	w.scan(`select count(*) from annals_read.history where aggregate_id = $1`, bad)(&n)
	if n != 4 || len(w.parked()) != 0 {
		t.Errorf("%d events, parked %v", n, w.parked())
	}
	w.verified(p)
}

// Streams that are resumed while the projector is at work: neither loses an event
// nor applies one twice, whichever is first.
func TestResumeUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mended atomic.Bool
	var bad uuid.UUID
	p := faulty(history, faults["panic"], &mended, &bad)
	w.cfg.Projectors = []*Projector{p}
	r, _ := w.run(p)
	c := w.company()
	bad = w.client(c, 1)
	w.caughtUp(r)
	was, is := client.Lead, client.Active
	for round := range 10 {
		mended.Store(false)
		w.append(domain.Client, bad, client.StatusChanged{From: was, To: is})
		until(t, "the stream is parked", func() bool { return len(w.parked()) == 1 })
		mended.Store(true)
		resumed := make(chan error, 1)
		go func() {
			_, err := Resume(context.WithoutCancel(t.Context()), w.cfg, p.Name)
			resumed <- err
		}()
		for range 20 {
			was, is = is, was
			w.append(domain.Client, bad, client.StatusChanged{From: was, To: is})
		}
		if err := <-resumed; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		was, is = is, was
	}
	w.caughtUp(r)
	var events eventlog.Revision
	w.scan(`select count(*) from annals_read.history where aggregate_id = $1`, bad)(&events)
	if want := w.at["client-"+bad.String()] + 1; events != want || len(w.parked()) != 0 {
		t.Errorf("%d events, want %d; parked %v", events, want, w.parked())
	}
	w.verified(p)
}

// Many failing events in one run park their streams one by one, and nothing else.
func TestBisectKeepsPositions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.company()
	for n := range 60 {
		w.client(c, n)
	}
	p := *clients
	p.Apply = func(b *pgx.Batch, r *eventlog.Record) {
		if e, ok := r.Event.(client.Registered); ok && strings.HasSuffix(e.LastName, "3") {
			b.Queue(`select 1/0`)
		}
		clients.Apply(b, r)
	}
	e, err := open(t.Context(), w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.pool.Close()
	tables, err := e.create(t.Context(), &p, p.Schema(), building)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.db.Close()
	run := w.everything()
	if err := tables.apply(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	var rows int
	w.scan(`select count(*) from ` + p.Schema() + `.clients`)(&rows)
	if rows != 54 || len(tables.parked) != 6 || tables.at != run.To {
		t.Errorf("%d rows, %d parked, at %v of %v", rows, len(tables.parked), tables.at, run.To)
	}
	if err := tables.apply(t.Context(), feed.Run{From: run.From, To: run.To}); !errors.Is(err, ErrFenced) {
		t.Errorf("from the start again: %v", err)
	}
}
