package leaks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"annals/domain"
	"annals/domain/defaultview"
	"annals/domain/favourite"
	"annals/domain/view"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

// savedView is a list that somebody has saved.
type savedView struct {
	owner   id
	name    string
	with    string // nobody, desk, project, everybody
	of      id     // the desk or project
	gone    bool
	starred set // by whom
}

// beginning is the view with which those begin who hold a role.
type beginning struct {
	view  id
	since int
}

// saveViews has people save views, and share, star and delete some.
func (o *org) saveViews(t *testing.T) {
	t.Helper()
	for range 2 + o.rnd.IntN(o.size(2, 6)) {
		n, v := o.newID(), savedView{owner: o.somebody(), name: fmt.Sprintf("View %s %d", o.name, len(o.views)), starred: set{}}
		v.with, v.of = o.randomSharing()
		o.write(t, domain.View, n, view.Created{OwnerID: v.owner, Definition: view.Definition{Name: v.name, Shared: sharing(v)}})
		if o.chance(20) {
			from := sharing(v)
			v.with, v.of = o.randomSharing()
			o.write(t, domain.View, n, view.Changed{From: view.Definition{Name: v.name, Shared: from}, To: view.Definition{Name: v.name, Shared: sharing(v)}})
		}
		for _, who := range some(o.rnd, sorted(o.now.people), 30) { // who have seen it, perhaps
			of := favourite.Of{EmployeeID: who, ViewID: n}
			o.write(t, domain.Favourite, of.ID(), favourite.Starred{Of: of})
			v.starred[who] = true
		}
		o.views[n] = v
	}
	for _, role := range some(o.rnd, sorted(o.now.roles), 70) {
		n := pick(o.rnd, sorted(o.views))
		o.write(t, domain.DefaultView, role, defaultview.Changed{Role: role.String(), To: n})
		o.begins[role] = beginning{n, len(o.begins)}
	}
	if n := pick(o.rnd, sorted(o.views)); o.chance(30) {
		o.write(t, domain.View, n, view.Deleted{})
		v := o.views[n]
		v.gone = true
		o.views[n] = v
	}
}

// randomSharing is with whom a view is shared. What everybody sees is seen in all
// organisations, so few have such a one.
func (o *org) randomSharing() (with string, of id) {
	number, _ := strconv.Atoi(o.name[strings.IndexByte(o.name, '/')+1:])
	switch o.rnd.IntN(5) {
	case 0, 1:
		if desks := sorted(o.now.desks); len(desks) > 0 {
			return "desk", pick(o.rnd, desks)
		}
	case 2:
		return "project", pick(o.rnd, sorted(o.now.projects))
	case 3:
		if number%9 == 0 {
			return "everybody", none
		}
	}
	return "nobody", none
}

func sharing(v savedView) view.Shared {
	if v.with == "nobody" {
		return view.Shared{}
	}
	return view.Shared{With: v.with, ID: v.of}
}

// seesView says whether somebody sees a view: their own, those that are shared with where
// they work or with all, and who manages the settings all that are shared.
func (v viewer) seesView(s savedView) bool {
	switch {
	case s.gone:
		return false
	case s.owner == v.me && v.me != none, s.with == "everybody":
		return true
	case s.with == "desk" && v.desks[s.of], s.with == "project" && v.projects[s.of]:
		return true
	}
	return s.with != "nobody" && v.rights["settings.manage"] == all
}

// inProject is the project of the desk or project with which a view is shared.
func (o *org) inProject(s savedView) id {
	if s.with == "desk" {
		return o.now.desks[s.of].project
	}
	return s.of
}

// viewLine is a view as somebody has to be shown it.
func (a *asker) viewLine(o *org, n id) string {
	s := o.views[n]
	with, of := s.with, textOf(s.of)
	if mine := s.owner == a.v.me; mine && of != "" && !a.v.seesProject(o.inProject(s)) {
		with, of = "nobody", "" // they have left it
	}
	first, since := none, -1
	if a.v.me != none {
		for _, ref := range a.now.people[a.who].roles {
			r, made := builtInNot(a.now, ref)
			if !made || r.gone {
				continue
			}
			b, ok := a.begins[parse(ref)]
			if begun := a.views[b.view]; ok && b.since > since && begun.with != "nobody" && a.v.seesView(begun) {
				first, since = b.view, b.since
			}
		}
	}
	roles := []string{}
	for role, b := range o.begins {
		if b.view == n && !o.now.roles[role].gone && s.with != "nobody" {
			roles = append(roles, role.String())
		}
	}
	slices.Sort(roles)
	return line(s.name, s.owner, o.now.people[s.owner].name, s.owner == a.v.me, with, of, s.starred[a.who], n == first, roles)
}

func viewShown(m apitest.Map) string {
	return line(text(m["name"]), field(m, "owner", "id"), field(m, "owner", "name"), m["mine"], field(m, "shared", "with"), field(m, "shared", "id"),
		m["favourite"], m["default"], texts(m["default_for"]))
}

func (a *asker) readViews(string) {
	q := url.Values{}
	mine, starred := pick(a.rnd, []string{"", "", "true", "false"}), pick(a.rnd, []string{"", "", "true", "false"})
	for name, value := range map[string]string{"mine": mine, "favourite": starred} {
		if value != "" {
			q.Set(name, value)
		}
	}
	want := map[string]string{}
	for _, o := range a.w.orgs {
		for n, s := range o.views {
			if a.v.seesView(s) && (mine == "" || (s.owner == a.v.me) == (mine == "true")) && (starred == "" || s.starred[a.who] == (starred == "true")) {
				want[n.String()] = a.viewLine(o, n)
			}
		}
	}
	a.list("/api/v1/views", q, []string{"name", "-created_at", "updated_at"}, want, "id", viewShown)
}

func (a *asker) readView(route string) {
	for _, n := range someOf(a, a.views, 2) {
		a.one(route, n, a.v.seesView(a.views[n]), func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.viewLine(a.org, n)}, map[string]string{text(r.json()["id"]): viewShown(r.json())})
		})
	}
}

// Commands to views.

func viewStream(n id) string { return eventlog.Stream(domain.View, n) }

// overSharing is how it ends to share a view so: with a desk or project that somebody
// does not see as with none that there is.
func (a *asker) overSharing(s *shot, v savedView) {
	refused := func(status int) { s.want, s.code = status, "" }
	switch at := a.inProject(v); v.with {
	case "everybody":
		if a.v.rights["settings.manage"] != all {
			refused(http.StatusForbidden)
		}
	case "desk", "project":
		p := place{project: at}
		if v.with == "desk" {
			p.desk = v.of
		}
		if !a.v.seesProject(at) {
			refused(http.StatusUnprocessableEntity)
			s.hides = v.of
		} else if !a.v.reaches("views.share", p) {
			refused(http.StatusForbidden)
		}
	}
}

func sharedBody(v savedView) obj {
	if v.of == none {
		return obj{"with": v.with}
	}
	return obj{"with": v.with, "id": v.of}
}

func (a *asker) fireNewView(route string) {
	for range 3 {
		v := savedView{owner: a.v.me, name: unique("View"), starred: set{}}
		if v.with, v.of = a.randomSharing(); a.chance(20) {
			v.with, v.of = "everybody", none
		}
		s := shot{route: route, body: obj{"name": v.name, "shared": sharedBody(v)}, want: http.StatusCreated}
		if a.overSharing(&s, v); a.v.me == none {
			s.want, s.code, s.hides = http.StatusForbidden, "people_only", none
		}
		if r, done := a.fire(s); done {
			a.views[made(r)] = v
			a.ends[viewStream(made(r))] = 0
		}
	}
}

// overView is how a command to a view is refused.
func (a *asker) overView(v savedView) int {
	switch {
	case !a.v.seesView(v):
		return http.StatusNotFound
	case v.owner != a.v.me && (v.with == "nobody" || a.v.rights["settings.manage"] != all):
		return http.StatusForbidden
	}
	return 0
}

// viewTargets are views to try a command on, one of each kind.
func (a *asker) viewTargets() []id {
	kinds := map[int][]id{}
	for _, n := range sorted(a.views) {
		refused := a.overView(a.views[n])
		kinds[refused] = append(kinds[refused], n)
	}
	var out []id
	for _, refused := range []int{0, http.StatusForbidden, http.StatusNotFound} {
		if len(kinds[refused]) > 0 {
			out = append(out, pick(a.rnd, kinds[refused]))
		}
	}
	return out
}

func (a *asker) fireEditView(route string) {
	for _, n := range a.viewTargets() {
		v := a.views[n]
		s := shot{route: route, id: n, body: obj{"name": unique("View")}, want: unless(a.overView(v)), stream: viewStream(n)}
		if to := v; a.chance(50) && s.want == http.StatusOK {
			to.with, to.of = a.randomSharing()
			if s.body, s.idle = (obj{"shared": sharedBody(to)}), true; to.with != v.with || to.of != v.of {
				a.overSharing(&s, to)
			}
			v = to
		}
		if _, done := a.fire(s); done {
			a.views[n] = v
		}
	}
}

func (a *asker) fireDeleteView(route string) {
	if !a.chance(40) {
		return // or none would be left
	}
	for _, n := range a.viewTargets() {
		if _, done := a.fire(shot{route: route, id: n, want: unless(a.overView(a.views[n])), stream: viewStream(n)}); done {
			v := a.views[n]
			v.gone = true
			a.views[n] = v
		}
	}
}

// fireStarView: whoever sees a view makes it a favourite of theirs, and no key has one.
func (a *asker) fireStarView(route string) {
	for _, n := range someOf(a, a.views, 3) {
		s := shot{route: route, id: n, want: http.StatusOK, idle: true}
		switch {
		case a.v.me == none:
			s.want, s.code = http.StatusForbidden, "people_only"
		case !a.v.seesView(a.views[n]):
			s.want = http.StatusNotFound
		}
		a.fire(s)
	}
}

// fireDefaultView: with which view a role begins, who manages the settings says; of what
// is private of somebody else they do not learn.
func (a *asker) fireDefaultView(route string) {
	n, of := a.someRole(), pick(a.rnd, sorted(a.views))
	v := a.views[of]
	s := shot{route: route, id: n, body: obj{"view_id": of}, want: http.StatusOK, idle: true}
	switch {
	case a.v.rights["settings.manage"] != all:
		s.want = http.StatusForbidden
	case a.now.roles[n].gone:
		s.want = http.StatusNotFound
	case !a.v.seesView(v):
		if a.begins[n].view == of {
			return // it stays what it is
		}
		s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", of
	case v.with == "nobody":
		if a.begins[n].view == of {
			return
		}
		s.want = http.StatusUnprocessableEntity
	}
	if _, done := a.fire(s); done {
		a.begins[n] = beginning{of, len(a.begins)}
	}
}
