package commands

import (
	"annals/domain"
	"annals/domain/field"
	"annals/internal/httpapi"
)

// fields takes the commands to custom fields.
func (a *API) fields(api *httpapi.API) {
	const path = "/api/v1/custom-fields"
	g := registry[field.State, field.Command, field.Event]{field.Aggregate, field.Ref()}
	on := func(method, path, summary string) route {
		return route{method, path, domain.OrganisationManage, summary}
	}
	define(a, api, on("POST", path, "Define a custom field of clients, of one project or of all"), g,
		func(id domain.ID, c field.Define) field.Command {
			c.ID = id
			return c
		})
	redefine(a, api, on("PATCH", path+"/{id}", "Change a custom field; what clients have in it stays as it is"), g, field.Settings{},
		func(id domain.ID, patch map[string]any) field.Command { return field.Change{ID: id, Patch: patch} })
	bareRedefine(a, api, on("POST", path+"/{id}/retire", "Take a custom field out of use; what clients have in it stays"), g,
		func(id domain.ID) field.Command { return field.Retire{ID: id} })
	bareRedefine(a, api, on("POST", path+"/{id}/restore", "Take a retired custom field back into use"), g,
		func(id domain.ID) field.Command { return field.Restore{ID: id} })
}
