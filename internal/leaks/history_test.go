package leaks_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"annals/internal/apitest"
)

// thenLine is a client as it was, as far as the model has it: what it was called, and where it belonged.
func thenLine(c client) string {
	return line(c.first, c.last, c.email, c.status, c.project, textOf(c.desk), textOf(c.manager), c.tags, !c.off)
}

func thenItem(m apitest.Map) string {
	return line(text(m["first_name"]), text(m["last_name"]), text(m["email"]), text(m["status"]), field(sub(m, "project"), "id"),
		field(sub(m, "desk"), "id"), field(sub(m, "manager"), "id"), texts(m["tags"]), m["active"])
}

// sub is an object in another one, or one without anything.
func sub(m apitest.Map, name string) apitest.Map {
	inner, _ := m[name].(apitest.Map)
	return inner
}

// readThen asks for a client as it was: of who sees it now, whoever saw it then.
func (a *asker) readThen(route string, n id) {
	then := pick(a.rnd, a.past).at
	q := "?as_of=" + url.QueryEscape(then.Format(time.RFC3339Nano))
	if !a.v.sees(a.now.clients[n].place) {
		for _, query := range []string{q, "?revision=0"} {
			if r := a.get(at(route, n) + query); r.status != http.StatusNotFound || r.code() != "client.absent" {
				a.wrong(r.request, "they do not see it: got %d %s", r.status, r.body)
			}
		}
		return
	}
	r := a.get(at(route, n) + q)
	if r.status == http.StatusOK {
		a.opens(n)
	}
	switch c, there := a.at(then).clients[n]; {
	case !there && (r.status != http.StatusNotFound || r.code() != "client.not_yet"):
		a.wrong(r.request, "it was not there yet: got %d %s", r.status, r.body)
	case there && r.status != http.StatusOK:
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
	case there:
		if want, got := thenLine(c), thenItem(r.json()); want != got {
			a.wrong(r.request, "want\n%s\ngot\n%s", want, got)
		}
		for _, name := range []string{"project", "desk"} { // called something only for who sees them
			if p := field(sub(r.json(), "project"), "id"); field(sub(r.json(), name), "name") != "" && !a.v.seesProject(parse(p)) {
				a.wrong(r.request, "tells what a %s is called that they do not see", name)
			}
		}
	}
}

func (a *asker) readDiff(route string) {
	for _, n := range someOf(a, a.now.clients, 1) {
		a.one(route, n, a.v.sees(a.now.clients[n].place), func(r answer) {
			last := strconv.Itoa(len(a.events[n]) - 1)
			if m := r.json(); field(m, "from", "revision") != "0" || field(m, "to", "revision") != last {
				a.wrong(r.request, "want from revision 0 to %s: %s", last, r.body)
			}
		})
	}
}

// readEvents asks for what happened anywhere: to clients that they see and others, to employees, and in their projects.
func (a *asker) readEvents(route string) {
	path := at(route, none)
	reach := a.v.rights["audit.view"]
	if reach < project {
		if r := a.get(path); r.status != http.StatusForbidden || r.code() != "forbidden" {
			a.wrong(r.request, "want 403, got %d %s", r.status, r.body)
		}
		return
	}
	for _, n := range someOf(a, a.now.clients, 2) {
		want := map[string]string{}
		sees := a.v.sees(a.now.clients[n].place)
		for _, e := range a.stories[n] {
			if e.of == n && sees {
				want[line(e.of, e.revision)] = line(e.kind, e.actor, a.nameOf(e.actor), e.ip)
			}
		}
		a.compareEvents(path+"?limit=500&stream=client-"+n.String(), want, reach == project)
	}
	for _, n := range someOf(a, a.now.people, 1) {
		want := map[string]string{}
		if reach == all {
			want = a.eventLines(n, true)
		}
		a.compareEvents(path+"?limit=500&stream=employee-"+n.String(), want, false)
	}
	q := url.Values{"limit": {"500"}}
	for _, p := range sorted(a.now.projects) {
		q.Add("project", p.String())
	}
	if len(a.now.projects) > 0 && len(a.now.projects) <= 50 {
		a.compareEvents(path+"?"+q.Encode(), nil, true)
	}
}

// compareEvents compares one page. Within projects an event may be missing that happened in another one, and of
// none is told that they do not work for.
func (a *asker) compareEvents(path string, want map[string]string, within bool) {
	r := a.get(path)
	if r.status != http.StatusOK {
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
		return
	}
	a.noneHidden(r)
	got := map[string]string{}
	items, _ := r.json()["items"].([]any)
	for _, item := range items {
		m := item.(apitest.Map)
		got[eventKey(m)] = eventItem(m)
		if p := text(m["project_id"]); a.v.rights["audit.view"] == project && (p == "" || !a.v.projects[parse(p)]) {
			a.wrong(r.request, "leaked what happened in another project: %s", m)
		}
		if stream := text(m["stream"]); strings.HasPrefix(stream, "client-") {
			if c, ours := a.now.clients[parse(strings.TrimPrefix(stream, "client-"))]; ours && !a.v.sees(c.place) {
				a.wrong(r.request, "leaked what happened to a client that they do not see: %s", m)
			}
		}
	}
	if want == nil {
		return
	}
	if within {
		for k := range want {
			if _, told := got[k]; !told {
				delete(want, k)
			}
		}
	}
	a.compare(r.request, want, got)
}
