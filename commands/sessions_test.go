package commands_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/internal/apitest"
	"annals/internal/auth"
)

const (
	sessionPath  = "/api/v1/session"
	sessionsPath = "/api/v1/sessions"
)

// cookieOf is the session cookie that an answer sets, nil for none.
func cookieOf(r *apitest.Response) *http.Cookie {
	for _, c := range (&http.Response{Header: r.Header}).Cookies() {
		if c.Name == "__Host-annals" {
			return c
		}
	}
	return nil
}

// signedIn is the session of somebody with a password.
func signedIn(t *testing.T, s *apitest.System, email string) *apitest.User {
	t.Helper()
	return s.SignIn(t, email, apitest.Password)
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Listed", nil, nil)
	nobody := &apitest.User{System: s}
	r := nobody.Do(t, "POST", sessionPath, Map{"email": e.Email, "password": apitest.Password}, "User-Agent", "A browser\u00e9").Want(t, 200)
	one, two := &apitest.User{System: s, Token: r.Text("token"), ID: e.ID}, e
	list := one.Get(t, sessionsPath).Want(t, 200)
	ids := list.Column("id")
	if len(ids) != 2 || list.Text("items.0.current") != "true" || list.Text("items.1.current") != "false" || list.Text("items.0.method") != "password" ||
		list.Text("items.0.user_agent") != "A browser\u00e9" || list.Text("items.0.ip") != "127.0.0.1" || strings.Contains(string(list.Body), one.Token) {
		t.Fatalf("%s", list.Body)
	}
	mine, theirs := ids[0], ids[1]
	if two.Get(t, sessionsPath).Text("items.1.current") != "true" {
		t.Error("the other one asks")
	}
	// Of others: for those who manage everybody.
	mate := a.EmployeeAs(t, "Mate", []string{"project_admin", "auditor"}, nil, nil)
	for _, path := range []string{sessionsPath + "?employee=" + e.ID, sessionsPath + "/" + mine + "?employee=" + e.ID} {
		method := map[bool]string{true: "GET", false: "DELETE"}[strings.HasPrefix(path, sessionsPath+"?")]
		mate.Do(t, method, path, nil).Problem(t, 403, "forbidden")
	}
	mate.Do(t, "DELETE", sessionsPath+"?employee="+e.ID, nil).Problem(t, 403, "forbidden")
	mate.Do(t, "DELETE", sessionsPath+"/"+mine, nil).Problem(t, 404, "session")
	if got := a.Get(t, sessionsPath+"?employee="+e.ID).Want(t, 200); !slices.Equal(got.Column("id"), ids) || got.Text("items.0.current") != "false" {
		t.Errorf("%s", got.Body)
	}
	a.Do(t, "GET", sessionsPath+"?employee=x", nil).Want(t, 422)
	// End one, all but this one, and those of somebody else.
	if r := one.Do(t, "DELETE", sessionsPath+"/"+theirs, nil); r.Status != 204 || len(r.Body) != 0 {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	two.Get(t, "/api/v1/me").Problem(t, 401, "token")
	one.Do(t, "DELETE", sessionsPath+"/"+theirs, nil).Problem(t, 404, "session")
	one.Do(t, "DELETE", sessionsPath+"/"+uuid.NewString(), nil).Problem(t, 404, "session")
	three, four := *e.Session(t), *e.Session(t)
	one.Do(t, "DELETE", sessionsPath, nil).Want(t, 204)
	three.Get(t, "/api/v1/me").Want(t, 401)
	four.Get(t, "/api/v1/me").Want(t, 401)
	one.Get(t, "/api/v1/me").Want(t, 200)
	a.Do(t, "DELETE", sessionsPath+"/"+mine+"?employee="+e.ID, nil).Want(t, 204)
	one.Get(t, "/api/v1/me").Want(t, 401)
	three, four = *e.Session(t), *e.Session(t)
	a.Do(t, "DELETE", sessionsPath+"?employee="+e.ID, nil).Want(t, 204)
	for _, u := range []apitest.User{three, four} {
		u.Get(t, "/api/v1/me").Want(t, 401)
	}
	a.Get(t, "/api/v1/me").Want(t, 200)
}

func TestCookie(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "By cookie")
	e := a.EmployeeWithPassword(t, "Browser", []string{p}, nil)
	nobody := &apitest.User{System: s}
	r := nobody.Do(t, "POST", sessionPath, Map{"email": e.Email, "password": apitest.Password}, "Origin", s.URL, "Sec-Fetch-Site", "same-origin").Want(t, 200)
	c := cookieOf(r)
	if c == nil || c.Value != r.Text("token") || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Fatalf("%v", r.Header)
	}
	if expires, err := time.Parse(time.RFC3339, r.Text("expires_at")); err != nil || !c.Expires.Equal(expires) {
		t.Errorf("the cookie expires at %s, the session at %s", c.Expires, r.Text("expires_at"))
	}
	browser := func(method, path string, body any, headers ...string) *apitest.Response {
		t.Helper()
		return nobody.Do(t, method, path, body, append([]string{"Cookie", c.Name + "=" + c.Value}, headers...)...)
	}
	ours := []string{"Origin", s.URL, "Sec-Fetch-Site", "same-origin"}
	if r := browser("GET", "/api/v1/me", nil).Want(t, 200); r.Text("id") != e.ID {
		t.Errorf("%s", r.Body)
	}
	browser("GET", "/api/v1/me", nil, "Sec-Fetch-Site", "cross-site").Want(t, 200) // a link from elsewhere reads
	browser("POST", "/api/v1/clients", Map{"last_name": "X", "project_id": p}, ours...).Want(t, 201)
	browser("POST", "/api/v1/clients", Map{"last_name": "X", "project_id": p}, "Sec-Fetch-Site", "none").Want(t, 201)
	// With a token of one's own the cookie does not count.
	if r := a.Do(t, "GET", "/api/v1/me", nil, "Cookie", c.Name+"="+c.Value).Want(t, 200); r.Text("id") != a.ID {
		t.Errorf("%s", r.Body)
	}
	out := browser("DELETE", sessionPath, nil, ours...).Want(t, 204)
	if c := cookieOf(out); c == nil || c.Value != "" || c.MaxAge >= 0 || !c.HttpOnly || !c.Secure || c.Path != "/" {
		t.Errorf("%v", out.Header)
	}
	browser("GET", "/api/v1/me", nil).Problem(t, 401, "token")
	// An API key is for a header.
	e.Get(t, "/api/v1/me").Want(t, 200)
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	idle, busy := a.Employee(t, "Idle", nil, nil), a.Employee(t, "Busy", nil, nil)
	other := busy.At(s.Again(t))
	until := func(d time.Duration) {
		for at := time.Duration(0); at < d; {
			step := min(auth.IdleLifetime-time.Minute, d-at)
			s.Clock.Advance(step)
			at += step
			other.Get(t, "/api/v1/me").Want(t, 200)
		}
	}
	s.Clock.Advance(auth.IdleLifetime - time.Minute)
	busy.Get(t, "/api/v1/me").Want(t, 200)
	s.Clock.Advance(2 * time.Minute)
	for _, u := range []*apitest.User{idle, idle.At(other.System)} {
		u.Get(t, "/api/v1/me").Problem(t, 401, "token")
		u.Do(t, "POST", "/api/v1/clients", Map{"last_name": "X", "project_id": uuid.NewString()}).Problem(t, 401, "token")
	}
	if r := busy.Get(t, sessionsPath).Want(t, 200); len(r.List("items")) != 1 {
		t.Errorf("%s", r.Body)
	}
	// However busy: not for ever.
	until(auth.AbsoluteLifetime - auth.IdleLifetime - 2*time.Minute)
	s.Clock.Advance(4 * time.Minute)
	busy.Get(t, "/api/v1/me").Problem(t, 401, "token")
	other.Get(t, "/api/v1/me").Problem(t, 401, "token")
}
