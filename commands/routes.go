package commands

import (
	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/portal"
	"annals/domain/project"
	"annals/domain/role"
	"annals/internal/httpapi"
)

// Routes is the whole write API, a line or two a command. Each names the permission
// that it takes; how far that has to reach, the domain knows.
func (a *API) Routes(api *httpapi.API) {
	create[client.Register](a, api, route{"POST", "/api/v1/clients", domain.ClientsCreate, "Register a client"}, client.Aggregate)
	patch(a, api, route{"PATCH", "/api/v1/clients/{id}", domain.ClientsEdit, "Edit a client's details"}, client.Aggregate,
		client.Editable{}, func(p map[string]any) client.Command { return client.Edit{Patch: p} })
	change[client.Assign](a, api, route{"POST", "/api/v1/clients/{id}/assign", domain.ClientsAssign, "Assign a client to project, desk, manager"}, client.Aggregate)
	change[client.Retag](a, api, route{"POST", "/api/v1/clients/{id}/retag", domain.ClientsRetag, "Add and remove tags of a client"}, client.Aggregate)
	change[client.ChangeStatus](a, api, route{"POST", "/api/v1/clients/{id}/status", domain.ClientsStatus, "Change a client's status"}, client.Aggregate)
	change[client.Deactivate](a, api, route{"POST", "/api/v1/clients/{id}/deactivate", domain.ClientsDeactivate, "Deactivate a client; its information is kept"}, client.Aggregate)
	bare(a, api, route{"POST", "/api/v1/clients/{id}/reactivate", domain.ClientsDeactivate, "Reactivate a client"}, client.Aggregate, client.Command(client.Reactivate{}))
	ofClient[portal.Set](a, api, route{"PUT", "/api/v1/clients/{id}/portal-access", domain.ClientsEdit, "Open or close the portal to a client, or leave it to the rule"}, portal.Aggregate)
	ofClient[portal.SignIn](a, api, route{"POST", "/api/v1/clients/{id}/portal-sign-in", domain.ClientsEdit, "Tell that a client has signed in to the portal"}, portal.Aggregate)

	a.erasures(api)
	a.retention(api)

	a.favourites(api)
	a.views(api)

	a.activities(api)

	a.documents(api)

	a.records(api)

	create[project.Create](a, api, route{"POST", "/api/v1/projects", domain.OrganisationManage, "Create a project, with its default desk"}, project.Aggregate)
	change[project.SetTransitions](a, api, route{"PUT", "/api/v1/projects/{id}/transitions", domain.OrganisationManage, "Set from which status to which the clients of a project can change"}, project.Aggregate)
	create[desk.Create](a, api, route{"POST", "/api/v1/desks", domain.OrganisationManage, "Create a desk in a project"}, desk.Aggregate)
	a.fields(api)
	a.tags(api)
	a.templates(api)
	a.messages(api)

	create[role.Create](a, api, route{"POST", "/api/v1/roles", domain.RolesManage, "Create a role"}, role.Aggregate)
	a.roles(api)
	a.employees(api)
	a.keys(api)
	a.sessions(api)
	a.passwords(api)
	a.secondFactor(api)
	a.signOn(api)
	a.notifications(api)
	a.webhooks(api)
}
