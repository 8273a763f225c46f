package commands_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain/role"
	"annals/internal/apitest"
)

const fieldsPath = "/api/v1/custom-fields"

// unique is a name that no other test of the package has.
func unique(name string) string {
	return name + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:10]
}

// listed is a definition in the answer that lists them.
func listed(t *testing.T, u *apitest.User, path, id string) bool {
	t.Helper()
	return slices.Contains(u.Get(t, path).Want(t, 200).Column("id"), id)
}

func TestCustomFields(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "Fields"), a.Project(t, "No fields")
	head := a.EmployeeAs(t, "Head", []string{role.ProjectAdmin}, []string{project}, nil)
	agent := a.Employee(t, "Agent", []string{project}, nil)
	stranger := a.EmployeeAs(t, "Stranger", []string{role.ProjectAdmin}, []string{other}, nil)
	key := unique("tier")
	body := Map{
		"project_id": project, "key": key, "type": "one_of", "label": " Tier ", "help": "Which?", "group": "Contract", "order": 3, "required": true, "default": "Silver",
		"options": []Map{{"key": "silver", "label": "Silver"}, {"key": "gold", "label": "Gold"}},
	}
	r := head.Post(t, fieldsPath, body, "Idempotency-Key", key).Want(t, 201)
	again(t, r, head.Post(t, fieldsPath, body, "Idempotency-Key", key))
	id := r.Text("id")
	if r.Header.Get("Location") != fieldsPath+"/"+id {
		t.Errorf("Location %s of %s", r.Header.Get("Location"), id)
	}
	for _, u := range []*apitest.User{head, agent, a} {
		u.After = head.After
		got := u.Get(t, fieldsPath+"/"+id).Want(t, 200)
		if got.Text("key") != key || got.Text("label") != "Tier" || got.Text("default") != "silver" || got.Text("project_id") != project || got.Text("options.1.label") != "Gold" ||
			got.Text("order") != "3" || got.Text("required") != "true" || got.Text("retired_at") != "" || got.Text("group") != "Contract" {
			t.Errorf("%s", got.Body)
		}
		if !listed(t, u, fieldsPath+"?project="+project, id) || listed(t, u, fieldsPath+"?project="+other, id) || listed(t, u, fieldsPath+"?project=none", id) {
			t.Error("is listed elsewhere, or not")
		}
	}
	// Who works elsewhere knows nothing of it.
	stranger.After = head.After
	stranger.Get(t, fieldsPath+"/"+id).Problem(t, 404, "field.absent")
	stranger.Patch(t, fieldsPath+"/"+id, Map{"label": "x"}).Problem(t, 404, "field.absent")
	stranger.Patch(t, fieldsPath+"/"+id, Map{"label": "x"}, "If-Match", `"7"`).Problem(t, 404, "field.absent")
	stranger.Post(t, fieldsPath+"/"+id+"/retire", nil).Problem(t, 404, "field.absent")
	if listed(t, stranger, fieldsPath, id) || listed(t, stranger, fieldsPath+"?project="+project, id) {
		t.Error("a stranger sees it")
	}
	// Who works there sees it, and changes nothing.
	agent.Patch(t, fieldsPath+"/"+id, Map{"label": "x"}).Problem(t, 403, "forbidden")
	agent.Post(t, fieldsPath, body).Problem(t, 403, "forbidden")
	head.Post(t, fieldsPath, Map{"key": unique("all"), "type": "text", "label": "x"}).Problem(t, 403, "not_assigned", "project_id")
	stranger.Post(t, fieldsPath, Map{"key": unique("x"), "type": "text", "label": "x", "project_id": project}).Problem(t, 403, "not_assigned", "project_id")

	taken := head.Post(t, fieldsPath, Map{"project_id": project, "key": key, "type": "text", "label": "x"}).Problem(t, 422, "invalid", "key")
	about(t, taken, id)
	a.Post(t, fieldsPath, Map{"key": key, "type": "text", "label": "x"}).Problem(t, 422, "invalid", "key")
	head.Post(t, fieldsPath, Map{"project_id": project, "key": unique("x"), "type": "money", "label": "", "default": 5}).Problem(t, 422, "invalid", "label", "default")

	r = head.Patch(t, fieldsPath+"/"+id, Map{"label": "Level", "help": nil, "required": false, "options": []Map{{"key": "gold", "label": "Or"}, {"key": "silver", "label": "Silver", "retired": false}}}, "Idempotency-Key", "patch").Want(t, 200)
	again(t, r, head.Patch(t, fieldsPath+"/"+id, Map{"label": "Level", "help": nil, "required": false, "options": []Map{{"key": "gold", "label": "Or"}, {"key": "silver", "label": "Silver", "retired": false}}}, "Idempotency-Key", "patch"))
	if r.Text("id") != id {
		t.Errorf("the answer is about %s", r.Text("id"))
	}
	got := head.Get(t, fieldsPath+"/"+id)
	if got.Text("label") != "Level" || got.Text("help") != "" || got.Text("options.0.label") != "Or" || got.Text("required") != "false" || got.Text("default") != "silver" {
		t.Errorf("%s", got.Body)
	}
	head.Patch(t, fieldsPath+"/"+id, Map{"options": []Map{}, "type": "text"}).Problem(t, 422, "invalid", "type")
	head.Patch(t, fieldsPath+"/"+id, Map{"options": []Map{{"key": "gold", "label": "Or"}}}).Problem(t, 422, "invalid", "options")

	head.Post(t, fieldsPath+"/"+id+"/retire", nil).Want(t, 200)
	if got := head.Get(t, fieldsPath+"/"+id); got.Text("retired_at") == "" || listed(t, head, fieldsPath+"?retired=false", id) || !listed(t, head, fieldsPath+"?retired=true", id) {
		t.Errorf("retired: %s", got.Body)
	}
	head.Post(t, fieldsPath+"/"+id+"/restore", nil).Want(t, 200)
	if got := head.Get(t, fieldsPath+"/"+id); got.Text("retired_at") != "" || !listed(t, head, fieldsPath+"?retired=false", id) {
		t.Errorf("restored: %s", got.Body)
	}
	absent := uuid.NewString()
	head.Patch(t, fieldsPath+"/"+absent, Map{"label": "x"}).Problem(t, 404, "field.absent")
	head.Post(t, fieldsPath+"/"+absent+"/restore", nil).Problem(t, 404, "field.absent")
	head.Get(t, fieldsPath+"/"+absent).Problem(t, 404, "field.absent")
}

// The revision is that of all definitions, and whoever sends the one that they have
// seen changes that and nothing else.
func TestRevisionsOfDefinitions(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	for path, more := range map[string]Map{fieldsPath: {"type": "text", "label": "x"}, tagsPath: {}} {
		define := func(key string, headers ...string) *apitest.Response {
			body := maps.Clone(more)
			if path == fieldsPath {
				body["key"] = key
			} else {
				body["name"] = key
			}
			return a.Post(t, path, body, headers...)
		}
		one := receipt(t, define("one"), 201, "0")
		receipt(t, define("two"), 201, "1")
		if got := a.Get(t, path+"/"+one); got.Header.Get("ETag") != `"1"` || got.Text("revision") != "1" {
			t.Errorf("%s %s", got.Header.Get("ETag"), got.Body)
		}
		define("three", "If-Match", `"0"`).Problem(t, 412, "revision")
		receipt(t, define("three", "If-Match", `"1"`), 201, "2")
		a.Post(t, path+"/"+one+"/retire", nil, "If-Match", `"1"`).Problem(t, 412, "revision")
		receipt(t, a.Post(t, path+"/"+one+"/retire", nil, "If-Match", `"2"`), 200, "3")
		receipt(t, a.Post(t, path+"/"+one+"/retire", nil), 200, "3") // nothing to do
		a.Post(t, path+"/"+uuid.NewString()+"/retire", nil, "If-Match", `"0"`).Problem(t, 404, map[string]string{fieldsPath: "field", tagsPath: "tag"}[path]+".absent")
	}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "Transitions"), a.Project(t, "Elsewhere")
	head := a.EmployeeAs(t, "Head", []string{role.ProjectAdmin}, []string{project}, nil)
	agent := a.Employee(t, "Agent", []string{project}, nil)
	path := "/api/v1/projects/" + project
	put := func(u *apitest.User, allowed any, headers ...string) *apitest.Response {
		r := u.Do(t, "PUT", path+"/transitions", Map{"allowed": allowed}, headers...)
		if at := r.Header.Get("Annals-Position"); at != "" {
			head.After = at
		}
		return r
	}
	transitions := func() string {
		return head.Get(t, path).Want(t, 200).Text("transitions")
	}
	const all = "map[active:[lead inactive] inactive:[lead active] lead:[active inactive]]"
	if got := transitions(); got != all {
		t.Errorf("at first %s", got)
	}
	receipt(t, put(head, Map{"lead": []string{"active"}, "active": []string{"inactive"}}), 200, "1")
	if got := transitions(); got != "map[active:[inactive] inactive:[] lead:[active]]" {
		t.Errorf("%s", got)
	}
	put(head, nil, "If-Match", `"0"`).Problem(t, 412, "revision")
	put(head, Map{"lead": []string{"won"}}).Problem(t, 422, "invalid", "allowed.lead[0]")
	put(agent, nil).Problem(t, 403, "forbidden")
	head.Do(t, "PUT", "/api/v1/projects/"+other+"/transitions", Map{"allowed": nil}).Problem(t, 404, "project.absent")
	head.Do(t, "PUT", "/api/v1/projects/"+uuid.NewString()+"/transitions", Map{"allowed": nil}).Problem(t, 404, "project.absent")
	receipt(t, put(head, nil, "If-Match", `"1"`), 200, "2")
	if got := transitions(); got != all {
		t.Errorf("reset %s", got)
	}
	receipt(t, put(head, Map{}), 200, "2")
	if got := head.Get(t, path); got.Header.Get("ETag") != `"2"` {
		t.Errorf("%s", got.Header.Get("ETag"))
	}
}
