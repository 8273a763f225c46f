// Package employee is a user of the CRM: who may sign in, what their roles let them
// do, and which projects and desks they work for.
package employee

import (
	"slices"

	"annals/domain"
	"annals/domain/role"
)

// Command is the closed set of requests to an employee.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Register makes an employee. Whether the address is free is for the
	// credentials to say, since it is what signs somebody in.
	Register struct {
		Name     string      `json:"name" doc:"What colleagues call them" maxLength:"200"`
		Email    string      `json:"email" doc:"The address that they sign in with" maxLength:"254"`
		Roles    *[]string   `json:"roles,omitempty" doc:"Names of built-in roles and ids of others; agent if left out" maxItems:"50"`
		Projects []domain.ID `json:"projects,omitempty" doc:"The projects that they work for; who manages the employees of some projects only has to name one of them" maxItems:"1000"`
		Desks    []domain.ID `json:"desks,omitempty" doc:"The desks that they work for; each belongs to one of the projects" maxItems:"1000"`
	}
	// Edit changes what an employee is called and how they sign in. What is left out stays.
	Edit struct {
		Name  domain.Field[string] `json:"name,omitzero" maxLength:"200"`
		Email domain.Field[string] `json:"email,omitzero" maxLength:"254"`
	}
	// Assign sets the projects and desks that the employee works for. What is
	// left out stays; an empty list takes all away. Whether they leave clients behind
	// is for the command side to see.
	Assign struct {
		Projects   *[]domain.ID            `json:"projects,omitempty" doc:"All projects that the employee works for from now on; those in which you manage nobody stay as they are" maxItems:"1000"`
		Desks      *[]domain.ID            `json:"desks,omitempty" doc:"All desks that the employee works for from now on; each belongs to one of the projects" maxItems:"2000"`
		ReassignTo domain.Field[domain.ID] `json:"reassign_to,omitzero" doc:"The employee who takes over the clients that this one manages where they leave"`
	}
	// SetRoles replaces the roles of an employee.
	SetRoles struct {
		Roles []string `json:"roles" doc:"Names of built-in roles and ids of others; none permit nothing" maxItems:"50"`
	}
	// Deactivate ends an employee's access at once.
	Deactivate struct {
		ReassignTo domain.Field[domain.ID] `json:"reassign_to,omitzero" doc:"The employee who takes over the clients that this one manages; left out, they keep their manager until they are reassigned"`
	}
	// Reactivate gives back what the employee had.
	Reactivate struct{}
	// Note keeps in the log that what an employee proves who they are with has changed.
	Note struct{ CredentialChanged CredentialChanged }
)

func (Register) command()   {}
func (Edit) command()       {}
func (Assign) command()     {}
func (SetRoles) command()   {}
func (Deactivate) command() {}
func (Reactivate) command() {}
func (Note) command()       {}

// State is what decisions need to know about an employee.
type State struct {
	exists      bool
	deactivated bool
	Identity
	Roles    []string // names of built-in roles, ids of others
	Projects []domain.ID
	Desks    []domain.ID
}

// Exists says whether there is such an employee.
func (s State) Exists() bool { return s.exists }

// Active says whether the employee may sign in and own clients.
func (s State) Active() bool { return s.exists && !s.deactivated }

// Scope is what the employee works for, whatever their roles: who may be the
// manager of a client is decided by it.
func (s State) Scope() domain.Scope { return domain.ScopeOf(s.Projects, s.Desks) }

// Eligible says whether the employee can be the manager of a client of the project
// and desk.
func (s State) Eligible(project, desk domain.ID) bool {
	return s.Active() && s.Scope().Covers(project, desk)
}

// Authority is what the employee may do at this moment; those of their roles that are
// not built in are in w, see [role.Refs].
func (s State) Authority(id domain.ID, w domain.World) domain.Authority {
	if !s.Active() {
		return domain.Authority{}
	}
	return domain.Authority{ID: id, Rights: role.RightsOf(s.Roles, w), Scope: s.Scope()}
}

// Reasons to refuse a command.
var (
	ErrExists      = domain.Errorf(domain.Conflict, "employee.exists", "the employee exists already")
	ErrAbsent      = domain.Errorf(domain.NotFound, "employee.absent", "there is no such employee")
	ErrDeactivated = domain.Errorf(domain.Conflict, "employee.deactivated", "the employee is deactivated: reactivate them first")
	ErrSelf        = domain.Errorf(domain.Forbidden, "self", "nobody does this to themselves: ask a colleague who may")
	errElsewhere   = domain.Errorf(domain.Forbidden, "works_elsewhere", "the employee also works for projects in which you may not do this")
)

// Aggregate is the employee for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Employee,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func refs(s State, c Command) []domain.Ref {
	refs := role.Refs(s.Roles)
	places := func(projects, desks []domain.ID) {
		for _, id := range projects {
			refs = append(refs, domain.Ref{Category: domain.Project, ID: id})
		}
		for _, id := range desks {
			refs = append(refs, domain.Ref{Category: domain.Desk, ID: id})
		}
	}
	switch c := c.(type) {
	case Register:
		refs = append(refs, role.Refs(c.roles())...)
		places(c.Projects, c.Desks)
	case Assign:
		places(given(c.Projects), given(c.Desks))
		places(s.Projects, s.Desks)
	case SetRoles:
		refs = append(refs, role.Refs(c.Roles)...)
	case Edit, Deactivate, Reactivate, Note:
	}
	return refs
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if c, ok := c.(Register); ok {
		if s.exists {
			return nil, ErrExists
		}
		return c.decide(w, m.By)
	}
	if !s.exists {
		return nil, ErrAbsent
	}
	if c, ok := c.(Note); ok { // who may is for the credentials to say
		return []Event{c.CredentialChanged}, nil
	}
	_, assigning := c.(Assign)
	if err := s.managed(m.Aggregate, m.By, w, assigning); err != nil {
		return nil, err
	}
	if s.deactivated {
		switch c.(type) {
		case Edit, Assign, SetRoles:
			return nil, ErrDeactivated
		case Reactivate:
			return []Event{Reactivated{}}, nil
		case Register, Deactivate, Note:
		}
		return nil, nil
	}
	switch c := c.(type) {
	case Edit:
		return c.decide(s)
	case Assign:
		return c.decide(s, w, m.By)
	case SetRoles:
		if m.By.Is(m.Aggregate) {
			return nil, ErrSelf
		}
		return c.decide(s, w, m.By)
	case Deactivate:
		if m.By.Is(m.Aggregate) {
			return nil, ErrSelf
		}
		return []Event{Deactivated{}}, nil
	case Register, Reactivate, Note:
	}
	return nil, nil
}

// Visible says whether somebody sees the employee id: themselves, and those whom
// their permission reaches.
func (s State) Visible(id domain.ID, by domain.Authority) bool {
	if id == by.ID {
		return true
	}
	shares := func(ids []domain.ID, mine map[domain.ID]bool) bool {
		return slices.ContainsFunc(ids, func(id domain.ID) bool { return mine[id] })
	}
	switch by.Rights[domain.EmployeesView] {
	case domain.Everywhere:
		return true
	case domain.InProjects:
		return shares(s.Projects, by.Scope.Projects)
	case domain.OnDesks:
		return shares(s.Desks, by.Scope.Desks)
	case domain.Own, domain.Nothing:
	}
	return false
}

// managed refuses who may not change the employee: whom they do not see, who is out of
// their reach, and who may more than they may themselves, since whoever can change
// how somebody signs in can act as them. Only to assign somebody to one's
// own projects, they may have others as well.
func (s State) managed(id domain.ID, by domain.Authority, w domain.World, assigning bool) error {
	switch {
	case !s.Visible(id, by):
		return ErrAbsent
	case by.Rights[domain.EmployeesManage] < domain.InProjects:
		return domain.ErrForbidden
	case by.Rights[domain.EmployeesManage] == domain.InProjects:
		mine := func(id domain.ID) bool { return by.Scope.Projects[id] }
		if !slices.ContainsFunc(s.Projects, mine) {
			return domain.ErrForbidden
		}
		if !assigning && slices.ContainsFunc(s.Projects, func(id domain.ID) bool { return !mine(id) }) {
			return errElsewhere
		}
	}
	rights := role.RightsOf(s.Roles, w)
	if assigning { // what they may where they are has nothing to do with where they are to go
		return domain.CheckRights("roles", rights, by)
	}
	return domain.CheckRightsIn("roles", rights, s.Scope(), by)
}

// roles are those that a new employee gets.
func (c Register) roles() []string {
	if c.Roles == nil {
		return []string{role.Agent}
	}
	return *c.Roles
}

func (c Register) decide(w domain.World, by domain.Authority) ([]Event, error) {
	if by.Rights[domain.EmployeesManage] < domain.InProjects {
		return nil, domain.ErrForbidden
	}
	e := Registered{Identity: normal(Identity{c.Name, c.Email})}
	var f domain.Faults
	f.Add(e.check())
	var err error
	e.Roles, err = role.Check("roles", c.roles(), w)
	f.Add(err)
	rights := role.RightsOf(e.Roles, w)
	if err := domain.CheckRights("roles", rights, by); err != nil {
		f.Add(err)
		rights = nil // that they are too much is told once
	}
	to := Assigned{sorted(c.Projects), sorted(c.Desks)}
	f.Add(to.check(State{}, rights, w, by))
	if len(to.Projects) == 0 && by.Rights[domain.EmployeesManage] < domain.Everywhere {
		f.Add(domain.Fault("projects", "required", "has to name a project in which you manage the employees"))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	if len(to.Projects) == 0 {
		return []Event{e}, nil
	}
	return []Event{e, to}, nil
}

func normal(i Identity) Identity { return Identity{domain.Text(i.Name), domain.Text(i.Email)} }

func (i Identity) check() error {
	var f domain.Faults
	f.Add(domain.CheckName("name", i.Name, 200))
	f.Add(domain.CheckEmail("email", i.Email))
	return f.Err()
}

// Over is who the employee is once the command is carried out.
func (c Edit) Over(s State) Identity {
	return normal(Identity{c.Name.Or(s.Name), c.Email.Or(s.Email)})
}

func (c Edit) decide(s State) ([]Event, error) {
	to := c.Over(s)
	if to == s.Identity {
		return nil, nil
	}
	if err := to.check(); err != nil {
		return nil, err
	}
	return []Event{Edited{s.Identity, to}}, nil
}

func (c SetRoles) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	to, err := role.Check("roles", c.Roles, w)
	if err != nil {
		return nil, err
	}
	if err := domain.CheckRightsIn("roles", role.RightsOf(to, w), s.Scope(), by); err != nil {
		return nil, err
	}
	if slices.Equal(to, s.Roles) {
		return nil, nil
	}
	return []Event{RolesChanged{list(s.Roles), to}}, nil
}

// list is never nil: the log says none, not null.
func list[T any](s []T) []T { return append([]T{}, s...) }

func sorted(ids []domain.ID) []domain.ID {
	ids = list(ids)
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids)
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.exists, s.Identity, s.Roles = true, e.Identity, e.Roles
	case Edited:
		s.Identity = e.To
	case Assigned:
		s.Projects, s.Desks = e.Projects, e.Desks
	case RolesChanged:
		s.Roles = e.To
	case Deactivated:
		s.deactivated = true
	case Reactivated:
		s.deactivated = false
	case CredentialChanged:
	}
	return s
}
