package readapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/apitest"
)

func TestEmployees(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Seen"), a.Project(t, "Unseen")
	d, e := a.Desk(t, p, "D"), a.Desk(t, p, "E")
	far := a.Desk(t, q, "F")
	onDesk := a.Create(t, "/api/v1/roles", Map{"name": "on desk " + uuid.NewString(), "permissions": []Map{{"permission": "employees.view", "reach": "desk"}, {"permission": "clients.view", "reach": "desk"}}})
	nothing := a.Create(t, "/api/v1/roles", Map{"name": "nothing", "permissions": []Map{}})
	users := map[string]*apitest.User{
		"ada":  a.EmployeeAs(t, "Ada", []string{"agent"}, []string{p}, []string{d}),
		"ben":  a.EmployeeAs(t, "Ben", []string{onDesk}, []string{p, q}, []string{d, far}),
		"cid":  a.EmployeeAs(t, "Cid", []string{"project_admin", "agent"}, []string{p}, []string{e}),
		"dot":  a.EmployeeAs(t, "Dot", []string{"agent"}, []string{q}, []string{far}),
		"eve":  a.EmployeeAs(t, "Eve", []string{nothing}, []string{p}, []string{d}),
		"fred": a.EmployeeAs(t, "Fred", nil, nil, nil),
	}
	for _, u := range users {
		u.After = a.After
	}
	listed := func(u *apitest.User, query string) string {
		names := []string{}
		for _, name := range u.Get(t, "/api/v1/employees?limit=500&"+query).Want(t, 200).Column("name") {
			if name != "Ada Admin" {
				names = append(names, strings.ToLower(name))
			}
		}
		return strings.Join(names, " ")
	}
	for name, want := range map[string]string{
		"ada": "ada ben cid eve", "ben": "ada ben dot eve", "cid": "ada ben cid eve", "dot": "ben dot", "eve": "eve", "fred": "fred",
	} {
		if got := listed(users[name], ""); got != want {
			t.Errorf("%s sees %s, want %s", name, got, want)
		}
		for other, u := range users {
			r := users[name].Get(t, "/api/v1/employees/"+u.ID)
			if seen := slices.Contains(strings.Fields(want), other); seen && r.Status != 200 || !seen && r.Problem(t, 404, "employee.absent") == nil {
				t.Errorf("%s sees %s: %d", name, other, r.Status)
			}
		}
	}
	// Of a colleague they see what they see of the organisation, by filters too.
	r := users["ada"].Get(t, "/api/v1/employees/"+users["ben"].ID).Want(t, 200)
	if r.Text("projects") != "["+p+"]" || r.Text("desks") != "["+d+"]" || r.Text("roles") != "["+onDesk+"]" || !strings.HasPrefix(r.Text("role_names.0"), "on desk ") {
		t.Errorf("%s", r.Body)
	}
	if r := users["cid"].Get(t, "/api/v1/employees/"+users["cid"].ID).Want(t, 200); r.Text("role_names") != "[agent project_admin]" || r.At("active") != true {
		t.Errorf("%s", r.Body)
	}
	a.Post(t, "/api/v1/employees/"+users["eve"].ID+"/deactivate", Map{}).Want(t, 200)
	users["ada"].After = a.After
	for query, want := range map[string]string{
		"project=" + p: "ada ben cid eve", "project=" + q: "", "desk=" + far: "", "desk=" + d: "ada ben eve", "desk=" + d + "&desk=" + e: "ada ben cid eve",
		"role=agent": "ada cid", "role=" + onDesk: "ben", "role=" + strings.ToUpper(onDesk): "ben", "role=agent&role=" + onDesk: "ada ben cid", "role=admin": "", "role=%25": "",
		"active=false": "eve", "active=true": "ada ben cid", "active=true&role=" + nothing: "", "sort=-name": "eve cid ben ada", "sort=deactivated_at,name": "eve ada ben cid",
	} {
		if got := listed(users["ada"], query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for _, bad := range []string{"active=maybe", "role=%00", "role=" + strings.Repeat("x", 101)} {
		users["ada"].Get(t, "/api/v1/employees?"+bad).Problem(t, 422, "invalid", strings.SplitN(bad, "=", 2)[0])
	}
	if r := users["ada"].Get(t, "/api/v1/employees/"+users["eve"].ID).Want(t, 200); r.At("active") != false || r.Text("deactivated_at") == "" {
		t.Errorf("%s", r.Body)
	}
}

func TestEmployeeHistory(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Ours"), a.Project(t, "Theirs")
	audit := a.Create(t, "/api/v1/roles", Map{"name": "audits " + uuid.NewString(), "permissions": []Map{{"permission": "audit.view", "reach": "own"}}})
	one := a.Employee(t, "One", []string{p}, nil)
	a.Post(t, "/api/v1/employees/"+one.ID+"/roles", Map{"roles": []string{"agent", audit}}, "User-Agent", "tester/2").Want(t, 200)
	at := "/api/v1/employees/" + one.ID + "/history"
	users := map[string]*apitest.User{
		"admin": a, "auditor": a.EmployeeAs(t, "Auditor", []string{"auditor"}, nil, nil), "project admin": a.EmployeeAs(t, "Lead", []string{"project_admin"}, []string{p}, nil),
		"colleague": a.Employee(t, "Colleague", []string{p}, nil), "stranger": a.Employee(t, "Stranger", []string{q}, nil), "other's admin": a.EmployeeAs(t, "Far", []string{"project_admin"}, []string{q}, nil),
		"one": one,
	}
	for name, status := range map[string]int{"admin": 200, "auditor": 200, "project admin": 200, "colleague": 403, "stranger": 404, "other's admin": 404, "one": 200} {
		u := users[name]
		u.After = a.After
		r := u.Get(t, at)
		if r.Status != status {
			t.Errorf("%s: %d, want %d\n%s", name, r.Status, status, r.Body)
		}
		if status != 200 {
			continue
		}
		if got := strings.Join(r.Column("type"), " "); got != "employee.registered employee.assigned employee.roles_changed" || r.Text("items.2.actor.name") != "Ada Admin" || r.Text("items.2.user_agent") != "tester/2" {
			t.Errorf("%s: %s\n%s", name, got, r.Body)
		}
		if back := u.Get(t, at+"?sort=-revision&limit=1").Want(t, 200); back.Text("items.0.revision") != "2" || back.Text("next_cursor") == "" || back.Text("total.count") != "3" {
			t.Errorf("%s: %s", name, back.Body)
		}
	}
	users["colleague"].Get(t, at).Problem(t, 403, "forbidden")
	a.Get(t, "/api/v1/employees/"+uuid.NewString()+"/history").Problem(t, 404, "employee.absent")
	(&apitest.User{System: s}).Get(t, at).Problem(t, 401, "unauthorized")
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "P")
	name := "Zz " + uuid.NewString()
	id := a.Create(t, "/api/v1/roles", Map{"name": name, "permissions": []Map{{"permission": "audit.view", "reach": "all"}, {"permission": "clients.view", "reach": "desk"}}})
	gone := a.Create(t, "/api/v1/roles", Map{"name": "Gone " + uuid.NewString(), "permissions": []Map{}})
	a.Do(t, "DELETE", "/api/v1/roles/"+gone, nil)
	one, two := a.EmployeeAs(t, "One", []string{id}, []string{p}, nil), a.EmployeeAs(t, "Two", []string{id, "agent"}, []string{p}, nil)
	far, off := a.EmployeeAs(t, "Far", []string{id}, nil, nil), a.EmployeeAs(t, "Off", []string{id}, []string{p}, nil)
	a.Post(t, "/api/v1/employees/"+off.ID+"/deactivate", Map{}).Want(t, 200)
	for u, holders := range map[*apitest.User]string{a: "3", two: "2", one: "1", far: "1"} {
		u.After = a.After
		r := u.Get(t, "/api/v1/roles/"+id).Want(t, 200)
		if r.Text("holders") != holders || r.Text("name") != name || r.Text("ref") != id || r.At("built_in") != false || r.Text("permissions.0.permission") != "clients.view" ||
			r.Text("permissions.0.reach") != "desk" || len(r.List("permissions")) != 2 || r.Header.Get("ETag") != `"0"` || r.Text("created_at") == "" {
			t.Errorf("%s holders wanted: %s", holders, r.Body)
		}
	}
	r := one.Get(t, "/api/v1/roles?limit=500").Want(t, 200)
	names := r.Column("name")
	if got := strings.Join(names[:6], " "); got != "admin agent auditor desk_manager integration project_admin" || r.At("items.0.built_in") != true || r.At("items.6.built_in") != false ||
		!slices.Contains(names, name) || slices.Contains(r.Column("id"), gone) || r.At("items.0.created_at") != nil {
		t.Errorf("%v\n%s", names, r.Body)
	}
	if admin := one.Get(t, "/api/v1/roles/"+r.Text("items.0.id")).Want(t, 200); len(admin.List("permissions")) != len(domain.Permissions) || admin.Text("ref") != "admin" {
		t.Errorf("%s", admin.Body)
	}
	if first := one.Get(t, "/api/v1/roles?limit=4").Want(t, 200); first.Text("next_cursor") == "" || one.Get(t, "/api/v1/roles?limit=2&cursor="+first.Text("next_cursor")).Text("items.1.name") != "project_admin" {
		t.Errorf("%s", first.Body)
	}
	a.Get(t, "/api/v1/roles/"+gone).Problem(t, 404, "role.absent")
	(&apitest.User{System: s}).Get(t, "/api/v1/roles").Problem(t, 401, "unauthorized")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "P")
	settings := a.Create(t, "/api/v1/roles", Map{"name": "settings " + uuid.NewString(), "permissions": []Map{{"permission": "settings.manage", "reach": "all"}}})
	owner := a.EmployeeAs(t, "Owner", []string{"desk_manager"}, []string{p}, nil)
	other := a.EmployeeAs(t, "Other", []string{"auditor"}, []string{p}, nil)
	keeper := a.EmployeeAs(t, "Keeper", []string{settings}, nil, nil)
	view := []Map{{"permission": "clients.view", "reach": "desk"}}
	ends := s.Clock.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made := owner.Post(t, "/api/v1/api-keys", Map{"name": "Sync", "permissions": view, "projects": []string{p}, "expires_at": ends}).Want(t, 201)
	id := made.Text("id")
	revoked := owner.Post(t, "/api/v1/api-keys", Map{"name": "Old", "permissions": view}).Want(t, 201).Text("id")
	if r := owner.Do(t, "DELETE", "/api/v1/api-keys/"+revoked, nil); r.Status >= 300 {
		t.Fatalf("%d %s", r.Status, r.Body)
	} else {
		owner.After = r.Header.Get("Annals-Position")
	}
	for _, u := range []*apitest.User{a, other, keeper} {
		u.After = owner.After
	}
	mine := func(u *apitest.User, query string) string {
		var out []string
		r := u.Get(t, "/api/v1/api-keys?limit=500&"+query).Want(t, 200)
		for i, key := range r.Column("id") {
			if key == id || key == revoked {
				out = append(out, r.Text(fmt.Sprintf("items.%d.name", i)))
			}
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		u           *apitest.User
		query, want string
	}{
		{owner, "", "Old Sync"},
		{owner, "sort=-name", "Sync Old"},
		{owner, "live=true", "Sync"},
		{owner, "live=false", "Old"},
		{other, "", ""},
		{keeper, "", "Old Sync"},
		{a, "", "Old Sync"},
		{a, "sort=owner,created_at", "Sync Old"},
	} {
		if got := mine(c.u, c.query); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.u.Email, c.query, got, c.want)
		}
	}
	r := keeper.Get(t, "/api/v1/api-keys/"+id).Want(t, 200)
	if r.Text("owner.id") != owner.ID || r.Text("owner.name") != "Owner" || r.Text("permissions.0.reach") != "desk" || r.Text("projects") != "["+p+"]" || r.Text("desks") != "[]" ||
		r.Text("expires_at") != ends.Format(time.RFC3339) || r.At("revoked_at") != nil || r.At("live") != true || r.At("last_used_at") != nil {
		t.Errorf("%s", r.Body)
	}
	other.Get(t, "/api/v1/api-keys/"+id).Problem(t, 404, "api_key.absent")
	if r := owner.Get(t, "/api/v1/api-keys/"+revoked).Want(t, 200); r.At("live") != false || r.Text("revoked_at") == "" {
		t.Errorf("%s", r.Body)
	}
	// With the key itself one sees no keys; that it was used shows.
	key := &apitest.User{System: s, Token: made.Text("key"), After: owner.After}
	if r := key.Get(t, "/api/v1/api-keys").Want(t, 200); len(r.List("items")) != 0 {
		t.Errorf("%s", r.Body)
	}
	if r := owner.Get(t, "/api/v1/api-keys/"+id).Want(t, 200); r.Text("last_used_at") == "" {
		t.Errorf("%s", r.Body)
	}
}
