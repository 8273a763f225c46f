package readapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

// access is who saw the client, and why, a line each, by the domain's rule.
func access(w domain.World, names map[domain.ID]string, id domain.ID) []string {
	s := domain.Look[client.State](w, domain.Ref{Category: domain.Client, ID: id})
	if !s.Exists() {
		return nil
	}
	place := domain.Place{Project: s.Assignment.ProjectID, Desk: s.Assignment.DeskID, Manager: s.Assignment.ManagerID}
	var lines []string
	for ref, state := range w {
		e, ok := state.(employee.State)
		if !ok || !e.Authority(ref.ID, w).May(domain.ClientsView, place) {
			continue
		}
		var because []string
		for _, name := range e.Roles {
			rights := role.RightsOf([]string{name}, w)
			reach := rights[domain.ClientsView]
			if !(domain.Authority{ID: ref.ID, Rights: rights, Scope: e.Scope()}).May(domain.ClientsView, place) {
				continue
			}
			scope := "own  "
			switch {
			case reach == domain.Everywhere:
				scope = "all  "
			case reach == domain.InProjects:
				scope = fmt.Sprint("project ", place.Project, " ", names[place.Project])
			case reach == domain.OnDesks && place.Desk != domain.ID{}:
				scope = fmt.Sprint("desk ", place.Desk, " ", names[place.Desk])
			}
			because = append(because, fmt.Sprint(what(name, w), " ", reach, " ", scope))
		}
		slices.Sort(because)
		lines = append(lines, fmt.Sprint(ref.ID, " ", names[ref.ID], ": ", strings.Join(because, ", ")))
	}
	slices.Sort(lines)
	return lines
}

// what is a role's id and name.
func what(ref string, w domain.World) string {
	if b, ok := role.Named(ref); ok {
		return fmt.Sprint(b.ID, " ", b.Name)
	}
	id := uuid.MustParse(ref)
	return fmt.Sprint(id, " ", domain.Look[role.State](w, domain.Ref{Category: domain.Role, ID: id}).Name)
}

// asked is the same by the API, all pages.
func asked(t *testing.T, u *apitest.User, id domain.ID, at string, limit int) []string {
	t.Helper()
	lines, names := []string{}, []string{}
	for cursor := ""; ; {
		r := u.Get(t, fmt.Sprintf("/api/v1/clients/%s/access?at=%s&limit=%d&cursor=%s", id, url.QueryEscape(at), limit, cursor)).Want(t, 200)
		for i := range r.List("items") {
			in := func(path string, args ...any) string {
				return r.Text(fmt.Sprintf("items.%d.", i) + fmt.Sprintf(path, args...))
			}
			var because []string
			for j := range r.List(fmt.Sprintf("items.%d.because", i)) {
				because = append(because, fmt.Sprint(in("because.%d.role_id", j), " ", in("because.%d.role", j), " ", in("because.%d.reach", j), " ",
					in("because.%d.scope.type", j), " ", in("because.%d.scope.id", j), " ", in("because.%d.scope.name", j)))
			}
			slices.Sort(because)
			lines = append(lines, fmt.Sprint(in("employee.id"), " ", in("employee.name"), ": ", strings.Join(because, ", ")))
			names = append(names, strings.ToLower(in("employee.name")))
		}
		if cursor = r.Text("next_cursor"); cursor == "" {
			if total := r.Text("total.count"); total != strconv.Itoa(len(lines)) {
				t.Errorf("client %s at %q: %s in total, and %d", id, at, total, len(lines))
			}
			break
		}
	}
	if !slices.IsSortedFunc(names, func(a, b string) int { // those without a name come last
		return strings.Compare(strings.ReplaceAll(a+"~", "~", "\x7f"), strings.ReplaceAll(b+"~", "~", "\x7f"))
	}) && !slices.Contains(names, "") {
		t.Errorf("client %s at %q: by name %q", id, at, names)
	}
	slices.Sort(lines)
	return lines
}

// Who could see a client at a moment is what the domain's rule says of everybody's
// roles and assignments, and of the client's place, as they were then.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	u := s.Admin(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(3, seed))
	c := &chronicle{s: s, clock: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC), at: map[string]eventlog.Revision{}}
	ids := func(n int) (out []domain.ID) {
		for range n {
			out = append(out, uuid.New())
		}
		return out
	}
	pick := func(ids []domain.ID) domain.ID { return ids[r.IntN(len(ids))] }
	some := func(ids []domain.ID) []domain.ID {
		out := []domain.ID{}
		for _, id := range ids {
			if r.IntN(3) > 0 {
				out = append(out, id)
			}
		}
		return out
	}
	projects, desks, people, roles, clients := ids(3), ids(5), ids(12), ids(5), ids(8)
	for i, id := range projects {
		c.append(t, domain.Project, id, project.Created{Name: fmt.Sprint("P", i), DefaultDeskID: desks[i]})
	}
	for i, id := range desks {
		c.append(t, domain.Desk, id, desk.Created{ProjectID: projects[i%3], Name: fmt.Sprint("D", i)})
	}
	definition := func() role.Definition {
		d := role.Definition{Name: fmt.Sprint("role ", r.IntN(9)), Permissions: []domain.Grant{{Permission: domain.ClientsEdit, Reach: domain.Own}}}
		if reach := domain.Reach(r.IntN(4)); reach > domain.Nothing {
			d.Permissions = append(d.Permissions, domain.Grant{Permission: domain.ClientsView, Reach: reach})
		}
		return d
	}
	refs := func() (out []string) {
		all := []string{role.Agent, role.Agent, role.Agent, role.Agent, role.Agent, role.DeskManager, role.ProjectAdmin, role.Auditor, role.Integration}
		for _, id := range roles {
			all = append(all, id.String())
		}
		for range 1 + r.IntN(3) {
			if ref := all[r.IntN(len(all))]; !slices.Contains(out, ref) {
				out = append(out, ref)
			}
		}
		return out
	}
	place := func() client.Assignment {
		a := client.Assignment{ProjectID: pick(projects)}
		if r.IntN(2) > 0 {
			a.DeskID = pick(desks)
		}
		if r.IntN(4) > 0 {
			a.ManagerID = pick(people)
		}
		return a
	}
	there, where := map[domain.ID]bool{}, map[domain.ID]client.Assignment{}
	var times []time.Time
	for range 350 {
		switch r.IntN(8) {
		case 0: // the same microsecond
		case 1:
			c.clock = c.clock.Add(-time.Minute) // another machine's clock
		default:
			c.clock = c.clock.Add(time.Duration(r.IntN(3600_000_000)) * time.Microsecond)
		}
		times = append(times, c.clock)
		id := pick(slices.Concat(people, people, roles, clients))
		switch {
		case slices.Contains(people, id) && !there[id]:
			c.append(t, domain.Employee, id, employee.Registered{Identity: employee.Identity{Name: fmt.Sprint("E", r.IntN(8)), Email: "e"}, Roles: refs()})
		case slices.Contains(people, id):
			events := []employee.Event{
				employee.Assigned{Projects: some(projects), Desks: some(desks)},
				employee.Assigned{Projects: some(projects), Desks: some(desks)},
				employee.RolesChanged{To: refs()},
				employee.RolesChanged{To: refs()},
				employee.Deactivated{},
				employee.Reactivated{},
				employee.CredentialChanged{},
				employee.Edited{To: employee.Identity{Name: fmt.Sprint("e", r.IntN(8))}},
			}
			c.append(t, domain.Employee, id, events[r.IntN(len(events))])
		case slices.Contains(roles, id) && !there[id]:
			c.append(t, domain.Role, id, role.Created{Definition: definition()})
		case slices.Contains(roles, id) && c.at[eventlog.Stream(domain.Role, id)] < 8:
			c.append(t, domain.Role, id, role.Changed{To: definition()})
		case slices.Contains(roles, id) && c.at[eventlog.Stream(domain.Role, id)] == 8:
			c.append(t, domain.Role, id, role.Deleted{})
		case slices.Contains(roles, id):
		case !there[id]:
			where[id] = place()
			c.append(t, domain.Client, id, client.Registered{Details: client.Details{Type: client.Person, LastName: "x"}, Assignment: where[id], Status: client.Lead})
		case r.IntN(5) == 0:
			c.append(t, domain.Client, id, client.StatusChanged{From: client.Lead, To: client.Active})
		default:
			to := place()
			c.append(t, domain.Client, id, client.Reassigned{From: where[id], To: to})
			where[id] = to
		}
		there[id] = true
	}
	c.read(t)
	u.After = c.last.String()
	names := c.names()
	var seen, unseen, own int
	for range 250 {
		id := pick(clients)
		if !there[id] {
			continue
		}
		at := times[r.IntN(len(times))].Add(time.Duration(r.IntN(3)-1) * time.Microsecond)
		text := at.Format(time.RFC3339Nano)
		switch r.IntN(10) {
		case 0:
			at, text = s.Clock.Now(), ""
		case 1:
			at = at.Truncate(24*time.Hour).AddDate(0, 0, 1).Add(-time.Microsecond)
			text = at.Format(time.DateOnly)
		}
		want, got := access(c.then(at), names, id), asked(t, u, id, text, 3+r.IntN(20))
		if !slices.Equal(got, want) {
			t.Errorf("client %s at %q is seen by\n%s\nand should be by\n%s", id, text, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if seen += len(want); len(want) == 0 {
			unseen++
		}
		own += strings.Count(strings.Join(want, " "), " own  ")
	}
	t.Logf("%d seen, %d by nobody, %d as their own", seen, unseen, own)
	if seen < 200 || unseen < 3 || own < 1 {
		t.Error("the test has hardly tested anything")
	}
}

// Whoever sees a client may ask who does, and nobody else learns that there is one.
func TestAccessIsAsked(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p, q := a.Project(t, "Here"), a.Project(t, "There")
	d := a.Desk(t, p, "Desk")
	agent := a.Employee(t, "Agnes Here", []string{p}, []string{d})
	other := a.Employee(t, "Otto There", []string{q}, nil)
	both := a.EmployeeAs(t, "Bea Both", []string{"project_admin", "agent"}, []string{p, q}, []string{d})
	before := s.Clock.Now()
	id := a.Client(t, q, "Moving", Map{"manager_id": other.ID})
	there := s.Clock.Now()
	a.Post(t, "/api/v1/clients/"+id+"/assign", Map{"project_id": p, "desk_id": d, "manager_id": agent.ID}).Want(t, 200)
	at := "/api/v1/clients/" + id + "/access"
	for _, u := range []*apitest.User{agent, other, both} {
		u.After = a.After
	}
	because := func(u *apitest.User, query string, who *apitest.User) string {
		r := u.Get(t, at+"?limit=500&"+query).Want(t, 200) // once: other tests have administrators come
		for i, item := range r.List("items") {
			if item.(Map)["employee"].(Map)["id"] == who.ID {
				var out []string
				for j := range r.List(fmt.Sprintf("items.%d.because", i)) {
					in := func(path string) string { return r.Text(fmt.Sprintf("items.%d.because.%d.%s", i, j, path)) }
					out = append(out, strings.Join([]string{in("role"), in("reach"), in("scope.type"), in("scope.name")}, "/"))
				}
				return strings.Join(out, ", ")
			}
		}
		return "nothing"
	}
	then := "at=" + url.QueryEscape(there.Format(time.RFC3339Nano))
	for _, c := range []struct {
		u     *apitest.User
		query string
		who   *apitest.User
		want  string
	}{
		{agent, "", agent, "agent/desk/desk/Desk"},
		{agent, "", other, "nothing"},
		{agent, "", both, "agent/desk/desk/Desk, project_admin/project/project/Here"},
		{agent, "", a, "admin/all/all/"},
		{agent, "at=" + s.Clock.Now().UTC().Format(time.DateOnly), agent, "agent/desk/desk/Desk"},
		{agent, then, agent, "nothing"},
		{agent, then, other, "agent/desk/own/"},
		{agent, then, both, "project_admin/project/project/"}, // what the project is called, they do not see
		{both, then, both, "project_admin/project/project/There"},
		{agent, "at=" + url.QueryEscape(before.Format(time.RFC3339Nano)), a, "nothing"},
		{agent, "at=2020-01-01", a, "nothing"},
	} {
		if got := because(c.u, c.query, c.who); got != c.want {
			t.Errorf("%s at %q: %s, want %s", c.who.Email, c.query, got, c.want)
		}
	}
	other.Get(t, at).Problem(t, 404, "client.absent")
	other.Get(t, at+"?"+then).Problem(t, 404, "client.absent") // rights of today count for asking
	a.Get(t, "/api/v1/clients/"+uuid.NewString()+"/access").Problem(t, 404, "client.absent")
	(&apitest.User{System: s}).Get(t, at).Problem(t, 401, "unauthorized")
	for _, bad := range []string{"yesterday", "2026-02-30", "2026-01-01T25:00:00Z", "2100-01-01", "2100-01-01T00:00:00Z", "2026-01-01' or '1", "%00"} {
		a.Get(t, at+"?at="+url.QueryEscape(bad)).Problem(t, 422, "invalid", "at")
	}
	// An employee who is deactivated sees nothing from then on, and a role counts as it was.
	a.Post(t, "/api/v1/employees/"+both.ID+"/deactivate", Map{}).Want(t, 200)
	agent.After = a.After
	if got := because(agent, "", both); got != "nothing" {
		t.Errorf("deactivated: %s", got)
	}
	if got := because(agent, then, both); got != "project_admin/project/project/" {
		t.Errorf("before: %s", got)
	}
}
