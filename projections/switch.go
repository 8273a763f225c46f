package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/internal/eventlog"
)

// activate has readers see the tables, which are built, instead of those that they
// see now, in one moment and never behind what they have seen.
func (t *tables) activate(ctx context.Context) error {
	for {
		if err := t.fill(ctx, nil); err != nil {
			return err
		}
		err := t.swap(ctx)
		e, ok := errors.AsType[*pgconn.PgError](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("switch to %s: %w", t.schema, context.Cause(ctx))
		case ok && e.Code == "55P03": // a reader has held a view for too long
			t.Logger.InfoContext(ctx, "the switch waits for readers", "schema", t.schema)
		case !transient(ctx, err) && !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("switch to %s: %w", t.schema, err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if err := t.load(ctx); err != nil {
			return err
		}
	}
}

// swapTime bounds how long a switch, or a comparison, keeps tables from being followed.
const swapTime = 15 * time.Second

// swap asks everything on the transaction's own connection: when every projector
// switches at once, nobody may wait for a second one of the pool.
func (t *tables) swap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, swapTime)
	defer cancel()
	return transact(ctx, t.pool, func(tx pgx.Tx) error {
		var old string
		var views []string
		err := tx.QueryRow(ctx, `select schema, views from annals_projections.active where projector = $1 for update`, t.p.Name).Scan(&old, &views)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if old != "" {
			// From here on the old tables stand still.
			to, _, err := lock(ctx, tx, old)
			if err != nil {
				return err
			}
			foreign, err := t.foreign(ctx, tx, old) // then its position means nothing here
			if err != nil {
				return err
			}
			if !foreign {
				if err := t.fill(ctx, &to); err != nil {
					return err
				}
			}
		}
		names, err := t.names(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `set local lock_timeout = '2s'`); err != nil {
			return err
		}
		if err := t.replaceViews(ctx, tx, views, names); err != nil {
			return err
		}
		for _, s := range []struct {
			sql  string
			args []any
		}{
			{`update annals_projections.checkpoints set state = 'live' where schema = $1`, []any{t.schema}},
			{
				`insert into annals_projections.active (projector, version, schema, views) values ($1, $2, $3, $4)
				on conflict (projector) do update set version = $2, schema = $3, views = $4, switched_at = now()`,
				[]any{t.p.Name, t.p.Version, t.schema, names},
			},
			{`update annals_projections.checkpoints set state = 'retired', retired_at = now() where schema = $1`, []any{old}},
		} {
			if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// lock keeps everybody else from moving the checkpoint until tx ends.
func lock(ctx context.Context, tx pgx.Tx, schema string) (at eventlog.Position, epoch int64, err error) {
	err = tx.QueryRow(ctx, `select commit, prepare, parked from annals_projections.checkpoints where schema = $1 for update`, schema).
		Scan(&at.Commit, &at.Prepare, &epoch)
	if err != nil {
		return at, epoch, fmt.Errorf("lock the checkpoint of %s: %w", schema, err)
	}
	return at, epoch, nil
}

// replaceViews points the views at the tables. A view that keeps its columns is
// replaced, so that what depends on it stays; others are made anew. They have the
// rights of whoever reads them, so that the tables' policies hold.
func (t *tables) replaceViews(ctx context.Context, tx pgx.Tx, old, names []string) error {
	for _, name := range old {
		was, err := columns(ctx, tx, "annals_read", name)
		if err != nil {
			return err
		}
		is, err := columns(ctx, tx, t.schema, name)
		if err != nil {
			return err
		}
		if len(is) >= len(was) && strings.Join(is[:len(was)], ",") == strings.Join(was, ",") {
			continue
		}
		if _, err := tx.Exec(ctx, "drop view if exists "+pgx.Identifier{"annals_read", name}.Sanitize()); err != nil {
			return err
		}
	}
	for _, name := range names {
		_, err := tx.Exec(ctx, fmt.Sprintf("create or replace view %s with (security_invoker = true) as select * from %s",
			pgx.Identifier{"annals_read", name}.Sanitize(), pgx.Identifier{t.schema, name}.Sanitize()))
		if err != nil {
			return err
		}
	}
	return t.show(ctx, tx, t.schema, names)
}

// columns are the names and types of a table's or view's columns, in order.
func columns(ctx context.Context, tx pgx.Tx, schema, name string) ([]string, error) {
	rows, err := tx.Query(ctx, `select attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attcollation from pg_attribute
		where attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) and attnum > 0 and not attisdropped order by attnum`, schema, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// names are the tables in the schema.
func (t *tables) names(ctx context.Context, db DB) ([]string, error) {
	return tableNames(ctx, db, t.schema)
}

func tableNames(ctx context.Context, db DB, schema string) ([]string, error) {
	rows, err := db.Query(ctx, `select relname::text from pg_class where relnamespace = to_regnamespace(quote_ident($1)) and relkind in ('r', 'p') order by 1`, schema)
	if err != nil {
		return nil, fmt.Errorf("tables of %s: %w", schema, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// leftovers drops what builds and comparisons that ended halfway have left.
func (e *engine) leftovers(ctx context.Context, p *Projector) error {
	for state, work := range map[string]string{building: "/build", shadow: "/verify"} {
		var left bool
		if err := e.pool.QueryRow(ctx, `select exists (select from annals_projections.checkpoints where projector = $1 and state = $2)`, p.Name, state).Scan(&left); err != nil {
			return fmt.Errorf("leftovers of %s: %w", p.Name, err)
		}
		if !left {
			continue
		}
		within, release, err := e.lease(ctx, p.Name+work, false)
		if errors.Is(err, ErrHeld) {
			continue // it is under way
		}
		if err != nil {
			return err
		}
		err = e.sweep(within, p, state)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep drops the projector's schemas that are in the state. The caller has seen
// to it that nobody uses them.
func (e *engine) sweep(ctx context.Context, p *Projector, state string) error {
	rows, err := e.pool.Query(ctx, `select schema from annals_projections.checkpoints where projector = $1 and state = $2
		and (state <> 'retired' or retired_at < now() - $3::interval)`, p.Name, state, e.Grace)
	if err != nil {
		return fmt.Errorf("leftovers of %s: %w", p.Name, err)
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("leftovers of %s: %w", p.Name, err)
	}
	for _, schema := range schemas {
		err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
			for _, sql := range []string{`set local lock_timeout = '5s'`, "drop schema if exists " + pgx.Identifier{schema}.Sanitize() + " cascade"} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `delete from annals_projections.checkpoints where schema = $1 and state = $2`, schema, state)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop %s: %w", schema, err)
		}
	}
	return nil
}
