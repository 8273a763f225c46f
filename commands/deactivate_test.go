package commands_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"annals/internal/apitest"
)

func TestDeactivate(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	l := newLeaver(t, s)
	a, other := l.admin, s.Again(t)
	e := a.EmployeeWithPassword(t, "Ended", []string{l.project}, []string{l.two})
	clients := []string{a.Client(t, l.project, "A", Map{"manager_id": e.ID}), a.Client(t, l.project, "B", Map{"manager_id": e.ID, "desk_id": l.two})}
	made := e.Post(t, keysPath, Map{"name": "Theirs", "permissions": grants("clients.view", "desk")}).Want(t, 201)
	key := &apitest.User{System: s, Token: made.Text("key")}
	link := resetToken(t, s, e.Email)
	signed := (&apitest.User{System: s, Token: signIn(t, s, e.Email, apitest.Password).Want(t, 200).Text("token")})
	everything := []*apitest.User{e, e.At(other), key, key.At(other), signed}
	for _, u := range everything {
		u.Get(t, "/api/v1/me").Want(t, 200)
	}
	at := employeesPath + "/" + e.ID
	gone := a.Post(t, at+"/deactivate", nil, "Idempotency-Key", "end")
	receipt(t, gone, 200, "2")
	got := []string{}
	for _, id := range gone.List("clients") {
		got = append(got, fmt.Sprint(id))
	}
	slices.Sort(got)
	slices.Sort(clients)
	if !slices.Equal(got, clients) || gone.Text("clients_total") != "2" {
		t.Errorf("%s", gone.Body)
	}
	dead := func() {
		t.Helper()
		for _, u := range everything {
			u.Do(t, "GET", "/api/v1/me", nil).Want(t, 401)
			u.Do(t, "POST", "/api/v1/clients", Map{"last_name": "X", "project_id": l.project}).Want(t, 401)
		}
	}
	dead()
	wrong, right := signIn(t, s, e.Email, "wrong password"), signIn(t, s, e.Email, apitest.Password)
	if right.Status != 401 || string(right.Body) != string(wrong.Body) {
		t.Errorf("%d %s", right.Status, right.Body)
	}
	nobody := &apitest.User{System: s}
	nobody.Do(t, "POST", resetsPath+"/confirm", Map{"token": link, "new_password": "another password"}).Problem(t, 422, "invalid", "token")
	mailed := len(s.Mailbox.To(e.Email))
	nobody.Do(t, "POST", resetsPath, Map{"email": e.Email}).Want(t, 202)
	s.Commands.Wait()
	if len(s.Mailbox.To(e.Email)) != mailed {
		t.Error("a link was mailed to somebody who is deactivated")
	}
	for _, r := range []*apitest.Response{
		a.Post(t, "/api/v1/clients", Map{"last_name": "X", "project_id": l.project, "manager_id": e.ID}),
		a.Post(t, "/api/v1/clients/"+l.noDesk+"/assign", Map{"manager_id": e.ID}),
	} {
		r.Problem(t, 422, "invalid", "manager_id")
	}
	if r := a.Get(t, at); r.Text("active") != "false" || r.Text("deactivated_at") == "" {
		t.Errorf("%s", r.Body)
	}
	a.After = ""
	head, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Get(t, keysPath+"/"+made.Text("id"), "Annals-After", head.String()).Want(t, 200); r.Text("revoked_at") == "" || r.Text("live") != "false" {
		t.Errorf("the key of somebody who is deactivated: %s", r.Body)
	}
	receipt(t, a.Post(t, at+"/deactivate", nil), 200, "2") // they are
	// Back again: what they had is gone, and they sign in anew.
	receipt(t, a.Post(t, at+"/reactivate", nil), 200, "3")
	dead()
	nobody.Do(t, "POST", resetsPath+"/confirm", Map{"token": link, "new_password": "another password"}).Problem(t, 422, "invalid", "token")
	back := s.SignIn(t, e.Email, apitest.Password)
	more := back.Post(t, keysPath, Map{"name": "New", "permissions": grants("clients.view", "desk")}).Want(t, 201).Text("key")
	// The request of before, once more, takes nothing of that away.
	if r := a.Post(t, at+"/deactivate", nil, "Idempotency-Key", "end").Want(t, 200); r.Header.Get("Idempotency-Replayed") != "true" || r.Text("revision") != "2" {
		t.Errorf("%s", r.Body)
	}
	for _, token := range []string{back.Token, more} {
		(&apitest.User{System: s, Token: token}).Get(t, "/api/v1/me").Want(t, 200)
	}
	managed(t, s, e.ID, clients...)
}

func TestDeactivateAndReassign(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	l := newLeaver(t, s)
	a := l.admin
	end := func(heir any, headers ...string) *apitest.Response {
		t.Helper()
		return a.Post(t, l.at+"/deactivate", Map{"reassign_to": heir}, headers...)
	}
	about(t, end(l.heir.ID).Problem(t, 422, "invalid", "reassign_to"), l.onOne)
	for _, no := range []string{l.who.ID, uuid.NewString()} {
		end(no).Problem(t, 422, "invalid", "reassign_to")
	}
	l.who.Get(t, "/api/v1/me").Want(t, 200) // what is refused ends nothing
	a.Assign(t, l.heir.ID, []string{l.project}, []string{l.one, l.two})
	end(l.heir.ID, "If-Match", `"0"`).Problem(t, 412, "revision")
	managed(t, s, l.who.ID, l.onOne, l.onTwo, l.noDesk)
	if r := end(l.heir.ID, "Idempotency-Key", "end").Want(t, 200); r.Text("clients_total") != "0" || len(r.List("clients")) != 0 {
		t.Errorf("%s", r.Body)
	}
	managed(t, s, l.heir.ID, l.onOne, l.onTwo, l.noDesk)
	// Once they are back and manage again, the request of before takes nothing from them.
	a.Post(t, l.at+"/reactivate", nil).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+l.onOne+"/assign", Map{"manager_id": l.who.ID}).Want(t, 200)
	end(l.heir.ID, "Idempotency-Key", "end").Want(t, 200)
	managed(t, s, l.who.ID, l.onOne)
	end(nil).Want(t, 200)
	managed(t, s, "", l.onOne)
	managed(t, s, l.heir.ID, l.onTwo)
}
