package leaks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/apikey"
	clients "annals/domain/client"
	desks "annals/domain/desk"
	"annals/domain/employee"
	projects "annals/domain/project"
	"annals/domain/role"
	"annals/internal/apitest"
	"annals/internal/auth"
	"annals/internal/eventlog"
)

// The steps by which an organisation is made and changed.

func (o *org) addProject(t *testing.T, name string) {
	t.Helper()
	p, d := o.newID(), o.newID()
	if o.boss == nil { // as the command does it: first the desk
		o.write(t, domain.Desk, d, desks.Created{ProjectID: p, Name: "Default", Default: true})
		o.write(t, domain.Project, p, projects.Created{Name: name, DefaultDeskID: d})
	} else {
		p = o.make(t, domain.Project, "projects", apitest.Map{"name": name}, projects.Created{})
		r := o.boss.Get(t, "/api/v1/projects/"+p.String(), "Annals-After", o.boss.After).Want(t, http.StatusOK)
		d = parse(r.Text("default_desk_id"))
	}
	o.now.projects[p], o.now.desks[d] = name, deskOf{p, "Default"}
}

func (o *org) addDesk(t *testing.T, p id, name string) {
	t.Helper()
	d := o.make(t, domain.Desk, "desks", apitest.Map{"project_id": p, "name": name}, desks.Created{ProjectID: p, Name: name})
	o.now.desks[d] = deskOf{p, name}
}

func (o *org) addRole(t *testing.T, r ownRole) {
	t.Helper()
	n := o.make(t, domain.Role, "roles", apitest.Map{"name": r.name, "permissions": grants(r.grants)}, role.Created{Definition: ofRole(r)})
	o.now.roles[n] = r
}

func (o *org) changeRole(t *testing.T, n id, to ownRole) {
	t.Helper()
	o.change(t, domain.Role, n, "PATCH", "roles/"+n.String(), apitest.Map{"name": to.name, "permissions": grants(to.grants)},
		role.Changed{From: ofRole(o.now.roles[n]), To: ofRole(to)})
	o.now.roles[n] = to
}

func (o *org) deleteRole(t *testing.T, n id) {
	t.Helper()
	o.change(t, domain.Role, n, "DELETE", "roles/"+n.String(), nil, role.Deleted{})
	r := o.now.roles[n]
	r.gone = true
	o.now.roles[n] = r
}

func ofRole(r ownRole) role.Definition {
	return role.Definition{Name: r.name, Permissions: grants(r.grants)}
}

// grants are rights as an event has them.
func grants(r rights) []domain.Grant {
	out := []domain.Grant{}
	for _, p := range permissions {
		if r[p] > nothing {
			out = append(out, domain.Grant{Permission: domain.Permission(p), Reach: domain.Reach(r[p])})
		}
	}
	return out
}

func (o *org) addPerson(t *testing.T, p person) {
	t.Helper()
	events := []any{employee.Registered{Identity: employee.Identity{Name: p.name, Email: p.email}, Roles: p.roles}}
	if len(p.projects) > 0 {
		events = append(events, employee.Assigned{Projects: sorted(p.projects), Desks: sorted(p.desks)})
	}
	n := o.make(t, domain.Employee, "employees", apitest.Map{"name": p.name, "email": p.email, "roles": p.roles, "projects": sorted(p.projects), "desks": sorted(p.desks)}, events...)
	o.now.people[n] = p
}

// session signs somebody in.
func (o *org) session(t *testing.T, who id) {
	t.Helper()
	session, err := o.w.s.Auth.Start(t.Context(), who, auth.StartOptions{Method: auth.ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	o.tokens[who] = session.Token
}

// movePerson has somebody work elsewhere. The clients that they managed there are
// left behind: still theirs in the log, and nobody's by a command.
func (o *org) movePerson(t *testing.T, who id, projects, desks set) {
	t.Helper()
	o.change(t, domain.Employee, who, "POST", "employees/"+who.String()+"/assign",
		apitest.Map{"projects": sorted(projects), "desks": sorted(desks), "reassign_to": nil}, employee.Assigned{Projects: sorted(projects), Desks: sorted(desks)})
	p := o.now.people[who]
	p.projects, p.desks = projects, desks
	o.now.people[who] = p
	if o.boss == nil {
		return
	}
	for n, c := range o.now.clients {
		if c.manager == who && !p.covers(c.place) {
			c.manager = none
			o.now.clients[n] = c
			o.ends[eventlog.Stream(domain.Client, n)]++
			o.happened(n, "client.reassigned", parse(o.boss.ID), "127.0.0.1")
		}
	}
}

func (o *org) setRoles(t *testing.T, who id, roles []string) {
	t.Helper()
	p := o.now.people[who]
	o.change(t, domain.Employee, who, "POST", "employees/"+who.String()+"/roles", apitest.Map{"roles": roles}, employee.RolesChanged{From: p.roles, To: roles})
	p.roles = roles
	o.now.people[who] = p
}

func (o *org) switchPerson(t *testing.T, who id, off bool) {
	t.Helper()
	verb, e := "reactivate", any(employee.Reactivated{})
	if off {
		verb, e = "deactivate", employee.Deactivated{}
	}
	o.change(t, domain.Employee, who, "POST", "employees/"+who.String()+"/"+verb, nil, e)
	p := o.now.people[who]
	p.off = off
	o.now.people[who] = p
}

func (o *org) addClient(t *testing.T, c client) id {
	t.Helper()
	body := apitest.Map{"first_name": c.first, "last_name": c.last, "email": c.email, "project_id": c.project, "status": c.status, "tags": c.tags}
	if c.desk != none {
		body["desk_id"] = c.desk
	}
	if c.manager != none {
		body["manager_id"] = c.manager
	}
	custom, partner, code := o.custom()
	if len(custom) > 0 {
		body["custom"] = custom
	}
	n := o.make(t, domain.Client, "clients", body, clients.Registered{
		Details:    clients.Details{Type: clients.Person, FirstName: c.first, LastName: c.last, Email: c.email, Custom: custom},
		Assignment: assignment(c.place), Status: clients.Status(c.status), Tags: c.tags,
	})
	o.now.clients[n], o.partners[n], o.codes[n] = c, partner, code
	o.tell("assigned", domain.Client, "client.registered", n, n, c.manager)
	return n
}

// custom is what a new client has in custom fields: another client, and something that
// another may have as well.
func (o *org) custom() (values map[string]any, partner id, code string) {
	if !o.furnished {
		return nil, none, ""
	}
	values = map[string]any{}
	if others := sorted(o.now.clients); len(others) > 0 && o.chance(40) {
		partner = pick(o.rnd, others)
		values["partner"] = partner.String()
	}
	if o.chance(50) {
		code = o.name + pick(o.rnd, []string{" x", " y"})
		values["code"] = code
	}
	return values, partner, code
}

func assignment(p place) clients.Assignment {
	return clients.Assignment{ProjectID: p.project, DeskID: p.desk, ManagerID: p.manager}
}

func (o *org) moveClient(t *testing.T, n id, to place) {
	t.Helper()
	c := o.now.clients[n]
	o.change(t, domain.Client, n, "POST", "clients/"+n.String()+"/assign", apitest.Map{"project_id": to.project, "desk_id": orNull(to.desk), "manager_id": orNull(to.manager)},
		clients.Reassigned{From: assignment(c.place), To: assignment(to)})
	if to.manager != c.manager {
		o.tell("assigned", domain.Client, "client.reassigned", n, n, to.manager)
	}
	c.place = to
	o.now.clients[n] = c
}

func (o *org) switchClient(t *testing.T, n id, off bool) {
	t.Helper()
	verb, body, e := "reactivate", any(nil), any(clients.Reactivated{})
	if off {
		verb, body, e = "deactivate", apitest.Map{"reason": "leaks"}, clients.Deactivated{Reason: "leaks"}
	}
	o.change(t, domain.Client, n, "POST", "clients/"+n.String()+"/"+verb, body, e)
	c := o.now.clients[n]
	c.off = off
	o.now.clients[n] = c
}

func (o *org) addKey(t *testing.T, k apiKey, expired bool) {
	t.Helper()
	n := o.newID()
	e := apikey.Created{Name: k.name, OwnerID: k.owner, Permissions: grants(k.grants), Projects: sorted(k.projects), Desks: sorted(k.desks)}
	var until time.Time
	if expired {
		until = o.clock.Add(time.Hour).Truncate(time.Second)
		e.ExpiresAt, k.off = &until, true
	}
	o.write(t, domain.APIKey, n, e)
	if k.off && !expired {
		o.write(t, domain.APIKey, n, apikey.Revoked{})
	}
	token, err := o.w.s.Auth.NewKey(t.Context(), n, k.owner, until)
	if err != nil {
		t.Fatal(err)
	}
	o.now.keys[n], o.tokens[n] = k, token
}

// restatus changes a client in ways that have nothing to do with who sees it.
func (o *org) restatus(t *testing.T, n id, to string) {
	t.Helper()
	c := o.now.clients[n]
	o.change(t, domain.Client, n, "POST", "clients/"+n.String()+"/status", apitest.Map{"status": to}, clients.StatusChanged{From: clients.Status(c.status), To: clients.Status(to)})
	c.status = to
	o.now.clients[n] = c
}

func orNull(n id) any {
	if n == none {
		return nil
	}
	return n
}

func parse(s string) id { return uuid.MustParse(s) }
