package readapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/internal/apitest"
)

// The feed is newest first, by kind where one is asked for, a page at a time, and
// shows what notes have become as well as what became of the client.
func TestFeedOfNotes(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Feed")
	client := admin.Client(t, project, "Frida")
	feed := "/api/v1/clients/" + client + "/activity"
	var ids []string
	for i := range 5 {
		ids = append(ids, admin.Create(t, "/api/v1/clients/"+client+"/notes", apitest.Map{"text": fmt.Sprint("note ", i)}))
	}
	note := func(i int) string { return "/api/v1/clients/" + client + "/notes/" + ids[i] }
	admin.Patch(t, note(1), apitest.Map{"text": "edited", "pinned": true}).Want(t, 200)
	admin.Delete(t, note(2), nil).Want(t, 200)

	all := admin.Get(t, feed).Want(t, 200)
	if diff := cmp.Diff([]string{"note", "note", "note", "note", "change"}, all.Column("kind")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"note 4", "note 3", "edited", "note 0"}, all.Column("text")[:4]); diff != "" {
		t.Error(diff)
	}
	if got := all.Text("items.4.type"); got != "client.registered" || len(all.List("items.4.changes")) == 0 {
		t.Errorf("a change is %v", all.At("items.4"))
	}
	if got := admin.Get(t, feed+"?pinned=true").Want(t, 200).Column("id"); len(got) != 1 || got[0] != ids[1] {
		t.Errorf("pinned: %v", got)
	}
	var paged []string
	for next := feed + "?kind=note&kind=change&limit=2"; next != ""; {
		page := admin.Get(t, next).Want(t, 200)
		paged = append(paged, page.Column("id")...)
		if next = ""; page.At("next_cursor") != nil {
			next = feed + "?kind=note&kind=change&limit=2&cursor=" + page.Text("next_cursor")
		}
	}
	if diff := cmp.Diff(all.Column("id"), paged); diff != "" {
		t.Error(diff)
	}
	admin.Get(t, feed+"?kind=rumour").Problem(t, 422, "invalid", "kind[0]")
	// The history has all of it, in order.
	if diff := cmp.Diff([]string{"client.registered", "note.added", "note.added", "note.added", "note.added", "note.added", "note.edited", "note.pinned", "note.deleted"},
		admin.Get(t, "/api/v1/clients/"+client+"/history?with=activities").Want(t, 200).Column("type")); diff != "" {
		t.Error(diff)
	}
	other := admin.Client(t, project, "Other")
	admin.Patch(t, "/api/v1/clients/"+other+"/notes/"+ids[0], apitest.Map{"text": "x"}).Problem(t, 404, "note.absent")

	stranger := admin.EmployeeAs(t, "Stranger", []string{"agent"}, []string{project}, nil)
	stranger.Get(t, feed).Problem(t, 404, "client.absent")
	stranger.Post(t, "/api/v1/clients/"+client+"/notes", apitest.Map{"text": "x"}).Problem(t, 404, "client.absent")
	stranger.Patch(t, note(0), apitest.Map{"text": "x"}).Problem(t, 404, "client.absent")
}
