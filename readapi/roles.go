package readapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
)

type roleItem struct {
	keyset      `json:"-"`
	ID          uuid.UUID      `json:"id" format:"uuid"`
	Ref         string         `json:"ref" doc:"What employees are given: the name of a built-in role, the id of another"`
	Name        string         `json:"name"`
	BuiltIn     bool           `json:"built_in" doc:"Nobody changes it; it can be cloned"`
	Permissions []domain.Grant `json:"permissions"`
	Holders     int            `json:"holders" doc:"How many active employees have the role, of those that you see"`
	CreatedAt   *time.Time     `json:"created_at" doc:"null: built in"`
	UpdatedAt   *time.Time     `json:"updated_at" doc:"null: built in"`
	Revision    int64          `json:"revision"`
}

func (r roleItem) at() int64 { return r.Revision }

// roleSource counts of those who hold a role as many as the caller sees.
func roleSource(a domain.Authority, q *query) source {
	return source{
		columns: `r.id, r.ref, r.name, r.built_in, r.permissions, coalesce(h.holders, 0) as holders, r.created_at, r.updated_at, r.revision`,
		from: `annals_read.roles r left join (select x.ref, count(*) as holders from annals_read.employees e cross join lateral unnest(e.roles) x (ref)
			where e.deactivated_at is null and ` + visibleEmployees(a, q.bind) + ` group by x.ref) h on h.ref = r.ref`,
		id:      "r.id",
		natural: "-built_in,name",
		sorts: map[string]column{
			"name": textColumn("r.name"), "built_in": {"r.built_in::int", "int"},
			"created_at": {"r.created_at", "timestamptz"}, "updated_at": {"r.updated_at", "timestamptz"},
		},
	}
}

// visibleRoles are all: what a role permits is no secret among colleagues.
func visibleRoles() *query { return &query{where: []string{"r.deleted_at is null"}} }

func (a *API) roles(ctx context.Context, in *Page) (*list[roleItem], error) {
	q := visibleRoles()
	return fetch(ctx, a, roleSource(access.Authority(ctx), q), q, *in, same[roleItem])
}

func (a *API) role(ctx context.Context, in *byID) (*one[roleItem], error) {
	q := visibleRoles()
	return fetchOne(ctx, a, roleSource(access.Authority(ctx), q), q, *in, "role", same[roleItem])
}
