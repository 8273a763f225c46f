package readapi

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
)

type employeeItem struct {
	keyset        `json:"-"`
	ID            uuid.UUID   `json:"id" format:"uuid"`
	Name          string      `json:"name"`
	Email         string      `json:"email"`
	Roles         []string    `json:"roles" doc:"Names of built-in roles, ids of others"`
	RoleNames     []string    `json:"role_names" doc:"What the roles are called, in the same order"`
	Projects      []uuid.UUID `json:"projects" doc:"Those that they work for, of those that you see"`
	Desks         []uuid.UUID `json:"desks" doc:"Those that they work for, of those that you see"`
	Active        bool        `json:"active" doc:"false while the employee is deactivated"`
	DeactivatedAt *time.Time  `json:"deactivated_at"`
	Erased        bool        `json:"erased,omitempty" doc:"The person has been erased: what identified them is gone"`
	CreatedAt     time.Time   `json:"created_at"`
	UpdatedAt     time.Time   `json:"updated_at"`
	Revision      int64       `json:"revision"`
}

func (e employeeItem) at() int64 { return e.Revision }

// employeeSource shows of what employees work for as much as the caller sees.
func employeeSource(a domain.Authority, q *query) source {
	return source{
		columns: `e.id, e.name, e.email, e.roles, w.role_names, w.projects, w.desks, e.deactivated_at is null as active, e.deactivated_at,
			e.erased, e.created_at, e.updated_at, e.revision`,
		from: `annals_read.employees e cross join lateral (select
			array(select coalesce(r.name, x.ref) from unnest(e.roles) with ordinality x (ref, n) left join annals_read.roles r on r.ref = x.ref order by x.n) as role_names,
			array(select ep.project_id from annals_read.employee_projects ep where ep.employee_id = e.id and ` + access.Projects(a, "ep.project_id", q.bind) + ` order by 1) as projects,
			array(select ed.desk_id from annals_read.employee_desks ed join annals_read.desks d on d.id = ed.desk_id
				where ed.employee_id = e.id and ` + access.Projects(a, "d.project_id", q.bind) + ` order by 1) as desks) w`,
		id:      "e.id",
		natural: "name",
		sorts: map[string]column{
			"name": textColumn("e.name"), "email": textColumn("e.email"), "deactivated_at": {"e.deactivated_at", "timestamptz"},
			"created_at": {"e.created_at", "timestamptz"}, "updated_at": {"e.updated_at", "timestamptz"},
		},
	}
}

// employees begins every query of employees: those whom a permission reaches, as
// employee.State.Visible and its like have it. One always sees oneself.
func employees(a domain.Authority, p domain.Permission, bind func(any) string) string {
	projects, desks := access.Assigned(a.Scope)
	switch a.Rights[p] {
	case domain.Everywhere:
		return "true"
	case domain.InProjects:
		return fmt.Sprintf("exists (select from annals_read.employee_projects v where v.employee_id = e.id and v.project_id = any(%s::uuid[]))", bind(projects))
	case domain.OnDesks:
		return fmt.Sprintf("exists (select from annals_read.employee_desks v where v.employee_id = e.id and v.desk_id = any(%s::uuid[]))", bind(desks))
	case domain.Own:
		return fmt.Sprintf("e.id = %s::uuid", bind(a.ID))
	case domain.Nothing:
	}
	return "false"
}

func visibleEmployees(a domain.Authority, bind func(any) string) string {
	return fmt.Sprintf("(e.id = %s::uuid or %s)", bind(a.ID), employees(a, domain.EmployeesView, bind))
}

type employeesRequest struct {
	Page
	Project []string `query:"project,explode" doc:"Those assigned to any of these projects" maxItems:"100"`
	Desk    []string `query:"desk,explode" doc:"Those assigned to any of these desks" maxItems:"100"`
	Role    []string `query:"role,explode" doc:"Those with any of these roles: names of built-in ones, ids" maxItems:"100"`
	Active  string   `query:"active" doc:"false: only deactivated employees; true: only the others" enum:"true,false"`
}

func (a *API) employees(ctx context.Context, r *employeesRequest) (*list[employeeItem], error) {
	who, q := access.Authority(ctx), &query{}
	q.and(visibleEmployees(who, q.bind))
	// Where somebody works is told for what one sees, and otherwise not even by a filter.
	for _, by := range []struct {
		field, sql, project string
		ids                 []string
	}{
		{"project", "exists (select from annals_read.employee_projects f where f.employee_id = e.id and ", "f.project_id", r.Project},
		{"desk", "exists (select from annals_read.employee_desks f join annals_read.desks d on d.id = f.desk_id where f.employee_id = e.id and ", "d.project_id", r.Desk},
	} {
		if len(by.ids) == 0 {
			continue
		}
		inner := &query{args: q.args}
		if err := in(inner, by.field, "f."+by.field+"_id", by.ids); err != nil {
			return nil, err
		}
		seen := access.Projects(who, by.project, inner.bind)
		q.args = inner.args
		q.and(by.sql + inner.where[0] + " and " + seen + ")")
	}
	if len(r.Role) > 0 {
		for i, ref := range r.Role {
			if err := domain.CheckText("role", ref, 100); err != nil {
				return nil, err
			}
			if id, err := uuid.Parse(ref); err == nil {
				r.Role[i] = id.String()
			}
		}
		q.and("e.roles && array(select r.ref from annals_read.roles r where array[r.ref, r.id::text] && " + q.bind(r.Role) + "::text[])")
	}
	switch r.Active {
	case "true":
		q.and("e.deactivated_at is null")
	case "false":
		q.and("e.deactivated_at is not null")
	}
	return fetch(ctx, a, employeeSource(who, q), q, r.Page, same[employeeItem])
}

func (a *API) employee(ctx context.Context, in *byID) (*one[employeeItem], error) {
	who, q := access.Authority(ctx), &query{}
	q.and(visibleEmployees(who, q.bind))
	return fetchOne(ctx, a, employeeSource(who, q), q, *in, "employee", same[employeeItem])
}

var employeeHistorySource = source{
	columns: historySource.columns,
	from: `annals_read.history h
		join annals_read.employees e on e.id = h.aggregate_id
		left join annals_read.names a on a.id = h.actor_id`,
	id:      "h.event_id",
	natural: "revision",
	sorts:   historySource.sorts,
}

// employeeHistory is for those who view what others did, or manage employees, as far
// as the employee.
func (a *API) employeeHistory(ctx context.Context, r *historyRequest) (*list[historyItem], error) {
	who := access.Authority(ctx)
	condition := func(q *query) string {
		return fmt.Sprintf("%s and (%s or %s)", visibleEmployees(who, q.bind), employees(who, domain.AuditView, q.bind), employees(who, domain.EmployeesManage, q.bind))
	}
	var seen bool
	var shown string
	q := &query{before: func(b *pgx.Batch) {
		q := &query{}
		q.and("e.id = " + q.bind(r.ID))
		find := func(cond string) string {
			return "select e.id::text from annals_read.employees e where " + q.all() + " and " + cond
		}
		sql := "select exists (" + find(visibleEmployees(who, q.bind)) + "), set_config('annals.employee', coalesce((" + find(condition(q)) + "), ''), true)"
		b.Queue(sql, q.args...).QueryRow(func(row pgx.Row) error { return row.Scan(&seen, &shown) })
	}}
	q.and("h.category = 'employee' and h.aggregate_id = " + q.bind(r.ID))
	q.and(condition(q))
	if err := r.conditions(a, q); err != nil {
		return nil, err
	}
	audit := who.Rights[domain.AuditView] > domain.Nothing
	out, err := fetch(ctx, a, employeeHistorySource, q, r.Page, func(r historyRow) historyItem { return r.item(audit) })
	switch {
	case err != nil:
		return nil, err
	case !seen:
		return nil, domain.Errorf(domain.NotFound, "employee.absent", "there is no such employee")
	case shown == "":
		return nil, domain.ErrForbidden
	}
	return out, nil
}
