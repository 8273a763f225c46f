package commands_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"annals/internal/apitest"
)

func TestIfMatch(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Matching")
	at := "/api/v1/clients/" + a.Client(t, p, "Match")
	tag := func(name string) Map { return Map{"add": []string{name}} }
	etag := a.Post(t, at+"/retag", tag("one"), "If-Match", `"0"`).Want(t, 200).Header.Get("ETag")
	for i, same := range []string{etag, "W/" + `"2"`, "3", "*"} {
		receipt(t, a.Post(t, at+"/retag", tag(fmt.Sprint("t", i)), "If-Match", same), 200, strconv.Itoa(i+2))
	}
	a.Post(t, at+"/retag", tag("late"), "If-Match", `"0"`).Problem(t, 412, "revision")
	a.Post(t, at+"/retag", tag("early"), "If-Match", `"17"`).Problem(t, 412, "revision")
	a.Post(t, at+"/retag", Map{"add": []string{"one"}}, "If-Match", `"0"`).Problem(t, 412, "revision") // even where nothing would change
	a.Patch(t, at, Map{"email": "x@example.com"}, "If-Match", `"0"`).Problem(t, 412, "revision")
	a.Post(t, at+"/reactivate", nil, "If-Match", `"0"`).Problem(t, 412, "revision")
	for _, bad := range []string{`"x"`, `""`, `"`, `"5`, `5"`, `""5""`, "-1", "+5", "1e3", `"1", "2"`, "W/", "0x5", `"9223372036854775808"`, strings.Repeat("5", 31)} {
		a.Post(t, at+"/retag", tag("bad"), "If-Match", bad).Problem(t, 422, "invalid", "If-Match")
	}
	if got := a.Get(t, at).Text("revision"); got != "5" {
		t.Errorf("revision %s", got)
	}
	a.Post(t, "/api/v1/clients/"+p+"/retag", tag("x"), "If-Match", `"0"`).Problem(t, 404, "client.absent")
	receipt(t, a.Patch(t, at, Map{"email": "y@example.com"}, "If-Match", a.Get(t, at).Header.Get("ETag")), 200, "6")
}

// again checks that an answer repeats an earlier one.
func again(t *testing.T, first, second *apitest.Response) {
	t.Helper()
	if second.Status != first.Status || string(second.Body) != string(first.Body) || second.Header.Get("ETag") != first.Header.Get("ETag") ||
		second.Header.Get("Location") != first.Header.Get("Location") || second.Header.Get("Annals-Position") != first.Header.Get("Annals-Position") {
		t.Fatalf("%s was answered %d %s\nand then %d %s", first.Request, first.Status, first.Body, second.Status, second.Body)
	}
	if second.Header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("%s: the repeated answer does not say so", first.Request)
	}
}

func TestIdempotentChanges(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a, b := s.Admin(t), s.Admin(t)
	p := a.Project(t, "Repeating")
	c := a.Client(t, p, "Twice")
	other := a.Client(t, p, "Other")
	at := "/api/v1/clients/" + c
	for i, command := range []struct {
		path          string
		body, another Map
	}{
		{"/retag", Map{"add": []string{"x"}}, Map{"add": []string{"y"}}},
		{"/status", Map{"status": "active"}, Map{"status": "inactive"}},
		{"/deactivate", Map{"reason": "one"}, Map{"reason": "two"}},
		{"/reactivate", nil, nil},
		{"", Map{"email": "a@example.com", "address": Map{"city": "Vigo"}}, Map{"email": "b@example.com"}},
	} {
		send := func(u *apitest.User, at string, body any) *apitest.Response {
			if command.path == "" {
				return u.Patch(t, at, body, "Idempotency-Key", "key")
			}
			if m, ok := body.(Map); ok && m == nil {
				body = nil
			}
			return u.Post(t, at+command.path, body, "Idempotency-Key", "key")
		}
		first := send(a, at, command.body)
		first.Want(t, 200)
		if first.Header.Get("Idempotency-Replayed") != "" {
			t.Fatalf("%s is said to be a replay", first.Request)
		}
		again(t, first, send(a, at, command.body))
		again(t, first, send(a.At(s.Again(t)), at, command.body)) // another process, or this one started again
		if command.another != nil {
			send(a, at, command.another).Problem(t, 422, "invalid", "Idempotency-Key")
		}
		if r := send(b, at, command.body); r.Want(t, 200).Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: the key of somebody else counts", r.Request)
		}
		if r := send(a, "/api/v1/clients/"+other, command.body); r.Want(t, 200).Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("%s: the key of another client's command counts", r.Request)
		}
		if got := a.Get(t, at).Text("revision"); got != strconv.Itoa(i+1) {
			t.Fatalf("%s: revision %s", first.Request, got)
		}
	}
	// Long after, when it would be decided differently.
	first := a.Post(t, at+"/retag", Map{"add": []string{"late"}}, "Idempotency-Key", "late").Want(t, 200)
	a.Post(t, at+"/retag", Map{"remove": []string{"late"}}).Want(t, 200)
	a.Post(t, at+"/deactivate", Map{"reason": "gone"}).Want(t, 200)
	again(t, first, a.Post(t, at+"/retag", Map{"add": []string{"late"}}, "Idempotency-Key", "late"))
	again(t, first, a.Post(t, at+"/retag", Map{"add": []string{"late"}}, "Idempotency-Key", "late", "If-Match", `"0"`))
	again(t, first, a.At(s.Again(t)).Post(t, at+"/retag", Map{"add": []string{"late"}}, "Idempotency-Key", "late"))
	a.Post(t, at+"/reactivate", nil, "Idempotency-Key", strings.Repeat("k", 256)).Problem(t, 422, "invalid", "Idempotency-Key")
	if tags := a.Get(t, at).Text("tags"); tags != "[x]" {
		t.Errorf("tags %s", tags)
	}
}

func TestIdempotentCreates(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a, b := s.Admin(t), s.Admin(t)
	p := a.Project(t, "Creating")
	email := "twice-" + p[:8] + "@example.com"
	for path, body := range map[string]Map{
		"/api/v1/projects":  {"name": "Once"},
		"/api/v1/desks":     {"name": "Once", "project_id": p},
		"/api/v1/clients":   {"last_name": "Once", "project_id": p, "email": "once@example.com"},
		"/api/v1/employees": {"name": "Once", "email": email, "password": apitest.Password},
	} {
		key := []string{"Idempotency-Key", "create " + path}
		first := a.Post(t, path, body, key...).Want(t, 201)
		again(t, first, a.Post(t, path, body, key...))
		again(t, first, a.At(s.Again(t)).Post(t, path, body, key...))
		for field := range body {
			if field == "project_id" {
				continue
			}
			another := maps.Clone(body)
			another[field] = map[string]any{"email": "another-" + email, "password": "another password"}[field]
			if another[field] == nil {
				another[field] = "Another"
			}
			a.Post(t, path, another, key...).Problem(t, 422, "invalid", "Idempotency-Key")
		}
		if path != "/api/v1/employees" {
			if r := b.Post(t, path, body, key...).Want(t, 201); r.Text("id") == first.Text("id") || r.Header.Get("Idempotency-Replayed") != "" {
				t.Errorf("%s: the key of somebody else counts", path)
			}
		}
		// Without a key each request is one of its own.
		if path != "/api/v1/employees" {
			if r := a.Post(t, path, body).Want(t, 201); r.Text("id") == first.Text("id") {
				t.Errorf("%s without a key made the same", path)
			}
		}
		a.Get(t, first.Header.Get("Location")).Want(t, 200)
	}
	// What was refused was not carried out: it may be put right under the same key.
	r := a.Post(t, "/api/v1/clients", Map{"project_id": p}, "Idempotency-Key", "refused")
	r.Problem(t, 422, "invalid", "last_name")
	a.Post(t, "/api/v1/clients", Map{"project_id": p, "last_name": "Right"}, "Idempotency-Key", "refused").Want(t, 201)
}

// A command that changed nothing changes nothing either when it comes again, after
// things have become different.
func TestIdempotentNoops(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Noops")
	at := "/api/v1/clients/" + a.Client(t, p, "Lead")
	first := a.Post(t, at+"/status", Map{"status": "lead"}, "Idempotency-Key", "lead").Want(t, 200)
	a.Post(t, at+"/status", Map{"status": "active"}).Want(t, 200)
	again(t, first, a.Post(t, at+"/status", Map{"status": "lead"}, "Idempotency-Key", "lead"))
	a.Post(t, at+"/status", Map{"status": "inactive"}, "Idempotency-Key", "lead").Problem(t, 422, "invalid", "Idempotency-Key")
	if got := a.Get(t, at).Text("status"); got != "active" {
		t.Errorf("status %s", got)
	}
}

// together runs f n times at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

func TestIdempotentConcurrently(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "At once")
	other := s.Again(t)
	at := "/api/v1/clients/" + a.Client(t, p, "Busy")
	for _, command := range []struct {
		path   string
		body   Map
		status int
	}{
		{"/api/v1/clients", Map{"last_name": "Raced", "project_id": p}, 201},
		{"/api/v1/projects", Map{"name": "Raced"}, 201},
		{"/api/v1/employees", Map{"name": "Raced", "email": "raced-" + p[:8] + "@example.com", "password": apitest.Password}, 201},
		{at + "/retag", Map{"add": []string{"raced"}}, 200},
	} {
		const n = 8
		var answers [n]*apitest.Response
		together(n, func(i int) {
			u := *a // each with what it waits for
			if i%2 == 1 {
				u = *a.At(other)
			}
			answers[i] = u.Post(t, command.path, command.body, "Idempotency-Key", "raced")
		})
		replayed := 0
		for _, r := range answers {
			if r.Status != command.status || string(r.Body) != string(answers[0].Body) {
				t.Fatalf("%s: %d %s, and %d %s", command.path, answers[0].Status, answers[0].Body, r.Status, r.Body)
			}
			if r.Header.Get("Idempotency-Replayed") == "true" {
				replayed++
			}
		}
		if replayed < n-2 { // each of the two processes may think that it was the first
			t.Errorf("%s: %d of %d are replays", command.path, replayed, n)
		}
	}
	a.After = a.Post(t, at+"/retag", Map{"add": []string{"end"}}).Header.Get("Annals-Position")
	if r := a.Get(t, at); r.Text("revision") != "2" {
		t.Errorf("%s", r.Body)
	}
}

// Everybody gets through who changes one client at the same moment, from two processes.
func TestRaces(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Racing")
	other := s.Again(t)
	at := "/api/v1/clients/" + a.Client(t, p, "Raced")
	const n = 32
	together(n, func(i int) {
		u := *a
		if i%2 == 1 {
			u = *a.At(other)
		}
		u.Post(t, at+"/retag", Map{"add": []string{fmt.Sprint("tag", i)}}).Want(t, 200)
	})
	a.Post(t, at+"/status", Map{"status": "active"}).Want(t, 200)
	if r := a.Get(t, at); r.Text("revision") != strconv.Itoa(n+1) || len(r.List("tags")) != n {
		t.Errorf("%s", r.Body)
	}
	// With If-Match exactly one does.
	var won sync.Map
	together(8, func(i int) {
		u := *a
		r := u.Post(t, at+"/retag", Map{"add": []string{fmt.Sprint("only", i)}}, "If-Match", strconv.Quote(strconv.Itoa(n+1)))
		switch r.Status {
		case 200:
			won.Store(i, true)
		case 412:
		default:
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
	winners := 0
	won.Range(func(any, any) bool { winners++; return true })
	if winners != 1 {
		t.Errorf("%d won", winners)
	}
}
