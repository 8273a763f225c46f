package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
)

// viewItem is a saved list as it is answered.
type viewItem struct {
	ID         uuid.UUID       `json:"id" format:"uuid"`
	Name       string          `json:"name" example:"Leads without a desk"`
	Owner      named           `json:"owner"`
	Mine       bool            `json:"mine" doc:"It is your own"`
	Shared     sharedView      `json:"shared" doc:"With whom it is shared; of a view of your own, as far as you see the desk or project still"`
	Columns    []listColumn    `json:"columns" doc:"What it shows, in this order; what the list shows by itself if there are none"`
	Filter     json.RawMessage `json:"filter" doc:"Which clients it shows, as the list of clients takes it; null: all"`
	Q          string          `json:"q" doc:"Words that it searches for"`
	Sort       []string        `json:"sort" doc:"Columns that it sorts by, downwards after a minus" example:"[\"-created_at\",\"name\"]"`
	Favourite  bool            `json:"favourite" doc:"It is one of your favourites"`
	Default    bool            `json:"default" doc:"You begin with it: it is the default of a role of yours, and if several have one, the one that was set last"`
	DefaultFor []string        `json:"default_for" doc:"The roles whose default it is: names of built-in ones, ids of others" example:"[\"agent\"]"`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	Revision   int64           `json:"revision"`
}

type sharedView struct {
	With string     `json:"with" doc:"nobody; those who work on a desk, or for a project; everybody" enum:"nobody,desk,project,everybody"`
	ID   *uuid.UUID `json:"id,omitempty" format:"uuid" doc:"Of the desk or project"`
	Name string     `json:"name,omitempty" doc:"Of the desk or project"`
}

type listColumn struct {
	Field  string `json:"field" example:"custom.contract"`
	Width  int    `json:"width,omitempty" doc:"In pixels; as it fits if missing"`
	Frozen bool   `json:"frozen,omitempty" doc:"It stays in sight while the others move"`
}

type viewRow struct {
	keyset
	ID         uuid.UUID
	Name       string
	OwnerID    uuid.UUID
	OwnerName  *string
	Mine       bool
	Shared     string
	WithID     *uuid.UUID
	WithName   *string
	Columns    []listColumn
	Filter     string
	Q          string
	Sort       []string
	Favourite  bool
	IsDefault  bool
	DefaultFor []string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Revision   int64
}

func (r viewRow) at() int64 { return r.Revision }

func (r viewRow) item() viewItem {
	item := viewItem{
		r.ID, r.Name, actor(r.OwnerID, r.OwnerName), r.Mine,
		sharedView{With: r.Shared, ID: r.WithID},
		r.Columns, json.RawMessage(r.Filter), r.Q, r.Sort,
		r.Favourite, r.IsDefault, r.DefaultFor, r.CreatedAt, r.UpdatedAt, r.Revision,
	}
	if r.Filter == "" {
		item.Filter = json.RawMessage("null")
	}
	switch {
	case r.WithName != nil:
		item.Shared.Name = *r.WithName
	case r.Mine && r.WithID != nil: // they have left it, and those who are there see the view still
		item.Shared = sharedView{With: "nobody"}
	}
	return item
}

// visibleViews begins every query of views: those that somebody sees, as
// view.State.Visible has it.
func visibleViews(a domain.Authority) *query {
	q := &query{}
	projects, desks := access.Assigned(a.Scope)
	q.and(fmt.Sprintf("(v.owner_id = %s::uuid or v.shared = 'everybody' or v.desk_id = any(%s::uuid[]) or v.project_id = any(%s::uuid[]) or v.shared <> 'nobody' and %s::bool)",
		q.bind(a.ID), q.bind(desks), q.bind(projects), q.bind(a.MayIn(domain.SettingsManage, domain.ID{}))))
	return q
}

// viewSource says of views what they are to somebody. What is theirs is so by the
// policies of the tables as well.
func viewSource(ctx context.Context, q *query) source {
	me, roles := q.bind(access.Authority(ctx).ID)+"::uuid", []string{}
	if who := access.From(ctx).Actor; who != nil {
		roles = append(roles, who.Roles...)
	}
	return source{
		columns: `v.id, v.name, v.owner_id, n.name as owner_name, v.owner_id = ` + me + ` as mine,
			v.shared, coalesce(v.desk_id, v.project_id) as with_id, coalesce(d.name, p.name) as with_name, v.columns, v.filter, v.q, v.sort,
			s.starred_at is not null as favourite, v.id = begins.id is true as is_default,
			array(select f.role from annals_read.default_views f join annals_read.roles r on r.ref = f.role and r.deleted_at is null
				where f.view_id = v.id and v.shared <> 'nobody' order by r.built_in desc, f.role) as default_for, v.created_at, v.updated_at, v.revision`,
		from: `annals_read.views v
			left join annals_read.names n on n.id = v.owner_id
			left join annals_read.desks d on d.id = v.desk_id
			left join annals_read.projects p on p.id = v.project_id
			left join annals_read.view_favourites s on s.view_id = v.id and s.employee_id = ` + me + `
			left join (select f.view_id as id from annals_read.default_views f join annals_read.views o on o.id = f.view_id and o.shared <> 'nobody'
				join annals_read.roles r on r.ref = f.role and r.deleted_at is null
				where f.role = any(` + q.bind(roles) + `::text[]) order by f.set_at desc, f.role limit 1) begins on true`,
		id:      "v.id",
		natural: "name",
		sorts: map[string]column{
			"name": textColumn("v.name"), "created_at": {"v.created_at", "timestamptz"}, "updated_at": {"v.updated_at", "timestamptz"},
		},
	}
}

type viewsRequest struct {
	Page
	Mine      string `query:"mine" doc:"true: only your own; false: only those that others share" enum:"true,false"`
	Favourite string `query:"favourite" doc:"true: only your favourites; false: only the others" enum:"true,false"`
}

func (a *API) views(ctx context.Context, r *viewsRequest) (*list[viewItem], error) {
	q := visibleViews(access.Authority(ctx))
	s := viewSource(ctx, q)
	switch mine := access.Authority(ctx).ID; r.Mine {
	case "true":
		q.and("v.owner_id = " + q.bind(mine) + "::uuid")
	case "false":
		q.and("v.owner_id <> " + q.bind(mine) + "::uuid")
	}
	switch r.Favourite {
	case "true":
		q.and("s.starred_at is not null")
	case "false":
		q.and("s.starred_at is null")
	}
	return fetch(ctx, a, s, q, r.Page, viewRow.item)
}

func (a *API) view(ctx context.Context, in *byID) (*one[viewItem], error) {
	q := visibleViews(access.Authority(ctx))
	return fetchOne(ctx, a, viewSource(ctx, q), q, *in, "view", viewRow.item)
}
