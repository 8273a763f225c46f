package apikey_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	. "annals/domain/apikey"
	"annals/domain/desk"
	"annals/domain/domaintest"
	"annals/domain/project"
)

var (
	retail, wholesale = uuid.UUID{0x10}, uuid.UUID{0x11}
	north, south      = uuid.UUID{0x20}, uuid.UUID{0x21} // of retail
	harbour           = uuid.UUID{0x22}                  // of wholesale
	nothing           = uuid.UUID{0xff}
	ann, bob          = uuid.UUID{0x30}, uuid.UUID{0x31}
	noon              = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	world = domain.World{
		{Category: domain.Project, ID: retail}:    project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
		{Category: domain.Project, ID: wholesale}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Wholesale"}),
		{Category: domain.Desk, ID: north}:        desk.State{ProjectID: retail},
		{Category: domain.Desk, ID: south}:        desk.State{ProjectID: retail},
		{Category: domain.Desk, ID: harbour}:      desk.State{ProjectID: wholesale},
	}
)

func ids(ids ...domain.ID) []domain.ID { return ids }

func grants(p domain.Permission, r domain.Reach) []domain.Grant {
	return []domain.Grant{{Permission: p, Reach: r}}
}

// head is Ann, who runs retail and works on its north desk.
func head() domain.Authority {
	rights := domain.Rights{domain.ClientsView: domain.InProjects, domain.ClientsEdit: domain.OnDesks, domain.AuditView: domain.Everywhere}
	return domain.Authority{ID: ann, Rights: rights, Scope: domain.ScopeOf(ids(retail), ids(north))}
}

func forbidden(code, field string) error {
	return &domain.Error{Kind: domain.Forbidden, Code: code, Field: field}
}

func fault(field, code string) error { return domain.Fault(field, code, "") }

func TestCreate(t *testing.T) {
	view := grants(domain.ClientsView, domain.InProjects)
	made := Created{Name: "ERP", OwnerID: ann, Permissions: view}
	later := noon.Add(time.Hour)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without anything":         {By: head(), When: Create{}, Err: (&domain.Faults{fault("name", "required"), fault("permissions", "required")}).Err()},
		"by a key":                 {By: domain.Authority{Rights: domain.AllRights()}, When: Create{Name: "ERP", Permissions: view}, Err: domain.ErrForbidden},
		"twice":                    {By: head(), Given: []Event{made}, When: Create{Name: "ERP", Permissions: view}, Err: ErrExists},
		"one's own rights":         {By: head(), When: Create{Name: " ERP\n", Permissions: view}, Then: []Event{made}},
		"less than one's own":      {By: head(), When: Create{Name: "ERP", Permissions: grants(domain.ClientsView, domain.OnDesks)}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: grants(domain.ClientsView, domain.OnDesks)}}},
		"more than one's own":      {By: head(), When: Create{Name: "ERP", Permissions: grants(domain.ClientsView, domain.Everywhere)}, Err: forbidden("not_yours", "permissions[0]")},
		"what one may not do":      {By: head(), When: Create{Name: "ERP", Permissions: grants(domain.ClientsErase, domain.OnDesks)}, Err: forbidden("not_yours", "permissions[0]")},
		"for clients of its own":   {By: head(), When: Create{Name: "ERP", Permissions: grants(domain.ClientsView, domain.Own)}, Err: fault("permissions[0].reach", "own")},
		"without a reach":          {By: head(), When: Create{Name: "ERP", Permissions: grants(domain.ClientsView, domain.Nothing)}, Err: fault("permissions[0].reach", "required")},
		"to do what there is not":  {By: head(), When: Create{Name: "ERP", Permissions: grants("clients.eat", domain.OnDesks)}, Err: fault("permissions[0].permission", "unknown")},
		"a permission given twice": {By: head(), When: Create{Name: "ERP", Permissions: append(grants(domain.ClientsView, domain.OnDesks), view...)}, Err: fault("permissions[1].permission", "repeated")},

		"for one's project":             {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(retail, retail)}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: view, Projects: ids(retail)}}},
		"for one's desk":                {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(retail), Desks: ids(north)}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: view, Projects: ids(retail), Desks: ids(north)}}},
		"for a desk, not its project":   {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Desks: ids(north)}, Err: fault("desks", "other_project")},
		"for another's project":         {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(wholesale)}, Err: forbidden("not_assigned", "projects")},
		"for another's desk":            {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(retail), Desks: ids(south)}, Err: forbidden("not_assigned", "desks")},
		"for one that is not there":     {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(nothing), Desks: ids(nothing)}, Err: (&domain.Faults{forbidden("not_assigned", "projects"), forbidden("not_assigned", "desks")}).Err()},
		"for no project, by its id":     {World: world, By: head(), When: Create{Name: "ERP", Permissions: view, Projects: ids(domain.ID{})}, Err: forbidden("not_assigned", "projects")},
		"for any, by who may anywhere":  {World: world, By: head(), When: Create{Name: "ERP", Permissions: grants(domain.AuditView, domain.InProjects), Projects: ids(wholesale)}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: grants(domain.AuditView, domain.InProjects), Projects: ids(wholesale)}}},
		"for any, some only in one's":   {World: world, By: head(), When: Create{Name: "ERP", Permissions: append(grants(domain.AuditView, domain.InProjects), view...), Projects: ids(wholesale)}, Err: forbidden("not_assigned", "projects")},
		"for one not there, to that":    {World: world, By: head(), When: Create{Name: "ERP", Permissions: grants(domain.AuditView, domain.InProjects), Projects: ids(nothing), Desks: ids(nothing)}, Err: (&domain.Faults{fault("projects", "unknown"), fault("desks", "unknown")}).Err()},
		"for a project, yet everywhere": {World: world, By: head(), When: Create{Name: "ERP", Permissions: grants(domain.AuditView, domain.Everywhere), Projects: ids(retail)}, Err: fault("permissions[0].reach", "all")},
		"everywhere":                    {World: world, By: head(), When: Create{Name: "ERP", Permissions: grants(domain.AuditView, domain.Everywhere)}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: grants(domain.AuditView, domain.Everywhere)}}},

		"until later":       {By: head(), At: noon, When: Create{Name: "ERP", Permissions: view, ExpiresAt: new(later.In(time.FixedZone("", 3600)).Add(time.Millisecond))}, Then: []Event{Created{Name: "ERP", OwnerID: ann, Permissions: view, ExpiresAt: &later}}},
		"until now":         {By: head(), At: noon, When: Create{Name: "ERP", Permissions: view, ExpiresAt: new(noon)}, Err: fault("expires_at", "past")},
		"until this second": {By: head(), At: noon.Add(time.Millisecond), When: Create{Name: "ERP", Permissions: view, ExpiresAt: new(noon.Add(time.Second - 1))}, Err: fault("expires_at", "past")},
		"until what no one reads": {
			By: head(), At: noon, When: Create{Name: "ERP", Permissions: view, ExpiresAt: new(time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)))},
			Err: fault("expires_at", "late"),
		},
	})
}

func TestRevoke(t *testing.T) {
	given := []Event{Created{Name: "ERP", OwnerID: ann, Permissions: grants(domain.ClientsView, domain.InProjects)}}
	with := func(id domain.ID, r domain.Reach) domain.Authority {
		return domain.Authority{ID: id, Rights: domain.Rights{domain.SettingsManage: r}, Scope: domain.ScopeOf(ids(retail), nil)}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"none":                                 {When: Revoke{}, Err: ErrAbsent},
		"one's own":                            {By: head(), Given: given, When: Revoke{}, Then: []Event{Revoked{}}},
		"one's own, without any rights":        {By: with(ann, domain.Nothing), Given: given, When: Revoke{}, Then: []Event{Revoked{}}},
		"again":                                {By: head(), Given: append(given, Revoked{}), When: Revoke{}},
		"a colleague's":                        {By: with(bob, domain.Nothing), Given: given, When: Revoke{}, Err: ErrAbsent},
		"a colleague's, when it is ended":      {By: with(bob, domain.Nothing), Given: append(given, Revoked{}), When: Revoke{}, Err: ErrAbsent},
		"a colleague's, by who manages a part": {By: with(bob, domain.InProjects), Given: given, When: Revoke{}, Err: ErrAbsent},
		"a colleague's, by who manages all":    {By: with(bob, domain.Everywhere), Given: given, When: Revoke{}, Then: []Event{Revoked{}}},
		"by a key without rights":              {By: with(domain.ID{}, domain.Nothing), Given: given, When: Revoke{}, Err: ErrAbsent},
	})
}

func TestLive(t *testing.T) {
	forever := Aggregate.Evolve(State{}, Created{Name: "ERP", OwnerID: ann})
	anHour := Aggregate.Evolve(State{}, Created{Name: "ERP", OwnerID: ann, ExpiresAt: new(noon.Add(time.Hour))})
	revoked := Aggregate.Evolve(anHour, Revoked{})
	for _, c := range []struct {
		what  string
		key   State
		after time.Duration
		want  bool
	}{
		{"none", State{}, 0, false},
		{"one without end", forever, 1e6 * time.Hour, true},
		{"one before its end", anHour, time.Hour - 1, true},
		{"one at its end", anHour, time.Hour, false},
		{"one that was revoked", revoked, 0, false},
	} {
		if got := c.key.Live(noon.Add(c.after)); got != c.want {
			t.Errorf("%s is live: %v", c.what, got)
		}
	}
	if !revoked.Exists() || !revoked.Revoked() || anHour.Revoked() || (State{}).Exists() {
		t.Error("a key that was revoked is still one")
	}
}

// TestOwnerChanges: a key loses what its owner loses, and has again what they get
// back; it never falls back from its own projects to theirs.
func TestOwnerChanges(t *testing.T) {
	key := func(p domain.Permission, r domain.Reach, projects, desks []domain.ID) State {
		return Aggregate.Evolve(State{}, Created{Name: "ERP", OwnerID: ann, Permissions: grants(p, r), Projects: projects, Desks: desks})
	}
	view := func(r domain.Reach, projects, desks []domain.ID) domain.Authority {
		return domain.Authority{ID: ann, Rights: domain.Rights{domain.ClientsView: r}, Scope: domain.ScopeOf(projects, desks)}
	}
	unmanaged, hers := domain.Place{Project: retail, Desk: north}, domain.Place{Project: retail, Desk: north, Manager: ann}
	atHarbour := domain.Place{Project: wholesale, Desk: harbour}
	free, bound := key(domain.ClientsView, domain.InProjects, nil, nil), key(domain.ClientsView, domain.InProjects, ids(retail), nil)
	for _, c := range []struct {
		what  string
		key   State
		owner domain.Authority
		at    domain.Place
		want  bool
	}{
		{"as it was", bound, view(domain.InProjects, ids(retail), ids(north)), unmanaged, true},
		{"as it was, by assignment", free, view(domain.InProjects, ids(retail), ids(north)), unmanaged, true},
		{"the owner has left the project", bound, view(domain.InProjects, ids(wholesale), ids(harbour)), unmanaged, false},
		{"the owner has left for a project that the key is not for", bound, view(domain.InProjects, ids(wholesale), ids(harbour)), atHarbour, false},
		{"the owner has left for a project that any key goes along to", free, view(domain.InProjects, ids(wholesale), ids(harbour)), atHarbour, true},
		{"the owner has left everything", bound, view(domain.InProjects, nil, nil), unmanaged, false},
		{"the owner has been deactivated", bound, domain.Authority{}, unmanaged, false},
		{"the owner may see their desk only", bound, view(domain.OnDesks, ids(retail), ids(north)), unmanaged, false}, // it is not for the desk
		{"the owner may see their desk only, of the key's", key(domain.ClientsView, domain.InProjects, ids(retail), ids(north)), view(domain.OnDesks, ids(retail), ids(north)), unmanaged, true},
		{"the owner may see their own only", free, view(domain.Own, ids(retail), ids(north)), hers, false},
		{"the owner may do everything", bound, domain.Authority{ID: ann, Rights: domain.AllRights()}, unmanaged, true},
		{"the owner may do everything, out of the key's project", bound, domain.Authority{ID: ann, Rights: domain.AllRights()}, atHarbour, false},
		{"the owner may do everything, works nowhere, and nor does the key", free, domain.Authority{ID: ann, Rights: domain.AllRights()}, unmanaged, false},
	} {
		if got := c.key.Authority(c.owner).May(domain.ClientsView, c.at); got != c.want {
			t.Errorf("%s: it may see the client: %v", c.what, got)
		}
	}
	// One permission less leaves what the others are for.
	two := Aggregate.Evolve(State{}, Created{OwnerID: ann, Permissions: append(grants(domain.ClientsView, domain.InProjects), grants(domain.ClientsEdit, domain.InProjects)...), Projects: ids(wholesale)})
	auditor := domain.Authority{ID: ann, Rights: domain.Rights{domain.ClientsView: domain.Everywhere}}
	if got := two.Authority(auditor); !got.May(domain.ClientsView, atHarbour) || got.May(domain.ClientsEdit, atHarbour) {
		t.Errorf("a key of somebody who may no longer edit: %+v", got)
	}
}

func someIDs(t *rapid.T, label string, among []domain.ID) []domain.ID {
	return rapid.SliceOfDistinct(rapid.SampledFrom(among), rapid.ID[domain.ID]).Draw(t, label)
}

func someRights(t *rapid.T, label string) domain.Rights {
	rights := domain.Rights{}
	for _, p := range []domain.Permission{domain.ClientsView, domain.ClientsEdit, domain.EmployeesManage} {
		if r := domain.Reach(rapid.IntRange(0, 4).Draw(t, label+" "+string(p))); r > domain.Nothing {
			rights[p] = r
		}
	}
	return rights
}

// TestNeverExceedsItsOwner: wherever a client belongs, whatever a key was given and
// whatever its owner may do by now, the key may do nothing that its owner may not, nor
// anything that it was not given.
func TestNeverExceedsItsOwner(t *testing.T) {
	may := 0
	rapid.Check(t, func(t *rapid.T) {
		given := someRights(t, "key")
		key := Aggregate.Evolve(State{}, Created{
			OwnerID: ann, Permissions: given.Grants(),
			Projects: someIDs(t, "key's projects", ids(retail, wholesale)), Desks: someIDs(t, "key's desks", ids(north, south, harbour)),
		})
		owner := domain.Authority{ID: ann, Rights: someRights(t, "owner"), Scope: domain.ScopeOf(
			someIDs(t, "projects", ids(retail, wholesale)), someIDs(t, "desks", ids(north, south, harbour)))}
		its := key.Authority(owner)
		scoped := len(key.Projects)+len(key.Desks) > 0
		for _, p := range slices.Sorted(maps.Keys(domain.AllRights())) {
			for _, project := range ids(domain.ID{}, retail, wholesale) {
				if its.MayIn(p, project) && !owner.MayIn(p, project) {
					t.Fatalf("the key may %s in %v, its owner may not", p, project)
				}
				for _, d := range ids(domain.ID{}, north, south, harbour) {
					for _, manager := range ids(domain.ID{}, ann, bob) {
						at := domain.Place{Project: project, Desk: d, Manager: manager}
						if !its.May(p, at) {
							continue
						}
						may++
						switch {
						case !owner.May(p, at):
							t.Fatalf("the key may %s at %v, its owner may not", p, at)
						case given[p] == domain.Nothing:
							t.Fatalf("the key may %s, which it was not given", p)
						case scoped && given[p] < domain.Everywhere && !slices.Contains(key.Projects, project):
							t.Fatalf("the key may %s in %v, for which it is not", p, project)
						}
					}
				}
			}
		}
	})
	if may == 0 {
		t.Error("no key was ever of any use: the test proves nothing")
	}
}
