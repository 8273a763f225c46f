package leaks_test

import (
	"net/http"
	"strings"
	"time"

	"annals/domain"
	"annals/internal/eventlog"
)

// Commands to what belongs to clients. The permission has to reach the client, whatever
// is in it: who does not see the client is told that it is not there.

// permissionFor is what it takes to write something of a kind.
func permissionFor(kind string) string {
	switch kind {
	case "document":
		return "documents.write"
	case "message":
		return "clients.message"
	}
	return "activities.write"
}

// kindOfPath is what a route is about: what stands behind the client's id.
func kindOfPath(route string) string {
	_, rest, _ := strings.Cut(route, "/clients/{id}/")
	name, _, _ := strings.Cut(rest, "/")
	return strings.TrimSuffix(name, "s")
}

func thingStream(kind string, n id) string {
	if isRecord(kind) {
		kind = domain.Record
	}
	return eventlog.Stream(kind, n)
}

func created(refused int) int {
	if refused != 0 {
		return refused
	}
	return http.StatusCreated
}

// fireAdd adds something to a client of each kind: one where they may, one that they
// only see, and one that they do not see. Who is to do it, and who is mentioned, has to
// see the client.
func (a *asker) fireAdd(route string) {
	kind := kindOfPath(route)
	if kind == "record" {
		kind = pick(a.rnd, recordKinds)
	}
	for _, n := range a.targets(permissionFor(kind)) {
		c := a.now.clients[n]
		th := thing{client: n, kind: kind, text: unique(kind), by: a.who}
		s := shot{route: strings.Replace(route, "{kind}", kind, 1), id: n, want: created(a.overClient(permissionFor(kind), c))}
		allowed := func(who id) {
			if sees := !a.now.people[who].off && a.now.viewer(who).sees(c.place); !sees && s.want == http.StatusCreated {
				s.want, s.code = http.StatusUnprocessableEntity, "invalid"
			}
		}
		switch kind {
		case "note":
			th.text += " said"
			if who := a.somebody(); a.chance(40) && !a.now.people[who].off {
				th.text += " to [x](employee:" + who.String() + ")"
				allowed(who)
			}
			s.body = obj{"text": th.text}
		case "action":
			body := obj{"title": th.text}
			if who := a.somebody(); a.chance(60) {
				body["assignee_id"], th.assignee = who, who
				allowed(who)
			}
			s.body = body
		case "request":
			body := obj{"subject": th.text, "text": "Please"}
			if who := a.somebody(); a.chance(60) {
				body["assignee_id"], th.assignee = who, who
				allowed(who)
			}
			s.body = body
		case "call":
			s.body = obj{"direction": "inbound", "number": "+44 20 7946 0958", "outcome": "answered", "text": th.text}
		case "document":
			s.query, s.raw = "?name="+fileName(th), th.content()
		case "message":
			a.fireMessage(route, n)
			continue
		default:
			th.system = "leaks"
			s.body = obj{"system": "leaks", "external_id": th.text, "title": th.text}
		}
		if r, done := a.fire(s); done {
			item := made(r)
			a.things[item] = th
			a.ends[thingStream(kind, item)] = 0
		}
	}
}

// fireMessage writes to a client: as it stands, of a template, and with a document. A
// template of a project that they do not see, and a document of another client, are as
// if they were not there.
func (a *asker) fireMessage(route string, n id) {
	c := a.now.clients[n]
	s := shot{route: route, id: n, want: created(a.overClient("clients.message", c)), body: obj{"subject": "Hello", "text": unique("message")}}
	preview := strings.HasSuffix(route, "/preview")
	if preview {
		s.want = unless(a.overClient("clients.message", c))
	}
	may := s.want < 300
	switch templates := a.definedHere("template"); {
	case a.chance(40) && len(templates) > 0:
		of := pick(a.rnd, templates)
		d := a.defined[of]
		s.body = obj{"template_id": of}
		switch {
		case !may:
		case !a.v.seesDefinition(d):
			s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", of
		case d.project != none && d.project != c.project:
			s.want, s.code = http.StatusUnprocessableEntity, "invalid"
		case d.retired:
			s.want = http.StatusConflict
		}
	case a.chance(40):
		if doc, ok := a.someThing("document"); ok {
			s.body = obj{"subject": "Hello", "text": "See there", "attachments": []obj{{"document_id": doc}}}
			if th := a.things[doc]; may && (th.client != n || th.gone) {
				s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", doc
			}
		}
	}
	if may && c.off && (s.want < 300 || s.want == http.StatusUnprocessableEntity && s.body.(obj)["attachments"] != nil) {
		s.want, s.code, s.hides = http.StatusConflict, "", none
	}
	s.idle = preview
	if r, done := a.fire(s); done && !preview {
		a.things[made(r)] = thing{client: n, kind: "message", text: "Hello", by: a.who}
		a.ends[thingStream("message", made(r))] = 0
	}
}

func (a *asker) firePreview(route string) {
	for _, n := range a.targets("clients.message") {
		a.fireMessage(route, n)
	}
}

// fireReply writes down what came from a client: as the answer to a message of theirs,
// or to one of another client, of which nothing is told.
func (a *asker) fireReply(route string) {
	for _, n := range a.targets("clients.message") {
		s := shot{route: route, id: n, want: created(a.overClient("clients.message", a.now.clients[n])), body: obj{"from": "client@example.org", "text": "Yes"}}
		if to, ok := a.someThing("message"); ok && a.chance(50) {
			s.body.(obj)["in_reply_to"] = to
			if a.things[to].client != n && s.want == http.StatusCreated {
				s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", to
			}
		}
		if r, done := a.fire(s); done {
			a.things[made(r)] = thing{client: n, kind: "message", text: "Yes", by: a.who}
			a.ends[thingStream("message", made(r))] = 0
		}
	}
}

// itemTargets are things of a kind to try a command on: one of a client where they may,
// one of a client that they only see, and one of a client that they do not see.
func (a *asker) itemTargets(kind string) (out []id) {
	kinds := map[int][]id{}
	for _, n := range a.thingsOf(none, kind) {
		refused := a.overClient(permissionFor(kind), a.now.clients[a.things[n].client])
		kinds[refused] = append(kinds[refused], n)
	}
	for _, refused := range []int{0, http.StatusForbidden, http.StatusNotFound} {
		if len(kinds[refused]) > 0 {
			out = append(out, pick(a.rnd, kinds[refused]))
		}
	}
	return out
}

// fireItem tries a command on what belongs to clients, and on the same under the path of
// another client, where it is not.
func (a *asker) fireItem(route string, body func(thing) any, idle func(thing) bool, want func(thing) int, after func(*thing)) {
	kind := kindOfPath(route)
	if kind == "record" {
		kind = pick(a.rnd, recordKinds)
	}
	for _, n := range a.itemTargets(kind) {
		th := a.things[n]
		s := shot{
			route: strings.Replace(route, "{kind}", kind, 1), id: th.client, item: n, body: body(th), idle: idle(th),
			want: unless(a.overClient(permissionFor(kind), a.now.clients[th.client])), stream: thingStream(kind, n),
		}
		if kind == "document" && strings.HasSuffix(route, "/versions") {
			s.body, s.raw, s.want = nil, th.content()+unique("more"), created(a.overClient(permissionFor(kind), a.now.clients[th.client]))
		}
		if other := pick(a.rnd, sorted(a.now.clients)); other != th.client && a.chance(30) {
			s.id, s.want, s.elsewhere = other, http.StatusNotFound, a.v.sees(a.now.clients[other].place)
		}
		if s.want < 300 {
			if refused := want(th); refused != 0 {
				s.want = refused
			}
		}
		if _, done := a.fire(s); done {
			after(&th)
			a.things[n] = th
		}
	}
}

func busy(thing) bool { return false }

func always(thing) int { return 0 }

func same(*thing) {}

func (a *asker) fireEditThing(route string) {
	bodies := map[string]obj{
		"note": {"text": unique("edited")}, "action": {"title": unique("edited")}, "call": {"text": unique("edited")},
		"record": {"title": unique("edited")}, "document": {"name": strings.ReplaceAll(unique("edited"), " ", "-") + ".txt"},
	}
	a.fireItem(route, func(thing) any { return bodies[kindOfPath(route)] }, busy, always, same)
}

func (a *asker) fireDeleteThing(route string) {
	a.fireItem(route, func(thing) any { return nil }, busy, always, func(th *thing) { th.gone = true })
}

func (a *asker) fireNewVersion(route string) {
	a.fireItem(route, func(thing) any { return nil }, busy, always, same)
}

func (a *asker) fireFinish(route string) {
	a.fireItem(route, func(thing) any { return nil }, func(th thing) bool { return th.done }, always, func(th *thing) { th.done = true })
}

func (a *asker) fireReopen(route string) {
	a.fireItem(route, func(thing) any { return nil }, func(th thing) bool { return !th.done }, always, func(th *thing) { th.done = false })
}

func (a *asker) fireResolve(route string) {
	to := func(th thing) string {
		if th.done {
			return "open"
		}
		return "resolved"
	}
	a.fireItem(route, func(th thing) any { return obj{"status": to(th), "text": unique("why")} }, busy, always, func(th *thing) { th.done = !th.done })
}

// fireTake gives a request to nobody, or to somebody who may have it.
func (a *asker) fireTake(route string) {
	who := a.somebody()
	if a.chance(30) {
		who = none
	}
	a.fireItem(route, func(thing) any { return obj{"assignee_id": orNull(who)} }, func(th thing) bool { return th.assignee == who }, func(th thing) int {
		p := a.now.people[who]
		switch {
		case th.assignee == who:
		case th.done:
			return http.StatusConflict
		case who != none && (p.off || !a.now.viewer(who).sees(a.now.clients[th.client].place)):
			return http.StatusUnprocessableEntity
		}
		return 0
	}, func(th *thing) { th.assignee = who })
}

// fireBounce: no message here was sent, so none can have come back.
func (a *asker) fireBounce(route string) {
	a.fireItem(route, func(thing) any { return obj{} }, busy, func(thing) int { return http.StatusConflict }, same)
}

func (a *asker) firePortal(route string) {
	access := pick(a.rnd, []string{"granted", "revoked", "automatic"})
	for _, n := range a.targets("clients.edit") {
		c := a.now.clients[n]
		s := shot{route: route, id: n, body: obj{"access": access}, want: unless(a.overClient("clients.edit", c)), stream: clientStream(n), idle: true}
		if s.want == http.StatusOK && c.off && access == "granted" {
			s.want = http.StatusConflict
		}
		a.fire(s)
	}
}

func (a *asker) firePortalSignIn(route string) {
	for _, n := range a.targets("clients.edit") {
		a.fire(shot{
			route: route, id: n, body: obj{"at": time.Now().UTC()}, want: unless(a.overClient("clients.edit", a.now.clients[n])),
			stream: clientStream(n), idle: true,
		})
	}
}

// firePartner names another client in a custom field: one that they do not see is as if
// it were not there.
func (a *asker) firePartner(route string) {
	for _, n := range a.targets("clients.edit") {
		c, to := a.now.clients[n], pick(a.rnd, sorted(a.now.clients))
		s := shot{route: route, id: n, body: obj{"custom": obj{"partner": to}}, want: unless(a.overClient("clients.edit", c)), stream: clientStream(n), idle: a.partners[n] == to}
		switch {
		case s.want != http.StatusOK:
		case c.off:
			s.want = http.StatusConflict
		case !a.inUse("partner", c.project):
			s.want, s.code = http.StatusUnprocessableEntity, "invalid"
		case a.partners[n] != to && !a.v.sees(a.now.clients[to].place):
			s.want, s.code, s.hides = http.StatusUnprocessableEntity, "invalid", to
		}
		if _, done := a.fire(s); done {
			a.partners[n] = to
		}
	}
}

// inUse says whether there is a custom field for the clients of a project.
func (o *org) inUse(key string, project id) bool {
	for _, d := range o.defined {
		if d.kind == "field" && d.name == key && d.project == project {
			return !d.retired
		}
	}
	return false
}
