package jobs

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/postgres/pgtest"
)

type note struct {
	N int `json:"n"`
}

func (note) Kind() string { return "note" }

type chore struct{}

func (chore) Kind() string { return "chore" }

// log collects what was logged.
type log struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// site is a database with a table that workers write to.
type site struct {
	*testing.T
	pool *pgxpool.Pool
	log  *log
	cfg  Config
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{T: t, pool: connect(t, pgtest.Database(t), 8), log: new(log)}
	s.cfg = Config{Logger: slog.New(slog.NewTextHandler(s.log, nil)), Now: time.Now}
	s.exec(`create table seen (n int)`)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log)
		}
	})
	return s
}

func connect(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	conf, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (s *site) exec(sql string, args ...any) {
	s.Helper()
	if _, err := s.pool.Exec(context.Background(), sql, args...); err != nil {
		s.Fatal(err)
	}
}

func (s *site) count(sql string, args ...any) (n int) {
	s.Helper()
	if err := s.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// open is a process that knows note.
func (s *site) open(k Kind[note]) *Jobs {
	s.Helper()
	j, err := Open(s.Context(), s.pool, s.cfg)
	if err != nil {
		s.Fatal(err)
	}
	if err := Add(j, k); err != nil {
		s.Fatal(err)
	}
	return j
}

// run starts the workers of a process; what it returns stops them, and answers what Run did.
func (s *site) run(j *Jobs) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	s.Cleanup(func() {
		if err := stop(); err != nil {
			s.Error(err)
		}
	})
	return stop
}

func (s *site) insert(j *Jobs, args ...Args) {
	s.Helper()
	err := pgx.BeginFunc(s.Context(), s.pool, func(tx pgx.Tx) error {
		for _, a := range args {
			if err := j.Insert(s.Context(), tx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) await(what string, ok func() bool) {
	s.Helper()
	for until := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			s.Fatal("waited in vain: " + what)
		}
	}
}

// ended waits until there are n jobs in the state and none that is still to be done.
func (s *site) ended(state string, n int) {
	s.Helper()
	s.await(state, func() bool {
		return s.count(`select count(*) from annals_jobs.river_job where state::text = $1`, state) == n &&
			s.count(`select count(*) from annals_jobs.river_job where finalized_at is null`) == 0
	})
}

// see writes what a job is about, and completes it with that.
func (s *site) see(ctx context.Context, job *Job[note]) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `insert into seen values ($1)`, job.Args.N); err != nil {
			return err
		}
		return job.Complete(ctx, tx)
	})
}
