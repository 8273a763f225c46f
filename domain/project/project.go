// Package project is the business unit that clients belong to. It contains desks.
package project

import (
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/desk"
)

// Event is the closed set of facts about a project. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Created is a new project, with the desk that it always has.
type Created struct {
	Name          string    `json:"name"`
	DefaultDeskID domain.ID `json:"default_desk_id"`
}

func (Created) event() {}

// Command is the closed set of requests to a project.
//
//sumtype:decl
type Command interface{ command() }

// Create makes a project and its default desk.
type Create struct {
	Name string `json:"name" doc:"What people call the project" maxLength:"200"`
}

func (Create) command() {}

// State is what decisions need to know about a project.
type State struct{ exists bool }

// Exists says whether there is such a project.
func (s State) Exists() bool { return s.exists }

// ErrExists refuses to create what is there.
var ErrExists = domain.Errorf(domain.Conflict, "project.exists", "the project exists already")

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
	}
	return nil, nil
}

func evolve(s State, e Event) State {
	switch e.(type) {
	case Created:
		s.exists = true
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
	}
	return nil
}
