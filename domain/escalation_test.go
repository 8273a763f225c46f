package domain_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
)

// The organisation of this test: two projects with two desks and one.
var (
	p1, p2     = uuid.UUID{0x10}, uuid.UUID{0x11}
	d1, d2, d3 = uuid.UUID{0x20}, uuid.UUID{0x21}, uuid.UUID{0x22}
	deskOf     = map[domain.ID]domain.ID{d1: p1, d2: p1, d3: p2}
	places     = []domain.Place{{Project: p1}, {Project: p1, Desk: d1}, {Project: p1, Desk: d2}, {Project: p2}, {Project: p2, Desk: d3}}
	// What the actors are given of: with fewer permissions they more often meet.
	disputed = []domain.Permission{
		domain.ClientsView, domain.ClientsEdit, domain.OrganisationManage, domain.EmployeesView, domain.EmployeesManage, domain.RolesManage, domain.SettingsManage,
	}
)

// organisation is everything that commands are decided against.
type organisation struct {
	domain.World
	people, roles, keys []domain.ID
	next                uint32
}

func (o *organisation) id() domain.ID {
	o.next++
	return uuid.UUID{0xee, byte(o.next >> 8), byte(o.next)}
}

func (o *organisation) employee(id domain.ID) employee.State {
	return domain.Look[employee.State](o.World, domain.Ref{Category: domain.Employee, ID: id})
}

func (o *organisation) key(id domain.ID) apikey.State {
	return domain.Look[apikey.State](o.World, domain.Ref{Category: domain.APIKey, ID: id})
}

// authority is that of an employee or a key.
func (o *organisation) authority(id domain.ID) domain.Authority {
	if e := o.employee(id); e.Exists() {
		return e.Authority(id, o.World)
	}
	if k := o.key(id); k.Exists() && !k.Revoked() {
		return k.Authority(o.authority(k.OwnerID))
	}
	return domain.Authority{}
}

// carryOut decides and folds; it says whether the command was taken. What is decided
// sees of the world only what it asked for.
func carryOut[S, C, E any](o *organisation, d domain.Decider[S, C, E], id domain.ID, c C, by domain.Authority) bool {
	ref := domain.Ref{Category: d.Category, ID: id}
	s, w := domain.Look[S](o.World, ref), domain.World{}
	if d.Refs != nil {
		for _, r := range d.Refs(s, c) {
			if there, ok := o.World[r]; ok {
				w[r] = there
			}
		}
	}
	events, err := d.Decide(s, c, w, domain.Meta{By: by, Aggregate: id})
	if err != nil {
		return false
	}
	for _, e := range events {
		s = d.Evolve(s, e)
	}
	o.World[ref] = s
	return len(events) > 0
}

// A power is something that somebody may do: to clients of a place, whoever their
// manager is or only as their manager, or to what belongs to a project, or to none.
type power struct {
	domain.Permission
	where string
}

func powers(a domain.Authority) map[power]bool {
	all, stranger := map[power]bool{}, uuid.UUID{0xff}
	put := func(may bool, p domain.Permission, where string, args ...any) {
		if may {
			all[power{p, fmt.Sprintf(where, args...)}] = true
		}
	}
	for _, p := range domain.Permissions {
		for i, at := range places {
			at.Manager = stranger
			put(a.May(p, at), p, "all in place %d", i)
			at.Manager = a.ID
			put(a.ID != (domain.ID{}) && a.May(p, at), p, "own in place %d", i)
		}
		for i, id := range []domain.ID{{}, p1, p2} {
			put(a.MayIn(p, id), p, "project %d", i)
		}
	}
	return all
}

func beyond(some, most map[power]bool) (power, bool) {
	for p := range some {
		if !most[p] {
			return p, true
		}
	}
	return power{}, false
}

// someGrants are any, or those of somebody who runs things.
func someGrants(t *rapid.T, runs bool) []domain.Grant {
	reaches := []domain.Reach{domain.Own, domain.InProjects, domain.OnDesks, domain.Nothing, domain.Everywhere}
	if runs {
		reaches = []domain.Reach{domain.InProjects, domain.Everywhere, domain.OnDesks}
	}
	var grants []domain.Grant
	for _, p := range disputed {
		among := reaches
		if runs && p != domain.ClientsView && p != domain.ClientsEdit && p != domain.OrganisationManage {
			among = []domain.Reach{domain.Everywhere, domain.InProjects}
		}
		if r := rapid.SampledFrom(among).Draw(t, string(p)); r != domain.Nothing {
			grants = append(grants, domain.Grant{Permission: p, Reach: r})
		}
	}
	return grants
}

// givable are mostly grants that somebody with these rights can give, and now and
// then one that they cannot.
func givable(t *rapid.T, has domain.Rights) []domain.Grant {
	var grants []domain.Grant
	for _, p := range disputed {
		reach := has[p]
		switch rapid.IntRange(0, 15).Draw(t, string(p)) {
		case 15: // rapid prefers small numbers
			reach = domain.Reach(rapid.Uint8Range(1, 4).Draw(t, "reach"))
		case 9, 10, 11:
			reach = min(reach, domain.OnDesks)
		case 12, 13, 14:
			reach = domain.Nothing
		}
		if reach != domain.Nothing {
			grants = append(grants, domain.Grant{Permission: p, Reach: reach})
		}
	}
	return grants
}

func someOf[T any](t *rapid.T, label string, all []T) []T {
	var some []T
	for i, one := range all {
		if rapid.IntRange(0, 2).Draw(t, fmt.Sprintf("%s %d", label, i)) < 2 {
			some = append(some, one)
		}
	}
	return some
}

func somePlaces(t *rapid.T) (projects, desks []domain.ID) {
	projects = someOf(t, "project", []domain.ID{p1, p2})
	for _, d := range someOf(t, "desk", []domain.ID{d1, d2, d3}) {
		if domain.ScopeOf(projects, nil).Projects[deskOf[d]] {
			desks = append(desks, d)
		}
	}
	return projects, desks
}

// someOrganisation is set up by the system, which may do anything.
func someOrganisation(t *rapid.T) *organisation {
	o := &organisation{World: domain.World{}}
	for _, id := range []domain.ID{p1, p2} {
		o.World[domain.Ref{Category: domain.Project, ID: id}] = project.Aggregate.Evolve(project.State{}, project.Created{Name: "x"})
	}
	for id, in := range deskOf {
		o.World[domain.Ref{Category: domain.Desk, ID: id}] = desk.State{ProjectID: in}
	}
	for i := range 3 {
		id := o.id()
		o.roles = append(o.roles, id)
		carryOut(o, role.Aggregate, id, role.Command(role.Create{Name: "x", Permissions: someGrants(t, i == 0)}), domain.Root)
	}
	for i := range 4 {
		id := o.id()
		o.people = append(o.people, id)
		c := employee.Register{Name: "x", Email: "x@example.com", Roles: new(o.someRoles(t))}
		if i < 2 {
			c.Roles = &[]string{o.roles[0].String()}
		}
		c.Projects, c.Desks = somePlaces(t)
		if !carryOut(o, employee.Aggregate, id, employee.Command(c), domain.Root) {
			t.Fatal("not set up")
		}
		if rapid.IntRange(0, 3).Draw(t, "deactivated") == 3 {
			carryOut(o, employee.Aggregate, id, employee.Command(employee.Deactivate{}), domain.Root)
		}
	}
	return o
}

// someRoles are one or two; the built-in ones are rare, as is any that there is not.
func (o *organisation) someRoles(t *rapid.T) []string {
	var names []string
	for _, id := range o.roles {
		names = append(names, id.String(), id.String(), id.String())
	}
	names = append(names, role.Agent, role.DeskManager, role.ProjectAdmin, role.Auditor)
	return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(t, "roles")
}

// act has somebody try something, and says what, to whom, and whether it happened.
func (o *organisation) act(t *rapid.T, by domain.Authority) (kind string, to domain.ID, done bool) {
	kind = rapid.SampledFrom([]string{"roles", "reactivate", "change", "assign", "revoke", "clone", "create", "key", "roles", "delete", "edit", "register", "deactivate"}).Draw(t, "command")
	person, made := rapid.SampledFrom(o.people).Draw(t, "whom"), rapid.SampledFrom(o.roles).Draw(t, "which")
	onEmployee := func(c employee.Command) (string, domain.ID, bool) {
		return kind, person, carryOut(o, employee.Aggregate, person, c, by)
	}
	onRole := func(id domain.ID, c role.Command) (string, domain.ID, bool) {
		return kind, id, carryOut(o, role.Aggregate, id, c, by)
	}
	switch kind {
	case "register":
		person = o.id()
		o.people = append(o.people, person)
		c := employee.Register{Name: "x", Email: "x@example.com", Roles: new(o.someRoles(t))}
		c.Projects, c.Desks = somePlaces(t)
		return onEmployee(c)
	case "edit":
		return onEmployee(employee.Edit{Email: domain.Set(fmt.Sprintf("%s@example.com", o.id()))})
	case "assign":
		projects, desks := somePlaces(t)
		return onEmployee(employee.Assign{Projects: &projects, Desks: &desks})
	case "roles":
		return onEmployee(employee.SetRoles{Roles: o.someRoles(t)})
	case "deactivate":
		return onEmployee(employee.Deactivate{})
	case "reactivate":
		return onEmployee(employee.Reactivate{})
	case "create", "clone":
		id := o.id()
		o.roles = append(o.roles, id)
		if kind == "clone" {
			return onRole(id, role.Clone{Name: "y", Of: made})
		}
		return onRole(id, role.Create{Name: "y", Permissions: givable(t, by.Rights)})
	case "change":
		return onRole(made, role.Change{Permissions: domain.Set(givable(t, by.Rights))})
	case "delete":
		return onRole(made, role.Delete{})
	case "key":
		id := o.id()
		o.keys = append(o.keys, id)
		c := apikey.Create{Name: "k", Permissions: givable(t, by.Rights)}
		if rapid.Bool().Draw(t, "bounded") {
			c.Projects, c.Desks = somePlaces(t)
		}
		return kind, id, carryOut(o, apikey.Aggregate, id, apikey.Command(c), by)
	default:
		if len(o.keys) == 0 {
			return kind, by.ID, false
		}
		id := rapid.SampledFrom(o.keys).Draw(t, "key")
		return kind, id, carryOut(o, apikey.Aggregate, id, apikey.Command(apikey.Revoke{}), by)
	}
}

// TestNobodyRises: whatever people and their keys do to roles, employees and keys,
// together and in whatever order, nobody ends with a power that neither they had
// themselves nor any of those who acted; and nobody changes how somebody signs in
// who could then act beyond that.
func TestNobodyRises(t *testing.T) {
	taken, gained := map[string]int{}, 0
	rapid.Check(t, func(t *rapid.T) {
		o := someOrganisation(t)
		acting := rapid.SliceOfNDistinct(rapid.SampledFrom(o.people), 1, 3, rapid.ID[domain.ID]).Draw(t, "acting")
		theirs, had := map[power]bool{}, map[domain.ID]map[power]bool{}
		for _, id := range o.people {
			had[id] = powers(o.authority(id))
		}
		for _, id := range acting {
			maps.Copy(theirs, had[id])
		}
		for range 80 {
			who := rapid.SampledFrom(slices.Concat(acting, acting, o.keys)).Draw(t, "who")
			kind, to, done := o.act(t, o.authority(who))
			if !done {
				continue
			}
			taken[kind]++
			if p, more := beyond(powers(o.authority(to)), theirs); kind == "edit" && more {
				t.Fatalf("%v could act as %v by changing their address, and so got %v", who, to, p)
			}
			for _, id := range slices.Concat(o.people, o.keys) {
				most := maps.Clone(theirs)
				maps.Copy(most, had[id])
				now := powers(o.authority(id))
				if p, more := beyond(now, most); more {
					t.Fatalf("%v by %v on %v: %v got %v", kind, who, to, id, p)
				}
				if _, more := beyond(now, had[id]); more {
					gained++
				}
			}
			for _, id := range o.keys { // nor is a key ever ahead of its owner, who may have lost something
				if p, more := beyond(powers(o.authority(id)), powers(o.authority(o.key(id).OwnerID))); more {
					t.Fatalf("%v by %v on %v: the key %v has %v, its owner has not", kind, who, to, id, p)
				}
			}
		}
	})
	if t.Failed() {
		return
	}
	t.Logf("taken: %v; gained something: %d times", taken, gained)
	for _, kind := range []string{"register", "edit", "assign", "roles", "deactivate", "reactivate", "create", "clone", "change", "delete", "key", "revoke"} {
		if taken[kind] == 0 {
			t.Errorf("no %s was ever taken: the test proves nothing about it", kind)
		}
	}
	if gained == 0 {
		t.Error("nobody ever gained anything: the test proves nothing")
	}
}
