package leaks_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

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
	return line(text(m["kind"]), field(m, "actor", "name"), said, text(m["name"]), statusOf(m), m["pinned"] == true,
		field(m, "assignee", "id"), field(m, "assignee", "name"), m["deleted_at"] != nil)
}

func statusOf(m apitest.Map) string {
	return text(m["status"])
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
		kinds = some2(a, append(slices.Clone(feedKinds), "change"))
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
	a.listBy(at(route, n), q, []string{"at", "-at"}, want, func(m apitest.Map) string {
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

func some2(a *asker, s []string) []string { return some(a.rnd, s, 40) }

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
	a.list(at(route, n), nil, []string{"at", "-at"}, want, "id", documentItem)
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
		want[item.String()] = line(th.text, th.system, o2name(a, th))
	}
	a.list(at(route, n), nil, []string{"added_at", "-added_at", "due_at"}, want, "id", func(m apitest.Map) string {
		return line(text(m["title"]), text(m["system"]), field(m, "actor", "name"))
	})
}

func o2name(a *asker, th thing) string { return a.nameOf(th.by) }

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

// readActions: what somebody has to do, of the clients that one sees, and of nobody
// else's; one's own unless others are asked for, and of a key its owner's.
func (a *asker) readActions(string) {
	q, of := url.Values{}, set{}
	mine := a.who
	if k, ok := a.now.keys[a.who]; ok {
		mine = k.owner
	}
	if a.chance(60) {
		for _, n := range append(some(a.rnd, sorted(a.now.people), 70), pick(a.rnd, sorted(a.now.people))) {
			q.Add("assignee", n.String())
			of[n] = true
		}
	}
	if len(of) == 0 || a.chance(20) {
		of[mine] = true
		if len(q) > 0 || a.chance(50) {
			q.Add("assignee", "@me")
		}
	}
	state := pick(a.rnd, []string{"", "", "open", "done", "overdue"})
	if state != "" {
		q.Set("state", state)
	}
	want := map[string]string{}
	now := time.Now()
	for n, th := range a.things {
		if c := a.now.clients[th.client]; th.kind == "action" && !th.gone && of[th.assignee] && a.v.sees(c.place) &&
			th.done == (state == "done") && (state != "overdue" || !th.due.IsZero() && th.due.Before(now)) {
			want[n.String()] = line(a.thingLine(th), th.client, c.first+" "+c.last)
		}
	}
	a.list("/api/v1/actions", q, []string{"due_at", "-due_at"}, want, "id", func(m apitest.Map) string {
		return line(thingItem(m), field(m, "client", "id"), field(m, "client", "name"))
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

// readInbox: one's own, and nothing about clients that one does not see any more.
func (a *asker) readInbox(string) {
	q, unread, kind := url.Values{}, "", ""
	if a.chance(30) {
		unread = pick(a.rnd, []string{"true", "false"})
		q.Set("unread", unread)
	}
	if a.chance(20) {
		kind = pick(a.rnd, []string{"assigned", "mentioned", "request", "overdue", "import_finished"})
		q.Set("kind", kind)
	}
	want, got, count := map[string]string{}, map[string]string{}, 0
	for _, n := range a.told[a.who] {
		c := a.now.clients[n.client]
		if n.client != none && !a.v.sees(c.place) {
			continue
		}
		if !n.read {
			count++
		}
		name := strings.TrimSpace(c.first + " " + c.last)
		if (unread == "" || n.read == (unread == "false")) && (kind == "" || n.kind == kind) {
			want[n.position] = line(n.kind, a.nameOf(n.by), textOf(n.client), name, n.about, n.item, n.event, n.read)
		}
	}
	q.Set("limit", strconv.Itoa(pick(a.rnd, []int{1, 2, 3, 200, 200, 200})))
	request := ""
	for range len(want) + 2 {
		r := a.get("/api/v1/notifications?" + q.Encode())
		if request == "" {
			request = r.request
		}
		if a.v.me == none {
			if r.status != http.StatusForbidden {
				a.wrong(r.request, "a key has no inbox: want 403, got %d %s", r.status, r.body)
			}
			return
		}
		m := r.json()
		if text(m["unread"]) != strconv.Itoa(count) {
			a.wrong(r.request, "want %d unread, got %d %s", count, r.status, r.body)
		}
		items, _ := m["items"].([]any)
		for _, item := range items {
			m := item.(apitest.Map)
			got[text(m["position"])] = line(text(m["kind"]), field(m, "actor", "name"), field(m, "client", "id"), field(m, "client", "name"),
				field(m, "about", "category"), field(m, "about", "id"), field(m, "about", "type"), m["read_at"] != nil)
		}
		if q.Set("cursor", text(m["next_cursor"])); q.Get("cursor") == "" {
			break
		}
	}
	a.compare(request, want, got)
}

func (a *asker) readPreferences(string) {
	r := a.get("/api/v1/notifications/preferences")
	if a.v.me == none {
		if r.status != http.StatusForbidden {
			a.wrong(r.request, "want 403, got %d %s", r.status, r.body)
		}
		return
	}
	want, got := map[string]string{}, map[string]string{}
	for _, kind := range []string{"assigned", "mentioned", "due", "overdue", "request", "import_finished"} {
		if want[kind] = "page"; a.unwanted[a.who][kind] != "" {
			want[kind] = a.unwanted[a.who][kind]
		}
		got[kind] = text(r.json()[kind])
	}
	a.compare(r.request, want, got)
}

// warnings are those of a client: others that one sees with the same code.
func (a *asker) warnings(n id) string {
	var same []string
	for _, other := range sorted(a.now.clients) {
		if other != n && a.codes[n] != "" && a.codes[other] == a.codes[n] && a.v.sees(a.now.clients[other].place) {
			same = append(same, other.String())
		}
	}
	return line(same[:min(len(same), 10)])
}

func warningsOf(m apitest.Map) string {
	var same []string
	list, _ := m["warnings"].([]any)
	for _, w := range list {
		same = append(same, texts(w.(apitest.Map)["clients"])...)
	}
	return line(same)
}

var _ = uuid.New
