package projections

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
	"annals/internal/eventlog"
)

// people are the employees, roles and keys that a test has made, by the domain's fold.
type people struct {
	w         *world
	c         company
	employees map[uuid.UUID]employee.State
	roles     map[uuid.UUID]role.State
	keys      map[uuid.UUID]apikey.State
	erased    map[uuid.UUID]bool
	then      map[uuid.UUID][]moment[employee.State] // what each employee was from when on
	ruled     map[uuid.UUID][]moment[role.State]
}

type moment[S any] struct {
	at    time.Time
	state S
}

func (m moment[S]) around() []time.Time {
	return []time.Time{m.at.Add(-time.Microsecond), m.at, m.at.Add(time.Microsecond)}
}

// at is the state at a time: that after the events before the first one that is later.
func at[S any](moments []moment[S], at time.Time) (s S) {
	for _, m := range moments {
		if m.at.After(at) {
			break
		}
		s = m.state
	}
	return s
}

func newPeople(w *world, c company) *people {
	p := &people{
		w: w, c: c, employees: map[uuid.UUID]employee.State{}, roles: map[uuid.UUID]role.State{}, keys: map[uuid.UUID]apikey.State{},
		erased: map[uuid.UUID]bool{}, then: map[uuid.UUID][]moment[employee.State]{}, ruled: map[uuid.UUID][]moment[role.State]{},
	}
	return p
}

// pick is one of the keys, in an order that does not depend on the map.
func pick[V any](t *rapid.T, m map[uuid.UUID]V) uuid.UUID {
	ids := make([]uuid.UUID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, domain.CompareIDs)
	return rapid.SampledFrom(ids).Draw(t, "id")
}

func drawGrants(t *rapid.T) []domain.Grant {
	grants := []domain.Grant{{Permission: domain.ClientsView, Reach: domain.Reach(rapid.IntRange(0, 4).Draw(t, "view"))}}
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(domain.Permissions), 0, 4, rapid.ID).Draw(t, "permissions") {
		grants = append(grants, domain.Grant{Permission: p, Reach: domain.Reach(rapid.IntRange(1, 4).Draw(t, "reach"))})
	}
	return domain.RightsOf(grants...).Grants()
}

// event appends one, anything that may happen to people.
func (p *people) event(t *rapid.T) {
	if rapid.Bool().Draw(t, "clock") { // that of another machine, which is behind
		now := p.w.clock
		p.w.clock = now.Add(-time.Duration(rapid.IntRange(1, 300).Draw(t, "minutes")) * time.Minute)
		defer func() { p.w.clock = now }()
	}
	word := rapid.SampledFrom(words)
	identity := func() employee.Identity {
		return employee.Identity{Name: word.Draw(t, "name"), Email: word.Draw(t, "email")}
	}
	refs := func() []string {
		all := []string{role.Agent, role.DeskManager, role.Admin, role.Auditor}
		for id := range p.roles {
			all = append(all, id.String())
		}
		slices.Sort(all)
		out := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID).Draw(t, "roles")
		slices.Sort(out)
		return out
	}
	places := func() (projects, desks []domain.ID) {
		projects = rapid.SliceOfNDistinct(rapid.SampledFrom([]domain.ID{p.c.project, p.c.manager}), 0, 2, rapid.ID).Draw(t, "projects")
		return projects, rapid.SliceOfNDistinct(rapid.SampledFrom([]domain.ID{p.c.desk, p.c.other}), 0, 2, rapid.ID).Draw(t, "desks")
	}
	kind := drawKind(t, 13)
	if alive := len(p.employees) - len(p.erased); alive == 0 {
		kind = 0
	} else if alive > 3 && kind < 2 {
		kind = 8
	}
	switch kind {
	case 0, 1:
		p.employed(uuid.New(), employee.Registered{Identity: identity(), Roles: refs()})
	case 2:
		if _, s := p.someRole(t); s.Exists() && len(p.roles) > 2 {
			return
		}
		p.defined(uuid.New(), role.Created{Definition: role.Definition{Name: word.Draw(t, "name"), Permissions: drawGrants(t)}})
	case 3:
		projects, desks := places()
		var ends *time.Time
		if rapid.Bool().Draw(t, "ends") {
			ends = new(p.w.clock.Add(time.Hour).Truncate(time.Second))
		}
		p.keyed(uuid.New(), apikey.Created{Name: word.Draw(t, "name"), OwnerID: pick(t, p.employees), Permissions: drawGrants(t), Projects: projects, Desks: desks, ExpiresAt: ends})
	case 4:
		if len(p.keys) > 0 {
			p.keyed(pick(t, p.keys), apikey.Revoked{})
		}
	case 5:
		if id, s := p.someRole(t); s.Exists() {
			p.defined(id, role.Changed{From: s.Definition, To: role.Definition{Name: word.Draw(t, "name"), Permissions: drawGrants(t)}})
		}
	case 6:
		if id, s := p.someRole(t); s.Exists() {
			p.defined(id, role.Deleted{})
		}
	case 12:
		if id := pick(t, p.employees); !p.erased[id] {
			p.w.erase(id)
			p.erased[id] = true
		}
	default:
		id := pick(t, p.employees)
		s := p.employees[id]
		switch {
		case p.erased[id]:
		case kind == 7:
			p.employed(id, employee.Edited{From: s.Identity, To: identity()})
		case kind == 8:
			projects, desks := places()
			p.employed(id, employee.Assigned{Projects: projects, Desks: desks})
		case kind == 9:
			p.employed(id, employee.RolesChanged{From: s.Roles, To: refs()})
		case kind == 10 && s.Active():
			p.employed(id, employee.Deactivated{})
		case kind == 10:
			p.employed(id, employee.Reactivated{})
		default:
			p.employed(id, employee.CredentialChanged{What: "password", How: "changed"})
		}
	}
}

func (p *people) someRole(t *rapid.T) (uuid.UUID, role.State) {
	if len(p.roles) == 0 {
		return uuid.Nil, role.State{}
	}
	id := pick(t, p.roles)
	return id, p.roles[id]
}

func (p *people) employed(id uuid.UUID, e employee.Event) {
	p.w.append(domain.Employee, id, e)
	p.employees[id] = employee.Aggregate.Evolve(p.employees[id], e)
	p.then[id] = append(p.then[id], moment[employee.State]{p.w.clock, p.employees[id]})
}

func (p *people) defined(id uuid.UUID, e role.Event) {
	p.w.append(domain.Role, id, e)
	p.roles[id] = role.Aggregate.Evolve(p.roles[id], e)
	p.ruled[id] = append(p.ruled[id], moment[role.State]{p.w.clock, p.roles[id]})
}

func (p *people) keyed(id uuid.UUID, e apikey.Event) {
	p.w.append(domain.APIKey, id, e)
	p.keys[id] = apikey.Aggregate.Evolve(p.keys[id], e)
}

// check holds all rows to the domain's own fold.
func (p *people) check() {
	t := p.w.t
	t.Helper()
	for id, s := range p.employees {
		want := s
		if p.erased[id] {
			want.Identity = employee.Identity{}
		}
		var got employee.State
		var name string
		var active, erased bool
		var revision eventlog.Revision
		p.w.scan(`select e.name, email, n.name, roles, deactivated_at is null, erased, revision,
			array(select project_id from annals_read.employee_projects where employee_id = e.id), array(select desk_id from annals_read.employee_desks where employee_id = e.id)
			from annals_read.employees e join annals_read.names n using (id) where id = $1`, id)(
			&got.Name, &got.Email, &name, &got.Roles, &active, &erased, &revision, &got.Projects, &got.Desks)
		if got.Identity != want.Identity || name != want.Name || active != want.Active() || erased != p.erased[id] || !slices.Equal(got.Roles, want.Roles) ||
			!same(got.Projects, want.Projects) || !same(got.Desks, want.Desks) || revision != p.w.at[eventlog.Stream(domain.Employee, id)] {
			t.Errorf("employee %s is %+v, %q, active %v, erased %v at %d, and should be %+v", id, got, name, active, erased, revision, want)
		}
		p.checkPeriods(id)
	}
	for id, s := range p.roles {
		var got role.Definition
		var exists bool
		p.w.scan(`select name, permissions, deleted_at is null from annals_read.roles where id = $1 and ref = $1::text and not built_in`, id)(&got.Name, &got.Permissions, &exists)
		if got.Name != s.Name || !slices.Equal(got.Permissions, s.Permissions) || exists != s.Exists() {
			t.Errorf("role %s is %+v, %v, and should be %+v", id, got, exists, s)
		}
		for _, m := range p.ruled[id] {
			for _, when := range m.around() {
				var reach string
				p.w.scan(`select coalesce(string_agg(reach, ' and '), '') from annals_read.role_periods
					where role_id = $1 and valid_from <= $2 and (valid_to > $2 or valid_to is null)`, id, when)(&reach)
				if want := at(p.ruled[id], when).Rights()[domain.ClientsView].String(); reach != want {
					t.Errorf("at %v role %s let clients be seen within %q, and should within %q", when, id, reach, want)
				}
			}
		}
	}
	for id, s := range p.keys {
		var got apikey.Created
		var name string
		var revoked bool
		p.w.scan(`select k.name, n.name, owner_id, permissions, projects, desks, expires_at, revoked_at is not null
			from annals_read.api_keys k join annals_read.names n using (id) where id = $1`, id)(
			&got.Name, &name, &got.OwnerID, &got.Permissions, &got.Projects, &got.Desks, &got.ExpiresAt, &revoked)
		if got.Name != s.Name || name != s.Name || got.OwnerID != s.OwnerID || !slices.Equal(got.Permissions, s.Permissions) || !slices.Equal(got.Projects, s.Projects) ||
			!slices.Equal(got.Desks, s.Desks) || (got.ExpiresAt == nil) != (s.ExpiresAt == nil) || s.ExpiresAt != nil && !got.ExpiresAt.Equal(*s.ExpiresAt) || revoked != s.Revoked() {
			t.Errorf("key %s is %+v, revoked %v, and should be %+v", id, got, revoked, s)
		}
	}
}

// checkPeriods holds what an employee was at and around each event to a plain fold,
// which ends before the first event that is later.
func (p *people) checkPeriods(id uuid.UUID) {
	t := p.w.t
	t.Helper()
	for _, m := range p.then[id] {
		for _, when := range m.around() {
			want := at(p.then[id], when)
			rows, err := p.w.db.Query(t.Context(), `select format('%s %s %s %s', active, roles, projects, desks) from annals_read.employee_periods
				where employee_id = $1 and valid_from <= $2 and (valid_to > $2 or valid_to is null)`, id, when)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			wanted := []string{}
			if want.Exists() {
				wanted = append(wanted, fmt.Sprintf("%s {%s} {%s} {%s}", map[bool]string{true: "t", false: "f"}[want.Active()], strings.Join(want.Roles, ","), joined(want.Projects), joined(want.Desks)))
			}
			if !slices.Equal(got, wanted) {
				t.Errorf("at %v employee %s was %q, and should be %q", when, id, got, wanted)
			}
		}
	}
}

func joined(ids []domain.ID) string {
	var out []string
	for _, id := range ids {
		out = append(out, id.String())
	}
	return strings.Join(out, ",")
}

func same(a, b []domain.ID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, domain.CompareIDs)
	slices.SortFunc(b, domain.CompareIDs)
	return slices.Equal(a, b)
}

// The built-in roles come with the tables, so that those of a running system change
// only with a new version. If this fails, raise the Version of organisation and of
// access, and delete the file, which is then written anew.
func TestBuiltInRoles(t *testing.T) {
	t.Parallel()
	now := fmt.Sprintf("-- organisation %d, access %d\n%s%s", organisation.Version, access.Version, builtInRoles(), builtInPeriods())
	path := filepath.Join("testdata", "builtin_roles.sql")
	want, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Fatal("written anew; run it again")
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != now {
		t.Errorf("the built-in roles are\n%s\nand were\n%s", now, want)
	}
}

// Where a role that was made is not there, is unknown, or somebody acts on nobody,
// the event is not lost quietly.
func TestAccessOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	w.append(domain.Employee, uuid.New(), employee.Assigned{})
	w.append(domain.Role, uuid.New(), role.Changed{})
	w.append(domain.Role, uuid.New(), role.Deleted{})
	w.caughtUp(r)
	var parked int
	w.scan(`select count(*) from annals_projections.parked where schema = $1`, access.Schema())(&parked)
	if parked != 3 {
		t.Errorf("%d streams are parked", parked)
	}
}

// seen are the rows of a table, by a column, that somebody with these settings sees,
// who asks as a role of the database that owns nothing.
func (w *world) seen(settings map[string]string, sql string) string {
	w.t.Helper()
	var out []string
	err := pgx.BeginFunc(w.t.Context(), w.db, func(tx pgx.Tx) error {
		for name, value := range settings {
			if _, err := tx.Exec(w.t.Context(), `select set_config('annals.' || $1, $2, true)`, name, value); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(w.t.Context(), `set local role annals_reader`); err != nil {
			return err
		}
		rows, err := tx.Query(w.t.Context(), sql)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		w.t.Fatalf("%s as %v: %v", sql, settings, err)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Who asks without saying what they may sees nothing, and otherwise what they may,
// whatever the query leaves out.
func TestPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	north, south := uuid.New(), uuid.New()
	desks := map[string]uuid.UUID{}
	for name, in := range map[string]uuid.UUID{"n1": north, "n2": north, "s1": south} {
		desks[name] = uuid.New()
		w.append(domain.Desk, desks[name], desk.Created{ProjectID: in, Name: name})
	}
	w.append(domain.Project, north, project.Created{Name: "north", DefaultDeskID: desks["n1"]})
	w.append(domain.Project, south, project.Created{Name: "south", DefaultDeskID: desks["s1"]})
	ids := map[string]uuid.UUID{}
	for name, to := range map[string]employee.Assigned{
		"ann": {Projects: []domain.ID{north}, Desks: []domain.ID{desks["n1"]}},
		"ben": {Projects: []domain.ID{north}, Desks: []domain.ID{desks["n2"]}},
		"cid": {Projects: []domain.ID{south}, Desks: []domain.ID{desks["s1"]}},
		"dot": {Projects: []domain.ID{north, south}, Desks: []domain.ID{desks["n1"], desks["s1"]}},
		"eve": {},
	} {
		ids[name] = uuid.New()
		w.append(domain.Employee, ids[name], employee.Registered{Identity: employee.Identity{Name: name, Email: name}, Roles: []string{role.Agent}})
		w.append(domain.Employee, ids[name], to)
	}
	w.append(domain.APIKey, uuid.New(), apikey.Created{Name: "key", OwnerID: ids["ann"]})
	w.append(domain.Role, uuid.New(), role.Created{Definition: role.Definition{Name: "own"}})
	w.caughtUp(r)

	queries := []string{
		`select name from annals_read.projects`, `select name from annals_read.desks`, `select name from annals_read.employees`,
		`select distinct name from annals_read.names n join annals_read.employee_projects on employee_id = id`,
		`select distinct name from annals_read.names n join annals_read.employee_desks on employee_id = id`,
		`select name from annals_read.names`, `select name from annals_read.roles where not built_in`, `select name from annals_read.api_keys`,
		`select count(*)::text from annals_read.employee_periods`, `select count(*)::text from annals_read.role_periods`,
	}
	me := func(name string, more map[string]string) map[string]string {
		m := map[string]string{"actor": ids[name].String(), "me": ids[name].String()}
		maps.Copy(m, more)
		return m
	}
	everybody := "ann ben cid dot eve key"
	at := map[string]string{"projects": "{" + north.String() + "}", "desks": "{" + desks["n1"].String() + "}"}
	with := func(k, v string) map[string]string {
		m := map[string]string{k: v}
		maps.Copy(m, at)
		return m
	}
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string // by query
	}{
		"nobody":      {nil, []string{"", "", "", "", "", "", "", "", "0", "0"}},
		"emptied":     {map[string]string{"actor": "", "me": "", "all": "", "projects": "", "desks": "", "employees": "", "audit": "", "settings": ""}, []string{"", "", "", "", "", "", "", "", "0", "0"}},
		"nobody's":    {at, []string{"north", "n1 n2", "", "", "", "", "", "", "0", "0"}},
		"no rights":   {me("eve", nil), []string{"", "", "eve", "", "", everybody, "own", "", "0", "0"}},
		"own":         {me("ann", with("employees", "own")), []string{"north", "n1 n2", "ann", "ann ben dot", "ann ben dot", everybody, "own", "key", "0", "0"}},
		"desk":        {me("ann", with("employees", "desk")), []string{"north", "n1 n2", "ann dot", "ann ben dot", "ann ben dot", everybody, "own", "key", "0", "0"}},
		"project":     {me("ben", with("employees", "project")), []string{"north", "n1 n2", "ann ben dot", "ann ben dot", "ann ben dot", everybody, "own", "", "0", "0"}},
		"all":         {me("eve", map[string]string{"employees": "all", "all": "on"}), []string{"north south", "n1 n2 s1", "ann ben cid dot eve", "ann ben cid dot", "ann ben cid dot", everybody, "own", "", "0", "0"}},
		"far clients": {me("eve", map[string]string{"employees": "project", "all": "on"}), []string{"north south", "n1 n2 s1", "eve", "ann ben cid dot", "ann ben cid dot", everybody, "own", "", "0", "0"}},
		"settings":    {me("eve", map[string]string{"settings": "all"}), []string{"", "", "eve", "", "", everybody, "own", "key", "0", "0"}},
		"audit":       {me("eve", map[string]string{"audit": "all"}), []string{"", "", "eve", "", "", everybody, "own", "key", "10", "7"}},
		"of a client": {me("eve", map[string]string{"client": uuid.NewString()}), []string{"", "", "eve", "", "", everybody, "own", "", "10", "7"}},
		"a client's":  {map[string]string{"client": uuid.NewString()}, []string{"", "", "", "", "", "", "", "", "0", "0"}},
		"a key":       {map[string]string{"actor": uuid.NewString(), "employees": "desk", "projects": "{" + north.String() + "}", "desks": "{" + desks["n2"].String() + "}"}, []string{"north", "n1 n2", "ben", "ann ben dot", "ann ben dot", everybody, "own", "", "0", "0"}},
	} {
		for i, sql := range queries {
			if got := w.seen(c.settings, sql); got != c.want[i] {
				t.Errorf("%s: %s: %q, want %q", name, sql, got, c.want[i])
			}
		}
	}
}
