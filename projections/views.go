package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/defaultview"
	"annals/domain/favourite"
	"annals/domain/view"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed views.sql
	viewsTables string
	//go:embed views.indexes.sql
	viewsIndexes string
)

// views is saved lists, who has starred which, and with which of them roles begin.
var views = &Projector{
	Name: "views", Version: 1, Tables: viewsTables, Indexes: viewsIndexes,
	Apply: applyViews, Inserts: []*Insert{insertView, insertViewFavourite}, Updates: []*Update{changeView, eraseView},
}

var (
	insertView = NewInsert("views", "id", "owner_id", "name", "columns", "filter", "q", "sort", "shared", "desk_id", "project_id", "created_at", "updated_at", "revision")
	changeView = NewUpdate("views", "id", `updated_at = $2, revision = $3, name = $4, columns = $5, filter = $6, q = $7, sort = $8, shared = $9, desk_id = $10, project_id = $11`)
	eraseView  = NewUpdate("views", "id", `name = '', filter = '', q = ''`).Maybe()

	insertViewFavourite = NewInsert("view_favourites", "employee_id", "view_id", "starred_at")
)

const (
	deleteView          = `delete from views where id = $1`
	deleteViewFavourite = `delete from view_favourites where employee_id = $1 and view_id = $2`
	setDefaultView      = `insert into default_views (role, view_id, set_at) values ($1, $2, $3)
		on conflict (role) do update set view_id = excluded.view_id, set_at = excluded.set_at`
	clearDefaultView = `delete from default_views where role = $1`
)

func applyViews(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case view.Event:
		applyView(b, r, e)
	case favourite.Event:
		applyViewFavourite(b, r, e)
	case defaultview.Event:
		applyDefaultView(b, r, e)
	case eventschema.KeyDestroyed:
		eraseView.Queue(b, id(r))
	}
}

func applyView(b *pgx.Batch, r *eventlog.Record, e view.Event) {
	id, at := id(r), r.Meta.At
	switch e := e.(type) {
	case view.Created:
		with, desk, project := sharedWith(e.Shared)
		insertView.Queue(b, id, known(e.OwnerID), e.Name, asJSON(list(e.Columns)), string(e.Filter), e.Q, list(e.Sort), with, desk, project, at, at, r.Revision)
	case view.Changed:
		with, desk, project := sharedWith(e.To.Shared)
		changeView.Queue(b, id, at, r.Revision, e.To.Name, asJSON(list(e.To.Columns)), string(e.To.Filter), e.To.Q, list(e.To.Sort), with, desk, project)
	case view.Deleted:
		b.Queue(deleteView, id).Exec(exactlyOne("views"))
	}
}

func sharedWith(s view.Shared) (with string, desk, project pgtype.UUID) {
	switch s.With {
	case "":
		return view.Nobody, desk, project
	case view.Desk:
		desk = known(s.ID)
	case view.Project:
		project = known(s.ID)
	}
	return s.With, desk, project
}

func applyViewFavourite(b *pgx.Batch, r *eventlog.Record, e favourite.Event) {
	switch e := e.(type) {
	case favourite.Starred:
		if e.ViewID != (domain.ID{}) {
			insertViewFavourite.Queue(b, known(e.EmployeeID), known(e.ViewID), r.Meta.At)
		}
	case favourite.Unstarred:
		if e.ViewID != (domain.ID{}) {
			b.Queue(deleteViewFavourite, known(e.EmployeeID), known(e.ViewID)).Exec(exactlyOne("view_favourites"))
		}
	}
}

func applyDefaultView(b *pgx.Batch, r *eventlog.Record, e defaultview.Event) {
	switch e := e.(type) {
	case defaultview.Changed:
		if e.To == (domain.ID{}) {
			b.Queue(clearDefaultView, e.Role)
			return
		}
		b.Queue(setDefaultView, e.Role, known(e.To), r.Meta.At)
	}
}
