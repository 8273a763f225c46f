package commands_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain/role"
	"annals/internal/apitest"
	"annals/internal/refusals"
)

// TestPasswordGuessing has a clock of its own: who fails waits, with the right password
// too, longer each time; whether there is such an address does not show; and nobody
// else waits.
func TestPasswordGuessing(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	known, other := a.EmployeeWithPassword(t, "Known", nil, nil).Email, a.EmployeeWithPassword(t, "Other", nil, nil).Email
	guess := func(email string) (tries, wait int, locked *apitest.Response) {
		t.Helper()
		for tries = range 20 {
			r := signIn(t, s, email, "wrong password")
			if r.Status == 429 {
				wait, err := strconv.Atoi(r.Problem(t, 429, "locked").Header.Get("Retry-After"))
				if err != nil || wait < 1 {
					t.Fatalf("Retry-After %q", r.Header.Get("Retry-After"))
				}
				return tries, wait, r
			}
			r.Problem(t, 401, "sign_in")
		}
		t.Fatal("nobody has to wait")
		return 0, 0, nil
	}
	tries, wait, locked := guess(known)
	unknownTries, _, unknown := guess("unknown-" + known)
	if tries < 5 || tries > 8 || unknownTries < 5 || unknownTries > 8 || unknown.Status != locked.Status || unknown.Text("code") != locked.Text("code") || unknown.Text("title") != locked.Text("title") {
		t.Errorf("%d tries, then %s; %d of an unknown address, then %s", tries, locked.Body, unknownTries, unknown.Body)
	}
	signIn(t, s, other, apitest.Password).Want(t, 200)
	longer := wait
	for range 3 {
		s.Clock.Advance(time.Duration(longer) * time.Second)
		signIn(t, s, known, "wrong password").Problem(t, 401, "sign_in")
		_, longer, _ = guess(known)
	}
	if longer < 4*wait {
		t.Errorf("the wait grew from %d to %d seconds", wait, longer)
	}
	if r := signIn(t, s, known, apitest.Password).Problem(t, 429, "locked"); cookieOf(r) != nil || r.At("token") != nil {
		t.Errorf("%v %s", r.Header, r.Body)
	}
	other2 := s.Again(t) // all processes count together
	signIn(t, other2, known, apitest.Password).Problem(t, 429, "locked")
	s.Clock.Advance(time.Duration(longer) * time.Second)
	signIn(t, s, known, apitest.Password).Want(t, 200)
	signIn(t, s, known, "wrong password").Problem(t, 401, "sign_in") // and is forgiven
	signIn(t, s, known, apitest.Password).Want(t, 200)
}

// TestSessionFixation: what was planted before somebody signs in is not what signs them
// in afterwards.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	victim, attacker := a.EmployeeWithPassword(t, "Victim", nil, nil), a.Employee(t, "Attacker", nil, nil)
	made := "annals_s_" + strings.Repeat("A", 43)
	ended := a.EmployeeWithPassword(t, "Ended", nil, nil)
	ended.Do(t, "DELETE", sessionPath, nil).Want(t, 204)
	for name, planted := range map[string]string{"made up": made, "ended": ended.Token, "the attacker's": attacker.Token} {
		for _, header := range [][]string{{"Cookie", "__Host-annals=" + planted, "Origin", s.URL}, {"Authorization", "Bearer " + planted}} {
			r := (&apitest.User{System: s}).Do(t, "POST", sessionPath, Map{"email": victim.Email, "password": apitest.Password}, header...).Want(t, 200)
			if c := cookieOf(r); r.Text("token") == planted || c == nil || c.Value != r.Text("token") {
				t.Errorf("%s: %v", name, r.Header)
			}
		}
		who := (&apitest.User{System: s, Token: planted}).Get(t, "/api/v1/me")
		if name == "the attacker's" && who.Want(t, 200).Text("id") != attacker.ID || name != "the attacker's" && who.Status != 401 {
			t.Errorf("%s: %d %s", name, who.Status, who.Body)
		}
	}
	// In no other place is a token looked for.
	for _, path := range []string{"/api/v1/me?token=" + victim.Token, "/api/v1/me?access_token=" + victim.Token} {
		if r := (&apitest.User{System: s}).Do(t, "GET", path, nil); r.Status == 200 {
			t.Errorf("%s: %s", path, r.Body)
		}
	}
	for _, cookie := range []string{"annals=" + victim.Token, "__Secure-annals=" + victim.Token, "__Host-annals=" + made + "; __Host-annals=" + victim.Token} {
		(&apitest.User{System: s}).Do(t, "GET", "/api/v1/me", nil, "Cookie", cookie).Want(t, 401)
	}
}

// TestStolenTokens: a copy of a token ends with what it was copied from, in every
// process at once.
func TestStolenTokens(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	other := s.Again(t)
	a := s.Admin(t)
	for name, end := range map[string]func(*apitest.User) *apitest.Response{
		"signed out": func(u *apitest.User) *apitest.Response { return u.Do(t, "DELETE", sessionPath, nil) },
		"ended elsewhere": func(u *apitest.User) *apitest.Response {
			v := *u
			return v.Session(t).Do(t, "DELETE", sessionsPath, nil)
		},
		"by an administrator": func(u *apitest.User) *apitest.Response {
			return a.Do(t, "DELETE", sessionsPath+"?employee="+u.ID, nil)
		},
		"password changed": func(u *apitest.User) *apitest.Response {
			v := *u
			return v.Session(t).Do(t, "POST", passwordPath, Map{"old_password": apitest.Password, "new_password": newPassword})
		},
		"password reset": func(u *apitest.User) *apitest.Response { return reset(t, s, resetToken(t, s, u.Email), newPassword) },
		"deactivated": func(u *apitest.User) *apitest.Response {
			return a.Do(t, "POST", employeesPath+"/"+u.ID+"/deactivate", nil)
		},
	} {
		e := a.EmployeeWithPassword(t, "Robbed", nil, nil)
		thieves := []*apitest.User{e, e.At(other)}
		for _, thief := range thieves {
			thief.Get(t, "/api/v1/me").Want(t, 200)
		}
		if r := end(e); r.Status >= 300 {
			t.Fatalf("%s: %d %s", name, r.Status, r.Body)
		}
		for _, thief := range thieves {
			for _, r := range []*apitest.Response{
				thief.Get(t, "/api/v1/me"), thief.Do(t, "POST", "/api/v1/clients", Map{"last_name": "X", "project_id": uuid.NewString()}),
				thief.Do(t, "GET", "/api/v1/me", nil, "Authorization", "", "Cookie", "__Host-annals="+e.Token),
			} {
				if r.Status != 401 {
					t.Errorf("%s: %s: %d %s", name, r.Request, r.Status, r.Body)
				}
			}
		}
	}
}

// TestDeactivatedInTheMiddle: what was decided before somebody was deactivated is
// finished, and nothing begins after it.
func TestDeactivatedInTheMiddle(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Middle")
	c := a.Client(t, p, "Middle")
	e := a.EmployeeAs(t, "Middle", []string{"project_admin"}, []string{p}, nil)
	other := s.Again(t)
	log := &held{Log: s.Log, arrived: make(chan struct{}), goOn: make(chan struct{})}
	other.Commands.Store = commands.NewStore(log)
	other.Serve(t)
	status := make(chan int)
	go func() {
		status <- e.At(other).Do(t, "POST", "/api/v1/clients/"+c+"/status", Map{"status": "active"}).Status
	}()
	<-log.arrived
	a.Post(t, employeesPath+"/"+e.ID+"/deactivate", nil).Want(t, 200)
	for _, u := range []*apitest.User{e, e.At(other)} {
		u.Do(t, "POST", "/api/v1/clients/"+c+"/status", Map{"status": "inactive"}).Problem(t, 401, "token")
		u.Do(t, "GET", "/api/v1/clients", nil).Problem(t, 401, "token")
	}
	close(log.goOn)
	if got := <-status; got != 200 {
		t.Errorf("what was decided is answered %d", got)
	}
	if got := clientNow(t, s, c).Status; got != "active" {
		t.Errorf("the client is %s", got)
	}
}

// TestCrossOrigin: another site has a browser send our cookie, and changes nothing.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Crossed")
	c := a.Client(t, p, "Crossed")
	e := a.EmployeeWithPassword(t, "Victim", nil, nil)
	nobody := &apitest.User{System: s}
	cookie := []string{"Cookie", "__Host-annals=" + a.Token}
	for name, from := range map[string][]string{
		"another site":        {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"a neighbour":         {"Origin", "https://evil." + strings.TrimPrefix(s.URL, "http://"), "Sec-Fetch-Site", "same-site"},
		"an old browser":      {"Origin", "https://evil.example"},
		"hidden":              {"Origin", "null"},
		"it says where to":    {"Sec-Fetch-Site", "cross-site"},
		"with a bare bearer":  {"Origin", "https://evil.example", "Authorization", "Basic " + a.Token},
		"with an empty token": {"Origin", "https://evil.example", "Authorization", "Bearer "},
	} {
		headers := append(append([]string{}, cookie...), from...)
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{"POST", "/api/v1/clients/" + c + "/status", Map{"status": "active"}},
			{"PATCH", "/api/v1/clients/" + c, Map{"company": "Evil"}},
			{"POST", employeesPath, Map{"name": "Evil", "email": address(), "roles": []string{"admin"}}},
			{"POST", keysPath, Map{"name": "Evil", "permissions": grants("clients.view", "all")}},
			{"DELETE", sessionPath, nil},
			{"DELETE", sessionsPath, nil},
			{"POST", sessionPath, Map{"email": e.Email, "password": apitest.Password}}, // as the attacker
			{"POST", resetsPath, Map{"email": e.Email}},
		} {
			r := nobody.Do(t, x.method, x.path, x.body, headers...)
			if r.Status != 403 || r.Text("code") != "cross_origin" || cookieOf(r) != nil {
				t.Errorf("%s: %s: %d %v %s", name, r.Request, r.Status, r.Header, r.Body)
			}
		}
	}
	// A form sends neither JSON, nor says that a GET is something else.
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		r := nobody.Do(t, "POST", "/api/v1/clients/"+c+"/status", Raw(`{"status":"active"}`), append(cookie, "Content-Type", kind)...)
		if r.Status != 415 {
			t.Errorf("%s: %d %s", kind, r.Status, r.Body)
		}
	}
	for _, path := range []string{"/api/v1/clients/" + c, "/api/v1/clients/" + c + "/status", sessionPath, sessionsPath} {
		nobody.Do(t, "GET", path, nil, append(cookie, "X-Http-Method-Override", "DELETE", "X-Http-Method", "DELETE")...)
	}
	if now := clientNow(t, s, c); now.Status != "lead" || now.Details.Company != "" {
		t.Errorf("%+v", now)
	}
	a.Get(t, "/api/v1/me").Want(t, 200)
	if len(s.Mailbox.To(e.Email)) != 0 {
		t.Error("a link was mailed")
	}
}

// TestEscalation: with what they have, nobody gets more.
func TestEscalation(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Own"), a.Project(t, "Foreign")
	far := a.Desk(t, q, "Far")
	client := a.Client(t, q, "Far")
	keeper := makeRole(t, a, "roles.manage", "all", "clients.view", "own")
	chief := a.EmployeeAs(t, "Chief", []string{"admin"}, []string{p}, nil)
	mate := a.EmployeeAs(t, "Mate", []string{"project_admin"}, []string{p}, nil)
	for name, u := range map[string]*apitest.User{
		"project admin": a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil),
		"keeper":        a.EmployeeAs(t, "Keeper", []string{keeper}, []string{p}, nil),
		"both":          a.EmployeeAs(t, "Both", []string{keeper, "project_admin"}, []string{p}, nil),
	} {
		before, me := may(t, u), employeesPath+"/"+u.ID
		mine := makeRole(t, a)
		if r := u.Do(t, "POST", rolesPath, Map{"name": "Mine", "permissions": grants("clients.view", "own")}); r.Status == 201 {
			mine = r.Text("id")
		}
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{"POST", rolesPath, Map{"name": "Mine", "permissions": allGrants()}},
			{"POST", rolesPath + "/" + builtIn(t, role.Admin) + "/clone", Map{"name": "Mine"}},
			{"POST", rolesPath + "/" + builtIn(t, role.Auditor) + "/clone", Map{"name": "Mine"}},
			{"PATCH", rolesPath + "/" + mine, Map{"permissions": allGrants()}},
			{"PATCH", rolesPath + "/" + mine, Map{"permissions": grants("settings.manage", "own")}},
			{"PATCH", rolesPath + "/" + keeper, Map{"permissions": grants("roles.manage", "all", "clients.view", "all")}},
			{"PATCH", rolesPath + "/" + builtIn(t, role.Agent), Map{"permissions": allGrants()}},
			{"POST", me + "/roles", Map{"roles": []string{"admin"}}},
			{"POST", me + "/roles", Map{"roles": []string{"project_admin", keeper}}},
			{"POST", me + "/assign", Map{"projects": []string{p, q}}},
			{"POST", me + "/assign", Map{"projects": []string{p}, "desks": []string{far}}},
			{"POST", employeesPath, Map{"name": "Puppet", "email": address(), "roles": []string{"admin"}, "projects": []string{p}}},
			{"POST", employeesPath, Map{"name": "Puppet", "email": address(), "roles": []string{"project_admin"}, "projects": []string{q}}},
			{"POST", employeesPath + "/" + mate.ID + "/roles", Map{"roles": []string{"admin"}}},
			{"POST", employeesPath + "/" + mate.ID + "/assign", Map{"projects": []string{q}}},
			{"PATCH", employeesPath + "/" + chief.ID, Map{"email": address()}},
			{"POST", employeesPath + "/" + chief.ID + "/deactivate", nil},
			{"DELETE", employeesPath + "/" + chief.ID + "/second-factor", nil},
			{"GET", sessionsPath + "?employee=" + chief.ID, nil},
			{"DELETE", sessionsPath + "?employee=" + chief.ID, nil},
			{"POST", keysPath, Map{"name": "Mine", "permissions": allGrants()}},
			{"POST", keysPath, Map{"name": "Mine", "permissions": grants("clients.view", "desk"), "projects": []string{q}, "desks": []string{far}}},
			{"GET", "/api/v1/audit/refusals", nil},
			{"GET", "/api/v1/clients/" + client, nil},
			{"POST", "/api/v1/clients/" + client + "/assign", Map{"project_id": p}},
			{"POST", "/api/v1/desks", Map{"project_id": q, "name": "Mine"}},
			{"POST", "/api/v1/projects", Map{"name": "Mine"}},
		} {
			switch r := u.Do(t, x.method, x.path, x.body); r.Status {
			case 403, 404, 409:
			case 422:
				if r.Text("errors.0.code") != "own" { // of a key, which has nothing of its own
					t.Errorf("%s: %s: %d %s", name, r.Request, r.Status, r.Body)
				}
			default:
				t.Errorf("%s: %s: %d %s", name, r.Request, r.Status, r.Body)
			}
		}
		if after := may(t, u); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s may %v, and before %v", name, after, before)
		}
		if now := employeeNow(t, s, u.ID); len(now.Projects) != 1 || len(now.Desks) != 0 {
			t.Errorf("%s works for %v, %v", name, now.Projects, now.Desks)
		}
	}
	for _, u := range []*apitest.User{chief, mate} {
		if now := employeeNow(t, s, u.ID); now.Email != u.Email || !now.Active() || len(now.Roles) != 1 {
			t.Errorf("%+v", now)
		}
		u.Get(t, "/api/v1/me").Want(t, 200)
	}
}

// TestRefusalsAreKept has a system of its own: who was refused what, from where, for
// those who audit.
func TestRefusalsAreKept(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	p := a.Project(t, "Audited")
	c := a.Client(t, p, "Audited")
	e := a.Employee(t, "Curious", []string{p}, nil)
	auditor, head := a.EmployeeAs(t, "Auditor", []string{"auditor"}, nil, nil), a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil)
	key := makeKey(t, a, Map{"permissions": grants("clients.view", "all")})
	for range 3 {
		e.Do(t, "GET", "/api/v1/clients/"+c, nil).Want(t, 404)
	}
	e.Do(t, "POST", employeesPath, Map{"name": "x", "email": address()}).Want(t, 403)
	key.Do(t, "DELETE", sessionsPath, nil).Want(t, 403)
	nobody := &apitest.User{System: s}
	nobody.Do(t, "POST", sessionPath, Map{"email": address(), "password": "wrong password"}, "User-Agent", "Guesser").Want(t, 401)
	nobody.Do(t, "GET", "/api/v1/me", nil, "Cookie", "__Host-annals=x", "User-Agent", "Guesser").Want(t, 401)
	for _, u := range []*apitest.User{e, head, key} {
		u.Do(t, "GET", "/api/v1/audit/refusals", nil).Want(t, 403)
	}
	run := func() { // until all that there is so far is written
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Refusals.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	run()
	kept := func(actor string, want ...string) {
		t.Helper()
		r, got := auditor.Get(t, "/api/v1/audit/refusals?limit=500&actor="+actor).Want(t, 200), map[string]int{}
		for i := range r.List("items") {
			at := func(field string) string { return r.Text(fmt.Sprintf("items.%d.%s", i, field)) }
			n, _ := strconv.Atoi(at("count")) // the same of another minute is another row
			got[strings.Join([]string{at("kind"), at("method"), at("route"), at("status"), at("code"), at("subjects"), at("ip")}, " ")] += n
		}
		var lines []string
		for line, n := range got {
			lines = append(lines, fmt.Sprint(n, " ", line))
		}
		slices.Sort(lines)
		if !slices.Equal(lines, want) {
			t.Errorf("kept:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	}
	kept(e.ID,
		"1 employee GET /api/v1/audit/refusals 403 forbidden [] 127.0.0.1",
		"1 employee POST /api/v1/employees 403 forbidden [] 127.0.0.1",
		"3 employee GET /api/v1/clients/{id} 404 client.absent ["+c+"] 127.0.0.1")
	kept(key.ID, "1 key DELETE /api/v1/sessions 403 people_only [] 127.0.0.1", "1 key GET /api/v1/audit/refusals 403 forbidden [] 127.0.0.1")
	kept(head.ID, "1 employee GET /api/v1/audit/refusals 403 forbidden [] 127.0.0.1")
	kept(a.ID)
	for code, route := range map[string]string{"sign_in": "POST /api/v1/session", "token": "GET /api/v1/me"} {
		rows, _, err := s.Refusals.List(t.Context(), refusals.Filter{Code: code})
		if err != nil || len(rows) != 1 || rows[0].Method+" "+rows[0].Route != route || rows[0].Kind != refusals.Nobody || rows[0].Status != 401 ||
			rows[0].UserAgent != "Guesser" || rows[0].IP.String() != "127.0.0.1" {
			t.Errorf("%s: %+v, %v", code, rows, err)
		}
	}
}
