package commands_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Locked")
	c := a.Client(t, p, "Locked")
	public := map[string]bool{"POST /api/v1/session": true, "POST /api/v1/password-resets": true, "POST /api/v1/password-resets/confirm": true, "GET /api/v1/events/schemas/{name}": true}
	checked := 0
	for _, line := range routes(t, s.Router) {
		method, path, _ := strings.Cut(strings.Fields(line)[0]+" "+strings.Fields(line)[1], " ")
		if public[method+" "+path] || !strings.HasPrefix(path, "/api/v1/") {
			continue
		}
		checked++
		path = strings.Replace(path, "{id}", c, 1)
		for _, header := range []string{"", "Bearer", "Bearer ", "Bearer x", "Bearer annals_s_" + strings.Repeat("A", 43), "Basic YTpi", "bearer null", "Token " + a.Token, a.Token} {
			// Whatever else is wrong with the request.
			r := (&apitest.User{System: s}).Do(t, method, path+"?surprise=1", Raw("{"), "Authorization", header, "If-Match", "x")
			r.Want(t, 401)
			if r.Header.Get("Www-Authenticate") == "" || len(r.List("errors")) > 0 {
				t.Errorf("%s: %v %s", r.Request, r.Header, r.Body)
			}
		}
	}
	if checked < 20 {
		t.Errorf("%d operations were checked", checked)
	}
	for _, scheme := range []string{"bearer ", "BEARER ", "Bearer   "} {
		(&apitest.User{System: s}).Do(t, "GET", "/api/v1/me", nil, "Authorization", scheme+a.Token).Want(t, 200)
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Admins only")
	e := a.Employee(t, "Plain", []string{p}, nil)
	all := Map{"name": "x", "email": "x@y.example", "roles": []string{"admin"}, "projects": []string{p}, "project_id": p}
	for _, op := range []string{"/api/v1/projects", "/api/v1/desks", "/api/v1/employees", "/api/v1/roles"} {
		e.Do(t, "POST", op, Raw("{")).Problem(t, 403, "forbidden")
		e.Do(t, "POST", op, all).Problem(t, 403, "forbidden")
	}
	// Of whom they see: they may not; whom they do not see, there is not.
	mate := a.Employee(t, "Mate", []string{p}, nil)
	for _, x := range []struct {
		method, path string
		body         any
	}{
		{"PATCH", "", Map{"name": "x"}},
		{"POST", "/assign", Map{"projects": []string{p}}},
		{"POST", "/roles", Map{"roles": []string{"agent"}}},
		{"POST", "/deactivate", nil},
		{"POST", "/reactivate", nil},
		{"DELETE", "/second-factor", nil},
	} {
		for _, id := range []string{e.ID, mate.ID} {
			e.Do(t, x.method, "/api/v1/employees/"+id+x.path, x.body).Problem(t, 403, "forbidden")
		}
		for _, id := range []string{a.ID, uuid.NewString()} {
			e.Do(t, x.method, "/api/v1/employees/"+id+x.path, x.body).Problem(t, 404, "employee.absent")
		}
	}
}

// cast is who and what the tests of visibility are about.
type cast struct {
	admin                       *apitest.User
	north, south, sales, care   string
	inNorth, onSales, elsewhere *apitest.User // of all the project; of its desk; of the other one
	nobody                      *apitest.User
	noDesk, onTheDesk, onCare   string // clients of north
}

func newCast(t *testing.T, s *apitest.System) *cast {
	t.Helper()
	a := s.Admin(t)
	c := &cast{admin: a, north: a.Project(t, "North"), south: a.Project(t, "South")}
	c.sales, c.care = a.Desk(t, c.north, "Sales"), a.Desk(t, c.north, "Care")
	c.inNorth = a.EmployeeAs(t, "In North", []string{"project_admin"}, []string{c.north}, nil)
	c.onSales = a.EmployeeAs(t, "On Sales", []string{"desk_manager"}, []string{c.north}, []string{c.sales})
	c.elsewhere = a.EmployeeAs(t, "Else Where", []string{"project_admin"}, []string{c.south}, nil)
	c.nobody = a.EmployeeAs(t, "No Body", []string{"desk_manager"}, nil, nil)
	c.noDesk = a.Client(t, c.north, "Nodesk", Map{"tags": []string{c.north[:8]}})
	c.onTheDesk = a.Client(t, c.north, "Ondesk", Map{"desk_id": c.sales})
	c.onCare = a.Client(t, c.north, "Oncare", Map{"desk_id": c.care})
	for _, u := range []*apitest.User{c.inNorth, c.onSales, c.elsewhere, c.nobody} {
		u.After = a.After
	}
	return c
}

// see checks that the user sees exactly these of the cast's clients, wherever a
// client shows.
func (c *cast) see(t *testing.T, u *apitest.User, want ...string) {
	t.Helper()
	sees := map[string]bool{}
	for _, id := range want {
		sees[id] = true
	}
	r := u.Get(t, "/api/v1/clients?project="+c.north+"&project="+c.south).Want(t, 200)
	got := r.Column("id")
	if len(got) != len(want) || r.At("total.count") != float64(len(want)) || r.At("total.exact") != true {
		t.Errorf("%s lists %v of %v, want %v", u.Email, got, r.At("total"), want)
	}
	for _, id := range got {
		if !sees[id] {
			t.Errorf("%s lists %s", u.Email, id)
		}
	}
	for _, id := range []string{c.noDesk, c.onTheDesk, c.onCare} {
		absent := uuid.NewString()
		for _, op := range []struct {
			method, path string
			body         any
		}{
			{"GET", "", nil},
			{"GET", "/history", nil},
			{"GET", "/replay", nil},
			{"PATCH", "", Map{}},
			{"PATCH", "", Map{"email": "not an address"}},
			{"POST", "/assign", Map{}},
			{"POST", "/assign", Map{"desk_id": uuid.NewString()}},
			{"POST", "/retag", Map{}},
			{"POST", "/status", Map{"status": "lead"}},
			{"POST", "/deactivate", Map{"reason": " "}},
			{"POST", "/reactivate", nil},
		} {
			r := u.Do(t, op.method, "/api/v1/clients/"+id+op.path, op.body)
			if (r.Status != 404) != sees[id] {
				t.Errorf("%s: %s: %d %s", u.Email, r.Request, r.Status, r.Body)
			}
			if sees[id] {
				continue
			}
			// What one may not see answers as what is not there, whatever else the request says.
			none := u.Do(t, op.method, "/api/v1/clients/"+absent+op.path, op.body)
			matching := u.Do(t, op.method, "/api/v1/clients/"+id+op.path, op.body, "If-Match", `"99"`)
			if string(r.Body) != string(none.Body) || r.Status != none.Status || (op.method != "GET" && string(matching.Body) != string(none.Body)) {
				t.Errorf("%s: %s\n%s\n%s\n%s", u.Email, r.Request, r.Body, none.Body, matching.Body)
			}
			for name := range r.Header {
				if none.Header.Get(name) == "" {
					t.Errorf("%s: %s: only what exists has the header %s", u.Email, r.Request, name)
				}
			}
		}
	}
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	c := newCast(t, s)
	c.see(t, c.admin, c.noDesk, c.onTheDesk, c.onCare)
	c.see(t, c.inNorth, c.noDesk, c.onTheDesk, c.onCare)
	c.see(t, c.onSales, c.onTheDesk)
	c.see(t, c.elsewhere)
	c.see(t, c.nobody)
	for _, u := range []*apitest.User{c.elsewhere, c.nobody} {
		if r := u.Get(t, "/api/v1/clients"); r.Text("total.count") != "0" || len(r.List("items")) != 0 {
			t.Errorf("%s: %s", u.Email, r.Body)
		}
		if r := u.Get(t, "/api/v1/clients?tag="+c.north[:8]+"&q=nodesk"); r.Text("total.count") != "0" {
			t.Errorf("%s: %s", u.Email, r.Body)
		}
	}
	// Making and moving clients is bounded in the same way.
	for _, u := range []*apitest.User{c.elsewhere, c.nobody} {
		u.Post(t, "/api/v1/clients", Map{"last_name": "x", "project_id": c.north}).Problem(t, 403, "not_assigned", "project_id")
		u.Post(t, "/api/v1/clients", Map{"last_name": "x", "project_id": uuid.NewString()}).Problem(t, 403, "not_assigned", "project_id")
	}
	c.onSales.Post(t, "/api/v1/clients", Map{"last_name": "x", "project_id": c.north, "desk_id": c.care}).Problem(t, 403, "not_assigned", "desk_id")
	c.onSales.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"desk_id": c.care}).Problem(t, 403, "not_assigned", "desk_id")
	c.onSales.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"project_id": c.south, "desk_id": nil}).Problem(t, 403, "not_assigned", "project_id")
	// The organisation: that of one's projects, and oneself.
	for _, x := range []struct {
		u                        *apitest.User
		projects, desks, workers int
	}{{c.onSales, 1, 3, 2}, {c.elsewhere, 1, 1, 1}, {c.nobody, 0, 0, 1}} {
		for path, want := range map[string]int{"projects": x.projects, "desks": x.desks, "employees": x.workers} {
			if r := x.u.Get(t, "/api/v1/"+path); len(r.List("items")) != want || r.At("total.count") != float64(want) {
				t.Errorf("%s sees %d %s: %s", x.u.Email, want, path, r.Body)
			}
		}
	}
	c.elsewhere.Get(t, "/api/v1/projects/"+c.north).Problem(t, 404, "project.absent")
	c.elsewhere.Get(t, "/api/v1/desks/"+c.sales).Problem(t, 404, "desk.absent")
	c.elsewhere.Get(t, "/api/v1/employees/"+c.inNorth.ID).Problem(t, 404, "employee.absent")
	c.nobody.Get(t, "/api/v1/employees/"+c.nobody.ID).Want(t, 200)
}

func TestVisibilityAtOnce(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	c := newCast(t, s)
	a := c.admin
	other := s.Again(t)
	for _, u := range []*apitest.User{c.nobody, c.nobody.At(other)} { // the session is open all the time
		wait := func() *apitest.User { u.After = a.After; return u }
		c.see(t, wait())
		a.Assign(t, u.ID, []string{c.north}, nil)
		c.see(t, wait())
		a.Assign(t, u.ID, []string{c.north}, []string{c.sales})
		c.see(t, wait(), c.onTheDesk)
		a.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"desk_id": c.care}).Want(t, 200)
		c.see(t, wait())
		a.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"desk_id": c.sales}).Want(t, 200)
		c.see(t, wait(), c.onTheDesk)
		a.Assign(t, u.ID, nil, nil)
		c.see(t, wait())
	}
	// Who moves a client out of their own sight gets the answer to doing so again, and no other.
	a.Assign(t, c.onSales.ID, []string{c.north, c.south}, []string{c.sales})
	moved := c.onSales.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"project_id": c.south, "desk_id": nil}, "Idempotency-Key", "away").Want(t, 200)
	a.Assign(t, c.onSales.ID, []string{c.north}, []string{c.sales})
	again(t, moved, c.onSales.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"project_id": c.south, "desk_id": nil}, "Idempotency-Key", "away"))
	c.onSales.Post(t, "/api/v1/clients/"+c.onTheDesk+"/assign", Map{"project_id": c.north}).Problem(t, 404, "client.absent")
}
