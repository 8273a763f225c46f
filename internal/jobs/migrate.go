package jobs

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// A queue's table is small and rewritten all the time: its dead rows are removed
// soon, or fetching becomes slow.
const tune = `alter table ` + Schema + `.river_job set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01)`

// migrate brings the schema up to what this River needs. A process that died in it,
// or one at the same time, is no harm.
func migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: Schema, Logger: quiet(log)})
	if err != nil {
		return err
	}
	if valid, err := m.Validate(ctx, nil); err != nil || valid.OK {
		return err
	}
	// One at a time. The lock is on a connection of its own, because the pool may have
	// a single one, and the migrations are several transactions.
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on how it ends
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext($1))`, Schema); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if _, err := pool.Exec(ctx, `create schema if not exists `+Schema); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, tune)
		return err
	})
}
