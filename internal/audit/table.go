package audit

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/eventlog"
)

// Table is the embedded log as its rows are, and not as the node that serves it would
// have them, which remembers the latest.
type Table struct{ DB *pgxpool.Pool }

// page is how many events are read at a time.
const page = 2000

// Head implements [Log].
func (t Table) Head(ctx context.Context) (p eventlog.Position, err error) {
	var at *int64
	if err := t.DB.QueryRow(ctx, `select max(position) from annals_log.events`).Scan(&at); err != nil {
		return p, fmt.Errorf("head of the log: %w", err)
	}
	if at == nil {
		return p, nil
	}
	return place(*at), nil
}

func place(n int64) eventlog.Position {
	return eventlog.Position{Commit: uint64(n), Prepare: uint64(n)} //nolint:gosec // positions are not negative; one that is does not fit the tree
}

// SubscribeStored implements [Log]. It ends where the log ended when it got there.
func (t Table) SubscribeStored(ctx context.Context, after eventlog.Position, pattern string) iter.Seq2[eventlog.Item, error] {
	return func(yield func(eventlog.Item, error) bool) {
		at := int64(after.Commit) - 1 //nolint:gosec // positions have 63 bits
		if after != (eventlog.Position{}) {
			at++
		}
		for {
			records, err := t.page(ctx, at, pattern)
			if err != nil {
				yield(eventlog.Item{}, err)
				return
			}
			for i := range records {
				r := &records[i]
				at = int64(r.Position.Commit) //nolint:gosec // see above
				if !yield(eventlog.Item{Record: r, Position: r.Position}, nil) {
					return
				}
			}
			if len(records) < page {
				yield(eventlog.Item{Position: place(max(at, 0)), Live: true}, nil)
				return
			}
		}
	}
}

func (t Table) page(ctx context.Context, after int64, pattern string) ([]eventlog.Record, error) {
	rows, _ := t.DB.Query(ctx, `select position, stream, revision, id, type, created, is_json, data, metadata
		from annals_log.events where position > $1 and stream ~ $2 order by position limit $3`, after, pattern, page) // the error comes back from the rows
	records, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r eventlog.Record, err error) {
		var at, revision int64
		var id uuid.UUID
		s := &eventlog.Stored{}
		err = row.Scan(&at, &r.Stream, &revision, &id, &r.Type, &s.Created, &s.JSON, &s.Data, &s.Metadata)
		r.Position, r.Revision, r.ID, r.Stored = place(at), eventlog.Revision(revision), id, s
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("rows of the log: %w", err)
	}
	return records, nil
}
