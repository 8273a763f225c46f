package engine

import (
	"context"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Report is what Verify found.
type Report struct {
	Events  int64
	Streams int64
	// Faults counts all faults; Problems describes the first of them, up to maxProblems.
	Faults   int64
	Problems []Problem
}

// Problem is a fault of one event, or of a stream when Position is 0.
type Problem struct {
	Position uint64
	Stream   string
	What     string
}

func (p Problem) String() string {
	if p.Position == 0 {
		return fmt.Sprintf("stream %s: %s", p.Stream, p.What)
	}
	return fmt.Sprintf("position %d, stream %s: %s", p.Position, p.Stream, p.What)
}

const maxProblems = 1000

func (r *Report) add(p Problem) {
	r.Faults++
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, p)
	}
}

// Beginner begins transactions: a *pgx.Conn or a *pgxpool.Pool.
type Beginner interface {
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// The order of revisions within a stream must be that of positions, without a gap from 0 on; of a tombstoned stream
// nothing but the tombstone may be left. Only what breaks that comes out. Sorting by PostgreSQL takes bounded memory
// however many streams there are.
const orderSQL = `
select position, stream, revision, before, before_position from (
	select position, stream, revision,
		lag(revision) over w as before, lag(position) over w as before_position
	from annals_log.events window w as (partition by stream order by revision)) o
where revision <> coalesce(before + 1, 0) and not (revision = $1 and before is null)
	or before_position >= position`

// Verify reads a whole log, as of one moment, and reports what is wrong with it: positions, revisions, ids, and what
// check says about an event, which may be nil. It needs no open engine and disturbs none. Its memory is bounded.
func Verify(ctx context.Context, db Beginner, check func(*Event) error) (Report, error) {
	var r Report
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return r, fmt.Errorf("verify the log: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	for _, step := range []func(context.Context, pgx.Tx, *Report) error{
		verifyOrder,
		func(ctx context.Context, tx pgx.Tx, r *Report) error { return verifyEvents(ctx, tx, r, check) },
	} {
		if err := step(ctx, tx, &r); err != nil {
			return r, fmt.Errorf("verify the log: %w", err)
		}
	}
	return r, nil
}

func verifyOrder(ctx context.Context, tx pgx.Tx, r *Report) error {
	if _, err := tx.Exec(ctx, `set local work_mem = '64MB'; set local jit = off`, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	// Every stream's first event is at 0, or is the tombstone that is all of it.
	err := tx.QueryRow(ctx, `select count(*) from annals_log.events where revision = 0 or revision = $1`,
		int64(TombstoneRevision)).Scan(&r.Streams)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, orderSQL, int64(TombstoneRevision))
	if err != nil {
		return err
	}
	var position, revision int64
	var before, beforePosition *int64
	var stream string
	_, err = pgx.ForEachRow(rows, []any{&position, &stream, &revision, &before, &beforePosition}, func() error {
		p := Problem{Position: uint64(position), Stream: stream} //nolint:gosec // verifyEvents tells a negative one
		switch {
		case before == nil:
			p.What = fmt.Sprintf("the stream begins at revision %d", revision)
		case revision == TombstoneRevision:
			p.What = "the stream is tombstoned, and has other events still"
		case revision != *before+1:
			p.What = fmt.Sprintf("revision %d follows %d", revision, *before)
		default:
			p.What = fmt.Sprintf("revision %d stands before revision %d, which is at position %d",
				revision, *before, *beforePosition)
		}
		r.add(p)
		return nil
	})
	return err
}

// verifyEvents walks through the log by a cursor of the primary key, page by page.
func verifyEvents(ctx context.Context, tx pgx.Tx, r *Report, check func(*Event) error) error {
	_, err := tx.Exec(ctx, `declare verify no scroll cursor for select `+columns+` from annals_log.events order by position`)
	if err != nil {
		return err
	}
	size := firstPage
	last := int64(math.MinInt64)
	for {
		rows, err := tx.Query(ctx, fmt.Sprintf(`fetch %d from verify`, size), pgx.QueryResultFormats{1})
		if err != nil {
			return err
		}
		events, _, err := collect(rows, math.MaxInt)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return nil
		}
		for _, e := range events {
			verifyEvent(e, last, r, check)
			last = int64(e.Position) //nolint:gosec // back to what the table holds
		}
		size = nextSize(size, events)
	}
}

func verifyEvent(e *Event, last int64, r *Report, check func(*Event) error) {
	r.Events++
	fault := func(format string, args ...any) {
		r.add(Problem{Position: e.Position, Stream: e.Stream, What: fmt.Sprintf(format, args...)})
	}
	position := int64(e.Position) //nolint:gosec // back to what the table holds
	if position <= 0 {
		fault("the position is not positive")
	}
	if last != math.MinInt64 && position <= last {
		fault("the position follows %d", last)
	}
	if e.ID == uuid.Nil {
		fault("the id is zero")
	}
	if e.Type == "" {
		fault("the type is empty")
	}
	if e.Stream == "" {
		fault("the stream has no name")
	}
	if e.Revision < 0 {
		fault("revision %d is negative", e.Revision)
	}
	if e.Revision == TombstoneRevision && e.Type != TypeDeleted {
		fault("a %s stands where a tombstone does", e.Type)
	}
	if check == nil {
		return
	}
	if err := check(e); err != nil {
		fault("%v", err)
	}
}
