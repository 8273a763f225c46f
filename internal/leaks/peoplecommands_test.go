package leaks_test

import (
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/role"
	"annals/internal/eventlog"
)

var builtInIDs = func() (out []struct {
	id   id
	name string
},
) {
	for _, b := range role.Builtins {
		out = append(out, struct {
			id   id
			name string
		}{b.ID, b.Name})
	}
	return out
}()

func personStream(n id) string { return eventlog.Stream(domain.Employee, n) }

// hasAllIn says whether somebody has all of the rights there, where others are to have
// them: a reach is as far as one's own only where one is assigned oneself.
func (v viewer) hasAllIn(r rights, projects, desks set) bool {
	for p, reach := range r {
		switch mine := v.rights[p]; {
		case mine < reach:
			return false
		case mine == all:
		case !projects.within(v.projects):
			return false
		case mine < project && !desks.within(v.desks):
			return false
		}
	}
	return true
}

// managesIn says whether somebody manages employees in all of the projects.
func (v viewer) managesIn(projects set) bool {
	reach := v.rights["employees.manage"]
	return reach == all || reach == project && projects.within(v.projects)
}

// overPerson is how a command to an employee is refused: whom one does not see, who
// works nowhere or elsewhere too where one manages nobody, and who may more than oneself.
func (a *asker) overPerson(n id, assigning bool) int {
	p, reach := a.now.people[n], a.v.rights["employees.manage"]
	rights := a.now.union(p.roles)
	switch {
	case !a.v.seesPerson(n, p):
		return http.StatusNotFound
	case reach < project,
		reach == project && !p.projects.meets(a.v.projects),
		reach == project && !assigning && !p.projects.within(a.v.projects),
		assigning && !a.v.hasAll(rights),
		!assigning && !a.v.hasAllIn(rights, p.projects, p.desks):
		return http.StatusForbidden
	}
	return 0
}

// people are employees to try a command on: of each kind one.
func (a *asker) people(assigning bool) []id {
	kinds := map[int][]id{}
	for _, n := range sorted(a.now.people) {
		kind := a.overPerson(n, assigning)
		if a.oneself(n) {
			kind = -1
		}
		kinds[kind] = append(kinds[kind], n)
	}
	var out []id
	for _, kind := range []int{-1, 0, http.StatusForbidden, http.StatusNotFound} {
		if len(kinds[kind]) > 0 {
			out = append(out, pick(a.rnd, kinds[kind]))
		}
	}
	return out
}

// oneself says whether an employee is who asks, or whose key asks.
func (a *asker) oneself(n id) bool { return n == a.who || a.now.keys[a.who].owner == n }

func (a *asker) projectsOf(desks set) set {
	out := set{}
	for n := range desks {
		out[a.now.desks[n].project] = true
	}
	return out
}

func (a *asker) fireNewEmployee(route string) {
	for range 2 {
		projects, desks := a.randomScope(50, 40)
		if reach := a.v.rights["employees.manage"]; len(projects) == 0 && reach < all {
			projects = setOf(pick(a.rnd, sorted(a.now.projects))) // one has to be named
		}
		p := person{name: unique("New"), email: uuid.NewString() + "@example.com", roles: a.randomRoles(), projects: projects, desks: desks}
		rights := a.now.union(p.roles)
		may := a.v.rights["employees.manage"] >= project && a.v.managesIn(projects) && a.v.hasAll(rights) &&
			a.v.hasAllIn(rights, projects, set{}) && a.v.hasAllIn(rights, a.projectsOf(desks), desks)
		body := obj{"name": p.name, "email": p.email, "roles": p.roles, "projects": sorted(projects), "desks": sorted(desks)}
		if r, done := a.fire(shot{route: route, body: body, want: whether(may, http.StatusCreated)}); done && may {
			n := made(r)
			a.now.people[n], a.hired[n] = p, true
			a.ends[personStream(n)] = 0
			if len(projects) > 0 {
				a.ends[personStream(n)] = 1
			}
		}
	}
}

func (a *asker) fireRename(route string) {
	for _, n := range a.people(false) {
		p := a.now.people[n]
		s := shot{route: route, id: n, body: obj{"name": unique("Renamed")}, want: unless(a.overPerson(n, false)), stream: personStream(n)}
		if s.want == http.StatusOK && p.off {
			s.want = http.StatusConflict
		}
		a.fire(s)
	}
}

// minus are those that are in s and not in t.
func (s set) minus(t set) set {
	out := maps.Clone(s)
	maps.DeleteFunc(out, func(n id, _ bool) bool { return t[n] })
	return out
}

// fireMove: nothing changes where one manages nobody, and nobody comes to where they
// could do more than oneself. Clients are not left behind.
func (a *asker) fireMove(route string) {
	for _, n := range append(a.people(true), a.people(true)...) {
		p := a.now.people[n]
		projects, desks := a.randomScope(60, 50)
		body := obj{"projects": sorted(projects), "desks": sorted(desks)}
		refused := a.overPerson(n, true)
		for at := range p.projects { // what one does not manage, one need not know of
			if !a.v.managesIn(setOf(at)) {
				projects[at] = true
			}
		}
		for at := range p.desks {
			if !a.v.managesIn(setOf(a.now.desks[at].project)) {
				desks[at] = true
			}
		}
		rights, moreDesks, lessDesks := a.now.union(p.roles), desks.minus(p.desks), p.desks.minus(desks)
		moreProjects, lessProjects := projects.minus(p.projects), p.projects.minus(projects)
		var behind []id
		for _, c := range sorted(a.now.clients) {
			at := a.now.clients[c].place
			if at.manager == n && !(person{projects: projects, desks: desks}).covers(at) {
				behind = append(behind, c)
			}
		}
		leaves := len(lessProjects)+len(lessDesks) > 0
		heirless := a.chance(50)
		if heirless {
			body["reassign_to"] = nil
		}
		if refused == 0 {
			may := a.v.managesIn(moreProjects) && a.v.managesIn(a.projectsOf(moreDesks)) &&
				a.v.hasAllIn(rights, moreProjects, set{}) && a.v.hasAllIn(rights, a.projectsOf(moreDesks), moreDesks)
			switch {
			case p.off, may && leaves && len(behind) > 0 && !heirless:
				refused = http.StatusConflict
			case !may:
				refused = http.StatusForbidden
			}
		}
		same := len(moreProjects)+len(moreDesks) == 0 && !leaves
		if _, done := a.fire(shot{route: route, id: n, body: body, want: unless(refused), stream: personStream(n), idle: same}); !done {
			continue
		}
		p.projects, p.desks = projects, desks
		a.now.people[n] = p
		if leaves {
			for _, c := range behind {
				x := a.now.clients[c]
				x.manager = none
				a.now.clients[c] = x
				a.ends[clientStream(c)]++
			}
		}
		a.look()
	}
}

func (a *asker) fireRoles(route string) {
	for _, n := range append(a.people(false), a.people(false)...) {
		p, to := a.now.people[n], a.randomRoles()
		refused := a.overPerson(n, false)
		switch {
		case refused != 0:
		case p.off:
			refused = http.StatusConflict
		case a.oneself(n) || !a.v.hasAllIn(a.now.union(to), p.projects, p.desks):
			refused = http.StatusForbidden
		}
		if _, done := a.fire(shot{route: route, id: n, body: obj{"roles": to}, want: unless(refused), stream: personStream(n), idle: slices.Equal(to, p.roles)}); done {
			p.roles = to
			a.now.people[n] = p
		}
	}
}

// fireDismiss deactivates people, who come back at once: others are to try as well.
func (a *asker) fireDismiss(route string) {
	for _, n := range a.people(false) {
		p := a.now.people[n]
		refused := a.overPerson(n, false)
		if refused == 0 && a.oneself(n) {
			refused = http.StatusForbidden
		}
		if _, done := a.fire(shot{route: route, id: n, want: unless(refused), stream: personStream(n), idle: p.off}); !done {
			continue
		}
		if !p.off { // no token of theirs opens anything any more
			if r := send(a.T, a.to, "GET", "/api/v1/me", a.tokens[n], ""); r.Code != http.StatusUnauthorized {
				a.wrong(route, "%s was deactivated, and their token is answered %d", n, r.Code)
			}
			a.switchPerson(a.T, n, false)
		}
		a.endKeys(n)
		a.session(a.T, n)
	}
}

// endKeys: with whoever is deactivated their keys end.
func (a *asker) endKeys(owner id) {
	for n, k := range a.now.keys {
		if k.owner == owner {
			k.off = true
			a.now.keys[n] = k
			a.readOn(keyStream(n))
		}
	}
}

func keyStream(n id) string { return eventlog.Stream(domain.APIKey, n) }

func (a *asker) fireRecall(route string) {
	for _, n := range a.people(false) {
		p := a.now.people[n]
		if _, done := a.fire(shot{route: route, id: n, want: unless(a.overPerson(n, false)), stream: personStream(n), idle: !p.off}); done && p.off {
			p.off = false
			a.now.people[n] = p
			a.endKeys(n)
			a.session(a.T, n)
		}
	}
}
