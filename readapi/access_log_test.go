package readapi_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"annals/internal/accesslog"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/projections"
)

// looks waits for an access log to have so many entries, and returns it, the latest first.
func looks(t *testing.T, u *apitest.User, path string, n int) *apitest.Response {
	t.Helper()
	for deadline := time.Now().Add(apitest.Patience); ; time.Sleep(10 * time.Millisecond) {
		r := u.Get(t, path).Want(t, 200)
		if len(r.List("items")) >= n {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d entries, want %d\n%s", path, len(r.List("items")), n, r.Body)
		}
	}
}

// Every answer that shows something of clients is recorded: what of which, and to whom.
func TestLooks(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	p := a.Project(t, "Looked at")
	client, second := a.Client(t, p, "Zweig", Map{"email": "stefan@zweig.example"}), a.Client(t, p, "Zuckmayer")
	path := "/api/v1/clients/" + client
	note := a.Post(t, path+"/notes", Map{"text": "Called"}).Want(t, 201).Text("id")
	document := a.Post(t, path+"/documents?name=a.txt", apitest.Raw("bytes"), "Content-Type", "text/plain").Want(t, 201).Text("id")
	u := a.EmployeeAs(t, "Lea Looker", []string{"desk_manager"}, []string{p}, []string{a.Desk(t, p, "Desk")})
	for _, c := range []string{client, second} {
		a.Post(t, "/api/v1/clients/"+c+"/assign", Map{"manager_id": u.ID}).Want(t, 200)
	}
	a.Post(t, path+"/actions", Map{"title": "Call back", "assignee_id": u.ID}).Want(t, 201)
	u.After = a.After
	both := []string{client, second}
	for i, c := range []struct {
		get     string
		kind    string
		clients []string
		more    Map
	}{
		{path, "record", both[:1], nil},
		{path + "/history", "history", both[:1], nil},
		{path + "/activity", "activities", both[:1], nil},
		{path + "/activity/" + note, "activities", both[:1], Map{"item": note}},
		{path + "/access?at=2026-01-31", "visibility", nil, nil}, // the client was not there yet
		{path + "/access", "visibility", both[:1], nil},
		{path + "/records", "records", both[:1], nil},
		{path + "/records/tickets", "records", both[:1], nil},
		{path + "/documents", "documents", both[:1], nil},
		{path + "/documents/" + document, "documents", both[:1], Map{"item": document}},
		{path + "/documents/" + document + "/content", "content", both[:1], Map{"item": document}},
		{path + "/replay", "replay", both[:1], nil},
		{path + "/replay?with=activities", "replay", both[:1], nil},
		{"/api/v1/clients/recent", "list", both[:1], nil},
		{"/api/v1/clients?sort=last_name&status=lead&active=true", "list", []string{second, client}, Map{"filters": 2.0}},
		{"/api/v1/clients?q=zweig", "search", both[:1], Map{"searched": 5.0}},
		{"/api/v1/clients?q=nobody@example.com", "search", []string{}, Map{"searched": 18.0}},
		{"/api/v1/clients?sort=last_name&limit=1&as_of=2100-01-01", "list", both[1:], Map{"as_of": "2100-01-01"}},
		{"/api/v1/actions", "actions", both[:1], nil},
		{"/api/v1/notifications", "inbox", both, nil},
	} {
		before := len(a.Get(t, "/api/v1/employees/"+u.ID+"/access-log?limit=500").Want(t, 200).List("items"))
		r := u.Get(t, c.get)
		if c.kind == "visibility" && c.clients == nil {
			if r.Want(t, 200); len(r.List("items")) > 0 {
				t.Errorf("%s: %s", c.get, r.Body)
			}
			c.clients = both[:1] // that nobody saw it is an answer about it, too
		}
		if r.Want(t, 200); before != i {
			t.Fatalf("%d entries before %s, want %d", before, c.get, i)
		}
		got := looks(t, a, "/api/v1/employees/"+u.ID+"/access-log?limit=500", i+1)
		found := []string{}
		for _, id := range got.List("items")[0].(Map)["clients"].([]any) {
			found = append(found, id.(string))
		}
		if c.kind == "inbox" {
			slices.Sort(found)
			slices.Sort(c.clients)
		}
		at := func(name string) any { return got.At("items.0." + name) }
		if at("kind") != c.kind || !slices.Equal(found, c.clients) || at("count") != float64(len(c.clients)) {
			t.Errorf("%s: recorded as %v of %v (%v)", c.get, at("kind"), found, at("count"))
		}
		if at("actor.id") != u.ID || at("actor.name") != "Lea Looker" || at("employee.id") != u.ID || at("ip") != "127.0.0.1" || at("user_agent") != "Go-http-client/1.1" || at("request_id") == uuid.Nil.String() {
			t.Errorf("%s: recorded as %s", c.get, got.Body)
		}
		for name, want := range c.more {
			if at(name) != want {
				t.Errorf("%s: %s is %v, want %v", c.get, name, at(name), want)
			}
		}
	}
	if r := a.Post(t, "/api/v1/clients/query", Map{"filter": Map{"and": []any{Map{"field": "status", "op": "is", "value": "lead"}, Map{"not": Map{"field": "email", "op": "empty"}}}}, "q": "zweig"}); r.Want(t, 200) != nil {
		got := looks(t, a, "/api/v1/employees/"+a.ID+"/access-log?kind=search", 1)
		if got.Text("items.0.filters") != "2" || got.Text("items.0.searched") != "5" || got.Text("items.0.clients.0") != client {
			t.Error(string(got.Body))
		}
	}
	template := a.Create(t, "/api/v1/templates", Map{"name": "Greeting", "default_language": "en", "texts": Map{"en": Map{"subject": "Hello", "text": "Dear {{client.last_name}}"}}})
	a.Post(t, "/api/v1/templates/"+template+"/preview", Map{"client_id": client}).Want(t, 200)
	a.Post(t, path+"/messages/preview", Map{"subject": "Hello", "text": "Dear"}).Want(t, 200)
	previews := looks(t, a, "/api/v1/employees/"+a.ID+"/access-log?kind=preview", 2)
	if previews.Text("items.0.clients.0") != client || previews.Text("items.1.clients.0") != client || previews.Text("items.1.item") != template {
		t.Error(string(previews.Body))
	}
	// What is not there, or not shown, is no look.
	u.Get(t, "/api/v1/clients/"+uuid.NewString()).Want(t, 404)
	u.Get(t, path+"/activity/"+uuid.NewString()).Want(t, 404)
	u.Get(t, path+"/access-log").Problem(t, 403, "forbidden")
	if n := len(a.Get(t, "/api/v1/employees/"+u.ID+"/access-log?limit=500").List("items")); n != 20 {
		t.Errorf("%d entries of 20 looks", n)
	}
	// Nothing that was typed or shown is in the log, nor in the read model.
	for item, err := range s.Log.SubscribeStored(t.Context(), eventlog.Position{}, "^access-") {
		if err != nil {
			t.Fatal(err)
		}
		if item.Live {
			break
		}
		if item.Record != nil {
			for _, secret := range []string{"weig", "nobody", "Zuck"} {
				if strings.Contains(string(item.Record.Stored.Data)+string(item.Record.Stored.Metadata), secret) {
					t.Errorf("%q is in %s", secret, item.Record.Stored.Data)
				}
			}
		}
	}
	// And of an erased client all of it stays, being about nobody any more.
	n := len(a.Get(t, path+"/access-log?limit=500&actor="+u.ID).Want(t, 200).List("items"))
	s.Erase(t, client)
	head, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.After = head.String()
	if got := len(a.Get(t, path+"/access-log?limit=500&actor="+u.ID).Want(t, 200).List("items")); got != n || n < 15 {
		t.Errorf("%d looks before the erasure, %d after", n, got)
	}
	if report, err := projections.Verify(t.Context(), projections.Config{Database: s.Database, Log: s.Log, Logger: s.Logs.Logger()}, "access_log"); err != nil {
		t.Errorf("%+v, %v", report, err)
	}
}

// Of a client those are told who view what others did there; of an employee, likewise, with
// the clients that they see.
func TestWhoIsToldOfLooks(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Here"), a.Project(t, "There")
	here, there := a.Client(t, p, "Here"), a.Client(t, q, "There")
	agent := a.EmployeeAs(t, "Busy Agent", []string{"project_admin"}, []string{p, q}, nil)
	boss := a.EmployeeAs(t, "Project Boss", []string{"project_admin"}, []string{p}, nil)
	auditor := a.EmployeeAs(t, "Any Auditor", []string{"auditor"}, nil, nil)
	plain := a.Employee(t, "Plain Agent", []string{p}, []string{a.Desk(t, p, "Desk")})
	mine := a.Client(t, p, "Mine")
	a.Post(t, "/api/v1/clients/"+mine+"/assign", Map{"manager_id": plain.ID}).Want(t, 200)
	for _, u := range []*apitest.User{agent, boss, auditor, plain} {
		u.After = a.After
	}
	agent.Get(t, "/api/v1/clients/"+here).Want(t, 200)
	agent.Get(t, "/api/v1/clients/"+there).Want(t, 200)
	agent.Get(t, "/api/v1/clients?sort=last_name&project="+p+"&project="+q).Want(t, 200)
	log := "/api/v1/employees/" + agent.ID + "/access-log"
	all := looks(t, auditor, log, 3)
	if n := len(all.List("items.0.clients")); n != 3 || all.Text("items.0.count") != "3" {
		t.Errorf("the auditor is shown %d of 3 clients: %s", n, all.Body)
	}
	some := boss.Get(t, log).Want(t, 200)
	if kinds := some.Column("kind"); !slices.Equal(kinds, []string{"list", "record"}) || some.Text("items.1.clients.0") != here {
		t.Errorf("who administers one project is shown %v: %s", kinds, some.Body)
	}
	if n := len(some.List("items.0.clients")); n != 2 || some.Text("items.0.count") != "2" || strings.Contains(string(some.Body), there) {
		t.Errorf("who administers one project is shown %d of 2 clients: %s", n, some.Body)
	}
	for _, c := range []struct {
		u      *apitest.User
		path   string
		status int
	}{
		{boss, "/api/v1/clients/" + here, 200},
		{boss, "/api/v1/clients/" + there, 404},
		{auditor, "/api/v1/clients/" + there, 200},
		{plain, "/api/v1/clients/" + mine, 403},
		{plain, "/api/v1/clients/" + here, 404},
		{plain, "/api/v1/employees/" + plain.ID, 403},
		{plain, "/api/v1/employees/" + uuid.NewString(), 404},
		{boss, "/api/v1/employees/" + plain.ID, 200},
		{a, "/api/v1/clients/" + uuid.NewString(), 404},
		{&apitest.User{System: s}, "/api/v1/clients/" + here, 401},
	} {
		if r := c.u.Get(t, c.path+"/access-log"); r.Status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.path, r.Status, c.status, r.Body)
		}
	}
	// What a key is shown counts for the employee whose it is, and says by which key.
	key := &apitest.User{System: s, Token: agent.Post(t, "/api/v1/api-keys", Map{
		"name": "Sync", "permissions": []Map{{"permission": "clients.view", "reach": "project"}}, "projects": []string{p},
	}).Want(t, 201).Text("key"), After: agent.After}
	key.Get(t, "/api/v1/clients/"+here).Want(t, 200)
	got := looks(t, auditor, log, 4)
	if got.Text("items.0.actor.name") != "Sync" || got.Text("items.0.employee.id") != agent.ID || got.Text("items.0.actor.id") == agent.ID {
		t.Error(string(got.Body))
	}
	if r := auditor.Get(t, "/api/v1/clients/"+here+"/access-log?actor="+got.Text("items.0.actor.id")).Want(t, 200); len(r.List("items")) != 1 {
		t.Errorf("by the key: %s", r.Body)
	}
	// To look at who looked is to look.
	if r := looks(t, auditor, "/api/v1/clients/"+here+"/access-log?kind=access_log&actor="+auditor.ID, 1); r.Text("items.0.kind") != "access_log" {
		t.Error(string(r.Body))
	}
}

// An access log is read page by page, none of it twice or not at all, by filters too.
func TestPagesOfLooks(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Paged")
	client := a.Client(t, p, "Often")
	u := a.EmployeeAs(t, "Page Turner", []string{"project_admin"}, []string{p}, nil)
	u.After = a.After
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			u.Get(t, "/api/v1/clients/"+client+[]string{"", "/history"}[i%2]).Want(t, 200)
		})
	}
	wg.Wait()
	for _, path := range []string{"/api/v1/clients/" + client, "/api/v1/employees/" + u.ID} {
		path += "/access-log"
		looks(t, a, path+"?limit=500&actor="+u.ID, 40)
		for query, n := range map[string]int{
			"": 40, "&sort=at": 40, "&kind=record": 20, "&kind=record&kind=history": 40, "&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z": 40,
			"&to=2000-01-01T00:00:00Z": 0, "&kind=export": 0, "&actor=" + p: 0,
		} {
			if !strings.Contains(query, "actor") {
				query += "&actor=" + u.ID // those of the client are looked at by a as well
			}
			seen, times, cursor := map[string]bool{}, []time.Time{}, ""
			for page := 0; ; page++ {
				r := a.Get(t, path+"?limit=7"+query+"&cursor="+cursor).Want(t, 200)
				for _, id := range r.Column("id") {
					if seen[id] {
						t.Errorf("%s%s: %s twice", path, query, id)
					}
					seen[id] = true
				}
				for _, text := range r.Column("at") {
					at, err := time.Parse(time.RFC3339Nano, text)
					if err != nil {
						t.Fatal(err)
					}
					times = append(times, at)
				}
				if r.Text("total.count") != strconv.Itoa(n) {
					t.Errorf("%s%s: total %s, want %d", path, query, r.Text("total.count"), n)
				}
				if cursor = r.Text("next_cursor"); cursor == "" {
					break
				}
			}
			if len(seen) != n {
				t.Errorf("%s%s: %d entries, want %d", path, query, len(seen), n)
			}
			if !strings.Contains(query, "sort") {
				slices.Reverse(times)
			}
			if !slices.IsSortedFunc(times, time.Time.Compare) {
				t.Errorf("%s%s: not in order: %v", path, query, times)
			}
		}
		a.Get(t, path+"?kind=gossip").Problem(t, 422, "invalid", "kind[0]")
		a.Get(t, path+"?actor=x").Want(t, 422)
		a.Get(t, path+"?from=yesterday").Want(t, 422)
		a.Get(t, path+"?sort=ip").Problem(t, 422, "invalid", "sort")
		a.Get(t, path+"?cursor=x").Problem(t, 422, "invalid", "cursor")
	}
}

// What cannot be recorded is not shown, whatever of clients it is, and nothing of it is in
// the answer; what is of no client is answered as ever.
func TestNothingIsShownUnrecorded(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t).Again(t)
	a := s.Admin(t)
	p := a.Project(t, "Unrecorded")
	client := a.Client(t, p, "Geheimnis")
	document := a.Post(t, "/api/v1/clients/"+client+"/documents?name=a.txt", apitest.Raw("Geheimnis"), "Content-Type", "text/plain").Want(t, 201).Text("id")
	note := a.Post(t, "/api/v1/clients/"+client+"/notes", Map{"text": "Geheimnis"}).Want(t, 201).Text("id")
	a.Post(t, "/api/v1/clients/"+client+"/actions", Map{"title": "Geheimnis", "assignee_id": a.ID}).Want(t, 201)
	b := a.EmployeeAs(t, "Bea", []string{"admin"}, nil, nil)
	b.Post(t, "/api/v1/clients/"+client+"/assign", Map{"manager_id": nil}).Want(t, 200)
	a.Get(t, "/api/v1/clients/"+client).Want(t, 200)
	rule := a.Create(t, "/api/v1/retention-rules", Map{"name": "Unrecorded", "project_id": p, "since": "created", "days": 1, "action": "propose"})
	away, err := eventlog.Open(eventlog.Config{ConnectionString: "esdb://127.0.0.1:1?tls=false"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(away.Close)
	s.Reads.AccessLog = accesslog.New(accesslog.Config{Log: away, Now: s.Clock.Now, Timeout: 50 * time.Millisecond})
	s.Serve(t)
	tried := 0
	err = s.Router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		if methods, _ := r.GetMethods(); !slices.Contains(methods, http.MethodGet) {
			return nil
		}
		of := strings.HasPrefix(path, "/api/v1/clients") || path == "/api/v1/actions" || path == "/api/v1/employees/{id}/access-log" || path == "/api/v1/retention-rules/{id}/due"
		if !of || path == "/api/v1/clients/stream" { // which shows ids, and is none of these
			return nil
		}
		item := document
		if strings.Contains(path, "/activity/") {
			item = note
		}
		id := client
		if strings.Contains(path, "/employees/") {
			id = a.ID
		}
		if strings.Contains(path, "/retention-rules/") {
			id = rule
		}
		full := strings.NewReplacer("{id}", id, "{item}", item, "{kind}", "tickets").Replace(path)
		got := a.Get(t, full)
		if got.Problem(t, 503, "access_unrecorded"); strings.Contains(string(got.Body), "Geheimnis") || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %s", full, got.Header, got.Body)
		}
		tried++
		return nil
	})
	if err != nil || tried < 15 {
		t.Fatal(tried, err)
	}
	a.Post(t, "/api/v1/clients/query", Map{}).Problem(t, 503, "access_unrecorded")
	a.Get(t, "/api/v1/projects/"+p).Want(t, 200)
}
