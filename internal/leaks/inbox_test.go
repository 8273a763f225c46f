package leaks_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"annals/internal/apitest"
)

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
	a.list("/api/v1/actions", q, []string{"due_at", "-due_at", "at", "due_at,-at"}, want, "id", func(m apitest.Map) string {
		return line(thingItem(m), field(m, "client", "id"), field(m, "client", "name"))
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
