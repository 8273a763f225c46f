package leaks_test

import (
	"net/http"
	"strings"

	"annals/domain"
	"annals/internal/eventlog"
)

func cut(route string) (method, path string, ok bool) { return strings.Cut(route, " ") }

func clientStream(n id) string { return eventlog.Stream(domain.Client, n) }

// fireNewClient: whoever may create clients may where that reaches. What they make is
// theirs if it has to be.
func (a *asker) fireNewClient(route string) {
	for range 3 {
		to := a.randomPlace()
		if p := a.now.people[a.who]; a.chance(30) && a.v.me != none && p.covers(to) {
			to.manager = a.v.me
		}
		body := obj{"last_name": unique("New"), "email": "new@example.org", "project_id": to.project}
		if to.desk != none {
			body["desk_id"] = to.desk
		}
		if to.manager != none {
			body["manager_id"] = to.manager
		}
		may := a.v.reaches("clients.create", to)
		if mine := (place{to.project, to.desk, a.v.me}); to.manager == none && !may && a.v.reaches("clients.create", mine) {
			to, may = mine, true
		}
		if r, done := a.fire(shot{route: route, body: body, want: whether(may, http.StatusCreated)}); done && may {
			n := made(r)
			a.now.clients[n] = client{place: to, last: text(body["last_name"]), status: "lead"}
			a.ends[clientStream(n)] = 0
		}
	}
}

// fireOn tries a command that changes only what is known about a client.
func (a *asker) fireOn(route, permission string, body func(client) any, idle func(client) bool, after func(*client)) {
	for _, n := range a.targets(permission) {
		c := a.now.clients[n]
		s := shot{route: route, id: n, body: body(c), want: unless(a.overClient(permission, c)), stream: clientStream(n), idle: idle(c)}
		if s.want == http.StatusOK && c.off && permission != "clients.deactivate" && permission != "clients.hold" {
			s.want = http.StatusConflict // whatever somebody may: first it is to be reactivated
		}
		if _, done := a.fire(s); done {
			after(&c)
			a.now.clients[n] = c
		}
	}
}

func never(client) bool { return false }

func nothingElse(*client) {}

func (a *asker) fireEdit(route string) {
	a.firePartner(route)
	a.fireOn(route, "clients.edit", func(client) any { return obj{"company": unique("Company")} }, never, nothingElse)
}

func (a *asker) fireRetag(route string) {
	a.fireOn(route, "clients.retag", func(client) any { return obj{"add": []string{unique("tag")}} }, never, nothingElse)
}

func (a *asker) fireStatus(route string) {
	next := map[string]string{"lead": "active", "active": "inactive", "inactive": "lead"}
	a.fireOn(route, "clients.status", func(c client) any { return obj{"status": next[c.status]} }, never, func(c *client) { c.status = next[c.status] })
}

func (a *asker) fireDeactivate(route string) {
	a.fireOn(route, "clients.deactivate", func(client) any { return obj{"reason": "leaks"} }, func(c client) bool { return c.off }, func(c *client) { c.off = true })
}

func (a *asker) fireReactivate(route string) {
	a.fireOn(route, "clients.deactivate", func(client) any { return nil }, func(c client) bool { return !c.off }, func(c *client) { c.off = false })
}

func (a *asker) fireHold(route string) {
	a.fireOn(route, "clients.hold", func(client) any { return obj{"reason": "leaks"} }, func(c client) bool { return c.held }, func(c *client) { c.held = true })
}

func (a *asker) fireRelease(route string) {
	a.fireOn(route, "clients.hold", func(client) any { return obj{} }, func(c client) bool { return !c.held }, func(c *client) { c.held = false })
}

// fireErase: whoever may erase is told what is missing, so that the client stays.
func (a *asker) fireErase(route string) {
	for _, n := range a.targets("clients.erase") {
		want := a.overClient("clients.erase", a.now.clients[n])
		if want == 0 {
			want = http.StatusUnprocessableEntity
		}
		a.fire(shot{route: route, id: n, body: obj{"reason": ""}, want: want, stream: clientStream(n)})
	}
}

// fireClean: the files of the database are those of everybody. Here nobody cleans them.
func (a *asker) fireClean(route string) {
	a.fire(shot{route: route, want: whether(a.v.rights["clients.erase"] == all, http.StatusServiceUnavailable)})
}

// fireAssign: whoever may assign a client may move it to where they work themselves:
// to a project, and unless they assign in all of it, to a desk of theirs.
func (a *asker) fireAssign(route string) {
	for _, n := range a.targets("clients.assign") {
		c, to := a.now.clients[n], a.randomPlace()
		reach := a.v.rights["clients.assign"]
		refused := a.overClient("clients.assign", c)
		if refused == 0 && to != c.place && reach < all && (!a.v.projects[to.project] || to.desk != none && reach < project && !a.v.desks[to.desk]) {
			refused = http.StatusForbidden
		}
		body := obj{"project_id": to.project, "desk_id": orNull(to.desk), "manager_id": orNull(to.manager)}
		if _, done := a.fire(shot{route: route, id: n, body: body, want: unless(refused), stream: clientStream(n), idle: to == c.place}); done {
			c.place = to
			a.now.clients[n] = c
		}
	}
}

func (a *asker) fireNewProject(route string) {
	name := unique("Project")
	if r, done := a.fire(shot{route: route, body: obj{"name": name}, want: whether(a.v.rights["organisation.manage"] == all, http.StatusCreated)}); done {
		a.now.projects[made(r)] = name
		d := a.newID() // its default desk, of which we need not know more
		a.now.desks[d] = deskOf{made(r), "Default"}
		defer delete(a.now.projects, made(r))
		defer delete(a.now.desks, d)
	}
}

func (a *asker) fireNewDesk(route string) {
	for range 2 {
		p := pick(a.rnd, sorted(a.now.projects))
		reach := a.v.rights["organisation.manage"]
		may := reach == all || reach == project && a.v.projects[p]
		if r, done := a.fire(shot{route: route, body: obj{"project_id": p, "name": "Desk"}, want: whether(may, http.StatusCreated)}); done && may {
			a.now.desks[made(r)] = deskOf{p, "Desk"}
		}
	}
}

// Roles.

// hasAll says whether somebody has all of the rights, as far as they reach.
func (v viewer) hasAll(r rights) bool {
	for p, reach := range r {
		if v.rights[p] < reach {
			return false
		}
	}
	return true
}

func (a *asker) managesRoles() bool { return a.v.rights["roles.manage"] == all }

// someRights are rights that somebody has, or, as often, others.
func (a *asker) someRights() rights {
	r := a.randomRights(20, all)
	if a.chance(60) {
		for p, reach := range r {
			if reach = min(reach, a.v.rights[p]); reach > nothing {
				r[p] = reach
			} else {
				delete(r, p)
			}
		}
	}
	return r
}

func (a *asker) fireNewRole(route string) {
	for range 2 {
		r := ownRole{name: unique("Role"), grants: a.someRights()}
		a.newRole(shot{route: route, body: obj{"name": r.name, "permissions": grants(r.grants)}, want: whether(a.managesRoles() && a.v.hasAll(r.grants), http.StatusCreated)}, r)
	}
}

func (a *asker) newRole(s shot, r ownRole) {
	if got, done := a.fire(s); done && s.want == http.StatusCreated {
		a.now.roles[made(got)] = r
		a.ends[eventlog.Stream(domain.Role, made(got))] = 0
	}
}

func (a *asker) fireClone(route string) {
	of := map[id]rights{}
	for _, b := range builtInIDs {
		of[b.id] = builtIn[b.name]
	}
	for n, r := range a.now.roles {
		of[n] = r.grants
	}
	n := pick(a.rnd, sorted(of))
	want := whether(a.managesRoles(), http.StatusCreated)
	switch {
	case want == http.StatusForbidden:
	case a.now.roles[n].gone:
		want = http.StatusNotFound
	case !a.v.hasAll(of[n]):
		want = http.StatusForbidden
	}
	r := ownRole{name: unique("Clone"), grants: of[n]}
	a.newRole(shot{route: route, id: n, body: obj{"name": r.name}, want: want}, r)
}

// overRole is how a command to a role is refused: who manages none, or has less.
func (a *asker) overRole(n id) int {
	_, own := a.now.roles[n]
	switch {
	case !a.managesRoles():
		return http.StatusForbidden
	case !own:
		return http.StatusConflict // it is built in
	case a.now.roles[n].gone:
		return http.StatusNotFound
	case !a.v.hasAll(a.now.roles[n].grants):
		return http.StatusForbidden
	}
	return 0
}

func (a *asker) someRole() id {
	from := sorted(a.now.roles)
	return pick(a.rnd, append(from, builtInIDs[a.rnd.IntN(len(builtInIDs))].id))
}

func roleStream(n id) string { return eventlog.Stream(domain.Role, n) }

func (a *asker) fireChangeRole(route string) {
	for range 2 {
		a.look()
		n := a.someRole()
		was, to := a.now.roles[n], ownRole{name: unique("Changed"), grants: a.someRights()}
		refused := a.overRole(n)
		for p, reach := range to.grants { // what is added goes to people everywhere
			if refused == 0 && (a.v.rights[p] < reach || reach > was.grants[p] && a.v.rights[p] < all) {
				refused = http.StatusForbidden
			}
		}
		if _, done := a.fire(shot{route: route, id: n, body: obj{"name": to.name, "permissions": grants(to.grants)}, want: unless(refused), stream: roleStream(n)}); done {
			a.now.roles[n] = to
		}
	}
}

func (a *asker) fireDeleteRole(route string) {
	a.look()
	n := a.someRole()
	refused := a.overRole(n)
	if refused == 0 && a.held(n) {
		refused = http.StatusConflict
	}
	if _, done := a.fire(shot{route: route, id: n, want: unless(refused), stream: roleStream(n)}); done {
		r := a.now.roles[n]
		r.gone = true
		a.now.roles[n] = r
	}
}
