package retention_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/domaintest"
	"annals/domain/project"
	. "annals/domain/retention"
	"annals/domain/role"
)

var (
	everywhere        = domain.ID{}
	retail, wholesale = domain.ID{1}, domain.ID{2}
	old, gone         = domain.ID{11}, domain.ID{12}

	world = domain.World{{Category: domain.Project, ID: retail}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"})}
	leads = Settings{Name: "Old leads", Statuses: []client.Status{client.Lead}, Since: LastContacted, Days: 730, Action: Propose}
)

// as is somebody in these projects who may erase and see clients that far.
func as(erase, view domain.Reach, projects ...domain.ID) domain.Authority {
	rights := domain.RightsOf(domain.Grant{Permission: domain.ClientsErase, Reach: erase}, domain.Grant{Permission: domain.ClientsView, Reach: view})
	return domain.Authority{ID: uuid.UUID{9}, Rights: rights, Scope: domain.ScopeOf(projects, nil)}
}

func define(p domain.ID, s Settings) Define { return Define{old, domain.Set(p), s} }

func with(change func(*Settings)) Settings {
	s := leads
	change(&s)
	return s
}

func fault(field, code string) *domain.Error { return domain.Fault(field, code, "") }

type Map = map[string]any

func TestRules(t *testing.T) {
	given := []Event{Defined{old, retail, leads}, Defined{gone, everywhere, leads}, Deleted{gone, everywhere}}
	full := []Event{}
	for i := range 100 {
		full = append(full, Defined{domain.ID{100, byte(i)}, retail, with(func(s *Settings) { s.Name = strconv.Itoa(i) })})
	}
	officer, elsewhere := as(domain.InProjects, domain.InProjects, retail), as(domain.InProjects, domain.InProjects, wholesale)
	admin, _ := role.Named(role.ProjectAdmin)
	head := domain.Authority{ID: uuid.UUID{9}, Rights: admin.Rights, Scope: domain.ScopeOf([]domain.ID{retail}, nil)}
	renamed := with(func(s *Settings) { s.Name = "Leads" })
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"defining":                             {World: world, When: define(retail, leads), Then: []Event{Defined{old, retail, leads}}},
		"defining for all":                     {When: Define{ID: old, Settings: leads}, Then: []Event{Defined{old, everywhere, leads}}},
		"defining for one's project":           {World: world, By: officer, When: define(retail, leads), Then: []Event{Defined{old, retail, leads}}},
		"defining for another project":         {World: world, By: elsewhere, When: define(retail, leads), Err: domain.OutOfReach("project_id", "project")},
		"defining for all, from a project":     {By: officer, When: define(everywhere, leads), Err: domain.OutOfReach("project_id", "project")},
		"defining where one may not erase":     {World: world, By: head, When: define(retail, leads), Err: domain.ErrForbidden},
		"defining for whom one does not see":   {World: world, By: as(domain.Everywhere, domain.OnDesks, retail), When: define(retail, leads), Err: domain.ErrForbidden},
		"defining for no project":              {When: define(wholesale, leads), Err: fault("project_id", "unknown")},
		"defining twice":                       {Given: given, World: world, When: define(retail, renamed), Err: domain.Errorf(domain.Conflict, "retention_rule.exists", "")},
		"nothing said":                         {When: Define{ID: old}, Err: faults(fault("name", "required"), fault("since", "unknown"), fault("days", "out_of_range"), fault("action", "unknown"))},
		"a name that is long":                  {When: define(everywhere, with(func(s *Settings) { s.Name = strings.Repeat("x", 101) })), Err: fault("name", "too_long")},
		"a name that says whom":                {When: define(everywhere, with(func(s *Settings) { s.Name = "ada@example.com" })), Err: fault("name", "personal")},
		"a name that another has":              {Given: []Event{Defined{gone, everywhere, leads}}, When: define(everywhere, with(func(s *Settings) { s.Name = " OLD  leads" })), Err: fault("name", "taken")},
		"a name that another had":              {Given: given, When: Define{gone, domain.Field[domain.ID]{}, leads}, Then: []Event{Defined{gone, everywhere, leads}}},
		"a name that one of another scope has": {Given: given, When: Define{domain.ID{13}, domain.Field[domain.ID]{}, leads}, Then: []Event{Defined{domain.ID{13}, everywhere, leads}}},
		"too many":                             {Given: full, World: world, When: define(retail, leads), Err: fault("name", "too_many")},
		"statuses in order, each once":         {When: define(everywhere, with(func(s *Settings) { s.Statuses = []client.Status{client.Inactive, client.Lead, client.Inactive} })), Then: []Event{Defined{old, everywhere, with(func(s *Settings) { s.Statuses = []client.Status{client.Lead, client.Inactive} })}}},
		"a status that there is not":           {When: define(everywhere, with(func(s *Settings) { s.Statuses = []client.Status{client.Lead, "former"} })), Err: fault("statuses[1]", "unknown")},
		"days that are too many":               {When: define(everywhere, with(func(s *Settings) { s.Days = 36501 })), Err: fault("days", "out_of_range")},
		"renaming":                             {Given: given, By: officer, When: Change{old, Map{"name": " Leads "}}, Then: []Event{Changed{old, retail, leads, renamed}}},
		"for clients of all statuses":          {Given: given, When: Change{old, Map{"statuses": nil}}, Then: []Event{Changed{old, retail, leads, with(func(s *Settings) { s.Statuses = nil })}}},
		"having it erase":                      {Given: given, When: Change{old, Map{"action": "erase", "days": 365.0}}, Then: []Event{Changed{old, retail, leads, with(func(s *Settings) { s.Action, s.Days = Erase, 365 })}}},
		"changing nothing":                     {Given: given, When: Change{old, Map{"days": 730.0}}},
		"changing to nothing":                  {Given: given, When: Change{old, Map{"since": nil}}, Err: fault("since", "unknown")},
		"changing to another type":             {Given: given, When: Change{old, Map{"days": "many"}}, Err: fault("days", "type")},
		"changing to half a day":               {Given: given, When: Change{old, Map{"days": 0.5}}, Err: fault("days", "type")},
		"changing whose clients":               {Given: given, When: Change{old, Map{"project_id": wholesale.String()}}, Err: fault("project_id", "unknown_field")},
		"changing where one may not erase":     {Given: given, By: head, When: Change{old, Map{"days": 1.0}}, Err: domain.ErrForbidden},
		"changing what one does not see":       {Given: given, By: elsewhere, When: Change{old, Map{"days": 1.0}}, Err: ErrAbsent},
		"changing what is gone":                {Given: given, When: Change{gone, Map{"days": 1.0}}, Err: ErrAbsent},
		"deleting":                             {Given: given, By: officer, When: Delete{old}, Then: []Event{Deleted{old, retail}}},
		"deleting where one may not erase":     {Given: given, By: head, When: Delete{old}, Err: domain.ErrForbidden},
		"deleting what is gone":                {Given: given, When: Delete{gone}, Err: ErrAbsent},
		"deleting what one does not see":       {Given: given, By: elsewhere, When: Delete{old}, Err: ErrAbsent},
	})
}

func faults(all ...error) error {
	var f domain.Faults
	for _, err := range all {
		f.Add(err)
	}
	return f.Err()
}

// TestDue: to the microsecond, by what has happened to a client.
func TestDue(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 1, 1+n, 12, 0, 0, 0, time.UTC) }
	c := Client{}.After(client.Registered{Assignment: client.Assignment{ProjectID: retail}, Status: client.Lead}, day(0))
	active := c.After(client.StatusChanged{From: client.Lead, To: client.Active}, day(3))
	off := c.After(client.Deactivated{Reason: "x"}, day(4)).After(client.Edited{}, day(5)).After(client.Retagged{}, day(6))
	called := c
	called.Contacted = day(7)
	moved := c.After(client.Reassigned{To: client.Assignment{ProjectID: wholesale}}, day(1))
	of := func(since Since, statuses ...client.Status) Rule {
		return Rule{ID: old, ProjectID: retail, Settings: Settings{Name: "Old", Statuses: statuses, Since: since, Days: 10, Action: Erase}}
	}
	for name, x := range map[string]struct {
		rule   Rule
		client Client
		from   int // -1: never
	}{
		"created":                        {of(Created), c, 0},
		"created, and called":            {of(Created), called, 0},
		"of the status":                  {of(Created, client.Inactive, client.Lead), c, 0},
		"of another status":              {of(Created, client.Inactive, client.Lead), active, -1},
		"of another project":             {of(Created), moved, -1},
		"of any project":                 {Rule{Settings: of(Created).Settings}, moved, 0},
		"contacted":                      {of(LastContacted), called, 7},
		"never contacted":                {of(LastContacted), c, 0},
		"of a status for so long":        {of(StatusChanged), active, 3},
		"of a status from the beginning": {of(StatusChanged), c, 0},
		"deactivated":                    {of(Deactivated), off, 4},
		"not deactivated":                {of(Deactivated), c, -1},
		"not deactivated any more":       {of(Deactivated), off.After(client.Reactivated{}, day(8)), -1},
		"held":                           {of(Created), c.After(client.Held{Reason: "x"}, day(1)), 0},
		"erased":                         {of(Created), c.After(client.Erased{}, day(1)), -1},
		"nobody":                         {of(Created), Client{}, -1},
	} {
		if x.from < 0 {
			if at, due := x.rule.Due(x.client, day(10_000)); due || !at.IsZero() {
				t.Errorf("%s: due since %s", name, at)
			}
			continue
		}
		want := day(x.from + 10)
		if at, due := x.rule.Due(x.client, want); !due || !at.Equal(want) {
			t.Errorf("%s: due since %s %v, want %s", name, at, due, want)
		}
		if at, due := x.rule.Due(x.client, want.Add(-time.Microsecond)); due || !at.Equal(want) {
			t.Errorf("%s: due a moment before, since %s %v", name, at, due)
		}
	}
	if held := c.After(client.Held{Reason: "x"}, day(1)); !held.Held || held.After(client.Released{}, day(2)).Held {
		t.Error("a hold is not kept, or for good")
	}
	if got, want := of(LastContacted).Reason(), `Retention rule "Old": 10 days since last contacted (`+old.String()+`)`; got != want {
		t.Errorf("the reason is %s", got)
	}
}
