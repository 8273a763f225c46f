package process

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/internal/eventlog"
	"annals/internal/feed"
)

// streakMost is how many events may fail one after the other before it is held to be
// no fault of theirs.
const streakMost = 100

var (
	errSystematic = errors.New("every event fails, so that the fault is not in the events")
	errAway       = errors.New("the database cannot be reached")
)

// apply handles the run and moves the checkpoints past it. What cannot be handled is
// looked for, half by half, and set aside; what else goes wrong is returned.
func (l *lane) apply(ctx context.Context, run feed.Run) error {
	if len(run.Records) == 0 && run.From == run.To {
		return nil
	}
	alone := len(run.Records) == 1
	parked, err := l.commit(ctx, run, alone)
	switch {
	case err == nil && parked:
		l.streak++
		return nil
	case err == nil:
		l.streak = 0
		return nil
	case errors.Is(err, ErrFenced), alone, len(run.Records) == 0, l.transient(ctx, err):
		return fmt.Errorf("events from %s: %w", run.From, err)
	}
	half := len(run.Records) / 2
	middle := run.Records[half-1].Position
	if err := l.apply(ctx, feed.Run{From: run.From, To: middle, Records: run.Records[:half]}); err != nil {
		return err
	}
	return l.apply(ctx, feed.Run{From: middle, To: run.To, Records: run.Records[half:], Live: run.Live})
}

// advance is the fence: it goes first, so that nobody else handles the same meanwhile.
const advance = `update annals_process.checkpoints c
	set commit = n.to_commit, prepare = n.to_prepare, last_event = greatest(c.last_event, $6), updated_at = clock_timestamp()
	from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) n (handler, commit, prepare, to_commit, to_prepare)
	where c.handler = n.handler and c.commit = n.commit and c.prepare = n.prepare`

// commit handles the run in one transaction. With aside, what cannot be handled is set
// aside.
func (l *lane) commit(ctx context.Context, run feed.Run, aside bool) (parked bool, err error) {
	var names []string
	var commits, prepares, toCommits, toPrepares []uint64
	reached := make([]eventlog.Position, len(l.members))
	for i, m := range l.members {
		if reached[i] = m.at; run.To.Compare(m.at) > 0 {
			reached[i] = run.To
		}
		names, commits, prepares = append(names, m.Name), append(commits, m.at.Commit), append(prepares, m.at.Prepare)
		toCommits, toPrepares = append(toCommits, reached[i].Commit), append(toPrepares, reached[i].Prepare)
	}
	last := uint64(0)
	if n := len(run.Records); n > 0 {
		last = run.Records[n-1].Position.Commit
	}
	err = l.transact(ctx, func(tx pgx.Tx) error {
		ct, err := tx.Exec(ctx, advance, names, commits, prepares, toCommits, toPrepares, last)
		if err != nil {
			return err
		}
		if ct.RowsAffected() != int64(len(l.members)) {
			return ErrFenced
		}
		for i := range run.Records {
			rec := &run.Records[i]
			for _, m := range l.members {
				if rec.Position.Compare(m.at) <= 0 {
					continue
				}
				err := l.handle(ctx, tx, m.Handler, rec, aside)
				if err == nil {
					continue
				}
				if !aside || l.transient(ctx, err) {
					return err
				}
				if l.streak >= streakMost {
					return fmt.Errorf("%w: %s", errSystematic, explain(err))
				}
				if err := l.park(ctx, tx, m.Name, rec, err); err != nil {
					return err
				}
				parked = true
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for i := range l.members {
		l.members[i].at = reached[i]
	}
	return parked, nil
}

// handle has a handler handle an event. With within, what it wrote is undone when it
// fails, and nothing else.
func (r *Runner) handle(ctx context.Context, tx pgx.Tx, h *Handler, rec *eventlog.Record, within bool) error {
	if rec.Err != nil {
		return rec.Err
	}
	if !within {
		return call(ctx, tx, h, rec)
	}
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return call(ctx, tx, h, rec) })
}

func call(ctx context.Context, tx pgx.Tx, h *Handler, rec *eventlog.Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return h.Handle(ctx, tx, rec)
}

// park sets an event aside for a handler.
func (r *Runner) park(ctx context.Context, tx pgx.Tx, name string, rec *eventlog.Record, why error) error {
	now := r.cfg.Now()
	_, err := tx.Exec(ctx, `insert into annals_process.parked (handler, commit, prepare, stream, revision, event_id, type, error, parked_at, tried_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
		name, rec.Position.Commit, rec.Position.Prepare, rec.Stream, rec.Revision, rec.ID, rec.Type, explain(why), now)
	if err != nil {
		return fmt.Errorf("set event %s aside: %w", rec.ID, err)
	}
	r.cfg.Logger.ErrorContext(ctx, "event set aside", "process_manager", name, "stream", rec.Stream, "revision", rec.Revision, "err", explain(why))
	return nil
}

// transact runs f in a transaction. An error that is not about what f did, but about
// the connection, is an errAway.
func (r *Runner) transact(ctx context.Context, f func(pgx.Tx) error) error {
	away := true // until f has failed
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		err := f(tx)
		away = err == nil || tx.Conn().IsClosed()
		return err
	})
	if _, told := errors.AsType[*pgconn.PgError](err); err != nil && away && !told {
		return errors.Join(errAway, err)
	}
	return err
}

// transient says whether the same may well succeed when it is tried again, so that no
// event is to blame.
func (r *Runner) transient(ctx context.Context, err error) bool {
	for _, moment := range []error{errAway, ErrFenced, eventlog.ErrUnavailable, eventlog.ErrUnknown, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, moment) {
			return true
		}
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(e.Code) != 5 {
		return ctx.Err() != nil
	}
	switch e.Code[:2] {
	case "08", "25", "40", "53", "55", "57", "58":
		// connection, read-only or failed transaction, rollback, out of something,
		// lock, shutdown or cancelled, I/O
		return true
	}
	return ctx.Err() != nil
}

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// explain is err for people, without what PostgreSQL and others quote, which may be of
// a person.
func explain(err error) string {
	text := quoted.ReplaceAllString(err.Error(), "…")
	if r := []rune(text); len(r) > 1000 {
		text = string(r[:1000]) + "…"
	}
	return text
}
