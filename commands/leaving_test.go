package commands_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

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
