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
	client := func(me, id domain.ID) favourite.Of { return favourite.Of{EmployeeID: me, ClientID: id} }
	view := func(me, id domain.ID) favourite.Of { return favourite.Of{EmployeeID: me, ViewID: id} }
	star := func(of favourite.Of) favourite.Command { return favourite.Star{Of: of} }
	unstar := func(of favourite.Of) favourite.Command { return favourite.Unstar{Of: of} }
	const ofClient, ofView = "/api/v1/clients/{id}/favourite", "/api/v1/views/{id}/favourite"
	a.star(api, route{"PUT", ofClient, domain.ClientsView, "Make a client one of your favourites"}, client, star)
	a.star(api, route{"DELETE", ofClient, domain.ClientsView, "Have a client no longer among your favourites"}, client, unstar)
	a.star(api, route{"PUT", ofView, "", "Make a view one of your favourites"}, view, star)
	a.star(api, route{"DELETE", ofView, "", "Have a view no longer among your favourites"}, view, unstar)
}

// star takes a command about what has the id in the path, as a favourite of whoever asks.
// Its answer names that, and not the favourite.
func (a *API) star(api *httpapi.API, r route, of func(me, id domain.ID) favourite.Of, command func(favourite.Of) favourite.Command) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Keyed
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := a.addressed(ctx, r, in.ID, Params{Keyed: in.Keyed}, nil)
		if err != nil {
			return nil, err
		}
		one := of(to.meta.By.ID, in.ID)
		o, err := Handle(ctx, a.Store, favourite.Aggregate, one.ID(), command(one), to.meta, to.at)
		if err != nil {
			return nil, err
		}
		o.ID = in.ID
		out := answerTo(o)
		return &out, nil
	})
}
