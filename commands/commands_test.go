package commands_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

// receipt holds an answer to a command against all that it promises.
func receipt(t *testing.T, r *apitest.Response, status int, revision string) string {
	t.Helper()
	r.Want(t, status)
	if _, err := uuid.Parse(r.Text("id")); err != nil {
		t.Fatalf("%s: id: %v", r.Request, err)
	}
	if got := r.Text("revision"); got != revision {
		t.Fatalf("%s: revision %s, want %s", r.Request, got, revision)
	}
	if got := r.Header.Get("ETag"); got != strconv.Quote(revision) {
		t.Fatalf("%s: ETag %s of revision %s", r.Request, got, revision)
	}
	if r.Text("position") == "" || r.Header.Get("Annals-Position") != r.Text("position") {
		t.Fatalf("%s: Annals-Position %q, position %q", r.Request, r.Header.Get("Annals-Position"), r.Text("position"))
	}
	if r.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%s is a replay", r.Request)
	}
	return r.Text("id")
}

func created(t *testing.T, u *apitest.User, path string, body Map) string {
	t.Helper()
	r := u.Post(t, path, body)
	id := receipt(t, r, 201, "0")
	if got := r.Header.Get("Location"); got != path+"/"+id {
		t.Fatalf("Location %q of %s", got, id)
	}
	record := u.Get(t, r.Header.Get("Location")).Want(t, 200)
	if record.Text("id") != id || record.Text("revision") != "0" || record.Header.Get("ETag") != `"0"` {
		t.Fatalf("the record of %s: %s", id, record.Body)
	}
	return id
}

func TestCommands(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := created(t, a, "/api/v1/projects", Map{"name": " Harbour  North "})
	record := a.Get(t, "/api/v1/projects/"+project)
	if record.Text("name") != "Harbour North" || record.Text("default_desk_id") == "" || record.Text("created_at") == "" {
		t.Errorf("project: %s", record.Body)
	}
	standard := a.Get(t, "/api/v1/desks/"+record.Text("default_desk_id")).Want(t, 200)
	if standard.At("default") != true || standard.Text("project.id") != project || standard.Text("project.name") != "Harbour North" {
		t.Errorf("default desk: %s", standard.Body)
	}
	desk := created(t, a, "/api/v1/desks", Map{"project_id": project, "name": "Sales"})
	employee := created(t, a, "/api/v1/employees", Map{"name": "Mira", "email": "Mira." + project[:8] + "@Example.com", "password": apitest.Password, "roles": []string{"agent"}})
	receipt(t, a.Post(t, "/api/v1/employees/"+employee+"/assign", Map{"projects": []string{project}, "desks": []string{desk}}), 200, "1")
	record = a.Get(t, "/api/v1/employees/"+employee)
	if record.Text("projects.0") != project || record.Text("desks.0") != desk || record.Text("roles.0") != "agent" || record.At("password") != nil {
		t.Errorf("employee: %s", record.Body)
	}
	address := Map{"street": "1 Quay St", "city": "Varna", "region": "Varna", "postal_code": "9000", "country": "Bulgaria"}
	client := created(t, a, "/api/v1/clients", Map{
		"type": "person", "first_name": "Elena", "middle_name": "M.", "last_name": "Petrova", "company": "Petrova Marine", "email": "elena@petrova.example",
		"phone": "+359 2 555 0142", "website": "petrova.example", "address": address,
		"project_id": project, "desk_id": desk, "manager_id": employee, "status": "active", "tags": []string{"vip", "fair", "vip"},
	})
	record = a.Get(t, "/api/v1/clients/"+client)
	for path, want := range map[string]string{
		"type": "person", "name": "Elena M. Petrova", "first_name": "Elena", "middle_name": "M.", "last_name": "Petrova", "company": "Petrova Marine",
		"email": "elena@petrova.example", "phone": "+359 2 555 0142", "website": "petrova.example", "address.street": "1 Quay St",
		"address.city": "Varna", "address.region": "Varna", "address.postal_code": "9000", "address.country": "Bulgaria", "status": "active",
		"project.id": project, "project.name": "Harbour North", "desk.id": desk, "desk.name": "Sales", "manager.id": employee,
		"manager.name": "Mira", "tags": "[fair vip]", "active": "true", "deactivated_at": "",
	} {
		if got := record.Text(path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	at := "/api/v1/clients/" + client
	receipt(t, a.Patch(t, at, Map{"email": "e@petrova.example"}), 200, "1")
	receipt(t, a.Post(t, at+"/assign", Map{"desk_id": nil, "reason": "closing the desk"}), 200, "2")
	receipt(t, a.Post(t, at+"/retag", Map{"add": []string{"new"}, "remove": []string{"fair"}}), 200, "3")
	receipt(t, a.Post(t, at+"/status", Map{"status": "inactive"}), 200, "4")
	receipt(t, a.Post(t, at+"/deactivate", Map{"reason": "closed"}), 200, "5")
	record = a.Get(t, at)
	if record.At("active") != false || record.Text("deactivated_at") == "" || record.Text("deactivation_reason") != "closed" || record.Text("last_name") != "Petrova" {
		t.Errorf("deactivated: %s", record.Body)
	}
	a.Patch(t, at, Map{"email": "x@y.example"}).Problem(t, 409, "client.deactivated")
	receipt(t, a.Post(t, at+"/reactivate", nil), 200, "6")
	record = a.Get(t, at)
	if record.At("active") != true || record.At("desk") != nil || record.Text("manager.id") != employee || record.Text("tags") != "[new vip]" || record.Text("status") != "inactive" || record.Text("revision") != "6" {
		t.Errorf("in the end: %s", record.Body)
	}
	if history := a.Get(t, at+"/history").Want(t, 200); len(history.List("items")) != 7 {
		t.Errorf("history: %s", history.Body)
	}
}

func TestNoops(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Quiet")
	c := a.Client(t, p, "Still", Map{"tags": []string{"a"}, "email": "still@example.com"})
	at := "/api/v1/clients/" + c
	first := a.Get(t, at)
	for name, do := range map[string]func() *apitest.Response{
		"status": func() *apitest.Response { return a.Post(t, at+"/status", Map{"status": "lead"}) },
		"retag": func() *apitest.Response {
			return a.Post(t, at+"/retag", Map{"add": []string{"a"}, "remove": []string{"b"}})
		},
		"empty tags": func() *apitest.Response { return a.Post(t, at+"/retag", Map{}) },
		"assign":     func() *apitest.Response { return a.Post(t, at+"/assign", Map{"project_id": p, "desk_id": nil}) },
		"nothing":    func() *apitest.Response { return a.Post(t, at+"/assign", Map{}) },
		"edit":       func() *apitest.Response { return a.Patch(t, at, Map{"email": " still@example.com "}) },
		"no edit":    func() *apitest.Response { return a.Patch(t, at, Map{}) },
		"reactivate": func() *apitest.Response { return a.Post(t, at+"/reactivate", nil) },
	} {
		r := do()
		receipt(t, r, 200, "0")
		if r.Text("id") != c {
			t.Errorf("%s: id %s", name, r.Text("id"))
		}
	}
	if again := a.Get(t, at); again.Text("updated_at") != first.Text("updated_at") || again.Text("revision") != "0" {
		t.Errorf("was %s\nis %s", first.Body, again.Body)
	}
}

func TestPatch(t *testing.T) {
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Patches")
	fresh := func(t *testing.T) string {
		t.Helper()
		return "/api/v1/clients/" + a.Client(t, p, "Núñez", Map{"first_name": "José", "email": "j@n.example", "phone": "555 0101", "address": Map{"city": "Vigo", "country": "Spain"}})
	}
	for name, c := range map[string]struct {
		patch Map
		want  map[string]string
	}{
		"one field":               {Map{"first_name": "Pepe"}, map[string]string{"first_name": "Pepe", "last_name": "Núñez", "name": "Pepe Núñez"}},
		"null empties":            {Map{"phone": nil}, map[string]string{"phone": "", "email": "j@n.example"}},
		"empty text empties":      {Map{"phone": ""}, map[string]string{"phone": ""}},
		"inside another":          {Map{"address": Map{"city": "Lugo"}}, map[string]string{"address.city": "Lugo", "address.country": "Spain"}},
		"null inside another":     {Map{"address": Map{"city": nil}}, map[string]string{"address.city": "", "address.country": "Spain"}},
		"null for all of another": {Map{"address": nil}, map[string]string{"address.city": "", "address.country": ""}},
		"white space":             {Map{"company": "  A \t B "}, map[string]string{"company": "A B"}},
		"type":                    {Map{"type": "company", "company": "Núñez SL"}, map[string]string{"type": "company", "name": "Núñez SL", "last_name": "Núñez"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := fresh(t)
			for _, mediaType := range []string{"application/json", "application/merge-patch+json", ""} {
				a.Patch(t, at, c.patch, "Content-Type", mediaType).Want(t, 200)
			}
			r := a.Get(t, at)
			for path, want := range c.want {
				if got := r.Text(path); got != want {
					t.Errorf("%s = %q, want %q", path, got, want)
				}
			}
			if r.Text("revision") != "1" {
				t.Errorf("revision %s after the same patch three times", r.Text("revision"))
			}
		})
	}
	at := fresh(t)
	for name, c := range map[string]struct {
		patch  any
		fields []string
	}{
		"unknown field":       {Map{"nickname": "x"}, []string{"nickname"}},
		"field of a command":  {Map{"status": "active", "project_id": p, "tags": []string{}}, []string{"status", "project_id", "tags"}},
		"another case":        {Map{"Email": "x@example.com"}, []string{"Email"}},
		"unknown inner field": {Map{"address": Map{"planet": "Mars"}}, []string{"address.planet"}},
		"dotted field":        {Map{"address.city": "x"}, []string{"address.city"}},
		"number for a text":   {Map{"first_name": 5}, []string{"first_name"}},
		"object for a text":   {Map{"first_name": Map{}}, []string{"first_name"}},
		"text for an object":  {Map{"address": "Vigo"}, []string{"address"}},
		"list for an object":  {Map{"address": []string{}}, []string{"address"}},
		"bad e-mail":          {Map{"email": "not an address"}, []string{"email"}},
		"bad website":         {Map{"website": "javascript:alert(1)"}, []string{"website"}},
		"bad phone":           {Map{"phone": "call me"}, []string{"phone"}},
		"unknown type":        {Map{"type": "robot"}, []string{"type"}},
		"no name left":        {Map{"first_name": nil, "last_name": nil}, []string{"last_name"}},
		"company of no name":  {Map{"type": "company"}, []string{"company"}},
		"several at once":     {Map{"email": "x", "address": Map{"planet": 1, "city": 2}}, []string{"address.planet", "address.city"}},
		"a list":              {[]string{"first_name"}, []string{"body"}},
		"null":                {Raw("null"), []string{"body"}},
		"a text":              {"first_name", []string{"body"}},
		"control characters":  {Map{"first_name": "a\u0000b"}, []string{"first_name"}},
		"too long":            {Map{"address": Map{"city": fmt.Sprintf("%0101d", 1)}}, []string{"address.city"}},
	} {
		t.Run(name, func(t *testing.T) {
			a.Patch(t, at, c.patch).Problem(t, 422, "invalid", c.fields...)
		})
	}
	if r := a.Get(t, at); r.Text("revision") != "0" {
		t.Errorf("a refused patch changed something: %s", r.Body)
	}
}

func TestAssign(t *testing.T) {
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "From"), a.Project(t, "To")
	d, other := a.Desk(t, p, "Sales"), a.Desk(t, q, "Care")
	m := a.Employee(t, "Manager", []string{p, q}, []string{d}).ID
	at := "/api/v1/clients/" + a.Client(t, p, "Moving", Map{"desk_id": d, "manager_id": m}) + "/assign"
	alone := "/api/v1/clients/" + a.Client(t, p, "Unmanaged", Map{"desk_id": d}) + "/assign"
	unknown := uuid.NewString()
	for name, c := range map[string]struct {
		body  Map
		field string
	}{
		"no such project":             {Map{"project_id": unknown}, "project_id"},
		"no project":                  {Map{"project_id": nil}, "project_id"},
		"no such desk":                {Map{"desk_id": unknown}, "desk_id"},
		"no such manager":             {Map{"manager_id": unknown}, "manager_id"},
		"desk of another project":     {Map{"desk_id": other}, "desk_id"},
		"desk stays behind":           {Map{"project_id": q}, "desk_id"},
		"manager not on the desk":     {Map{"project_id": q, "desk_id": other}, "manager_id"},
		"no id":                       {Map{"desk_id": "sales"}, "desk_id"},
		"a number":                    {Map{"desk_id": 5}, "desk_id"},
		"unknown field":               {Map{"desk": d}, "desk"},
		"an employee is no desk":      {Map{"desk_id": m}, "desk_id"},
		"control character in reason": {Map{"desk_id": nil, "reason": "a\u0000"}, "reason"},
	} {
		t.Run(name, func(t *testing.T) {
			path := alone
			if c.field == "manager_id" {
				path = at
			}
			a.Post(t, path, c.body).Problem(t, 422, "invalid", c.field)
		})
	}
	for i, c := range []struct {
		body                   Map
		project, desk, manager string
	}{
		{Map{"desk_id": nil}, p, "", m},
		{Map{"desk_id": d}, p, d, m},
		{Map{"manager_id": nil}, p, d, ""},
		{Map{"project_id": q, "desk_id": other, "reason": "moved away"}, q, other, ""},
		{Map{"desk_id": nil, "manager_id": m}, q, "", m},
		{Map{"project_id": p, "desk_id": d, "manager_id": m}, p, d, m},
	} {
		receipt(t, a.Post(t, at, c.body), 200, strconv.Itoa(i+1))
		r := a.Get(t, at[:len(at)-len("/assign")])
		if r.Text("project.id") != c.project || r.Text("desk.id") != c.desk || r.Text("manager.id") != c.manager {
			t.Errorf("%v: %s", c.body, r.Body)
		}
	}
	history := a.Get(t, at[:len(at)-len("/assign")]+"/history")
	if got := history.Text("items.4.reason"); got != "moved away" {
		t.Errorf("reason %q: %s", got, history.Body)
	}
}
