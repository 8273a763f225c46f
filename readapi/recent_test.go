package readapi_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/internal/apitest"
)

const recentPath = "/api/v1/clients/recent"

func TestRecentlyOpened(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Recent")
	north, south := a.Desk(t, project, "North"), a.Desk(t, project, "South")
	ann, bob := a.Employee(t, "Ann", []string{project}, []string{north}), a.Employee(t, "Bob", []string{project}, []string{north})
	var clients []string
	for i := range 3 {
		clients = append(clients, a.Client(t, project, fmt.Sprint("Client ", i), apitest.Map{"desk_id": north}))
	}
	hidden := a.Client(t, project, "Hidden", apitest.Map{"desk_id": south})
	ann.After, bob.After = a.After, a.After
	open := func(u *apitest.User, ids ...string) {
		for _, id := range ids {
			u.Get(t, "/api/v1/clients/"+id).Want(t, 200)
		}
	}
	is := func(u *apitest.User, query string, want ...string) {
		t.Helper()
		got := u.Get(t, recentPath+query).Want(t, 200)
		if diff := cmp.Diff(append([]string{}, want...), append([]string{}, got.Column("id")...)); diff != "" {
			t.Errorf("%s", diff)
		}
	}
	is(ann, "")
	open(ann, clients[0], clients[1], clients[2], clients[0])
	ann.Get(t, "/api/v1/clients/"+hidden).Problem(t, 404, "client.absent")
	ann.Get(t, "/api/v1/clients/"+clients[1]+"/history").Want(t, 200) // which is not all of it
	ann.Get(t, "/api/v1/clients").Want(t, 200)
	is(ann, "", clients[0], clients[2], clients[1])
	is(ann, "?limit=2", clients[0], clients[2])
	is(bob, "")
	// Each is as in the list, and has when.
	listed := map[string]any{}
	for _, item := range ann.Get(t, "/api/v1/clients").Want(t, 200).List("items") {
		listed[item.(apitest.Map)["id"].(string)] = item
	}
	for _, item := range ann.Get(t, recentPath).Want(t, 200).List("items") {
		m := item.(apitest.Map)
		if m["opened_at"] == nil {
			t.Errorf("%v", m)
		}
		delete(m, "opened_at")
		if diff := cmp.Diff(listed[m["id"].(string)], item); diff != "" {
			t.Error(diff)
		}
	}
	// Another process knows once it is written.
	there := ann.At(s.Again(t))
	if err := s.Recent.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	is(there, "", clients[0], clients[2], clients[1])
	open(there, clients[1])
	is(there, "", clients[1], clients[0], clients[2])
	// What one does not see any more is not there, and is again when one does.
	a.Post(t, "/api/v1/clients/"+clients[2]+"/assign", apitest.Map{"desk_id": south}).Want(t, 200)
	ann.After = a.After
	is(ann, "", clients[0], clients[1])
	a.Post(t, "/api/v1/clients/"+clients[2]+"/assign", apitest.Map{"desk_id": north}).Want(t, 200)
	ann.After = a.After
	is(ann, "", clients[0], clients[2], clients[1])
	// A key opens nothing, for its owner neither.
	key := &apitest.User{System: s, After: a.After, Token: bob.Post(t, "/api/v1/api-keys", apitest.Map{"name": "sync", "permissions": []apitest.Map{{"permission": "clients.view", "reach": "desk"}}}).Want(t, 201).Text("key")}
	open(key, clients[0])
	key.Get(t, recentPath).Problem(t, 403, "people_only")
	is(bob, "")
	for _, query := range []string{"?limit=0", "?limit=51", "?sort=name"} {
		if r := ann.Get(t, recentPath+query); r.Status != 422 {
			t.Errorf("%s: %d", query, r.Status)
		}
	}
	if r := ann.Get(t, "/api/v1/clients/"+uuid.NewString()); r.Status != 404 {
		t.Errorf("%d", r.Status)
	}
	if slices.Contains(ann.Get(t, recentPath).Column("id"), hidden) {
		t.Error("what was not seen was opened")
	}
}

// No more than 50 are kept.
func TestRecentlyOpenedMost(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	project := a.Project(t, "Most")
	var want []string
	for i := range 55 {
		id := a.Client(t, project, fmt.Sprint("Client ", i))
		a.Get(t, "/api/v1/clients/"+id).Want(t, 200)
		want = append([]string{id}, want...)
	}
	for range 2 {
		if diff := cmp.Diff(want[:50], a.Get(t, recentPath+"?limit=50").Want(t, 200).Column("id")); diff != "" {
			t.Error(diff)
		}
		if got := a.Get(t, recentPath).Column("id"); len(got) != 20 {
			t.Errorf("%d", len(got))
		}
		if err := s.Recent.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
