package commands_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/apitest"
	"annals/internal/auth"
)

func signIn(t *testing.T, s *apitest.System, email, password string) *apitest.Response {
	t.Helper()
	return (&apitest.User{System: s}).Do(t, "POST", "/api/v1/session", Map{"email": email, "password": password})
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Sessions")
	d := a.Desk(t, p, "Sales")
	e := a.EmployeeWithPassword(t, "Mira Okafor", []string{p}, []string{d})
	r := signIn(t, s, " "+strings.ToUpper(e.Email), apitest.Password).Want(t, 200)
	for path, want := range map[string]string{
		"employee.id": e.ID, "employee.name": "Mira Okafor", "employee.email": e.Email, "employee.roles": "[agent]",
		"employee.projects": "[" + p + "]", "employee.desks": "[" + d + "]",
	} {
		if got := r.Text(path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	expires, err := time.Parse(time.RFC3339, r.Text("expires_at"))
	if left := expires.Sub(s.Clock.Now()); err != nil || left > auth.AbsoluteLifetime || left < auth.AbsoluteLifetime-time.Minute {
		t.Errorf("expires_at %s: %v", r.Text("expires_at"), err)
	}
	mine := &apitest.User{System: s, Token: r.Text("token")}
	if who := mine.Get(t, "/api/v1/me").Want(t, 200); who.Text("id") != e.ID || who.At("token") != nil {
		t.Errorf("who am I: %s", who.Body)
	}
	// The token is nowhere but here: the database has its digest.
	sum := sha256.Sum256([]byte(mine.Token))
	var rows, digests int
	err = s.DB.QueryRow(t.Context(), `select count(*), count(*) filter (where token_hash = $1) from annals_auth.sessions x where x.token_hash = $1 or x::text like '%' || $2 || '%'`,
		sum[:], strings.TrimPrefix(mine.Token, "annals_s_")).Scan(&rows, &digests)
	if err != nil || rows != 1 || digests != 1 {
		t.Errorf("%d rows, %d by digest, %v", rows, digests, err)
	}
	// Signing out ends this session, here and in other processes, and no other one.
	other := mine.At(s.Again(t))
	other.Get(t, "/api/v1/me").Want(t, 200)
	if r := mine.Do(t, "DELETE", "/api/v1/session", nil); r.Status != 204 || len(r.Body) > 0 {
		t.Errorf("sign out: %d %s", r.Status, r.Body)
	}
	mine.Get(t, "/api/v1/me").Problem(t, 401, "token")
	other.Get(t, "/api/v1/me").Problem(t, 401, "token")
	e.Get(t, "/api/v1/me").Want(t, 200)
}

func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	known := a.EmployeeWithPassword(t, "Known", nil, nil).Email
	silent := "silent-" + known
	a.Create(t, "/api/v1/employees", Map{"name": "No Password", "email": silent})
	wrong := signIn(t, s, known, "wrong password")
	wrong.Problem(t, 401, "sign_in")
	for name, x := range map[string]struct{ email, password string }{
		"unknown":           {"unknown-" + known, "wrong password"},
		"empty password":    {known, ""},
		"nothing":           {"", ""},
		"no password set":   {silent, ""},
		"no password set 2": {silent, "wrong password"},
		"another case":      {known, strings.ToUpper(apitest.Password)},
		"longer":            {known, apitest.Password + "x"},
		"longest":           {known, strings.Repeat("ä", 256)},
		"no address":        {"' or 1=1 --", "wrong password"},
		"control character": {"a\x00@b.c", "wrong\x00password"},
		"wildcard":          {"%", "wrong password"},
	} {
		r := signIn(t, s, x.email, x.password)
		if r.Status != wrong.Status || string(r.Body) != string(wrong.Body) || r.Header.Get("Www-Authenticate") != wrong.Header.Get("Www-Authenticate") {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	tail := uuid.NewString()[:8] + "@Example.com"
	a.Create(t, "/api/v1/employees", Map{"name": "First", "email": "Émile-" + tail, "password": apitest.Password})
	for _, same := range []string{"Émile-" + tail, "émile-" + strings.ToUpper(tail), " E\u0301MILE-" + tail + " ", "\u202aémile-" + tail} {
		a.Post(t, "/api/v1/employees", Map{"name": "Second", "email": same}).Problem(t, 409, "taken", "email")
	}
	a.Create(t, "/api/v1/employees", Map{"name": "Second", "email": "emile-" + tail})
	signIn(t, s, "éMILE-"+tail, apitest.Password).Want(t, 200)
}

func TestAddressesConcurrently(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	other := a.At(s.Again(t))
	for round := range 2 {
		const n = 8
		email := fmt.Sprintf("raced-%d-%s@example.com", round, uuid.NewString()[:8])
		var answers [n]*apitest.Response
		together(n, func(i int) {
			u := *a
			if i%2 == 1 {
				u = *other
			}
			answers[i] = u.Do(t, "POST", "/api/v1/employees", Map{"name": fmt.Sprint("Racer ", i), "email": email, "password": apitest.Password})
		})
		var winner *apitest.Response
		for _, r := range answers {
			switch {
			case r.Status == 201 && winner == nil:
				winner = r
			case r.Status == 409 && r.Text("errors.0.field") == "email":
			default:
				t.Fatalf("%d %s", r.Status, r.Body)
			}
		}
		if winner == nil {
			t.Fatal("nobody got the address")
		}
		if r := signIn(t, s, email, apitest.Password).Want(t, 200); r.Text("employee.id") != winner.Text("id") {
			t.Errorf("%s signs in %s", winner.Body, r.Body)
		}
	}
}

// A claim for an employee who did not come to be keeps the address for a while and
// then gives way; the same request goes on where it was cut off at once.
func TestCutOffClaim(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	ghost := uuid.New()
	email := "ghost-" + ghost.String()[:8] + "@example.com"
	never := func(context.Context, domain.ID) (bool, error) { return false, nil }
	if err := s.Auth.Claim(t.Context(), ghost, email, apitest.Password, never); err != nil {
		t.Fatal(err)
	}
	signIn(t, s, email, apitest.Password).Problem(t, 401, "sign_in")
	body := Map{"name": "Alive", "email": strings.ToUpper(email), "password": "another password"}
	a.Post(t, "/api/v1/employees", body).Problem(t, 409, "pending", "email")
	if err := s.Auth.Claim(t.Context(), ghost, email, apitest.Password, never); err != nil {
		t.Errorf("going on with the claim: %v", err)
	}
	if _, err := s.DB.Exec(t.Context(), `update annals_auth.credentials set updated_at = now() - interval '3 minutes' where employee_id = $1`, ghost); err != nil {
		t.Fatal(err)
	}
	id := a.Create(t, "/api/v1/employees", body)
	signIn(t, s, email, apitest.Password).Problem(t, 401, "sign_in")
	if got := signIn(t, s, email, "another password").Want(t, 200).Text("employee.id"); got != id {
		t.Errorf("signs in %s, want %s", got, id)
	}
}
