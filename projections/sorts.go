package projections

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Every field of clients can be sorted and filtered by, custom ones among them, and an
// index of each would make every write slower. So one comes into being when a field is
// first asked for, beside the writes that go on, and is dropped when it has not been for
// long, or when there are many that are asked for more.

const (
	mostSorts  = 40
	unusedSort = 90 * 24 * time.Hour
	// noted is how long it is not noted again that a sort is used.
	noted = "1 hour"
)

// Want notes that clients are sorted or filtered by an expression over their rows, which
// is called name: there will be an index of it.
func Want(ctx context.Context, db *pgxpool.Pool, name, expression string) error {
	_, err := db.Exec(ctx, `insert into annals_projections.sorts (name, expression) values ($1, $2)
		on conflict (name) do update set expression = excluded.expression, used_at = now()
		where sorts.expression <> excluded.expression or sorts.used_at < now() - $3::text::interval`, name, expression, noted)
	if err != nil {
		return fmt.Errorf("sort by %s: %w", name, err)
	}
	return nil
}

// sortIndex is the name of the index of an expression.
func sortIndex(expression string) string {
	sum := sha256.Sum256([]byte(expression))
	return "clients_by_" + hex.EncodeToString(sum[:8])
}

func createSort(schema, expression, concurrently string) string {
	return fmt.Sprintf("create index%s if not exists %s on %s ((%s), id) include (project_id, desk_id, manager_id)",
		concurrently, sortIndex(expression), pgx.Identifier{schema, "clients"}.Sanitize(), expression)
}

// wanted are the expressions that there are to be indexes of.
func (e *engine) wanted(ctx context.Context) ([]string, error) {
	rows, err := e.pool.Query(ctx, `select expression from (select expression, max(used_at) as used_at from annals_projections.sorts group by expression) s
		where used_at > now() - make_interval(secs => $1) order by used_at desc, expression limit $2`, unusedSort.Seconds(), mostSorts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// made are the expressions that the schema has indexes of.
func (e *engine) made(ctx context.Context, schema string) (map[string]bool, error) {
	made := map[string]bool{}
	rows, err := e.pool.Query(ctx, `select expression from annals_projections.sorted where schema = $1`, schema)
	if err != nil {
		return nil, err
	}
	var expression string
	_, err = pgx.ForEachRow(rows, []any{&expression}, func() error { made[expression] = true; return nil })
	return made, err
}

const recordSort = `insert into annals_projections.sorted (schema, expression) values ($1, $2) on conflict do nothing`

// sortBuilt makes the indexes that are asked for of tables that are not in use yet.
func (t *tables) sortBuilt(ctx context.Context) error {
	expressions, err := t.wanted(ctx)
	if err != nil {
		return err
	}
	for _, expression := range expressions {
		if _, err := t.db.Exec(ctx, createSort(t.schema, expression, "")); err != nil {
			return fmt.Errorf("index of %s: %w", expression, err)
		}
		if _, err := t.pool.Exec(ctx, recordSort, t.schema, expression); err != nil {
			return err
		}
	}
	return nil
}

// keepSorts makes and drops indexes as they are asked for, until ctx ends. One process
// does so at a time.
func (r *Runner) keepSorts(ctx context.Context, e *engine) {
	for wait := time.Second; pause(ctx, wait) == nil; {
		wait = time.Second
		if err := e.sortOnce(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Logger.WarnContext(ctx, "indexes of lists", "err", explain(err))
			wait = 10 * time.Second
		}
	}
}

func (e *engine) sortOnce(ctx context.Context) error {
	clients, err := e.active(ctx, "clients")
	if err != nil || clients.Schema == "" {
		return err
	}
	expressions, err := e.wanted(ctx)
	if err != nil {
		return err
	}
	made, err := e.made(ctx, clients.Schema)
	if err != nil {
		return err
	}
	var missing []string
	for _, expression := range expressions {
		if !made[expression] {
			missing = append(missing, expression)
		}
		delete(made, expression)
	}
	if len(missing)+len(made) == 0 {
		return nil
	}
	ctx, release, err := e.lease(ctx, "sorts", false)
	if err != nil {
		if errors.Is(err, ErrHeld) { // another process is at it
			return nil
		}
		return err
	}
	defer release()
	conn, err := e.connect(ctx, "annals sorts", map[string]string{"search_path": e.searchPath(clients.Schema), "maintenance_work_mem": "256MB", "lock_timeout": "0"})
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	for expression := range made {
		if err := e.unsort(ctx, conn, clients.Schema, expression); err != nil {
			return err
		}
	}
	for _, expression := range missing {
		if err := e.sort(ctx, conn, clients.Schema, expression); err != nil {
			return err
		}
	}
	return nil
}

// sort makes an index while others read and write. One that was interrupted is there, is
// not valid, and is made anew.
func (e *engine) sort(ctx context.Context, conn *pgx.Conn, schema, expression string) error {
	name := pgx.Identifier{schema, sortIndex(expression)}.Sanitize()
	var valid *bool
	if err := conn.QueryRow(ctx, `select (select indisvalid from pg_index where indexrelid = to_regclass($1))`, name).Scan(&valid); err != nil {
		return err
	}
	if valid != nil && !*valid {
		if _, err := conn.Exec(ctx, "drop index concurrently "+name); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, createSort(schema, expression, " concurrently")); err != nil {
		return fmt.Errorf("index of %s: %w", expression, err)
	}
	if _, err := conn.Exec(ctx, "analyze "+pgx.Identifier{schema, "clients"}.Sanitize()); err != nil {
		return err
	}
	if _, err := e.pool.Exec(ctx, recordSort, schema, expression); err != nil {
		return err
	}
	e.Logger.InfoContext(ctx, "lists have an index", "of", expression, "schema", schema)
	return nil
}

// unsort drops an index. That it is gone is noted last: interrupted before, it is dropped
// again, and a list that counted on it was answered without.
func (e *engine) unsort(ctx context.Context, conn *pgx.Conn, schema, expression string) error {
	if _, err := conn.Exec(ctx, "drop index concurrently if exists "+pgx.Identifier{schema, sortIndex(expression)}.Sanitize()); err != nil {
		return err
	}
	_, err := e.pool.Exec(ctx, `delete from annals_projections.sorted where schema = $1 and expression = $2`, schema, expression)
	return err
}
