package readapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"annals/internal/access"
)

type projectItem struct {
	keyset        `json:"-"`
	ID            uuid.UUID           `json:"id" format:"uuid"`
	Name          string              `json:"name"`
	DefaultDeskID uuid.UUID           `json:"default_desk_id" format:"uuid"`
	Transitions   map[string][]string `json:"transitions" doc:"To which statuses a client can change from each"`
	CreatedAt     time.Time           `json:"created_at"`
	Revision      int64               `json:"revision"`
}

func (p projectItem) at() int64 { return p.Revision }

var projectSource = source{
	columns: `p.id, p.name, p.default_desk_id, coalesce(s.allowed, '{"lead": ["active", "inactive"], "active": ["lead", "inactive"], "inactive": ["lead", "active"]}') as transitions,
		p.created_at, p.revision`,
	from:    "annals_read.projects p left join annals_read.status_transitions s on s.project_id = p.id",
	id:      "p.id",
	natural: "name",
	sorts:   map[string]column{"name": textColumn("p.name"), "created_at": {"p.created_at", "timestamptz"}},
}

func visibleProjects(ctx context.Context) *query {
	q := &query{}
	q.and(access.Projects(access.Authority(ctx), "p.id", q.bind))
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
	q.and(access.Projects(access.Authority(ctx), "d.project_id", q.bind))
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
