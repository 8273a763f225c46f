// Package role is a named set of permissions, each within a reach: those that are
// built in, and those that people make.
package role

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
)

// The roles that are built in. Everybody refers to them by name, and to others by id.
const (
	Agent        = "agent"
	DeskManager  = "desk_manager"
	ProjectAdmin = "project_admin"
	Admin        = "admin"
	Auditor      = "auditor"
	Integration  = "integration" // of API keys, which bring their own permissions
)

// A Builtin is a role that nobody edits.
type Builtin struct {
	ID     domain.ID
	Name   string
	Rights domain.Rights
}

// work is what is done with clients day by day.
var work = []domain.Permission{
	domain.ClientsCreate, domain.ClientsEdit, domain.ClientsAssign, domain.ClientsRetag, domain.ClientsStatus,
	domain.ClientsDeactivate, domain.ClientsMessage, domain.ActivitiesWrite, domain.DocumentsWrite,
}

// upkeep is what is done with many clients at once.
var upkeep = []domain.Permission{domain.ClientsMerge, domain.ClientsImport, domain.ClientsExport, domain.ViewsShare}

func within(r domain.Reach, lists ...[]domain.Permission) []domain.Grant {
	var grants []domain.Grant
	for _, p := range slices.Concat(lists...) {
		grants = append(grants, domain.Grant{Permission: p, Reach: r})
	}
	return grants
}

// Builtins are the built-in roles, from the least to the most, and auditors and
// integrations.
var Builtins = []Builtin{
	builtin(Agent,
		within(domain.OnDesks, []domain.Permission{domain.ClientsView}),
		within(domain.Own, work),
		within(domain.InProjects, []domain.Permission{domain.EmployeesView})),
	builtin(DeskManager,
		within(domain.OnDesks, []domain.Permission{domain.ClientsView}, work, upkeep),
		within(domain.InProjects, []domain.Permission{domain.EmployeesView})),
	builtin(ProjectAdmin,
		within(domain.InProjects, []domain.Permission{domain.ClientsView}, work, upkeep, []domain.Permission{
			domain.ClientsHold, domain.OrganisationManage, domain.EmployeesView, domain.EmployeesManage, domain.AuditView,
		})),
	builtin(Admin, domain.AllRights().Grants()),
	builtin(Auditor, within(domain.Everywhere, []domain.Permission{domain.ClientsView, domain.EmployeesView, domain.AuditView})),
	builtin(Integration),
}

func builtin(name string, grants ...[]domain.Grant) Builtin {
	return Builtin{uuid.NewSHA1(domain.System, []byte("role/"+name)), name, domain.RightsOf(slices.Concat(grants...)...)}
}

// Named returns the built-in role of that name.
func Named(name string) (Builtin, bool) {
	i := slices.IndexFunc(Builtins, func(b Builtin) bool { return b.Name == name })
	if i < 0 {
		return Builtin{}, false
	}
	return Builtins[i], true
}

// Event is the closed set of facts about a role. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new role.
	Created struct{ Definition }
	// Changed gives everybody who holds the role other rights from now on.
	Changed struct {
		From Definition `json:"from"`
		To   Definition `json:"to"`
	}
	// Deleted is the end of a role; whoever still held it has nothing from it.
	Deleted struct{}
)

// Definition is what a role is called and permits.
type Definition struct {
	Name        string         `json:"name"`
	Permissions []domain.Grant `json:"permissions"` // in the order of [domain.Permissions]
}

func (Created) event() {}
func (Changed) event() {}
func (Deleted) event() {}

// Command is the closed set of requests to a role.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a role.
	Create struct {
		Name        string         `json:"name" doc:"What people call the role" maxLength:"100"`
		Permissions []domain.Grant `json:"permissions" doc:"What it permits, how far; nothing that you may not do yourself" maxItems:"100"`
	}
	// Clone makes a role with the permissions of another one, which may be built in.
	Clone struct {
		Name string    `json:"name" doc:"What people call the new role" maxLength:"100"`
		Of   domain.ID `json:"-"`
	}
	// Change renames a role or replaces its permissions. What is left out stays.
	Change struct {
		Name        domain.Field[string]         `json:"name,omitzero" maxLength:"100"`
		Permissions domain.Field[[]domain.Grant] `json:"permissions,omitzero" doc:"What it permits, how far; what is added goes to everybody who holds the role, so it takes somebody who may do it within all"`
	}
	// Delete ends a role that nobody holds.
	Delete struct{}
)

func (Create) command() {}
func (Clone) command()  {}
func (Change) command() {}
func (Delete) command() {}

// State is a role that was made.
type State struct {
	exists, deleted bool
	Definition
}

// Exists says whether there is such a role, still.
func (s State) Exists() bool { return s.exists && !s.deleted }

// Rights are what the role permits: nothing once it is deleted.
func (s State) Rights() domain.Rights {
	if s.deleted {
		return nil
	}
	return domain.RightsOf(s.Permissions...)
}

// Reasons to refuse a command.
var (
	ErrExists  = domain.Errorf(domain.Conflict, "role.exists", "the role exists already")
	ErrAbsent  = domain.Errorf(domain.NotFound, "role.absent", "there is no such role")
	ErrBuiltIn = domain.Errorf(domain.Conflict, "role.built_in", "the role is built in: clone it, and change the clone")
)

// Aggregate is the role for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Role,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func ref(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Role, ID: id} }

func refs(_ State, c Command) []domain.Ref {
	switch c := c.(type) {
	case Clone:
		if !builtIn(c.Of) {
			return []domain.Ref{ref(c.Of)}
		}
	case Create, Change, Delete:
	}
	return nil
}

func builtIn(id domain.ID) bool {
	return slices.ContainsFunc(Builtins, func(b Builtin) bool { return b.ID == id })
}

// IsBuiltIn says of what is no role that was made whether it is built in, to refuse
// to change it.
func IsBuiltIn(id domain.ID) bool { return builtIn(id) }

// RefOf is what employees hold who have the role: the name of a built-in one, the id of
// another.
func RefOf(id domain.ID) string {
	for _, b := range Builtins {
		if b.ID == id {
			return b.Name
		}
	}
	return id.String()
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if !m.By.MayIn(domain.RolesManage, domain.ID{}) {
		return nil, domain.ErrForbidden
	}
	switch c := c.(type) {
	case Create:
		if s.exists {
			return nil, ErrExists
		}
		d, err := define(c.Name, c.Permissions, m.By)
		if err != nil {
			return nil, err
		}
		return []Event{Created{d}}, nil
	case Clone:
		if s.exists {
			return nil, ErrExists
		}
		of, err := grantsOf(c.Of, w)
		if err != nil {
			return nil, err
		}
		d, err := define(c.Name, of, m.By)
		if err != nil {
			return nil, err
		}
		return []Event{Created{d}}, nil
	case Change:
		if !s.Exists() {
			return nil, ErrAbsent
		}
		return c.decide(s, m.By)
	case Delete:
		if !s.Exists() {
			return nil, ErrAbsent
		}
		if err := domain.CheckRights("permissions", s.Rights(), m.By); err != nil {
			return nil, err
		}
		return []Event{Deleted{}}, nil
	}
	return nil, nil
}

func grantsOf(id domain.ID, w domain.World) ([]domain.Grant, error) {
	for _, b := range Builtins {
		if b.ID == id {
			return b.Rights.Grants(), nil
		}
	}
	s := domain.Look[State](w, ref(id))
	if !s.Exists() {
		return nil, ErrAbsent
	}
	return s.Permissions, nil
}

func define(name string, grants []domain.Grant, by domain.Authority) (Definition, error) {
	d := Definition{Name: domain.Text(name), Permissions: domain.RightsOf(grants...).Grants()}
	var f domain.Faults
	f.Add(domain.CheckName("name", d.Name, 100))
	if slices.ContainsFunc(Builtins, func(b Builtin) bool { return strings.EqualFold(b.Name, d.Name) }) {
		f.Add(domain.Fault("name", "taken", "is the name of a role that is built in"))
	}
	f.Add(domain.CheckGrants("permissions", grants, by))
	return d, f.Err()
}

func (c Change) decide(s State, by domain.Authority) ([]Event, error) {
	// Who may not do what the role permits may not take it from others either.
	if err := domain.CheckRights("permissions", s.Rights(), by); err != nil {
		return nil, err
	}
	to, err := define(c.Name.Or(s.Name), c.Permissions.Or(s.Permissions), by)
	if err != nil {
		return nil, err
	}
	for _, g := range to.Permissions {
		// It goes to whoever holds the role, wherever they work, and not only to where the actor does.
		if g.Reach > s.Rights()[g.Permission] && by.Rights[g.Permission] < domain.Everywhere {
			return nil, &domain.Error{
				Kind: domain.Forbidden, Code: "not_yours_everywhere", Field: "permissions",
				Msg: fmt.Sprintf("would give %s to everybody who holds the role, wherever they work, and you do not have it within all: make another role, and give them that", g.Permission),
			}
		}
	}
	if to.Name == s.Name && slices.Equal(to.Permissions, s.Permissions) {
		return nil, nil
	}
	return []Event{Changed{From: s.Definition, To: to}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.exists, s.Definition = true, e.Definition
	case Changed:
		s.Definition = e.To
	case Deleted:
		s.deleted = true
	}
	return s
}

// Refs are the roles among names that were made, as a decision refers to them.
func Refs(names []string) []domain.Ref {
	var refs []domain.Ref
	for _, n := range names {
		if id, err := uuid.Parse(n); err == nil {
			refs = append(refs, ref(id))
		}
	}
	return refs
}

// RightsOf are the rights of somebody with these roles, of which those that were
// made are in w.
func RightsOf(names []string, w domain.World) domain.Rights {
	var all []domain.Grant
	for _, n := range names {
		if b, ok := Named(n); ok {
			all = append(all, b.Rights.Grants()...)
		} else if id, err := uuid.Parse(n); err == nil {
			all = append(all, domain.Look[State](w, ref(id)).Rights().Grants()...)
		}
	}
	return domain.RightsOf(all...)
}

// Check brings the names of roles into the form in which they are stored, each once,
// and faults those that there are not.
func Check(field string, names []string, w domain.World) ([]string, error) {
	var f domain.Faults
	out := []string{}
	for i, n := range names {
		at := domain.At(field, i)
		id, err := uuid.Parse(n)
		if err == nil {
			n = RefOf(id)
		}
		_, named := Named(n)
		switch {
		case n == Integration:
			f.Add(domain.Fault(at, "not_for_people", "is for API keys"))
		case !named && (err != nil || !domain.Look[State](w, ref(id)).Exists()):
			f.Add(domain.Fault(at, "unknown", "%q names no role", n))
		case !slices.Contains(out, n):
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, f.Err()
}
