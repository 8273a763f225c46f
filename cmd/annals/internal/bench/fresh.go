package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"annals/internal/eventlog"
)

const (
	freshRate = 500 // commands a second
	// A look at the checkpoint costs as much as a small request, so there is a
	// pause between two; what is seen is seen that much later.
	freshLook = 500 * time.Microsecond
)

// ack is a command that was answered.
type ack struct {
	at       time.Time
	position eventlog.Position
}

// sight is a checkpoint that was seen.
type sight struct {
	at       time.Time
	position eventlog.Position
}

// fresh measures how long after a command's answer the list of clients shows what
// it did, while commands come at a fixed rate whether or not the server keeps up.
func (r *run) fresh(ctx context.Context) error {
	return r.served(ctx, func(url string, o *office) error {
		watching, stop := context.WithCancel(ctx)
		defer stop()
		var watchers sync.WaitGroup
		var sights []sight
		var commits took
		var watchErr, commitErr error
		watchers.Go(func() { sights, watchErr = watch(watching, url) })
		watchers.Go(func() { commits, commitErr = commit(watching, url) })
		var acks []ack
		var answers took
		err := r.profiled(ctx, "fresh", url, func() (err error) {
			acks, answers, err = openLoop(ctx, o, r.Duration, freshRate)
			return err
		})
		if err == nil {
			err = untilSeen(ctx, url, acks)
		}
		stop()
		watchers.Wait()
		if err := errors.Join(err, watchErr, commitErr); err != nil {
			return err
		}
		var waited []time.Duration
		for _, a := range acks {
			i, _ := slices.BinarySearchFunc(sights, a.position, func(s sight, p eventlog.Position) int { return s.position.Compare(p) })
			if i == len(sights) {
				return fmt.Errorf("position %s was never seen", a.position)
			}
			waited = append(waited, max(0, sights[i].at.Sub(a.at)))
		}
		shown := newTook(answers.all, waited)
		what := fmt.Sprintf("acknowledged to listed at %s commands/s", number(answers.rate()))
		r.add(Figure{
			Name: "fresh", What: what + ", p50", Value: milli(shown.at(50)), Unit: "ms", P50: shown.at(50), P99: shown.at(99),
			Limit: milli(commits.at(50)), LimitIs: "one row changed and committed beside it, p50",
			Note: fmt.Sprintf("%d commands a second were due, %s were carried out; from when each was due to its answer p50 %s, p99 %s; the checkpoint was looked at every %v",
				freshRate, number(answers.rate()), milliseconds(answers.at(50)), milliseconds(answers.at(99)), freshLook),
		})
		r.add(Figure{
			Name: "fresh", What: what + ", p99", Value: milli(shown.at(99)), Unit: "ms",
			Limit: milli(commits.at(99)), LimitIs: "one row changed and committed beside it, p99",
		})
		return nil
	})
}

// openLoop sends commands when they are due. How long each took counts from then.
func openLoop(ctx context.Context, o *office, d time.Duration, rate int) ([]ack, took, error) {
	total := max(int(d.Seconds()*float64(rate)), 1)
	acks, each, fails := make([]ack, total), make([]time.Duration, total), make([]error, total)
	var wg sync.WaitGroup
	start := now()
	for i := range total {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := due.Sub(now()); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			rec, err := o.mixed(ctx, rand.New(rand.NewPCG(rand.Uint64(), 0))) //nolint:gosec // no secret
			if err == nil {
				acks[i].at = now()
				acks[i].position, err = rec.position()
			}
			each[i], fails[i] = now().Sub(due), err
		})
	}
	wg.Wait()
	if err := errors.Join(append(fails, ctx.Err())...); err != nil {
		return nil, took{}, fmt.Errorf("commands failed: %w", err)
	}
	return acks, newTook(now().Sub(start), each), nil
}

const checkpoint = `select commit, prepare from annals_read.freshness where projector = 'clients'`

// watch notes when the list's checkpoint moves, until ctx ends.
func watch(ctx context.Context, url string) ([]sight, error) {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	var sights []sight
	for {
		var p eventlog.Position
		if err := conn.QueryRow(ctx, checkpoint).Scan(&p.Commit, &p.Prepare); err != nil {
			if ctx.Err() != nil {
				return sights, nil
			}
			return nil, fmt.Errorf("watch the checkpoint: %w", err)
		}
		if len(sights) == 0 || sights[len(sights)-1].position != p {
			sights = append(sights, sight{now(), p})
		}
		time.Sleep(freshLook)
	}
}

// untilSeen waits for the list to show everything.
func untilSeen(ctx context.Context, url string, acks []ack) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return err
	}
	defer done()
	last := slices.MaxFunc(acks, func(a, b ack) int { return a.position.Compare(b.position) }).position
	for {
		var p eventlog.Position
		if err := conn.QueryRow(ctx, checkpoint).Scan(&p.Commit, &p.Prepare); err != nil {
			return fmt.Errorf("watch the checkpoint: %w", err)
		}
		if p.Compare(last) >= 0 {
			time.Sleep(10 * freshLook) // for the other watcher to see it too
			return nil
		}
		time.Sleep(freshLook)
	}
}

// commit notes how long the least transaction takes, a hundred times a second,
// until ctx ends.
func commit(ctx context.Context, url string) (took, error) {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return took{}, err
	}
	defer done()
	if _, err := conn.Exec(ctx, `create schema annals_bench; create table annals_bench.one (n bigint) with (fillfactor = 10); insert into annals_bench.one values (0)`); err != nil {
		return took{}, fmt.Errorf("commit beside it: %w", err)
	}
	var each []time.Duration
	start := now()
	for {
		begun := now()
		if _, err := conn.Exec(ctx, `update annals_bench.one set n = n + 1`); err != nil {
			if ctx.Err() != nil {
				return newTook(now().Sub(start), each), nil
			}
			return took{}, fmt.Errorf("commit beside it: %w", err)
		}
		each = append(each, now().Sub(begun))
		time.Sleep(10 * time.Millisecond)
	}
}
