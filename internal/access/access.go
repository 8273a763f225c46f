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
// columns project_id and desk_id (null for no desk). It uses three parameters,
// numbered from first, which are what [Args] returns.
func Clients(table string, first int) string {
	return fmt.Sprintf(`($%d::boolean or %[4]s.project_id = any($%[2]d::uuid[]) and (%[4]s.desk_id is null or %[4]s.desk_id = any($%[3]d::uuid[])))`,
		first, first+1, first+2, table)
}

// Args are the scope as query parameters: all, projects, desks. The lists are
// sorted, so that equal scopes make equal queries.
func Args(s domain.Scope) (all bool, projects, desks []domain.ID) {
	return s.All, ids(s.Projects), ids(s.Desks)
}

func ids(set map[domain.ID]bool) []domain.ID {
	return slices.SortedFunc(maps.Keys(set), domain.CompareIDs)
}
