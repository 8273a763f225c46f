package commands_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"annals/internal/apitest"
)

// What another system tells of a client is added once, and changed from then on,
// whoever may work with the client tells it.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Records")
	c, other := a.Client(t, p, "Petrova"), a.Client(t, p, "Other")
	at := "/api/v1/clients/" + c + "/records"
	invoice := Map{
		"system": "billing", "external_id": "INV-42", "title": "Invoice 42", "url": "https://billing.example.com/42", "status": "open",
		"amount": "129.9", "currency": "EUR", "occurred_at": "2026-03-01T09:30:00+01:00", "data": Map{"plan": "pro"},
	}
	added := a.Post(t, at+"/transactions", invoice)
	id := receipt(t, added, 201, "0")
	one := at + "/transactions/" + id
	if added.Header.Get("Location") != one {
		t.Errorf("it is at %s", added.Header.Get("Location"))
	}
	if again := a.Post(t, at+"/transactions", invoice); receipt(t, again, 200, "0") != id {
		t.Errorf("said again, it is another one: %s", again.Body)
	}
	if paid := a.Post(t, at+"/transactions", Map{"system": "billing", "external_id": " INV-42", "status": "paid", "data": nil}); receipt(t, paid, 200, "1") != id {
		t.Errorf("updated, it is another one: %s", paid.Body)
	}
	a.Patch(t, one, Map{"closed_at": "2026-03-15T00:00:00Z", "url": nil}, "If-Match", `"0"`).Problem(t, 412, "revision")
	receipt(t, a.Patch(t, one, Map{"closed_at": "2026-03-15T00:00:00Z", "url": nil}, "If-Match", `"1"`), 200, "2")
	list := a.Get(t, at+"/transactions").Want(t, 200)
	for path, want := range map[string]string{
		"items.0.id": id, "items.0.external_id": "INV-42", "items.0.title": "Invoice 42", "items.0.status": "paid", "items.0.amount": "129.90", "items.0.currency": "EUR",
		"items.0.occurred_at": "2026-03-01T08:30:00Z", "items.0.closed_at": "2026-03-15T00:00:00Z", "items.0.url": "", "items.0.data": "map[]", "items.0.revision": "2",
		"totals": "[map[amount:129.90 count:1 currency:EUR]]", "by_status": "[map[count:1 status:paid]]",
	} {
		if got := list.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	// The same id elsewhere is something else.
	for _, path := range []string{at + "/tickets", "/api/v1/clients/" + other + "/records/transactions"} {
		if receipt(t, a.Post(t, path, Map{"system": "billing", "external_id": "INV-42"}), 201, "0") == id {
			t.Errorf("%s is the same", path)
		}
	}
	if receipt(t, a.Post(t, at+"/transactions", Map{"system": "shop", "external_id": "INV-42"}), 201, "0") == id {
		t.Error("another system's is the same")
	}
	a.Patch(t, at+"/tickets/"+id, Map{"status": "x"}).Problem(t, 404, "record.absent")
	a.Patch(t, "/api/v1/clients/"+other+"/records/transactions/"+id, Map{"status": "x"}).Problem(t, 404, "record.absent")
	a.Do(t, "DELETE", at+"/tickets/"+id, nil).Problem(t, 404, "record.absent")
	a.Post(t, at+"/rumours", invoice).Problem(t, 422, "invalid", "kind")
	a.Post(t, at+"/tickets", Map{"external_id": "1", "amount": 1}).Problem(t, 422, "invalid", "system", "amount")

	// Removed, and there again.
	if r := a.Do(t, "DELETE", one, nil).Want(t, 200); r.Text("revision") != "3" {
		t.Errorf("%s", r.Body)
	} else {
		a.After = r.Header.Get("Annals-Position")
	}
	if got := a.Get(t, at+"/transactions").Want(t, 200); got.Text("items.0.system") != "shop" || len(got.List("totals")) != 0 {
		t.Errorf("%s", got.Body)
	}
	a.Patch(t, one, Map{"status": "x"}).Problem(t, 404, "record.absent")
	if receipt(t, a.Post(t, at+"/transactions", Map{"system": "billing", "external_id": "INV-42", "amount": "1", "currency": "USD"}, "Idempotency-Key", "again"), 201, "4") != id {
		t.Error("there again, it is another one")
	}
	receipt(t, a.Post(t, at+"/transactions", Map{"system": "billing", "external_id": "INV-42", "status": "open"}), 200, "5")
	// Repeated, a request answers as it first did, at any process.
	for _, u := range []*apitest.User{a, a.At(s.Again(t))} {
		r := u.Post(t, at+"/transactions", Map{"system": "billing", "external_id": "INV-42", "amount": "1", "currency": "USD"}, "Idempotency-Key", "again")
		if r.Want(t, 201).Text("id") != id || r.Text("revision") != "4" || r.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%v %s", r.Header, r.Body)
		}
	}
	history := a.Get(t, "/api/v1/clients/"+c+"/history?with=activities&limit=500").Want(t, 200).Column("type")
	if want := []string{"client.registered", "record.added", "record.updated", "record.updated", "record.added", "record.added", "record.removed", "record.added", "record.updated"}; !slices.Equal(history, want) {
		t.Errorf("history %v", history)
	}
}

// An integration's key works with what it may; who does not see the client learns nothing.
func TestRecordsByKey(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Integrated")
	c := a.Client(t, p, "Petrova")
	at := "/api/v1/clients/" + c + "/records"
	key := makeKey(t, a, Map{"permissions": grants("clients.view", "project", "activities.write", "project"), "projects": []string{p}})
	blind := makeKey(t, a, Map{"permissions": grants("clients.view", "project", "clients.edit", "project"), "projects": []string{p}})
	stranger := a.EmployeeAs(t, "Stranger", []string{"agent"}, []string{p}, nil)
	receipt(t, key.Post(t, at+"/integrations", Map{"system": "crm.example", "external_id": "C-1", "status": "connected"}), 201, "0")
	if got := key.Get(t, at+"/integrations").Want(t, 200); got.Text("items.0.system") != "crm.example" || got.Text("items.0.actor.id") != key.ID || got.Text("items.0.actor.name") != "A key" {
		t.Errorf("%s", got.Body)
	}
	blind.Get(t, at+"/integrations").Want(t, 200)
	blind.Post(t, at+"/integrations", Map{"system": "crm.example", "external_id": "C-1"}).Problem(t, 403, "forbidden")
	stranger.Get(t, at).Problem(t, 404, "client.absent")
	stranger.Get(t, at+"/integrations").Problem(t, 404, "client.absent")
	for _, body := range []Map{{"system": "crm.example", "external_id": "C-1"}, {}} {
		stranger.Post(t, at+"/integrations", body).Problem(t, 404, "client.absent")
	}
}

// Told at once by many, at two processes, a record is added by one of them, and no
// change is lost.
func TestRecordsAtOnce(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	c := a.Client(t, a.Project(t, "At once"), "Petrova")
	processes := []*apitest.User{a.At(s), a.At(s.Again(t))}
	const tellers = 12
	var mu sync.Mutex
	var all sync.WaitGroup
	status, ids := map[int]int{}, map[string]bool{}
	for i := range tellers {
		u := *processes[i%2]
		all.Go(func() {
			r := u.Post(t, "/api/v1/clients/"+c+"/records/tickets", Map{"system": "desk", "external_id": "7", "data": Map{"by": strconv.Itoa(i)}})
			mu.Lock()
			defer mu.Unlock()
			status[r.Status]++
			ids[r.Text("id")] = true
		})
	}
	all.Wait()
	if status[201] != 1 || status[200] != tellers-1 || len(ids) != 1 {
		t.Errorf("answers %v about %v", status, ids)
	}
	last := a.Post(t, "/api/v1/clients/"+c+"/records/tickets", Map{"system": "desk", "external_id": "7", "title": "last"})
	receipt(t, last, 200, strconv.Itoa(tellers))
}

func TestRecordsListed(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	c := a.Client(t, a.Project(t, "Listed"), "Petrova")
	at := "/api/v1/clients/" + c + "/records"
	for i, r := range []Map{
		{"system": "billing", "status": "paid", "amount": "10.10", "currency": "EUR", "due_at": "2026-03-01T00:00:00Z"},
		{"system": "billing", "status": "open", "amount": "20.20", "currency": "EUR", "due_at": "2026-01-01T00:00:00Z"},
		{"system": "shop", "status": "open", "amount": "-300", "currency": "JPY"},
		{"system": "shop", "amount": "1000", "currency": "JPY", "due_at": "2026-02-01T00:00:00Z"},
		{"system": "shop", "status": "open"},
	} {
		r["external_id"] = strconv.Itoa(i)
		receipt(t, a.Post(t, at+"/transactions", r), 201, "0")
	}
	receipt(t, a.Post(t, at+"/tickets", Map{"system": "desk", "external_id": "1", "status": "open"}), 201, "0")
	for query, want := range map[string]string{
		"":                            "[4 3 2 1 0]",
		"?sort=added_at":              "[0 1 2 3 4]",
		"?sort=due_at":                "[1 3 0 2 4]",
		"?sort=-due_at":               "[0 3 1 4 2]",
		"?status=open":                "[4 2 1]",
		"?status=paid&status=open":    "[4 2 1 0]",
		"?system=shop&status=open":    "[4 2]",
		"?system=billing&system=shop": "[4 3 2 1 0]",
		"?system=nobody":              "[]",
		"?status=open&sort=due_at":    "[1 2 4]",
	} {
		r := a.Get(t, at+"/transactions"+query).Want(t, 200)
		got := fmt.Sprint(r.Column("external_id"))
		// Ties of nothing are in the order of ids, which are as good as random.
		if query == "?sort=due_at" || query == "?sort=-due_at" || query == "?status=open&sort=due_at" {
			got = fmt.Sprint(r.Column("external_id")[:len(r.Column("external_id"))-2])
			want = want[:len(want)-5] + "]"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if r.Text("totals") != "[map[amount:30.30 count:2 currency:EUR] map[amount:700 count:2 currency:JPY]]" ||
			r.Text("by_status") != "[map[count:3 status:open] map[count:1 status:] map[count:1 status:paid]]" {
			t.Errorf("%s: %s %s", query, r.Text("totals"), r.Text("by_status"))
		}
	}
	for _, sort := range []string{"", "&sort=due_at", "&sort=-due_at", "&sort=occurred_at"} {
		var paged []string
		for cursor := ""; ; {
			page := a.Get(t, at+"/transactions?limit=2"+sort+cursor).Want(t, 200)
			paged = append(paged, page.Column("external_id")...)
			if page.At("next_cursor") == nil {
				break
			}
			cursor = "&cursor=" + page.Text("next_cursor")
		}
		slices.Sort(paged)
		if fmt.Sprint(paged) != "[0 1 2 3 4]" {
			t.Errorf("by pages %s: %v", sort, paged)
		}
	}
	a.Get(t, at+"/transactions?sort=title").Problem(t, 422, "invalid", "sort")
	sum := a.Get(t, at).Want(t, 200)
	for path, want := range map[string]string{
		"tickets.count": "1", "tickets.totals": "[]", "transactions.count": "5", "integrations.count": "0", "integrations.by_status": "[]",
		"transactions.totals": "[map[amount:30.30 count:2 currency:EUR] map[amount:700 count:2 currency:JPY]]",
	} {
		if got := sum.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}
