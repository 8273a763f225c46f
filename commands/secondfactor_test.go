package commands_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"annals/internal/apitest"
)

const factorPath = "/api/v1/me/second-factor"

// codeAfter is a code for the secret, steps of 30 seconds from now.
func codeAfter(t *testing.T, s *apitest.System, secret string, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, s.Clock.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enable gives somebody a second factor, and returns its secret, its recovery codes, and
// the code that confirmed it, which is of the step before.
func enable(t *testing.T, u *apitest.User) (secret string, recovery []string, used string) {
	t.Helper()
	r := u.Do(t, "POST", factorPath, Map{"password": apitest.Password}).Want(t, 200)
	secret = r.Text("secret")
	if !strings.HasPrefix(r.Text("uri"), "otpauth://totp/Annals:") || !strings.Contains(r.Text("uri"), "secret="+secret) {
		t.Fatalf("%s", r.Body)
	}
	u.Do(t, "POST", factorPath+"/confirm", Map{"code": "000000x"}).Problem(t, 422, "invalid", "code")
	used = codeAfter(t, u.System, secret, -1)
	r = u.Do(t, "POST", factorPath+"/confirm", Map{"code": used}).Want(t, 200)
	for _, c := range r.List("recovery_codes") {
		recovery = append(recovery, c.(string))
	}
	if len(recovery) != 10 {
		t.Fatalf("%s", r.Body)
	}
	return secret, recovery, used
}

// TestSecondFactor has a clock of its own: codes are for 30 seconds.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Careful", nil, nil)
	with := func(code string) *apitest.Response {
		t.Helper()
		return (&apitest.User{System: s}).Do(t, "POST", sessionPath, Map{"email": e.Email, "password": apitest.Password, "code": code})
	}
	state := func(enabled string, left string) {
		t.Helper()
		if r := e.Get(t, factorPath).Want(t, 200); r.Text("enabled") != enabled || r.Text("recovery_codes_left") != left {
			t.Errorf("%s, want %s, %s", r.Body, enabled, left)
		}
	}
	state("false", "0")
	e.Do(t, "POST", factorPath, Map{"password": "wrong password"}).Problem(t, 422, "invalid", "password")
	e.Do(t, "POST", factorPath+"/confirm", Map{"code": "123456"}).Problem(t, 409, "totp_not_enabled")
	e.Do(t, "POST", factorPath, Map{"password": apitest.Password}).Want(t, 200)
	state("false", "0") // until it is confirmed
	with("").Want(t, 200)
	secret, recovery, used := enable(t, e)
	state("true", "10")
	e.Do(t, "POST", factorPath, Map{"password": apitest.Password}).Problem(t, 409, "totp_enabled")
	// Password and code, each code once; and a wrong password tells nothing about codes.
	if r := with("").Problem(t, 401, "code_required"); cookieOf(r) != nil || r.At("token") != nil {
		t.Errorf("%v %s", r.Header, r.Body)
	}
	signIn(t, s, e.Email, "wrong password").Problem(t, 401, "sign_in")
	with(used).Problem(t, 401, "code")
	with(codeAfter(t, s, secret, 40)).Problem(t, 401, "code")
	code := codeAfter(t, s, secret, 0)
	if r := with(code[:3]+" "+code[3:]).Want(t, 200); cookieOf(r) == nil {
		t.Errorf("%v", r.Header)
	} else if r := (&apitest.User{System: s, Token: r.Text("token")}).Get(t, sessionsPath); r.Text("items.0.method") != "password+totp" {
		t.Errorf("%s", r.Body)
	}
	with(code).Problem(t, 401, "code")
	// A recovery code, once.
	if r := with(strings.ToUpper(recovery[0])).Want(t, 200); r.Text("employee.id") != e.ID {
		t.Errorf("%s", r.Body)
	}
	with(recovery[0]).Problem(t, 401, "code")
	state("true", "9")
	s.Clock.Advance(time.Minute)
	e.Do(t, "POST", factorPath+"/recovery-codes", Map{"code": "000000x"}).Problem(t, 422, "invalid", "code")
	if r := e.Do(t, "POST", factorPath+"/recovery-codes", Map{"code": codeAfter(t, s, secret, 0)}).Want(t, 200); len(r.List("recovery_codes")) != 10 {
		t.Errorf("%s", r.Body)
	}
	with(recovery[1]).Problem(t, 401, "code")
	state("true", "10")
	s.Clock.Advance(time.Minute)
	for _, x := range []struct{ password, code, field string }{
		{"wrong password", codeAfter(t, s, secret, 0), "password"},
		{apitest.Password, "000000x", "code"},
	} {
		e.Do(t, "POST", factorPath+"/remove", Map{"password": x.password, "code": x.code}).Problem(t, 422, "invalid", x.field)
	}
	e.Do(t, "POST", factorPath+"/remove", Map{"password": apitest.Password, "code": codeAfter(t, s, secret, 0)}).Want(t, 204)
	state("false", "0")
	with("").Want(t, 200)
	want := []string{"second_factor enabled", "recovery_codes renewed", "second_factor disabled"}
	for i, got := range credentialEvents(t, s, e.ID) {
		if i >= len(want) || got != want[i]+" by "+e.ID {
			t.Errorf("the log says %s", got)
		}
	}
}

// TestClearSecondFactor: who has lost everything asks somebody who manages them.
func TestClearSecondFactor(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Lost")
	e := a.EmployeeWithPassword(t, "Loser", []string{p}, nil)
	_, recovery, _ := enable(t, e)
	head, mate := a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil), a.Employee(t, "Mate", []string{p}, nil)
	stranger := a.EmployeeAs(t, "Stranger", []string{"project_admin"}, []string{a.Project(t, "Other")}, nil)
	at := employeesPath + "/" + e.ID + "/second-factor"
	e.Do(t, "DELETE", at, nil).Problem(t, 403, "forbidden")
	mate.Do(t, "DELETE", at, nil).Problem(t, 403, "forbidden")
	stranger.Do(t, "DELETE", at, nil).Problem(t, 404, "employee.absent")
	head.Do(t, "DELETE", employeesPath+"/"+head.ID+"/second-factor", nil).Problem(t, 403, "self")
	signIn(t, s, e.Email, apitest.Password).Problem(t, 401, "code_required")
	head.Do(t, "DELETE", at, nil).Want(t, 204)
	head.Do(t, "DELETE", at, nil).Problem(t, 409, "totp_not_enabled")
	signIn(t, s, e.Email, apitest.Password).Want(t, 200)
	if got := credentialEvents(t, s, e.ID); len(got) != 2 || got[1] != "second_factor cleared by "+head.ID {
		t.Errorf("the log says %v", got)
	}
	var left int
	if err := s.DB.QueryRow(t.Context(), `select count(*) from annals_auth.recovery_codes where employee_id = $1`, e.ID).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d of %d recovery codes are left, %v", left, len(recovery), err)
	}
}
