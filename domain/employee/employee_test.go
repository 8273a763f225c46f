package employee_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	. "annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
)

var (
	retail, wholesale = uuid.UUID{1}, uuid.UUID{2}
	north, south      = uuid.UUID{3}, uuid.UUID{4} // desks of retail
	harbour           = uuid.UUID{5}               // desk of wholesale
	nothing           = uuid.UUID{6}
	tester            = uuid.UUID{7} // a role that lets one erase one's own clients
)

// world is two projects with three desks.
var world = domain.World{
	{Category: domain.Project, ID: retail}:    project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
	{Category: domain.Project, ID: wholesale}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Wholesale"}),
	{Category: domain.Desk, ID: north}:        desk.State{ProjectID: retail},
	{Category: domain.Desk, ID: south}:        desk.State{ProjectID: retail},
	{Category: domain.Desk, ID: harbour}:      desk.State{ProjectID: wholesale},
	{Category: domain.Role, ID: tester}: role.Aggregate.Evolve(role.State{}, role.Created{Definition: role.Definition{
		Name: "Tester", Permissions: []domain.Grant{{Permission: domain.ClientsErase, Reach: domain.Own}},
	}}),
}

func ids(ids ...domain.ID) *[]domain.ID { return &ids }

func none() []domain.ID { return []domain.ID{} }

// annLee is somebody with these roles.
func annLee(roles ...string) Registered {
	return Registered{Identity: Identity{"Ann Lee", "ann@example.com"}, Roles: roles}
}

func TestRegister(t *testing.T) {
	email := domain.Fault("email", "email", "")
	ann := func(roles *[]string, projects, desks []domain.ID) Register {
		return Register{"Ann Lee", "ann@example.com", roles, projects, desks}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without anything": {When: Register{}, Err: (&domain.Faults{domain.Fault("name", "required", ""), email}).Err()},
		"a long name":      {When: Register{Name: strings.Repeat("x", 201), Email: "a@b"}, Err: domain.Fault("name", "too_long", "")},
		"no @":             {When: Register{Name: "Ann", Email: "ann"}, Err: email},
		"a role that there is not": {
			When: ann(&[]string{"agent", "king"}, nil, nil),
			Err:  domain.Fault("roles[1]", "unknown", ""),
		},
		"a role of keys": {When: ann(&[]string{"integration"}, nil, nil), Err: domain.Fault("roles[0]", "not_for_people", "")},
		"twice":          {Given: []Event{annLee("agent")}, When: ann(nil, nil, nil), Err: ErrExists},
		"typed carelessly, one role twice": {
			When: Register{Name: " Ann  Lee", Email: " ann@example.com\n", Roles: &[]string{"agent", "agent"}},
			Then: []Event{annLee("agent")},
		},
		"roles left out":            {When: ann(nil, nil, nil), Then: []Event{annLee("agent")}},
		"without a role":            {When: ann(&[]string{}, nil, nil), Then: []Event{annLee()}},
		"several roles, sorted":     {World: world, When: ann(&[]string{tester.String(), "auditor", "agent"}, nil, nil), Then: []Event{annLee(tester.String(), "agent", "auditor")}},
		"for a project":             {World: world, When: ann(nil, *ids(retail), nil), Then: []Event{annLee("agent"), Assigned{*ids(retail), none()}}},
		"for desks, in any order":   {World: world, When: ann(nil, *ids(wholesale, retail), *ids(harbour, north, harbour)), Then: []Event{annLee("agent"), Assigned{*ids(retail, wholesale), *ids(north, harbour)}}},
		"for a desk, not a project": {World: world, When: ann(nil, nil, *ids(north)), Err: domain.Fault("desks", "other_project", "")},
		"for what there is not":     {World: world, When: ann(nil, *ids(nothing, domain.ID{}), *ids(nothing)), Err: (&domain.Faults{domain.Fault("projects", "unknown", ""), domain.Fault("projects", "unknown", ""), domain.Fault("desks", "unknown", "")}).Err()},
	})
}

func TestAssign(t *testing.T) {
	ann := annLee()
	at := Assigned{Projects: []domain.ID{retail}, Desks: []domain.ID{north}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                                {World: world, When: Assign{Projects: ids(retail)}, Err: ErrAbsent},
		"to a project that does not exist":      {World: world, Given: []Event{ann}, When: Assign{Projects: ids(nothing)}, Err: domain.Fault("projects", "unknown", "")},
		"to a desk that does not exist":         {World: world, Given: []Event{ann}, When: Assign{Projects: ids(retail), Desks: ids(nothing)}, Err: domain.Fault("desks", "unknown", "")},
		"to a desk without its project":         {World: world, Given: []Event{ann}, When: Assign{Desks: ids(north)}, Err: domain.Fault("desks", "other_project", "")},
		"to a desk of another project":          {World: world, Given: []Event{ann}, When: Assign{Projects: ids(retail), Desks: ids(harbour)}, Err: domain.Fault("desks", "other_project", "")},
		"away from a project, desks left there": {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(wholesale)}, Err: domain.Fault("desks", "other_project", "")},
		"every fault told": {
			World: world, Given: []Event{ann}, When: Assign{Projects: ids(nothing), Desks: ids(nothing, north)},
			Err: (&domain.Faults{domain.Fault("projects", "unknown", ""), domain.Fault("desks", "unknown", ""), domain.Fault("desks", "other_project", "")}).Err(),
		},
		"to a project":                 {World: world, Given: []Event{ann}, When: Assign{Projects: ids(retail)}, Then: []Event{Assigned{[]domain.ID{retail}, none()}}},
		"in any order, one twice":      {World: world, Given: []Event{ann}, When: Assign{Projects: ids(wholesale, retail, wholesale), Desks: ids(harbour, north)}, Then: []Event{Assigned{[]domain.ID{retail, wholesale}, []domain.ID{north, harbour}}}},
		"only desks":                   {World: world, Given: []Event{ann, at}, When: Assign{Desks: ids(north, south)}, Then: []Event{Assigned{[]domain.ID{retail}, []domain.ID{north, south}}}},
		"only projects":                {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(retail, wholesale)}, Then: []Event{Assigned{[]domain.ID{retail, wholesale}, []domain.ID{north}}}},
		"away from everything":         {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(), Desks: ids()}, Then: []Event{Assigned{none(), none()}}},
		"as before":                    {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(retail), Desks: ids(north)}},
		"to nothing, with nothing yet": {World: world, Given: []Event{ann}, When: Assign{Projects: ids(), Desks: ids()}},
		"with nothing said":            {World: world, Given: []Event{ann, at}, When: Assign{}},
	})
}

// TestNothingIsNull: the log says of somebody without desks that there are none,
// not that it is unknown.
func TestNothingIsNull(t *testing.T) {
	var s State
	s = Aggregate.Evolve(s, annLee())
	events, err := Aggregate.Decide(s, Assign{Projects: ids(retail)}, world, domain.Meta{By: domain.Root})
	if err != nil || events[0].(Assigned).Desks == nil {
		t.Errorf("events = %#v, %v", events, err)
	}
}

func TestScope(t *testing.T) {
	var s State
	if s.Exists() || s.Scope().Covers(retail, domain.ID{}) {
		t.Error("nobody sees something")
	}
	s = Aggregate.Evolve(s, annLee("agent"))
	if !s.Exists() || s.Scope().Covers(retail, domain.ID{}) {
		t.Error("an agent with no assignment sees something")
	}
	s = Aggregate.Evolve(s, Assigned{Projects: []domain.ID{retail}, Desks: []domain.ID{north}})
	for _, c := range []struct {
		what          string
		project, desk domain.ID
		want          bool
	}{
		{"the project, no desk", retail, domain.ID{}, true},
		{"the desk", retail, north, true},
		{"another desk of the project", retail, south, false},
		{"another project", wholesale, domain.ID{}, false},
		{"a desk of another project", wholesale, harbour, false},
		{"the desk, were it in another project", wholesale, north, false},
		{"no project at all", domain.ID{}, domain.ID{}, false},
	} {
		if got := s.Scope().Covers(c.project, c.desk); got != c.want {
			t.Errorf("an agent sees %s = %v", c.what, got)
		}
	}
	if !s.Eligible(retail, north) || s.Eligible(retail, south) {
		t.Error("who may be the manager of a client does not follow from the assignments")
	}
	if s = Aggregate.Evolve(s, Deactivated{}); s.Eligible(retail, north) || s.Active() || !s.Exists() {
		t.Error("somebody deactivated may own a client")
	}
	if s = Aggregate.Evolve(s, Reactivated{}); !s.Eligible(retail, north) {
		t.Error("somebody reactivated may not own a client")
	}
	admin := Aggregate.Evolve(State{}, annLee(role.Admin))
	if !admin.Authority(uuid.New(), nil).May(domain.ClientsView, domain.Place{Project: wholesale, Desk: harbour}) {
		t.Error("an administrator does not see everything")
	}
	if admin.Eligible(wholesale, harbour) {
		t.Error("an administrator who is assigned to nothing may own a client")
	}
}

// TestAuthority: it comes from the roles as they are at this moment, and is none for
// somebody who is not there, or deactivated.
func TestAuthority(t *testing.T) {
	id := uuid.New()
	s := Aggregate.Evolve(Aggregate.Evolve(State{}, annLee("agent", tester.String())), Assigned{*ids(retail), *ids(north)})
	got := s.Authority(id, world)
	if got.ID != id || got.Rights[domain.ClientsErase] != domain.Own || got.Rights[domain.ClientsView] != domain.OnDesks || !got.Scope.Covers(retail, north) || len(got.Scope.Projects) != 1 {
		t.Errorf("authority = %+v", got)
	}
	if got := s.Authority(id, nil); got.Rights[domain.ClientsErase] != domain.Nothing {
		t.Errorf("a role that is gone gives %+v", got)
	}
	for what, s := range map[string]State{"nobody": {}, "somebody deactivated": Aggregate.Evolve(s, Deactivated{})} {
		if got := s.Authority(id, world); got.ID != (domain.ID{}) || len(got.Rights) > 0 || len(got.Scope.Projects) > 0 {
			t.Errorf("%s has %+v", what, got)
		}
	}
}

// TestInvariants: whatever is asked of an employee, the desks stay within the
// projects, and asking again changes nothing.
func TestInvariants(t *testing.T) {
	all := []domain.ID{retail, wholesale, north, south, harbour, nothing}
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string) *[]domain.ID {
			if rapid.Bool().Draw(t, label+" left out") {
				return nil
			}
			return new(rapid.SliceOfN(rapid.SampledFrom(all), 0, 4).Draw(t, label))
		}
		s := Aggregate.Evolve(State{}, annLee())
		for range rapid.IntRange(1, 10).Draw(t, "commands") {
			c := Assign{Projects: some("projects"), Desks: some("desks")}
			w := domain.World{}
			for _, r := range Aggregate.Refs(s, c) {
				if there, ok := world[r]; ok {
					w[r] = there // and nothing but what was asked for
				}
			}
			events, err := Aggregate.Decide(s, c, w, domain.Meta{By: domain.Root})
			if err != nil && len(events) > 0 {
				t.Fatalf("both events and an error: %v", err)
			}
			for _, e := range events {
				s = Aggregate.Evolve(s, e)
			}
			scope := s.Scope()
			for id := range scope.Desks {
				if d := world[domain.Ref{Category: domain.Desk, ID: id}].(desk.State); !scope.Projects[d.ProjectID] {
					t.Fatalf("desk %v without its project in %v", id, scope)
				}
			}
			if again, err2 := Aggregate.Decide(s, c, w, domain.Meta{By: domain.Root}); err == nil && (err2 != nil || len(again) > 0) {
				t.Fatalf("again: %v, %v", again, err2)
			}
		}
	})
}
