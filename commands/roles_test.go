package commands_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"annals/domain/role"
	"annals/internal/apitest"
)

const rolesPath = "/api/v1/roles"

// grants are permissions, each with its reach.
func grants(pairs ...string) []Map {
	out := []Map{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, Map{"permission": pairs[i], "reach": pairs[i+1]})
	}
	return out
}

// makeRole makes a role and returns its id.
func makeRole(t *testing.T, u *apitest.User, pairs ...string) string {
	t.Helper()
	return u.Create(t, rolesPath, Map{"name": "Made " + uuid.NewString()[:8], "permissions": grants(pairs...)})
}

func builtIn(t *testing.T, name string) string {
	t.Helper()
	b, ok := role.Named(name)
	if !ok {
		t.Fatalf("%s is not built in", name)
	}
	return b.ID.String()
}

// may is what somebody may do now, by what the API tells them: permission to reach.
func may(t *testing.T, u *apitest.User) map[string]string {
	t.Helper()
	r := u.Get(t, "/api/v1/me").Want(t, 200)
	out := map[string]string{}
	for i := range r.List("permissions") {
		out[r.Text(fmt.Sprintf("permissions.%d.permission", i))] = r.Text(fmt.Sprintf("permissions.%d.reach", i))
	}
	return out
}

// about holds what a refusal says it is about against what it has to be.
func about(t *testing.T, r *apitest.Response, want ...string) {
	t.Helper()
	var got []string
	for _, id := range r.List("items") {
		got = append(got, fmt.Sprint(id))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s is about %v, not %v\n%s", r.Request, got, want, r.Body)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	name := "Own " + uuid.NewString()[:8]
	own := created(t, a, rolesPath, Map{"name": "  " + name + " ", "permissions": grants("audit.view", "all", "clients.view", "desk", "clients.edit", "own")})
	r := a.Get(t, rolesPath+"/"+own)
	if r.Text("name") != name || r.Text("built_in") != "false" || r.Text("ref") != own || r.Text("permissions") !=
		"[map[permission:clients.view reach:desk] map[permission:clients.edit reach:own] map[permission:audit.view reach:all]]" {
		t.Errorf("%s", r.Body)
	}
	// A clone has what the role has now, and nothing to do with it afterwards.
	for _, of := range []string{builtIn(t, role.DeskManager), own} {
		before := a.Get(t, rolesPath+"/"+of).Want(t, 200).Text("permissions")
		r := a.Post(t, rolesPath+"/"+of+"/clone", Map{"name": "Clone of " + of}, "Idempotency-Key", "clone")
		clone := receipt(t, r, 201, "0")
		again(t, r, a.Post(t, rolesPath+"/"+of+"/clone", Map{"name": "Clone of " + of}, "Idempotency-Key", "clone"))
		if at := r.Header.Get("Location"); at != rolesPath+"/"+clone {
			t.Errorf("Location %s", at)
		}
		if of == own {
			receipt(t, a.Patch(t, rolesPath+"/"+own, Map{"permissions": grants("clients.view", "own")}), 200, "1")
		}
		if got := a.Get(t, rolesPath+"/"+clone).Want(t, 200); got.Text("permissions") != before || got.Text("name") != "Clone of "+of || got.Text("built_in") != "false" {
			t.Errorf("%s is a clone of %s", got.Body, before)
		}
	}
	// What is left out stays; what changes nothing is no event.
	receipt(t, a.Patch(t, rolesPath+"/"+own, Map{"name": name + "!"}), 200, "2")
	receipt(t, a.Patch(t, rolesPath+"/"+own, Map{"name": name + "!"}), 200, "2")
	receipt(t, a.Patch(t, rolesPath+"/"+own, Map{}, "If-Match", `"2"`), 200, "2")
	a.Patch(t, rolesPath+"/"+own, Map{"name": "x"}, "If-Match", `"1"`).Problem(t, 412, "revision")
	if got := a.Get(t, rolesPath+"/"+own); got.Text("name") != name+"!" || got.Text("permissions") != "[map[permission:clients.view reach:own]]" {
		t.Errorf("%s", got.Body)
	}
	absent := uuid.NewString()
	a.Patch(t, rolesPath+"/"+absent, Map{"name": "x"}).Problem(t, 404, "role.absent")
	a.Post(t, rolesPath+"/"+absent+"/clone", Map{"name": "x"}).Problem(t, 404, "role.absent")
	a.Do(t, "DELETE", rolesPath+"/"+absent, nil).Problem(t, 404, "role.absent")
}

func TestRolesAreChecked(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	own := makeRole(t, a)
	for name, x := range map[string]struct {
		permissions any
		field       string
	}{
		"no such permission":  {grants("clients.view", "all", "clients.fly", "all"), "permissions[1].permission"},
		"another case":        {grants("Clients.View", "all"), "permissions[0].permission"},
		"no such reach":       {grants("clients.view", "everywhere"), "permissions[0].reach"},
		"empty reach":         {grants("clients.view", ""), "permissions[0].reach"},
		"no reach":            {[]Map{{"permission": "clients.view"}}, "permissions[0].reach"},
		"no permission":       {[]Map{{"reach": "all"}}, "permissions[0].permission"},
		"twice":               {grants("clients.view", "all", "clients.view", "own"), "permissions[1].permission"},
		"something else":      {[]Map{{"permission": "clients.view", "reach": "all", "for": "ever"}}, "permissions[0].for"},
		"no list":             {"all", "permissions"},
		"a list of no grants": {[]string{"clients.view"}, "permissions[0]"},
	} {
		a.Post(t, rolesPath, Map{"name": name, "permissions": x.permissions}).Problem(t, 422, "invalid", x.field)
		a.Patch(t, rolesPath+"/"+own, Map{"permissions": x.permissions}).Problem(t, 422, "invalid", x.field)
	}
	for _, name := range []string{"", "  ", "admin", "Agent", "a\x00b", string(make([]byte, 101))} {
		a.Post(t, rolesPath, Map{"name": name, "permissions": grants()}).Problem(t, 422, "invalid", "name")
		a.Post(t, rolesPath+"/"+own+"/clone", Map{"name": name}).Problem(t, 422, "invalid", "name")
	}
	if got := a.Get(t, rolesPath+"/"+own).Text("revision"); got != "0" {
		t.Errorf("revision %s", got)
	}
}

func TestBuiltInRoles(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	for _, b := range role.Builtins {
		at := rolesPath + "/" + b.ID.String()
		before := a.Get(t, at).Want(t, 200)
		if before.Text("name") != b.Name || before.Text("ref") != b.Name || before.Text("built_in") != "true" {
			t.Errorf("%s", before.Body)
		}
		a.Patch(t, at, Map{"name": "Mine"}).Problem(t, 409, "role.built_in")
		a.Patch(t, at, Map{"permissions": grants("clients.view", "own")}).Problem(t, 409, "role.built_in")
		a.Do(t, "DELETE", at, nil).Problem(t, 409, "role.built_in") // whether somebody holds it or not
		if after := a.Get(t, at); after.Text("name") != b.Name || after.Text("permissions") != before.Text("permissions") {
			t.Errorf("%s became %s", before.Body, after.Body)
		}
	}
}

// TestRoleAtOnce: what roles permit is what they permit now, in sessions that were
// open before, in every process.
func TestRoleAtOnce(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "At once")
	one, two := makeRole(t, a, "clients.view", "own"), makeRole(t, a, "clients.edit", "desk", "employees.view", "own")
	e := a.EmployeeAs(t, "Held", []string{one, two, "auditor"}, []string{p}, nil)
	other := e.At(s.Again(t))
	is := func(want ...string) {
		t.Helper()
		for _, u := range []*apitest.User{e, other} {
			got := may(t, u)
			if len(got) != len(want)/2 {
				t.Errorf("may %v, want %v", got, want)
			}
			for i := 0; i < len(want); i += 2 {
				if got[want[i]] != want[i+1] {
					t.Errorf("may %v, want %v", got, want)
				}
			}
		}
	}
	// The furthest reach of each permission.
	is("clients.view", "all", "clients.edit", "desk", "employees.view", "all", "audit.view", "all")
	a.Post(t, "/api/v1/employees/"+e.ID+"/roles", Map{"roles": []string{two, one, one}}).Want(t, 200)
	is("clients.view", "own", "clients.edit", "desk", "employees.view", "own")
	a.Patch(t, rolesPath+"/"+one, Map{"permissions": grants("clients.view", "project", "clients.create", "project")}).Want(t, 200)
	is("clients.view", "project", "clients.edit", "desk", "employees.view", "own", "clients.create", "project")
	e.Post(t, "/api/v1/clients", Map{"last_name": "Mine", "project_id": p}).Want(t, 201)
	a.Patch(t, rolesPath+"/"+one, Map{"permissions": grants()}).Want(t, 200)
	is("clients.edit", "desk", "employees.view", "own")
	for _, u := range []*apitest.User{e, other} {
		u.Post(t, "/api/v1/clients", Map{"last_name": "Mine", "project_id": p}).Problem(t, 403, "forbidden")
		if r := u.Get(t, "/api/v1/clients"); r.Text("total.count") != "0" {
			t.Errorf("%s", r.Body)
		}
	}
	a.Post(t, "/api/v1/employees/"+e.ID+"/roles", Map{"roles": []string{}}).Want(t, 200)
	is()
}

func TestDeleteRole(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	id := makeRole(t, a, "clients.view", "own")
	one, two := a.EmployeeAs(t, "One", []string{id, "agent"}, nil, nil), a.EmployeeAs(t, "Two", []string{id}, nil, nil)
	remove := func(u *apitest.User, headers ...string) *apitest.Response {
		t.Helper()
		return u.Do(t, "DELETE", rolesPath+"/"+id, nil, headers...)
	}
	about(t, remove(a).Problem(t, 409, "role.in_use"), one.ID, two.ID)
	// Who holds it is not for everybody to know.
	for _, u := range []*apitest.User{one, a.EmployeeAs(t, "Auditor", []string{"auditor"}, nil, nil)} {
		if r := remove(u).Problem(t, 403, "forbidden"); len(r.List("items")) != 0 {
			t.Errorf("%s", r.Body)
		}
	}
	roles := func(u *apitest.User, roles ...string) {
		a.Post(t, "/api/v1/employees/"+u.ID+"/roles", Map{"roles": append([]string{}, roles...)}).Want(t, 200)
	}
	roles(one, "agent")
	about(t, remove(a).Problem(t, 409, "role.in_use"), two.ID)
	roles(two)
	remove(a, "If-Match", `"5"`).Problem(t, 412, "revision")
	first := remove(a, "Idempotency-Key", "delete")
	receipt(t, first, 200, "1")
	again(t, first, remove(a, "Idempotency-Key", "delete"))
	remove(a).Problem(t, 404, "role.absent")
	a.After = first.Header.Get("Annals-Position")
	a.Get(t, rolesPath+"/"+id).Problem(t, 404, "role.absent")
	if slices.Contains(a.Get(t, rolesPath+"?limit=500").Want(t, 200).Column("id"), id) {
		t.Error("it is listed still")
	}
	a.Post(t, "/api/v1/employees/"+two.ID+"/roles", Map{"roles": []string{id}}).Problem(t, 422, "invalid", "roles[0]")
	a.Post(t, rolesPath+"/"+id+"/clone", Map{"name": "Late"}).Problem(t, 404, "role.absent")
	a.Patch(t, rolesPath+"/"+id, Map{"name": "Late"}).Problem(t, 404, "role.absent")
}

// TestGranting: nobody gives, nor takes, what they do not have.
func TestGranting(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	keeper := makeRole(t, a, "roles.manage", "all", "clients.view", "project", "employees.view", "all", "employees.manage", "all")
	k := a.EmployeeAs(t, "Keeper", []string{keeper}, []string{a.Project(t, "Kept")}, nil)
	id := makeRole(t, k, "clients.view", "project", "employees.view", "own")
	more := makeRole(t, a, "clients.export", "own")
	for name, wanted := range map[string][]Map{
		"further":             grants("clients.view", "all"),
		"another one":         grants("clients.view", "own", "clients.edit", "own"),
		"what makes an admin": grants("settings.manage", "own"),
	} {
		at := fmt.Sprintf("permissions[%d]", len(wanted)-1)
		k.Post(t, rolesPath, Map{"name": "More", "permissions": wanted}).Problem(t, 403, "not_yours", at)
		k.Patch(t, rolesPath+"/"+id, Map{"permissions": wanted}).Problem(t, 403, "not_yours", at)
		if got := a.Get(t, rolesPath+"/"+id).Text("revision"); got != "0" {
			t.Errorf("%s: revision %s", name, got)
		}
	}
	for _, of := range []string{builtIn(t, role.Admin), builtIn(t, role.Agent), more} {
		k.Post(t, rolesPath+"/"+of+"/clone", Map{"name": "More"}).Want(t, 403)
	}
	k.Patch(t, rolesPath+"/"+more, Map{"permissions": grants()}).Problem(t, 403, "not_yours", "permissions")
	k.Patch(t, rolesPath+"/"+more, Map{"name": "Harmless"}).Problem(t, 403, "not_yours", "permissions")
	k.Do(t, "DELETE", rolesPath+"/"+more, nil).Problem(t, 403, "not_yours", "permissions")
	// Who holds the role works elsewhere, too.
	k.Patch(t, rolesPath+"/"+id, Map{"permissions": grants("employees.view", "own")}).Want(t, 200)
	k.Patch(t, rolesPath+"/"+id, Map{"permissions": grants("clients.view", "project", "employees.view", "own")}).Problem(t, 403, "not_yours_everywhere", "permissions")
	mate := a.EmployeeAs(t, "Mate", nil, nil, nil)
	for _, to := range []string{"admin", "agent", more} {
		k.Post(t, "/api/v1/employees/"+mate.ID+"/roles", Map{"roles": []string{to}}).Problem(t, 403, "not_yours", "roles")
		k.Post(t, "/api/v1/employees", Map{"name": "New", "email": uuid.NewString() + "@example.com", "roles": []string{to}}).Problem(t, 403, "not_yours", "roles")
	}
	k.Post(t, "/api/v1/employees/"+mate.ID+"/roles", Map{"roles": []string{id}}).Want(t, 200)
	for roles, at := range map[string]string{"nobody": "roles[0]", "integration": "roles[0]", uuid.NewString(): "roles[0]"} {
		k.Post(t, "/api/v1/employees/"+mate.ID+"/roles", Map{"roles": []string{roles}}).Problem(t, 422, "invalid", at)
	}
	if got := may(t, mate); len(got) != 1 || got["employees.view"] != "own" {
		t.Errorf("mate may %v", got)
	}
}
