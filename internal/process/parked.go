package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/eventlog"
)

// aside is an event that was set aside.
type aside struct {
	Handler         string
	Commit, Prepare uint64
	Stream          string
	Revision        eventlog.Revision
	Type            string
	ParkedAt        time.Time
}

// retry handles what was set aside, at once and again and again, until ctx ends.
func (r *Runner) retry(ctx context.Context) {
	for {
		if err := r.again(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Logger.WarnContext(ctx, "events that were set aside wait", "err", explain(err))
		}
		select {
		case <-time.After(r.cfg.Retry):
		case <-ctx.Done():
			return
		}
	}
}

// again handles what was set aside, the oldest first.
func (r *Runner) again(ctx context.Context) error {
	rows, err := r.pool.Query(ctx, `select handler, commit, prepare, stream, revision, type, parked_at from annals_process.parked
		where handler = any($1) order by commit, prepare`, r.names())
	if err != nil {
		return fmt.Errorf("events set aside: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[aside])
	if err != nil {
		return fmt.Errorf("events set aside: %w", err)
	}
	for _, a := range all {
		if err := r.handleAgain(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// handleAgain fails when the moment is to blame.
func (r *Runner) handleAgain(ctx context.Context, a aside) error {
	rec, err := r.find(ctx, a)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(r.cfg.Handlers, func(h Handler) bool { return h.Name == a.Handler })
	err = r.transact(ctx, func(tx pgx.Tx) error {
		// Whoever removes the row handles the event.
		ct, err := tx.Exec(ctx, `delete from annals_process.parked where handler = $1 and commit = $2 and prepare = $3`, a.Handler, a.Commit, a.Prepare)
		if err != nil || ct.RowsAffected() == 0 || rec == nil {
			return err
		}
		return r.handle(ctx, tx, &r.cfg.Handlers[i], rec, false)
	})
	switch {
	case err == nil:
		r.cfg.Logger.InfoContext(ctx, "event that was set aside is handled", "process_manager", a.Handler, "stream", a.Stream, "revision", a.Revision)
		return nil
	case r.transient(ctx, err):
		return err
	}
	_, failure := r.pool.Exec(ctx, `update annals_process.parked set error = $4, attempts = attempts + 1, tried_at = $5
		where handler = $1 and commit = $2 and prepare = $3`, a.Handler, a.Commit, a.Prepare, explain(err), r.cfg.Now())
	if failure != nil {
		return fmt.Errorf("note the failure of an event of %s: %w", a.Stream, failure)
	}
	return nil
}

// find is the record of an event, nil where it went with its stream.
func (r *Runner) find(ctx context.Context, a aside) (*eventlog.Record, error) {
	if a.Type == "$streamDeleted" { // as a subscription tells it
		return &eventlog.Record{
			Stream: a.Stream, Revision: a.Revision, Position: eventlog.Position{Commit: a.Commit, Prepare: a.Prepare}, Type: a.Type,
			Event: eventschema.KeyDestroyed{}, Meta: domain.Meta{At: a.ParkedAt},
		}, nil
	}
	for rec, err := range r.cfg.Log.Read(ctx, a.Stream, a.Revision) {
		switch {
		case errors.Is(err, eventlog.ErrDeleted):
			return nil, nil
		case err != nil && (rec.Err == nil || r.transient(ctx, err)):
			return nil, errors.Join(errAway, err)
		}
		return &rec, nil // one that cannot be read says so
	}
	return nil, nil
}
