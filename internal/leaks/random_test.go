package leaks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// grow makes a random organisation, and changes it at random.
func (o *org) grow(t *testing.T) {
	t.Helper()
	o.found(t)
	if o.furnished {
		o.furnish(t)
	}
	o.saveViews(t)
	o.keep()
	for range 5 + o.rnd.IntN(o.size(6, 10)) {
		if o.furnished && o.chance(35) {
			o.thingStep(t)
			continue
		}
		o.step(t)
		o.keep()
	}
	for range o.rnd.IntN(3) {
		o.addKey(t, o.randomKey(), o.chance(10))
	}
	o.keep()
	for _, who := range sorted(o.now.people) {
		if o.tokens[who] == "" {
			o.session(t, who)
		}
	}
}

// size is how large a random number gets in a small organisation, and in a big one.
func (o *org) size(small, big int) int {
	if o.big {
		return big
	}
	return small
}

func (o *org) found(t *testing.T) {
	t.Helper()
	number := o.name[strings.IndexByte(o.name, '/')+1:]
	for i := range 1 + o.rnd.IntN(3) {
		o.addProject(t, fmt.Sprintf("Project %s %c", number, 'A'+i))
	}
	for _, p := range sorted(o.now.projects) {
		for i := range o.rnd.IntN(3) {
			o.addDesk(t, p, fmt.Sprintf("Desk %s %c", number, 'A'+i))
		}
	}
	for range 1 + o.rnd.IntN(2) {
		o.addRole(t, o.randomRole())
		o.keep()
	}
	for i := range 3 + o.rnd.IntN(o.size(3, 5)) {
		p := person{name: fmt.Sprintf("Person %s %c", number, 'A'+i), roles: o.randomRoles()}
		p.email = strings.ToLower(strings.ReplaceAll(p.name, " ", ".")) + "." + strings.ReplaceAll(o.name, "/", ".") + "@example.com"
		p.projects, p.desks = o.randomScope(60, 50)
		o.addPerson(t, p)
		o.keep()
	}
	if o.furnished {
		o.define(t)
	}
	for i := range 5 + o.rnd.IntN(o.size(5, 11)) {
		c := client{
			place: o.randomPlace(), first: pick(o.rnd, []string{"Anna", "Bert", "Cleo"}), last: fmt.Sprintf("Client %s %c", number, 'A'+i),
			status: pick(o.rnd, []string{"lead", "active", "inactive"}), tags: some(o.rnd, []string{"gold", "north", "old", "vip"}, 30),
		}
		c.email = fmt.Sprintf("client.%s.%c@example.org", number, 'a'+i)
		o.addClient(t, c)
	}
}

// step changes something.
func (o *org) step(t *testing.T) {
	t.Helper()
	people, clients := sorted(o.now.people), sorted(o.now.clients)
	var others, roles []id // whom the boss may change; roles that there are
	for _, n := range people {
		if o.boss == nil || n.String() != o.boss.ID {
			others = append(others, n)
		}
	}
	for _, n := range sorted(o.now.roles) {
		if !o.now.roles[n].gone {
			roles = append(roles, n)
		}
	}
	who, n := pick(o.rnd, others), pick(o.rnd, clients)
	if o.boss == nil {
		o.actor = pick(o.rnd, people)
	}
	switch p, kind := o.now.people[who], o.rnd.IntN(12); {
	case kind < 3 && !p.off:
		projects, desks := o.randomScope(50, 50)
		o.movePerson(t, who, projects, desks)
	case kind == 3 && !p.off:
		o.setRoles(t, who, o.randomRoles())
	case kind == 4 && (p.off || o.chance(50)):
		o.switchPerson(t, who, !p.off)
	case kind < 8:
		o.moveClient(t, n, o.randomPlace())
	case kind == 8:
		o.switchClient(t, n, !o.now.clients[n].off)
	case kind == 9 && len(roles) > 0:
		r := o.randomRole()
		o.changeRole(t, pick(o.rnd, roles), r)
	case kind == 10 && len(roles) > 0:
		if r := pick(o.rnd, roles); o.boss == nil || !o.held(r) {
			o.deleteRole(t, r)
		}
	case !o.now.clients[n].off:
		o.restatus(t, n, pick(o.rnd, []string{"lead", "active", "inactive"}))
	}
}

func (o *org) held(role id) bool {
	for _, p := range o.now.people {
		for _, r := range p.roles {
			if r == role.String() {
				return true
			}
		}
	}
	return false
}

// randomScope is some projects, and some of their desks.
func (o *org) randomScope(projects, desks int) (set, set) {
	p, d := setOf(some(o.rnd, sorted(o.now.projects), projects)...), set{}
	for _, n := range some(o.rnd, sorted(o.now.desks), desks) {
		if p[o.now.desks[n].project] {
			d[n] = true
		}
	}
	return p, d
}

// randomPlace is somewhere with a manager who works there, as a rule.
func (o *org) randomPlace() place {
	at := place{project: pick(o.rnd, sorted(o.now.projects))}
	if o.chance(65) {
		var here []id
		for _, n := range sorted(o.now.desks) {
			if o.now.desks[n].project == at.project {
				here = append(here, n)
			}
		}
		at.desk = pick(o.rnd, here)
	}
	var able []id
	for _, n := range sorted(o.now.people) {
		if p := o.now.people[n]; !p.off && p.covers(at) {
			able = append(able, n)
		}
	}
	if len(able) > 0 && o.chance(70) {
		at.manager = pick(o.rnd, able)
	}
	return at
}

func (o *org) randomRights(percent, most int) rights {
	r := rights{}
	for _, p := range permissions {
		if o.chance(percent) {
			r[p] = min(most, pick(o.rnd, []int{own, own, desk, desk, desk, project, project, project, project, all}))
		}
	}
	return r
}

func (o *org) randomRole() ownRole {
	r := ownRole{name: fmt.Sprintf("Role %s %d", o.name, o.rnd.IntN(1000)), grants: o.randomRights(35, all)}
	delete(r.grants, "clients.view")
	if o.chance(90) {
		r.grants["clients.view"] = pick(o.rnd, []int{own, own, own, own, own, desk, desk, project, project, all})
	}
	if o.chance(40) { // or hardly anybody could do anything to colleagues
		reach := pick(o.rnd, []int{project, project, all})
		r.grants["employees.view"], r.grants["employees.manage"] = reach, reach
	}
	return r
}

// randomRoles are none to three. Few of them reach everywhere.
func (o *org) randomRoles() []string {
	from := slices.Concat(slices.Repeat([]string{"agent"}, 4), slices.Repeat([]string{"desk_manager"}, 3), slices.Repeat([]string{"project_admin"}, 3))
	for _, n := range sorted(o.now.roles) {
		if !o.now.roles[n].gone {
			from = append(from, n.String(), n.String())
		}
	}
	switch made := from[10:]; o.rnd.IntN(12) {
	case 0:
		from = []string{"auditor"}
	case 1:
		from = []string{"admin", "auditor"}
	case 2, 3, 4, 5: // with which somebody may see nothing but their own
		if len(made) > 0 {
			from = made
		}
	}
	have := map[string]bool{}
	for range pick(o.rnd, []int{0, 1, 1, 1, 1, 2, 2, 3}) {
		have[pick(o.rnd, from)] = true
	}
	out := []string{}
	for _, name := range append(strings.Fields("admin agent auditor desk_manager project_admin"), idTexts(sorted(o.now.roles))...) {
		if have[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (o *org) randomKey() apiKey {
	k := apiKey{name: fmt.Sprintf("Key %d", o.rnd.IntN(1000)), owner: pick(o.rnd, sorted(o.now.people)), grants: rights{}, off: o.chance(10)}
	for p, reach := range o.randomRights(50, all) {
		k.grants[p] = max(reach, desk)
	}
	if o.chance(70) {
		k.grants["clients.view"] = pick(o.rnd, []int{desk, desk, project, all})
	}
	if o.chance(50) {
		k.projects, k.desks = o.randomScope(60, 60)
		for p, reach := range k.grants { // a scope bounds all that there is
			k.grants[p] = min(reach, project)
		}
	}
	return k
}

func idTexts(ids []uuid.UUID) []string {
	out := make([]string, len(ids))
	for i, n := range ids {
		out[i] = n.String()
	}
	return out
}
