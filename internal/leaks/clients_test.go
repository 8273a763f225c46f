package leaks_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"annals/domain"
	"annals/internal/apitest"
	"annals/internal/textfold"
)

// clientLine is a client as it has to be shown.
func (o *org) clientLine(n id) string {
	c := o.now.clients[n]
	return line(c.first+" "+c.last, c.email, c.status, c.project, o.now.projects[c.project], textOf(c.desk), o.now.desks[c.desk].name,
		textOf(c.manager), o.now.people[c.manager].name, c.tags, !c.off)
}

func clientItem(m apitest.Map) string {
	return line(text(m["name"]), text(m["email"]), text(m["status"]), field(m, "project", "id"), field(m, "project", "name"),
		field(m, "desk", "id"), field(m, "desk", "name"), field(m, "manager", "id"), field(m, "manager", "name"), texts(m["tags"]), m["active"])
}

func textOf(n id) string {
	if n == none {
		return ""
	}
	return n.String()
}

var clientSorts = []string{"name", "-name", "created_at", "-created_at", "status,name", "project,desk", "-manager", "updated_at", "email", "-revision", "desk"}

func (a *asker) readClients(string) {
	for range 1 + a.rnd.IntN(2) {
		q, meets := a.clientFilter()
		want := map[string]string{}
		for _, o := range a.reachable(a.v.rights["clients.view"] == all) {
			for n, c := range o.now.clients {
				if a.v.sees(c.place) && meets(n, c) {
					want[n.String()] = o.clientLine(n)
				}
			}
		}
		a.list("/api/v1/clients", q, clientSorts, want, "id", clientItem)
	}
	a.queryClients()
}

// queryClients asks by a filter for what there is in an organisation, now and as of now,
// and how many of which status.
func (a *asker) queryClients() {
	var projects []string
	for _, n := range sorted(a.now.projects) {
		projects = append(projects, n.String())
	}
	want, statuses := map[string]bool{}, map[string]float64{}
	for n, c := range a.now.clients {
		if a.v.sees(c.place) {
			want[n.String()] = true
			statuses[c.status]++
		}
	}
	body := apitest.Map{"filter": apitest.Map{"field": "project", "op": "one_of", "value": projects}, "facets": []string{"status", "desk", "tags"}, "limit": 500, "fields": []string{"name"}}
	if a.chance(30) {
		body["as_of"] = time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	}
	raw, _ := json.Marshal(body)
	r := send(a.T, a.to, "POST", "/api/v1/clients/query", a.tokens[a.who], string(raw))
	out := answer{"POST /api/v1/clients/query " + string(raw), r.Code, r.Header(), r.Body.Bytes()}
	a.noneHidden(out)
	if out.status != 200 {
		return // which reading the list has been held against
	}
	items, _ := out.json()["items"].([]any)
	for _, item := range items {
		m, _ := item.(apitest.Map)
		if !want[text(m["id"])] {
			a.wrong(out.request, "leaked %s", m)
		}
		delete(want, text(m["id"]))
	}
	if len(want) > 0 {
		a.wrong(out.request, "misses %v", want)
	}
	facets, _ := out.json()["facets"].(apitest.Map)
	status, _ := facets["status"].(apitest.Map)
	values, _ := status["values"].([]any)
	for _, v := range values {
		m, _ := v.(apitest.Map)
		if n, _ := m["count"].(float64); n != statuses[text(m["value"])] {
			a.wrong(out.request, "counts %v of %s, and there are %v", m["count"], m["value"], statuses)
		}
	}
}

// clientFilter is what to ask for, at random, and whether a client meets it. Who sees
// the clients of all organisations asks for those of one, as a rule.
func (a *asker) clientFilter() (url.Values, func(id, client) bool) {
	q, conds := url.Values{}, []func(id, client) bool{}
	and := func(c func(id, client) bool) { conds = append(conds, c) }
	by := func(name string, ids []id, of func(client) id) {
		if name != "project" && a.chance(40) {
			ids = append(ids, none)
		}
		for _, n := range ids {
			if n == none {
				q.Add(name, "none")
			} else {
				q.Add(name, n.String())
			}
		}
		if len(ids) > 0 {
			and(func(_ id, c client) bool { return slices.Contains(ids, of(c)) })
		}
	}
	if a.v.rights["clients.view"] == all && a.chance(95) {
		by("project", sorted(a.now.projects), func(c client) id { return c.project })
	} else if a.chance(25) {
		by("project", some(a.rnd, sorted(a.now.projects), 50), func(c client) id { return c.project })
	}
	if a.chance(25) {
		by("desk", some(a.rnd, sorted(a.now.desks), 40), func(c client) id { return c.desk })
	}
	if a.chance(25) {
		by("manager", some(a.rnd, sorted(a.now.people), 40), func(c client) id { return c.manager })
	}
	if a.chance(15) {
		s := pick(a.rnd, []string{"lead", "active", "inactive"})
		q.Set("status", s)
		and(func(_ id, c client) bool { return c.status == s })
	}
	if a.chance(15) {
		s := pick(a.rnd, []string{"gold", "vip", "unused"})
		q.Set("tag", s)
		and(func(_ id, c client) bool { return slices.Contains(c.tags, s) })
	}
	if a.chance(15) {
		s := pick(a.rnd, []string{"true", "false"})
		q.Set("active", s)
		and(func(_ id, c client) bool { return c.off == (s == "false") })
	}
	if a.chance(25) {
		s := pick(a.rnd, []string{"anna", "CLIENT", "bert Client", "example.org cleo", pick(a.rnd, idClients(a.now)).email})
		q.Set("q", s)
		and(func(_ id, c client) bool {
			words := slices.Concat(textfold.Words(c.first), textfold.Words(c.last), textfold.Words(c.email))
			return !slices.ContainsFunc(textfold.Terms(s), func(term string) bool {
				return !slices.ContainsFunc(words, func(word string) bool {
					return strings.HasPrefix(word, term) || len(term) >= 4 && textfold.Near(term, word)
				})
			})
		})
	}
	return q, func(n id, c client) bool {
		return !slices.ContainsFunc(conds, func(f func(id, client) bool) bool { return !f(n, c) })
	}
}

func idClients(s *state) (out []client) {
	for _, n := range sorted(s.clients) {
		out = append(out, s.clients[n])
	}
	return out
}

func (a *asker) readClient(route string) {
	for _, n := range someOf(a, a.now.clients, 2) {
		if a.chance(40) {
			a.readThen(route, n)
		}
		a.one(route, n, a.v.sees(a.now.clients[n].place), func(r answer) {
			a.opens(n)
			a.compare(r.request, map[string]string{n.String(): line(a.clientLine(n), a.warnings(n))},
				map[string]string{field(r.json(), "id"): line(clientItem(r.json()), warningsOf(r.json()))})
		})
	}
}

// eventLines are what happened to something, and to what belongs to it, as a history
// shows it.
func (a *asker) eventLines(n id, all bool) map[string]string {
	out := map[string]string{}
	for _, e := range a.stories[n] {
		if !all && e.of != n {
			continue
		}
		ip, name := "", a.nameOf(e.actor)
		if a.v.rights["audit.view"] > nothing { // where from, only who views what others did is told
			ip = e.ip
		}
		out[line(e.of, e.revision)] = line(e.kind, e.actor, name, ip)
	}
	return out
}

func (o *org) nameOf(actor id) string {
	if actor == domain.System {
		return "Annals"
	}
	return o.now.people[actor].name
}

// eventKey is which event it is, of what.
func eventKey(m apitest.Map) string { return line(field(m, "of", "id"), text(m["revision"])) }

func eventItem(m apitest.Map) string {
	return line(text(m["type"]), field(m, "actor", "id"), field(m, "actor", "name"), text(m["ip"]))
}

func (a *asker) readClientHistory(route string) {
	for _, n := range someOf(a, a.now.clients, 1) {
		if !a.v.sees(a.now.clients[n].place) {
			a.one(route, n, false, nil)
			continue
		}
		all, q := a.chance(50), url.Values{}
		if all {
			q.Set("with", "activities")
		}
		a.listBy(at(route, n), q, []string{"revision", "-revision"}, a.eventLines(n, all), eventKey, eventItem)
	}
}

func (a *asker) readReplay(route string) {
	if a.chance(5) {
		a.readWholeReplay(route)
	}
	for _, n := range someOf(a, a.now.clients, 1) {
		c := a.now.clients[n]
		a.one(route, n, a.v.sees(c.place), func(r answer) {
			want, got, last := []string{}, []string{}, ""
			for _, e := range a.events[n] {
				want = append(want, line(e.kind, e.actor))
			}
			want = append(want, line(c.last, c.project, textOf(c.desk), textOf(c.manager), c.status, c.off))
			for text := range strings.Lines(string(r.body)) {
				var m apitest.Map
				if err := json.Unmarshal([]byte(text), &m); err != nil {
					a.wrong(r.request, "%v: %s", err, text)
				}
				got = append(got, line(field(m, "type"), field(m, "actor", "id")))
				s, _ := m["state"].(apitest.Map)
				last = line(field(s, "last_name"), field(s, "project_id"), field(s, "desk_id"), field(s, "manager_id"), field(s, "status"), s["deactivated"])
			}
			if got = append(got, last); !slices.Equal(want, got) {
				a.wrong(r.request, "want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
		})
	}
}

// readAccess asks who sees a client, now and at a moment in the past.
func (a *asker) readAccess(route string) {
	for _, n := range someOf(a, a.now.clients, 1) {
		if !a.v.sees(a.now.clients[n].place) {
			a.one(route, n, false, nil)
			continue
		}
		q, then := url.Values{}, a.w.s.Clock.Now()
		if a.chance(60) {
			then = pick(a.rnd, a.past).at
			q.Set("at", then.Format(time.RFC3339Nano))
		}
		a.list(at(route, n), q, []string{"name", "-name"}, a.seers(n, then), "employee.id", accessItem)
	}
}

// seers are all who saw the client at a moment, of any organisation, and by which roles.
func (a *asker) seers(n id, then time.Time) map[string]string {
	out := map[string]string{}
	c, there := a.at(then).clients[n]
	if !there {
		return out
	}
	for _, o := range a.w.orgs {
		s := o.at(then)
		for who, p := range s.people {
			if p.off {
				continue
			}
			var because []string
			for _, ref := range p.roles {
				reach := s.grants(ref)["clients.view"]
				if !(viewer{me: who, projects: p.projects, desks: p.desks}).within(reach, c.place) {
					continue
				}
				name := ref
				if r, ok := builtInNot(s, ref); ok {
					name = r.name
				}
				because = append(because, line(name, reachNames[reach], a.tie(reach, c.place)))
			}
			if slices.Sort(because); len(because) > 0 {
				out[who.String()] = line(p.name, because)
			}
		}
	}
	return out
}

// tie is what ties somebody to a client by a reach. What it is called is told to who
// sees it.
func (a *asker) tie(reach int, c place) string {
	called := func(name string) string {
		if a.v.seesProject(c.project) {
			return name
		}
		return ""
	}
	switch {
	case reach == all:
		return line("all", "", "")
	case reach == project:
		return line("project", c.project, called(a.now.projects[c.project]))
	case reach == desk && c.desk != none:
		return line("desk", c.desk, called(a.now.desks[c.desk].name))
	}
	return line("own", "", "")
}

func builtInNot(s *state, ref string) (ownRole, bool) {
	if _, ok := builtIn[ref]; ok {
		return ownRole{}, false
	}
	return s.roles[parse(ref)], true
}

func accessItem(m apitest.Map) string {
	list, _ := m["because"].([]any)
	var because []string
	for _, b := range list {
		b := b.(apitest.Map)
		because = append(because, line(text(b["role"]), text(b["reach"]), line(field(b, "scope", "type"), field(b, "scope", "id"), field(b, "scope", "name"))))
	}
	slices.Sort(because)
	return line(field(m, "employee", "name"), because)
}

// readErasure: why a client is held is for those who may hold or erase it, or see what
// others did.
func (a *asker) readErasure(route string) {
	n := a.someClient()
	c := a.now.clients[n]
	may := a.v.reaches("clients.hold", c.place) || a.v.reaches("clients.erase", c.place) || a.v.reaches("audit.view", c.place)
	if a.v.sees(c.place) && !may {
		if r := a.get(at(route, n)); r.status != http.StatusForbidden || r.code() != "forbidden" {
			a.wrong(r.request, "they see the client, and not its erasure: want 403, got %d %s", r.status, r.body)
		}
		return
	}
	a.one(route, n, a.v.sees(c.place), func(r answer) {
		if state := field(r.json(), "state"); state != "none" {
			a.wrong(r.request, "want none, got %s", r.body)
		}
	})
}
