package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/favourite"
	"annals/internal/eventlog"
)

//go:embed favourites.sql
var favouritesTables string

// favourites is which clients each employee has starred.
var favourites = &Projector{
	Name: "favourites", Version: 1, Tables: favouritesTables, Apply: applyFavourites, Found: []string{"favourites"}, Inserts: []*Insert{insertFavourite},
}

var insertFavourite = NewInsert("favourites", "employee_id", "client_id", "starred_at")

const deleteFavourite = `delete from favourites where employee_id = $1 and client_id = $2`

func applyFavourites(b *pgx.Batch, r *eventlog.Record) {
	e, ok := r.Event.(favourite.Event)
	if !ok {
		return
	}
	switch e := e.(type) {
	case favourite.Starred:
		if e.ViewID == (domain.ID{}) { // see views
			insertFavourite.Queue(b, known(e.EmployeeID), known(e.ClientID), r.Meta.At)
		}
	case favourite.Unstarred:
		if e.ViewID == (domain.ID{}) {
			b.Queue(deleteFavourite, known(e.EmployeeID), known(e.ClientID)).Exec(exactlyOne("favourites"))
		}
	}
}
