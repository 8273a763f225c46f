package engine

import (
	"context"
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
	// vacuumLockWait bounds how long a rewrite may hold up readers while it waits for its turn.
	vacuumLockWait = "500ms"
)

// wantVacuum asks for a vacuum soon.
func (e *Engine) wantVacuum() {
	select {
	case e.vacuum <- struct{}{}:
	default: // one is due already
	}
}

// vacuumLoop gives back the space of erased events some time after they went, at most once in vacuumEvery.
func (e *Engine) vacuumLoop(ctx context.Context) {
	for {
		select {
		case <-e.vacuum:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, e.opts.VacuumDelay) {
			return
		}
		select {
		case <-e.vacuum: // asked for again meanwhile: the same vacuum serves it
		default:
		}
		if err := e.runVacuum(ctx); err != nil && ctx.Err() == nil {
			e.opts.Logger.WarnContext(ctx, "log: vacuum failed and is tried again", slog.Any("error", err))
			e.wantVacuum()
		}
		if !pause(ctx, min(vacuumEvery, 10*e.opts.VacuumDelay)) {
			return
		}
	}
}

func (e *Engine) runVacuum(ctx context.Context) error {
	cfg := e.pool.Config().ConnConfig
	setParam(cfg, "application_name", "annals log vacuum")
	setParam(cfg, "lock_timeout", vacuumLockWait)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("vacuum: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on how it ends
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
