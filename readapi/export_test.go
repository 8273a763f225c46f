package readapi_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	asking "annals/internal/access"
	"annals/internal/apitest"
	"annals/readapi"
)

// told is what stands in an export, by where it was said of the client.
var told = map[string]string{
	"first name": "Xanthippe", "last name": "Zuckerkandl", "new last name": "Zuckerkandlwirth", "company": "Kandlwerkstatt", "title": "Kommerzienraetin",
	"email": "xanthippe.z@kandlpost.example", "other email": "zweitpost@kandlpost.example", "phone": "90182077", "website": "kandlwebsite.example",
	"street": "Zuckerbergweg", "city": "Bitterfeldhausen", "billing": "Kandlholding", "external id": "ERPKANDL4711", "meta": "Hamburgermesse", "custom": "Lieblingslila",
	"consent": "Messestandzettel", "status reason": "Philomenafragte", "deactivation reason": "Gondwanaumzug", "portal reason": "Portalbittschrift",
	"note": "Notizgeheimnis", "edited note": "Notizverbessert", "deleted note": "Notizgeloescht", "action": "Rueckruftestament", "outcome": "Rueckruferledigt",
	"request": "Kuendigungswunsch", "answer": "Kuendigungsantwort", "call": "Telefongefluester", "subject": "Betreffangebot", "body": "Geehrtefrau", "reply": "Antwortpost",
	"file name": "Testamentsentwurf", "description": "Notarbeschreibung", "record": "Rechnungssache", "record id": "RKANDL99", "record data": "Mahnstufedrei", "hold": "Rechtsstreitkandl",
}

// missing are those that a text does not hold, and found those that it does.
func missing(text string) (missing, found []string) {
	for where, word := range told {
		if strings.Contains(text, word) {
			found = append(found, where)
		} else {
			missing = append(missing, where)
		}
	}
	slices.Sort(missing)
	slices.Sort(found)
	return missing, found
}

// tell has everything said of a client that can be.
func tell(t *testing.T, u *apitest.User) (project, client string) {
	t.Helper()
	w := told
	project = u.Project(t, "Export")
	colour := "colour_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	u.Create(t, "/api/v1/custom-fields", Map{"key": colour, "type": "text", "label": "Colour"})
	client = u.Client(t, project, w["last name"], Map{
		"first_name": w["first name"], "title": w["title"], "company": w["company"], "email": w["email"], "phone": "+49 30 " + w["phone"],
		"other_emails": []Map{{"email": w["other email"]}}, "website": "https://" + w["website"], "address": Map{"street": w["street"] + " 17", "city": w["city"]},
		"billing": Map{"legal_name": w["billing"]}, "external_ids": Map{"erp": w["external id"]}, "meta": Map{"fair": w["meta"]}, "custom": Map{colour: w["custom"]},
		"consents": Map{"email": Map{"granted": true, "at": "2026-01-02T03:04:05Z", "source": w["consent"]}},
	})
	of := "/api/v1/clients/" + client
	u.Patch(t, of, Map{"last_name": w["new last name"]}).Want(t, 200)
	u.Post(t, of+"/status", Map{"status": "active", "reason": w["status reason"]}).Want(t, 200)
	u.Post(t, of+"/deactivate", Map{"reason": w["deactivation reason"]}).Want(t, 200)
	u.Post(t, of+"/reactivate", nil).Want(t, 200)
	u.Put(t, of+"/portal-access", Map{"access": "granted", "reason": w["portal reason"]}).Want(t, 200)
	u.Post(t, of+"/portal-sign-in", Map{"at": "2026-02-03T04:05:06Z"}).Want(t, 200)
	note := u.Create(t, of+"/notes", Map{"text": w["note"] + " <script>alert(1)</script>"})
	u.Patch(t, of+"/notes/"+note, Map{"text": w["edited note"] + " <script>alert(1)</script>"}).Want(t, 200)
	deleted := u.Create(t, of+"/notes", Map{"text": w["deleted note"]})
	u.Delete(t, of+"/notes/"+deleted, nil).Want(t, 200)
	action := u.Create(t, of+"/actions", Map{"title": w["action"], "due_at": "2099-01-01T00:00:00Z"})
	u.Post(t, of+"/actions/"+action+"/done", Map{"outcome": w["outcome"]}).Want(t, 200)
	request := u.Create(t, of+"/requests", Map{"subject": w["request"], "text": w["request"]})
	u.Post(t, of+"/requests/"+request+"/status", Map{"status": "resolved", "text": w["answer"]}).Want(t, 200)
	u.Create(t, of+"/calls", Map{"direction": "inbound", "number": w["phone"], "outcome": "answered", "text": w["call"]})
	u.Create(t, of+"/messages", Map{"subject": w["subject"], "text": w["body"]})
	u.Create(t, of+"/messages/log", Map{"from": w["email"], "subject": w["subject"], "text": w["reply"]})
	u.Post(t, of+"/documents?name="+w["file name"]+".txt&description="+w["description"], apitest.Raw("Inhalt"), "Content-Type", "text/plain").Want(t, 201)
	u.Create(t, of+"/records/transactions", Map{"system": "billing", "external_id": w["record id"], "title": w["record"], "amount": "12.50", "currency": "EUR", "data": Map{"dunning": w["record data"]}})
	u.Post(t, of+"/hold", Map{"reason": w["hold"]}).Want(t, 200)
	return project, client
}

// Whatever was said of a client stands in an export of them, as JSON and on a page, and
// nothing of it once they have been erased.
func TestExport(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	u := s.Admin(t)
	_, client := tell(t, u)
	path := "/api/v1/clients/" + client + "/export"
	got := u.Get(t, path).Want(t, 200)
	if lacks, _ := missing(string(got.Body)); len(lacks) > 0 {
		t.Errorf("the export lacks %v", lacks)
	}
	kinds := map[string]int{}
	for _, a := range got.List("activities") {
		kinds[fmt.Sprint(a.(map[string]any)["kind"])]++
	}
	if diff := cmp.Diff(map[string]int{"action": 1, "call": 1, "document": 1, "message": 2, "note": 1, "request": 1}, kinds); diff != "" {
		t.Error(diff)
	}
	all := u.Get(t, "/api/v1/clients/"+client+"/history?with=activities&limit=500&sort=position").Want(t, 200).Column("event_id")
	var events []string
	for _, h := range got.List("history") {
		h := h.(map[string]any)
		events = append(events, fmt.Sprint(h["event_id"]))
		if h["ip"] != nil || h["user_agent"] != nil {
			t.Errorf("the export tells where an employee was: %v", h)
		}
	}
	if diff := cmp.Diff(all, events); diff != "" {
		t.Errorf("the history (-as it is read +as it is exported)\n%s", diff)
	}
	if got.Text("record.portal.last_sign_in_at") == "" || got.Text("erasure.state") != "held" || got.Text("documents.0.versions.0.number") != "1" || got.Text("records.0.kind") != "transactions" {
		t.Errorf("%s", got.Body)
	}
	if as := got.Header.Get("Content-Disposition"); as != `attachment; filename="client-`+client+`.json"` {
		t.Error(as)
	}
	page := u.Get(t, path+"?format=html").Want(t, 200)
	if lacks, _ := missing(string(page.Body)); len(lacks) > 0 {
		t.Errorf("the page lacks %v", lacks)
	}
	if text := string(page.Body); strings.Contains(text, "<script") || !strings.Contains(text, "&lt;script&gt;") || !strings.HasPrefix(strings.TrimSpace(text), "<!doctype html>") || !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
		t.Errorf("%s", text)
	}
	// To export is to look, and the next export tells of it.
	exports := looks(t, u, "/api/v1/clients/"+client+"/access-log?kind=export", 2)
	if exports.Text("items.0.actor.id") != u.ID {
		t.Errorf("%s", exports.Body)
	}
	again := u.Get(t, path).Want(t, 200)
	if n := strings.Count(string(again.Body), `"kind":"export"`); n < 2 || !strings.Contains(string(again.Body), `"employee":{"id":"`+u.ID) {
		t.Errorf("%d exports are told", n)
	}
	u.Get(t, path+"?format=pdf").Problem(t, 422, "invalid", "format")

	u.Post(t, "/api/v1/clients/"+client+"/release", Map{"reason": "over"}).Want(t, 200)
	s.Erase(t, client)
	head, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u.After = head.String()
	for _, format := range []string{"json", "html"} {
		erased := u.Get(t, path+"?format="+format).Want(t, 200)
		if _, left := missing(string(erased.Body)); len(left) > 0 {
			t.Errorf("after the erasure the export as %s holds %v", format, left)
		}
		if format == "json" && (len(erased.List("history")) != len(all)+1 || erased.At("record.erased") != true) {
			t.Errorf("%d events of %d, and the release: %s", len(erased.List("history")), len(all), erased.Body)
		}
	}
}

// Who may export a client exports them. Who else sees the client is refused, and to
// everybody else the client is not there.
func TestWhoExports(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	u := s.Admin(t)
	p, q := u.Project(t, "Here"), u.Project(t, "There")
	desk := u.Desk(t, p, "Desk")
	client := u.Client(t, p, "Exported")
	u.Post(t, "/api/v1/clients/"+client+"/assign", Map{"desk_id": desk}).Want(t, 200)
	chief := u.EmployeeAs(t, "Desk Chief", []string{"desk_manager"}, []string{p}, []string{desk})
	agent := u.Employee(t, "Some Agent", []string{p}, []string{desk})
	auditor := u.EmployeeAs(t, "Any Auditor", []string{"auditor"}, nil, nil)
	stranger := u.EmployeeAs(t, "Stran Ger", []string{"desk_manager"}, []string{q}, nil)
	for _, who := range []*apitest.User{chief, agent, auditor, stranger} {
		who.After = u.After
	}
	path := "/api/v1/clients/" + client + "/export"
	agent.Get(t, path).Problem(t, 403, "forbidden")
	auditor.Get(t, path).Problem(t, 403, "forbidden")
	hidden := stranger.Get(t, path).Problem(t, 404, "client.absent")
	if absent := stranger.Get(t, "/api/v1/clients/"+uuid.NewString()+"/export").Problem(t, 404, "client.absent"); string(absent.Body) != string(hidden.Body) {
		t.Errorf("%s\n%s", absent.Body, hidden.Body)
	}
	(&apitest.User{System: s}).Get(t, path).Want(t, 401)
	u.Get(t, "/api/v1/clients/"+client).Want(t, 200)
	looks(t, u, "/api/v1/clients/"+client+"/access-log?kind=record", 1)
	got := chief.Get(t, path).Want(t, 200)
	if n := len(got.List("access_log")); n == 0 || strings.Contains(string(got.Body), `"employee":`) {
		t.Errorf("%d looks, of which who may not view what others did is told when, and not by whom: %s", n, got.Body)
	}
}

// However much there is, all of it is exported, once and in order; and who may no longer
// see the client meanwhile does not get the rest.
func TestLongExport(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	u := s.Admin(t)
	p, q := u.Project(t, "Long"), u.Project(t, "Away")
	client := u.Client(t, p, "Long")
	var want []string
	for i := range readapi.ExportPage + 5 {
		want = append(want, u.Create(t, "/api/v1/clients/"+client+"/notes", Map{"text": fmt.Sprint("note ", i)}))
	}
	got := u.Get(t, "/api/v1/clients/"+client+"/export").Want(t, 200)
	var ids []string
	for _, a := range got.List("activities") {
		ids = append(ids, fmt.Sprint(a.(map[string]any)["id"]))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
	if n := len(got.List("history")); n != len(want)+1 {
		t.Errorf("%d events", n)
	}

	chief := u.EmployeeAs(t, "Desk Chief", []string{"project_admin"}, []string{p}, nil)
	chief.After = u.After
	chief.Get(t, "/api/v1/clients/"+client).Want(t, 200)
	actor, err := s.Commands.Authenticate(t.Context(), chief.Token)
	if err != nil {
		t.Fatal(err)
	}
	write, err := s.Reads.BeginExport(asking.With(t.Context(), asking.Caller{Actor: actor}), uuid.MustParse(client))
	if err != nil {
		t.Fatal(err)
	}
	u.Post(t, "/api/v1/clients/"+client+"/assign", Map{"project_id": q}).Want(t, 200)
	chief.After = u.After
	chief.Get(t, "/api/v1/clients/"+client).Want(t, 404)
	var out strings.Builder
	if err := write(&out); err == nil || strings.Contains(out.String(), "note 0") {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := write(io.Discard); err == nil {
		t.Error("it was exported after all")
	}
}
