package leaks_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"annals/internal/apitest"
)

// What belongs to a client is seen by those who see the client, and by nobody else.

// a client to ask about: more often than not one with something that belongs to it.
func (a *asker) someClient() id {
	if there := a.thingsOf(none, ""); len(there) > 0 && a.chance(75) {
		return a.things[pick(a.rnd, there)].client
	}
	return pick(a.rnd, sorted(a.now.clients))
}

// thingLine is something as it is shown among what happened with a client.
func (o *org) thingLine(th thing) string {
	status := ""
	switch {
	case th.kind == "action" && th.done:
		status = "done"
	case th.kind == "request" && th.done:
		status = "resolved"
	case th.kind == "action" || th.kind == "request":
		status = "open"
	}
	name := ""
	if th.kind == "document" {
		name = fileName(th)
	}
	return line(th.kind, o.nameOf(th.by), textOfThing(th), name, status, th.pinned, textOf(th.assignee), o.now.people[th.assignee].name, th.gone)
}

func textOfThing(th thing) string {
	if th.kind == "document" {
		return ""
	}
	return th.text
}

func thingItem(m apitest.Map) string {
	said := text(m["title"]) + text(m["subject"])
	if said == "" {
		said = text(m["text"])
	}
	return line(text(m["kind"]), field(m, "actor", "name"), said, text(m["name"]), text(m["status"]), m["pinned"] == true,
		field(m, "assignee", "id"), field(m, "assignee", "name"), m["deleted_at"] != nil)
}

// inFeed says whether something stands in a feed: a document that was deleted does.
func inFeed(th thing) bool { return !isRecord(th.kind) && (!th.gone || th.kind == "document") }

func (a *asker) readFeed(route string) {
	n := a.someClient()
	if !a.v.sees(a.now.clients[n].place) {
		a.one(route, n, false, nil)
		return
	}
	q, kinds, pinned := url.Values{}, []string(nil), ""
	if a.chance(30) {
		kinds = some(a.rnd, append(slices.Clone(feedKinds), "change"), 40)
		for _, k := range kinds {
			q.Add("kind", k)
		}
	}
	if a.chance(15) {
		pinned = pick(a.rnd, []string{"true", "false"})
		q.Set("pinned", pinned)
	}
	meets := func(kind string, isPinned bool) bool {
		return (len(kinds) == 0 || slices.Contains(kinds, kind)) && (pinned == "" || isPinned == (pinned == "true"))
	}
	want := map[string]string{}
	for item, th := range a.things {
		if th.client == n && inFeed(th) && meets(th.kind, th.pinned) {
			want[item.String()] = a.thingLine(th)
		}
	}
	for i, e := range a.events[n] {
		if meets("change", false) {
			want["change "+strconv.Itoa(i)] = line("change", a.nameOf(e.actor), e.kind)
		}
	}
	a.listBy(at(route, n), q, []string{"at", "-at", "at,at"}, want, func(m apitest.Map) string {
		if m["kind"] == "change" {
			return "change " + text(m["revision"])
		}
		return text(m["id"])
	}, func(m apitest.Map) string {
		if m["kind"] == "change" {
			return line("change", field(m, "actor", "name"), text(m["type"]))
		}
		return thingItem(m)
	})
}

// someThing is something to ask for of the kinds: of any client.
func (a *asker) someThing(kinds ...string) (id, bool) {
	var there []id
	for _, n := range sorted(a.things) {
		if slices.Contains(kinds, a.things[n].kind) {
			there = append(there, n)
		}
	}
	if len(there) == 0 {
		return none, false
	}
	return pick(a.rnd, there), true
}

// item asks for one thing of a client: under the path of its own, and under that of
// another, where it is not, whoever sees that.
func (a *asker) item(route string, n id, there bool, check func(answer)) {
	th := a.things[n]
	of := th.client
	if other := pick(a.rnd, sorted(a.now.clients)); other != of && a.chance(25) {
		of, there = other, false
	}
	r := a.get(at(route, of, n))
	if !there || !a.v.sees(a.now.clients[of].place) {
		a.isAbsent(route, r)
		return
	}
	if r.status != http.StatusOK {
		a.wrong(r.request, "want 200, got %d %s", r.status, r.body)
		return
	}
	check(r)
}

func (a *asker) readActivity(route string) {
	n, ok := a.someThing(feedKinds...)
	if !ok {
		return
	}
	th := a.things[n]
	a.item(route, n, inFeed(th), func(r answer) {
		a.compare(r.request, map[string]string{n.String(): a.thingLine(th)}, map[string]string{text(r.json()["id"]): thingItem(r.json())})
	})
}

func (o *org) documentLine(th thing) string {
	return line(fileName(th), len(th.content()), o.nameOf(th.by))
}

func documentItem(m apitest.Map) string {
	return line(text(m["name"]), text(m["size"]), field(m, "actor", "name"))
}

func (a *asker) readDocuments(route string) {
	n := a.someClient()
	if !a.v.sees(a.now.clients[n].place) {
		a.one(route, n, false, nil)
		return
	}
	want := map[string]string{}
	for _, item := range a.thingsOf(n, "document") {
		want[item.String()] = a.documentLine(a.things[item])
	}
	a.list(at(route, n), nil, []string{"at", "-at", "at,at"}, want, "id", documentItem)
}

func (a *asker) readDocument(route string) {
	if n, ok := a.someThing("document"); ok {
		th := a.things[n]
		a.item(route, n, !th.gone, func(r answer) {
			a.compare(r.request, map[string]string{n.String(): a.documentLine(th)}, map[string]string{text(r.json()["id"]): documentItem(r.json())})
		})
	}
}

func (a *asker) readContent(route string) {
	if n, ok := a.someThing("document"); ok {
		th := a.things[n]
		a.item(route, n, !th.gone, func(r answer) {
			if string(r.body) != th.content() {
				a.wrong(r.request, "want %q, got %q", th.content(), r.body)
			}
		})
	}
}

func (a *asker) readRecords(route string) {
	n, kind := a.someClient(), pick(a.rnd, recordKinds)
	route = strings.Replace(route, "{kind}", kind, 1)
	if !a.v.sees(a.now.clients[n].place) {
		a.one(route, n, false, nil)
		return
	}
	want := map[string]string{}
	for _, item := range a.thingsOf(n, kind) {
		th := a.things[item]
		want[item.String()] = line(th.text, th.system, a.nameOf(th.by))
	}
	a.list(at(route, n), nil, []string{"added_at", "-added_at", "due_at", "due_at,added_at"}, want, "id", func(m apitest.Map) string {
		return line(text(m["title"]), text(m["system"]), field(m, "actor", "name"))
	})
}

func (a *asker) readRecordSums(route string) {
	n := a.someClient()
	a.one(route, n, a.v.sees(a.now.clients[n].place), func(r answer) {
		want, got := map[string]string{}, map[string]string{}
		for _, kind := range recordKinds {
			want[kind] = strconv.Itoa(len(a.thingsOf(n, kind)))
			got[kind] = field(r.json(), kind, "count")
		}
		a.compare(r.request, want, got)
	})
}

// readWholeReplay tells a client's story with what belongs to it.
func (a *asker) readWholeReplay(route string) {
	n := a.someClient()
	a.one(route+"?with=activities", n, a.v.sees(a.now.clients[n].place), func(r answer) {
		want, got := []string{}, []string{}
		for _, e := range a.stories[n] {
			want = append(want, line(e.kind, e.actor))
		}
		for text := range strings.Lines(string(r.body)) {
			var m apitest.Map
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				a.wrong(r.request, "%v: %s", err, text)
			}
			if m["end"] == nil {
				got = append(got, line(field(m, "type"), field(m, "actor", "id")))
			}
		}
		if !slices.Equal(want, got) {
			a.wrong(r.request, "want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	})
}
