package jobs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/internal/postgres/pgtest"
)

func TestManyProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	cfg := Config{Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	var wg sync.WaitGroup
	for range 6 {
		pool := connect(t, url, 1)
		wg.Go(func() {
			for range 2 {
				if _, err := Open(t.Context(), pool, cfg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAJobExistsWhenItsTransactionCommits(t *testing.T) {
	s := newSite(t)
	inserts := s.open(Kind[note]{Work: s.see})
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := inserts.Insert(t.Context(), tx, note{1}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.insert(inserts, note{2}, note{3})
	if n := s.count(`select count(*) from annals_jobs.river_job where attempt = 0`); n != 2 {
		t.Fatal("a process that only inserts worked on jobs, or", n)
	}
	s.run(s.open(Kind[note]{Work: s.see}))
	s.ended("completed", 2)
	if n := s.count(`select sum(n) from seen`); n != 5 {
		t.Error(n)
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	s := newSite(t)
	j := s.open(Kind[note]{Work: s.see})
	if err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error { return j.Insert(t.Context(), tx, chore{}) }); err == nil {
		t.Error("an unknown kind was inserted")
	}
	if err := Add(j, Kind[note]{Work: s.see}); err == nil {
		t.Error("a kind was added twice")
	}
	if err := Add(j, Kind[chore]{}); err == nil {
		t.Error("a kind without work was added")
	}
}

func TestAFailureIsTriedAgainAndLeavesNothing(t *testing.T) {
	s := newSite(t)
	var attempts []int
	j := s.open(Kind[note]{
		Workers: 1, Retry: func(int) time.Duration { return time.Millisecond },
		Work: func(ctx context.Context, job *Job[note]) error {
			attempts = append(attempts, job.Attempt)
			if len(attempts) == 2 {
				return Again(0) // is no attempt
			}
			return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `insert into seen values (1)`); err != nil {
					return err
				}
				if err := job.Complete(ctx, tx); err != nil || len(attempts) > 3 {
					return err
				}
				if len(attempts) == 1 {
					panic("a secret")
				}
				return errors.New("what went wrong")
			})
		},
	})
	s.insert(j, note{1})
	s.run(j)
	s.ended("completed", 1)
	if n := s.count(`select count(*) from seen`); n != 1 {
		t.Error(n)
	}
	if len(attempts) != 4 || attempts[1] != 2 || attempts[2] != 2 || attempts[3] != 3 {
		t.Error(attempts)
	}
	if text := s.log.String(); strings.Contains(text, "a secret") || !strings.Contains(text, "what went wrong") || !strings.Contains(text, "panicked") {
		t.Error("log")
	}
	if n := s.count(`select count(*) from annals_jobs.river_job where errors::text like '%a secret%'`); n != 0 {
		t.Error("the value of a panic is stored")
	}
}

func TestAJobIsGivenUp(t *testing.T) {
	s := newSite(t)
	j := s.open(Kind[note]{
		Attempts: 2, Retry: func(int) time.Duration { return time.Millisecond },
		Work: func(_ context.Context, job *Job[note]) error {
			if job.Args.N == 1 {
				return Never(errors.New("no use"))
			}
			return errors.New("again and again")
		},
	})
	s.insert(j, note{1}, note{2})
	s.run(j)
	s.ended("discarded", 1)
	s.ended("cancelled", 1)
	if !strings.Contains(s.log.String(), "job: given up") {
		t.Error("not logged")
	}
}

func TestUniqueWhileItWaits(t *testing.T) {
	s := newSite(t)
	j := s.open(Kind[note]{Work: s.see, Unique: true})
	s.insert(j, note{1}, note{1}, note{2})
	s.insert(j, note{1})
	s.run(j)
	s.ended("completed", 2)
	s.insert(j, note{1})
	s.ended("completed", 3)
}

func TestStopLetsAJobEndAndCutsOffWhatDoesNot(t *testing.T) {
	s := newSite(t)
	s.cfg.Grace = time.Second
	began, end := make(chan int, 2), make(chan struct{})
	j := s.open(Kind[note]{Workers: 2, Work: func(ctx context.Context, job *Job[note]) error {
		began <- job.Args.N
		if job.Args.N == 1 {
			<-end
			return s.see(ctx, job)
		}
		<-ctx.Done()
		return ctx.Err()
	}})
	s.insert(j, note{1}, note{2})
	stop := s.run(j)
	<-began
	<-began
	time.AfterFunc(50*time.Millisecond, func() { close(end) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.count(`select count(*) from seen`); n != 1 {
		t.Error("the job that could end did not")
	}
	var attempt int
	next := s.open(Kind[note]{Work: func(ctx context.Context, job *Job[note]) error {
		attempt = job.Attempt
		return s.see(ctx, job)
	}})
	s.run(next)
	s.ended("completed", 2)
	if attempt != 1 || s.count(`select sum(n) from seen`) != 3 {
		t.Error("attempt", attempt)
	}
}

// A process that is killed leaves its job running in the table, which is what
// this makes of one that still runs: it is the slow process, too.
func TestWhatADeadProcessHeldIsTakenOver(t *testing.T) {
	s := newSite(t)
	began, overtaken, end := make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
	slow := s.open(Kind[note]{Workers: 1, Work: func(ctx context.Context, job *Job[note]) error {
		began <- struct{}{}
		<-overtaken
		err := s.see(ctx, job)
		end <- err
		return err
	}})
	s.insert(slow, note{1})
	s.run(slow)
	<-began
	s.exec(`update annals_jobs.river_job set attempted_at = now() - interval '2 minutes'`)
	s.exec(`delete from annals_jobs.river_leader`) // the dead lead no longer; a new leader looks at once
	s.run(s.open(Kind[note]{Work: s.see, Retry: func(int) time.Duration { return time.Millisecond }}))
	s.await("the other", func() bool { return s.count(`select count(*) from seen`) == 1 })
	close(overtaken)
	if err := <-end; !errors.Is(err, ErrOvertaken) {
		t.Error("the slow process completed what was no longer its:", err)
	}
	s.ended("completed", 1)
	if n := s.count(`select count(*) from seen`); n != 1 {
		t.Error(n)
	}
}

func TestEveryIsForAllProcesses(t *testing.T) {
	s := newSite(t)
	ran := make(chan struct{}, 100)
	for range 2 {
		j := s.open(Kind[note]{Work: s.see})
		if err := Add(j, Kind[chore]{Every: time.Hour, Work: func(context.Context, *Job[chore]) error {
			ran <- struct{}{}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		s.run(j)
	}
	<-ran
	s.ended("completed", 1)
}

func TestASlowKindKeepsNoOtherWaiting(t *testing.T) {
	s := newSite(t)
	end := make(chan struct{})
	j := s.open(Kind[note]{Work: s.see})
	if err := Add(j, Kind[chore]{Workers: 1, Work: func(context.Context, *Job[chore]) error { <-end; return nil }}); err != nil {
		t.Fatal(err)
	}
	s.insert(j, chore{}, chore{}, chore{}, note{1})
	s.run(j)
	s.await("the quick one", func() bool { return s.count(`select count(*) from seen`) == 1 })
	close(end)
	s.ended("completed", 4)
}

func TestLostConnectionsAreReplaced(t *testing.T) {
	s := newSite(t)
	j := s.open(Kind[note]{Work: s.see})
	s.insert(j, note{1})
	s.run(j)
	s.ended("completed", 1)
	for n := 2; n <= 4; n++ {
		if s.count(`select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'annals jobs' and datname = current_database()`) == 0 {
			t.Error("no connection of its own")
		}
		s.insert(j, note{n})
		s.ended("completed", n)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	next := Backoff(time.Second, time.Hour)
	for n, want := range map[int]time.Duration{-1: time.Second, 1: time.Second, 2: 2 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 1 << 40: time.Hour} {
		for range 100 {
			if got := next(n); got < want*4/5 || got > want*6/5+1 {
				t.Fatal(n, got)
			}
		}
	}
}
