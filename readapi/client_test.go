package readapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/internal/apitest"
)

// TestRecord: what is known about a client is answered as it was given, put together in
// the ways in which it can be given.
func TestRecord(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "The record")
	address := func(city string) Map {
		return Map{"street": "1 Quay St", "city": city, "region": "", "postal_code": "9000", "country": "Bulgaria", "country_code": "BG"}
	}
	id := a.Create(t, "/api/v1/clients", Map{
		"title": "Dr.", "first_name": "Elena", "last_name": "Petrova", "display_name": "Elena P.", "job_title": "Owner", "gender": "Female", "date_of_birth": "1984-02-29",
		"language": "bg", "time_zone": "Europe/Sofia", "website": "petrova.example", "project_id": project,
		"emails":      []Map{{"email": "elena@home.example", "kind": "home"}, {"email": "elena@petrova.example", "kind": "work", "primary": true}},
		"phones":      []Map{{"number": "02 981 0142", "kind": "work", "country": "BG"}, {"number": "12 34", "kind": "mobile"}},
		"addresses":   Map{"home": address("Varna"), "work": address("Burgas"), "billing": address("Sofia")},
		"billing":     Map{"legal_name": "Petrova Marine EOOD", "tax_id": "1", "vat_id": "BG 123456789", "iban": "bg80 bnbg 9661 1020 3456 78", "currency": "eur", "payment_terms": "030"},
		"affiliation": Map{"affiliate_id": "A-77", "source": "fair", "campaign": "spring", "referrer": "Ole"}, "external_ids": Map{"erp": "C-1042"},
		"consents": Map{"phone": Map{"granted": false, "at": "2026-01-02T03:04:05Z", "source": "call"}}, "meta": Map{"fair.2026": "Hamburg"},
	})
	record := a.Get(t, "/api/v1/clients/"+id).Want(t, 200)
	for path, want := range map[string]any{
		"name": "Elena P.", "title": "Dr.", "display_name": "Elena P.", "job_title": "Owner", "gender": "female", "date_of_birth": "1984-02-29", "language": "bg", "time_zone": "Europe/Sofia",
		"email": "elena@petrova.example", "email_kind": "work", "other_emails": []any{Map{"email": "elena@home.example", "kind": "home"}},
		"emails": []any{Map{"email": "elena@petrova.example", "kind": "work", "primary": true}, Map{"email": "elena@home.example", "kind": "home", "primary": false}},
		"phone":  "02 981 0142", "phone_kind": "work", "phone_country": "BG", "phone_e164": "+35929810142",
		"other_phones": []any{Map{"number": "12 34", "kind": "mobile", "country": "", "e164": ""}},
		"phones": []any{
			Map{"number": "02 981 0142", "kind": "work", "country": "BG", "e164": "+35929810142", "primary": true}, Map{"number": "12 34", "kind": "mobile", "country": "", "e164": "", "primary": false},
		},
		"address": address("Varna"), "work_address": address("Burgas"), "billing_address": address("Sofia"),
		"addresses":   Map{"home": address("Varna"), "work": address("Burgas"), "billing": address("Sofia")},
		"billing":     Map{"legal_name": "Petrova Marine EOOD", "tax_id": "1", "vat_id": "BG123456789", "iban": "BG80BNBG96611020345678", "currency": "EUR", "payment_terms": "30"},
		"affiliation": Map{"affiliate_id": "A-77", "source": "fair", "campaign": "spring", "referrer": "Ole"}, "external_ids": Map{"erp": "C-1042"},
		"consents": Map{"phone": Map{"granted": false, "at": "2026-01-02T03:04:05Z", "source": "call"}}, "meta": Map{"fair.2026": "Hamburg"}, "custom": Map{},
		"portal": Map{"access": false, "override": false, "last_sign_in_at": nil}, "last_contacted_at": nil, "warnings": []any{}, "status": "lead",
	} {
		if diff := cmp.Diff(want, record.At(path)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	if record.Text("status_changed_at") != record.Text("created_at") {
		t.Errorf("the status is of %s, the client of %s", record.Text("status_changed_at"), record.Text("created_at"))
	}
	for _, q := range []string{"elena p.", "home.example", "+359 2 981 0142", "35929810142", "1234"} {
		if found := a.Get(t, "/api/v1/clients?project="+project+"&q="+url.QueryEscape(q)).Want(t, 200).Column("id"); !slices.Contains(found, id) {
			t.Errorf("not found by %q", q)
		}
	}

	// It can be sent back as it was answered, and nothing changes.
	again := Map{}
	for _, field := range []string{"title", "emails", "other_emails", "phones", "phone_e164", "address", "addresses", "billing", "consents", "meta", "custom", "external_ids", "date_of_birth"} {
		again[field] = record.At(field)
	}
	if r := a.Patch(t, "/api/v1/clients/"+id, again).Want(t, 200); r.Text("revision") != "0" {
		t.Errorf("sent back, it is another: %s", a.Get(t, "/api/v1/clients/"+id+"/history").Body)
	}
	a.Patch(t, "/api/v1/clients/"+id, Map{"emails": nil, "meta": Map{"fair.2026": nil, "stand": "B7"}, "addresses": Map{"work": nil}}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+id+"/status", Map{"status": "active", "reason": "signed"}).Want(t, 200)
	a.Do(t, "PUT", "/api/v1/clients/"+id+"/portal-access", Map{"access": "granted"}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+id+"/portal-sign-in", Map{"at": "2026-01-02T03:04:05Z"}).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+id+"/calls", Map{"direction": "inbound", "number": "02 981 0142", "outcome": "answered", "at": "2026-01-03T00:00:00Z"}).Want(t, 201)
	record = a.Get(t, "/api/v1/clients/"+id).Want(t, 200)
	for path, want := range map[string]any{
		"email": "", "emails": []any{}, "other_emails": []any{}, "meta": Map{"stand": "B7"}, "status": "active", "status_reason": "signed",
		"portal": Map{"access": true, "override": true, "last_sign_in_at": "2026-01-02T03:04:05Z"}, "last_contacted_at": "2026-01-03T00:00:00Z",
	} {
		if diff := cmp.Diff(want, record.At(path)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	if city := record.Text("work_address.city") + record.Text("addresses.work.country_code"); city != "" {
		t.Errorf("still works at %s", city)
	}
	if got := a.Get(t, "/api/v1/clients?project="+project).Text("items.0.last_contacted_at"); got != "2026-01-03T00:00:00Z" {
		t.Errorf("last contacted, in the list: %q", got)
	}
}

// TestSameValue: a value that should be another for each client is warned of, with those
// that one sees.
func TestSameValue(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "One value each"), a.Project(t, "Of others")
	for _, key := range []string{"number", "colour"} {
		a.Post(t, "/api/v1/custom-fields", Map{"project_id": project, "key": key, "label": key, "type": "text", "unique": key == "number"}).Want(t, 201)
	}
	a.Post(t, "/api/v1/custom-fields", Map{"project_id": other, "key": "number", "label": "Number", "type": "text"}).Want(t, 201)
	register := func(project, number string) string {
		return a.Client(t, project, "Lee", Map{"custom": Map{"number": number}})
	}
	one, two, three := register(project, "N-1"), register(project, "N-1"), register(other, "N-1")
	register(project, "N-2")
	agent := a.Employee(t, "Ole", []string{project}, nil)
	warned := func(u *apitest.User, id string, want ...string) {
		t.Helper()
		r := u.Get(t, "/api/v1/clients/"+id).Want(t, 200)
		got := []string{}
		for i, w := range r.List("warnings") {
			if w.(Map)["field"] != "custom.number" || w.(Map)["code"] != "not_unique" {
				t.Errorf("warned of %v", w)
			}
			for j := range r.List(fmt.Sprintf("warnings.%d.clients", i)) {
				got = append(got, r.Text(fmt.Sprintf("warnings.%d.clients.%d", i, j)))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is warned of %v, want %v", id, got, want)
		}
	}
	warned(a, one, two, three)
	warned(a, three)
	a.Patch(t, "/api/v1/clients/"+three, Map{"custom": Map{"number": "N-3"}}).Want(t, 200)
	warned(a, one, two)
	a.Post(t, "/api/v1/clients/"+one+"/assign", Map{"manager_id": agent.ID}).Want(t, 200)
	agent.After = a.After
	warned(agent, one) // an agent sees their own without a desk
	a.Patch(t, "/api/v1/clients/"+two, Map{"custom": nil}).Want(t, 200)
	warned(a, one)
}
