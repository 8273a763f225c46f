package commands_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain/role"
	"annals/internal/apitest"
)

const viewsPath = "/api/v1/views"

func TestViews(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, elsewhere := a.Project(t, "Views"), a.Project(t, "No views")
	north, south := a.Desk(t, project, "North"), a.Desk(t, project, "South")
	head := a.EmployeeAs(t, "Head", []string{role.DeskManager}, []string{project}, []string{north})
	mate := a.Employee(t, "Mate", []string{project}, []string{north})
	near := a.Employee(t, "Near", []string{project}, []string{south})
	stranger := a.EmployeeAs(t, "Stranger", []string{role.Auditor}, []string{elsewhere}, nil)
	all := []*apitest.User{a, head, mate, near, stranger}
	seen := func(id string) (by []bool) {
		for _, u := range all {
			u.After = a.After
			in := listed(t, u, viewsPath, id)
			if r := u.Get(t, viewsPath+"/"+id); (r.Status == 200) != in || !in && r.Text("code") != "view.absent" {
				t.Errorf("in the list: %v, by itself: %d", in, r.Status)
			}
			by = append(by, in)
		}
		return by
	}
	sees := func(id string, want ...bool) {
		t.Helper()
		if got := seen(id); !slices.Equal(got, want) {
			t.Errorf("admin, head, mate, near, stranger see it: %v, want %v", got, want)
		}
	}

	body := Map{
		"name": " " + unique("Leads"), "columns": []Map{{"field": "name", "width": 180, "frozen": true}, {"field": "custom.contract"}},
		"filter": Map{"and": []Map{{"field": "status", "op": "one_of", "value": []string{"lead"}}, {"field": "desk", "op": "empty"}}}, "q": "anna", "sort": []string{"-created_at", "name"}, "shared": Map{"with": "nobody"},
	}
	r := head.Post(t, viewsPath, body, "Idempotency-Key", "view").Want(t, 201)
	again(t, r, head.Post(t, viewsPath, body, "Idempotency-Key", "view"))
	id := r.Text("id")
	path := viewsPath + "/" + id
	v := head.Get(t, path).Want(t, 200)
	if diff := cmp.Diff(Map{
		"columns": []any{Map{"field": "name", "width": 180.0, "frozen": true}, Map{"field": "custom.contract"}}, "filter": Map{"and": []any{Map{"field": "status", "op": "one_of", "value": []any{"lead"}}, Map{"field": "desk", "op": "empty"}}},
		"q": "anna", "sort": []any{"-created_at", "name"}, "shared": Map{"with": "nobody"}, "mine": true, "favourite": false, "default": false, "default_for": []any{},
		"owner": Map{"id": head.ID, "name": "Head"},
	}, pickOut(v, "columns", "filter", "q", "sort", "shared", "mine", "favourite", "default", "default_for", "owner")); diff != "" {
		t.Error(diff)
	}
	a.After = head.After
	sees(id, false, true, false, false, false)
	mate.Patch(t, path, Map{"name": "x"}).Problem(t, 404, "view.absent")
	a.Delete(t, path, nil).Problem(t, 404, "view.absent") // what is private is nobody else's, whoever they are
	mate.Put(t, path+"/favourite", nil).Problem(t, 404, "view.absent")

	// Shared with a desk: those on it see it, and who manages the settings.
	head.Patch(t, path, Map{"shared": Map{"with": "desk", "id": north}}).Want(t, 200)
	a.After = head.After
	sees(id, true, true, true, false, false)
	if got := mate.Get(t, path); got.Text("shared.name") != "North" || got.Text("shared.id") != north || got.At("mine") != false || got.Text("owner.name") != "Head" {
		t.Errorf("%s", got.Body)
	}
	mate.Patch(t, path, Map{"name": "x"}).Problem(t, 403, "forbidden")
	mate.Delete(t, path, nil).Problem(t, 403, "forbidden")
	head.Patch(t, path, Map{"shared": Map{"with": "desk", "id": south}}).Problem(t, 403, "not_assigned", "shared.id")
	head.Patch(t, path, Map{"shared": Map{"with": "project", "id": project}}).Problem(t, 403, "not_assigned", "shared.id")
	head.Patch(t, path, Map{"shared": Map{"with": "project", "id": elsewhere}}).Problem(t, 422, "invalid", "shared.id")
	head.Patch(t, path, Map{"shared": Map{"with": "project", "id": uuid.NewString()}}).Problem(t, 422, "invalid", "shared.id")
	head.Patch(t, path, Map{"shared": Map{"with": "everybody"}}).Problem(t, 403, "not_yours", "shared.with")
	head.Post(t, viewsPath, Map{"name": "", "columns": []Map{{"field": "name"}, {"field": "x", "width": 3000}}, "sort": []string{"Name"}}).Problem(t, 422, "invalid", "columns[1].width")
	head.Post(t, viewsPath, Map{"name": "", "columns": []Map{{"field": "name"}, {"field": "name"}}, "sort": []string{"Name"}, "filter": []int{1}}).
		Problem(t, 422, "invalid", "name", "columns[1].field", "sort[0]", "filter")
	head.Patch(t, path, Map{"columns": []Map{{"field": "name", "width": 1}}, "sort": []any{1}}).Problem(t, 422, "invalid", "sort[0]")
	if got := head.Patch(t, path, Map{"q": "x"}, "If-Match", `"0"`); got.Status != 412 {
		t.Errorf("%d %s", got.Status, got.Body)
	}

	// Favourites are each one's own.
	mate.Put(t, path+"/favourite", nil).Want(t, 200)
	mate.Put(t, path+"/favourite", nil).Want(t, 200)
	if !listed(t, mate, viewsPath+"?favourite=true&mine=false", id) || listed(t, mate, viewsPath+"?favourite=false", id) || listed(t, mate, viewsPath+"?mine=true", id) {
		t.Error("Mate's favourite is none")
	}
	if head.After = mate.After; listed(t, head, viewsPath+"?favourite=true", id) || !listed(t, head, viewsPath+"?favourite=false&mine=true", id) {
		t.Error("Mate's favourite is Head's")
	}
	mate.Delete(t, path+"/favourite", nil).Want(t, 200)
	if listed(t, mate, viewsPath+"?favourite=true", id) {
		t.Error("it is still a favourite")
	}

	// Shared with the project, and with everybody.
	a.Patch(t, path, Map{"shared": Map{"with": "project", "id": project}}).Want(t, 200)
	sees(id, true, true, true, true, false)
	// A key sees what is shared where it works, and has nothing of its own.
	granted := []Map{{"permission": "clients.view", "reach": "desk"}}
	key := &apitest.User{System: s, After: a.After, Token: head.Post(t, "/api/v1/api-keys", Map{"name": "sync", "permissions": granted}).Want(t, 201).Text("key")}
	if !listed(t, key, viewsPath, id) || listed(t, key, viewsPath+"?mine=true", id) {
		t.Error("the key of an employee on the desk")
	}
	key.Post(t, viewsPath, Map{"name": "Its own"}).Problem(t, 403, "people_only")
	key.Put(t, path+"/favourite", nil).Problem(t, 403, "people_only")
	key.Patch(t, path, Map{"name": "x"}).Problem(t, 403, "forbidden")

	// Who leaves is not told with whom it is shared there, where it goes on.
	a.Assign(t, head.ID, []string{elsewhere}, nil)
	sees(id, true, true, true, true, false)
	if got := head.Get(t, path); got.Text("shared.with") != "nobody" || got.At("shared.id") != nil {
		t.Errorf("%s", got.Body)
	}
	a.Post(t, "/api/v1/employees/"+head.ID+"/deactivate", nil).Want(t, 200)
	mate.After = a.After
	if got := mate.Get(t, path).Want(t, 200); got.Text("shared.id") != project {
		t.Errorf("%s", got.Body)
	}
	a.Patch(t, path, Map{"shared": Map{"with": "everybody"}, "columns": nil, "filter": nil, "q": nil, "sort": nil}).Want(t, 200)
	for _, u := range []*apitest.User{mate, near, stranger} {
		u.After = a.After
		if got := u.Get(t, path).Want(t, 200); got.At("filter") != nil || len(got.List("columns")) != 0 || got.Text("q") != "" {
			t.Errorf("%s", got.Body)
		}
	}
	a.Delete(t, path, nil).Want(t, 200)
	all = []*apitest.User{a, mate, near, stranger}
	sees(id, false, false, false, false)
	a.Delete(t, path, nil).Problem(t, 404, "view.absent")
}

func TestDefaultViews(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Default views")
	rights := []Map{{"permission": "clients.view", "reach": "project"}}
	first, second := a.Create(t, "/api/v1/roles", Map{"name": unique("First"), "permissions": rights}), a.Create(t, "/api/v1/roles", Map{"name": unique("Second"), "permissions": rights})
	ann := a.EmployeeAs(t, "Ann", []string{first, second}, []string{project}, nil)
	bob := a.EmployeeAs(t, "Bob", []string{second}, []string{project}, nil)
	shared := Map{"with": "project", "id": project}
	one, two := a.Create(t, viewsPath, Map{"name": unique("One"), "shared": shared}), a.Create(t, viewsPath, Map{"name": unique("Two"), "shared": shared})
	private := a.Create(t, viewsPath, Map{"name": unique("Private")})
	set := func(role string, view any) *apitest.Response {
		return a.Put(t, "/api/v1/roles/"+role+"/default-view", Map{"view_id": view})
	}
	begins := func(u *apitest.User) (ids []string) {
		u.After = a.After
		for _, item := range u.Get(t, viewsPath).Want(t, 200).List("items") {
			if m := item.(Map); m["default"] == true {
				ids = append(ids, m["id"].(string))
			}
		}
		return ids
	}
	for _, step := range []struct {
		role, view string
		ann, bob   []string
	}{
		{first, one, []string{one}, nil},
		{second, two, []string{two}, []string{two}}, // the last one counts
		{first, one, []string{two}, []string{two}},  // nothing has changed
		{second, one, []string{one}, []string{one}},
		{second, "", []string{one}, nil},
		{second, two, []string{two}, []string{two}},
	} {
		var view any
		if step.view != "" {
			view = step.view
		}
		set(step.role, view).Want(t, 200)
		if got := [][]string{begins(ann), begins(bob)}; cmp.Diff([][]string{step.ann, step.bob}, got) != "" {
			t.Errorf("after %s of %s they begin with %v, want %v and %v", step.view, step.role, got, step.ann, step.bob)
		}
	}
	if got := bob.Get(t, viewsPath+"/"+one).Want(t, 200); got.Text("default_for") != "["+first+"]" || got.At("default") != false {
		t.Errorf("%s", got.Body)
	}
	set(second, private).Problem(t, 422, "invalid", "view_id")
	set(second, uuid.NewString()).Problem(t, 422, "invalid", "view_id")
	set(second, bob.Create(t, viewsPath, Map{"name": "Bob's"})).Problem(t, 422, "invalid", "view_id")
	set(uuid.NewString(), one).Problem(t, 404, "role.absent")
	bob.Put(t, "/api/v1/roles/"+second+"/default-view", Map{"view_id": two}).Problem(t, 403, "forbidden")
	// What is not shared any more is nobody's default.
	a.Patch(t, viewsPath+"/"+two, Map{"shared": nil}).Want(t, 200)
	if got := [][]string{begins(ann), begins(bob)}; cmp.Diff([][]string{{one}, nil}, got) != "" {
		t.Errorf("they begin with %v", got)
	}
	if got := a.Get(t, viewsPath+"/"+two).Want(t, 200); len(got.List("default_for")) != 0 {
		t.Errorf("%s", got.Body)
	}
	// A built-in role has one as well.
	for _, r := range a.Get(t, "/api/v1/roles?limit=500").List("items") {
		if m := r.(Map); m["ref"] == role.Auditor {
			set(m["id"].(string), one).Want(t, 200)
			if got := a.Get(t, viewsPath+"/"+one).Want(t, 200); got.Text("default_for") != "[auditor "+first+"]" {
				t.Errorf("%s", got.Body)
			}
			set(m["id"].(string), nil).Want(t, 200)
		}
	}
}

// pickOut is some of an answer.
func pickOut(r *apitest.Response, fields ...string) Map {
	out := Map{}
	for _, name := range fields {
		out[name] = r.At(name)
	}
	return out
}
