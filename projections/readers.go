package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/postgres"
)

// writer is the setting by which the policies know the projectors from readers where
// both are the same user. It is one of every connection of theirs.
const writer = "annals.writer"

// findReader finds out whether there is a role for readers. Where there can be none,
// readers are the tables' owner, which policies are then forced on.
func (e *engine) findReader(ctx context.Context) error {
	err := e.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return postgres.EnsureReader(ctx, c.Conn()) })
	none, alone := errors.AsType[*postgres.NoReaderError](err)
	if e.alone = alone; alone {
		e.Logger.WarnContext(ctx, "reads are made by the user that also writes, under the same policies; an administrator of the database can give them a role that cannot write",
			"run", none.Statements)
		return nil
	}
	return err
}

// guard puts every table of the schema under row-level security, one that nobody
// thought of included, which then shows nothing. The owner is held by no policy while
// the tables are being built.
func (e *engine) guard(ctx context.Context, tx pgx.Tx, schema string) error {
	names, err := tableNames(ctx, tx, schema)
	if err != nil {
		return err
	}
	for _, table := range names {
		if _, err := tx.Exec(ctx, "alter table "+pgx.Identifier{schema, table}.Sanitize()+" enable row level security"); err != nil {
			return err
		}
	}
	return nil
}

// show lets readers read the tables, of which they see what the policies let them, and
// the views of them.
func (e *engine) show(ctx context.Context, tx pgx.Tx, schema string, names []string) error {
	var statements []string
	for _, name := range names {
		table, view := pgx.Identifier{schema, name}.Sanitize(), pgx.Identifier{"annals_read", name}.Sanitize()
		var forced bool
		err := tx.QueryRow(ctx, `select relforcerowsecurity from pg_class where oid = to_regclass($1)`, table).Scan(&forced)
		if errors.Is(err, pgx.ErrNoRows) {
			continue // somebody has dropped it, which a comparison will find
		}
		if err != nil {
			return err
		}
		// What is forced stays so: another process may still read as the owner.
		if e.alone && !forced {
			statements = append(statements,
				fmt.Sprintf("create policy writer on %s to public using ((select current_setting('%s', true)) = current_user)", table, writer),
				"alter table "+table+" force row level security")
		}
		if !e.alone {
			statements = append(statements, "grant select on "+table+", "+view+" to "+postgres.Reader)
			found, err := e.find(ctx, tx, schema, name)
			if err != nil {
				return err
			}
			statements = append(statements, found...)
		}
	}
	if !e.alone {
		statements = append(statements, "grant usage on schema "+pgx.Identifier{schema}.Sanitize()+" to "+postgres.Reader+", "+postgres.Finder)
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// find are the statements that let a table's rows be found.
func (e *engine) find(ctx context.Context, tx pgx.Tx, schema, name string) ([]string, error) {
	if !slices.ContainsFunc(e.Projectors, func(p *Projector) bool { return slices.Contains(p.Found, name) }) {
		return nil, nil
	}
	var there bool
	err := tx.QueryRow(ctx, `select exists (select from pg_policies where schemaname = $1 and tablename = $2 and policyname = 'find')`, schema, name).Scan(&there)
	if err != nil || there {
		return nil, err
	}
	table := pgx.Identifier{schema, name}.Sanitize()
	return []string{
		fmt.Sprintf("grant select on %s, %s to %s", table, pgx.Identifier{"annals_read", name}.Sanitize(), postgres.Finder),
		fmt.Sprintf("create policy find on %s for select to %s using (true)", table, postgres.Finder),
	}, nil
}

// showAll brings what is in use in line with whether there is a role for readers,
// which may have been made since.
func (e *engine) showAll(ctx context.Context, tx pgx.Tx) error {
	if !e.alone {
		_, err := tx.Exec(ctx, fmt.Sprintf("grant usage on schema annals_read to %s, %s; grant select on annals_read.freshness, annals_read.sorts to %[1]s", postgres.Reader, postgres.Finder))
		if err != nil {
			return err
		}
	}
	rows, err := tx.Query(ctx, `select schema, views from annals_projections.active`)
	if err != nil {
		return err
	}
	type used struct {
		Schema string
		Views  []string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[used])
	if err != nil {
		return err
	}
	for _, u := range all {
		if err := e.show(ctx, tx, u.Schema, u.Views); err != nil {
			return err
		}
	}
	return nil
}
