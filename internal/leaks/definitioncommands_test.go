package leaks_test

import (
	"net/http"
	"strings"

	"annals/domain"
	"annals/domain/template"
	"annals/internal/eventlog"
)

// Commands to what is defined for clients, and to one's own inbox.

// mayHere says whether a permission reaches what belongs to a project, or to all.
func (v viewer) mayHere(permission string, project id) bool {
	reach := v.rights[permission]
	return reach == all || reach == assigned && v.projects[project]
}

// managesHere says whether somebody manages the organisation of a project, or of all.
func (v viewer) managesHere(project id) bool { return v.mayHere("organisation.manage", project) }

// definesHere says whether somebody may define something for a project, or for all.
func (v viewer) definesHere(kind string, project id) bool {
	if kind == "retention" { // by which clients are erased
		return v.mayHere("clients.erase", project) && v.mayHere("clients.view", project)
	}
	return v.managesHere(project)
}

// assigned is the reach into projects, where a parameter has its name.
const assigned = project

func (a *asker) fireDefine(route string) {
	kind := kindOfRoute(route)
	for range 2 {
		in := pick(a.rnd, append(sorted(a.now.projects), none))
		d := definition{kind: kind, project: in, name: unique(kind)}
		body := obj{"project_id": orNull(in), "name": d.name}
		switch kind {
		case "field":
			d.name = strings.ReplaceAll(d.name, " ", "_")
			body = obj{"project_id": orNull(in), "key": d.name, "type": "text", "label": d.name}
		case "template":
			body["default_language"], body["texts"] = "en", map[string]template.Text{"en": {Subject: "Hello", Text: "Hello"}}
		}
		if kind == "retention" {
			body["since"], body["days"], body["action"] = "created", 1, "propose"
		}
		if r, done := a.fire(shot{route: route, body: body, want: whether(a.v.definesHere(kind, in), http.StatusCreated)}); done {
			if a.defined[made(r)] = d; kind == "template" {
				a.ends[eventlog.Stream(domain.Template, made(r))] = 0
			}
		}
	}
}

// overDefinition is how a command to what is defined is refused.
func (a *asker) overDefinition(d definition) int {
	switch {
	case d.project == none && len(a.v.rights) == 0, !a.v.seesDefinition(d):
		return http.StatusNotFound
	case !a.v.definesHere(d.kind, d.project):
		return http.StatusForbidden
	}
	return 0
}

// fireRedefine changes, retires, restores or deletes what is defined: one of each kind of target.
func (a *asker) fireRedefine(route string) {
	kind := kindOfRoute(route)
	kinds := map[int][]id{}
	for _, n := range a.definedHere(kind) {
		refused := a.overDefinition(a.defined[n])
		kinds[refused] = append(kinds[refused], n)
	}
	for _, refused := range []int{0, http.StatusForbidden, http.StatusNotFound} {
		if len(kinds[refused]) == 0 {
			continue
		}
		n := pick(a.rnd, kinds[refused])
		d := a.defined[n]
		s := shot{route: route, id: n, want: unless(refused), idle: true}
		if kind == "template" {
			s.stream = eventlog.Stream(domain.Template, n)
		}
		switch {
		case strings.HasSuffix(route, "/retire"):
			d.retired = true
			s.want = conflict(s.want, d.merged)
		case strings.HasSuffix(route, "/restore"):
			d.retired = false
		case strings.HasSuffix(route, "/merge"):
			a.fireMerge(s, n, d)
			continue
		case strings.HasPrefix(route, "DELETE"):
			if _, done := a.fire(s); done {
				delete(a.defined, n)
			}
			continue
		case kind == "retention":
			s.body = obj{"days": 2 + a.rnd.IntN(100)}
		case kind == "field":
			s.body = obj{"help": unique("help")}
		case kind == "tag":
			s.body, s.want = obj{"description": unique("who")}, conflict(s.want, d.merged)
		default:
			s.body, s.want = obj{"name": unique("template")}, conflict(s.want, d.retired)
		}
		if _, done := a.fire(s); done {
			a.defined[n] = d
		}
	}
}

func conflict(want int, there bool) int {
	if want == http.StatusOK && there {
		return http.StatusConflict
	}
	return want
}

// fireMerge makes a tag one with another of the same project; one of another project is
// none that there is.
func (a *asker) fireMerge(s shot, n id, d definition) {
	into := pick(a.rnd, a.definedHere("tag"))
	to := a.defined[into]
	s.body = obj{"into": into}
	if s.want == http.StatusOK {
		switch {
		case to.project != d.project:
			s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", into
		case d.merged:
			return // with what, matters then
		case into == n, to.retired, to.merged:
			return
		}
	}
	if _, done := a.fire(s); done {
		d.merged = true
		a.defined[n] = d
	}
}

// fireTransitions: which changes of status there are, whoever manages the project says.
func (a *asker) fireTransitions(route string) {
	for _, n := range sorted(a.now.projects) {
		want := http.StatusOK
		switch {
		case !a.v.seesProject(n):
			want = http.StatusNotFound
		case !a.v.managesHere(n):
			want = http.StatusForbidden
		}
		body := obj{"allowed": obj{"lead": []string{"active", "inactive"}, "active": []string{"inactive"}, "inactive": []string{"lead"}}}
		if a.chance(50) {
			body = obj{"allowed": nil}
		}
		a.fire(shot{route: route, id: n, body: body, want: want, idle: true})
	}
}

// fireTemplatePreview shows a template with what a client has: a client that they do not
// see is none.
func (a *asker) fireTemplatePreview(route string) {
	templates := a.definedHere("template")
	if len(templates) == 0 {
		return
	}
	n, of := pick(a.rnd, templates), pick(a.rnd, sorted(a.now.clients))
	d, c := a.defined[n], a.now.clients[of]
	s := shot{route: route, id: n, body: obj{"client_id": of}, want: http.StatusOK, idle: true}
	switch {
	case d.project == none && len(a.v.rights) == 0, !a.v.seesDefinition(d):
		s.want = http.StatusNotFound
	case !a.v.sees(c.place):
		s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", of
	case d.project != none && d.project != c.project:
		s.want = http.StatusUnprocessableEntity
	}
	a.fire(s)
}

func (a *asker) fireImport(route string) {
	a.fire(shot{route: route, body: obj{"registered": 1}, want: whether(a.v.rights["clients.import"] > nothing, http.StatusCreated)})
}

// fireInbox: one's inbox is one's own, and no key has one. What is read in another's
// stays unread there.
func (a *asker) fireInbox(route string) {
	body := obj{"ids": []id{a.newID()}}
	if strings.HasSuffix(route, "/preferences") {
		body = obj{"due": pick(a.rnd, []string{"email", "page"})}
	}
	s := shot{route: route, body: body, want: http.StatusOK, idle: true}
	if a.v.me == none {
		s.want, s.code = http.StatusForbidden, "people_only"
	}
	a.fire(s)
}
