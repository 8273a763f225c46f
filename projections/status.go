package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/internal/eventlog"
	"annals/internal/feed"
)

// DB is where the read models are: a pool or a connection.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Status is how a version of a read model is doing.
type Status struct {
	Name      string
	Version   int
	Schema    string
	State     string // live, building, retired (replaced and dropped soon) or shadow (being verified)
	Position  eventlog.Position
	Events    int64     // applied since the start of the log
	UpdatedAt time.Time // when the position last moved
	Behind    bool      // something in the log is not applied yet
	Lag       time.Duration
	Error     string // the last one of the projector, mended or not
	ErrorAt   time.Time
	Parked    []Parked
}

// Parked is a stream of which nothing is applied from an event on that failed.
type Parked struct {
	Stream   string
	Revision eventlog.Revision // of that event
	Position eventlog.Position
	Type     string
	Error    string
	Attempts int
	At       time.Time
}

// StatusOf tells how the read models are doing, sorted by name and version. What
// they lag behind is measured against the log itself; log may be nil to leave that out.
func StatusOf(ctx context.Context, db DB, log Log) ([]Status, error) {
	all, err := stored(ctx, db)
	if err != nil || log == nil {
		return all, err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return all, err
	}
	for i := range all {
		if s := &all[i]; s.State == live || s.State == building {
			if s.Behind, s.Lag, err = lag(ctx, sourceOf(log, s.Name), s.Position, head); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func stored(ctx context.Context, db DB) ([]Status, error) {
	rows, err := db.Query(ctx, `select c.projector, c.version, c.schema, c.state, c.commit, c.prepare, c.events, c.updated_at,
			coalesce(f.error, ''), coalesce(f.at, 'epoch')
		from annals_projections.checkpoints c left join annals_projections.failures f using (projector)
		order by c.projector, c.version, c.schema`)
	if err != nil {
		return nil, fmt.Errorf("status of the projectors: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Status, err error) {
		err = row.Scan(&s.Name, &s.Version, &s.Schema, &s.State, &s.Position.Commit, &s.Position.Prepare, &s.Events, &s.UpdatedAt, &s.Error, &s.ErrorAt)
		if s.Error == "" {
			s.ErrorAt = time.Time{}
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("status of the projectors: %w", err)
	}
	rows, err = db.Query(ctx, `select schema, stream, revision, commit, prepare, type, error, attempts, parked_at
		from annals_projections.parked order by schema, commit, prepare limit 10000`)
	if err != nil {
		return nil, fmt.Errorf("parked streams: %w", err)
	}
	var schema string
	var p Parked
	_, err = pgx.ForEachRow(rows, []any{&schema, &p.Stream, &p.Revision, &p.Position.Commit, &p.Position.Prepare, &p.Type, &p.Error, &p.Attempts, &p.At}, func() error {
		for i := range all {
			if all[i].Schema == schema {
				all[i].Parked = append(all[i].Parked, p)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parked streams: %w", err)
	}
	return all, nil
}

// lag says for how long the first event after a position has been waiting. A head
// beyond the position alone proves nothing: not all of the log is events of aggregates.
func lag(ctx context.Context, log feed.Source, at, head eventlog.Position) (behind bool, _ time.Duration, err error) {
	if at.Compare(head) >= 0 {
		return false, 0, nil
	}
	for item, err := range log.Subscribe(ctx, at) {
		switch {
		case err != nil:
			return true, 0, fmt.Errorf("first event after %s: %w", at, err)
		case item.Record != nil:
			return true, max(0, time.Since(item.Record.Meta.At)), nil
		case item.Live:
			return false, 0, nil
		}
	}
	return true, 0, ctx.Err()
}
