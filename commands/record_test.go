package commands_test

import (
	"testing"

	"annals/internal/apitest"
)

// everything is all that a client's record can be given at once.
func everything(project string) Map {
	place := func(city string) Map {
		return Map{"street": "1 Quay St", "city": city, "region": "x", "postal_code": "9000", "country_code": "bg"}
	}
	return Map{
		"type": "person", "title": "Dr.", "first_name": "Elena", "middle_name": "M.", "last_name": "Petrova", "display_name": "Elena P.", "company": "Petrova Marine",
		"job_title": "Owner", "gender": "Female", "date_of_birth": "1984-02-29", "language": "bg", "time_zone": "Europe/Sofia",
		"emails":    []Map{{"email": "elena@home.example", "kind": "home"}, {"email": "elena@petrova.example", "kind": "work", "primary": true}},
		"phones":    []Map{{"number": "02 981 0142", "kind": "work", "country": "BG"}, {"number": "+49 30 901820", "kind": "mobile"}},
		"addresses": Map{"home": place("Varna"), "work": place("Burgas"), "billing": place("Sofia")}, "website": "petrova.example",
		"billing":     Map{"legal_name": "Petrova Marine EOOD", "tax_id": "123456789", "vat_id": "BG 123456789", "iban": "bg80 bnbg 9661 1020 3456 78", "currency": "eur", "payment_terms": "30"},
		"affiliation": Map{"affiliate_id": "A-77", "source": "fair", "campaign": "spring", "referrer": "Ole"}, "external_ids": Map{"erp": "C-1042"},
		"consents": Map{"email": Map{"granted": true, "source": "form"}, "phone": Map{"granted": false, "at": "2026-01-02T03:04:05Z"}}, "meta": Map{"fair": "Hamburg"},
		"project_id": project,
	}
}

// TestRecord: all that there is to know about a client goes in, and every fault of it is
// told, by the name that was used.
func TestRecord(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Record")
	id := receipt(t, a.Post(t, "/api/v1/clients", everything(project)), 201, "0")
	a.Get(t, "/api/v1/clients/"+id+"/replay").Want(t, 200)
	a.Post(t, "/api/v1/clients", Map{
		"last_name": "Lee", "project_id": project, "emails": []Map{{"email": "a@example.com"}, {"email": "x"}}, "phones": []Map{{"number": "12 34", "country": "DE"}},
		"addresses": Map{"billing": Map{"country_code": "XX"}}, "billing": Map{"iban": "DE1", "vat_id": "DE1", "currency": "?", "payment_terms": "soon"},
		"language": "?", "time_zone": "Mars", "date_of_birth": "tomorrow", "external_ids": Map{"": "x"}, "consents": Map{"pigeon": Map{"granted": true}},
	}).Problem(t, 422, "invalid", "language", "time_zone", "date_of_birth", "emails[1].email", "phones[0].number", "addresses.billing.country_code",
		"billing.iban", "billing.vat_id", "billing.currency", "billing.payment_terms", "external_ids.", "consents.pigeon")
	edit := func(body Map, status int, revision string) {
		t.Helper()
		r := a.Patch(t, "/api/v1/clients/"+id, body).Want(t, status)
		if got := r.Text("revision"); got != revision {
			t.Fatalf("%s: revision %s, want %s", r.Request, got, revision)
		}
	}
	again := everything(project)
	delete(again, "project_id")
	edit(again, 200, "0") // as it is
	edit(Map{"emails": []Map{{"email": "elena@petrova.example", "kind": "work"}}, "meta": Map{"fair": nil, "stand": "B7"}, "billing": nil}, 200, "1")
	edit(Map{"consents": Map{"email": Map{"granted": false}}}, 200, "2")
	a.Patch(t, "/api/v1/clients/"+id, Map{"emails": []Map{{"email": "b@example.com"}}, "email": "c@example.com"}).Problem(t, 422, "invalid", "emails[0].email")
}

// TestCollisions: of two people who change what they have both seen, the second is told
// which fields the first has changed; where they do not ask, changes of different fields
// both stand.
func TestCollisions(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Collisions")
	id := a.Client(t, project, "Petrova")
	path := "/api/v1/clients/" + id
	seen := a.Get(t, path).Header.Get("ETag")
	a.Patch(t, path, Map{"email": "a@example.com", "address": Map{"city": "Varna"}, "meta": Map{"k": "1"}}, "If-Match", seen).Want(t, 200)
	a.Patch(t, path, Map{"email": "b@example.com", "phone": "1234", "address": Map{"city": "Sofia", "street": "x"}, "meta": Map{"k": "2", "l": "3"}}, "If-Match", seen).
		Problem(t, 412, "revision", "address.city", "email", "meta.k")
	a.Patch(t, path, Map{"phone": "1234"}, "If-Match", seen).Problem(t, 412, "revision")
	a.Post(t, path+"/status", Map{"status": "active"}, "If-Match", seen).Problem(t, 412, "revision")
	a.Post(t, path+"/status", Map{"status": "active", "reason": "signed"}).Want(t, 200)
	a.Post(t, path+"/status", Map{"status": "inactive"}, "If-Match", seen).Problem(t, 412, "revision", "status")
	if r := a.Patch(t, path, Map{"email": "b@example.com"}, "If-Match", `"999"`).Problem(t, 412, "revision"); r.At("errors") != nil {
		t.Errorf("somebody has changed what has not happened yet: %s", r.Body)
	}
	a.Patch(t, path, Map{"phone": "1234"}).Want(t, 200)
	a.Patch(t, path, Map{"website": "example.com"}).Want(t, 200)
	record := a.Get(t, path)
	for field, want := range map[string]string{"email": "a@example.com", "phone": "1234", "website": "example.com", "address.city": "Varna", "status": "active"} {
		if got := record.Text(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	// Who may not see the client is told nothing of what has changed.
	s.Admin(t).Employee(t, "Ole", nil, nil).Patch(t, path, Map{"email": "b@example.com"}, "If-Match", seen).Problem(t, 404, "client.absent")
}

func TestPortal(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	id := a.Client(t, a.Project(t, "Portal"), "Petrova")
	path := "/api/v1/clients/" + id
	put := func(body Map, headers ...string) *apitest.Response {
		t.Helper()
		return a.Do(t, "PUT", path+"/portal-access", body, headers...)
	}
	put(Map{"access": "open"}).Problem(t, 422, "invalid", "access")
	put(Map{}).Problem(t, 422, "invalid", "access")
	put(Map{"access": "granted", "reason": "asked for it"}).Want(t, 200)
	first := put(Map{"access": "granted"}).Want(t, 200).Text("revision")
	a.Post(t, path+"/portal-sign-in", Map{"at": "2026-01-02T03:04:05Z"}).Want(t, 200)
	a.Post(t, path+"/portal-sign-in", Map{}).Want(t, 200)
	late := a.Post(t, path+"/portal-sign-in", Map{"at": "2026-01-02T03:04:05Z"}).Want(t, 200)
	put(Map{"access": "revoked"}, "If-Match", `"`+first+`"`).Problem(t, 412, "revision")
	put(Map{"access": "automatic"}).Want(t, 200)
	a.Post(t, path+"/portal-sign-in", Map{"at": "2999-01-01T00:00:00Z"}).Problem(t, 422, "invalid", "at")
	if late.Text("revision") == first {
		t.Errorf("signing in left no trace: revision %s", first)
	}
	a.Post(t, path+"/deactivate", Map{"reason": "x"}).Want(t, 200)
	put(Map{"access": "granted"}).Problem(t, 409, "client.deactivated")
}
