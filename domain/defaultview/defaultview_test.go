package defaultview_test

import (
	"testing"

	"annals/domain"
	. "annals/domain/defaultview"
	"annals/domain/domaintest"
	"annals/domain/role"
	"annals/domain/view"
)

func id(n byte) domain.ID { return domain.ID{15: n} }

func TestDefaultView(t *testing.T) {
	t.Parallel()
	made := func(owner byte, s view.Shared) view.State {
		return view.Aggregate.Evolve(view.State{}, view.Created{OwnerID: id(owner), Definition: view.Definition{Name: "V", Shared: s}})
	}
	agents, _ := role.Named(role.Agent)
	ref := func(n byte) domain.Ref { return domain.Ref{Category: domain.View, ID: id(n)} }
	world := domain.World{
		ref(1): made(9, view.Shared{With: view.Everybody}), ref(2): made(9, view.Shared{}), ref(3): made(8, view.Shared{}),
		{Category: domain.Role, ID: id(5)}: role.Aggregate.Evolve(role.State{}, role.Created{}),
	}
	admin := domain.Authority{ID: id(9), Rights: domain.Rights{domain.SettingsManage: domain.Everywhere}}
	part := domain.Authority{ID: id(9), Rights: domain.Rights{domain.SettingsManage: domain.InProjects}}
	set := func(r domain.ID, n byte) Set { return Set{RoleID: r, ViewID: domain.Set(id(n))} }
	none := Set{RoleID: agents.ID, ViewID: domain.Set(domain.ID{})}
	given := []Event{Changed{Role: role.Agent, To: id(1)}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"who may not":         {By: part, World: world, When: set(agents.ID, 1), Err: domain.ErrForbidden},
		"no role":             {By: admin, World: world, When: set(id(6), 1), Err: role.ErrAbsent},
		"no view":             {By: admin, World: world, When: set(agents.ID, 4), Err: ErrView},
		"another's":           {By: admin, World: world, When: set(agents.ID, 3), Err: ErrView},
		"one that is private": {By: admin, World: world, When: set(agents.ID, 2), Err: ErrPrivate},
		"of a built-in role":  {By: admin, World: world, When: set(agents.ID, 1), Then: given},
		"of another role":     {By: admin, World: world, When: set(id(5), 1), Then: []Event{Changed{Role: id(5).String(), To: id(1)}}},
		"the same":            {By: admin, World: world, Given: given, When: set(agents.ID, 1)},
		"none":                {By: admin, World: world, Given: given, When: none, Then: []Event{Changed{Role: role.Agent, From: id(1)}}},
		"none again":          {By: admin, World: world, When: none},
	})
}
