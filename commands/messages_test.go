package commands_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/internal/apitest"
)

const templates = "/api/v1/templates"

func texts(subject, text, html string) Map {
	return Map{"en": Map{"subject": subject, "text": text, "html": html}}
}

// A template is for the clients of one project or of all; its HTML is made safe, and what
// it cannot be filled in with is refused when it is saved.
func TestTemplates(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	atlas, borea := admin.Project(t, "Atlas"), admin.Project(t, "Borea")
	manager := admin.EmployeeAs(t, "Tess Templates", []string{"project_admin"}, []string{atlas}, nil)
	stranger := admin.EmployeeAs(t, "Stan Stranger", []string{"agent"}, []string{borea}, nil)
	forAll := admin.Create(t, templates, Map{"name": "For all", "default_language": "en", "texts": texts("S", "T", "")})
	made := manager.Post(t, templates, Map{"project_id": atlas, "name": " Welcome ", "default_language": "EN", "texts": texts("Hi {{client.first_name|there}}", "T",
		`<p onclick=alert(1)>Hi <b>{{client.name}}</b><script>alert(1)</script></p><a href="{{client.website}}">you</a>`)})
	id := made.Want(t, 201).Text("id")
	if at := made.Header.Get("Location"); at != templates+"/"+id {
		t.Error(at)
	}
	got := manager.Get(t, templates+"/"+id).Want(t, 200)
	if got.Text("name") != "Welcome" || got.Text("texts.en.html") != `<p>Hi <b>{{client.name}}</b></p><a href="{{client.website}}" rel="nofollow noreferrer">you</a>` {
		t.Errorf("%s", got.Body)
	}
	edit := func(by *apitest.User, patch Map) *apitest.Response { return by.Patch(t, templates+"/"+id, patch) }
	edit(manager, Map{"texts": Map{"de": Map{"subject": "Hallo", "text": "Guten Tag", "html": "<i onmouseover=x>Guten Tag</i>"}}}).Want(t, 200)
	got = manager.Get(t, templates+"/"+id).Want(t, 200)
	if diff := cmp.Diff([]any{"de", "en"}, got.At("languages")); diff != "" || got.Text("texts.de.html") != "<i>Guten Tag</i>" || got.Text("texts.en.subject") != "Hi {{client.first_name|there}}" {
		t.Errorf("%s", got.Body)
	}
	edit(manager, Map{"default_language": "de", "texts": Map{"en": nil}}).Want(t, 200)
	if got = manager.Get(t, templates+"/"+id).Want(t, 200); got.At("texts.en") != nil || got.Text("default_language") != "de" {
		t.Errorf("%s", got.Body)
	}

	edit(manager, Map{"texts": Map{"de": Map{"text": "{{client.secret}} {{#if}}"}}}).Problem(t, 422, "invalid", "texts.de.text")
	edit(manager, Map{"texts": Map{"de": Map{"html": `<p style="color:{{client.name}}">x</p>`}}}).Problem(t, 422, "invalid", "texts.de.html")
	edit(manager, Map{"texts": Map{"de": "x"}}).Problem(t, 422, "invalid")
	edit(manager, Map{"project_id": borea}).Problem(t, 422, "invalid", "project_id")
	edit(stranger, Map{"name": "x"}).Problem(t, 404, "template.absent")
	stranger.Patch(t, templates+"/"+forAll, Map{"name": "x"}).Problem(t, 403, "forbidden")
	manager.Patch(t, templates+"/"+forAll, Map{"name": "x"}).Problem(t, 403, "forbidden")
	manager.Post(t, templates, Map{"name": "x", "default_language": "en", "texts": texts("S", "T", "")}).Problem(t, 403, "not_assigned", "project_id")

	// Those that one may use are listed, and no others.
	stranger.After = manager.After
	stranger.Get(t, templates+"/"+id).Problem(t, 404, "template.absent")
	visible := func(by *apitest.User, query string) (out []string) {
		for _, one := range by.Get(t, templates+"?limit=200"+query).Want(t, 200).Column("id") {
			if one == id || one == forAll {
				out = append(out, one)
			}
		}
		return out
	}
	if diff := cmp.Diff([]string{forAll}, visible(stranger, "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{forAll, id}, visible(manager, "&project="+atlas)); diff != "" {
		t.Error(diff)
	}
	manager.Post(t, templates+"/"+id+"/retire", nil).Want(t, 200)
	edit(manager, Map{"name": "x"}).Problem(t, 409, "template.retired")
	if diff := cmp.Diff([]string{forAll}, visible(manager, "&retired=false")); diff != "" {
		t.Error(diff)
	}
	manager.Post(t, templates+"/"+id+"/restore", nil).Want(t, 200)
	if diff := cmp.Diff([]string{forAll, id}, visible(manager, "&retired=false")); diff != "" {
		t.Error(diff)
	}

	if all := manager.Get(t, templates+"/placeholders").Want(t, 200).At("items"); !slices.Contains(all.([]any), any("client.address.city")) {
		t.Error(all)
	}

	// What it becomes for a client, for who sees both.
	client := admin.Client(t, atlas, "O'Größe <script>", Map{"language": "en-GB"})
	other := admin.Client(t, borea, "Other")
	preview := func(by *apitest.User, body Map) *apitest.Response {
		return by.Do(t, "POST", templates+"/"+id+"/preview", body)
	}
	edit(manager, Map{"texts": texts("Dear {{client.last_name}}", "{{employee.name}} {{project.name}}", "<p title=\"{{client.name}}\">{{client.name}}</p>")}).Want(t, 200)
	shown := preview(manager, Map{"client_id": client}).Want(t, 200)
	if shown.Text("language") != "en" || shown.Text("subject") != "Dear O'Größe <script>" || shown.Text("text") != "Tess Templates Atlas" ||
		shown.Text("html") != `<p title="O&#39;Größe &lt;script&gt;">O&#39;Größe &lt;script&gt;</p>` {
		t.Errorf("%s", shown.Body)
	}
	if shown = preview(manager, Map{"client_id": client, "language": "de-CH"}).Want(t, 200); shown.Text("language") != "de" {
		t.Errorf("%s", shown.Body)
	}
	preview(manager, Map{"client_id": client, "language": "fr"}).Problem(t, 422, "invalid", "language")
	preview(manager, Map{"client_id": other}).Problem(t, 422, "invalid", "client_id")
	preview(admin, Map{"client_id": other}).Problem(t, 422, "invalid", "client_id")
	preview(stranger, Map{"client_id": client}).Problem(t, 404, "template.absent")
	stranger.Do(t, "POST", templates+"/"+forAll+"/preview", Map{"client_id": client}).Problem(t, 422, "invalid", "client_id")
}

// A message says what it says when it is written, to who may be written to.
func TestMessages(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	atlas, borea := admin.Project(t, "Atlas"), admin.Project(t, "Borea")
	client := admin.Client(t, atlas, "Petrova", Map{"first_name": "Elena", "email": "elena@example.com", "other_emails": []Map{{"email": "e@home.example"}}})
	at := "/api/v1/clients/" + client + "/messages"
	template := admin.Create(t, templates, Map{"project_id": atlas, "name": "Quote", "default_language": "en", "texts": texts("For {{client.first_name}}", "Dear {{client.name}}", "<p>Dear {{client.name}}</p>")})
	row := func(id string) *apitest.Response {
		return admin.Get(t, "/api/v1/clients/"+client+"/activity/"+id).Want(t, 200)
	}

	made := admin.Post(t, at, Map{"subject": " Your  quote ", "text": "{{client.name}}", "html": `<p onclick="x">Dear <b>Elena</b><img src=x onerror=alert(1)></p>`})
	id := made.Want(t, 201).Text("id")
	if made.Header.Get("Location") != at+"/"+id {
		t.Error(made.Header)
	}
	got := row(id)
	if got.Text("kind") != "message" || got.Text("direction") != "outbound" || got.Text("state") != "composed" || got.Text("to") != "elena@example.com" ||
		got.Text("subject") != "Your quote" || got.Text("text") != "{{client.name}}" || got.Text("html") != `<p>Dear <b>Elena</b></p>` {
		t.Errorf("%s", got.Body)
	}
	body := Map{"template_id": template, "to": "E@home.example"}
	shown := admin.Do(t, "POST", at+"/preview", body).Want(t, 200)
	id = admin.Post(t, at, body, "Idempotency-Key", "one").Want(t, 201).Text("id")
	got = row(id)
	for _, r := range []*apitest.Response{shown, got} {
		if r.Text("subject") != "For Elena" || r.Text("text") != "Dear Elena Petrova" || r.Text("html") != "<p>Dear Elena Petrova</p>" || r.Text("to") != "E@home.example" {
			t.Errorf("%s", r.Body)
		}
	}
	if got.Text("template_id") != template {
		t.Errorf("%s", got.Body)
	}

	// The same request again is the same message, though it would be another one now.
	admin.Post(t, templates+"/"+template+"/retire", nil).Want(t, 200)
	if again := admin.Post(t, at, body, "Idempotency-Key", "one").Want(t, 201); again.Text("id") != id || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s", again.Body)
	}
	admin.Post(t, at, body).Problem(t, 409, "template.retired")
	admin.Do(t, "POST", at+"/preview", body).Problem(t, 409, "template.retired")

	elsewhere := admin.Create(t, templates, Map{"project_id": borea, "name": "Quote", "default_language": "en", "texts": texts("S", "T", "")})
	plain := Map{"subject": "S", "text": "T"}
	with := func(key string, value any) Map {
		m := Map{key: value}
		for k, v := range plain {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		body  Map
		field string
	}{
		{Map{"subject": "S"}, "text"},
		{with("to", "x@evil.example"), "to"},
		{with("subject", "S\r\nBcc: x@example.com\r\n"+strings.Repeat("x", 200)), "subject"},
		{with("template_id", template), "template_id"},
		{Map{"template_id": uuid.NewString()}, "template_id"},
		{Map{"template_id": elsewhere}, "template_id"},
		{with("language", "de"), "language"},
		{with("attachments", []Map{{"document_id": uuid.NewString()}}), "attachments[0]"},
	} {
		admin.Post(t, at, c.body).Problem(t, 422, "invalid", c.field)
		admin.Do(t, "POST", at+"/preview", c.body).Problem(t, 422, "invalid", c.field)
	}
	// A header is never more than a line.
	if got = row(admin.Create(t, at, with("subject", "S\r\nBcc: x@example.com"))); got.Text("subject") != "S Bcc: x@example.com" {
		t.Errorf("%s", got.Body)
	}

	refused := func(code string) {
		t.Helper()
		admin.Post(t, at, plain).Problem(t, 409, code)
		admin.Do(t, "POST", at+"/preview", plain).Problem(t, 409, code)
	}
	admin.Patch(t, "/api/v1/clients/"+client, Map{"consents": Map{"email": Map{"granted": false}}}).Want(t, 200)
	refused("client.no_consent")
	admin.Patch(t, "/api/v1/clients/"+client, Map{"consents": Map{"email": Map{"granted": true}}, "email": nil}).Want(t, 200)
	refused("client.no_email")
	admin.Post(t, "/api/v1/clients/"+client+"/deactivate", Map{"reason": "x"}).Want(t, 200)
	refused("client.deactivated")
	admin.Post(t, "/api/v1/clients/"+client+"/reactivate", nil).Want(t, 200)

	// What comes from the client is written down, and stands where it came in.
	answer := admin.Create(t, at+"/log", Map{"from": "elena@example.com", "subject": "Re: For Elena", "text": "Yes!", "at": "2026-01-02T03:04:05Z", "in_reply_to": "<" + id + "@annals.example>"})
	got = row(answer)
	if got.Text("direction") != "inbound" || got.Text("state") != "logged" || got.Text("from") != "elena@example.com" || got.Text("answer_to") != id || !strings.HasPrefix(got.Text("at"), "2026-01-02T03:04:05") {
		t.Errorf("%s", got.Body)
	}
	admin.Post(t, at+"/log", Map{"from": "nobody", "text": "x"}).Problem(t, 422, "invalid", "from")
	admin.Post(t, at+"/"+answer+"/bounced", Map{}).Problem(t, 409, "message.not_sent")
	admin.Post(t, at+"/"+id+"/bounced", Map{}).Problem(t, 409, "message.not_sent")

	stranger := admin.EmployeeAs(t, "Stan Stranger", []string{"agent"}, []string{borea}, nil)
	auditor := admin.EmployeeAs(t, "Aud Auditor", []string{"auditor"}, nil, nil)
	for _, path := range []string{at, at + "/preview"} {
		stranger.Do(t, "POST", path, plain).Problem(t, 404, "client.absent")
		stranger.Do(t, "POST", path, Map{"template_id": template}).Problem(t, 404, "client.absent")
		auditor.Do(t, "POST", path, plain).Problem(t, 403, "forbidden")
	}
	stranger.Do(t, "POST", at+"/log", Map{"from": "a@example.com", "text": "x"}).Problem(t, 404, "client.absent")
	stranger.Do(t, "POST", at+"/"+id+"/bounced", Map{}).Problem(t, 404, "client.absent")
	if diff := cmp.Diff([]string{"message.composed", "message.composed", "message.composed", "message.logged"}, typesOf(admin.Get(t, "/api/v1/clients/"+client+"/history?with=activities").Want(t, 200), "message.")); diff != "" {
		t.Error(diff)
	}
}

// typesOf are those of events that begin so.
func typesOf(r *apitest.Response, prefix string) (out []string) {
	for _, one := range r.Column("type") {
		if strings.HasPrefix(one, prefix) {
			out = append(out, one)
		}
	}
	return out
}
