package leaks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

// most is how many failures are told.
const most = 20

// asker is somebody of an organisation who asks.
type asker struct {
	*testing.T
	*org
	who    id
	v      viewer
	to     http.Handler
	hidden []string // ids of the organisation's clients that they may not see
}

func (o *org) asker(t *testing.T, who id, to http.Handler) *asker {
	t.Helper()
	a := &asker{T: t, org: o, who: who, to: to}
	a.look()
	return a
}

// look finds out what they may, and may not see, now.
func (a *asker) look() {
	a.v, a.hidden = a.now.viewer(a.who), nil
	named := set{} // what somebody wrote into a custom field is shown to who sees the client that it was written for
	for _, n := range sorted(a.now.clients) {
		if a.v.sees(a.now.clients[n].place) {
			named[a.partners[n]] = true
		}
	}
	for _, n := range sorted(a.now.clients) {
		if !a.v.sees(a.now.clients[n].place) && !named[n] {
			a.hidden = append(a.hidden, n.String())
		}
	}
}

// wrong says that an answer is not what the model has.
func (a *asker) wrong(request, format string, args ...any) {
	a.Helper()
	a.Errorf("organisation %s, as %s: %s\n%s\nrepeat it with ANNALS_LEAKS_SEED=%s", a.name, a.describe(), request, fmt.Sprintf(format, args...), a.name)
	if a.w.failures++; a.w.failures == most {
		a.Fatal("and so on")
	}
}

func (a *asker) describe() string {
	what := "employee " + a.who.String() + " " + strings.Join(a.now.people[a.who].roles, " ")
	if k, ok := a.now.keys[a.who]; ok {
		what = "API key " + a.who.String() + " of " + k.owner.String()
	}
	var held []string
	for _, p := range permissions {
		if reach := a.v.rights[p]; reach > nothing {
			held = append(held, p+" "+reachNames[reach])
		}
	}
	return fmt.Sprintf("%s, who has %s in projects %v and desks %v", what, strings.Join(held, ", "), sorted(a.v.projects), sorted(a.v.desks))
}

// answer is what came back.
type answer struct {
	request string
	status  int
	header  http.Header
	body    []byte
}

func (r answer) json() (m apitest.Map) {
	_ = json.Unmarshal(r.body, &m) // what is no object has nothing in it
	return m
}

func (r answer) code() string { return text(r.json()["code"]) }

func (a *asker) get(path string) answer {
	a.Helper()
	r := send(a.T, a.to, "GET", path, a.tokens[a.who], "")
	out := answer{"GET " + path, r.Code, r.Header(), r.Body.Bytes()}
	if !strings.HasPrefix(path, "/api/v1/audit/") {
		a.noneHidden(out)
	}
	a.w.tally[r.Code]++
	if a.w.asked++; a.w.asked%199 == 0 { // once in a while as anybody would, with the answer held against the document
		if over := (&apitest.User{System: a.w.s, Token: a.tokens[a.who]}).Get(a.T, path); over.Status != out.status {
			a.wrong(out.request, "%d here, and %d over HTTP: %s", out.status, over.Status, over.Body)
		}
	}
	return out
}

// noneHidden: whatever was asked for, no client that they do not see is in an answer.
func (a *asker) noneHidden(r answer) {
	a.Helper()
	for _, n := range a.hidden {
		if bytes.Contains(r.body, []byte(n)) {
			a.wrong(r.request, "holds client %s, of which they may not know:\n%s", n, r.body)
		}
	}
}

// list asks for a list, all pages of it, and compares it with what each item has to
// look like, by its key.
func (a *asker) list(path string, q url.Values, sorts []string, want map[string]string, key string, render func(apitest.Map) string) {
	a.Helper()
	a.listBy(path, q, sorts, want, func(m apitest.Map) string { return field(m, strings.Split(key, ".")...) }, render)
}

func (a *asker) listBy(path string, q url.Values, sorts []string, want map[string]string, key, render func(apitest.Map) string) {
	a.Helper()
	if q == nil {
		q = url.Values{}
	}
	limit := 500
	if len(want) < 8 && a.chance(30) {
		limit = 1 + a.rnd.IntN(3)
	}
	q.Set("limit", strconv.Itoa(limit))
	if a.chance(50) {
		q.Set("sort", pick(a.rnd, sorts))
	}
	got, request := map[string]string{}, ""
	for pages := 0; pages <= len(want)+1; pages++ {
		r := a.get(path + "?" + q.Encode())
		if request == "" {
			request = r.request
		}
		if r.status != http.StatusOK {
			a.wrong(r.request, "want a list of %d, got %d %s", len(want), r.status, r.body)
			return
		}
		m := r.json()
		total, _ := m["total"].(apitest.Map)
		if total["count"] != float64(min(len(want), 1000)) || total["exact"] != (len(want) <= 1000) {
			a.wrong(r.request, "want a total of %d, got %v", len(want), total)
		}
		items, _ := m["items"].([]any)
		for _, item := range items {
			k := key(item.(apitest.Map))
			if _, twice := got[k]; twice {
				a.wrong(r.request, "%s is there twice", k)
			}
			got[k] = render(item.(apitest.Map))
		}
		if q.Set("cursor", text(m["next_cursor"])); q.Get("cursor") == "" {
			break
		}
	}
	a.compare(request, want, got)
}

func (a *asker) compare(request string, want, got map[string]string) {
	a.Helper()
	if maps.Equal(want, got) {
		return
	}
	var diff []string
	for k, v := range want {
		if g, ok := got[k]; !ok {
			diff = append(diff, "missing: "+k+" "+v)
		} else if g != v {
			diff = append(diff, "want: "+k+" "+v, "got:  "+k+" "+g)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			diff = append(diff, "leaked: "+k+" "+v)
		}
	}
	slices.Sort(diff)
	a.wrong(request, "%s", strings.Join(diff, "\n"))
}

// one asks for one thing. Who may not see it is answered as if it were not there.
func (a *asker) one(route string, n id, sees bool, check func(answer)) {
	a.Helper()
	r := a.get(at(route, n))
	if !sees {
		a.isAbsent(route, r)
		return
	}
	if r.status != http.StatusOK {
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
		return
	}
	check(r)
}

// isAbsent compares an answer with that about something that is not there.
func (a *asker) isAbsent(route string, r answer) {
	a.Helper()
	known, ok := a.w.absent[route]
	if again := a.chance(2); again || !ok {
		known = a.get(at(route, uuid.New(), uuid.New()))
		a.w.absent[route] = known
	}
	if r.status != http.StatusNotFound || r.status != known.status || !bytes.Equal(r.body, known.body) {
		a.wrong(r.request, "they do not see it: want %d %s\ngot %d %s", known.status, known.body, r.status, r.body)
	}
	for name := range r.header {
		if known.header.Get(name) == "" {
			a.wrong(r.request, "only what is there has the header %s", name)
		}
	}
}

// at is the path of a route with an id, and the one of an item if it has one.
func at(route string, n id, item ...id) string {
	path := strings.Replace(route[strings.IndexByte(route, ' ')+1:], "{id}", n.String(), 1)
	if len(item) > 0 {
		path = strings.Replace(path, "{item}", item[0].String(), 1)
	}
	return path
}

// someOf are ids to ask for: a few, or in a big organisation all.
func someOf[V any](a *asker, m map[id]V, n int) []id {
	ids := sorted(m)
	a.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	if a.big {
		return ids
	}
	return ids[:min(n, len(ids))]
}

// reachable are the organisations that somebody can see anything of: their own, and all
// if any of these permissions reaches everything.
func (a *asker) reachable(everything bool) []*org {
	if everything {
		return a.w.orgs
	}
	return []*org{a.org}
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// field is a value of nested objects by its path.
func field(m apitest.Map, path ...string) string {
	for _, name := range path[:len(path)-1] {
		m, _ = m[name].(apitest.Map)
	}
	return text(m[path[len(path)-1]])
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return out
}

func line(parts ...any) string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = fmt.Sprint(p)
	}
	return strings.Join(out, " | ")
}
