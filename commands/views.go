package commands

import (
	"context"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/defaultview"
	"annals/domain/view"
	"annals/internal/httpapi"
)

// views takes the commands to saved lists.
func (a *API) views(api *httpapi.API) {
	const path = "/api/v1/views"
	create[view.Create](a, api, route{"POST", path, "", "Save a list of clients as a view: of one's own, or shared"}, view.Aggregate)
	patch(a, api, route{"PATCH", path + "/{id}", "", "Change a view: its owner, or of one that is shared who manages the settings"}, view.Aggregate,
		view.Definition{}, func(p map[string]any) view.Command { return view.Edit{Patch: p} })
	bare(a, api, route{"DELETE", path + "/{id}", "", "Delete a view, for all who see it: its owner, or of one that is shared who manages the settings"}, view.Aggregate,
		view.Command(view.Delete{}))

	type input struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"Of the role, built in or not"`
		Params
		Body defaultview.Set
	}
	r := route{"PUT", "/api/v1/roles/{id}/default-view", domain.SettingsManage, "Set with which view those begin who hold a role"}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		c := in.Body
		c.RoleID = in.ID
		return apply(ctx, a, defaultview.Aggregate, r, in.ID, in.Params, in.Body, defaultview.Command(c))
	})
}
