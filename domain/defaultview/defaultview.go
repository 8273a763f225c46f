// Package defaultview is which view those begin with who hold a role. It has the id of
// its role: what is built in has no stream of its own that could say so.
package defaultview

import (
	"annals/domain"
	"annals/domain/role"
	"annals/domain/view"
)

// Event is the closed set of facts about a role's default view. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Changed says with which view those begin who hold the role, the zero ID for none.
type Changed struct {
	Role string    `json:"role"` // the name of a built-in one, the id of another
	From domain.ID `json:"from,omitzero"`
	To   domain.ID `json:"to,omitzero"`
}

func (Changed) event() {}

// Command is the closed set of requests to a role's default view.
//
//sumtype:decl
type Command interface{ command() }

// Set makes a view that is shared the default of a role. Those with whom it is not shared
// have no use of that, and do not learn of it.
type Set struct {
	RoleID domain.ID               `json:"-"`
	ViewID domain.Field[domain.ID] `json:"view_id" doc:"A view that is shared, or null for none"`
}

func (Set) command() {}

// State is a role's default view, the zero ID for none.
type State struct{ ViewID domain.ID }

// Reasons to refuse a command.
var (
	ErrView    = domain.Fault("view_id", "unknown", "names no view")
	ErrPrivate = domain.Fault("view_id", "private", "is shared with nobody: share it first")
)

// Aggregate is the default view for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.DefaultView, Refs: refs, Decide: decide, Evolve: evolve}

func viewRef(id domain.ID) domain.Ref { return domain.Ref{Category: domain.View, ID: id} }

func roleRef(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Role, ID: id} }

func refs(_ State, c Command) []domain.Ref {
	switch c := c.(type) {
	case Set:
		return []domain.Ref{roleRef(c.RoleID), viewRef(c.ViewID.Value)}
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Set:
		return c.decide(s, w, m.By)
	}
	return nil, nil
}

func (c Set) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	if !by.MayIn(domain.SettingsManage, domain.ID{}) {
		return nil, domain.ErrForbidden
	}
	of := role.RefOf(c.RoleID)
	if !role.IsBuiltIn(c.RoleID) && !w.Has(roleRef(c.RoleID)) {
		return nil, role.ErrAbsent
	}
	to := c.ViewID.Value
	if to == s.ViewID {
		return nil, nil
	}
	v := domain.Look[view.State](w, viewRef(to))
	switch {
	case to == domain.ID{}:
	case !v.Visible(by):
		return nil, ErrView
	case v.Shared == view.Shared{}:
		return nil, ErrPrivate
	}
	return []Event{Changed{Role: of, From: s.ViewID, To: to}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Changed:
		s.ViewID = e.To
	}
	return s
}
