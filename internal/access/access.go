// Package access is who is asking and what they may see: the one place where
// visibility is decided, as a Go predicate for commands and as SQL for reads.
package access

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"annals/domain"
)

// Actor is who asks.
type Actor struct {
	ID    domain.ID
	Admin bool // may manage projects, desks and employees
	Scope domain.Scope
	Token string // what they showed; secret
}

// Caller is a request's circumstances.
type Caller struct {
	Actor     *Actor // nil: nobody has signed in
	Denied    error  // why a token that was sent does not count
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

// Clients is [domain.Scope.Covers] as SQL, for the rows of a table with the
// columns project_id and desk_id (null for no desk). Bind adds a parameter to the
// query and returns its placeholder.
func Clients(s domain.Scope, table string, bind func(any) string) string {
	if s.All {
		return "true"
	}
	desks := bind(ids(s.Desks))
	return fmt.Sprintf(`(%[1]s.project_id = any(%[2]s::uuid[]) and (%[1]s.desk_id is null or %[1]s.desk_id = any(%[3]s::uuid[])))`,
		table, bind(ids(s.Projects)), desks)
}

// Projects is the predicate for rows that belong to a project, whose id is in
// column: everybody sees the organisation of the projects they work for.
func Projects(s domain.Scope, column string, bind func(any) string) string {
	if s.All {
		return "true"
	}
	return fmt.Sprintf(`%s = any(%s::uuid[])`, column, bind(ids(s.Projects)))
}

// Assigned are the projects and desks of a scope, sorted.
func Assigned(s domain.Scope) (projects, desks []domain.ID) { return ids(s.Projects), ids(s.Desks) }

func ids(set map[domain.ID]bool) []domain.ID {
	return slices.SortedFunc(maps.Keys(set), domain.CompareIDs)
}
