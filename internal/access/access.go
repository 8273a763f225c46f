// Package access is who is asking and what they may see: domain's rule as SQL for
// reads, and as what row-level security in PostgreSQL goes by.
package access

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"annals/domain"
)

// Actor is who asks.
type Actor struct {
	domain.Authority
	Who     domain.ID // the employee, or the API key
	Owner   domain.ID // the employee whose key it is; the zero ID for an employee
	Roles   []string  // names of built-in roles, ids of others
	Session domain.ID // the zero ID for a key
	Token   string    // what they showed; secret
}

// IsKey says whether a program asks, with an API key.
func (a *Actor) IsKey() bool { return a.Owner != domain.ID{} }

// Caller is a request's circumstances.
type Caller struct {
	Actor     *Actor // nil: nobody has signed in
	Denied    error  // why a token that was sent does not count
	Cookie    bool   // the token came in a cookie
	IP        netip.Addr
	UserAgent string
	Request   domain.ID // names the request in logs, events and the answer
}

type callerKey struct{}

// With returns a context that carries c.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller in ctx: nobody where there is none.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Authority is that of the caller in ctx: of nobody where there is none.
func Authority(ctx context.Context) domain.Authority {
	if a := From(ctx).Actor; a != nil {
		return a.Authority
	}
	return domain.Authority{}
}

// Clients is [domain.Authority.May] as SQL, for the rows of a table with the columns
// project_id, desk_id and manager_id, null for none. Bind adds a parameter to the
// query and returns its placeholder.
func Clients(a domain.Authority, p domain.Permission, table string, bind func(any) string) string {
	projects := func() string {
		return fmt.Sprintf("%s.project_id = any(%s::uuid[])", table, bind(ids(a.Scope.Projects)))
	}
	desks := func() string { return fmt.Sprintf("%s.desk_id = any(%s::uuid[])", table, bind(ids(a.Scope.Desks))) }
	mine := func() string { return fmt.Sprintf("%s.manager_id = %s::uuid", table, bind(a.ID)) }
	switch a.Rights[p] {
	case domain.Everywhere:
		return "true"
	case domain.InProjects:
		return projects()
	case domain.OnDesks:
		return fmt.Sprintf("(%s and (%s or %s.desk_id is null and %s))", projects(), desks(), table, mine())
	case domain.Own:
		return fmt.Sprintf("(%s and (%s or %s.desk_id is null) and %s)", projects(), desks(), table, mine())
	case domain.Nothing:
	}
	return "false"
}

// Organisation says whether somebody sees all projects and desks, rather than those
// of the projects that they are assigned to.
func Organisation(a domain.Authority) bool {
	return max(a.Rights[domain.ClientsView], a.Rights[domain.OrganisationManage], a.Rights[domain.EmployeesView]) == domain.Everywhere
}

// Projects is the predicate for rows that belong to a project, whose id is in
// column: everybody sees the organisation of the projects they work for.
func Projects(a domain.Authority, column string, bind func(any) string) string {
	if Organisation(a) {
		return "true"
	}
	return fmt.Sprintf(`%s = any(%s::uuid[])`, column, bind(ids(a.Scope.Projects)))
}

// A Setting is what the policies of row-level security read, with
// current_setting(name, true); where nobody asks it is not set, or empty.
type Setting struct{ Name, Value string }

// Settings are what the policies need to know about somebody. Ids are as PostgreSQL
// writes an array, reaches named as in the API, and empty for nothing.
//
//	annals.actor      the employee or key that asks
//	annals.me         the employee whose own clients are: empty for a key
//	annals.clients    the reach within which they see clients
//	annals.employees  the reach within which they see employees
//	annals.audit      the reach within which they see what others did
//	annals.settings   the reach within which they manage the settings, keys of others among them
//	annals.all        on: they see all projects and desks
//	annals.projects   the projects that they are assigned to
//	annals.desks      the desks that they are assigned to
func Settings(a *Actor) []Setting {
	if a == nil {
		a = &Actor{}
	}
	all := ""
	if Organisation(a.Authority) {
		all = "on"
	}
	return []Setting{
		{"annals.actor", text(a.Who)},
		{"annals.me", text(a.ID)},
		{"annals.clients", a.Rights[domain.ClientsView].String()},
		{"annals.employees", a.Rights[domain.EmployeesView].String()},
		{"annals.audit", a.Rights[domain.AuditView].String()},
		{"annals.settings", a.Rights[domain.SettingsManage].String()},
		{"annals.all", all},
		{"annals.projects", joined(a.Scope.Projects)},
		{"annals.desks", joined(a.Scope.Desks)},
	}
}

func text(id domain.ID) string {
	if id == (domain.ID{}) {
		return ""
	}
	return id.String()
}

func joined(set map[domain.ID]bool) string {
	all := make([]string, 0, len(set))
	for _, id := range ids(set) {
		all = append(all, id.String())
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

// Assigned are the projects and desks of a scope, sorted.
func Assigned(s domain.Scope) (projects, desks []domain.ID) { return ids(s.Projects), ids(s.Desks) }

func ids(set map[domain.ID]bool) []domain.ID {
	return slices.SortedFunc(maps.Keys(set), domain.CompareIDs)
}
