package recent

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/postgres"
	"annals/internal/postgres/pgtest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func id(n int) domain.ID { return domain.ID{14: byte(n >> 8), 15: byte(n)} }

func at(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

func open(t *testing.T) *Store {
	t.Helper()
	db, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return again(t, db)
}

func again(t *testing.T, db *pgxpool.Pool) *Store {
	t.Helper()
	s, err := Open(t.Context(), db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flush(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, s *Store, employee int, want ...Opened) {
	t.Helper()
	got, err := s.Latest(t.Context(), id(employee))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]Opened{}, want...), got); diff != "" {
		t.Error(diff)
	}
}

func (s *Store) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	s := open(t)
	other := again(t, s.db)
	s.Add(id(1), id(7), at(1))
	s.Add(id(1), id(8), at(2))
	s.Add(id(2), id(7), at(3))
	want := []Opened{{id(8), at(2)}, {id(7), at(1)}}
	is(t, s, 1, want...) // before it is written
	is(t, other, 1)
	flush(t, s)
	is(t, s, 1, want...)
	is(t, other, 1, want...)
	is(t, other, 2, Opened{id(7), at(3)})
	is(t, other, 3)
	// The later time counts, whoever writes it first.
	other.Add(id(1), id(7), at(5))
	s.Add(id(1), id(7), at(4))
	flush(t, other)
	is(t, s, 1, Opened{id(7), at(5)}, Opened{id(8), at(2)})
	flush(t, s)
	is(t, other, 1, Opened{id(7), at(5)}, Opened{id(8), at(2)})
}

// However many are opened, the latest are kept, and none else, in memory either.
func TestMost(t *testing.T) {
	t.Parallel()
	s := open(t)
	var want []Opened
	for n := range 10 * Most {
		s.Add(id(1), id(n), at(n))
		if n == 5*Most {
			flush(t, s)
		}
	}
	for n := range Most {
		want = append(want, Opened{id(10*Most - 1 - n), at(10*Most - 1 - n)})
	}
	if n := len(s.pending[id(1)]); n > 2*Most {
		t.Errorf("%d wait", n)
	}
	s.Add(id(2), id(1), at(1))
	is(t, s, 1, want...)
	flush(t, s)
	is(t, s, 1, want...)
	is(t, s, 2, Opened{id(1), at(1)})
	var rows int
	if err := s.db.QueryRow(t.Context(), `select count(*) from annals_recent.clients`).Scan(&rows); err != nil || rows != Most+1 {
		t.Errorf("%d rows are kept, %v", rows, err)
	}
}

// A burst of reads is one write, and nobody who reads waits for it: the table is away
// meanwhile, and without anything to write it may stay so.
func TestCoalesced(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.exec(t, `alter table annals_recent.clients rename to away`)
	flush(t, s)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 1000 {
				s.Add(id(1), id(n), at(n))
			}
		})
	}
	all.Wait()
	for range 3 {
		if err := s.Flush(t.Context()); err == nil {
			t.Fatal("written to a table that is away")
		}
	}
	s.exec(t, `alter table annals_recent.away rename to clients`)
	s.exec(t, `create table annals_recent.written (n bigserial);
		create function annals_recent.note() returns trigger language plpgsql as $$ begin insert into annals_recent.written default values; return null; end $$;
		create trigger note after insert on annals_recent.clients for each statement execute function annals_recent.note()`)
	flush(t, s)
	flush(t, s)
	var rows, writes int
	if err := s.db.QueryRow(t.Context(), `select (select count(*) from annals_recent.clients), (select count(*) from annals_recent.written)`).Scan(&rows, &writes); err != nil || rows != 8 || writes != 1 {
		t.Errorf("%d rows by %d writes, %v", rows, writes, err)
	}
}

// Processes that write for the same employees at once do not wait for each other forever.
func TestTogether(t *testing.T) {
	t.Parallel()
	s := open(t)
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			s := &Store{db: s.db, logger: s.logger, pending: map[domain.ID]times{}}
			for n := range 30 {
				for e := range 5 {
					for c := range 20 {
						s.Add(id(e), id((n*7+c*11+p)%100), at(n*4+p))
					}
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for e := range 5 {
		got, err := s.Latest(t.Context(), id(e))
		if err != nil || len(got) != Most {
			t.Errorf("%d are left, %v", len(got), err)
		}
	}
}

// What is noted is written a second later, and tried again.
func TestRun(t *testing.T) {
	t.Parallel()
	s := open(t)
	done := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx) }()
	s.Add(id(1), id(7), at(1))
	other := again(t, s.db)
	for start := time.Now(); ; {
		got, err := other.Latest(t.Context(), id(1))
		if err != nil || time.Since(start) > 20*time.Second {
			t.Fatalf("%v, %v", got, err)
		}
		if len(got) == 1 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Add(id(1), id(8), at(2)) // by the last request
	flush(t, s)
	is(t, other, 1, Opened{id(8), at(2)}, Opened{id(7), at(1)})
}

// Who is let in sees what is their own.
func TestGuarded(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.Add(id(1), id(7), at(1))
	s.Add(id(2), id(8), at(1))
	flush(t, s)
	conn, err := s.db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := postgres.EnsureReader(t.Context(), conn.Conn()); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "grant usage on schema annals_recent to "+postgres.Reader+"; grant select on annals_recent.clients to "+postgres.Reader)
	var rows int
	for me, want := range map[string]int{"": 0, id(1).String(): 1} {
		err := conn.QueryRow(t.Context(), `select set_config('role', $1, false), set_config('annals.me', $2, false)`, postgres.Reader, me).Scan(new(string), new(string))
		if err == nil {
			err = conn.QueryRow(t.Context(), `select count(*) from annals_recent.clients`).Scan(&rows)
		}
		if err != nil || rows != want {
			t.Errorf("as %q: %d rows, %v", me, rows, err)
		}
		if _, err := conn.Exec(t.Context(), "reset role"); err != nil {
			t.Fatal(err)
		}
	}
}
