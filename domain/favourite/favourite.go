// Package favourite is what an employee has starred, to find it again. Each pair of an
// employee and what they starred is an aggregate of its own, whose id is made of both
// (see [Of.ID]): no stream gets longer than somebody changes their mind about one thing, and
// two stars at the same moment are not in each other's way.
//
// Favourites are a person's own. By ADR 8 an API key acts for its owner, and what is
// somebody's own means nothing for it: a key has no favourites and leaves those of its
// owner alone, as it does their inbox.
package favourite

import (
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/view"
)

// Event is the closed set of facts about a favourite. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Starred makes something one of an employee's favourites.
	Starred struct{ Of }
	// Unstarred takes it from them.
	Unstarred struct{ Of }
)

// Of is whose favourite it is, and what.
type Of struct {
	EmployeeID domain.ID `json:"employee_id"`
	ClientID   domain.ID `json:"client_id,omitzero"`
	ViewID     domain.ID `json:"view_id,omitzero"` // unless it is a client
}

func (Starred) event()   {}
func (Unstarred) event() {}

// Command is the closed set of requests to a favourite.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Star makes something one of an employee's favourites.
	Star struct{ Of }
	// Unstar takes it from them.
	Unstar struct{ Of }
)

func (Star) command()   {}
func (Unstar) command() {}

// State says whether it is a favourite.
type State struct{ Starred bool }

// ErrPeople refuses whoever has no favourites of their own, and to touch another's.
var ErrPeople = domain.Errorf(domain.Forbidden, "people_only", "only employees who have signed in have favourites, and only their own")

// Aggregate is the favourite for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.Favourite, Refs: refs, Decide: decide, Evolve: evolve}

// ID is that of the aggregate.
func (o Of) ID() domain.ID {
	of := o.ref().ID
	return uuid.NewSHA1(o.EmployeeID, of[:])
}

func of(c Command) Of {
	switch c := c.(type) {
	case Star:
		return c.Of
	case Unstar:
		return c.Of
	}
	return Of{}
}

func (o Of) ref() domain.Ref {
	if o.ViewID != (domain.ID{}) {
		return domain.Ref{Category: domain.View, ID: o.ViewID}
	}
	return domain.Ref{Category: domain.Client, ID: o.ClientID}
}

func refs(_ State, c Command) []domain.Ref { return []domain.Ref{of(c).ref()} }

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	o := of(c)
	if m.By.ID == (domain.ID{}) || m.By.ID != o.EmployeeID {
		return nil, ErrPeople
	}
	if err := o.visible(w, m.By); err != nil {
		return nil, err
	}
	switch c.(type) {
	case Star:
		if !s.Starred {
			return []Event{Starred{o}}, nil
		}
	case Unstar:
		if s.Starred {
			return []Event{Unstarred{o}}, nil
		}
	}
	return nil, nil
}

// visible refuses what the employee does not see as what is not there.
func (o Of) visible(w domain.World, by domain.Authority) error {
	if o.ViewID == (domain.ID{}) {
		return domain.Look[client.State](w, o.ref()).Admits(by, domain.ClientsView)
	}
	if !domain.Look[view.State](w, o.ref()).Visible(by) {
		return view.ErrAbsent
	}
	return nil
}

func evolve(s State, e Event) State {
	switch e.(type) {
	case Starred:
		s.Starred = true
	case Unstarred:
		s.Starred = false
	}
	return s
}
