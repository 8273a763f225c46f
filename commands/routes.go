package commands

import (
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/internal/httpapi"
)

// Routes is the whole write API, a line or two a command.
func (a *API) Routes(api *httpapi.API) {
	create[client.Register](a, api, route{"POST", "/api/v1/clients", httpapi.SignedIn, "Register a client"}, client.Aggregate)
	patch(a, api, route{"PATCH", "/api/v1/clients/{id}", httpapi.SignedIn, "Edit a client's details"}, client.Aggregate,
		client.Details{}, func(p map[string]any) client.Command { return client.Edit{Patch: p} })
	change[client.Assign](a, api, route{"POST", "/api/v1/clients/{id}/assign", httpapi.SignedIn, "Assign a client to project, desk, manager"}, client.Aggregate)
	change[client.Retag](a, api, route{"POST", "/api/v1/clients/{id}/retag", httpapi.SignedIn, "Add and remove tags of a client"}, client.Aggregate)
	change[client.ChangeStatus](a, api, route{"POST", "/api/v1/clients/{id}/status", httpapi.SignedIn, "Change a client's status"}, client.Aggregate)
	change[client.Deactivate](a, api, route{"POST", "/api/v1/clients/{id}/deactivate", httpapi.SignedIn, "Deactivate a client; its information is kept"}, client.Aggregate)
	bare(a, api, route{"POST", "/api/v1/clients/{id}/reactivate", httpapi.SignedIn, "Reactivate a client"}, client.Aggregate, client.Command(client.Reactivate{}))

	create[project.Create](a, api, route{"POST", "/api/v1/projects", httpapi.Admins, "Create a project, with its default desk"}, project.Aggregate)
	create[desk.Create](a, api, route{"POST", "/api/v1/desks", httpapi.Admins, "Create a desk in a project"}, desk.Aggregate)
	a.registerEmployee(api, route{"POST", "/api/v1/employees", httpapi.Admins, "Register an employee"})
	change[employee.Assign](a, api, route{"POST", "/api/v1/employees/{id}/assign", httpapi.Admins, "Set the projects and desks that an employee works for"}, employee.Aggregate)
}
