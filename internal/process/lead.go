package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/lease"
)

var (
	// ErrFenced means that another process has moved the checkpoint: it has the events
	// that were about to be handled.
	ErrFenced = errors.New("the checkpoint has been moved by another process")

	errForeign = errors.New("the log ends before what has been handled: it is another log, or has lost what it had")
	errJoin    = errors.New("a handler has caught up with the others")
)

// lead takes the lease, and follows the log until something breaks.
func (r *Runner) lead(ctx context.Context) error {
	ctx, release, err := lease.Take(ctx, r.pool.Config().ConnConfig, "process managers")
	if err != nil {
		return err
	}
	defer release()
	if err := r.register(ctx); err != nil {
		return err
	}
	for _, h := range r.cfg.Handlers {
		if h.Begin != nil {
			h.Begin()
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var retries sync.WaitGroup
	retries.Go(func() { r.retry(ctx) })
	defer retries.Wait()
	defer cancel()
	joined := map[string]bool{}
	for {
		if err := r.round(ctx, joined); !errors.Is(err, errJoin) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// register gives handlers that are new their place in the log.
func (r *Runner) register(ctx context.Context) error {
	head, err := r.cfg.Log.Head(ctx)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		for _, h := range r.cfg.Handlers {
			var from eventlog.Position
			if h.FromNow {
				from = head
			}
			if _, err := tx.Exec(ctx, `insert into annals_process.checkpoints (handler, commit, prepare) values ($1, $2, $3) on conflict do nothing`,
				h.Name, from.Commit, from.Prepare); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("checkpoints of process managers: %w", err)
	}
	return nil
}

// member is a handler, and how far it has got.
type member struct {
	*Handler
	at eventlog.Position
}

// lane is handlers that are given the same events. One goroutine uses it.
type lane struct {
	*Runner
	members []member
	streak  int // events set aside since one was handled
}

// round follows the log for all handlers together, so that an event is read once, and
// for each that is far behind, as a new one is, on its own, so that no other waits for
// it. When one of those has caught up, it is noted in joined, and the round ends with
// errJoin.
func (r *Runner) round(ctx context.Context, joined map[string]bool) error {
	members, err := r.load(ctx)
	if err != nil {
		return err
	}
	var first eventlog.Position
	for _, m := range members {
		if m.at.Compare(first) > 0 {
			first = m.at
		}
	}
	lanes := []*lane{{Runner: r}}
	for _, m := range members {
		if m.at == first || joined[m.Name] {
			lanes[0].members = append(lanes[0].members, m)
		} else {
			lanes = append(lanes, &lane{Runner: r, members: []member{m}})
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for i, l := range lanes {
		wg.Go(func() {
			err := l.follow(ctx, i > 0)
			stop(err)
		})
	}
	wg.Wait()
	err = context.Cause(ctx)
	if errors.Is(err, errJoin) {
		for _, l := range lanes[1:] {
			joined[l.members[0].Name] = joined[l.members[0].Name] || l.members[0].at.Compare(first) >= 0
		}
	}
	return err
}

// load reads how far the handlers are in the log, which has to go at least as far.
func (r *Runner) load(ctx context.Context) ([]member, error) {
	members := make([]member, len(r.cfg.Handlers))
	rows, err := r.pool.Query(ctx, `select handler, commit, prepare, last_event from annals_process.checkpoints where handler = any($1)`, r.names())
	if err != nil {
		return nil, fmt.Errorf("checkpoints of process managers: %w", err)
	}
	var name string
	var at eventlog.Position
	var event, last uint64
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&name, &at.Commit, &at.Prepare, &event}, func() error {
		last = max(last, event)
		i := slices.IndexFunc(r.cfg.Handlers, func(h Handler) bool { return h.Name == name })
		members[i], found = member{&r.cfg.Handlers[i], at}, found+1
		return nil
	})
	if err == nil && found < len(members) {
		err = ErrFenced // somebody has removed a checkpoint
	}
	if err == nil {
		var head eventlog.Position
		if head, err = r.cfg.Log.Head(ctx); err == nil && last > head.Commit {
			err = errForeign
		}
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoints of process managers: %w", err)
	}
	return members, nil
}

// follow handles what is in the log, and what comes. A lane that only catches up ends
// with errJoin when it has.
func (l *lane) follow(ctx context.Context, catchUp bool) error {
	from := l.members[0].at
	for _, m := range l.members {
		if m.at.Compare(from) < 0 {
			from = m.at
		}
	}
	for run, err := range feed.Runs(ctx, l.cfg.Log, from, l.cfg.Records) {
		if err == nil {
			err = l.apply(ctx, run)
		}
		if err != nil {
			return err
		}
		l.handled(len(run.Records))
		if catchUp && run.Live {
			return errJoin
		}
	}
	return errors.New("the log ended its subscription without a word")
}

func (r *Runner) handled(events int) {
	r.metrics.events.Add(float64(events))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved++
	r.err = nil
}
