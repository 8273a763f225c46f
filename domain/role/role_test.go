package role_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	. "annals/domain/role"
)

var (
	sales, gone, nothing = uuid.UUID{1}, uuid.UUID{2}, uuid.UUID{0xff}

	view   = domain.Grant{Permission: domain.ClientsView, Reach: domain.OnDesks}
	edit   = domain.Grant{Permission: domain.ClientsEdit, Reach: domain.Own}
	erase  = domain.Grant{Permission: domain.ClientsErase, Reach: domain.Own}
	manage = domain.Grant{Permission: domain.RolesManage, Reach: domain.Everywhere}

	seller = Created{Definition{"Seller", grants(view, edit)}}
	world  = domain.World{
		ref(sales): Aggregate.Evolve(State{}, seller),
		ref(gone):  Aggregate.Evolve(Aggregate.Evolve(State{}, seller), Deleted{}),
	}
)

func ref(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Role, ID: id} }

func grants(g ...domain.Grant) []domain.Grant { return g }

func within(r domain.Reach, g domain.Grant) domain.Grant {
	g.Reach = r
	return g
}

// with is somebody who may do exactly this, in a project and on a desk of it.
func with(g ...domain.Grant) domain.Authority {
	return domain.Authority{ID: uuid.UUID{9}, Rights: domain.RightsOf(g...), Scope: domain.ScopeOf([]domain.ID{{3}}, []domain.ID{{4}})}
}

func idOf(name string) domain.ID {
	b, ok := Named(name)
	if !ok {
		panic(name)
	}
	return b.ID
}

func fault(field, code string) error { return domain.Fault(field, code, "") }

func notYours(field string) error {
	return &domain.Error{Kind: domain.Forbidden, Code: "not_yours", Field: field}
}

func TestCreate(t *testing.T) {
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without a name":                 {When: Create{}, Err: fault("name", "required")},
		"with a long name":               {When: Create{Name: strings.Repeat("x", 101)}, Err: fault("name", "too_long")},
		"called as a built-in one":       {When: Create{Name: " admin"}, Err: fault("name", "taken")},
		"called as one, in capitals":     {When: Create{Name: "Desk_Manager"}, Err: fault("name", "taken")},
		"called as what keys have":       {When: Create{Name: "integration"}, Err: fault("name", "taken")},
		"with a permission there is not": {When: Create{"Seller", grants(view, domain.Grant{Permission: "clients.eat", Reach: domain.Own})}, Err: fault("permissions[1].permission", "unknown")},
		"without a reach":                {When: Create{"Seller", grants(within(domain.Nothing, view))}, Err: fault("permissions[0].reach", "required")},
		"with a reach there is not":      {When: Create{"Seller", grants(within(9, view))}, Err: fault("permissions[0].reach", "required")},
		"with a permission twice":        {When: Create{"Seller", grants(view, edit, view)}, Err: fault("permissions[2].permission", "repeated")},
		"with two reaches of one":        {When: Create{"Seller", grants(view, within(domain.Own, view))}, Err: fault("permissions[1].permission", "repeated")},
		"every fault told": {
			By: with(manage), When: Create{"", grants(view, domain.Grant{}, within(domain.Nothing, edit))},
			Err: (&domain.Faults{fault("name", "required"), notYours("permissions[0]"), fault("permissions[1].permission", "unknown"), fault("permissions[2].reach", "required")}).Err(),
		},
		"twice":                            {Given: []Event{seller}, When: Create{"Seller", nil}, Err: ErrExists},
		"again, once deleted":              {Given: []Event{seller, Deleted{}}, When: Create{"Seller", nil}, Err: ErrExists},
		"that permits nothing":             {When: Create{"Guest", nil}, Then: []Event{Created{Definition{"Guest", nil}}}},
		"in any order":                     {When: Create{" Seller\n", grants(edit, view)}, Then: []Event{seller}},
		"by nobody":                        {By: domain.Authority{Rights: domain.Rights{}}, When: Create{"Seller", nil}, Err: domain.ErrForbidden},
		"by who manages them in a project": {By: with(view, edit, within(domain.InProjects, manage)), When: Create{"Seller", nil}, Err: domain.ErrForbidden},
		"of what one may do":               {By: with(view, edit, manage), When: Create{"Seller", grants(view, edit)}, Then: []Event{seller}},
		"of less than one may do":          {By: with(within(domain.InProjects, view), within(domain.Everywhere, edit), manage), When: Create{"Seller", grants(view, edit)}, Then: []Event{seller}},
		"of what one may not do":           {By: with(view, edit, manage), When: Create{"Seller", grants(view, erase)}, Err: notYours("permissions[1]")},
		"of more than one may do":          {By: with(view, edit, manage), When: Create{"Seller", grants(within(domain.InProjects, view), edit)}, Err: notYours("permissions[0]")},
	})
}

func TestClone(t *testing.T) {
	agent, _ := Named(Agent)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"one there is not":             {World: world, When: Clone{"Seller", nothing}, Err: ErrAbsent},
		"one without an id":            {World: world, When: Clone{"Seller", domain.ID{}}, Err: ErrAbsent},
		"one that was deleted":         {World: world, When: Clone{"Seller", gone}, Err: ErrAbsent},
		"one's own":                    {World: world, When: Clone{"Seller", sales}, Then: []Event{seller}},
		"a built-in one":               {When: Clone{"Seller", idOf(Agent)}, Then: []Event{Created{Definition{"Seller", agent.Rights.Grants()}}}},
		"under the name of a built-in": {World: world, When: Clone{Agent, sales}, Err: fault("name", "taken")},
		"without a name":               {World: world, When: Clone{"", sales}, Err: fault("name", "required")},
		"onto one that there is":       {World: world, Given: []Event{seller}, When: Clone{"Seller", sales}, Err: ErrExists},
		"by nobody":                    {World: world, By: domain.Authority{Rights: domain.Rights{}}, When: Clone{"Seller", sales}, Err: domain.ErrForbidden},
		"by nobody, what is not there": {World: world, By: domain.Authority{Rights: domain.Rights{}}, When: Clone{"Seller", nothing}, Err: domain.ErrForbidden},
		"of what one may do":           {World: world, By: with(view, edit, manage), When: Clone{"Seller", sales}, Then: []Event{seller}},
		"of what one may not do":       {World: world, By: with(view, manage), When: Clone{"Seller", sales}, Err: notYours("permissions[1]")},
		"admin, by who may not all":    {By: with(view, edit, manage), When: Clone{"Boss", idOf(Admin)}, Err: everyOtherOf(with(view, edit, manage))},
	})
}

// everyOtherOf are the faults of a copy of admin by somebody who may less.
func everyOtherOf(by domain.Authority) error {
	var f domain.Faults
	for i, p := range domain.Permissions {
		if by.Rights[p] < domain.Everywhere {
			f.Add(notYours(domain.At("permissions", i)))
		}
	}
	return f.Err()
}

func TestChange(t *testing.T) {
	to := func(g ...domain.Grant) Change { return Change{Permissions: domain.Set(g)} }
	changed := func(g ...domain.Grant) []Event { return []Event{Changed{seller.Definition, Definition{"Seller", g}}} }
	everywhere := &domain.Error{Kind: domain.Forbidden, Code: "not_yours_everywhere", Field: "permissions"}
	given := []Event{seller}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"none":                   {When: to(view), Err: ErrAbsent},
		"one that was deleted":   {Given: append(given, Deleted{}), When: to(view), Err: ErrAbsent},
		"nothing of it":          {Given: given, When: Change{}},
		"to what it is":          {Given: given, When: Change{domain.Set("Seller "), domain.Set(grants(edit, view))}},
		"the name":               {Given: given, When: Change{Name: domain.Set("Agent K")}, Then: []Event{Changed{seller.Definition, Definition{"Agent K", seller.Permissions}}}},
		"the name to none":       {Given: given, When: Change{Name: domain.Set("")}, Err: fault("name", "required")},
		"the name to one taken":  {Given: given, When: Change{Name: domain.Set("Auditor")}, Err: fault("name", "taken")},
		"to more":                {Given: given, When: to(edit, view, erase), Then: changed(view, edit, erase)},
		"to less":                {Given: given, When: to(view), Then: changed(view)},
		"to nothing":             {Given: given, When: to(), Then: changed()},
		"to nothing, by null":    {Given: given, When: Change{Permissions: domain.Field[[]domain.Grant]{Set: true}}, Then: changed()},
		"to what there is not":   {Given: given, When: to(domain.Grant{Permission: "x", Reach: domain.Own}), Err: fault("permissions[0].permission", "unknown")},
		"to a permission twice":  {Given: given, When: to(view, view), Err: fault("permissions[1].permission", "repeated")},
		"back":                   {Given: append(given, changed(view)...), When: to(view, edit), Then: []Event{Changed{Definition{"Seller", grants(view)}, seller.Definition}}},
		"by nobody":              {By: domain.Authority{Rights: domain.Rights{}}, Given: given, When: to(view), Err: domain.ErrForbidden},
		"by nobody, of none":     {By: domain.Authority{Rights: domain.Rights{}}, When: to(view), Err: domain.ErrForbidden},
		"the name, of one's own": {By: with(view, edit, manage), Given: given, When: Change{Name: domain.Set("Vendor")}, Then: []Event{Changed{seller.Definition, Definition{"Vendor", seller.Permissions}}}},

		"to less of what one may do":           {By: with(view, edit, manage), Given: given, When: to(view), Then: changed(view)},
		"to a shorter reach":                   {By: with(view, edit, manage), Given: given, When: to(within(domain.Own, view), edit), Then: changed(within(domain.Own, view), edit)},
		"to what one may not do":               {By: with(view, edit, manage), Given: given, When: to(view, edit, erase), Err: notYours("permissions[2]")},
		"taking away what one may not do":      {By: with(view, manage), Given: given, When: to(view), Err: notYours("permissions")},
		"the name of what one may not do":      {By: with(view, manage), Given: given, When: Change{Name: domain.Set("Vendor")}, Err: notYours("permissions")},
		"to what one may do on one's desk":     {By: with(view, edit, within(domain.OnDesks, erase), manage), Given: given, When: to(view, edit, erase), Err: everywhere},
		"to what one may do in one's projects": {By: with(within(domain.InProjects, view), edit, manage), Given: given, When: to(within(domain.InProjects, view), edit), Err: everywhere},
		"to what one may do everywhere":        {By: with(view, edit, within(domain.Everywhere, erase), manage), Given: given, When: to(view, edit, erase), Then: changed(view, edit, erase)},
	})
}

func TestDelete(t *testing.T) {
	given := []Event{seller}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"none":                   {When: Delete{}, Err: ErrAbsent},
		"one":                    {Given: given, When: Delete{}, Then: []Event{Deleted{}}},
		"again":                  {Given: append(given, Deleted{}), When: Delete{}, Err: ErrAbsent},
		"by nobody":              {By: domain.Authority{Rights: domain.Rights{}}, Given: given, When: Delete{}, Err: domain.ErrForbidden},
		"of what one may do":     {By: with(view, edit, manage), Given: given, When: Delete{}, Then: []Event{Deleted{}}},
		"of what one may not do": {By: with(view, manage), Given: given, When: Delete{}, Err: notYours("permissions")},
	})
}

// TestBuiltins are the roles as they are described; whoever changes one changes what
// thousands of people may do.
func TestBuiltins(t *testing.T) {
	const everything = "clients.view clients.create clients.edit clients.assign clients.retag clients.status clients.deactivate clients.merge clients.import " +
		"clients.export clients.message clients.erase clients.hold activities.write documents.write organisation.manage employees.view employees.manage roles.manage " +
		"views.share webhooks.manage audit.view settings.manage"
	const work = " clients.create clients.edit clients.assign clients.retag clients.status clients.deactivate clients.message activities.write documents.write"
	const upkeep = " clients.merge clients.import clients.export views.share"
	for name, want := range map[string]map[domain.Reach]string{
		Agent:        {domain.OnDesks: "clients.view", domain.Own: work, domain.InProjects: "employees.view"},
		DeskManager:  {domain.OnDesks: "clients.view" + work + upkeep, domain.InProjects: "employees.view"},
		ProjectAdmin: {domain.InProjects: "clients.view" + work + upkeep + " clients.hold organisation.manage employees.view employees.manage audit.view"},
		Admin:        {domain.Everywhere: everything},
		Auditor:      {domain.Everywhere: "clients.view employees.view audit.view"},
		Integration:  {},
	} {
		rights := domain.Rights{}
		for reach, names := range want {
			for p := range strings.FieldsSeq(names) {
				rights[domain.Permission(p)] = reach
			}
		}
		b, ok := Named(name)
		if diff := cmp.Diff(rights, b.Rights); !ok || diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if !IsBuiltIn(b.ID) || RightsOf([]string{name}, nil)[domain.ClientsView] != rights[domain.ClientsView] {
			t.Errorf("%s is not found by its id and name", name)
		}
	}
	if IsBuiltIn(sales) || IsBuiltIn(domain.ID{}) {
		t.Error("a role that is not built in is taken for one")
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		what  string
		names []string
		want  []string
		err   error
	}{
		{"none", nil, []string{}, nil},
		{"sorted, each once, however it is written", []string{Auditor, strings.ToUpper(sales.String()), Agent, "{" + sales.String() + "}", Agent}, []string{sales.String(), Agent, Auditor}, nil},
		{"a built-in one by its id", []string{idOf(Admin).String(), Admin}, []string{Admin}, nil},
		{"one there is not", []string{Agent, "king"}, []string{Agent}, fault("roles[1]", "unknown")},
		{"one by the name that people call it", []string{"Seller"}, []string{}, fault("roles[0]", "unknown")},
		{"one in capitals", []string{"Admin"}, []string{}, fault("roles[0]", "unknown")},
		{"one whose id there is not", []string{nothing.String()}, []string{}, fault("roles[0]", "unknown")},
		{"one that was deleted", []string{gone.String()}, []string{}, fault("roles[0]", "unknown")},
		{"one of keys", []string{Integration}, []string{}, fault("roles[0]", "not_for_people")},
		{"one of keys, by its id", []string{idOf(Integration).String()}, []string{}, fault("roles[0]", "not_for_people")},
		{"every fault told", []string{"", Integration}, []string{}, (&domain.Faults{fault("roles[0]", "unknown"), fault("roles[1]", "not_for_people")}).Err()},
	} {
		got, err := Check("roles", c.names, world)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.what, diff)
		}
		if diff := cmp.Diff(domain.All(c.err), domain.All(err), cmp.Comparer(func(a, b *domain.Error) bool { return a.Is(b) })); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.what, diff)
		}
	}
}

// TestRightsOf: the furthest reach of all roles counts, and what was deleted, or never
// was, permits nothing.
func TestRightsOf(t *testing.T) {
	for _, c := range []struct {
		what  string
		names []string
		want  domain.Rights
	}{
		{"no role", nil, domain.Rights{}},
		{"one", []string{sales.String()}, domain.RightsOf(view, edit)},
		{"one that was deleted", []string{gone.String()}, domain.Rights{}},
		{"one there is not", []string{nothing.String(), "king", ""}, domain.Rights{}},
		{"one of keys", []string{Integration}, domain.Rights{}},
		{"two", []string{sales.String(), Auditor}, domain.RightsOf(
			within(domain.Everywhere, view), edit,
			domain.Grant{Permission: domain.EmployeesView, Reach: domain.Everywhere}, domain.Grant{Permission: domain.AuditView, Reach: domain.Everywhere})},
	} {
		if diff := cmp.Diff(c.want, RightsOf(c.names, world)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.what, diff)
		}
	}
	if got := Refs([]string{Agent, sales.String(), "king"}); len(got) != 1 || got[0] != ref(sales) {
		t.Errorf("refs = %v", got)
	}
	if refs := Aggregate.Refs(State{}, Clone{Of: idOf(Agent)}); len(refs) != 0 {
		t.Errorf("a built-in role is looked for in the log: %v", refs)
	}
	if refs := Aggregate.Refs(State{}, Clone{Of: sales}); len(refs) != 1 || refs[0] != ref(sales) {
		t.Errorf("refs = %v", refs)
	}
	if deleted := Aggregate.Evolve(Aggregate.Evolve(State{}, seller), Deleted{}); deleted.Exists() || len(deleted.Rights()) > 0 {
		t.Error("a deleted role permits something")
	}
}
