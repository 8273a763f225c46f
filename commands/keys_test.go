package commands_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/apikey"
	"annals/internal/apitest"
)

const keysPath = "/api/v1/api-keys"

// makeKey makes a key and returns who acts with it.
func makeKey(t *testing.T, u *apitest.User, body Map) *apitest.User {
	t.Helper()
	body["name"] = "A key"
	r := u.Post(t, keysPath, body).Want(t, 201)
	return &apitest.User{System: u.System, Token: r.Text("key"), ID: r.Text("id"), After: u.After}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Keyed"), a.Project(t, "Not keyed")
	d := a.Desk(t, p, "D")
	in, out, far := a.Client(t, p, "In", Map{"desk_id": d}), a.Client(t, p, "Out"), a.Client(t, q, "Far")
	e := a.EmployeeAs(t, "Owner", []string{"project_admin"}, []string{p, q}, []string{d})
	r := e.Post(t, keysPath, Map{"name": " Sync  in ", "permissions": grants("clients.edit", "desk", "clients.view", "desk"), "projects": []string{p}, "desks": []string{d}})
	id := receipt(t, r, 201, "0")
	secret := r.Text("key")
	if at := r.Header.Get("Location"); at != keysPath+"/"+id || !strings.HasPrefix(secret, "annals_") {
		t.Errorf("%s %s", at, r.Body)
	}
	key := &apitest.User{System: s, Token: secret, After: e.After}
	who := key.Get(t, "/api/v1/me").Want(t, 200)
	for path, want := range map[string]string{
		"id": id, "kind": "api_key", "name": "Sync in", "owner_id": e.ID, "email": "", "roles": "[integration]", "projects": "[" + p + "]", "desks": "[" + d + "]",
		"permissions": "[map[permission:clients.view reach:desk] map[permission:clients.edit reach:desk]]",
	} {
		if got := who.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	// It is shown that once.
	for _, u := range []*apitest.User{e, a} {
		u.After = e.After
		one := u.Get(t, keysPath+"/"+id).Want(t, 200)
		if list := u.Get(t, keysPath+"?limit=500").Want(t, 200); strings.Contains(string(one.Body)+string(list.Body), secret) || !slices.Contains(list.Column("id"), id) {
			t.Errorf("%s", list.Body)
		}
		if one.Text("owner.id") != e.ID || one.Text("live") != "true" || one.Text("last_used_at") == "" {
			t.Errorf("%s", one.Body)
		}
	}
	// Permissions and scope bound it, whatever its owner may.
	if got := key.Get(t, "/api/v1/clients").Want(t, 200).Column("id"); !slices.Equal(got, []string{in}) {
		t.Errorf("the key sees %v", got)
	}
	key.Patch(t, "/api/v1/clients/"+in, Map{"company": "Sync"}).Want(t, 200)
	key.Post(t, "/api/v1/clients/"+in+"/status", Map{"status": "active"}).Problem(t, 403, "forbidden")
	for _, no := range []string{out, far} {
		e.Get(t, "/api/v1/clients/"+no).Want(t, 200)
		key.Get(t, "/api/v1/clients/"+no).Problem(t, 404, "client.absent")
		key.Patch(t, "/api/v1/clients/"+no, Map{"company": "Sync"}).Problem(t, 404, "client.absent")
	}
	if h := e.Get(t, "/api/v1/clients/"+in+"/history", "Annals-After", key.After).Want(t, 200); h.Text("items.1.actor.id") != id {
		t.Errorf("who did it: %s", h.Body)
	}
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Keyed"), a.Project(t, "Not keyed")
	e := a.EmployeeAs(t, "Owner", []string{"desk_manager"}, []string{p}, nil)
	some := grants("clients.view", "desk")
	for name, x := range map[string]struct {
		body        Map
		status      int
		code, field string
	}{
		"unknown permission": {Map{"permissions": grants("clients.fly", "desk")}, 422, "invalid", "permissions[0].permission"},
		"unknown reach":      {Map{"permissions": grants("clients.view", "far")}, 422, "invalid", "permissions[0].reach"},
		"none":               {Map{"permissions": grants()}, 422, "invalid", "permissions"},
		"more than they may": {Map{"permissions": grants("clients.view", "desk", "employees.manage", "project")}, 403, "not_yours", "permissions[1]"},
		"further":            {Map{"permissions": grants("clients.view", "project")}, 403, "not_yours", "permissions[0]"},
		"own":                {Map{"permissions": grants("clients.view", "own")}, 422, "invalid", "permissions[0].reach"},
		"elsewhere":          {Map{"permissions": some, "projects": []string{q}}, 403, "not_assigned", "projects"},
		"no project":         {Map{"permissions": some, "projects": []string{uuid.NewString()}}, 403, "not_assigned", "projects"},
		"the past":           {Map{"permissions": some, "expires_at": "2020-01-01T00:00:00Z"}, 422, "invalid", "expires_at"},
		"no time":            {Map{"permissions": some, "expires_at": "tomorrow"}, 422, "invalid", "expires_at"},
		"no name":            {Map{"permissions": some, "name": " "}, 422, "invalid", "name"},
	} {
		if x.body["name"] == nil {
			x.body["name"] = name
		}
		e.Post(t, keysPath, x.body).Problem(t, x.status, x.code, x.field)
	}
	if got := e.Get(t, keysPath).Want(t, 200); got.Text("total.count") != "0" {
		t.Errorf("%s", got.Body)
	}
}

// TestKeysAreNoPeople: a key neither makes keys nor touches what people sign in with.
func TestKeysAreNoPeople(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Somebody", nil, nil)
	key := makeKey(t, a, Map{"permissions": allGrants()})
	for _, x := range []struct {
		method, path string
		body         any
	}{
		{"POST", keysPath, Map{"name": "Child", "permissions": grants("clients.view", "desk")}},
		{"DELETE", keysPath + "/" + key.ID, nil},
		{"GET", "/api/v1/sessions", nil},
		{"GET", "/api/v1/sessions?employee=" + a.ID, nil},
		{"DELETE", "/api/v1/sessions", nil},
		{"DELETE", "/api/v1/sessions?employee=" + e.ID, nil},
		{"DELETE", "/api/v1/sessions/" + uuid.NewString(), nil},
		{"DELETE", "/api/v1/session", nil},
		{"POST", "/api/v1/me/password", Map{"old_password": apitest.Password, "new_password": "another password"}},
		{"GET", factorPath, nil},
		{"POST", factorPath, Map{"password": apitest.Password}},
		{"POST", factorPath + "/confirm", Map{"code": "123456"}},
		{"POST", factorPath + "/recovery-codes", Map{"code": "123456"}},
		{"POST", factorPath + "/remove", Map{"password": apitest.Password, "code": "123456"}},
		{"DELETE", employeesPath + "/" + e.ID + "/second-factor", nil},
	} {
		key.Do(t, x.method, x.path, x.body).Problem(t, 403, "people_only")
	}
	e.Get(t, "/api/v1/me").Want(t, 200)
}

func TestKeyExpires(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	expires := s.Clock.Now().Add(time.Hour)
	short, long := makeKey(t, a, Map{"permissions": grants("clients.view", "all"), "expires_at": expires.Format(time.RFC3339)}), makeKey(t, a, Map{"permissions": grants("clients.view", "all")})
	if r := a.Get(t, keysPath+"/"+short.ID); r.Text("live") != "true" || r.Text("expires_at") != expires.UTC().Format("2006-01-02T15:04:05Z") || r.At("last_used_at") != nil {
		t.Errorf("%s", r.Body)
	}
	short.Get(t, "/api/v1/me").Want(t, 200)
	s.Clock.Advance(59 * time.Minute)
	short.Get(t, "/api/v1/me").Want(t, 200)
	used, err := time.Parse(time.RFC3339, a.Get(t, keysPath+"/"+short.ID).Text("last_used_at"))
	if since := s.Clock.Now().Sub(used); err != nil || since < 0 || since > time.Minute {
		t.Errorf("last used %s ago: %v", since, err)
	}
	s.Clock.Advance(time.Minute)
	short.Get(t, "/api/v1/me").Problem(t, 401, "key")
	long.Get(t, "/api/v1/me").Want(t, 200)
	if r := a.Get(t, keysPath+"/"+short.ID).Want(t, 200); r.Text("live") != "false" || r.At("revoked_at") != nil {
		t.Errorf("%s", r.Body)
	}
	s.Clock.Advance(20 * 365 * 24 * time.Hour)
	long.Get(t, "/api/v1/me").Want(t, 200)
}

func TestRevokeKey(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	other := s.Again(t)
	e, mate := a.EmployeeAs(t, "Owner", []string{"desk_manager"}, nil, nil), a.EmployeeAs(t, "Mate", []string{"auditor"}, nil, nil)
	for _, by := range []*apitest.User{e, a} {
		key := makeKey(t, e, Map{"permissions": grants("clients.view", "desk")})
		key.Get(t, "/api/v1/me").Want(t, 200)
		key.At(other).Get(t, "/api/v1/me").Want(t, 200)
		mate.Do(t, "DELETE", keysPath+"/"+key.ID, nil).Problem(t, 404, "api_key.absent")
		mate.Get(t, keysPath+"/"+key.ID).Problem(t, 404, "api_key.absent")
		by.Do(t, "DELETE", keysPath+"/"+key.ID, nil, "If-Match", `"7"`).Problem(t, 412, "revision")
		r := by.Do(t, "DELETE", keysPath+"/"+key.ID, nil)
		receipt(t, r, 200, "1")
		key.Get(t, "/api/v1/me").Problem(t, 401, "key")
		key.At(other).Get(t, "/api/v1/me").Problem(t, 401, "key")
		if r := by.Get(t, keysPath+"/"+key.ID, "Annals-After", r.Header.Get("Annals-Position")).Want(t, 200); r.Text("live") != "false" || r.Text("revoked_at") == "" {
			t.Errorf("%s", r.Body)
		}
		receipt(t, by.Do(t, "DELETE", keysPath+"/"+key.ID, nil), 200, "1") // it is
	}
	a.Do(t, "DELETE", keysPath+"/"+uuid.NewString(), nil).Problem(t, 404, "api_key.absent")
	// Where that was cut off, the log has the word.
	key := makeKey(t, e, Map{"permissions": grants("clients.view", "desk")})
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
	if _, err := commands.Handle(t.Context(), s.Commands.Store, apikey.Aggregate, uuid.MustParse(key.ID), apikey.Command(apikey.Revoke{}), m, commands.AnyRevision); err != nil {
		t.Fatal(err)
	}
	key.Get(t, "/api/v1/me").Problem(t, 401, "key")
	key.At(other).Get(t, "/api/v1/me").Problem(t, 401, "key")
}

// TestKeyFollowsOwner: a key may never do more than its owner may at that moment.
func TestKeyFollowsOwner(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Followed")
	d, d2 := a.Desk(t, p, "D"), a.Desk(t, p, "D2")
	c, c2 := a.Client(t, p, "C", Map{"desk_id": d}), a.Client(t, p, "C2", Map{"desk_id": d2})
	e := a.EmployeeAs(t, "Owner", []string{"desk_manager"}, []string{p}, []string{d, d2})
	follows := makeKey(t, e, Map{"permissions": grants("clients.view", "desk", "clients.edit", "desk")})
	fixed := makeKey(t, e, Map{"permissions": grants("clients.view", "desk", "clients.edit", "desk"), "projects": []string{p}, "desks": []string{d}})
	other := s.Again(t)
	sees := func(key *apitest.User, want ...string) {
		t.Helper()
		for _, k := range []*apitest.User{key, key.At(other)} {
			k.After = a.After
			got := k.Get(t, "/api/v1/clients").Want(t, 200).Column("id")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("sees %v, want %v", got, want)
			}
		}
	}
	sees(follows, c, c2)
	sees(fixed, c)
	a.Assign(t, e.ID, []string{p}, []string{d2})
	sees(follows, c2)
	sees(fixed)
	a.Assign(t, e.ID, []string{p}, []string{d})
	sees(follows, c)
	sees(fixed, c)
	a.Post(t, employeesPath+"/"+e.ID+"/roles", Map{"roles": []string{makeRole(t, a, "clients.view", "desk")}}).Want(t, 200)
	sees(fixed, c)
	fixed.Do(t, "PATCH", "/api/v1/clients/"+c, Map{"company": "x"}).Problem(t, 403, "forbidden")
	a.Post(t, employeesPath+"/"+e.ID+"/roles", Map{"roles": []string{"agent", "admin"}}).Want(t, 200) // more is not for the key
	sees(fixed, c)
	fixed.Do(t, "POST", "/api/v1/clients/"+c+"/status", Map{"status": "active"}).Problem(t, 403, "forbidden")
	a.Post(t, employeesPath+"/"+e.ID+"/roles", Map{"roles": []string{}}).Want(t, 200)
	sees(follows)
	sees(fixed)
	a.Post(t, employeesPath+"/"+e.ID+"/deactivate", nil).Want(t, 200)
	for _, k := range []*apitest.User{follows, fixed, follows.At(other), fixed.At(other)} {
		k.Get(t, "/api/v1/clients").Problem(t, 401, "key")
	}
}

// TestKeyRepeated: the request sent again has the same key, with a new secret as long
// as nobody has used the old one, and no other.
func TestKeyRepeated(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	body := Map{"name": "Once", "permissions": grants("clients.view", "all")}
	send := func(u *apitest.User) *apitest.Response { return u.Post(t, keysPath, body, "Idempotency-Key", "key") }
	me := func(key string, status int) {
		t.Helper()
		(&apitest.User{System: s, Token: key}).Get(t, "/api/v1/me").Want(t, status)
	}
	first := send(a).Want(t, 201)
	second := send(a.At(s.Again(t))).Want(t, 201)
	if second.Text("id") != first.Text("id") || second.Text("revision") != "0" || second.Header.Get("Idempotency-Replayed") != "true" || second.Text("key") == first.Text("key") {
		t.Errorf("%s and then %s", first.Body, second.Body)
	}
	me(first.Text("key"), 401)
	me(second.Text("key"), 200)
	send(a).Problem(t, 409, "key_used")
	me(second.Text("key"), 200)
	a.Do(t, "DELETE", keysPath+"/"+first.Text("id"), nil).Want(t, 200)
	send(a).Problem(t, 409, "key_used")
	a.Post(t, keysPath, Map{"name": "Another", "permissions": body["permissions"]}, "Idempotency-Key", "key").Problem(t, 422, "invalid", "Idempotency-Key")
}

// TestKeyCutOff: in the log, and without a secret, a key opens nothing, and gets its
// secret when the request is sent again.
func TestKeyCutOff(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	me := uuid.MustParse(a.ID)
	m := domain.Meta{
		Actor: me, Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond),
		By: domain.Authority{ID: me, Rights: domain.AllRights()}, Request: []byte("what was asked"),
	}
	c := apikey.Create{Name: "Cut off", Permissions: []domain.Grant{{Permission: domain.ClientsView, Reach: domain.Everywhere}}}
	id := uuid.New()
	first, err := commands.Handle(t.Context(), s.Commands.Store, apikey.Aggregate, id, apikey.Command(c), m, commands.AnyRevision)
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Get(t, keysPath+"/"+id.String(), "Annals-After", first.Position.String()).Want(t, 200); r.At("last_used_at") != nil {
		t.Errorf("%s", r.Body)
	}
	out, key, err := s.Again(t).Commands.MakeKey(t.Context(), id, c, m)
	if err != nil || !out.Replayed || out.Result != first.Result {
		t.Fatalf("%+v, %v", out, err)
	}
	if r := (&apitest.User{System: s, Token: key}).Get(t, "/api/v1/me").Want(t, 200); r.Text("id") != id.String() {
		t.Errorf("%s", r.Body)
	}
	// Revoked before it had a secret it gets none.
	id, m.Command = uuid.New(), uuid.New()
	if _, err := commands.Handle(t.Context(), s.Commands.Store, apikey.Aggregate, id, apikey.Command(c), m, commands.AnyRevision); err != nil {
		t.Fatal(err)
	}
	a.Do(t, "DELETE", keysPath+"/"+id.String(), nil).Want(t, 200)
	if _, key, err := s.Commands.MakeKey(t.Context(), id, c, m); domain.KindOf(err) != domain.Conflict || key != "" {
		t.Errorf("%q, %v", key, err)
	}
}
