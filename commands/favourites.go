package commands

import (
	"context"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/favourite"
	"annals/internal/httpapi"
)

// favourites takes what employees star.
func (a *API) favourites(api *httpapi.API) {
	of := func(employee, client domain.ID) favourite.Of {
		return favourite.Of{EmployeeID: employee, ClientID: client}
	}
	const client = "/api/v1/clients/{id}/favourite"
	a.star(api, route{"PUT", client, domain.ClientsView, "Make a client one of your favourites"},
		func(me, id domain.ID) favourite.Command { return favourite.Star{Of: of(me, id)} })
	a.star(api, route{"DELETE", client, domain.ClientsView, "Have a client no longer among your favourites"},
		func(me, id domain.ID) favourite.Command { return favourite.Unstar{Of: of(me, id)} })
}

// star takes a command about what has the id in the path, as a favourite of whoever asks.
// Its answer names that, and not the favourite.
func (a *API) star(api *httpapi.API, r route, command func(me, id domain.ID) favourite.Command) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Keyed
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := a.addressed(ctx, r, in.ID, Params{Keyed: in.Keyed}, nil)
		if err != nil {
			return nil, err
		}
		c := command(to.meta.By.ID, in.ID)
		o, err := Handle(ctx, a.Store, favourite.Aggregate, favourite.IDOf(c), c, to.meta, to.at)
		if err != nil {
			return nil, err
		}
		o.ID = in.ID
		out := answerTo(o)
		return &out, nil
	})
}
