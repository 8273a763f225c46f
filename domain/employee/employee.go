// Package employee is a user of the CRM: who may sign in, and which projects and
// desks they work for.
package employee

import (
	"fmt"
	"slices"

	"annals/domain"
	"annals/domain/desk"
)

// Admin is the role that sees and does everything.
const Admin = "admin"

// Roles are the roles that an employee can be given.
var Roles = []string{Admin, "agent"}

// Event is the closed set of facts about an employee. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Registered is a new employee, who is assigned to nothing yet.
	Registered struct {
		Name  string   `json:"name" personal:"yes"`
		Email string   `json:"email" personal:"yes"`
		Roles []string `json:"roles,omitempty"`
	}
	// Assigned says which projects and desks the employee works for from now on.
	Assigned struct {
		Projects []domain.ID `json:"projects"`
		Desks    []domain.ID `json:"desks"`
	}
)

func (Registered) event() {}
func (Assigned) event()   {}

// Command is the closed set of requests to an employee.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Register makes an employee. Whether the address is free is for the
	// credentials to say, since it is what signs somebody in.
	Register struct {
		Name  string   `json:"name" doc:"What colleagues call them" maxLength:"200"`
		Email string   `json:"email" doc:"The address that they sign in with" maxLength:"254"`
		Roles []string `json:"roles,omitempty" doc:"admin sees and does everything; agent, what the assignments allow" maxItems:"10"`
	}
	// Assign sets the projects and desks that the employee works for. What is
	// left out stays; an empty list takes all away.
	Assign struct {
		Projects *[]domain.ID `json:"projects,omitempty" doc:"All projects that the employee works for from now on" maxItems:"1000"`
		Desks    *[]domain.ID `json:"desks,omitempty" doc:"All desks that the employee works for from now on; each belongs to one of the projects" maxItems:"1000"`
	}
)

func (Register) command() {}
func (Assign) command()   {}

// State is what decisions need to know about an employee.
type State struct {
	exists   bool
	Name     string
	Email    string
	Roles    []string
	projects []domain.ID
	desks    []domain.ID
}

// Exists says whether there is such an employee.
func (s State) Exists() bool { return s.exists }

// Admin says whether the employee sees and does everything.
func (s State) Admin() bool { return slices.Contains(s.Roles, Admin) }

// Assigned is what the employee works for, whatever their roles: who may be the
// manager of a client is decided by it.
func (s State) Assigned() domain.Scope {
	return domain.Scope{Projects: set(s.projects), Desks: set(s.desks)}
}

// Scope is what the employee may see and work on.
func (s State) Scope() domain.Scope {
	if s.Admin() {
		return domain.Everything
	}
	return s.Assigned()
}

func set(ids []domain.ID) map[domain.ID]bool {
	m := make(map[domain.ID]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// Reasons to refuse a command.
var (
	ErrExists = domain.Errorf(domain.Conflict, "employee.exists", "the employee exists already")
	ErrAbsent = domain.Errorf(domain.NotFound, "employee.absent", "there is no such employee")
)

// Aggregate is the employee for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Employee,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func refs(s State, c Command) []domain.Ref {
	var refs []domain.Ref
	switch c := c.(type) {
	case Register:
	case Assign:
		projects, desks := c.over(s)
		for _, id := range projects {
			refs = append(refs, domain.Ref{Category: domain.Project, ID: id})
		}
		for _, id := range desks {
			refs = append(refs, domain.Ref{Category: domain.Desk, ID: id})
		}
	}
	return refs
}

func decide(s State, c Command, w domain.World, _ domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Register:
		if s.exists {
			return nil, ErrExists
		}
		return c.decide()
	case Assign:
		if !s.exists {
			return nil, ErrAbsent
		}
		return c.decide(s, w)
	}
	return nil, nil
}

func (c Register) decide() ([]Event, error) {
	e := Registered{Name: domain.Text(c.Name), Email: domain.Text(c.Email)}
	f := domain.Faults{}
	f.Add(domain.CheckName("name", e.Name, 200))
	f.Add(domain.CheckEmail("email", e.Email))
	for i, role := range c.Roles {
		if !slices.Contains(Roles, role) {
			f.Add(domain.Fault(fmt.Sprintf("roles[%d]", i), "unknown", "is none of the roles %v", Roles))
		}
		if !slices.Contains(e.Roles, role) {
			e.Roles = append(e.Roles, role)
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// over is the projects and desks once the command is carried out.
func (c Assign) over(s State) (projects, desks []domain.ID) {
	projects, desks = sorted(s.projects), sorted(s.desks)
	if c.Projects != nil {
		projects = sorted(*c.Projects)
	}
	if c.Desks != nil {
		desks = sorted(*c.Desks)
	}
	return projects, desks
}

func sorted(ids []domain.ID) []domain.ID {
	ids = append([]domain.ID{}, ids...) // never nil: the log says none, not null
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids)
}

func (c Assign) decide(s State, w domain.World) ([]Event, error) {
	e := Assigned{}
	e.Projects, e.Desks = c.over(s)
	f := domain.Faults{}
	for _, id := range e.Projects {
		if !w.Has(domain.Ref{Category: domain.Project, ID: id}) {
			f.Add(domain.Fault("projects", "unknown", "%s names no project", id))
		}
	}
	for _, id := range e.Desks {
		switch d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: id}); {
		case !d.Exists():
			f.Add(domain.Fault("desks", "unknown", "%s names no desk", id))
		case !slices.Contains(e.Projects, d.ProjectID):
			f.Add(domain.Fault("desks", "other_project", "%s belongs to project %s, to which the employee is not assigned", id, d.ProjectID))
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	if slices.Equal(e.Projects, s.projects) && slices.Equal(e.Desks, s.desks) {
		return nil, nil
	}
	return []Event{e}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.exists, s.Name, s.Email, s.Roles = true, e.Name, e.Email, e.Roles
	case Assigned:
		s.projects, s.desks = e.Projects, e.Desks
	}
	return s
}
