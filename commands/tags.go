package commands

import (
	"annals/domain"
	"annals/domain/tag"
	"annals/internal/httpapi"
)

// tags takes the commands to tags. Clients are tagged by commands to clients.
func (a *API) tags(api *httpapi.API) {
	const path = "/api/v1/tags"
	g := registry[tag.State, tag.Command, tag.Event]{tag.Aggregate, tag.Ref()}
	on := func(method, path, summary string) route {
		return route{method, path, domain.OrganisationManage, summary}
	}
	define(a, api, on("POST", path, "Define a tag, for clients of one project or of all: those who have one of that name have this one"), g,
		func(id domain.ID, c tag.Define) tag.Command {
			c.ID = id
			return c
		})
	redefine(a, api, on("PATCH", path+"/{id}", "Rename a tag, for all clients who have it at once, or change its colour or description"), g, tag.Settings{},
		func(id domain.ID, patch map[string]any) tag.Command { return tag.Change{ID: id, Patch: patch} })
	redefine(a, api, on("POST", path+"/{id}/merge", "Make a tag one with another, for all clients at once and for good"), g, nil,
		func(id domain.ID, c tag.Merge) tag.Command {
			c.ID = id
			return c
		})
	bareRedefine(a, api, on("POST", path+"/{id}/retire", "Have a tag not offered any more; clients who have it keep it"), g,
		func(id domain.ID) tag.Command { return tag.Retire{ID: id} })
	bareRedefine(a, api, on("POST", path+"/{id}/restore", "Have a retired tag offered again"), g,
		func(id domain.ID) tag.Command { return tag.Restore{ID: id} })
}
