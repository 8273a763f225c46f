// Package project is the business unit that clients belong to. It contains desks.
package project

import (
	"reflect"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/registry"
)

// Event is the closed set of facts about a project. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new project, with the desk that it always has.
	Created struct {
		Name          string    `json:"name"`
		DefaultDeskID domain.ID `json:"default_desk_id"`
	}
	// TransitionsChanged is which changes of status there are from now on for the
	// project's clients. Those who have a status keep it, whether it can be reached or not.
	TransitionsChanged struct {
		From Transitions `json:"from,omitempty"`
		To   Transitions `json:"to,omitempty"`
	}
)

func (Created) event()            {}
func (TransitionsChanged) event() {}

// Command is the closed set of requests to a project.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a project and its default desk.
	Create struct {
		Name string `json:"name" doc:"What people call the project" maxLength:"200"`
	}
	// SetTransitions says to which statuses the project's clients can change from which.
	SetTransitions struct {
		Allowed Transitions `json:"allowed,omitempty" nullable:"true" doc:"To which statuses a client can change from each; from one that is left out to none. Null or empty: from each to each" example:"{\"lead\":[\"active\",\"inactive\"],\"active\":[\"inactive\"],\"inactive\":[\"active\"]}"`
	}
)

func (Create) command()         {}
func (SetTransitions) command() {}

// State is what decisions need to know about a project.
type State struct {
	exists      bool
	Name        string
	transitions Transitions
}

// Exists says whether there is such a project.
func (s State) Exists() bool { return s.exists }

// Allows says whether a client of the project can change from one status to another.
func (s State) Allows(from, to string) bool { return s.transitions.allow(from, to) }

// Reasons to refuse a command.
var (
	ErrExists = domain.Errorf(domain.Conflict, "project.exists", "the project exists already")
	ErrAbsent = domain.Errorf(domain.NotFound, "project.absent", "there is no such project")
)

// Aggregate is the project for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category:   domain.Project,
	Decide:     decide,
	Evolve:     evolve,
	Companions: companions,
}

func decide(s State, c Command, _ domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Create:
		if !m.By.MayIn(domain.OrganisationManage, domain.ID{}) {
			return nil, domain.ErrForbidden
		}
		if s.exists {
			return nil, ErrExists
		}
		name := domain.Text(c.Name)
		if err := domain.CheckName("name", name, 200); err != nil {
			return nil, err
		}
		return []Event{Created{Name: name, DefaultDeskID: uuid.NewSHA1(m.Command, []byte("default-desk"))}}, nil
	case SetTransitions:
		if !s.exists {
			return nil, ErrAbsent
		}
		if err := registry.Admits(m.By, m.Aggregate, ErrAbsent, domain.OrganisationManage); err != nil {
			return nil, err
		}
		to, err := c.Allowed.normal("allowed")
		if err != nil || reflect.DeepEqual(to, s.transitions) {
			return nil, err
		}
		return []Event{TransitionsChanged{s.transitions, to}}, nil
	}
	return nil, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.exists, s.Name = true, e.Name
	case TransitionsChanged:
		s.transitions = e.To
	}
	return s
}

// companions has the default desk exist before its project does, so that there
// is no moment, and no crash, that leaves a project without one.
func companions(id domain.ID, e Event) []domain.Companion {
	switch e := e.(type) {
	case Created:
		return []domain.Companion{{
			Ref:    domain.Ref{Category: domain.Desk, ID: e.DefaultDeskID},
			Events: []any{desk.Created{ProjectID: id, Name: "Default", Default: true}},
		}}
	case TransitionsChanged:
	}
	return nil
}
