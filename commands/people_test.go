package commands_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

const employeesPath = "/api/v1/employees"

func address() string { return "some.body-" + uuid.NewString()[:8] + "@example.com" }

// signsIn says who an address signs in, without the work of a password; empty for nobody.
func signsIn(t *testing.T, s *apitest.System, email string) string {
	t.Helper()
	id, known, err := s.Auth.ByEmail(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	if !known {
		return ""
	}
	return id.String()
}

func clientNow(t *testing.T, s *apitest.System, id string) client.State {
	t.Helper()
	c, err := commands.Load[client.State](t.Context(), s.Commands.Store, domain.Ref{Category: domain.Client, ID: uuid.MustParse(id)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func employeeNow(t *testing.T, s *apitest.System, id string) employee.State {
	t.Helper()
	e, err := commands.Load[employee.State](t.Context(), s.Commands.Store, domain.Ref{Category: domain.Employee, ID: uuid.MustParse(id)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// managed checks that these clients have this manager, "" for none.
func managed(t *testing.T, s *apitest.System, manager string, clients ...string) {
	t.Helper()
	want := uuid.UUID{}
	if manager != "" {
		want = uuid.MustParse(manager)
	}
	for _, c := range clients {
		if got := clientNow(t, s, c).Assignment.ManagerID; got != want {
			t.Errorf("client %s is managed by %s, want %s", c, got, want)
		}
	}
}

func TestEditEmployee(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.EmployeeWithPassword(t, "Edith", nil, nil)
	at, old, fresh := employeesPath+"/"+e.ID, e.Email, address()
	receipt(t, a.Patch(t, at, Map{"name": " Edith  Eagle "}), 200, "1")
	receipt(t, a.Patch(t, at, Map{"email": fresh}), 200, "2")
	if r := a.Get(t, at); r.Text("name") != "Edith Eagle" || r.Text("email") != fresh {
		t.Errorf("%s", r.Body)
	}
	if r := signIn(t, s, fresh, apitest.Password).Want(t, 200); r.Text("employee.id") != e.ID {
		t.Errorf("%s", r.Body)
	}
	signIn(t, s, old, apitest.Password).Problem(t, 401, "sign_in")
	e.Get(t, "/api/v1/me").Want(t, 200) // what was signed in stays so
	// Another case is the same address; the old one is anybody's.
	receipt(t, a.Patch(t, at, Map{"email": strings.ToUpper(fresh)}), 200, "3")
	receipt(t, a.Patch(t, at, Map{"email": strings.ToUpper(fresh), "name": "Edith Eagle"}), 200, "3")
	heir := a.Create(t, employeesPath, Map{"name": "Heir", "email": old})
	for _, taken := range []string{old, strings.ToUpper(old)} {
		a.Patch(t, at, Map{"email": taken, "name": "Robber"}).Problem(t, 409, "taken", "email")
	}
	for _, bad := range []any{"", "nobody", "a@b@c.example", strings.Repeat("a", 250) + "@example.com", nil} {
		a.Patch(t, at, Map{"email": bad}).Want(t, 422)
	}
	other := address()
	a.Patch(t, at, Map{"email": other}, "If-Match", `"0"`).Problem(t, 412, "revision")
	for email, want := range map[string]string{fresh: e.ID, old: heir, other: ""} {
		if got := signsIn(t, s, email); got != want {
			t.Errorf("%s signs in %q, want %q", email, got, want)
		}
	}
	receipt(t, a.Patch(t, at, Map{"email": other}, "If-Match", `"3"`), 200, "4")
	a.Post(t, at+"/deactivate", nil).Want(t, 200)
	a.Patch(t, at, Map{"email": address()}).Problem(t, 409, "employee.deactivated")
	a.Patch(t, employeesPath+"/"+uuid.NewString(), Map{"email": old}).Problem(t, 404, "employee.absent") // and not that it is taken
}

// TestEditRepeated: a request that comes again after others changes nothing.
func TestEditRepeated(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.Employee(t, "Twice", nil, nil)
	at, one, two := employeesPath+"/"+e.ID, address(), address()
	edit := func(u *apitest.User, key, email string) *apitest.Response {
		return u.Patch(t, at, Map{"email": email}, "Idempotency-Key", key)
	}
	nothing := edit(a, "nothing", e.Email).Want(t, 200)
	first := edit(a, "first", one).Want(t, 200)
	again(t, first, edit(a, "first", one))
	edit(a, "second", two).Want(t, 200)
	again(t, first, edit(a, "first", one))
	again(t, first, edit(a.At(s.Again(t)), "first", one))
	again(t, nothing, edit(a, "nothing", e.Email))
	edit(a, "first", two).Problem(t, 422, "invalid", "Idempotency-Key")
	thief := a.Create(t, employeesPath, Map{"name": "Next", "email": one})
	again(t, first, edit(a, "first", one))
	for email, want := range map[string]string{two: e.ID, one: thief, e.Email: ""} {
		if got := signsIn(t, s, email); got != want {
			t.Errorf("%s signs in %q, want %q", email, got, want)
		}
	}
	if r := a.Get(t, at); r.Text("email") != two || r.Text("revision") != "2" {
		t.Errorf("%s", r.Body)
	}
}

// TestEditCutOff: where the log has an address that the credentials do not, since the
// database went away in between, saying it once more brings them together.
func TestEditCutOff(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	e := a.Employee(t, "Cut", nil, nil)
	email := address()
	m := domain.Meta{Actor: uuid.MustParse(a.ID), Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond), By: domain.Root}
	_, err := commands.Handle(t.Context(), s.Commands.Store, employee.Aggregate, uuid.MustParse(e.ID), employee.Command(employee.Edit{Email: domain.Set(email)}), m, commands.AnyRevision)
	if err != nil || signsIn(t, s, email) != "" {
		t.Fatal(err)
	}
	a.Patch(t, employeesPath+"/"+e.ID, Map{"email": email}).Want(t, 200)
	if signsIn(t, s, email) != e.ID || signsIn(t, s, e.Email) != "" {
		t.Error("the credentials have the old address still")
	}
}

func TestAddressesEditedConcurrently(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	users := []*apitest.User{a, a.At(s.Again(t))}
	var staff []*apitest.User
	for i := range 4 {
		staff = append(staff, a.Employee(t, fmt.Sprint("Racer ", i), nil, nil))
	}
	for range 3 { // several for one address
		email := address()
		var won atomic.Int32
		together(len(staff), func(i int) {
			u := *users[i%2]
			r := u.Do(t, "PATCH", employeesPath+"/"+staff[i].ID, Map{"email": email})
			switch {
			case r.Status == 200:
				won.Add(1)
			case r.Status != 409 || r.Text("code") != "taken" && r.Text("code") != "pending":
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d have the address", won.Load())
		}
		for _, e := range staff {
			if now := employeeNow(t, s, e.ID).Email; signsIn(t, s, now) != e.ID {
				t.Errorf("the log has %s for %s, who does not sign in with it", now, e.ID)
			}
		}
	}
	for range 3 { // one for several addresses, among them the one they have
		emails := []string{employeeNow(t, s, staff[0].ID).Email, address(), address(), address()}
		together(len(emails), func(i int) {
			u := *users[i%2]
			u.Do(t, "PATCH", employeesPath+"/"+staff[0].ID, Map{"email": emails[i]}).Want(t, 200)
		})
		now := employeeNow(t, s, staff[0].ID).Email
		for _, email := range emails {
			if got := signsIn(t, s, email); (got == staff[0].ID) != (email == now) {
				t.Errorf("%s signs in %q; the log has %s", email, got, now)
			}
		}
	}
}

// leaver is somebody who manages clients: on two desks, and on none.
type leaver struct {
	admin, who, heir     *apitest.User
	project, one, two    string
	onOne, onTwo, noDesk string
	at                   string
}

func newLeaver(t *testing.T, s *apitest.System) leaver {
	t.Helper()
	a := s.Admin(t)
	l := leaver{admin: a, project: a.Project(t, "Left")}
	l.one, l.two = a.Desk(t, l.project, "One"), a.Desk(t, l.project, "Two")
	l.who = a.Employee(t, "Leaver", []string{l.project}, []string{l.one, l.two})
	l.heir = a.Employee(t, "Heir", []string{l.project}, []string{l.two})
	l.onOne = a.Client(t, l.project, "One", Map{"desk_id": l.one, "manager_id": l.who.ID})
	l.onTwo = a.Client(t, l.project, "Two", Map{"desk_id": l.two, "manager_id": l.who.ID})
	l.noDesk = a.Client(t, l.project, "None", Map{"manager_id": l.who.ID})
	l.at = employeesPath + "/" + l.who.ID
	return l
}

func (l leaver) assign(t *testing.T, body Map, headers ...string) *apitest.Response {
	t.Helper()
	return l.admin.Post(t, l.at+"/assign", body, headers...)
}

func TestLeaving(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	l := newLeaver(t, s)
	a := l.admin
	none, onOne, both := Map{"projects": []string{}, "desks": []string{}}, Map{"desks": []string{l.one}}, Map{"desks": []string{l.one, l.two}}
	with := func(body Map, heir any) Map {
		return Map{"projects": body["projects"], "desks": body["desks"], "reassign_to": heir}
	}
	none["projects"], onOne["projects"], both["projects"] = []string{}, []string{l.project}, []string{l.project}
	l.assign(t, both).Want(t, 200)
	about(t, l.assign(t, none).Problem(t, 409, "employee.manages_clients"), l.onOne, l.onTwo, l.noDesk)
	about(t, l.assign(t, onOne).Problem(t, 409, "employee.manages_clients"), l.onTwo)
	about(t, l.assign(t, with(none, l.heir.ID)).Problem(t, 422, "invalid", "reassign_to"), l.onOne)
	gone := a.Employee(t, "Gone", []string{l.project}, []string{l.one, l.two})
	a.Post(t, employeesPath+"/"+gone.ID+"/deactivate", nil).Want(t, 200)
	for _, no := range []string{l.who.ID, uuid.NewString(), gone.ID, l.project, a.ID} {
		l.assign(t, with(onOne, no)).Problem(t, 422, "invalid", "reassign_to")
	}
	l.assign(t, with(onOne, "x")).Want(t, 422)
	l.assign(t, with(onOne, l.heir.ID), "If-Match", `"17"`).Problem(t, 412, "revision")
	l.assign(t, with(Map{"projects": []string{uuid.NewString()}, "desks": []string{}}, l.heir.ID)).Problem(t, 422, "invalid", "projects")
	managed(t, s, l.who.ID, l.onOne, l.onTwo, l.noDesk) // what is refused moves nobody
	first := l.assign(t, with(onOne, l.heir.ID), "Idempotency-Key", "leave").Want(t, 200)
	managed(t, s, l.heir.ID, l.onTwo)
	managed(t, s, l.who.ID, l.onOne, l.noDesk)
	if r := a.Get(t, l.at); r.Text("desks") != "["+l.one+"]" {
		t.Errorf("%s", r.Body)
	}
	if r := l.heir.Get(t, "/api/v1/clients/"+l.onTwo+"/history", "Annals-After", first.Header.Get("Annals-Position")).Want(t, 200); r.Text("items.1.type") != "client.reassigned" || r.Text("items.1.actor.id") != a.ID {
		t.Errorf("who handed it over: %s", r.Body)
	}
	again(t, first, l.assign(t, with(onOne, l.heir.ID), "Idempotency-Key", "leave"))
	// Back again, with the client: the request of before does not take it away once more.
	l.assign(t, both).Want(t, 200)
	a.Post(t, "/api/v1/clients/"+l.onTwo+"/assign", Map{"manager_id": l.who.ID}).Want(t, 200)
	again(t, first, l.assign(t, with(onOne, l.heir.ID), "Idempotency-Key", "leave"))
	again(t, first, a.At(s.Again(t)).Post(t, l.at+"/assign", with(onOne, l.heir.ID), "Idempotency-Key", "leave"))
	managed(t, s, l.who.ID, l.onOne, l.onTwo, l.noDesk)
	// The same once more, by another request; and to nobody.
	l.assign(t, with(onOne, l.heir.ID)).Want(t, 200)
	managed(t, s, l.heir.ID, l.onTwo)
	l.assign(t, with(none, nil)).Want(t, 200)
	managed(t, s, "", l.onOne, l.noDesk)
	l.assign(t, both).Want(t, 200)
	l.assign(t, none).Want(t, 200) // nobody is left behind
}

// dying is a log whose process dies at one of its appends: just before it, or just
// after, when nobody has been told.
type dying struct {
	commands.Log
	left  atomic.Int64
	after bool
}

func (d *dying) Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error) {
	switch left := d.left.Add(-1); {
	case left < 0 || left == 0 && !d.after:
		return eventlog.Result{}, errDied
	case left == 0:
		if _, err := d.Log.Append(ctx, stream, last, m, events...); err != nil {
			return eventlog.Result{}, err
		}
		return eventlog.Result{}, errDied
	}
	return d.Log.Append(ctx, stream, last, m, events...)
}

// TestLeavingCutOff: whenever the process dies, the same request goes on where it was.
func TestLeavingCutOff(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	process := s.Again(t)
	for n := int64(1); n <= 4; n++ { // three clients, and the one who leaves
		for _, after := range []bool{false, true} {
			l := newLeaver(t, s)
			l.admin.Assign(t, l.heir.ID, []string{l.project}, []string{l.one, l.two})
			log := &dying{Log: s.Log, after: after}
			log.left.Store(n)
			process.Commands.Store = commands.NewStore(log)
			process.Serve(t)
			body := Map{"projects": []string{}, "desks": []string{}, "reassign_to": l.heir.ID}
			if r := l.admin.At(process).Do(t, "POST", l.at+"/assign", body, "Idempotency-Key", "cut"); r.Status != 500 && (n < 4 || !after) {
				t.Errorf("died at %d: %d %s", n, r.Status, r.Body)
			}
			if left := len(employeeNow(t, s, l.who.ID).Projects); n < 4 && left != 1 {
				t.Errorf("died at %d: left before the clients had somebody", n)
			}
			l.assign(t, body, "Idempotency-Key", "cut").Want(t, 200)
			managed(t, s, l.heir.ID, l.onOne, l.onTwo, l.noDesk)
			if left := len(employeeNow(t, s, l.who.ID).Projects); left != 0 {
				t.Errorf("died at %d: not left", n)
			}
		}
	}
}

// held is a log that has what is appended to clients wait.
type held struct {
	commands.Log
	arrived, goOn chan struct{}
}

func (h *held) Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error) {
	if strings.HasPrefix(stream, domain.Client+"-") && h.arrived != nil {
		h.arrived <- struct{}{}
		<-h.goOn
		h.arrived = nil
	}
	return h.Log.Append(ctx, stream, last, m, events...)
}

// TestGivenWhileLeaving: a client that is given to somebody in the moment in which they
// leave does not stay with them, whoever was first.
func TestGivenWhileLeaving(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	other := s.Again(t)
	p := a.Project(t, "Given")
	none := Map{"projects": []string{}, "desks": []string{}}
	stays := func(c string) {
		t.Helper()
		at := clientNow(t, s, c).Assignment
		if at.ManagerID != (domain.ID{}) && !employeeNow(t, s, at.ManagerID.String()).Scope().Covers(at.ProjectID, at.DeskID) {
			t.Errorf("client %s stays with %s, who has left", c, at.ManagerID)
		}
	}
	// Decided before they left, and in the log after it.
	for name, give := range map[string]func(*apitest.User, string) string{
		"assigned": func(u *apitest.User, e string) string {
			c := a.Client(t, p, "Given")
			u.Do(t, "POST", "/api/v1/clients/"+c+"/assign", Map{"manager_id": e}).Want(t, 200)
			return c
		},
		"registered": func(u *apitest.User, e string) string {
			r := u.Do(t, "POST", "/api/v1/clients", Map{"last_name": "New", "project_id": p, "manager_id": e})
			return r.Want(t, 201).Text("id")
		},
	} {
		e := a.Employee(t, "Leaver", []string{p}, nil)
		log := &held{Log: s.Log, arrived: make(chan struct{}), goOn: make(chan struct{})}
		other.Commands.Store = commands.NewStore(log)
		other.Serve(t)
		u, given := a.At(other), make(chan string)
		go func() { given <- give(u, e.ID) }()
		<-log.arrived
		a.Post(t, employeesPath+"/"+e.ID+"/assign", none).Want(t, 200)
		close(log.goOn)
		c := <-given
		if got := clientNow(t, s, c).Assignment.ManagerID; got != (domain.ID{}) {
			t.Errorf("%s: the client stays with %s", name, got)
		}
	}
	// At random, with clients that are handed over and given back.
	other.Commands.Store = commands.NewStore(s.Log)
	other.Serve(t)
	heir := a.Employee(t, "Heir", []string{p}, nil)
	c := a.Client(t, p, "Given")
	for round := range 12 {
		e := a.Employee(t, "Leaver", []string{p}, nil)
		if round%2 == 0 {
			a.Post(t, "/api/v1/clients/"+c+"/assign", Map{"manager_id": e.ID}).Want(t, 200)
		}
		together(3, func(i int) {
			switch i {
			case 0:
				u := *a
				r := u.Do(t, "POST", employeesPath+"/"+e.ID+"/assign", Map{"projects": []string{}, "desks": []string{}, "reassign_to": heir.ID})
				if r.Status != 200 {
					t.Errorf("%d %s", r.Status, r.Body)
				}
			default:
				u := *a.At([]*apitest.System{s, other}[i-1])
				if r := u.Do(t, "POST", "/api/v1/clients/"+c+"/assign", Map{"manager_id": e.ID}); r.Status != 200 && r.Status != 422 {
					t.Errorf("%d %s", r.Status, r.Body)
				}
			}
		})
		stays(c)
	}
}

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

// TestNobodyThemselves: what bounds somebody is not theirs to change.
func TestNobodyThemselves(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := a.Project(t, "Self")
	for _, u := range []*apitest.User{a, a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil)} {
		at := employeesPath + "/" + u.ID
		before := employeeNow(t, s, u.ID)
		u.Do(t, "POST", at+"/roles", Map{"roles": []string{"agent"}}).Problem(t, 403, "self")
		u.Do(t, "POST", at+"/roles", Map{"roles": before.Roles}).Problem(t, 403, "self")
		u.Do(t, "POST", at+"/deactivate", nil).Problem(t, 403, "self")
		u.Do(t, "DELETE", at+"/second-factor", nil).Problem(t, 403, "self")
		u.Do(t, "PATCH", at, Map{"name": "New Name"}).Want(t, 200)
		u.Get(t, "/api/v1/me").Want(t, 200)
	}
	// A colleague may, and a key of one's own is no colleague.
	b := s.Admin(t)
	key := b.Post(t, keysPath, Map{"name": "All", "permissions": allGrants()}).Want(t, 201).Text("key")
	k := &apitest.User{System: s, Token: key}
	k.Do(t, "POST", employeesPath+"/"+b.ID+"/roles", Map{"roles": []string{"agent"}}).Problem(t, 403, "self")
	k.Do(t, "POST", employeesPath+"/"+b.ID+"/deactivate", nil).Problem(t, 403, "self")
	a.Post(t, employeesPath+"/"+b.ID+"/roles", Map{"roles": []string{"agent"}}).Want(t, 200)
	b.Do(t, "POST", employeesPath, Map{"name": "x", "email": address()}).Problem(t, 403, "forbidden")
	k.Do(t, "POST", employeesPath, Map{"name": "x", "email": address()}).Problem(t, 403, "forbidden")
}

func allGrants() []Map {
	var pairs []string
	for _, p := range domain.Permissions {
		pairs = append(pairs, string(p), "all")
	}
	return grants(pairs...)
}

func TestProjectAdmin(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Theirs"), a.Project(t, "Others'")
	d, far := a.Desk(t, p, "D"), a.Desk(t, q, "Far")
	head := a.EmployeeAs(t, "Head", []string{"project_admin"}, []string{p}, nil)
	mine, both := a.Employee(t, "Mine", []string{p}, nil), a.Employee(t, "Both", []string{p, q}, []string{far})
	stranger, auditor := a.Employee(t, "Stranger", []string{q}, nil), a.EmployeeAs(t, "Auditor", []string{"auditor"}, []string{p}, nil)
	chief := a.EmployeeAs(t, "Chief", []string{"admin"}, []string{p}, nil)
	at := func(u *apitest.User, what string) string { return employeesPath + "/" + u.ID + what }

	id := head.Create(t, employeesPath, Map{"name": "New", "email": address(), "projects": []string{p}, "desks": []string{d}})
	if got := employeeNow(t, s, id); !got.Eligible(uuid.MustParse(p), uuid.MustParse(d)) || !slices.Equal(got.Roles, []string{"agent"}) {
		t.Errorf("%+v", got)
	}
	for name, x := range map[string]struct {
		body        Map
		status      int
		code, field string
	}{
		"nowhere":        {Map{}, 422, "invalid", "projects"},
		"elsewhere":      {Map{"projects": []string{q}}, 403, "not_assigned", "projects"},
		"nowhere real":   {Map{"projects": []string{uuid.NewString()}}, 403, "not_assigned", "projects"},
		"also elsewhere": {Map{"projects": []string{p, q}}, 403, "not_assigned", "projects"},
		"a desk there":   {Map{"projects": []string{p}, "desks": []string{far}}, 403, "not_assigned", "desks"},
		"more powerful":  {Map{"projects": []string{p}, "roles": []string{"admin"}}, 403, "not_yours", "roles"},
	} {
		email := address()
		body := Map{"name": name, "email": email}
		maps.Copy(body, x.body)
		head.Post(t, employeesPath, body).Problem(t, x.status, x.code, x.field)
		if signsIn(t, s, email) != "" {
			t.Errorf("%s: the address is taken by nobody", name)
		}
	}
	for _, x := range []struct {
		method, what string
		body         Map
	}{
		{"PATCH", "", Map{"email": address()}},
		{"POST", "/roles", Map{"roles": []string{}}},
		{"POST", "/deactivate", nil},
		{"POST", "/reactivate", nil},
		{"DELETE", "/second-factor", nil},
	} {
		var body any
		if x.body != nil {
			body = x.body
		}
		head.Do(t, x.method, at(both, x.what), body).Problem(t, 403, "works_elsewhere")
		head.Do(t, x.method, at(stranger, x.what), body).Problem(t, 404, "employee.absent")
		for _, u := range []*apitest.User{auditor, chief} {
			head.Do(t, x.method, at(u, x.what), body).Problem(t, 403, "not_yours", "roles")
		}
	}
	head.Do(t, "POST", at(mine, "/roles"), Map{"roles": []string{"auditor"}}).Problem(t, 403, "not_yours", "roles")
	head.Do(t, "POST", at(mine, "/assign"), Map{"projects": []string{p, q}}).Problem(t, 403, "not_assigned", "projects")
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{p}, "desks": []string{}}).Want(t, 200) // of the rest they know nothing
	if got := employeeNow(t, s, both.ID); !got.Eligible(uuid.MustParse(q), uuid.MustParse(far)) || !got.Eligible(uuid.MustParse(p), uuid.UUID{}) {
		t.Errorf("taken from where others manage the employees: %+v", got)
	}
	for _, u := range []*apitest.User{mine, both, stranger, auditor, chief} {
		if got := employeeNow(t, s, u.ID); got.Email != u.Email || !got.Active() || signsIn(t, s, u.Email) != u.ID {
			t.Errorf("%+v", got)
		}
	}
	// In their own projects they may.
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{p, q}, "desks": []string{d, far}}).Want(t, 200)
	head.Do(t, "POST", at(both, "/assign"), Map{"projects": []string{}, "desks": []string{}}).Want(t, 200)
	if got := employeeNow(t, s, both.ID); !got.Eligible(uuid.MustParse(q), uuid.MustParse(far)) || got.Eligible(uuid.MustParse(p), uuid.UUID{}) {
		t.Errorf("taken from one's own project: %+v", got)
	}
	head.Do(t, "POST", at(mine, "/roles"), Map{"roles": []string{"desk_manager", "project_admin"}}).Want(t, 200)
	head.Do(t, "PATCH", at(mine, ""), Map{"email": address()}).Want(t, 200)
	head.Do(t, "POST", at(mine, "/deactivate"), nil).Want(t, 200)
	head.Do(t, "POST", at(mine, "/reactivate"), nil).Want(t, 200)
}

func employeeID(t *testing.T, id string) domain.ID {
	t.Helper()
	parsed, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
