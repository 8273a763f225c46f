package commands

import (
	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/note"
	"annals/domain/project"
	"annals/domain/role"
	"annals/internal/httpapi"
)

// Routes is the whole write API, a line or two a command. Each names the permission
// that it takes; how far that has to reach, the domain knows.
func (a *API) Routes(api *httpapi.API) {
	create[client.Register](a, api, route{"POST", "/api/v1/clients", domain.ClientsCreate, "Register a client"}, client.Aggregate)
	patch(a, api, route{"PATCH", "/api/v1/clients/{id}", domain.ClientsEdit, "Edit a client's details"}, client.Aggregate,
		client.Details{}, func(p map[string]any) client.Command { return client.Edit{Patch: p} })
	change[client.Assign](a, api, route{"POST", "/api/v1/clients/{id}/assign", domain.ClientsAssign, "Assign a client to project, desk, manager"}, client.Aggregate)
	change[client.Retag](a, api, route{"POST", "/api/v1/clients/{id}/retag", domain.ClientsRetag, "Add and remove tags of a client"}, client.Aggregate)
	change[client.ChangeStatus](a, api, route{"POST", "/api/v1/clients/{id}/status", domain.ClientsStatus, "Change a client's status"}, client.Aggregate)
	change[client.Deactivate](a, api, route{"POST", "/api/v1/clients/{id}/deactivate", domain.ClientsDeactivate, "Deactivate a client; its information is kept"}, client.Aggregate)
	bare(a, api, route{"POST", "/api/v1/clients/{id}/reactivate", domain.ClientsDeactivate, "Reactivate a client"}, client.Aggregate, client.Command(client.Reactivate{}))

	attach[note.Add](a, api, route{"POST", "/api/v1/clients/{id}/notes", domain.ActivitiesWrite, "Write a note about a client"}, note.Aggregate)
	within[note.Edit](a, api, route{"PATCH", "/api/v1/clients/{id}/notes/{item}", domain.ActivitiesWrite, "Edit, pin or unpin a note"}, note.Aggregate)
	bareWithin(a, api, route{"DELETE", "/api/v1/clients/{id}/notes/{item}", domain.ActivitiesWrite, "Delete a note; the history keeps it"}, note.Aggregate, note.Command(note.Delete{}))

	create[project.Create](a, api, route{"POST", "/api/v1/projects", domain.OrganisationManage, "Create a project, with its default desk"}, project.Aggregate)
	change[project.SetTransitions](a, api, route{"PUT", "/api/v1/projects/{id}/transitions", domain.OrganisationManage, "Set from which status to which the clients of a project can change"}, project.Aggregate)
	create[desk.Create](a, api, route{"POST", "/api/v1/desks", domain.OrganisationManage, "Create a desk in a project"}, desk.Aggregate)
	a.fields(api)
	a.tags(api)

	create[role.Create](a, api, route{"POST", "/api/v1/roles", domain.RolesManage, "Create a role"}, role.Aggregate)
	a.roles(api)
	a.employees(api)
	a.keys(api)
	a.sessions(api)
	a.passwords(api)
	a.secondFactor(api)
	a.signOn(api)
	a.notifications(api)
}
