package readapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"annals/internal/access"
)

type projectItem struct {
	keyset        `json:"-"`
	ID            uuid.UUID `json:"id" format:"uuid"`
	Name          string    `json:"name"`
	DefaultDeskID uuid.UUID `json:"default_desk_id" format:"uuid"`
	CreatedAt     time.Time `json:"created_at"`
	Revision      int64     `json:"revision"`
}

func (p projectItem) at() int64 { return p.Revision }

var projectSource = source{
	columns: "p.id, p.name, p.default_desk_id, p.created_at, p.revision",
	from:    "annals_read.projects p",
	id:      "p.id",
	natural: "name",
	sorts:   map[string]column{"name": textColumn("p.name"), "created_at": {"p.created_at", "timestamptz"}},
}

func visibleProjects(ctx context.Context) *query {
	q := &query{}
	q.and(access.Projects(access.From(ctx).Actor.Scope, "p.id", q.bind))
	return q
}

func (a *API) projects(ctx context.Context, in *Page) (*list[projectItem], error) {
	return fetch(ctx, a, projectSource, visibleProjects(ctx), *in, same[projectItem])
}

func (a *API) project(ctx context.Context, in *byID) (*one[projectItem], error) {
	return fetchOne(ctx, a, projectSource, visibleProjects(ctx), *in, "project", same[projectItem])
}

func same[T any](v T) T { return v }

type deskItem struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Name      string    `json:"name"`
	Project   named     `json:"project"`
	Default   bool      `json:"default" doc:"The desk that every project has"`
	CreatedAt time.Time `json:"created_at"`
	Revision  int64     `json:"revision"`
}

type deskRow struct {
	keyset
	ID          uuid.UUID
	Name        string
	ProjectID   uuid.UUID
	ProjectName string
	IsDefault   bool
	CreatedAt   time.Time
	Revision    int64
}

func (r deskRow) at() int64 { return r.Revision }

func (r deskRow) item() deskItem {
	return deskItem{r.ID, r.Name, named{r.ProjectID, r.ProjectName}, r.IsDefault, r.CreatedAt, r.Revision}
}

// A desk whose project never came to be, because of a crash, is nobody's desk: the join leaves it out.
var deskSource = source{
	columns: "d.id, d.name, d.project_id, p.name as project_name, d.is_default, d.created_at, d.revision",
	from:    "annals_read.desks d join annals_read.projects p on p.id = d.project_id",
	id:      "d.id",
	natural: "project,name",
	sorts:   map[string]column{"name": textColumn("d.name"), "project": textColumn("p.name"), "created_at": {"d.created_at", "timestamptz"}},
}

func visibleDesks(ctx context.Context) *query {
	q := &query{}
	q.and(access.Projects(access.From(ctx).Actor.Scope, "d.project_id", q.bind))
	return q
}

type desksRequest struct {
	Page
	Project []string `query:"project,explode" doc:"Ids of projects" maxItems:"100"`
}

func (a *API) desks(ctx context.Context, r *desksRequest) (*list[deskItem], error) {
	q := visibleDesks(ctx)
	if err := in(q, "project", "d.project_id", r.Project); err != nil {
		return nil, err
	}
	return fetch(ctx, a, deskSource, q, r.Page, deskRow.item)
}

func (a *API) desk(ctx context.Context, in *byID) (*one[deskItem], error) {
	return fetchOne(ctx, a, deskSource, visibleDesks(ctx), *in, "desk", deskRow.item)
}

type employeeItem struct {
	keyset    `json:"-"`
	ID        uuid.UUID   `json:"id" format:"uuid"`
	Name      string      `json:"name"`
	Email     string      `json:"email"`
	Roles     []string    `json:"roles"`
	Projects  []uuid.UUID `json:"projects"`
	Desks     []uuid.UUID `json:"desks"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	Revision  int64       `json:"revision"`
}

func (e employeeItem) at() int64 { return e.Revision }

var employeeSource = source{
	columns: `e.id, e.name, e.email, e.roles, e.created_at, e.updated_at, e.revision,
		array(select project_id from annals_read.employee_projects ep where ep.employee_id = e.id order by 1) as projects,
		array(select desk_id from annals_read.employee_desks ed where ed.employee_id = e.id order by 1) as desks`,
	from:    "annals_read.employees e",
	id:      "e.id",
	natural: "name",
	sorts:   map[string]column{"name": textColumn("e.name"), "email": textColumn("e.email"), "created_at": {"e.created_at", "timestamptz"}},
}

// visibleEmployees are oneself and the colleagues in one's projects.
func visibleEmployees(ctx context.Context) *query {
	q := &query{}
	actor := access.From(ctx).Actor
	q.and("(e.id = " + q.bind(actor.ID) + " or " + colleagues(actor, q) + ")")
	return q
}

func colleagues(actor *access.Actor, q *query) string {
	if actor.Scope.All {
		return "true"
	}
	return "exists (select from annals_read.employee_projects v where v.employee_id = e.id and " + access.Projects(actor.Scope, "v.project_id", q.bind) + ")"
}

type employeesRequest struct {
	Page
	Project []string `query:"project,explode" doc:"Those assigned to any of these projects" maxItems:"100"`
	Desk    []string `query:"desk,explode" doc:"Those assigned to any of these desks" maxItems:"100"`
}

func (a *API) employees(ctx context.Context, r *employeesRequest) (*list[employeeItem], error) {
	q := visibleEmployees(ctx)
	for _, by := range []struct {
		field, sql string
		ids        []string
	}{
		{"project", "exists (select from annals_read.employee_projects f where f.employee_id = e.id and ", r.Project},
		{"desk", "exists (select from annals_read.employee_desks f where f.employee_id = e.id and ", r.Desk},
	} {
		if len(by.ids) == 0 {
			continue
		}
		inner := &query{args: q.args}
		if err := in(inner, by.field, "f."+by.field+"_id", by.ids); err != nil {
			return nil, err
		}
		q.args = inner.args
		q.and(by.sql + inner.where[0] + ")")
	}
	return fetch(ctx, a, employeeSource, q, r.Page, same[employeeItem])
}

func (a *API) employee(ctx context.Context, in *byID) (*one[employeeItem], error) {
	return fetchOne(ctx, a, employeeSource, visibleEmployees(ctx), *in, "employee", same[employeeItem])
}
