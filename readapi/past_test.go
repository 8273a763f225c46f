package readapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"annals/internal/apitest"
	"annals/internal/unraced"
	"annals/projections"
)

// pastFields are all that a list of the past tells; what somebody has starred, and what
// projects, desks and people are called, is as it is now.
const pastFields = `["name", "type", "title", "first_name", "middle_name", "last_name", "display_name", "company", "job_title", "email", "other_emails", "phone", "phone_e164", "address.city",
	"address.country", "billing.iban", "meta.fair", "external_ids.erp", "consents.email", "status", "status_changed_at", "status_reason", "project", "desk", "manager", "tags", "active",
	"deactivated_at", "deactivation_reason", "last_contacted_at", "portal.access", "portal.override", "portal.last_sign_in_at", "erased", "created_at", "updated_at", "revision"]`

// A list as of a moment is the list that there was at that moment, whatever it is sorted
// and filtered by and searched for.
func TestPast(t *testing.T) {
	t.Parallel()
	moments := unraced.Of(t, 200, 20)
	s := apitest.Start(t)
	a := s.Admin(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	p := &pastWorld{t: t, Rand: r, u: a}
	for _, name := range []string{"North", "South"} {
		project := a.Project(t, name)
		p.projects = append(p.projects, project)
		p.desks = append(p.desks, a.Desk(t, project, name+" desk"))
	}
	type moment struct {
		at   string
		body string
		want []byte
	}
	var all []moment
	for range moments {
		for range 1 + r.IntN(3) {
			p.command()
		}
		s.Clock.Advance(time.Duration(r.IntN(60)) * time.Minute) // all of it within the life of a session
		at := s.Clock.Now().UTC().Format(time.RFC3339Nano)
		s.Clock.Advance(time.Millisecond)
		body := p.list()
		all = append(all, moment{at, body, p.items(body, "")})
	}
	for _, m := range all {
		if diff := cmp.Diff(string(m.want), string(p.items(m.body, m.at))); diff != "" {
			t.Fatalf("as of %s, %s (-was +is told)\n%s", m.at, m.body, diff)
		}
	}
	// So it is when it has been built anew.
	if err := projections.Rebuild(t.Context(), projections.Config{Database: s.Database, Log: s.Log, Logger: s.Logs.Logger()}, "clients"); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if diff := cmp.Diff(string(m.want), string(p.items(m.body, m.at))); diff != "" {
			t.Fatalf("built anew, as of %s, %s (-was +is told)\n%s", m.at, m.body, diff)
		}
	}
}

type pastWorld struct {
	t *testing.T
	*rand.Rand
	u                        *apitest.User
	projects, desks, clients []string
}

func (p *pastWorld) pick(all ...string) string { return all[p.IntN(len(all))] }

// command does something to a client, or registers one.
func (p *pastWorld) command() {
	if len(p.clients) < 3 || len(p.clients) < 40 && p.IntN(5) == 0 {
		i := p.IntN(2)
		body := apitest.Map{"last_name": p.pick("Núñez", "Nunez", "Müller", "Abe"), "project_id": p.projects[i], "email": p.pick("a@example.com", "b@example.org")}
		if p.IntN(2) == 0 {
			body["desk_id"] = p.desks[i]
		}
		p.clients = append(p.clients, p.u.Create(p.t, "/api/v1/clients", body))
		return
	}
	c := "/api/v1/clients/" + p.pick(p.clients...)
	method, path, body := http.MethodPost, c, apitest.Map{}
	switch p.IntN(9) {
	case 0:
		method, body = http.MethodPatch, apitest.Map{
			p.pick("first_name", "middle_name", "display_name", "company", "job_title", "title"): p.pick("José", "X", "Ärger", ""), "phone": p.pick("+49 30 123456", "555", ""),
			"meta": apitest.Map{"fair": p.pick("Ulm", "Bonn")}, "external_ids": apitest.Map{"erp": p.pick("1", "2")},
		}
	case 1:
		path, body = c+"/status", apitest.Map{"status": p.pick("lead", "active", "inactive"), "reason": p.pick("", "because", "Núñez asked")}
	case 2:
		path, body = c+"/retag", apitest.Map{"add": []string{p.pick("a", "b", "c")}, "remove": []string{p.pick("a", "b", "c")}}
	case 3:
		i := p.IntN(2)
		path, body = c+"/assign", apitest.Map{"project_id": p.projects[i], "desk_id": []any{nil, p.desks[i]}[p.IntN(2)], "manager_id": nil}
	case 4:
		path, body = c+"/deactivate", apitest.Map{"reason": "gone"}
	case 5:
		path = c + "/reactivate"
	case 6:
		path, body = c+"/calls", apitest.Map{"direction": "outbound", "number": "555-0100", "outcome": "answered", "at": p.u.Clock.Now().Add(-time.Duration(p.IntN(100)) * time.Hour).UTC().Format(time.RFC3339)}
	case 7:
		method, path, body = http.MethodPut, c+"/portal-access", apitest.Map{"access": []any{true, false, nil}[p.IntN(3)]}
	case 8:
		method, body = http.MethodPatch, apitest.Map{"address": apitest.Map{"city": p.pick("Ulm", "Köln", ""), "country": p.pick("Spain", "Germany")}, "consents": apitest.Map{"email": apitest.Map{"granted": p.IntN(2) == 0}}}
	}
	if r := p.u.Do(p.t, method, path, body); r.Status >= 500 || r.Status == 404 || r.Status == 405 {
		p.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
	} else if at := r.Header.Get("Annals-Position"); at != "" && r.Status < 300 {
		(&working{u: p.u}).after(at)
	}
}

// list draws a list to ask for.
func (p *pastWorld) list() string {
	sort := p.pick(`"name"`, `"-created_at"`, `"status", "-name"`, `"address.city"`, `"-last_contacted_at"`, `"desk", "email"`, `"updated_at"`, `"-meta.fair"`)
	filter := p.pick("", "", `"filter": {"field": "status", "op": "is", "value": "active"},`, `"filter": {"field": "tags", "op": "has_any", "value": ["a", "b"]},`,
		`"filter": {"field": "desk", "op": "is", "value": "`+p.desks[0]+`"},`, `"filter": {"not": {"field": "address.city", "op": "contains", "value": "o"}},`,
		`"filter": {"field": "active", "op": "is", "value": false},`, `"q": "nunez",`, `"q": "b@exam",`)
	return fmt.Sprintf(`{%s "sort": [%s], "limit": 500, "facets": ["status", "tags", "desk"], "fields": %s`, filter, sort, pastFields)
}

// items is what a list holds, as of a moment or now.
func (p *pastWorld) items(body, at string) []byte {
	p.t.Helper()
	if at != "" {
		body += `, "as_of": "` + at + `"`
	}
	r := p.u.Do(p.t, http.MethodPost, "/api/v1/clients/query", apitest.Raw(body+"}"), "Annals-After", p.u.After).Want(p.t, 200)
	var page struct {
		Items  []json.RawMessage `json:"items"`
		Total  json.RawMessage   `json:"total"`
		Facets json.RawMessage   `json:"facets"`
	}
	if err := json.Unmarshal(r.Body, &page); err != nil {
		p.t.Fatal(err)
	}
	var lines strings.Builder
	for _, item := range page.Items {
		fmt.Fprintf(&lines, "%s\n", item)
	}
	fmt.Fprintf(&lines, "%s\n%s\n", page.Total, page.Facets)
	return []byte(lines.String())
}
