package projections

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
)

// busy appends until stop is called: at first some hundred events a second, later a few,
// so that what is to be caught up with does not grow without end on a busy machine.
func (w *world) busy(c company) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		var id uuid.UUID
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			if n%3 == 0 {
				id = w.client(c, n)
			} else {
				w.append(domain.Client, id, client.Retagged{Added: []string{strconv.Itoa(n)}})
			}
			if n%30 == 29 {
				w.erase(id)
			}
			if n == 1000 {
				tick.Reset(20 * time.Millisecond)
			}
		}
	}()
	return func() { close(ended); <-done }
}

// Whenever a projector's connections are cut, it goes on where it was.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	c := w.company()
	w.caughtUp(r)
	stop := w.busy(c)
	for range 10 {
		var killed int
		w.scan(`select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name like 'annals%'`)(&killed)
		at := w.position()
		until(t, "progress after a kill", func() bool { return w.position().Compare(at) > 0 })
	}
	stop()
	w.caughtUp(r)
	w.verified()
}

// position is how far all read models are, or zero if that cannot be told.
func (w *world) position() (at eventlog.Position) {
	_ = w.db.QueryRow(w.t.Context(), `select commit, prepare from annals_read.freshness order by commit, prepare limit 1`).Scan(&at.Commit, &at.Prepare)
	return at
}

// A database that comes up late and goes away does not end the projectors, nor
// does a log.
func TestNodeRestarts(t *testing.T) {
	t.Parallel()
	logDB := pgtest.Database(t)
	start := func(listen string) *esnode.Node {
		t.Helper()
		node, err := esnode.Start(t.Context(), esnode.Config{Listen: listen, Database: logDB})
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	end := func(n *esnode.Node) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	node := start("127.0.0.1:0")
	w := newWorldOn(t, node.ConnectionString())
	r, stop := w.run()
	c := w.company()
	w.caughtUp(r)
	for n := range 3 {
		end(node)
		node = start(strings.TrimPrefix(strings.SplitN(w.address, "?", 2)[0], "esdb://"))
		w.client(c, n)
		w.caughtUp(r)
	}
	w.verified()
	stop()
	end(node)
}

// Two processes on one database: one works, the other takes over when it ends or
// loses its connections, and between them every event is applied once.
func TestTwoRunners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, stopA := w.run()
	b, stopB := w.run()
	c := w.company()
	w.caughtUp(a)
	w.caughtUp(b)
	// Whoever builds, or looks whether somebody else does, holds one more for a moment.
	until(t, "one lease is held for each projector", func() bool {
		var leases int
		w.scan(`select count(*) from pg_locks l join pg_stat_activity s using (pid) where l.locktype = 'advisory' and l.granted and s.datname = current_database()`)(&leases)
		return leases == len(All)
	})
	stop := w.busy(c)
	stopA()
	at := w.position()
	until(t, "the other one takes over", func() bool { return w.position().Compare(at) > 0 })
	d, _ := w.run()
	stopB()
	at = w.position()
	until(t, "the third one takes over", func() bool { return w.position().Compare(at) > 0 })
	stop()
	w.caughtUp(d)
	w.verified()
}

// reading has readers ask a view all the while; what they see may never shrink or fail.
func (w *world) reading(sql string) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			last := 0
			for ctx.Err() == nil {
				var n int
				err := w.db.QueryRow(ctx, sql).Scan(&n)
				switch {
				case ctx.Err() != nil:
				case err != nil:
					w.t.Errorf("a reader: %v", err)
					return
				case n < last:
					w.t.Errorf("a reader saw %d after %d", n, last)
				}
				last = n
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// A later version, with other columns, replaces the one in use when it has caught
// up: readers see either, never neither.
func TestVersionSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := *clients
	r, stopFirst := w.run(&first)
	c := w.company()
	for n := range 20 {
		w.client(c, n)
	}
	w.caughtUp(r)
	stopReading := w.reading(`select count(id) from annals_read.clients`)

	second := first
	second.Version, second.Inserts = first.Version+1, nil
	second.Tables = strings.Replace(first.Tables, "    company             text not null default '',", "    motto text not null default 'none',\n    company             text not null default '',", 1) +
		`; create table mottos (id uuid primary key)`
	busy := w.busy(c)
	r, stopSecond := w.run(&second) // beside the first
	until(t, "the second version is used", func() bool {
		var motto string
		return w.db.QueryRow(t.Context(), `select max(motto) from annals_read.clients`).Scan(&motto) == nil && motto == "none"
	})
	until(t, "the first version is dropped", func() bool {
		var gone bool
		return w.db.QueryRow(t.Context(), `select to_regnamespace($1) is null`, first.Schema()).Scan(&gone) == nil && gone
	})
	busy()
	w.caughtUp(r)
	w.verified(&second)
	w.exec(`select from annals_read.mottos`)

	// The first one, which still runs, keeps away, and says why.
	until(t, "the first steps down", func() bool {
		stati, err := StatusOf(t.Context(), w.db, nil)
		return err == nil && len(stati) == 1 && strings.Contains(stati[0].Error, "later version")
	})
	// Until it is told to go back.
	stopSecond()
	w.cfg.Projectors = []*Projector{&first}
	if err := Rebuild(t.Context(), w.cfg, "clients"); err != nil {
		t.Fatal(err)
	}
	w.client(c, 999)
	until(t, "the first works again", func() bool { return w.position().Compare(w.head) >= 0 })
	w.verified(&first)
	stopReading()
	var gone bool
	w.scan(`select to_regclass('annals_read.mottos') is null`)(&gone)
	if !gone {
		t.Error("a view of a table that is no more has stayed")
	}
	stopFirst()
}

// A rebuild beside a projector at work: it goes on with the new tables.
func TestRebuildUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	c := w.company()
	w.caughtUp(r)
	stopReading := w.reading(`select count(*) from annals_read.clients`)
	busy := w.busy(c)
	for _, state := range []string{building, shadow} { // as if somebody had died over it
		w.exec(`create schema clients_` + state)
		w.exec(`insert into annals_projections.checkpoints (schema, projector, version, state) values ('clients_' || $1, 'clients', 1, $1)`, state)
	}
	until(t, "the leftovers are gone", func() bool {
		var left bool
		w.scan(`select exists (select from pg_namespace where nspname in ('clients_building', 'clients_shadow'))`)(&left)
		return !left
	})
	for _, p := range append(slices.Clone(All), clients, clients) {
		if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
			t.Error(err)
		}
	}
	busy()
	w.caughtUp(r)
	stopReading()
	w.verified()
	var idle int // tables that are in use, and that PostgreSQL does not look after as while they were filled
	w.scan(`select count(*) from pg_class c join annals_projections.active a on c.relnamespace = to_regnamespace(a.schema) where c.reloptions::text like '%autovacuum%'`)(&idle)
	if idle > 0 {
		t.Errorf("%d tables are not vacuumed", idle)
	}
}

// A build that is killed anywhere leaves what is in use, and nothing else for long.
func TestCrashInBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.run(clients)
	c := w.company()
	for n := range 20 {
		w.client(c, n)
	}
	w.caughtUp(r)
	stop()
	killed := errors.New("killed")
	for _, where := range []string{"in the load", "in the indexes", "in the switch"} {
		ctx, kill := context.WithCancelCause(t.Context())
		broken := *clients
		broken.Version++
		cfg := w.cfg
		cfg.Projectors = []*Projector{&broken}
		switch where {
		case "in the load":
			broken.Apply = func(b *pgx.Batch, rec *eventlog.Record) {
				if rec.Position.Compare(w.head) == 0 {
					kill(killed)
				}
				clients.Apply(b, rec)
			}
		case "in the indexes":
			broken.Indexes += `; select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'annals%'`
		case "in the switch":
			// A reader that holds a view keeps the switch waiting.
			tx, err := w.db.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `select count(*) from annals_read.clients`); err != nil {
				t.Fatal(err)
			}
			go func() {
				until(t, "the switch waits", func() bool {
					var waits bool
					w.scan(`select exists (select from pg_locks l join pg_class c on c.oid = l.relation where c.relname = 'clients' and not l.granted)`)(&waits)
					return waits
				})
				kill(killed)
				_ = tx.Rollback(t.Context())
			}()
		}
		if err := Rebuild(ctx, cfg, "clients"); err == nil {
			t.Errorf("%s: the build came through", where)
		}
		kill(nil)
		var n, version int
		w.scan(`select (select count(*) from annals_read.clients), version from annals_projections.active`)(&n, &version)
		if n != 20 || version != clients.Version {
			t.Errorf("killed %s: %d clients in version %d", where, n, version)
		}
	}
	next := *clients
	next.Version++
	r, _ = w.run(&next)
	w.caughtUp(r)
	w.verified(&next)
	until(t, "the leftovers are gone", func() bool {
		var schemas int
		w.scan(`select count(*) from pg_namespace where nspname like 'clients%'`)(&schemas)
		return schemas == 1
	})
}

// TestSwitchNeedsOneConnection: read models that are all built at once are all switched
// to at once, and none waits for a connection that another one holds.
func TestSwitchNeedsOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client(w.company(), 1)
	e, err := open(t.Context(), w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.pool.Close()
	conf := e.conf.Copy()
	conf.MaxConns = 1
	if e.pool, err = pgxpool.NewWithConfig(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 { // for the first time, and from a version that is in use
		for _, p := range All {
			if err := e.build(ctx, p); err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
		}
	}
}
