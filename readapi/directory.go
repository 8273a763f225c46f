package readapi

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
)

// Directory answers what commands have to know about many aggregates at once. It asks
// as the system, which sees everything.
type Directory struct{ api *API }

// Directory returns the one of a's read models.
func (a *API) Directory() *Directory { return &Directory{a} }

func (d *Directory) ask(ctx context.Context, after eventlog.Position, b *pgx.Batch) error {
	c := access.From(ctx)
	c.Actor = &access.Actor{Authority: domain.Root, Who: domain.System}
	ctx = access.With(ctx, c)
	if err := d.api.Shown(ctx, after); err != nil {
		return err
	}
	return d.api.DB.Ask(ctx, b)
}

// Managed are the clients that an employee manages, at most limit, and how many they
// are, by everything up to the position.
func (d *Directory) Managed(ctx context.Context, employee domain.ID, after eventlog.Position, limit int) (out []domain.Placed, n int, err error) {
	var b pgx.Batch
	b.Queue(`select count(*) from annals_read.clients where manager_id = $1 and not erased`, employee).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	b.Queue(`select id, project_id, desk_id from annals_read.clients where manager_id = $1 and not erased order by id limit $2`, employee, limit).
		Query(func(rows pgx.Rows) (err error) {
			out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Placed, error) {
				c := domain.Placed{Place: domain.Place{Manager: employee}}
				var desk uuid.NullUUID
				err := row.Scan(&c.ID, &c.Project, &desk)
				c.Desk = desk.UUID
				return c, err
			})
			return err
		})
	return out, n, d.ask(ctx, after, &b)
}

// Holders are the employees who hold a role, at most 100, and how many they are.
func (d *Directory) Holders(ctx context.Context, role domain.ID, after eventlog.Position) (ids []domain.ID, n int, err error) {
	var b pgx.Batch
	b.Queue(`select count(*) from annals_read.employees where $1 = any(roles)`, role.String()).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	b.Queue(`select id from annals_read.employees where $1 = any(roles) order by id limit 100`, role.String()).
		Query(func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[domain.ID])
			return err
		})
	return ids, n, d.ask(ctx, after, &b)
}

// Keys are the API keys of an employee that are not revoked, by everything up to the
// position.
func (d *Directory) Keys(ctx context.Context, owner domain.ID, after eventlog.Position) (ids []domain.ID, err error) {
	var b pgx.Batch
	b.Queue(`select id from annals_read.api_keys where owner_id = $1 and revoked_at is null order by id`, owner).
		Query(func(rows pgx.Rows) (err error) {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[domain.ID])
			return err
		})
	return ids, d.ask(ctx, after, &b)
}

// Handles are the active employees by the part of their e-mail addresses before the @,
// for those of the handles, in lower case, that are somebody's.
func (d *Directory) Handles(ctx context.Context, handles []string) (map[string][]domain.ID, error) {
	out := map[string][]domain.ID{}
	var b pgx.Batch
	b.Queue(`select handle, id from annals_read.employees where handle = any($1) and deactivated_at is null order by id`, handles).
		Query(func(rows pgx.Rows) error {
			var handle string
			var id domain.ID
			_, err := pgx.ForEachRow(rows, []any{&handle, &id}, func() error {
				out[handle] = append(out[handle], id)
				return nil
			})
			return err
		})
	return out, d.ask(ctx, eventlog.Position{}, &b)
}
