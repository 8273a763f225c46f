package favourite_test

import (
	"testing"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/domaintest"
	. "annals/domain/favourite"
	"annals/domain/view"
)

func id(n byte) domain.ID { return domain.ID{15: n} }

func TestFavourite(t *testing.T) {
	t.Parallel()
	var there client.State
	there = client.Aggregate.Evolve(there, client.Registered{Assignment: client.Assignment{ProjectID: id(5), ManagerID: id(1)}})
	world := domain.World{{Category: domain.Client, ID: id(9)}: there}
	ann := domain.Authority{ID: id(1), Rights: domain.Rights{domain.ClientsView: domain.InProjects}, Scope: domain.ScopeOf([]domain.ID{id(5)}, nil)}
	bob := domain.Authority{ID: id(2), Rights: ann.Rights}
	key := domain.Authority{Behalf: id(1), Rights: ann.Rights, Scope: ann.Scope}
	o := Of{EmployeeID: id(1), ClientID: id(9)}
	bobs := Of{EmployeeID: id(2), ClientID: id(9)}
	world[domain.Ref{Category: domain.View, ID: id(7)}] = view.Aggregate.Evolve(view.State{}, view.Created{OwnerID: id(1), Definition: view.Definition{Name: "V"}})
	v, bobsView := Of{EmployeeID: id(1), ViewID: id(7)}, Of{EmployeeID: id(2), ViewID: id(7)}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"another's":               {World: world, By: bob, When: Star{o}, Err: ErrPeople},
		"a key":                   {World: world, By: key, When: Star{o}, Err: ErrPeople},
		"a key that names nobody": {World: world, By: key, When: Star{Of{ClientID: id(9)}}, Err: ErrPeople},
		"a client not seen":       {World: world, By: bob, When: Star{bobs}, Err: client.ErrAbsent},
		"no client":               {By: ann, When: Star{o}, Err: client.ErrAbsent},
		"unstarring none":         {By: ann, Given: []Event{Starred{o}}, When: Unstar{o}, Err: client.ErrAbsent},
		"starring":                {World: world, By: ann, When: Star{o}, Then: []Event{Starred{o}}},
		"starring twice":          {World: world, By: ann, Given: []Event{Starred{o}}, When: Star{o}},
		"starring again":          {World: world, By: ann, Given: []Event{Starred{o}, Unstarred{o}}, When: Star{o}, Then: []Event{Starred{o}}},
		"unstarring":              {World: world, By: ann, Given: []Event{Starred{o}}, When: Unstar{o}, Then: []Event{Unstarred{o}}},
		"a view":                  {World: world, By: ann, When: Star{v}, Then: []Event{Starred{v}}},
		"a view not seen":         {World: world, By: bob, When: Star{bobsView}, Err: view.ErrAbsent},
		"no view":                 {By: ann, When: Unstar{v}, Err: view.ErrAbsent},
		"unstarring what is not":  {World: world, By: ann, When: Unstar{o}},
	})
	if o.ID() == bobs.ID() || o.ID() == (Of{EmployeeID: id(9), ClientID: id(1)}).ID() {
		t.Error("an id is that of another favourite")
	}
	if got := o.ID().String(); got != "0e54dd6b-c875-529c-b84e-523bcf7e514c" { // or what was starred would be in another stream
		t.Errorf("the id is %s", got)
	}
}
