package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"annals/internal/eventlog"
)

// Resumed is what came of resuming a parked stream.
type Resumed struct {
	Stream string
	Events int   // that have been applied
	Err    error // why it stays parked; nil if it does not
}

// Resume applies the events that wait in the named read model's parked streams, or
// in some of them, in order: those of a stream in one transaction. It may run
// while the projector does. A stream that fails again stays parked, with the new error.
func Resume(ctx context.Context, cfg Config, name string, streams ...string) ([]Resumed, error) {
	e, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer e.pool.Close()
	p, err := find(e.Projectors, name)
	if err != nil {
		return nil, err
	}
	schema, err := e.inUse(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	t, err := e.tables(ctx, p, schema, live)
	if err != nil {
		return nil, err
	}
	defer t.db.Close()
	for _, stream := range streams {
		if _, ok := t.parked[stream]; !ok {
			return nil, fmt.Errorf("resume %s: stream %q is not parked", name, stream)
		}
	}
	parked, err := t.oldestFirst(ctx)
	if err != nil {
		return nil, err
	}
	var out []Resumed
	for _, stream := range parked {
		if len(streams) > 0 && !slices.Contains(streams, stream) {
			continue
		}
		n, err := t.resume(ctx, stream)
		if err != nil {
			if transient(ctx, err) || errors.Is(err, ErrFenced) {
				return out, fmt.Errorf("resume %s of %s: %w", stream, name, err)
			}
			if err := t.fails(ctx, stream, err); err != nil {
				return out, err
			}
		}
		out = append(out, Resumed{stream, n, err})
	}
	return out, nil
}

func (t *tables) oldestFirst(ctx context.Context) ([]string, error) {
	rows, err := t.db.Query(ctx, `select stream from annals_projections.parked where schema = $1 order by commit, prepare`, t.schema)
	if err != nil {
		return nil, fmt.Errorf("parked streams of %s: %w", t.schema, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// resume applies what waits in a stream. Most of it is read before the checkpoint
// is locked, which keeps the projector waiting; what came since, after.
func (t *tables) resume(ctx context.Context, stream string) (n int, err error) {
	waiting, failed, err := t.read(ctx, stream, t.parked[stream])
	if err != nil {
		return 0, err
	}
	err = transact(ctx, t.db, func(tx pgx.Tx) error {
		at, _, err := lock(ctx, tx, t.schema)
		if err != nil {
			return err
		}
		gone, err := tx.Exec(ctx, `delete from annals_projections.parked p using annals_projections.checkpoints c
			where p.schema = $1 and p.stream = $2 and p.revision = $3 and c.schema = p.schema and c.state = $4`,
			t.schema, stream, t.parked[stream], t.state)
		if err != nil {
			return err
		}
		if gone.RowsAffected() != 1 {
			return ErrFenced // somebody else has resumed it, or replaced the tables
		}
		if failed == nil {
			var more []eventlog.Record
			if more, failed, err = t.read(ctx, stream, t.parked[stream]+eventlog.Revision(len(waiting))); err != nil {
				return err
			}
			waiting = append(waiting, more...)
		}
		if failed != nil && failed.Position.Compare(at) <= 0 {
			return failed.Err
		}
		var b pgx.Batch
		for i := range waiting {
			if waiting[i].Position.Compare(at) > 0 {
				break // the projector has not been there yet
			}
			if err := t.p.queue(&b, &waiting[i]); err != nil {
				return err
			}
			n++
		}
		b.Queue(`update annals_projections.checkpoints set parked = parked + 1, events = events + $2 where schema = $1`, t.schema, n)
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// read returns a stream's records from a revision on, and the one after them if
// that one cannot be read.
func (t *tables) read(ctx context.Context, stream string, from eventlog.Revision) (records []eventlog.Record, failed *eventlog.Record, err error) {
	for rec, err := range t.Log.Read(ctx, stream, from) {
		switch {
		case err == nil:
			records = append(records, rec)
		case errors.Is(err, eventlog.ErrDeleted):
			return nil, nil, nil // all that there was to apply went with it
		case rec.Err == nil, errors.Is(err, eventlog.ErrUnavailable), errors.Is(err, eventlog.ErrUnknown):
			return nil, nil, errors.Join(errAway, err)
		default:
			return records, &rec, nil
		}
	}
	return records, nil, nil
}

// fails notes that a stream could not be resumed.
func (t *tables) fails(ctx context.Context, stream string, err error) error {
	_, failure := t.db.Exec(ctx, `update annals_projections.parked set error = $3, attempts = attempts + 1 where schema = $1 and stream = $2`,
		t.schema, stream, explain(err))
	if failure != nil {
		return fmt.Errorf("note the failure of %s: %w", stream, failure)
	}
	return nil
}
