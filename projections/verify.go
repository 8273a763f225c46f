package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"annals/internal/eventlog"
)

// Report is what verifying a read model came to.
type Report struct {
	Name        string
	Version     int
	Schema      string
	Position    eventlog.Position // up to which the log was compared
	Tables      []TableReport
	Parked      []string // streams of which neither side shows what waits
	Differences int64    // rows that differ, in all tables
}

// TableReport is what comparing a table came to.
type TableReport struct {
	Table       string
	Rows        int64        // in the read model
	Differences int64        // rows that differ
	First       []Difference // of them, the first few
}

// Difference is a row that is not as the log has it.
type Difference struct {
	Key     string   // the row's primary key
	Kind    string   // changed; missing, which the log has and the read model has not; extra, the other way round
	Columns []string // that differ, if changed
}

// ErrDiffers means that a read model is not what the log says.
var ErrDiffers = errors.New("the read model differs from the log")

// Verify builds the named read model once more beside the one in use, up to exactly
// the same event, and compares the two, row for row and column for column. The
// projector goes on meanwhile. Differences are in the report, and an ErrDiffers.
func Verify(ctx context.Context, cfg Config, name string) (Report, error) {
	e, err := open(ctx, cfg)
	if err != nil {
		return Report{}, err
	}
	defer e.pool.Close()
	p, err := find(e.Projectors, name)
	if err != nil {
		return Report{}, err
	}
	ctx, release, err := e.lease(ctx, name+"/verify", false)
	if err != nil {
		return Report{}, fmt.Errorf("verify %s: %w", name, err)
	}
	defer release()
	for try := 1; ; try++ {
		rep, again, err := e.verify(ctx, p)
		if again && try < 3 && ctx.Err() == nil {
			e.Logger.InfoContext(ctx, "verifying once more", "projector", name, "differences", rep.Differences, "err", err)
			continue
		}
		if err == nil && rep.Differences > 0 {
			err = fmt.Errorf("%s: %w: %d rows", name, ErrDiffers, rep.Differences)
		}
		return rep, err
	}
}

// verify compares once. Again says that what it found may come from what happened
// meanwhile: a stream parked or resumed, a person erased.
func (e *engine) verify(ctx context.Context, p *Projector) (rep Report, again bool, err error) {
	rep = Report{Name: p.Name, Version: p.Version}
	if err := e.sweep(ctx, p, shadow); err != nil {
		return rep, false, err
	}
	if rep.Schema, err = e.inUse(ctx, p); err != nil {
		return rep, false, fmt.Errorf("verify: %w", err)
	}
	used, err := e.tables(ctx, p, rep.Schema, live)
	if err != nil {
		return rep, errors.Is(err, ErrFenced), err
	}
	defer used.db.Close()
	built, err := e.create(ctx, p, p.Name+"_verify", shadow)
	if err != nil {
		return rep, false, err
	}
	defer built.db.Close()
	defer func() {
		if sweepErr := e.sweep(context.WithoutCancel(ctx), p, shadow); sweepErr != nil {
			err = errors.Join(err, sweepErr)
		}
	}()
	rep.Parked = slices.Sorted(maps.Keys(used.parked))
	if err := built.parkAs(ctx, used); err != nil {
		return rep, false, err
	}
	was := used.epoch
	if err := used.chase(ctx, built); err != nil {
		return rep, false, err
	}
	if err := built.derive(ctx); err != nil {
		return rep, false, err
	}
	tx, epoch, err := used.snapshot(ctx, built)
	if err != nil {
		return rep, errors.Is(err, ErrFenced), err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	rep.Position = built.at
	if rep.Tables, err = compare(ctx, tx, used, built.schema); err != nil {
		return rep, false, fmt.Errorf("compare %s: %w", p.Name, err)
	}
	for _, t := range rep.Tables {
		rep.Differences += t.Differences
	}
	return rep, rep.Differences > 0 && (epoch != was || built.erased), nil
}

// parkAs has the same streams wait as in the other tables.
func (t *tables) parkAs(ctx context.Context, other *tables) error {
	streams := slices.Collect(maps.Keys(other.parked))
	revisions := make([]int64, len(streams))
	for i, stream := range streams {
		revisions[i] = int64(other.parked[stream])
	}
	_, err := t.db.Exec(ctx, `insert into annals_projections.parked (schema, stream, revision, commit, prepare, event_id, type, error)
		select $1, s, r, 0, 0, '00000000-0000-0000-0000-000000000000', '', 'parked in ' || $4 from unnest($2::text[], $3::bigint[]) u (s, r)`,
		t.schema, streams, revisions, other.schema)
	if err != nil {
		return fmt.Errorf("park in %s: %w", t.schema, err)
	}
	return t.load(ctx)
}

// chase fills built until it is close behind.
func (t *tables) chase(ctx context.Context, built *tables) error {
	for {
		if err := t.load(ctx); err != nil {
			return err
		}
		events, to := built.filled, t.at
		if err := built.fill(ctx, &to); err != nil {
			return err
		}
		if built.filled-events < buildRecords {
			return nil
		}
	}
}

// snapshot returns a transaction that sees both sides at exactly the same position.
// The projector waits while it is made, and not while it is used.
func (t *tables) snapshot(ctx context.Context, built *tables) (snap pgx.Tx, epoch int64, err error) {
	within, cancel := context.WithTimeout(ctx, swapTime)
	defer cancel()
	err = transact(within, t.pool, func(tx pgx.Tx) error {
		var to eventlog.Position
		if to, epoch, err = lock(within, tx, t.schema); err != nil {
			return err
		}
		if err := built.fill(within, &to); err != nil {
			return err
		}
		if snap, err = t.db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
			return err
		}
		// The first statement takes the snapshot.
		_, err := snap.Exec(ctx, `select set_config('work_mem', '64MB', true), set_config('enable_seqscan', 'on', true),
			set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true)`)
		return err
	})
	if err != nil && snap != nil {
		_ = snap.Rollback(context.WithoutCancel(ctx)) // it only reads
	}
	return snap, epoch, err
}
