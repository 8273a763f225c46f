package commands_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/internal/apitest"
)

const employeesPath = "/api/v1/employees"

func address() string { return "some.body-" + uuid.NewString()[:8] + "@example.com" }

// signsIn says who an address signs in, without the work of a password; empty for nobody.
func signsIn(t *testing.T, s *apitest.System, email string) string {
	t.Helper()
	id, known, err := s.Auth.ByEmail(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	if !known {
		return ""
	}
	return id.String()
}

func clientNow(t *testing.T, s *apitest.System, id string) client.State {
	t.Helper()
	c, err := commands.Load[client.State](t.Context(), s.Commands.Store, domain.Ref{Category: domain.Client, ID: uuid.MustParse(id)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func employeeNow(t *testing.T, s *apitest.System, id string) employee.State {
	t.Helper()
	e, err := commands.Load[employee.State](t.Context(), s.Commands.Store, domain.Ref{Category: domain.Employee, ID: uuid.MustParse(id)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// managed checks that these clients have this manager, "" for none.
func managed(t *testing.T, s *apitest.System, manager string, clients ...string) {
	t.Helper()
	want := uuid.UUID{}
	if manager != "" {
		want = uuid.MustParse(manager)
	}
	for _, c := range clients {
		if got := clientNow(t, s, c).Assignment.ManagerID; got != want {
			t.Errorf("client %s is managed by %s, want %s", c, got, want)
		}
	}
}

func TestEditEmployee(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Edith", nil, nil)
	at, old, fresh := employeesPath+"/"+e.ID, e.Email, address()
	receipt(t, a.Patch(t, at, Map{"name": " Edith  Eagle "}), 200, "1")
	receipt(t, a.Patch(t, at, Map{"email": fresh}), 200, "2")
	if r := a.Get(t, at); r.Text("name") != "Edith Eagle" || r.Text("email") != fresh {
		t.Errorf("%s", r.Body)
	}
	if r := signIn(t, s, fresh, apitest.Password).Want(t, 200); r.Text("employee.id") != e.ID {
		t.Errorf("%s", r.Body)
	}
	signIn(t, s, old, apitest.Password).Problem(t, 401, "sign_in")
	e.Get(t, "/api/v1/me").Want(t, 200) // what was signed in stays so
	// Another case is the same address; the old one is anybody's.
	receipt(t, a.Patch(t, at, Map{"email": strings.ToUpper(fresh)}), 200, "3")
	receipt(t, a.Patch(t, at, Map{"email": strings.ToUpper(fresh), "name": "Edith Eagle"}), 200, "3")
	heir := a.Create(t, employeesPath, Map{"name": "Heir", "email": old})
	for _, taken := range []string{old, strings.ToUpper(old)} {
		a.Patch(t, at, Map{"email": taken, "name": "Robber"}).Problem(t, 409, "taken", "email")
	}
	for _, bad := range []any{"", "nobody", "a@b@c.example", strings.Repeat("a", 250) + "@example.com", nil} {
		a.Patch(t, at, Map{"email": bad}).Want(t, 422)
	}
	other := address()
	a.Patch(t, at, Map{"email": other}, "If-Match", `"0"`).Problem(t, 412, "revision")
	for email, want := range map[string]string{fresh: e.ID, old: heir, other: ""} {
		if got := signsIn(t, s, email); got != want {
			t.Errorf("%s signs in %q, want %q", email, got, want)
		}
	}
	receipt(t, a.Patch(t, at, Map{"email": other}, "If-Match", `"3"`), 200, "4")
	a.Post(t, at+"/deactivate", nil).Want(t, 200)
	a.Patch(t, at, Map{"email": address()}).Problem(t, 409, "employee.deactivated")
	a.Patch(t, employeesPath+"/"+uuid.NewString(), Map{"email": old}).Problem(t, 404, "employee.absent") // and not that it is taken
}

// TestEditRepeated: a request that comes again after others changes nothing.
func TestEditRepeated(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.Employee(t, "Twice", nil, nil)
	at, one, two := employeesPath+"/"+e.ID, address(), address()
	edit := func(u *apitest.User, key, email string) *apitest.Response {
		return u.Patch(t, at, Map{"email": email}, "Idempotency-Key", key)
	}
	nothing := edit(a, "nothing", e.Email).Want(t, 200)
	first := edit(a, "first", one).Want(t, 200)
	again(t, first, edit(a, "first", one))
	edit(a, "second", two).Want(t, 200)
	again(t, first, edit(a, "first", one))
	again(t, first, edit(a.At(s.Again(t)), "first", one))
	again(t, nothing, edit(a, "nothing", e.Email))
	edit(a, "first", two).Problem(t, 422, "invalid", "Idempotency-Key")
	thief := a.Create(t, employeesPath, Map{"name": "Next", "email": one})
	again(t, first, edit(a, "first", one))
	for email, want := range map[string]string{two: e.ID, one: thief, e.Email: ""} {
		if got := signsIn(t, s, email); got != want {
			t.Errorf("%s signs in %q, want %q", email, got, want)
		}
	}
	if r := a.Get(t, at); r.Text("email") != two || r.Text("revision") != "2" {
		t.Errorf("%s", r.Body)
	}
}

// TestEditCutOff: where the log has an address that the credentials do not, since the
// database went away in between, saying it once more brings them together.
func TestEditCutOff(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.Employee(t, "Cut", nil, nil)
	email := address()
	m := domain.Meta{Actor: uuid.MustParse(a.ID), Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
	_, err := commands.Handle(t.Context(), s.Commands.Store, employee.Aggregate, uuid.MustParse(e.ID), employee.Command(employee.Edit{Email: domain.Set(email)}), m, commands.AnyRevision)
	if err != nil || signsIn(t, s, email) != "" {
		t.Fatal(err)
	}
	a.Patch(t, employeesPath+"/"+e.ID, Map{"email": email}).Want(t, 200)
	if signsIn(t, s, email) != e.ID || signsIn(t, s, e.Email) != "" {
		t.Error("the credentials have the old address still")
	}
}

func TestAddressesEditedConcurrently(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	users := []*apitest.User{a, a.At(s.Again(t))}
	var staff []*apitest.User
	for i := range 4 {
		staff = append(staff, a.Employee(t, fmt.Sprint("Racer ", i), nil, nil))
	}
	for range 3 { // several for one address
		email := address()
		var won atomic.Int32
		together(len(staff), func(i int) {
			u := *users[i%2]
			r := u.Do(t, "PATCH", employeesPath+"/"+staff[i].ID, Map{"email": email})
			switch {
			case r.Status == 200:
				won.Add(1)
			case r.Status != 409 || r.Text("code") != "taken" && r.Text("code") != "pending":
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d have the address", won.Load())
		}
		for _, e := range staff {
			if now := employeeNow(t, s, e.ID).Email; signsIn(t, s, now) != e.ID {
				t.Errorf("the log has %s for %s, who does not sign in with it", now, e.ID)
			}
		}
	}
	for range 3 { // one for several addresses, among them the one they have
		emails := []string{employeeNow(t, s, staff[0].ID).Email, address(), address(), address()}
		together(len(emails), func(i int) {
			u := *users[i%2]
			u.Do(t, "PATCH", employeesPath+"/"+staff[0].ID, Map{"email": emails[i]}).Want(t, 200)
		})
		now := employeeNow(t, s, staff[0].ID).Email
		for _, email := range emails {
			if got := signsIn(t, s, email); (got == staff[0].ID) != (email == now) {
				t.Errorf("%s signs in %q; the log has %s", email, got, now)
			}
		}
	}
}

// TestNobodyThemselves: what bounds somebody is not theirs to change.
func TestNobodyThemselves(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Self")
	for _, u := range []*apitest.User{a, a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil)} {
		at := employeesPath + "/" + u.ID
		before := employeeNow(t, s, u.ID)
		u.Do(t, "POST", at+"/roles", Map{"roles": []string{"agent"}}).Problem(t, 403, "self")
		u.Do(t, "POST", at+"/roles", Map{"roles": before.Roles}).Problem(t, 403, "self")
		u.Do(t, "POST", at+"/deactivate", nil).Problem(t, 403, "self")
		u.Do(t, "DELETE", at+"/second-factor", nil).Problem(t, 403, "self")
		u.Do(t, "PATCH", at, Map{"name": "New Name"}).Want(t, 200)
		u.Get(t, "/api/v1/me").Want(t, 200)
	}
	// A colleague may, and a key of one's own is no colleague.
	b := s.Admin(t)
	key := b.Post(t, keysPath, Map{"name": "All", "permissions": allGrants()}).Want(t, 201).Text("key")
	k := &apitest.User{System: s, Token: key}
	k.Do(t, "POST", employeesPath+"/"+b.ID+"/roles", Map{"roles": []string{"agent"}}).Problem(t, 403, "self")
	k.Do(t, "POST", employeesPath+"/"+b.ID+"/deactivate", nil).Problem(t, 403, "self")
	a.Post(t, employeesPath+"/"+b.ID+"/roles", Map{"roles": []string{"agent"}}).Want(t, 200)
	b.Do(t, "POST", employeesPath, Map{"name": "x", "email": address()}).Problem(t, 403, "forbidden")
	k.Do(t, "POST", employeesPath, Map{"name": "x", "email": address()}).Problem(t, 403, "forbidden")
}

func allGrants() []Map {
	var pairs []string
	for _, p := range domain.Permissions {
		pairs = append(pairs, string(p), "all")
	}
	return grants(pairs...)
}

func TestProjectAdmin(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Theirs"), a.Project(t, "Others'")
	d, far := a.Desk(t, p, "D"), a.Desk(t, q, "Far")
	head := a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil)
	mine, both := a.Employee(t, "Mine", []string{p}, nil), a.Employee(t, "Both", []string{p, q}, []string{far})
	stranger, auditor := a.Employee(t, "Stranger", []string{q}, nil), a.EmployeeAs(t, "Auditor", []string{"auditor"}, []string{p}, nil)
	chief := a.EmployeeAs(t, "Chief", []string{"admin"}, []string{p}, nil)
	at := func(u *apitest.User, what string) string { return employeesPath + "/" + u.ID + what }

	id := head.Create(t, employeesPath, Map{"name": "New", "email": address(), "projects": []string{p}, "desks": []string{d}})
	if got := employeeNow(t, s, id); !got.Eligible(uuid.MustParse(p), uuid.MustParse(d)) || !slices.Equal(got.Roles, []string{"agent"}) {
		t.Errorf("%+v", got)
	}
	for name, x := range map[string]struct {
		body        Map
		status      int
		code, field string
	}{
		"nowhere":        {Map{}, 422, "invalid", "projects"},
		"elsewhere":      {Map{"projects": []string{q}}, 403, "not_assigned", "projects"},
		"nowhere real":   {Map{"projects": []string{uuid.NewString()}}, 403, "not_assigned", "projects"},
		"also elsewhere": {Map{"projects": []string{p, q}}, 403, "not_assigned", "projects"},
		"a desk there":   {Map{"projects": []string{p}, "desks": []string{far}}, 403, "not_assigned", "desks"},
		"more powerful":  {Map{"projects": []string{p}, "roles": []string{"admin"}}, 403, "not_yours", "roles"},
	} {
		email := address()
		body := Map{"name": name, "email": email}
		maps.Copy(body, x.body)
		head.Post(t, employeesPath, body).Problem(t, x.status, x.code, x.field)
		if signsIn(t, s, email) != "" {
			t.Errorf("%s: the address is taken by nobody", name)
		}
	}
	for _, x := range []struct {
		method, what string
		body         Map
	}{
		{"PATCH", "", Map{"email": address()}},
		{"POST", "/roles", Map{"roles": []string{}}},
		{"POST", "/deactivate", nil},
		{"POST", "/reactivate", nil},
		{"DELETE", "/second-factor", nil},
	} {
		var body any
		if x.body != nil {
			body = x.body
		}
		head.Do(t, x.method, at(both, x.what), body).Problem(t, 403, "works_elsewhere")
		head.Do(t, x.method, at(stranger, x.what), body).Problem(t, 404, "employee.absent")
		for _, u := range []*apitest.User{auditor, chief} {
			head.Do(t, x.method, at(u, x.what), body).Problem(t, 403, "not_yours", "roles")
		}
	}
	head.Do(t, "POST", at(mine, "/roles"), Map{"roles": []string{"auditor"}}).Problem(t, 403, "not_yours", "roles")
	head.Do(t, "POST", at(mine, "/assign"), Map{"projects": []string{p, q}}).Problem(t, 403, "not_assigned", "projects")
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{p}, "desks": []string{}}).Want(t, 200) // of the rest they know nothing
	if got := employeeNow(t, s, both.ID); !got.Eligible(uuid.MustParse(q), uuid.MustParse(far)) || !got.Eligible(uuid.MustParse(p), uuid.UUID{}) {
		t.Errorf("taken from where others manage the employees: %+v", got)
	}
	for _, u := range []*apitest.User{mine, both, stranger, auditor, chief} {
		if got := employeeNow(t, s, u.ID); got.Email != u.Email || !got.Active() || signsIn(t, s, u.Email) != u.ID {
			t.Errorf("%+v", got)
		}
	}
	// In their own projects they may.
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{p, q}, "desks": []string{d, far}}).Want(t, 200)
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{}, "desks": []string{}}).Want(t, 200)
	if got := employeeNow(t, s, both.ID); !got.Eligible(uuid.MustParse(q), uuid.MustParse(far)) || got.Eligible(uuid.MustParse(p), uuid.UUID{}) {
		t.Errorf("taken from one's own project: %+v", got)
	}
	head.Do(t, "POST", at(mine, "/roles"), Map{"roles": []string{"desk_manager", "project_admin"}}).Want(t, 200)
	head.Do(t, "PATCH", at(mine, ""), Map{"email": address()}).Want(t, 200)
	head.Do(t, "POST", at(mine, "/deactivate"), nil).Want(t, 200)
	head.Do(t, "POST", at(mine, "/reactivate"), nil).Want(t, 200)
}

func employeeID(t *testing.T, id string) domain.ID {
	t.Helper()
	parsed, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
