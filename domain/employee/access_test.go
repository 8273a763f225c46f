package employee_test

import (
	"maps"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/domaintest"
	. "annals/domain/employee"
	"annals/domain/role"
)

var ann, rita, ruth = uuid.UUID{0x30}, uuid.UUID{0x31}, uuid.UUID{0x32}

// as is somebody with a built-in role, and more, who is assigned to these.
func as(id domain.ID, name string, projects, desks []domain.ID, more ...domain.Grant) domain.Authority {
	b, ok := role.Named(name)
	if !ok {
		panic(name)
	}
	return domain.Authority{ID: id, Rights: domain.RightsOf(append(b.Rights.Grants(), more...)...), Scope: domain.ScopeOf(projects, desks)}
}

func grant(p domain.Permission, r domain.Reach) domain.Grant {
	return domain.Grant{Permission: p, Reach: r}
}

var (
	admin = as(rita, role.Admin, nil, nil)
	// head runs retail, and works on its north desk.
	head = as(rita, role.ProjectAdmin, *ids(retail), *ids(north))
	// watcher is one who sees everybody.
	watcher = as(rita, role.ProjectAdmin, *ids(retail), *ids(north), grant(domain.EmployeesView, domain.Everywhere))
	// recruiter may do with all employees, and where an agent of the north desk works, what they may.
	recruiter = as(rita, role.Agent, *ids(retail), *ids(north), grant(domain.EmployeesView, domain.Everywhere), grant(domain.EmployeesManage, domain.Everywhere))
	// lead runs the employees of retail, and may do with clients of the north desk what a manager of it may.
	lead     = as(rita, role.DeskManager, *ids(retail), *ids(north), grant(domain.EmployeesManage, domain.InProjects))
	agent    = as(rita, role.Agent, *ids(retail), *ids(north))
	auditor  = as(rita, role.Auditor, nil, nil)
	powerful = as(rita, role.Admin, nil, nil) // who may not see people
	hidden   = domain.Authority{ID: rita, Rights: domain.Rights{}}
)

func init() { delete(powerful.Rights, domain.EmployeesView) }

var (
	errElsewhere = &domain.Error{Kind: domain.Forbidden, Code: "works_elsewhere"}
	desks        = &domain.Error{Kind: domain.Forbidden, Code: "not_assigned", Field: "desks"}
	projects     = &domain.Error{Kind: domain.Forbidden, Code: "not_assigned", Field: "projects"}
)

func noRoles() []string { return []string{} }

func notYours(field string) error {
	return &domain.Error{Kind: domain.Forbidden, Code: "not_yours", Field: field}
}

// working is an employee with these roles, who works there.
func working(projects, desks *[]domain.ID, roles ...string) []Event {
	return []Event{annLee(roles...), Assigned{*projects, *desks}}
}

// TestManaging: who may change an employee at all. It takes all but to register and
// to assign somebody, which have rules of their own.
func TestManaging(t *testing.T) {
	commands := map[string]struct {
		when Command
		then []Event
	}{
		"edit":       {Edit{Name: domain.Set("Ann")}, []Event{Edited{Identity{"Ann Lee", "ann@example.com"}, Identity{"Ann", "ann@example.com"}}}},
		"roles":      {SetRoles{}, []Event{RolesChanged{[]string{"x"}, noRoles()}}},
		"deactivate": {Deactivate{}, []Event{Deactivated{}}},
		"reactivate": {Reactivate{}, []Event{Reactivated{}}},
	}
	key := apikey.Aggregate.Evolve(apikey.State{}, apikey.Created{OwnerID: ann, Permissions: domain.AllRights().Grants()})
	cases := map[string]domaintest.Case[Command, Event]{}
	for name, who := range map[string]struct {
		by    domain.Authority
		given []Event
		err   error
	}{
		"nobody":                           {admin, nil, ErrAbsent},
		"by an admin":                      {admin, working(ids(retail), ids(north), role.Admin), nil},
		"unseen":                           {hidden, working(ids(retail), ids(north), role.Agent), ErrAbsent},
		"by who does not see people":       {powerful, working(ids(retail), ids(north), role.Agent), ErrAbsent},
		"by an agent":                      {agent, working(ids(retail), ids(north), role.Agent), domain.ErrForbidden},
		"of another project, by an agent":  {agent, working(ids(wholesale), ids(harbour), role.Agent), ErrAbsent},
		"by an auditor":                    {auditor, working(ids(wholesale), ids(harbour), role.Agent), domain.ErrForbidden},
		"by the head":                      {head, working(ids(retail), ids(south), role.DeskManager), nil},
		"an equal, by the head":            {head, working(ids(retail), ids(), role.ProjectAdmin), nil},
		"of another project, by the head":  {head, working(ids(wholesale), ids(harbour), role.Agent), ErrAbsent},
		"of two projects, by the head":     {head, working(ids(retail, wholesale), ids(north), role.Agent), errElsewhere},
		"of no project, by the head":       {head, working(ids(), ids(), role.Agent), ErrAbsent},
		"elsewhere, by who sees them":      {watcher, working(ids(wholesale), ids(harbour), role.Agent), domain.ErrForbidden},
		"nowhere, by who sees them":        {watcher, working(ids(), ids()), domain.ErrForbidden},
		"an admin, by the head":            {head, working(ids(retail), ids(north), role.Admin), notYours("roles")},
		"an auditor, by the head":          {head, working(ids(retail), ids(north), role.Auditor), notYours("roles")},
		"who may erase, by the head":       {head, working(ids(retail), ids(north), role.Agent, tester.String()), notYours("roles")},
		"an agent of the desk, by a lead":  {lead, working(ids(retail), ids(north), role.Agent), nil},
		"of no desk, by a lead":            {lead, working(ids(retail), ids(), role.Agent), nil},
		"of another desk, by a lead":       {lead, working(ids(retail), ids(north, south), role.Agent), notYours("roles")},
		"without roles, by a recruiter":    {recruiter, working(ids(wholesale), ids(harbour)), nil},
		"a colleague, by a recruiter":      {recruiter, working(ids(retail), ids(north), role.Agent), nil},
		"an agent elsewhere, by recruiter": {recruiter, working(ids(wholesale), ids(harbour), role.Agent), notYours("roles")},
		"an agent nowhere, by a recruiter": {recruiter, working(ids(), ids(), role.Agent), nil},
		"a desk manager, by a recruiter":   {recruiter, working(ids(retail), ids(north), role.DeskManager), notYours("roles")},
	} {
		for what, c := range commands {
			given, then := who.given, c.then
			if what == "reactivate" && given != nil {
				given = append(given, Deactivated{})
			}
			if what == "roles" && who.err == nil {
				then = []Event{RolesChanged{given[0].(Registered).Roles, noRoles()}}
				if len(given[0].(Registered).Roles) == 0 {
					then = nil
				}
			}
			if who.err != nil {
				then = nil
			}
			cases[what+" "+name] = domaintest.Case[Command, Event]{World: world, By: who.by, ID: ann, Given: given, When: c.when, Then: then, Err: who.err}
		}
	}
	// Nobody locks themselves out, by themselves or by a key of theirs.
	for name, by := range map[string]domain.Authority{"oneself": as(ann, role.Admin, nil, nil), "one's owner, as a key": key.Authority(as(ann, role.Admin, nil, nil))} {
		given := working(ids(retail), ids(north), role.Admin)
		cases["edit "+name] = domaintest.Case[Command, Event]{By: by, ID: ann, Given: given, When: commands["edit"].when, Then: commands["edit"].then}
		cases["roles "+name] = domaintest.Case[Command, Event]{By: by, ID: ann, Given: given, When: SetRoles{}, Err: ErrSelf}
		cases["deactivate "+name] = domaintest.Case[Command, Event]{By: by, ID: ann, Given: given, When: Deactivate{}, Err: ErrSelf}
	}
	cases["edit oneself, as an agent"] = domaintest.Case[Command, Event]{
		By: as(ann, role.Agent, *ids(retail), nil), ID: ann, Given: working(ids(retail), ids(), role.Agent), When: commands["edit"].when, Err: domain.ErrForbidden,
	}
	cases["a colleague, as a key of an admin"] = domaintest.Case[Command, Event]{
		By: key.Authority(as(ann, role.Admin, nil, nil)), ID: ruth, Given: working(ids(retail), ids(), role.Admin), When: Deactivate{}, Then: []Event{Deactivated{}},
	}
	domaintest.Run(t, Aggregate, cases)
}

func TestRegisterByWhom(t *testing.T) {
	in := func(projects, desks []domain.ID, roles ...string) Register {
		return Register{"Ann Lee", "ann@example.com", &roles, projects, desks}
	}
	both := func(errs ...error) error { f := domain.Faults(errs); return f.Err() }
	required := domain.Fault("projects", "required", "")
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody's, by an agent":            {World: world, By: agent, When: in(*ids(retail), nil), Err: domain.ErrForbidden},
		"by an auditor":                    {World: world, By: auditor, When: in(*ids(retail), nil), Err: domain.ErrForbidden},
		"an admin by an admin":             {World: world, By: admin, When: in(nil, nil, role.Admin), Then: []Event{annLee(role.Admin)}},
		"by the head":                      {World: world, By: head, When: in(*ids(retail), *ids(north, south), role.DeskManager), Then: []Event{annLee(role.DeskManager), Assigned{*ids(retail), *ids(north, south)}}},
		"by the head, roles left out":      {World: world, By: head, When: Register{Name: "Ann Lee", Email: "ann@example.com", Projects: *ids(retail)}, Then: []Event{annLee(role.Agent), Assigned{*ids(retail), none()}}},
		"by the head, for no project":      {World: world, By: head, When: in(nil, nil, role.Agent), Err: required},
		"by the head, for another":         {World: world, By: head, When: in(*ids(wholesale), *ids(harbour), role.Agent), Err: both(projects, desks)},
		"by the head, for one not there":   {World: world, By: head, When: in(*ids(nothing), *ids(nothing), role.Agent), Err: both(projects, desks)},
		"by the head, for another as well": {World: world, By: head, When: in(*ids(retail, wholesale), nil, role.Agent), Err: projects},
		"an auditor, by the head":          {World: world, By: head, When: in(*ids(retail), nil, role.Auditor), Err: notYours("roles")},
		"a colleague, by a recruiter":      {World: world, By: recruiter, When: in(*ids(retail), *ids(north), role.Agent), Then: []Event{annLee(role.Agent), Assigned{*ids(retail), *ids(north)}}},
		"an agent of another project":      {World: world, By: recruiter, When: in(*ids(retail, wholesale), *ids(north), role.Agent), Err: notYours("projects")},
		"an agent of another desk":         {World: world, By: recruiter, When: in(*ids(retail), *ids(south), role.Agent), Err: notYours("desks")},
		"somebody without roles, of any":   {World: world, By: recruiter, When: in(*ids(wholesale), *ids(harbour)), Then: []Event{annLee(), Assigned{*ids(wholesale), *ids(harbour)}}},
		"somebody of a desk, by its lead":  {World: world, By: lead, When: in(*ids(retail), *ids(north), role.DeskManager), Then: []Event{annLee(role.DeskManager), Assigned{*ids(retail), *ids(north)}}},
		"somebody of another, by a lead":   {World: world, By: lead, When: in(*ids(retail), *ids(south), role.DeskManager), Err: notYours("desks")},
	})
}

func TestAssignByWhom(t *testing.T) {
	to := func(projects, desks *[]domain.ID) Assign { return Assign{Projects: projects, Desks: desks} }
	assigned := func(projects, desks *[]domain.ID) []Event { return []Event{Assigned{*projects, *desks}} }
	here := working(ids(retail), ids(north), role.Agent)
	both := working(ids(retail, wholesale), ids(north, harbour), role.Agent)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"by an agent":                         {World: world, By: agent, Given: here, When: to(nil, ids(south)), Err: domain.ErrForbidden},
		"unseen":                              {World: world, By: hidden, Given: here, When: to(nil, ids(south)), Err: ErrAbsent},
		"somebody elsewhere":                  {World: world, By: head, Given: working(ids(wholesale), ids(), role.Agent), When: to(ids(retail), nil), Err: ErrAbsent},
		"somebody of nowhere":                 {World: world, By: head, Given: working(ids(), ids(), role.Agent), When: to(ids(retail), nil), Err: ErrAbsent},
		"somebody elsewhere who is seen":      {World: world, By: watcher, Given: working(ids(wholesale), ids()), When: to(ids(retail, wholesale), nil), Err: domain.ErrForbidden},
		"to one's own desk":                   {World: world, By: head, Given: here, When: to(nil, ids(north, south)), Then: assigned(ids(retail), ids(north, south))},
		"to another's project":                {World: world, By: head, Given: here, When: to(ids(retail, wholesale), nil), Err: projects},
		"to another's desk":                   {World: world, By: head, Given: here, When: to(ids(retail), ids(north, harbour)), Err: desks},
		"to what is not there":                {World: world, By: head, Given: here, When: to(ids(retail, nothing), ids(nothing)), Err: (&domain.Faults{projects, desks}).Err()},
		"off one's own project":               {World: world, By: head, Given: both, When: to(ids(wholesale), ids(harbour)), Then: assigned(ids(wholesale), ids(harbour))},
		"another's project need not be named": {World: world, By: head, Given: both, When: to(ids(retail), ids(north))},
		"nor another's desk":                  {World: world, By: head, Given: both, When: to(nil, ids(north))},
		"another's stay":                      {World: world, By: head, Given: both, When: to(ids(), ids()), Then: assigned(ids(wholesale), ids(harbour))},
		"to one's desk, also elsewhere":       {World: world, By: head, Given: both, When: to(nil, ids(north, south, harbour)), Then: assigned(ids(retail, wholesale), ids(north, south, harbour))},
		"who may more":                        {World: world, By: head, Given: working(ids(retail), ids(), role.Admin), When: to(nil, ids(north)), Err: notYours("roles")},
		"who may more, off":                   {World: world, By: head, Given: working(ids(retail), ids(), role.Auditor), When: to(ids(), ids()), Err: notYours("roles")},
		"to a desk of which a lead is":        {World: world, By: lead, Given: working(ids(retail), ids(), role.DeskManager), When: to(nil, ids(north)), Then: assigned(ids(retail), ids(north))},
		"to one of which a lead is not":       {World: world, By: lead, Given: here, When: to(nil, ids(north, south)), Err: notYours("desks")},
		"off one of which a lead is not":      {World: world, By: lead, Given: working(ids(retail), ids(north, south), role.Agent), When: to(nil, ids(north)), Then: assigned(ids(retail), ids(north))},
		"to where a recruiter is not":         {World: world, By: recruiter, Given: here, When: to(ids(retail, wholesale), nil), Err: notYours("projects")},
		"oneself, to where one is not":        {World: world, By: recruiter, ID: rita, Given: here, When: to(nil, ids(north, south)), Err: notYours("desks")},
		"somebody without roles, anywhere":    {World: world, By: recruiter, Given: working(ids(), ids()), When: to(ids(wholesale), ids(harbour)), Then: assigned(ids(wholesale), ids(harbour))},
		"by an admin":                         {World: world, By: admin, Given: here, When: to(ids(wholesale), ids(harbour)), Then: assigned(ids(wholesale), ids(harbour))},
		"somebody deactivated":                {World: world, Given: append(here, Deactivated{}), When: to(nil, ids(south)), Err: ErrDeactivated},
	})
}

func TestSetRoles(t *testing.T) {
	here := working(ids(retail), ids(north), role.Agent)
	changed := func(to ...string) []Event { return []Event{RolesChanged{[]string{role.Agent}, to}} }
	set := func(roles ...string) SetRoles { return SetRoles{Roles: roles} }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of nobody":                       {World: world, When: set(role.Agent), Err: ErrAbsent},
		"of somebody deactivated":         {World: world, Given: append(here, Deactivated{}), When: set(role.Admin), Err: ErrDeactivated},
		"there are not":                   {World: world, Given: here, When: set("king", nothing.String(), role.Integration), Err: (&domain.Faults{domain.Fault("roles[0]", "unknown", ""), domain.Fault("roles[1]", "unknown", ""), domain.Fault("roles[2]", "not_for_people", "")}).Err()},
		"as they are":                     {World: world, Given: here, When: set(role.Agent, role.Agent)},
		"several":                         {World: world, Given: here, When: set(role.Auditor, tester.String(), role.Agent), Then: changed(tester.String(), role.Agent, role.Auditor)},
		"none":                            {World: world, Given: here, When: set(), Then: changed()},
		"more, by the head":               {World: world, By: head, Given: here, When: set(role.ProjectAdmin), Then: changed(role.ProjectAdmin)},
		"admin, by the head":              {World: world, By: head, Given: here, When: set(role.Agent, role.Admin), Err: notYours("roles")},
		"auditor, by the head":            {World: world, By: head, Given: here, When: set(role.Auditor), Err: notYours("roles")},
		"a made one, by the head":         {World: world, By: head, Given: here, When: set(role.Agent, tester.String()), Err: notYours("roles")},
		"a made one, by who may do it":    {World: world, By: as(rita, role.ProjectAdmin, *ids(retail), *ids(north), grant(domain.ClientsErase, domain.Own)), Given: here, When: set(role.Agent, tester.String()), Then: changed(tester.String(), role.Agent)},
		"one as far as one's own desk":    {World: world, By: lead, Given: here, When: set(role.DeskManager), Then: changed(role.DeskManager)},
		"one that goes to another's desk": {World: world, By: lead, Given: working(ids(retail), ids(south)), When: set(role.Agent), Err: notYours("roles")},
		"one that goes to another's project": {
			World: world, By: recruiter, Given: working(ids(wholesale), ids()), When: set(role.Agent), Err: notYours("roles"),
		},
		"by somebody deactivated": {World: world, By: hidden, Given: here, When: set(role.Agent), Err: ErrAbsent},
	})
}

func TestEdit(t *testing.T) {
	given := []Event{annLee(role.Agent)}
	is := Identity{"Ann Lee", "ann@example.com"}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                {When: Edit{}, Err: ErrAbsent},
		"somebody deactivated":  {Given: append(given, Deactivated{}), When: Edit{Name: domain.Set("Ann")}, Err: ErrDeactivated},
		"nothing":               {Given: given, When: Edit{}},
		"to what it is":         {Given: given, When: Edit{domain.Set(" Ann  Lee"), domain.Set("ann@example.com ")}},
		"the name":              {Given: given, When: Edit{Name: domain.Set("Ann Moe")}, Then: []Event{Edited{is, Identity{"Ann Moe", is.Email}}}},
		"the address":           {Given: given, When: Edit{Email: domain.Set("ann@moe.example")}, Then: []Event{Edited{is, Identity{is.Name, "ann@moe.example"}}}},
		"the name to none":      {Given: given, When: Edit{Name: domain.Set("\u200b")}, Err: domain.Fault("name", "required", "")},
		"the address to none":   {Given: given, When: Edit{Email: domain.Set("")}, Err: domain.Fault("email", "email", "")},
		"every fault told":      {Given: given, When: Edit{domain.Set(""), domain.Set("x")}, Err: (&domain.Faults{domain.Fault("name", "required", ""), domain.Fault("email", "email", "")}).Err()},
		"and back":              {Given: append(given, Edited{is, Identity{"Ann", "a@b"}}), When: Edit{domain.Set(is.Name), domain.Set(is.Email)}, Then: []Event{Edited{Identity{"Ann", "a@b"}, is}}},
		"once they are back":    {Given: append(given, Deactivated{}, Reactivated{}), When: Edit{Name: domain.Set("Ann")}, Then: []Event{Edited{is, Identity{"Ann", is.Email}}}},
		"deactivating again":    {Given: append(given, Deactivated{}), When: Deactivate{}},
		"reactivating, not off": {Given: given, When: Reactivate{}},
	})
}

// TestNote: that a credential changed is kept whoever is told so, also of somebody
// deactivated; and it changes nothing about them.
func TestNote(t *testing.T) {
	changed := CredentialChanged{What: "password", How: "reset"}
	given := working(ids(retail), ids(north), role.Agent)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of nobody":               {When: Note{changed}, Err: ErrAbsent},
		"of oneself":              {By: as(ann, role.Agent, *ids(retail), nil), ID: ann, Given: given, When: Note{changed}, Then: []Event{changed}},
		"by whoever has a link":   {By: hidden, ID: ann, Given: given, When: Note{changed}, Then: []Event{changed}},
		"of somebody deactivated": {Given: append(given, Deactivated{}), When: Note{changed}, Then: []Event{changed}},
	})
	s := Aggregate.Evolve(Aggregate.Evolve(State{}, given[0]), given[1])
	if after := Aggregate.Evolve(s, changed); !maps.Equal(after.Scope().Desks, s.Scope().Desks) || after.Identity != s.Identity || !after.Active() {
		t.Error("it changed something else")
	}
}

func TestVisible(t *testing.T) {
	state := func(projects, desks *[]domain.ID) State {
		return Aggregate.Evolve(Aggregate.Evolve(State{}, annLee(role.Agent)), Assigned{*projects, *desks})
	}
	by := func(r domain.Reach) domain.Authority {
		return domain.Authority{ID: rita, Rights: domain.Rights{domain.EmployeesView: r}, Scope: domain.ScopeOf(*ids(retail), *ids(north))}
	}
	for _, c := range []struct {
		what string
		who  State
		want [5]bool // within nothing, own, desk, project, all
	}{
		{"of the desk", state(ids(retail), ids(north)), [5]bool{false, false, true, true, true}},
		{"of another desk", state(ids(retail), ids(south)), [5]bool{false, false, false, true, true}},
		{"of the project", state(ids(wholesale, retail), ids(harbour)), [5]bool{false, false, false, true, true}},
		{"of another project", state(ids(wholesale), ids(harbour)), [5]bool{false, false, false, false, true}},
		{"of nothing", state(ids(), ids()), [5]bool{false, false, false, false, true}},
	} {
		for r, want := range c.want {
			if got := c.who.Visible(ann, by(domain.Reach(r))); got != want {
				t.Errorf("%s, within %q: %v", c.what, domain.Reach(r), got)
			}
			if !c.who.Visible(rita, by(domain.Reach(r))) {
				t.Errorf("one does not see oneself, %s", c.what)
			}
		}
	}
}
