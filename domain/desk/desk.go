// Package desk is a team inside one project. It never moves to another.
package desk

import "annals/domain"

// Event is the closed set of facts about a desk. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Created is a new desk.
type Created struct {
	ProjectID domain.ID `json:"project_id"`
	Name      string    `json:"name"`
	Default   bool      `json:"default,omitempty"` // the one that its project always has
}

func (Created) event() {}

// Command is the closed set of requests to a desk.
//
//sumtype:decl
type Command interface{ command() }

// Create makes a desk in a project.
type Create struct {
	ProjectID domain.ID `json:"project_id" doc:"The project that the desk belongs to, for good" format:"uuid"`
	Name      string    `json:"name" doc:"What people call the desk" maxLength:"200"`
}

func (Create) command() {}

// State is what decisions need to know about a desk.
type State struct{ ProjectID domain.ID }

// Exists says whether there is such a desk.
func (s State) Exists() bool { return s.ProjectID != domain.ID{} }

// Reasons to refuse a command.
var (
	ErrExists  = domain.Errorf(domain.Conflict, "desk.exists", "the desk exists already")
	ErrProject = domain.Fault("project_id", "unknown", "names no project")
)

// Aggregate is the desk for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Desk,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func project(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Project, ID: id} }

func refs(_ State, c Command) []domain.Ref {
	switch c := c.(type) {
	case Create:
		return []domain.Ref{project(c.ProjectID)}
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Create:
		if s.Exists() {
			return nil, ErrExists
		}
		var f domain.Faults
		switch reach := m.By.Rights[domain.OrganisationManage]; {
		case reach < domain.InProjects:
			return nil, domain.ErrForbidden
		case c.ProjectID == domain.ID{}:
			f.Add(domain.Fault("project_id", "required", "is required"))
		case !m.By.MayIn(domain.OrganisationManage, c.ProjectID):
			f.Add(domain.OutOfReach("project_id", "project"))
		case !w.Has(project(c.ProjectID)):
			f.Add(ErrProject)
		}
		name := domain.Text(c.Name)
		f.Add(domain.CheckName("name", name, 200))
		if err := f.Err(); err != nil {
			return nil, err
		}
		return []Event{Created{ProjectID: c.ProjectID, Name: name}}, nil
	}
	return nil, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.ProjectID = e.ProjectID
	}
	return s
}
