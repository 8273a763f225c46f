package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"annals/domain"
	"annals/domain/employee"
	"annals/internal/apitest"
	"annals/internal/auth"
	"annals/internal/eventlog"
)

const (
	resetsPath   = "/api/v1/password-resets"
	passwordPath = "/api/v1/me/password"
	newPassword  = "another password"
)

// resetToken asks for a link to set a new password, and returns what it holds.
func resetToken(t *testing.T, s *apitest.System, email string) string {
	t.Helper()
	before := len(s.Mailbox.To(email))
	r := (&apitest.User{System: s}).Do(t, "POST", resetsPath, Map{"email": email})
	if r.Want(t, 202); len(r.Body) != 0 {
		t.Errorf("%s", r.Body)
	}
	s.Commands.Wait()
	mail := s.Mailbox.To(email)
	if len(mail) != before+1 {
		t.Fatalf("%d messages were mailed", len(mail)-before)
	}
	_, token, ok := strings.Cut(mail[before].Text, "https://annals.example/reset-password#token=")
	if !ok {
		t.Fatalf("no link in %q", mail[before].Text)
	}
	token, _, _ = strings.Cut(token, "\n")
	return token
}

func reset(t *testing.T, s *apitest.System, token, password string) *apitest.Response {
	t.Helper()
	return (&apitest.User{System: s}).Do(t, "POST", resetsPath+"/confirm", Map{"token": token, "new_password": password})
}

// credentialEvents are what the log says of an employee's credentials: what, how, by whom.
func credentialEvents(t *testing.T, s *apitest.System, id string) []string {
	t.Helper()
	var out []string
	for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(domain.Employee, employeeID(t, id)), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := rec.Event.(employee.CredentialChanged); ok {
			out = append(out, e.What+" "+e.How+" by "+rec.Meta.Actor.String())
		}
	}
	return out
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Changing", nil, nil)
	elsewhere := *e
	here := signedIn(t, s, e.Email)
	change := func(u *apitest.User, old, replacement string) *apitest.Response {
		t.Helper()
		return u.Do(t, "POST", passwordPath, Map{"old_password": old, "new_password": replacement})
	}
	change(here, "wrong password", newPassword).Problem(t, 422, "invalid", "old_password")
	for _, bad := range []string{"", "short", "password123", e.Email, strings.Repeat("x", 257)} {
		if r := change(here, apitest.Password, bad); r.Status != 422 || r.Text("errors.0.field") != "new_password" {
			t.Errorf("%q: %d %s", bad, r.Status, r.Body)
		}
	}
	elsewhere.Get(t, "/api/v1/me").Want(t, 200)
	if got := credentialEvents(t, s, e.ID); len(got) != 0 {
		t.Errorf("the log says %v", got)
	}
	link := resetToken(t, s, e.Email)
	if r := change(here, apitest.Password, newPassword).Want(t, 204); len(r.Body) != 0 {
		t.Errorf("%s", r.Body)
	}
	here.Get(t, "/api/v1/me").Want(t, 200)
	elsewhere.Get(t, "/api/v1/me").Problem(t, 401, "token")
	signIn(t, s, e.Email, apitest.Password).Problem(t, 401, "sign_in")
	signIn(t, s, e.Email, newPassword).Want(t, 200)
	reset(t, s, link, "a third password").Problem(t, 422, "invalid", "token")
	if got := credentialEvents(t, s, e.ID); len(got) != 1 || got[0] != "password changed by "+e.ID {
		t.Errorf("the log says %v", got)
	}
	// Who has none yet sets one by a link.
	bare := a.Employee(t, "Bare", nil, nil)
	change(bare, "", newPassword).Problem(t, 422, "invalid", "old_password")
}

func TestResetPassword(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Forgetful", nil, nil)
	nobody := &apitest.User{System: s}
	// Whether somebody has the address, the answer does not tell.
	known := nobody.Do(t, "POST", resetsPath, Map{"email": strings.ToUpper(e.Email)})
	s.Commands.Wait()
	if len(s.Mailbox.To(e.Email)) != 1 {
		t.Fatal("no link was mailed")
	}
	for _, email := range []string{"unknown-" + e.Email, "", "' or 1=1 --", "a\x00b@example.com", "%"} {
		r := nobody.Do(t, "POST", resetsPath, Map{"email": email})
		s.Commands.Wait()
		if r.Status != known.Status || string(r.Body) != string(known.Body) || len(r.Header) != len(known.Header) || len(s.Mailbox.To(email)) != 0 {
			t.Errorf("%q: %d %v %s", email, r.Status, r.Header, r.Body)
		}
	}
	message := s.Mailbox.To(e.Email)[0]
	if !message.Secret || message.ToName != "Forgetful" || message.Expires.Sub(s.Clock.Now()) > auth.ResetLifetime {
		t.Errorf("%+v", message)
	}
	one, two := resetToken(t, s, e.Email), resetToken(t, s, e.Email)
	for _, bad := range []string{"", "x", one[:len(one)-1], one + "A", e.Token, strings.Replace(one, "annals_r_", "annals_s_", 1)} {
		reset(t, s, bad, newPassword).Problem(t, 422, "invalid", "token")
	}
	reset(t, s, one, "password123").Problem(t, 422, "invalid", "new_password") // and the token is not used up
	signed := signedIn(t, s, e.Email)
	if r := reset(t, s, one, newPassword).Want(t, 204); len(r.Body) != 0 || cookieOf(r) != nil {
		t.Errorf("%v %s", r.Header, r.Body)
	}
	for _, u := range []*apitest.User{e, signed} {
		u.Get(t, "/api/v1/me").Problem(t, 401, "token")
	}
	for _, used := range []string{one, two} {
		reset(t, s, used, "a third password").Problem(t, 422, "invalid", "token")
	}
	signIn(t, s, e.Email, apitest.Password).Problem(t, 401, "sign_in")
	signIn(t, s, e.Email, newPassword).Want(t, 200)
	if got := credentialEvents(t, s, e.ID); len(got) != 1 || got[0] != "password reset by "+e.ID {
		t.Errorf("the log says %v", got)
	}
	// Who has never had a password gets one in the same way; nobody gets more than a few links.
	bare := a.Employee(t, "Bare", nil, nil)
	reset(t, s, resetToken(t, s, bare.Email), newPassword).Want(t, 204)
	signIn(t, s, bare.Email, newPassword).Want(t, 200)
	for range 10 {
		nobody.Do(t, "POST", resetsPath, Map{"email": bare.Email}).Want(t, 202)
		s.Commands.Wait()
	}
	if got := len(s.Mailbox.To(bare.Email)); got > 5 {
		t.Errorf("%d links were mailed", got)
	}
}

// TestSecretsStaySecret has a system of its own, which it looks through in the end:
// what proves somebody's identity is in no event, no table and no log.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Secretive", nil, nil)
	secrets := map[string]string{"first password": apitest.Password, "second password": newPassword, "third password": "a third password", "wrong password": "wrong password"}
	link := resetToken(t, s, e.Email)
	secrets["unused link"] = resetToken(t, s, e.Email)
	secrets["used link"], secrets["admin's session"] = link, a.Token
	u := signedIn(t, s, e.Email)
	secrets["ended session"] = u.Token
	signIn(t, s, e.Email, "wrong password").Want(t, 401)
	u.Do(t, "POST", passwordPath, Map{"old_password": "wrong password", "new_password": newPassword}).Want(t, 422)
	reset(t, s, link, newPassword).Want(t, 204)
	u = s.SignIn(t, e.Email, newPassword)
	u.Do(t, "POST", passwordPath, Map{"old_password": newPassword, "new_password": "a third password"}).Want(t, 204)
	r := u.Do(t, "POST", factorPath, Map{"password": "a third password"}).Want(t, 200)
	secrets["session"], secrets["secret of codes"] = u.Token, r.Text("secret")
	r = u.Do(t, "POST", factorPath+"/confirm", Map{"code": codeAfter(t, s, r.Text("secret"), 0)}).Want(t, 200)
	secrets["recovery code"] = r.Text("recovery_codes.0")
	secrets["recovery code as it is sent"] = strings.ReplaceAll(r.Text("recovery_codes.0"), "-", "")
	key := makeKey(t, u, Map{"permissions": grants("clients.view", "desk")})
	key.Get(t, "/api/v1/me").Want(t, 200)
	key.Get(t, "/api/v1/me?token="+key.Token).Want(t, 422)
	secrets["key"] = key.Token
	secrets["secret of the key"] = key.Token[len(key.Token)-49 : len(key.Token)-6]
	for name, secret := range secrets { // without what they begin with, too
		for _, prefix := range []string{"annals_s_", "annals_r_"} {
			if rest, ok := strings.CutPrefix(secret, prefix); ok {
				secrets[name] = rest
			}
		}
	}
	look := func(where, text string) {
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the %s", where, name)
			}
		}
	}
	look("the log of the program", s.Logs.String())
	events := 0
	head, err := s.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for item, err := range s.Log.Subscribe(t.Context(), eventlog.Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		if rec := item.Record; rec != nil {
			events++
			raw, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			look("event "+rec.Type, string(raw))
		}
		if item.Position.Compare(head) >= 0 {
			break
		}
	}
	if events < 5 {
		t.Errorf("%d events were looked at", events)
	}
	tables, err := s.DB.Query(t.Context(), `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for tables.Next() {
		var name string
		if err := tables.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := tables.Err(); err != nil || len(names) < 15 {
		t.Fatalf("%v: %v", names, err)
	}
	for _, name := range names {
		var text string
		if err := s.DB.QueryRow(t.Context(), `select coalesce(string_agg(x::text, E'\n'), '') from `+name+` x`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		look("table "+name, text)
	}
}

// TestResetExpires has a clock of its own.
func TestResetExpires(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	e := s.Admin(t).EmployeeWithPassword(t, "Late", nil, nil)
	token := resetToken(t, s, e.Email)
	s.Clock.Advance(auth.ResetLifetime + time.Second)
	reset(t, s, token, newPassword).Problem(t, 422, "invalid", "token")
	e.Get(t, "/api/v1/me").Want(t, 200)
	signIn(t, s, e.Email, apitest.Password).Want(t, 200)
	token = resetToken(t, s, e.Email)
	s.Clock.Advance(auth.ResetLifetime - time.Minute)
	reset(t, s, token, newPassword).Want(t, 204)
}
