package leaks_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"annals/internal/apitest"
)

func (a *asker) readProjects(string) {
	want := map[string]string{}
	for _, o := range a.reachable(a.v.everyProject()) {
		for n, name := range o.now.projects {
			if a.v.seesProject(n) {
				want[n.String()] = name
			}
		}
	}
	a.list("/api/v1/projects", nil, []string{"name", "-created_at"}, want, "id", func(m apitest.Map) string { return text(m["name"]) })
}

func (a *asker) readProject(route string) {
	for _, n := range someOf(a, a.now.projects, 1) {
		a.one(route, n, a.v.seesProject(n), func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.now.projects[n]}, map[string]string{field(r.json(), "id"): field(r.json(), "name")})
		})
	}
}

func (o *org) deskLine(n id) string {
	d := o.now.desks[n]
	return line(d.name, d.project, o.now.projects[d.project])
}

func deskItem(m apitest.Map) string {
	return line(text(m["name"]), field(m, "project", "id"), field(m, "project", "name"))
}

func (a *asker) readDesks(string) {
	q, asked := url.Values{}, set(nil)
	if a.chance(30) || a.v.everyProject() && a.chance(70) {
		asked = setOf(some(a.rnd, sorted(a.now.projects), 70)...)
		for n := range asked {
			q.Add("project", n.String())
		}
	}
	want := map[string]string{}
	for _, o := range a.reachable(a.v.everyProject()) {
		for n, d := range o.now.desks {
			if a.v.seesProject(d.project) && (len(asked) == 0 || asked[d.project]) {
				want[n.String()] = o.deskLine(n)
			}
		}
	}
	a.list("/api/v1/desks", q, []string{"name", "project", "-created_at"}, want, "id", deskItem)
}

func (a *asker) readDesk(route string) {
	for _, n := range someOf(a, a.now.desks, 1) {
		a.one(route, n, a.v.seesProject(a.now.desks[n].project), func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.deskLine(n)}, map[string]string{field(r.json(), "id"): deskItem(r.json())})
		})
	}
}

// personLine is an employee as they have to be shown: of where they work as much as
// the one who asks sees.
func (a *asker) personLine(o *org, p person) string {
	projects, desks := set{}, set{}
	for n := range p.projects {
		if a.v.seesProject(n) {
			projects[n] = true
		}
	}
	for n := range p.desks {
		if a.v.seesProject(o.now.desks[n].project) {
			desks[n] = true
		}
	}
	return line(p.name, p.email, p.roles, idTexts(sorted(projects)), idTexts(sorted(desks)), !p.off)
}

func personItem(m apitest.Map) string {
	return line(text(m["name"]), text(m["email"]), texts(m["roles"]), texts(m["projects"]), texts(m["desks"]), m["active"])
}

func (a *asker) readEmployees(string) {
	q, conds := url.Values{}, []func(*org, person) bool{}
	everybody := a.v.rights["employees.view"] == all
	if a.chance(25) || everybody && a.chance(70) {
		asked := setOf(some(a.rnd, sorted(a.now.projects), 60)...)
		for n := range asked {
			q.Add("project", n.String())
		}
		conds = append(conds, func(_ *org, p person) bool {
			for n := range p.projects { // a filter tells nothing that is not shown
				if asked[n] && a.v.seesProject(n) {
					return true
				}
			}
			return len(asked) == 0
		})
	}
	if a.chance(20) {
		n := pick(a.rnd, sorted(a.now.desks))
		q.Set("desk", n.String())
		conds = append(conds, func(o *org, p person) bool { return p.desks[n] && a.v.seesProject(o.now.desks[n].project) })
	}
	if a.chance(20) {
		of := []string{"agent", "auditor"}
		for _, n := range sorted(a.now.roles) {
			of = append(of, n.String())
		}
		ref := pick(a.rnd, of)
		q.Set("role", ref)
		conds = append(conds, func(_ *org, p person) bool { return slices.Contains(p.roles, ref) })
	}
	if a.chance(20) {
		active := pick(a.rnd, []string{"true", "false"})
		q.Set("active", active)
		conds = append(conds, func(_ *org, p person) bool { return p.off == (active == "false") })
	}
	want := map[string]string{}
	for _, o := range a.reachable(everybody) {
		for n, p := range o.now.people {
			if a.v.seesPerson(n, p) && !slices.ContainsFunc(conds, func(f func(*org, person) bool) bool { return !f(o, p) }) {
				want[n.String()] = a.personLine(o, p)
			}
		}
	}
	a.list("/api/v1/employees", q, []string{"name", "-name", "email", "created_at"}, want, "id", personItem)
}

func (a *asker) readEmployee(route string) {
	for _, n := range someOf(a, a.now.people, 1) {
		p := a.now.people[n]
		a.one(route, n, a.v.seesPerson(n, p), func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.personLine(a.org, p)}, map[string]string{field(r.json(), "id"): personItem(r.json())})
		})
	}
}

func (a *asker) readEmployeeHistory(route string) {
	for _, n := range someOf(a, a.now.people, 1) {
		switch p := a.now.people[n]; {
		case !a.v.seesPerson(n, p):
			a.one(route, n, false, nil)
		case !a.v.seesHistory(n, p):
			if r := a.get(at(route, n)); r.status != http.StatusForbidden || r.code() != "forbidden" {
				a.wrong(r.request, "they see the employee, and not their history: want 403, got %d %s", r.status, r.body)
			}
		default:
			a.listBy(at(route, n), nil, []string{"revision", "-revision"}, a.eventLines(n, true), eventKey, eventItem)
		}
	}
}

// holders counts those who have a role, of those whom one sees.
func (a *asker) holders(ref string) (n int) {
	for _, o := range a.reachable(a.v.rights["employees.view"] == all) {
		for who, p := range o.now.people {
			if !p.off && slices.Contains(p.roles, ref) && a.v.seesPerson(who, p) {
				n++
			}
		}
	}
	return n
}

func (a *asker) roleLine(ref string, r ownRole) string {
	return line(ref, r.name, rightsText(r.grants), a.holders(ref))
}

func roleItem(m apitest.Map) string {
	return line(text(m["ref"]), text(m["name"]), grantsText(m["permissions"]), m["holders"])
}

// rightsText lists what somebody may, in the order of the permissions.
func rightsText(r rights) (out []string) {
	for _, p := range permissions {
		if r[p] > nothing {
			out = append(out, p+" "+reachNames[r[p]])
		}
	}
	return out
}

func grantsText(v any) (out []string) {
	list, _ := v.([]any)
	for _, g := range list {
		out = append(out, field(g.(apitest.Map), "permission")+" "+field(g.(apitest.Map), "reach"))
	}
	return out
}

// readRoles: what there is for roles is no secret; who has them is.
func (a *asker) readRoles(string) {
	roles := 0
	for _, o := range a.w.orgs {
		for _, r := range o.now.roles {
			if !r.gone {
				roles++
			}
		}
	}
	want, got := map[string]string{}, map[string]string{}
	for name, grants := range builtIn {
		want[name] = a.roleLine(name, ownRole{name: name, grants: grants})
	}
	r := a.get(fmt.Sprint("/api/v1/roles?limit=", len(builtIn)))
	m := r.json()
	items, _ := m["items"].([]any)
	for _, item := range items {
		got[field(item.(apitest.Map), "ref")] = roleItem(item.(apitest.Map))
	}
	a.compare(r.request, want, got)
	if total, _ := m["total"].(apitest.Map); total["count"] != float64(roles+len(builtIn)) {
		a.wrong(r.request, "want a total of %d, got %v", roles+len(builtIn), total)
	}
}

func (a *asker) readRole(route string) {
	for _, n := range someOf(a, a.now.roles, 1) {
		own := a.now.roles[n]
		a.one(route, n, !own.gone, func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.roleLine(n.String(), own)}, map[string]string{field(r.json(), "id"): roleItem(r.json())})
		})
	}
}

func (a *asker) keyLine(o *org, k apiKey) string {
	return line(k.name, k.owner, o.now.people[k.owner].name, rightsText(k.grants), idTexts(sorted(k.projects)), idTexts(sorted(k.desks)), !k.off)
}

func keyItem(m apitest.Map) string {
	return line(text(m["name"]), field(m, "owner", "id"), field(m, "owner", "name"), grantsText(m["permissions"]), texts(m["projects"]), texts(m["desks"]), m["live"])
}

func (a *asker) readKeys(string) {
	q, live := url.Values{}, ""
	if a.chance(25) {
		live = pick(a.rnd, []string{"true", "false"})
		q.Set("live", live)
	}
	want := map[string]string{}
	for _, o := range a.reachable(a.v.rights["settings.manage"] == all) {
		for n, k := range o.now.keys {
			if a.v.seesKey(k) && (live == "" || k.off == (live == "false")) {
				want[n.String()] = a.keyLine(o, k)
			}
		}
	}
	a.list("/api/v1/api-keys", q, []string{"name", "owner", "-created_at"}, want, "id", keyItem)
}

func (a *asker) readKey(route string) {
	for _, n := range someOf(a, a.now.keys, 1) {
		k := a.now.keys[n]
		a.one(route, n, a.v.seesKey(k), func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.keyLine(a.org, k)}, map[string]string{field(r.json(), "id"): keyItem(r.json())})
		})
	}
}

func (a *asker) readMe(string) {
	r := a.get("/api/v1/me")
	m, p := r.json(), a.now.people[a.who]
	want := line("employee", p.name, p.email, p.roles)
	if k, ok := a.now.keys[a.who]; ok {
		want = line("api_key", k.name, "", []string{"integration"}) + " for " + k.owner.String()
	}
	want = line(want, rightsText(a.v.rights), idTexts(sorted(a.v.projects)), idTexts(sorted(a.v.desks)))
	got := line(text(m["kind"]), text(m["name"]), text(m["email"]), texts(m["roles"]))
	if m["owner_id"] != nil {
		got += " for " + text(m["owner_id"])
	}
	got = line(got, grantsText(m["permissions"]), texts(m["projects"]), texts(m["desks"]))
	a.compare(r.request, map[string]string{a.who.String(): want}, map[string]string{text(m["id"]): got})
}

// peopleOnly: what somebody signs in with is no business of keys.
func (a *asker) peopleOnly(r answer) bool {
	if a.v.me != none {
		return true
	}
	if r.status != http.StatusForbidden || r.code() != "people_only" {
		a.wrong(r.request, "want 403 people_only, got %d %s", r.status, r.body)
	}
	return false
}

func (a *asker) readSecondFactor(string) {
	r := a.get("/api/v1/me/second-factor")
	want := map[string]any{"enabled": false, "recovery_codes_left": float64(0)}
	if a.peopleOnly(r) && !maps.Equal(want, r.json()) {
		a.wrong(r.request, "want %v, got %d %s", want, r.status, r.body)
	}
}

func (a *asker) readSessions(string) {
	whose, path := a.who, "/api/v1/sessions"
	if a.chance(50) {
		whose = pick(a.rnd, sorted(a.now.people))
		path += "?employee=" + whose.String()
	}
	r := a.get(path)
	if !a.peopleOnly(r) {
		return
	}
	if refused := a.overSessions(whose); refused != 0 {
		if r.status != refused {
			a.wrong(r.request, "want %d, got %d %s", refused, r.status, r.body)
		}
		return
	}
	if items, _ := r.json()["items"].([]any); len(items) != 1 {
		a.wrong(r.request, "want one session, got %d %s", r.status, r.body)
	}
}

func (a *asker) readRefusals(string) {
	r := a.get("/api/v1/audit/refusals?limit=1")
	if may := a.v.rights["audit.view"] == all; (r.status == http.StatusOK) != may || !may && r.status != http.StatusForbidden {
		a.wrong(r.request, "may they see what was refused: %v, got %d %s", may, r.status, r.body)
	}
}
