package readapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"annals/internal/apitest"
)

// pulled are all events that u may be told of after a position, by pages of so many, and
// where the last page ended.
func pulled(t *testing.T, u *apitest.User, query string, limit int) (events []Map, next string) {
	t.Helper()
	for page := 0; ; page++ {
		if page == 1000 {
			t.Fatal("there is no end to it")
		}
		r := u.Get(t, fmt.Sprintf("/api/v1/events?limit=%d&after=%s&%s", limit, next, query)).Want(t, 200)
		for _, e := range r.List("items") {
			events = append(events, e.(Map))
		}
		if len(r.List("items")) > limit {
			t.Fatalf("%d events at once", len(r.List("items")))
		}
		if next = r.Text("next"); next == r.Text("position") {
			return events, next
		}
	}
}

func typesOf(events []Map) (all []string) {
	for _, e := range events {
		all = append(all, e["type"].(string))
	}
	return all
}

// of are the events of a client.
func of(events []Map, client string) (own []Map) {
	for _, e := range events {
		if e["data"].(Map)["client_id"] == client {
			own = append(own, e)
		}
	}
	return own
}

func TestEventFeed(t *testing.T) {
	t.Parallel()
	s := goLive(t, apitest.Start(t))
	a := s.Admin(t)
	p, q := a.Project(t, "Here"), a.Project(t, "There")
	desk := a.Desk(t, p, "Desk")
	anna := a.Client(t, p, "Moreau", Map{"desk_id": desk})
	bert := a.Client(t, q, "Berg")
	a.Patch(t, "/api/v1/clients/"+anna, Map{"job_title": "Pilot", "custom": Map{}}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+anna+"/notes", Map{"text": "called"}).Want(t, 201)
	a.Post(t, "/api/v1/clients/"+bert+"/status", Map{"status": "active"}).Want(t, 200)

	all, end := pulled(t, a, "", 1000)
	if got, want := typesOf(of(all, anna)), []string{"client.registered", "client.edited", "note.added"}; !slices.Equal(got, want) {
		t.Errorf("of one client: %v, want %v", got, want)
	}
	for i := range all[1:] {
		if number(t, all[i]) >= number(t, all[i+1]) {
			t.Errorf("%v is before %v", all[i], all[i+1])
		}
	}
	for _, e := range all {
		if typ := e["type"].(string); strings.HasPrefix(typ, "key.") || strings.HasPrefix(typ, "access.") {
			t.Errorf("%s is told", typ)
		}
	}
	first := of(all, anna)[0]
	if first["source"] != "https://annals.example" || first["specversion"] != "1.0" || first["subject"] != "client-"+anna || first["annalsrevision"] != 0.0 ||
		first["data"].(Map)["event"].(Map)["last_name"] != "Moreau" || !slices.Contains(first["data"].(Map)["changed"].([]any), any("last_name")) {
		t.Errorf("%v", first)
	}
	for _, limit := range []int{1, 3, 7} {
		paged, _ := pulled(t, a, "", limit)
		if diff := cmp.Diff(all, paged); diff != "" {
			t.Errorf("in pages of %d (-at once +in pages)\n%s", limit, diff)
		}
	}
	again := a.Get(t, "/api/v1/events?after="+end).Want(t, 200)
	if len(again.List("items")) != 0 || again.Text("next") != again.Text("position") {
		t.Errorf("there is nothing more, but %s", again.Body)
	}

	for query, want := range map[string][]string{
		"types=client.registered":                          {"client.registered", "client.registered"},
		"types=client.status_changed,note.*":               {"note.added", "client.status_changed"},
		"types=note.added&types=client.status_changed":     {"note.added", "client.status_changed"},
		"types=client.*&project=" + q:                      {"client.registered", "client.status_changed"},
		"types=client.*&desk=" + desk:                      {"client.registered", "client.edited"},
		"fields=job_title&types=client.*":                  {"client.edited"},
		"types=project.*&project=" + p:                     {"project.created"},
		"types=client.registered&project=" + p + "," + q:   {"client.registered", "client.registered"},
		"types=client.registered&desk=" + uuid.NewString(): nil,
	} {
		if got, _ := pulled(t, a, query, 100); !slices.Equal(typesOf(got), want) {
			t.Errorf("%s: %v, want %v", query, typesOf(got), want)
		}
	}
	thin, _ := pulled(t, a, "payload=thin&types=client.registered", 100)
	for _, e := range thin {
		if e["data"].(Map)["event"] != nil || strings.Contains(fmt.Sprint(e), "Moreau") {
			t.Errorf("thin, and %v", e)
		}
	}

	// What an event looks like is told by the schema that it names.
	for _, e := range all {
		validate(t, a, e)
	}
	a.Get(t, "/api/v1/events/schemas/client.registered.v99").Problem(t, 404, "event.absent")

	// As a file it is the same.
	file := a.Get(t, "/api/v1/events/export?to="+end).Want(t, 200)
	var lines []Map
	for line := bufio.NewScanner(bytes.NewReader(file.Body)); line.Scan(); {
		var e Map
		if err := json.Unmarshal(line.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, e)
	}
	if diff := cmp.Diff(all, lines); diff != "" {
		t.Errorf("as a file (-feed +file)\n%s", diff)
	}

	// Who was told what of whom is on record.
	looks := a.Get(t, "/api/v1/clients/"+bert+"/access-log?kind=events").Want(t, 200)
	if len(looks.List("items")) == 0 {
		t.Error("nobody has been told anything")
	}

	for query, field := range map[string]string{
		"after=yesterday": "after", "after=9999999999": "after", "types=client.abducted": "types[0]", "types=*x": "types[0]", "project=p": "project", "desk=1": "desk",
		"limit=0": "limit", "limit=1001": "limit", "wait=21": "wait", "wait=-1": "wait", "payload=fat": "payload",
	} {
		if r := a.Get(t, "/api/v1/events?"+query); r.Status != 422 || !strings.Contains(string(r.Body), field) {
			t.Errorf("%s: %d %s", query, r.Status, r.Body)
		}
	}
	(&apitest.User{System: s}).Get(t, "/api/v1/events").Problem(t, 401, "unauthorized")
}

func number(t *testing.T, e Map) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(e["annalsposition"].(string), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// validate holds an event to the schema that it names.
func validate(t *testing.T, u *apitest.User, e Map) {
	t.Helper()
	url := e["dataschema"].(string)
	raw := u.Get(t, strings.TrimPrefix(url, "https://annals.example")).Want(t, 200).Body
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(e["data"].(Map)["event"]); err != nil {
		t.Errorf("%s: %v", url, err)
	}
}

// Who waits is told when something happens, and not before.
func TestEventFeedWaits(t *testing.T) {
	t.Parallel()
	s := goLive(t, apitest.Start(t))
	a := s.Admin(t)
	p := a.Project(t, "Here")
	_, end := pulled(t, a, "", 1000)
	b := *a
	answers := make(chan *apitest.Response, 1)
	go func() { answers <- b.Get(t, "/api/v1/events?wait=20&types=client.*&after="+end) }()
	select {
	case r := <-answers:
		t.Fatalf("it did not wait: %s", r.Body)
	case <-time.After(300 * time.Millisecond):
	}
	a.Desk(t, p, "Nobody asks for desks")
	id := a.Client(t, p, "Moreau")
	r := (<-answers).Want(t, 200)
	if len(r.List("items")) != 1 || r.Text("items.0.data.client_id") != id {
		t.Errorf("%s", r.Body)
	}
	// What changes what they may themselves ends the answer, and is in it.
	go func() { answers <- b.Get(t, "/api/v1/events?wait=20&types=employee.*&after="+r.Text("next")) }()
	time.Sleep(100 * time.Millisecond)
	a.Patch(t, "/api/v1/employees/"+a.ID, Map{"name": "Ada"}).Want(t, 200)
	if r := (<-answers).Want(t, 200); len(r.List("items")) != 1 || r.Text("items.0.type") != "employee.edited" {
		t.Errorf("%s", r.Body)
	}
	if r := a.Get(t, "/api/v1/events?wait=1&types=client.*&after="+r.Text("next")).Want(t, 200); len(r.List("items")) != 0 || r.Text("next") == "" {
		t.Errorf("%s", r.Body)
	}
}

// Nobody is told what they may not see: not of clients that are elsewhere, nor from the
// next event on when they lose a desk, nor what is personal unless they may export it.
func TestEventFeedIsForWhoMaySee(t *testing.T) {
	t.Parallel()
	s := goLive(t, apitest.Start(t))
	a := s.Admin(t)
	p, q := a.Project(t, "Here"), a.Project(t, "There")
	desk, other := a.Desk(t, p, "Desk"), a.Desk(t, p, "Other")
	agent := a.Employee(t, "Agnes", []string{p}, []string{desk})
	mine, others, far := a.Client(t, p, "Moreau", Map{"desk_id": desk}), a.Client(t, p, "Nguyen", Map{"desk_id": other}), a.Client(t, q, "Okafor")
	agent.After = a.After
	all, end := pulled(t, agent, "", 100)
	if got := typesOf(of(all, mine)); !slices.Equal(got, []string{"client.registered"}) || len(of(all, others))+len(of(all, far)) > 0 {
		t.Errorf("%v", all)
	}
	if text := fmt.Sprint(all); strings.Contains(text, "Moreau") || strings.Contains(text, "Nguyen") || !strings.Contains(text, "last_name") {
		t.Errorf("an agent may export nobody, and is told %s", text)
	}
	followed := open(t, agent, "/api/v1/events/stream?types=client.*", "Last-Event-ID", end)
	waiting := *agent
	answers := make(chan *apitest.Response, 1)
	go func() { answers <- waiting.Get(t, "/api/v1/events?wait=20&types=client.*&after="+end) }()
	a.Patch(t, "/api/v1/clients/"+mine, Map{"job_title": "Pilot"}).Want(t, 200)
	if e := followed.next(); e.name != "message" || e.text("type") != "client.edited" || e.id != e.text("annalsposition") {
		t.Errorf("%+v", e)
	}
	first := (<-answers).Want(t, 200)
	if len(first.List("items")) != 1 {
		t.Errorf("%s", first.Body)
	}
	go func() { answers <- waiting.Get(t, "/api/v1/events?wait=3&types=client.*&after="+first.Text("next")) }()
	a.Assign(t, agent.ID, []string{p}, []string{other})
	a.Patch(t, "/api/v1/clients/"+mine, Map{"job_title": "Captain"}).Want(t, 200)
	a.Patch(t, "/api/v1/clients/"+others, Map{"job_title": "Cook"}).Want(t, 200)
	if e := followed.next(); e.data["data"].(Map)["client_id"] != others {
		t.Errorf("after they left the desk: %+v", e)
	}
	if r := (<-answers).Want(t, 200); slices.ContainsFunc(r.List("items"), func(e any) bool { return e.(Map)["data"].(Map)["client_id"] == mine }) {
		t.Errorf("after they left the desk: %s", r.Body)
	}
	agent.After = a.After
	if got, _ := pulled(t, agent, "", 100); len(of(got, mine)) > 0 || len(of(got, others)) != 2 {
		t.Errorf("%v", got)
	}
	a.Post(t, "/api/v1/employees/"+agent.ID+"/deactivate", nil).Want(t, 200)
	for range followed.events { // it ends
	}
}

// A stream goes on where it stopped, and what is erased is told nobody any more.
func TestEventStream(t *testing.T) {
	t.Parallel()
	s := goLive(t, apitest.Start(t))
	a := s.Admin(t)
	p := a.Project(t, "Here")
	followed := open(t, a, "/api/v1/events/stream?types=client.*")
	id := a.Client(t, p, "Moreau")
	e := followed.next()
	if e.text("type") != "client.registered" || !strings.Contains(fmt.Sprint(e.data), "Moreau") {
		t.Fatalf("%+v", e)
	}
	followed.close()
	for n := range 5 {
		a.Patch(t, "/api/v1/clients/"+id, Map{"job_title": fmt.Sprint("Pilot ", n)}).Want(t, 200)
	}
	followed = open(t, a, "/api/v1/events/stream?types=client.*", "Last-Event-ID", e.id)
	for n := range 5 {
		if got := followed.next(); got.text("annalsrevision") != strconv.Itoa(n+1) {
			t.Errorf("%d: %+v", n, got)
		}
	}
	a.Post(t, "/api/v1/clients/"+id+"/erase", Map{"reason": "letter"}).Want(t, 200)
	if got := followed.next(); got.text("type") != "client.erased" {
		t.Errorf("%+v", got)
	}
	s.Erase(t, id) // as the job does that follows
	for deadline := time.Now().Add(apitest.Patience); ; time.Sleep(10 * time.Millisecond) {
		events, _ := pulled(t, a, "types=client.*", 100)
		text := fmt.Sprint(events)
		if !strings.Contains(text, "Moreau") && !strings.Contains(text, "Pilot") {
			if len(of(events, id)) != 7 || !strings.Contains(text, "erased:[") {
				t.Errorf("%s", text)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("erased, and told: %s", text)
		}
	}
	if _, status, _ := try(t, a, "/api/v1/events/stream?types=client.abducted"); status != http.StatusUnprocessableEntity {
		t.Error(status)
	}
}

// The document in AsyncAPI tells all events, each with its schema, and so does OpenAPI.
func TestEventsAreDescribed(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	doc := a.Get(t, "/api/asyncapi.json").Want(t, 200)
	hooks := a.Get(t, "/api/openapi.json").Want(t, 200).JSON()["webhooks"].(Map)
	messages := doc.JSON()["components"].(Map)["messages"].(Map)
	if doc.Text("asyncapi") != "3.0.0" || len(messages) < 50 || len(messages) != len(hooks) {
		t.Errorf("%d messages, %d webhooks", len(messages), len(hooks))
	}
	for name := range messages {
		if hooks[name] == nil || strings.HasPrefix(name, "key.") || strings.HasPrefix(name, "access.") {
			t.Errorf("%s", name)
		}
	}
	refs(t, doc.JSON(), doc.JSON())
}

// refs finds what every reference in the document leads to.
func refs(t *testing.T, doc Map, v any) {
	t.Helper()
	switch v := v.(type) {
	case Map:
		if ref, ok := v["$ref"].(string); ok {
			var at any = doc
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				m, _ := at.(Map)
				at = m[part]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		for _, inner := range v {
			refs(t, doc, inner)
		}
	case []any:
		for _, inner := range v {
			refs(t, doc, inner)
		}
	}
}
