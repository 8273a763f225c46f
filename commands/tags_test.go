package commands_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain/role"
	"annals/internal/apitest"
)

const tagsPath = "/api/v1/tags"

func TestTags(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "Tags"), a.Project(t, "No tags")
	head := a.EmployeeAs(t, "Head", []string{role.ProjectAdmin}, []string{project}, nil)
	agent := a.Employee(t, "Agent", []string{project}, nil)
	stranger := a.EmployeeAs(t, "Stranger", []string{role.ProjectAdmin}, []string{other}, nil)
	vip, old := unique("VIP"), unique("Old")

	body := Map{"project_id": project, "name": " " + vip, "colour": "#1A7F37", "description": "Who?"}
	r := head.Post(t, tagsPath, body, "Idempotency-Key", vip).Want(t, 201)
	again(t, r, head.Post(t, tagsPath, body, "Idempotency-Key", vip))
	id := r.Text("id")
	if r.Header.Get("Location") != tagsPath+"/"+id {
		t.Errorf("Location %s of %s", r.Header.Get("Location"), id)
	}
	second := head.Post(t, tagsPath, Map{"project_id": project, "name": old}).Want(t, 201).Text("id")
	for _, u := range []*apitest.User{head, agent, a} {
		u.After = head.After
		got := u.Get(t, tagsPath+"/"+id).Want(t, 200)
		if got.Text("name") != vip || got.Text("key") != vip || got.Text("colour") != "#1a7f37" || got.Text("project_id") != project || got.Text("names") != "["+vip+"]" || got.Text("merged_into") != "" {
			t.Errorf("%s", got.Body)
		}
		if !listed(t, u, tagsPath+"?project="+project, id) || listed(t, u, tagsPath+"?project="+other, id) {
			t.Error("is listed elsewhere, or not")
		}
	}
	stranger.After = head.After
	stranger.Get(t, tagsPath+"/"+id).Problem(t, 404, "tag.absent")
	stranger.Patch(t, tagsPath+"/"+id, Map{"name": "x"}).Problem(t, 404, "tag.absent")
	stranger.Post(t, tagsPath+"/"+id+"/merge", Map{"into": second}).Problem(t, 404, "tag.absent")
	if listed(t, stranger, tagsPath, id) {
		t.Error("a stranger sees it")
	}
	agent.Patch(t, tagsPath+"/"+id, Map{"name": "x"}).Problem(t, 403, "forbidden")
	agent.Post(t, tagsPath, body).Problem(t, 403, "forbidden")
	head.Post(t, tagsPath, Map{"name": unique("x")}).Problem(t, 403, "not_assigned", "project_id")

	about(t, head.Post(t, tagsPath, Map{"project_id": project, "name": strings.ToLower(vip)}).Problem(t, 422, "invalid", "name"), id)
	head.Post(t, tagsPath, Map{"project_id": project, "name": "", "colour": "red"}).Problem(t, 422, "invalid", "name", "colour")
	gold := unique("Gold")
	head.Patch(t, tagsPath+"/"+id, Map{"name": gold, "colour": nil}).Want(t, 200)
	if got := head.Get(t, tagsPath+"/"+id); got.Text("name") != gold || got.Text("key") != vip || got.Text("colour") != "" || len(got.List("names")) != 2 {
		t.Errorf("%s", got.Body)
	}
	r = head.Post(t, tagsPath+"/"+second+"/merge", Map{"into": id}, "Idempotency-Key", "merge").Want(t, 200)
	again(t, r, head.Post(t, tagsPath+"/"+second+"/merge", Map{"into": id}, "Idempotency-Key", "merge"))
	if got := head.Get(t, tagsPath+"/"+second); got.Text("merged_into") != id || len(got.List("names")) != 0 || listed(t, head, tagsPath, second) {
		t.Errorf("%s", got.Body)
	}
	if got := head.Get(t, tagsPath+"/"+id); len(got.List("names")) != 3 {
		t.Errorf("%s", got.Body)
	}
	head.Post(t, tagsPath+"/"+id+"/merge", Map{"into": second}).Problem(t, 422, "invalid", "into")
	head.Patch(t, tagsPath+"/"+second, Map{"name": "x"}).Problem(t, 409, "tag.merged")
	head.Post(t, tagsPath+"/"+id+"/retire", nil).Want(t, 200)
	if !listed(t, head, tagsPath+"?retired=true", id) || listed(t, head, tagsPath+"?retired=false", id) {
		t.Error("is not retired")
	}
	head.Post(t, tagsPath+"/"+id+"/restore", nil).Want(t, 200)
	head.Post(t, tagsPath+"/"+uuid.NewString()+"/retire", nil).Problem(t, 404, "tag.absent")
}

// Renaming and merging are one event, and are everywhere at once: where clients are
// shown, where they are looked for, by old names and new, and in other projects not.
func TestTagsOfClients(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project, other := a.Project(t, "Tagged"), a.Project(t, "Tagged elsewhere")
	vip, old, gold := unique("VIP"), unique("Old"), unique("Gold")
	before := a.Client(t, project, "Before", Map{"tags": []string{vip}}) // tagged before anybody defined it
	both := a.Client(t, project, "Both", Map{"tags": []string{old, vip}})
	elsewhere := a.Client(t, other, "Elsewhere", Map{"tags": []string{vip}})
	tags := func(id string) string { return a.Get(t, "/api/v1/clients/"+id).Want(t, 200).Text("tags") }
	found := func(name string) int {
		return len(a.Get(t, "/api/v1/clients?tag="+name+"&project="+project+"&project="+other).Want(t, 200).List("items"))
	}
	id := a.Post(t, tagsPath, Map{"project_id": project, "name": vip}).Want(t, 201).Text("id")
	second := a.Post(t, tagsPath, Map{"project_id": project, "name": old}).Want(t, 201).Text("id")
	a.Patch(t, tagsPath+"/"+id, Map{"name": gold}).Want(t, 200)
	after := a.Client(t, project, "After", Map{"tags": []string{strings.ToUpper(gold)}})
	for client, want := range map[string]string{before: "[" + gold + "]", after: "[" + gold + "]", both: "[" + gold + " " + old + "]", elsewhere: "[" + vip + "]"} {
		if got := tags(client); got != want {
			t.Errorf("%s has %s, want %s", client, got, want)
		}
	}
	for name, want := range map[string]int{gold: 3, strings.ToLower(gold): 3, vip: 4, old: 1, gold + "x": 0} {
		if got := found(name); got != want {
			t.Errorf("%s finds %d, want %d", name, got, want)
		}
	}
	a.Post(t, tagsPath+"/"+second+"/merge", Map{"into": id}).Want(t, 200)
	if got := tags(both); got != "["+gold+"]" {
		t.Errorf("after merging %s", got)
	}
	if found(old) != 3 || found(gold) != 3 {
		t.Errorf("%d %d", found(old), found(gold))
	}
	a.Post(t, "/api/v1/clients/"+both+"/retag", Map{"remove": []string{gold}}).Want(t, 200)
	if got := tags(both); got != "[]" || found(old) != 2 {
		t.Errorf("after it was taken off %s, found %d", got, found(old))
	}
}
