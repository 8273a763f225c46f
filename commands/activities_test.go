package commands_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/note"
	"annals/domain/request"
	"annals/internal/apitest"
)

// workplace is a client, and who works with it.
type workplace struct {
	admin, mira, tom *apitest.User // who sees everything, the client, and none
	project, client  string
}

func newWorkplace(t *testing.T) *workplace {
	t.Helper()
	a := apitest.Shared(t).Admin(t)
	w := &workplace{admin: a, project: a.Project(t, "Work")}
	w.mira = a.EmployeeAs(t, "Mira", []string{"project_admin"}, []string{w.project}, nil)
	w.tom = a.EmployeeAs(t, "Tom", []string{"project_admin"}, []string{a.Project(t, "Elsewhere")}, nil)
	w.client = a.Client(t, w.project, "Petrova")
	a.Get(t, "/api/v1/employees").Want(t, 200) // waits until the handles are known
	return w
}

func (w *workplace) path(format string, args ...any) string {
	return "/api/v1/clients/" + w.client + "/" + fmt.Sprintf(format, args...)
}

func handle(u *apitest.User) string { return "@" + strings.Split(u.Email, "@")[0] }

// events are all events of what belongs to the client.
func events[E any](t *testing.T, w *workplace, category, id string) (out []E) {
	t.Helper()
	for r, err := range w.admin.Log.Read(t.Context(), category+"-"+id, 0) {
		if err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
		out = append(out, r.Event.(E))
	}
	return out
}

// A colleague who sees the client can be mentioned by the part of their address before
// the @ or by a link with their id, in everything that is written; another one cannot.
func TestMentions(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	mira := uuid.MustParse(w.mira.ID)
	add := func(text string) string { return w.admin.Create(t, w.path("notes"), Map{"text": text}) }
	told := func(id string) []domain.ID { return events[note.Event](t, w, "note", id)[0].(note.Added).Mentions }
	for text, want := range map[string][]domain.ID{
		"nobody":                                            nil,
		handle(w.mira) + ", call her":                       {mira},
		strings.ToUpper(handle(w.mira)) + "!":               {mira},
		"[Mira](employee:" + w.mira.ID + ")":                {mira},
		"[Mira](/employees/" + w.mira.ID + ")":              {mira},
		handle(w.mira) + " [M](employee:" + w.mira.ID + ")": {mira},
		"@nobody.is.called.so":                              nil,
		"`" + handle(w.tom) + "`":                           nil,
		w.tom.Email:                                         nil,
		"[x](employee:" + uuid.NewString() + ")":            nil,
	} {
		if diff := cmp.Diff(want, told(add(text))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
	refused := func(r *apitest.Response, typed string) {
		t.Helper()
		r.Problem(t, 422, "invalid", "text")
		if r.Text("errors.0.code") != "mention" || !strings.Contains(r.Text("errors.0.message")+r.Text("errors.0.detail"), typed) {
			t.Errorf("%s", r.Body)
		}
	}
	body := func(more Map) Map {
		more["text"] = "ask " + handle(w.tom)
		return more
	}
	refused(w.admin.Post(t, w.path("notes"), body(Map{})), handle(w.tom))
	refused(w.admin.Post(t, w.path("notes"), Map{"text": "[Tom A.](employee:" + w.tom.ID + ")"}), "Tom A.")
	refused(w.admin.Post(t, w.path("actions"), body(Map{"title": "x"})), handle(w.tom))
	refused(w.admin.Post(t, w.path("calls"), body(Map{"direction": "inbound", "number": "555 0100", "outcome": "busy"})), handle(w.tom))
	asked := w.admin.Create(t, w.path("requests"), body(Map{"subject": "x"})) // the client's words mention nobody
	refused(w.admin.Post(t, w.path("requests/%s/status", asked), body(Map{"status": "resolved"})), handle(w.tom))
	w.admin.Post(t, w.path("requests/%s/status", asked), Map{"status": "resolved", "text": handle(w.mira)}).Want(t, 200)
	if e := events[request.Event](t, w, "request", asked); e[1].(request.StatusChanged).Mentions[0] != mira {
		t.Errorf("%+v", e)
	}
	work := w.admin.Create(t, w.path("actions"), Map{"title": "x", "text": handle(w.mira)})
	if e := events[action.Event](t, w, "action", work); e[0].(action.Added).Mentions[0] != mira {
		t.Errorf("%+v", e)
	}
	called := w.admin.Create(t, w.path("calls"), Map{"direction": "inbound", "number": "555 0100", "outcome": "busy", "text": handle(w.mira)})
	if e := events[call.Event](t, w, "call", called); e[0].(call.Logged).Mentions[0] != mira {
		t.Errorf("%+v", e)
	}

	// An edit tells those who are new; who has left in between is not held against it.
	id := add("first " + handle(w.mira))
	w.admin.Patch(t, w.path("notes/%s", id), Map{"text": "second " + handle(w.mira) + " " + handle(w.admin)}).Want(t, 200)
	if e := events[note.Event](t, w, "note", id); cmp.Diff([]domain.ID{uuid.MustParse(w.admin.ID)}, e[1].(note.Edited).Mentions) != "" {
		t.Errorf("%+v", e)
	}
	w.admin.Assign(t, w.mira.ID, nil, nil)
	w.admin.Patch(t, w.path("notes/%s", id), Map{"text": "third " + handle(w.mira)}).Want(t, 200)
	refused(w.admin.Post(t, w.path("notes"), Map{"text": handle(w.mira)}), handle(w.mira))
	w.admin.Post(t, "/api/v1/employees/"+w.mira.ID+"/deactivate", nil).Want(t, 200)
	w.admin.Get(t, "/api/v1/employees").Want(t, 200)
	if got := told(add(handle(w.mira) + " [M](employee:" + w.mira.ID + ")")); got != nil {
		t.Errorf("who is deactivated is told: %v", got)
	}
}

// Of several colleagues with one handle the one who sees the client is meant.
func TestSameHandle(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	name := "sam-" + uuid.NewString()[:8]
	rename := func(u *apitest.User, host string) {
		w.admin.Patch(t, "/api/v1/employees/"+u.ID, Map{"email": name + "@" + host}).Want(t, 200)
	}
	rename(w.mira, "one.example.com")
	rename(w.tom, "two.example.com")
	w.admin.Get(t, "/api/v1/employees").Want(t, 200)
	id := w.admin.Create(t, w.path("notes"), Map{"text": "@" + name})
	if got := events[note.Event](t, w, "note", id)[0].(note.Added).Mentions; len(got) != 1 || got[0].String() != w.mira.ID {
		t.Errorf("mentioned: %v", got)
	}
	w.admin.Assign(t, w.tom.ID, []string{w.project}, nil)
	r := w.admin.Post(t, w.path("notes"), Map{"text": "@" + name}).Problem(t, 422, "invalid", "text")
	if !strings.Contains(string(r.Body), "["+name+"](employee:ID)") {
		t.Errorf("%s", r.Body)
	}
}

func TestActivities(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	u := w.mira
	soon, later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339), time.Now().Add(2*time.Hour).UTC().Format(time.RFC3339)

	// An action from being added to being done, and back.
	id := u.Create(t, w.path("actions"), Map{"title": "Send the offer", "type": "email", "due_at": later, "remind_at": soon, "assignee_id": u.ID})
	one := w.path("activity/%s", id)
	at := w.path("actions/%s", id)
	u.Patch(t, at, Map{"text": "**all** of it", "remind_at": nil}).Want(t, 200)
	r := u.Get(t, one).Want(t, 200)
	if r.Text("html") != "<p><strong>all</strong> of it</p>\n" || r.At("remind_at") != nil || r.Text("due_at") != later || r.Text("assignee.name") != "Mira" || r.Text("status") != "open" {
		t.Errorf("%s", r.Body)
	}
	if r.Header.Get("ETag") != `"1"` {
		t.Errorf("ETag %s", r.Header.Get("ETag"))
	}
	u.Post(t, at+"/done", Map{"outcome": "Sent"}).Want(t, 200)
	u.Post(t, at+"/done", nil).Want(t, 200)
	u.Post(t, at+"/done", Map{"outcome": "Lost"}).Problem(t, 409, "action.done")
	u.Patch(t, at, Map{"due_at": soon}).Problem(t, 409, "action.done")
	if r := u.Get(t, one); r.Text("status") != "done" || r.Text("outcome") != "Sent" || r.Text("done_at") == "" {
		t.Errorf("%s", r.Body)
	}
	u.Post(t, at+"/reopen", nil).Want(t, 200)
	u.Patch(t, at, Map{"due_at": nil, "assignee_id": nil, "text": nil}).Want(t, 200)
	if r := u.Get(t, one); r.Text("status") != "open" || r.At("done_at") != nil || r.At("outcome") != nil || r.At("due_at") != nil || r.At("assignee") != nil || r.At("text") != nil {
		t.Errorf("%s", r.Body)
	}
	u.Post(t, w.path("actions"), Map{"title": "x", "assignee_id": w.tom.ID}).Problem(t, 422, "invalid", "assignee_id")
	u.Post(t, w.path("actions"), Map{"title": "x", "remind_at": "2020-01-01T00:00:00Z", "due_at": "1020-01-01T00:00:00Z"}).Problem(t, 422, "invalid", "due_at", "remind_at")
	u.Post(t, w.path("actions"), Map{"title": "x", "type": "a party"}).Problem(t, 422, "invalid", "type")
	u.Delete(t, at, nil).Want(t, 200)
	u.Patch(t, at, Map{"title": "y"}).Problem(t, 404, "action.absent")

	// A request tells the client's manager of that time.
	w.admin.Post(t, "/api/v1/clients/"+w.client+"/assign", Map{"manager_id": u.ID}).Want(t, 200)
	id = u.Create(t, w.path("requests"), Map{"subject": "Invoice", "text": "Again, **please**"})
	at = w.path("requests/%s", id)
	u.Post(t, at+"/assign", Map{"assignee_id": u.ID}).Want(t, 200)
	u.Post(t, at+"/assign", Map{}).Problem(t, 422, "invalid", "assignee_id")
	u.Post(t, at+"/status", Map{"status": "rejected"}).Problem(t, 422, "invalid", "text")
	u.Post(t, at+"/status", Map{"status": "rejected", "text": "*never*"}).Want(t, 200)
	u.Post(t, at+"/status", Map{"status": "resolved"}).Problem(t, 409, "request.status")
	u.Post(t, at+"/assign", Map{"assignee_id": nil}).Problem(t, 409, "request.closed")
	if e := events[request.Event](t, w, "request", id)[0].(request.Opened); e.ManagerID.String() != u.ID || e.AssigneeID != (domain.ID{}) {
		t.Errorf("%+v", e)
	}
	r = u.Get(t, w.path("activity/%s", id)).Want(t, 200)
	if r.Text("status") != "rejected" || r.Text("html") != "<p><em>never</em></p>\n" || r.Text("text") != "Again, **please**" || r.Text("assignee.id") != u.ID {
		t.Errorf("%s", r.Body)
	}

	// A call stands in the feed where it was made.
	id = u.Create(t, w.path("calls"), Map{"direction": "outbound", "number": "+44 (0)20 7946-0958", "duration_s": 184, "outcome": "answered", "at": "2026-01-02T03:04:05Z"})
	at = w.path("calls/%s", id)
	u.Patch(t, at, Map{"duration_s": 0, "outcome": "no_answer", "text": "tries *again*"}).Want(t, 200)
	r = u.Get(t, w.path("activity/%s", id)).Want(t, 200)
	if r.Text("number") != "+44 (0)20 7946-0958" || r.At("duration_s") != nil || r.Text("outcome") != "no_answer" || r.Text("at") != "2026-01-02T03:04:05Z" {
		t.Errorf("%s", r.Body)
	}
	if all := u.Get(t, w.path("activity")).Want(t, 200).Column("id"); all[len(all)-1] != id {
		t.Errorf("the oldest is %v", all)
	}
	u.Post(t, w.path("calls"), Map{"direction": "inbound", "number": "x", "outcome": "busy"}).Problem(t, 422, "invalid", "number")
	u.Post(t, w.path("calls"), Map{"direction": "inbound", "number": "555 0100", "outcome": "busy", "at": time.Now().Add(time.Hour).Format(time.RFC3339)}).Problem(t, 422, "invalid", "at")
	u.Post(t, w.path("calls"), Map{"direction": "inbound", "number": "555 0100", "outcome": "busy", "at": "0000-01-01T00:00:00+14:00"}).Problem(t, 422, "invalid", "at")
	u.Delete(t, at, nil).Want(t, 200)
	u.Get(t, w.path("activity/%s", id)).Want(t, 404)

	for _, path := range []string{"activity/" + id, "activity"} {
		w.tom.Get(t, w.path("%s", path)).Want(t, 404)
	}
	w.tom.Post(t, w.path("calls"), Map{"direction": "inbound", "number": "555 0100", "outcome": "busy"}).Problem(t, 404, "client.absent")
}

// Two people who edit one note at once: with If-Match the second is told, without it
// the later text stands, and both are in the history. Sent again, nothing happens twice.
func TestConcurrentNotes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	id := w.admin.Create(t, w.path("notes"), Map{"text": "one"})
	at := w.path("notes/%s", id)
	w.mira.Patch(t, at, Map{"text": "two"}, "If-Match", `"0"`, "Idempotency-Key", "k").Want(t, 200)
	w.admin.Patch(t, at, Map{"text": "three"}, "If-Match", `"0"`).Want(t, 412)
	w.mira.Patch(t, at, Map{"text": "two"}, "If-Match", `"0"`, "Idempotency-Key", "k").Want(t, 200)
	w.admin.Patch(t, at, Map{"pinned": true}).Want(t, 200)
	w.mira.Patch(t, at, Map{"text": "three"}).Want(t, 200)
	if diff := cmp.Diff([]note.Event{
		note.Added{ClientID: uuid.MustParse(w.client), Text: "one"}, note.Edited{From: "one", To: "two"}, note.Pinned{}, note.Edited{From: "two", To: "three"},
	}, events[note.Event](t, w, "note", id)); diff != "" {
		t.Error(diff)
	}
	s, err := commands.Load[note.State](t.Context(), w.admin.Commands.Store, domain.Ref{Category: domain.Note, ID: uuid.MustParse(id)})
	if err != nil || s.Text != "three" || !s.Pinned {
		t.Errorf("%+v, %v", s, err)
	}
}
