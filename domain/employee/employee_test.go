package employee_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	. "annals/domain/employee"
	"annals/domain/project"
)

var (
	retail, wholesale = uuid.UUID{1}, uuid.UUID{2}
	north, south      = uuid.UUID{3}, uuid.UUID{4} // desks of retail
	harbour           = uuid.UUID{5}               // desk of wholesale
	nothing           = uuid.UUID{6}
)

// world is two projects with three desks.
var world = domain.World{
	{Category: domain.Project, ID: retail}:    project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
	{Category: domain.Project, ID: wholesale}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Wholesale"}),
	{Category: domain.Desk, ID: north}:        desk.State{ProjectID: retail},
	{Category: domain.Desk, ID: south}:        desk.State{ProjectID: retail},
	{Category: domain.Desk, ID: harbour}:      desk.State{ProjectID: wholesale},
}

func ids(ids ...domain.ID) *[]domain.ID { return &ids }

func none() []domain.ID { return []domain.ID{} }

func TestRegister(t *testing.T) {
	ann := Registered{Name: "Ann Lee", Email: "ann@example.com", Roles: []string{"agent"}}
	email := domain.Fault("email", "email", "")
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without anything": {When: Register{}, Err: (&domain.Faults{domain.Fault("name", "required", ""), email}).Err()},
		"a long name":      {When: Register{Name: strings.Repeat("x", 201), Email: "a@b"}, Err: domain.Fault("name", "too_long", "")},
		"no @":             {When: Register{Name: "Ann", Email: "ann"}, Err: email},
		"a role that there is not": {
			When: Register{Name: "Ann", Email: "ann@example.com", Roles: []string{"agent", "king"}},
			Err:  domain.Fault("roles[1]", "unknown", ""),
		},
		"twice": {Given: []Event{ann}, When: Register{Name: "Ann", Email: "ann@example.com"}, Err: ErrExists},
		"typed carelessly, one role twice": {
			When: Register{" Ann  Lee", " ann@example.com\n", []string{"agent", "agent"}},
			Then: []Event{ann},
		},
		"without a role": {
			When: Register{Name: "Ann", Email: "ann@example.com"},
			Then: []Event{Registered{Name: "Ann", Email: "ann@example.com"}},
		},
	})
}

func TestAssign(t *testing.T) {
	ann := Registered{Name: "Ann", Email: "ann@example.com"}
	at := Assigned{Projects: []domain.ID{retail}, Desks: []domain.ID{north}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                                {World: world, When: Assign{Projects: ids(retail)}, Err: ErrAbsent},
		"to a project that does not exist":      {World: world, Given: []Event{ann}, When: Assign{Projects: ids(nothing)}, Err: domain.Fault("projects", "unknown", "")},
		"to a desk that does not exist":         {World: world, Given: []Event{ann}, When: Assign{ids(retail), ids(nothing)}, Err: domain.Fault("desks", "unknown", "")},
		"to a desk without its project":         {World: world, Given: []Event{ann}, When: Assign{Desks: ids(north)}, Err: domain.Fault("desks", "other_project", "")},
		"to a desk of another project":          {World: world, Given: []Event{ann}, When: Assign{ids(retail), ids(harbour)}, Err: domain.Fault("desks", "other_project", "")},
		"away from a project, desks left there": {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(wholesale)}, Err: domain.Fault("desks", "other_project", "")},
		"every fault told": {
			World: world, Given: []Event{ann}, When: Assign{ids(nothing), ids(nothing, north)},
			Err: (&domain.Faults{domain.Fault("projects", "unknown", ""), domain.Fault("desks", "unknown", ""), domain.Fault("desks", "other_project", "")}).Err(),
		},
		"to a project":                 {World: world, Given: []Event{ann}, When: Assign{Projects: ids(retail)}, Then: []Event{Assigned{[]domain.ID{retail}, none()}}},
		"in any order, one twice":      {World: world, Given: []Event{ann}, When: Assign{ids(wholesale, retail, wholesale), ids(harbour, north)}, Then: []Event{Assigned{[]domain.ID{retail, wholesale}, []domain.ID{north, harbour}}}},
		"only desks":                   {World: world, Given: []Event{ann, at}, When: Assign{Desks: ids(north, south)}, Then: []Event{Assigned{[]domain.ID{retail}, []domain.ID{north, south}}}},
		"only projects":                {World: world, Given: []Event{ann, at}, When: Assign{Projects: ids(retail, wholesale)}, Then: []Event{Assigned{[]domain.ID{retail, wholesale}, []domain.ID{north}}}},
		"away from everything":         {World: world, Given: []Event{ann, at}, When: Assign{ids(), ids()}, Then: []Event{Assigned{none(), none()}}},
		"as before":                    {World: world, Given: []Event{ann, at}, When: Assign{ids(retail), ids(north)}},
		"to nothing, with nothing yet": {World: world, Given: []Event{ann}, When: Assign{ids(), ids()}},
		"with nothing said":            {World: world, Given: []Event{ann, at}, When: Assign{}},
	})
}

// TestNothingIsNull: the log says of somebody without desks that there are none,
// not that it is unknown.
func TestNothingIsNull(t *testing.T) {
	var s State
	s = Aggregate.Evolve(s, Registered{Name: "Ann"})
	events, err := Aggregate.Decide(s, Assign{Projects: ids(retail)}, world, domain.Meta{})
	if err != nil || events[0].(Assigned).Desks == nil {
		t.Errorf("events = %#v, %v", events, err)
	}
}

func TestScope(t *testing.T) {
	var s State
	if s.Exists() || s.Scope().Covers(retail, domain.ID{}) {
		t.Error("nobody sees something")
	}
	s = Aggregate.Evolve(s, Registered{Name: "Ann", Roles: []string{"agent"}})
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
	admin := Aggregate.Evolve(State{}, Registered{Name: "Root", Roles: []string{Admin}})
	if !admin.Admin() || !admin.Scope().Covers(wholesale, harbour) {
		t.Error("an administrator does not see everything")
	}
	if admin.Assigned().Covers(wholesale, harbour) {
		t.Error("an administrator who is assigned to nothing may not own a client")
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
		s := Aggregate.Evolve(State{}, Registered{Name: "Ann"})
		for range rapid.IntRange(1, 10).Draw(t, "commands") {
			c := Assign{some("projects"), some("desks")}
			w := domain.World{}
			for _, r := range Aggregate.Refs(s, c) {
				if there, ok := world[r]; ok {
					w[r] = there // and nothing but what was asked for
				}
			}
			events, err := Aggregate.Decide(s, c, w, domain.Meta{})
			if err != nil && len(events) > 0 {
				t.Fatalf("both events and an error: %v", err)
			}
			for _, e := range events {
				s = Aggregate.Evolve(s, e)
			}
			scope := s.Assigned()
			for id := range scope.Desks {
				if d := world[domain.Ref{Category: domain.Desk, ID: id}].(desk.State); !scope.Projects[d.ProjectID] {
					t.Fatalf("desk %v without its project in %v", id, scope)
				}
			}
			if again, err2 := Aggregate.Decide(s, c, w, domain.Meta{}); err == nil && (err2 != nil || len(again) > 0) {
				t.Fatalf("again: %v, %v", again, err2)
			}
		}
	})
}

func TestRolesAreSorted(t *testing.T) {
	if !slices.IsSorted(Roles) {
		t.Error(Roles)
	}
}
