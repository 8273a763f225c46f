package leaks_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"annals/domain"
	"annals/domain/employee"
	fields "annals/domain/field"
	"annals/domain/retention"
	"annals/domain/tag"
	"annals/internal/access"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/replay"
	"annals/internal/unraced"
)

// plan is which organisations there are to be.
type plan struct {
	seed uint64
	n    int
	only int // -1: all
}

// planned is what the environment asks for: n organisations unless it says so.
func planned(t *testing.T, n, part int) plan {
	t.Helper()
	p := plan{uint64(time.Now().UnixNano()) % 1_000_000_000, n, -1}
	if text := os.Getenv("ANNALS_LEAKS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("ANNALS_LEAKS is %q, and has to be a number", text)
		}
		p.n = max(1, n/part)
	}
	if n, err := strconv.Atoi(os.Getenv(unracedEnv)); err == nil && n > 0 {
		p.n = n
	}
	if text := os.Getenv("ANNALS_LEAKS_SEED"); text != "" {
		seed, only, one := strings.Cut(text, "/")
		var err, err2 error
		if p.seed, err = strconv.ParseUint(seed, 10, 64); one {
			p.only, err2 = strconv.Atoi(only)
		}
		if err != nil || err2 != nil {
			t.Fatalf("ANNALS_LEAKS_SEED is %q, and has to be seed or seed/organisation", text)
		}
	}
	t.Logf("%d organisations of seed %d", p.n, p.seed)
	return p
}

// raced is the part of p that is run with the race detector watching: a few
// organisations. The others are asked without it.
func (p plan) raced(t *testing.T, part int) plan {
	t.Helper()
	if p.only < 0 {
		p.n = unraced.Of(t, p.n, max(1, p.n/part), unracedEnv+"="+strconv.Itoa(p.n), "ANNALS_LEAKS_SEED="+strconv.FormatUint(p.seed+1, 10))
	}
	return p
}

// unracedEnv is how many organisations such a process is to ask.
const unracedEnv = "ANNALS_LEAKS_UNRACED"

// world is a System and the organisations in it, which know nothing of each other:
// but who sees everything sees them all.
type world struct {
	s      *apitest.System
	quick  *mux.Router // answers as s.Router, and remembers who a token belongs to
	orgs   []*org
	absent map[string]answer // what is answered about what is not there, by route

	registries map[string]bool // streams with definitions of all organisations
	ends       map[string]eventlog.Revision

	asked, failures int
	tally           map[int]int  // answers by their status
	reaches         [all + 1]int // of clients.view, of those who asked
	left            int          // clients whose managers do not see them
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{s: apitest.Start(t), quick: mux.NewRouter(), absent: map[string]answer{}, tally: map[int]int{}}
	w.registries, w.ends = map[string]bool{fields.Ref().Stream(): true, tag.Ref().Stream(): true, retention.Ref().Stream(): true}, map[string]eventlog.Revision{}
	w.s.Reads.Patience = time.Minute // the machine is busy, and nobody waits for what does not come
	var known sync.Map               // to have to look it up anew is what takes longest, and nothing changes while we ask
	api := httpapi.New(w.quick, httpapi.Config{
		Version: "0.0.0", Logger: w.s.Logs.Logger(), Now: w.s.Clock.Now, Limits: w.s.Limits,
		Authenticate: func(ctx context.Context, token string) (*access.Actor, error) {
			if a, ok := known.Load(token); ok {
				return a.(*access.Actor), nil
			}
			a, err := w.s.Commands.Authenticate(ctx, token)
			if err == nil {
				known.Store(token, a)
			}
			return a, err
		},
	})
	w.s.Commands.Routes(api)
	w.s.Reads.Routes(api)
	replay.Routes(api, w.s.Log, w.s.Reads.AccessLog)
	return w
}

// add makes an organisation: over HTTP and a big one, or written to the log; with
// something that belongs to its clients, or without.
func (w *world) add(t *testing.T, seed uint64, number int, big, furnished bool) {
	t.Helper()
	at := w.s.Clock.Now().Add(-30 * 24 * time.Hour).Truncate(time.Hour).Add(time.Duration(number) * time.Minute)
	o := newOrg(w, seed, number, at)
	o.furnished = furnished || big
	if o.big = big; big {
		o.employ(t, o.newID())
	}
	o.grow(t)
	w.orgs = append(w.orgs, o)
}

// employ makes the administrator who makes the organisation over HTTP.
func (o *org) employ(t *testing.T, n id) {
	t.Helper()
	p := person{name: "Ada Admin", email: n.String() + "@example.com", roles: []string{"admin"}, projects: set{}, desks: set{}}
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: o.w.s.Clock.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
	out, err := o.w.s.Commands.RegisterEmployee(t.Context(), n, employee.Register{Name: p.name, Email: p.email, Roles: &p.roles}, "", m)
	if err != nil {
		t.Fatal(err)
	}
	o.boss = (&apitest.User{System: o.w.s, ID: n.String(), Email: p.email, After: out.Position.String()}).Session(t)
	o.now.people[n], o.tokens[n] = p, o.boss.Token
	o.happened(n, "employee.registered", domain.System, "")
	o.keep()
}

// settle waits for the read models. The one who does is in the System as well.
func (w *world) settle(t *testing.T) {
	t.Helper()
	o := newOrg(w, 0, 0, w.s.Clock.Now())
	o.employ(t, uuid.New())
	w.orgs = append(w.orgs, o)
	for range 200 {
		if r := o.boss.Get(t, "/api/v1/projects?limit=1"); r.Status == http.StatusOK {
			return
		}
	}
	t.Fatal("the read models do not come on")
}

// routes are those of a router, as "method path".
func routes(t *testing.T, router *mux.Router, methods ...string) []string {
	t.Helper()
	var out []string
	err := router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		of, err := r.GetMethods()
		for _, m := range of {
			if slices.Contains(methods, m) {
				out = append(out, m+" "+path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// send has a router answer a request, without a network between.
func send(t *testing.T, to http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	to.ServeHTTP(rec, r)
	return rec
}
