package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/refusals"
)

// Refusal is a request that was refused: see [Config].
type Refusal = refusals.Refusal

// trail is what becomes known of a request on its way through the frame and back.
type trail struct {
	problem *Problem // the last that was answered
	route   string   // template of the path
	subject domain.ID
	actor   domain.ID // who asks, as far as it is known
	kind    string
	conn    context.Context // of the connection: without the bound on the time that a request takes
	head    bool            // only the header of the answer is wanted
}

type trailKey struct{}

// noted remembers how a request is answered.
func noted(ctx context.Context, p *Problem) *Problem {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		t.problem = p
	}
	return p
}

// follow remembers where a request is going. Of a path only ids are kept: other parts
// of it may be secret.
func (t *trail) follow(r *http.Request) {
	route := mux.CurrentRoute(r)
	if route == nil {
		return
	}
	t.route, _ = route.GetPathTemplate() // fails for routes without a path
	vars := mux.Vars(r)
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Index(t.route, "{"+a) - strings.Index(t.route, "{"+b) })
	for _, name := range names {
		if id, err := uuid.Parse(vars[name]); err == nil {
			t.subject = id
			return
		}
	}
}

// refused says whether the answer tells somebody that they may not: outright, or by
// not finding what a path names, which is how what they may not see is answered, too.
func (t *trail) refused() bool {
	if t.problem == nil {
		return false
	}
	switch t.problem.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return true
	case http.StatusNotFound:
		return strings.Contains(t.route, "{")
	}
	return t.problem.Code == "locked"
}

// audit tells whoever wants to know of a refusal.
func (a *API) audit(ctx context.Context, r *http.Request, c access.Caller, t *trail) {
	if a.refused == nil || !t.refused() {
		return
	}
	a.refused(ctx, Refusal{
		At: a.now(), Request: c.Request, Method: method(r.Method), Route: t.route, Subject: t.subject,
		Status: t.problem.Status, Code: t.problem.Code, Actor: t.actor, Kind: cmp.Or(t.kind, refusals.Nobody), IP: c.IP, UserAgent: c.UserAgent,
	})
}

func kind(a *access.Actor) string {
	if a.IsKey() {
		return refusals.Key
	}
	return refusals.Employee
}

// method is one of those that there are: a client may send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "OTHER"
}
