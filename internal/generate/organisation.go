package generate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/field"
	"annals/domain/project"
	"annals/domain/role"
	"annals/domain/tag"
)

// The projects, the largest first, and how many desks each has.
var (
	projectNames = list("Meridian Retail, Lumen Energy, Cobalt Insurance, Tidewater Logistics, Juniper Education, Basalt Property, Saffron Travel, Quill Publishing")
	desksOf      = []int{7, 5, 4, 4, 3, 2, 2, 1}
	deskNames    = list("Sales, Client care, Key accounts, Partners, Renewals, Onboarding, Back office")
)

// organisation is the company: who works where.
type organisation struct {
	projects []*unit
	tags     []tag.Define
	world    domain.World
}

// unit is a project, with its desks, the largest first.
type unit struct {
	id    domain.ID
	name  string
	desks []*team
	admin *colleague
	staff []*colleague // all who look after clients
}

// team is a desk.
type team struct {
	id    domain.ID
	name  string
	staff []*colleague
}

// colleague is an employee.
type colleague struct {
	id        domain.ID
	register  employee.Register
	authority domain.Authority // as they are in the log
}

// newOrganisation is that of a seed, with what its employees may do in the world.
func newOrganisation(seed uint64, w domain.World) *organisation {
	o := &organisation{tags: tags(), world: w}
	rnd := rand.New(rand.NewPCG(seed, math.MaxUint64)) //nolint:gosec // the same every time
	from, called := seedID(seed), map[string]int{}
	hire := func(what string, p domain.ID, desks ...domain.ID) *colleague {
		l := someLocale(rnd)
		woman := percent(rnd, 50)
		given := l.male
		if woman {
			given = l.female
		}
		first, last := pick(rnd, given), l.family(rnd, woman)
		local := l.latin(first) + "." + l.latin(last)
		called[local]++
		if n := called[local]; n > 1 {
			local += strconv.Itoa(n)
		}
		c := &colleague{id: derive(from, "employee/%s", local), register: employee.Register{
			Name: first.text + " " + last.text, Email: fmt.Sprintf("%s@company-%d.example", local, seed),
			Roles: &[]string{what}, Projects: []domain.ID{p}, Desks: desks,
		}}
		c.authority = domain.Look[employee.State](w, domain.Ref{Category: domain.Employee, ID: c.id}).Authority(c.id, w)
		return c
	}
	for i, name := range projectNames {
		u := &unit{id: derive(from, "project/%s", name), name: name}
		u.admin = hire(role.ProjectAdmin, u.id)
		for _, name := range deskNames[:desksOf[i]] {
			u.desks = append(u.desks, &team{id: derive(u.id, "desk/%s", name), name: name})
		}
		for j, t := range u.desks {
			other := u.desks[(j+1)%len(u.desks)]
			for k := range 1 + max(2, 5-i/2-j/2) {
				what, helps := role.Agent, k == 1 && other != t
				if k == 0 {
					what = role.DeskManager
				}
				desks := []domain.ID{t.id}
				if helps {
					desks = append(desks, other.id)
				}
				c := hire(what, u.id, desks...)
				u.staff, t.staff = append(u.staff, c), append(t.staff, c)
				if helps {
					other.staff = append(other.staff, c)
				}
			}
		}
		o.projects = append(o.projects, u)
	}
	return o
}

// Refs are the aggregates of the company, whose state [New] needs.
func Refs(seed uint64) []domain.Ref {
	refs := map[domain.Ref]bool{}
	for _, s := range Organisation(seed, "") {
		refs[s.Ref] = true
	}
	return slices.SortedFunc(maps.Keys(refs), func(a, b domain.Ref) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), domain.CompareIDs(a.ID, b.ID))
	})
}

// Organisation is how the company of a seed comes to be, in order. Tags and custom fields
// are the same for all seeds: they are for clients of all projects, and names are not used
// twice.
func Organisation(seed uint64, app string) []Step {
	o := newOrganisation(seed, nil)
	at := start.AddDate(0, 0, -1)
	var steps []Step
	add := func(category string, id, command domain.ID, c any) {
		at = at.Add(time.Minute)
		steps = append(steps, Step{domain.Ref{Category: category, ID: id}, c, domain.Meta{
			Actor: domain.System, Command: command, Correlation: command, Causation: command, At: at, App: app, By: domain.Root,
		}})
	}
	for _, d := range fieldDefinitions() {
		add(domain.CustomField, field.Ref().ID, d.ID, field.Command(d))
	}
	for _, d := range o.tags {
		add(domain.Tag, tag.Ref().ID, d.ID, tag.Command(d))
	}
	for _, u := range o.projects {
		add(domain.Project, u.id, derive(u.id, "create"), project.Command(project.Create{Name: u.name}))
		for _, t := range u.desks {
			add(domain.Desk, t.id, derive(t.id, "create"), desk.Command(desk.Create{ProjectID: u.id, Name: t.name}))
		}
		for _, c := range append([]*colleague{u.admin}, u.staff...) {
			add(domain.Employee, c.id, derive(c.id, "register"), employee.Command(c.register))
		}
	}
	return steps
}

// SignIns are the addresses of somebody of each role in the largest project: its admin, a
// desk manager and an agent.
func SignIns(seed uint64) []string {
	u := newOrganisation(seed, nil).projects[0]
	return []string{u.admin.register.Email, u.staff[0].register.Email, u.staff[1].register.Email}
}

// Counts says how large the company is.
func Counts(seed uint64) map[string]int {
	n := map[string]int{}
	for _, s := range Organisation(seed, "") {
		n[s.Ref.Category]++
	}
	return n
}

// place is where a new client belongs: the first projects and desks have the most, some
// clients are on no desk, and some have no manager.
func (o *organisation) place(rnd *rand.Rand) (u *unit, t *team, manager *colleague) {
	u = zipf(rnd, o.projects)
	staff := u.staff
	if !percent(rnd, 10) {
		t = zipf(rnd, u.desks)
		staff = t.staff
	}
	if !percent(rnd, 18) {
		manager = zipf(rnd, staff)
	}
	return u, t, manager
}

// zipf picks from what is ranked: the k-th about as often as 1/k says.
func zipf[T any](rnd *rand.Rand, from []T) T {
	// The integral of 1/x, from one half on, turned around.
	n := float64(len(from))
	x := 0.5 * math.Exp(rnd.Float64()*math.Log(2*n+1))
	return from[min(len(from)-1, int(x-0.5))]
}
