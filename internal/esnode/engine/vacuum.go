package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// rewriteBelow is the size of a table that is rewritten rather than vacuumed: that takes well under a second,
	// and nothing of the erased rows remains in the file. In a larger table their space is given free and written
	// over by what comes next.
	rewriteBelow = 32 << 20
	// vacuumEvery bounds how often the table is vacuumed.
	vacuumEvery = 15 * time.Second
	// vacuumTries bounds how often a vacuum waits for a transaction that began before the erasure: a backup, say.
	vacuumTries = 100
	// vacuumLockWait bounds how long a rewrite may hold up readers while it waits for its turn.
	vacuumLockWait = "500ms"
)

// wantVacuum asks for a vacuum soon, after the transaction xid that has erased something.
func (e *Engine) wantVacuum(xid string) {
	for {
		select {
		case e.vacuum <- xid:
			return
		default:
		}
		select {
		case <-e.vacuum: // an earlier one: the vacuum after this one serves it as well
		default:
		}
	}
}

// vacuumLoop gives back the space of erased events some time after they went, at most once in vacuumEvery.
func (e *Engine) vacuumLoop(ctx context.Context) {
	for {
		var xid string
		select {
		case xid = <-e.vacuum:
		case <-ctx.Done():
			return
		}
		for try := 1; ; try++ {
			if !pause(ctx, e.opts.VacuumDelay) {
				return
			}
			select {
			case xid = <-e.vacuum:
			default:
			}
			err := e.runVacuum(ctx, xid, try < vacuumTries)
			if err == nil || ctx.Err() != nil {
				break
			}
			if !errors.Is(err, errStillSeen) {
				e.opts.Logger.WarnContext(ctx, "log: vacuum failed and is tried again", slog.Any("error", err))
			}
			if !pause(ctx, min(vacuumEvery, time.Duration(try)*e.opts.VacuumDelay)) {
				return
			}
		}
		if !pause(ctx, min(vacuumEvery, 10*e.opts.VacuumDelay)) {
			return
		}
	}
}

// errStillSeen reports that some transaction still sees what was erased: a vacuum would have to leave it.
var errStillSeen = errors.New("a transaction still sees the erased rows")

func (e *Engine) runVacuum(ctx context.Context, xid string, patient bool) error {
	cfg := e.pool.Config().ConnConfig
	setParam(cfg, "application_name", "annals log vacuum")
	setParam(cfg, "lock_timeout", vacuumLockWait)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("vacuum: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on how it ends
	var seen bool
	// Once no transaction that is older runs, in any database, and no snapshot here is, none ever will be again.
	err = conn.QueryRow(ctx, `
		select age(pg_snapshot_xmin(pg_current_snapshot())::xid) >= age($1::text::xid)
			or exists (select from pg_stat_activity where datname = current_database()
				and pid <> pg_backend_pid() and age(backend_xmin) >= age($1::text::xid))`, xid).Scan(&seen)
	if err != nil {
		return fmt.Errorf("vacuum: who sees what was erased: %w", err)
	}
	if seen && patient {
		return errStillSeen
	}
	var size int64
	if err := conn.QueryRow(ctx, `select pg_table_size('annals_log.events')`).Scan(&size); err != nil {
		return fmt.Errorf("vacuum: size of the table: %w", err)
	}
	sql := `vacuum annals_log.events`
	if size < rewriteBelow {
		sql = `vacuum full annals_log.events`
	}
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	e.opts.Logger.DebugContext(ctx, "log: vacuumed", slog.Bool("rewritten", size < rewriteBelow))
	return nil
}
