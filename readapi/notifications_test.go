package readapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/internal/apitest"
)

const inboxPath = "/api/v1/notifications"

func TestInbox(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Inbox")
	north, south := admin.Desk(t, project, "North"), admin.Desk(t, project, "South")
	ann := admin.Employee(t, "Ann", []string{project}, []string{north})
	bob := admin.Employee(t, "Bob", []string{project}, []string{south})
	mine := apitest.Map{"desk_id": north, "manager_id": ann.ID}
	var clients []string
	for i := range 5 {
		clients = append(clients, admin.Client(t, project, fmt.Sprint("Client ", i), mine))
	}
	ann.After = admin.After
	all := ann.Get(t, inboxPath).Want(t, 200)
	if got := all.Column("kind"); len(got) != 5 || got[0] != "assigned" || all.Text("unread") != "5" {
		t.Fatalf("%s", all.Body)
	}
	if first := all.At("items.0").(apitest.Map); first["client"].(apitest.Map)["name"] != "Client 4" || first["client"].(apitest.Map)["id"] != clients[4] ||
		first["about"].(apitest.Map)["type"] != "client.registered" || first["about"].(apitest.Map)["id"] != clients[4] || first["actor"].(apitest.Map)["id"] != admin.ID {
		t.Errorf("%v", first)
	}
	// A page at a time.
	var paged []string
	for next := inboxPath + "?limit=2"; next != ""; {
		page := ann.Get(t, next).Want(t, 200)
		paged = append(paged, page.Column("id")...)
		if next = ""; page.At("next_cursor") != nil {
			next = inboxPath + "?limit=2&cursor=" + page.Text("next_cursor")
		}
	}
	ids := all.Column("id")
	if diff := cmp.Diff(ids, paged); diff != "" {
		t.Error(diff)
	}
	// Read: one, those up to one, all.
	ann.Post(t, inboxPath+"/read", apitest.Map{"ids": []string{ids[0], ids[0]}}).Want(t, 200)
	if got := ann.Get(t, inboxPath+"?unread=true").Want(t, 200).Column("id"); cmp.Diff(ids[1:], got) != "" {
		t.Errorf("%v", got)
	}
	ann.Post(t, inboxPath+"/read", apitest.Map{"through": all.Text("items.3.position")}).Want(t, 200)
	if got := ann.Get(t, inboxPath+"?unread=false").Want(t, 200).Column("id"); cmp.Diff([]string{ids[0], ids[3], ids[4]}, got) != "" {
		t.Errorf("%v", got)
	}
	ann.Post(t, inboxPath+"/read", apitest.Map{"all": true}).Want(t, 200)
	if got := ann.Get(t, inboxPath).Want(t, 200); got.Text("unread") != "0" || len(got.List("items")) != 5 {
		t.Errorf("%s", got.Body)
	}
	// A client that has gone elsewhere is not told of any longer, and whom it went to is.
	admin.Post(t, "/api/v1/clients/"+clients[0]+"/assign", apitest.Map{"desk_id": south, "manager_id": bob.ID}).Want(t, 200)
	ann.After, bob.After = admin.After, admin.After
	if got := ann.Get(t, inboxPath).Want(t, 200).Column("id"); cmp.Diff(ids[:4], got) != "" {
		t.Errorf("%v", got)
	}
	if got := bob.Get(t, inboxPath).Want(t, 200); got.Text("items.0.about.type") != "client.reassigned" || got.Text("unread") != "1" {
		t.Errorf("%s", got.Body)
	}
	// Nobody is told what they do themselves.
	bob.Client(t, project, "Own", apitest.Map{"desk_id": south, "manager_id": bob.ID})
	if got := bob.Get(t, inboxPath).Want(t, 200).List("items"); len(got) != 1 {
		t.Errorf("%v", got)
	}
	for path, field := range map[string]string{"?cursor=!": "cursor", "?kind=gossip": "kind", "?limit=0": "limit", "?unread=x": "unread"} {
		if r := ann.Get(t, inboxPath+path); r.Status != 422 {
			t.Errorf("%s: %d, want a fault of %s", path, r.Status, field)
		}
	}
	ann.Post(t, inboxPath+"/read", apitest.Map{}).Problem(t, 422, "invalid", "ids")
	ann.Post(t, inboxPath+"/read", apitest.Map{"through": "9000000000000000"}).Problem(t, 422, "invalid", "through")
	ann.Post(t, inboxPath+"/read", apitest.Map{"through": "x"}).Problem(t, 422, "invalid", "through")
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Preferences")
	desk := admin.Desk(t, project, "North")
	ann := admin.Employee(t, "Ann", []string{project}, []string{desk})
	mine := apitest.Map{"desk_id": desk, "manager_id": ann.ID}
	admin.Client(t, project, "Before", mine)
	put := func(body apitest.Map) {
		t.Helper()
		r := ann.Do(t, "PUT", inboxPath+"/preferences", body).Want(t, 200)
		ann.After, admin.After = r.Header.Get("Annals-Position"), r.Header.Get("Annals-Position")
	}
	put(apitest.Map{"assigned": "none", "due": "email"})
	want := apitest.Map{"assigned": "none", "mentioned": "page", "due": "email", "overdue": "page", "request": "page", "import_finished": "page"}
	if diff := cmp.Diff(want, ann.Get(t, inboxPath+"/preferences").Want(t, 200).JSON()); diff != "" {
		t.Error(diff)
	}
	admin.Client(t, project, "Unwanted", mine)
	put(apitest.Map{"assigned": "page"})
	admin.Client(t, project, "Wanted", mine)
	ann.After = admin.After
	got := ann.Get(t, inboxPath).Want(t, 200)
	var names []string
	for i := range got.List("items") {
		names = append(names, got.Text(fmt.Sprintf("items.%d.client.name", i)))
	}
	if diff := cmp.Diff([]string{"Wanted", "Before"}, names); diff != "" {
		t.Error(diff)
	}
	ann.Do(t, "PUT", inboxPath+"/preferences", apitest.Map{"due": "pigeon"}).Want(t, 422)
	if got := ann.Get(t, inboxPath+"/preferences").Text("due"); got != "email" {
		t.Error(got)
	}
}

// Programs have no inbox, and what an import of theirs has come to is told to whoever
// they belong to.
func TestImportsAreNotified(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	key := &apitest.User{System: s, Token: admin.Post(t, "/api/v1/api-keys", apitest.Map{
		"name": "ERP", "permissions": []apitest.Map{{"permission": "clients.import", "reach": "all"}, {"permission": "clients.view", "reach": "all"}},
	}).Want(t, 201).Text("key")}
	admin.Post(t, "/api/v1/imports", apitest.Map{"registered": 67, "skipped": 3, "rejected": 24}, "Idempotency-Key", "x").Want(t, 201)
	admin.Post(t, "/api/v1/imports", apitest.Map{"registered": 67, "skipped": 3, "rejected": 24}, "Idempotency-Key", "x").Want(t, 201)
	key.Post(t, "/api/v1/imports", apitest.Map{"registered": 1}).Want(t, 201)
	admin.After = key.After
	got := admin.Get(t, inboxPath+"?kind=import_finished&kind=due").Want(t, 200)
	if diff := cmp.Diff([]string{"import_finished", "import_finished"}, got.Column("kind")); diff != "" || got.At("items.0.client") != nil {
		t.Errorf("%s %s", diff, got.Body)
	}
	key.Get(t, inboxPath).Problem(t, 403, "no_inbox")
	key.Get(t, inboxPath+"/preferences").Problem(t, 403, "no_inbox")
	key.Get(t, inboxStream).Problem(t, 403, "no_inbox")
	key.Post(t, inboxPath+"/read", apitest.Map{"all": true}).Problem(t, 403, "people_only")
	key.Do(t, "PUT", inboxPath+"/preferences", apitest.Map{"due": "none"}).Problem(t, 403, "people_only")
	agent := admin.Employee(t, "Ann", nil, nil)
	agent.Post(t, "/api/v1/imports", apitest.Map{"registered": 1}).Problem(t, 403, "forbidden")
}

// Notifications come as they happen; who comes back is told what they have missed, once,
// by any process.
func TestStreamOfNotifications(t *testing.T) {
	o := newOffice(t)
	other := goLive(t, o.Again(t))
	anns := open(t, o.ann, inboxStream)
	o.client(t, "Frida")
	e := anns.next()
	if e.name != "notification" || e.text("kind") != "assigned" || e.id != e.text("position") || e.data["client"].(apitest.Map)["name"] != "Frida" {
		t.Fatalf("%+v", e)
	}
	if got := o.ann.Get(t, inboxPath); got.Text("items.0.id") != e.text("id") {
		t.Errorf("%s", got.Body)
	}
	last := anns.last
	anns.close()
	var missed []string
	for i := range 3 {
		missed = append(missed, o.client(t, fmt.Sprint("Missed ", i)))
	}
	o.admin.Post(t, "/api/v1/clients/"+missed[1]+"/assign", apitest.Map{"desk_id": o.south, "manager_id": nil}).Want(t, 200)
	o.ann.After = o.admin.After
	o.ann.Get(t, inboxPath).Want(t, 200) // it is in the read models
	var again []*stream
	for _, s := range []*apitest.System{o.System, other} {
		one := open(t, o.ann.At(s), inboxStream, "Last-Event-ID", last)
		for _, want := range []string{missed[0], missed[2]} {
			if e := one.next(); e.data["client"].(apitest.Map)["id"] != want {
				t.Errorf("%+v, want %s", e, want)
			}
		}
		again = append(again, one)
	}
	now := o.client(t, "Now")
	for _, one := range again {
		if e := one.next(); e.data["client"].(apitest.Map)["id"] != now {
			t.Errorf("%+v", e)
		}
	}
}
