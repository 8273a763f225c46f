package client

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
)

// The world of these tests: two projects, three desks, and managers who work for
// all of retail, for its north desk, for wholesale, and for nothing.
var (
	retail, wholesale = uuid.UUID{0x10}, uuid.UUID{0x11}
	north, south      = uuid.UUID{0x20}, uuid.UUID{0x21} // of retail
	harbour           = uuid.UUID{0x22}                  // of wholesale
	ann, bob, cem     = uuid.UUID{0x30}, uuid.UUID{0x31}, uuid.UUID{0x32}
	root              = uuid.UUID{0x33} // an administrator, assigned to nothing
	nothing           = uuid.UUID{0xff}
	nobody            domain.ID

	world = domain.World{
		{Category: domain.Project, ID: retail}:    project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
		{Category: domain.Project, ID: wholesale}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Wholesale"}),
		{Category: domain.Project, ID: nothing}:   project.State{},
		{Category: domain.Desk, ID: north}:        desk.State{ProjectID: retail},
		{Category: domain.Desk, ID: south}:        desk.State{ProjectID: retail},
		{Category: domain.Desk, ID: harbour}:      desk.State{ProjectID: wholesale},
		{Category: domain.Employee, ID: ann}:      assigned(ids(retail), ids(north, south)),
		{Category: domain.Employee, ID: bob}:      assigned(ids(retail), ids(north)),
		{Category: domain.Employee, ID: cem}:      assigned(ids(wholesale), ids(harbour)),
		{Category: domain.Employee, ID: root}:     employee.Aggregate.Evolve(employee.State{}, employee.Registered{Identity: employee.Identity{Name: "Root"}, Roles: []string{role.Admin}}),
	}
)

func ids(ids ...domain.ID) []domain.ID { return ids }

func assigned(projects, desks []domain.ID) employee.State {
	s := employee.Aggregate.Evolve(employee.State{}, employee.Registered{Identity: employee.Identity{Name: "x"}})
	return employee.Aggregate.Evolve(s, employee.Assigned{Projects: projects, Desks: desks})
}

// as is somebody with one of the built-in roles who is assigned to these.
func as(who domain.ID, name string, projects, desks []domain.ID) domain.Authority {
	b, ok := role.Named(name)
	if !ok {
		panic(name)
	}
	return domain.Authority{ID: who, Rights: b.Rights, Scope: domain.ScopeOf(projects, desks)}
}

var (
	bobAgent   = as(bob, role.Agent, ids(retail), ids(north))
	bobManager = as(bob, role.DeskManager, ids(retail), ids(north))
	retailHead = as(ann, role.ProjectAdmin, ids(retail), ids(north, south))
	idle       = as(bob, role.ProjectAdmin, nil, nil) // assigned to nothing
)

func faults(errs ...error) error {
	f := domain.Faults(errs)
	return f.Err()
}

func fault(field, code string) error { return domain.Fault(field, code, "") }

func forbidden(field string) error {
	return &domain.Error{Kind: domain.Forbidden, Code: "not_assigned", Field: field}
}

var (
	lee  = Details{Type: Person, FirstName: "Kim", LastName: "Lee", Email: "kim@example.com"}
	acme = Details{Type: Company, Company: "Acme"}
)

func set(id domain.ID) domain.Field[domain.ID] { return domain.Set(id) }

func TestRegister(t *testing.T) {
	lead := Registered{lee, Assignment{retail, nobody, nobody}, Lead, nil}
	in := func(d Details, p domain.ID) Register { return Register{Details: d, ProjectID: p} }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without anything":                   {World: world, When: Register{}, Err: faults(fault("last_name", "required"), fault("project_id", "required"))},
		"without a project":                  {World: world, When: in(lee, nobody), Err: fault("project_id", "required")},
		"in a project that does not exist":   {World: world, When: in(lee, nothing), Err: fault("project_id", "unknown")},
		"in a project that one may not see":  {World: world, By: retailHead, When: in(lee, wholesale), Err: forbidden("project_id")},
		"in a hidden one that is not there":  {World: world, By: retailHead, When: in(lee, nothing), Err: forbidden("project_id")},
		"by somebody assigned to nothing":    {World: world, By: idle, When: in(lee, retail), Err: forbidden("project_id")},
		"on a desk that does not exist":      {World: world, When: Register{Details: lee, ProjectID: retail, DeskID: set(nothing)}, Err: fault("desk_id", "unknown")},
		"on a desk of another project":       {World: world, When: Register{Details: lee, ProjectID: retail, DeskID: set(harbour)}, Err: fault("desk_id", "other_project")},
		"on a desk that one may not see":     {World: world, By: bobManager, When: Register{Details: lee, ProjectID: retail, DeskID: set(south)}, Err: forbidden("desk_id")},
		"with a manager who does not exist":  {World: world, When: Register{Details: lee, ProjectID: retail, ManagerID: set(nothing)}, Err: fault("manager_id", "not_assigned")},
		"with a manager of another project":  {World: world, When: Register{Details: lee, ProjectID: retail, ManagerID: set(cem)}, Err: fault("manager_id", "not_assigned")},
		"with a manager of another desk":     {World: world, When: Register{Details: lee, ProjectID: retail, DeskID: set(south), ManagerID: set(bob)}, Err: fault("manager_id", "not_assigned")},
		"with an administrator not assigned": {World: world, When: Register{Details: lee, ProjectID: retail, ManagerID: set(root)}, Err: fault("manager_id", "not_assigned")},
		"with an unknown status":             {World: world, When: Register{Details: lee, ProjectID: retail, Status: "vip"}, Err: fault("status", "unknown")},
		"with an empty tag":                  {World: world, When: Register{Details: lee, ProjectID: retail, Tags: []string{"a", " "}}, Err: fault("tags[1]", "required")},
		"with a tag that is too long":        {World: world, When: Register{Details: lee, ProjectID: retail, Tags: []string{strings.Repeat("x", 51)}}, Err: fault("tags[0]", "too_long")},
		"with too many tags":                 {World: world, When: Register{Details: lee, ProjectID: retail, Tags: make([]string, 101)}, Err: fault("tags", "too_many")},
		"a person without a name":            {World: world, When: in(Details{Type: Person, Company: "Acme", MiddleName: "K."}, retail), Err: fault("last_name", "required")},
		"a company without a name":           {World: world, When: in(Details{Type: Company, FirstName: "Kim"}, retail), Err: fault("company", "required")},
		"neither person nor company":         {World: world, When: in(Details{Type: "robot", Company: "Acme"}, retail), Err: fault("type", "unknown")},
		"only an e-mail":                     {World: world, When: in(Details{Email: "kim@example.com"}, retail), Err: fault("last_name", "required")},
		"every fault told": {
			World: world,
			When: Register{
				Details:   Details{FirstName: "a\x00b", Email: "x", Phone: "call me", Website: "nowhere", Address: Address{City: strings.Repeat("x", 101)}},
				ProjectID: retail, DeskID: set(harbour), ManagerID: set(nothing), Status: "?", Tags: []string{""},
			},
			Err: faults(fault("first_name", "control_character"), fault("email", "email"), fault("phone", "phone"), fault("website", "url"), fault("address.city", "too_long"),
				fault("status", "unknown"), fault("tags[0]", "required"), fault("desk_id", "other_project"), fault("manager_id", "not_assigned")),
		},
		"twice": {World: world, Given: []Event{lead}, When: in(lee, retail), Err: ErrExists},
		"with the least there can be": {
			World: world, When: in(Details{LastName: "Lee"}, retail),
			Then: []Event{Registered{Details{Type: Person, LastName: "Lee"}, Assignment{ProjectID: retail}, Lead, nil}},
		},
		"a company, told by its name": {
			World: world, When: in(Details{Company: "Acme"}, retail),
			Then: []Event{Registered{acme, Assignment{ProjectID: retail}, Lead, nil}},
		},
		"a person who works for a company": {
			World: world, When: in(Details{FirstName: "Kim", Company: "Acme"}, retail),
			Then: []Event{Registered{Details{Type: Person, FirstName: "Kim", Company: "Acme"}, Assignment{ProjectID: retail}, Lead, nil}},
		},
		"a company with somebody to talk to": {
			World: world, When: in(Details{Type: Company, FirstName: "Kim", Company: "Acme"}, retail),
			Then: []Event{Registered{Details{Type: Company, FirstName: "Kim", Company: "Acme"}, Assignment{ProjectID: retail}, Lead, nil}},
		},
		"with null for desk and manager": {World: world, When: Register{Details: lee, ProjectID: retail, DeskID: set(nobody), ManagerID: set(nobody)}, Then: []Event{lead}},
		"with a manager, no desk": {
			World: world, When: Register{Details: lee, ProjectID: retail, ManagerID: set(bob)},
			Then: []Event{Registered{lee, Assignment{retail, nobody, bob}, Lead, nil}},
		},
		"with everything, by somebody assigned there": {
			World: world, By: bobManager,
			When: Register{Details: lee, ProjectID: retail, DeskID: set(north), ManagerID: set(bob), Status: Active, Tags: []string{"vip ", "Berlin", "vip"}},
			Then: []Event{Registered{lee, Assignment{retail, north, bob}, Active, []string{"Berlin", "vip"}}},
		},
		"typed carelessly": {
			World: world,
			When: in(Details{
				Type: Person, FirstName: " Zoe\u0308 ", LastName: "van\t der  Berg", Email: "zoe@example.com ", Phone: "\u202a+49\u00a030 \u2013 123\u202c", Website: " example.com ",
				Address: Address{Street: "Main St 1\r\n2nd floor"},
			}, retail),
			Then: []Event{Registered{Details{
				Type: Person, FirstName: "Zo\u00eb", LastName: "van der Berg", Email: "zoe@example.com", Phone: "+49 30 \u2013 123", PhoneE164: "+4930123", Website: "example.com",
				Address: Address{Street: "Main St 1 2nd floor"},
			}, Assignment{ProjectID: retail}, Lead, nil}},
		},
	})
}

func TestEdit(t *testing.T) {
	given := []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, nil}}
	edit := func(patch map[string]any) Edit { return Edit{patch} }
	long := strings.Repeat("x", 200)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                         {When: edit(map[string]any{"last_name": "Moe"}), Err: ErrAbsent},
		"a deactivated client":           {Given: append(given, Deactivated{"x"}), When: edit(map[string]any{"last_name": "Moe"}), Err: ErrDeactivated},
		"what there is not":              {Given: given, When: edit(map[string]any{"shoe_size": "9"}), Err: fault("shoe_size", "unknown_field")},
		"what there is not, to null":     {Given: given, When: edit(map[string]any{"shoe_size": nil}), Err: fault("shoe_size", "unknown_field")},
		"in capitals":                    {Given: given, When: edit(map[string]any{"Last_Name": "Moe"}), Err: fault("Last_Name", "unknown_field")},
		"the status":                     {Given: given, When: edit(map[string]any{"status": "active"}), Err: fault("status", "unknown_field")},
		"the project":                    {Given: given, When: edit(map[string]any{"project_id": nothing.String()}), Err: fault("project_id", "unknown_field")},
		"the address as a text":          {Given: given, When: edit(map[string]any{"address": "Main St 1"}), Err: fault("address", "type")},
		"an unknown part of the address": {Given: given, When: edit(map[string]any{"address": map[string]any{"planet": "Mars"}}), Err: fault("address.planet", "unknown_field")},
		"a part of the address, flat":    {Given: given, When: edit(map[string]any{"address.city": "Bonn"}), Err: fault("address.city", "unknown_field")},
		"a name to a number":             {Given: given, When: edit(map[string]any{"last_name": 5.0}), Err: fault("last_name", "type")},
		"a city to a list":               {Given: given, When: edit(map[string]any{"address": map[string]any{"city": []any{"Bonn"}}}), Err: fault("address.city", "type")},
		"a name to an object":            {Given: given, When: edit(map[string]any{"last_name": map[string]any{"x": "y"}}), Err: fault("last_name", "type")},
		"the names away":                 {Given: given, When: edit(map[string]any{"first_name": nil, "last_name": ""}), Err: fault("last_name", "required")},
		"a person into a nameless firm":  {Given: given, When: edit(map[string]any{"type": "company"}), Err: fault("company", "required")},
		"the type to nonsense":           {Given: given, When: edit(map[string]any{"type": "robot"}), Err: fault("type", "unknown")},
		"every fault told": {
			Given: given, When: edit(map[string]any{"email": "x", "phone": "x", "last_name": long}),
			Err: faults(fault("email", "email"), fault("phone", "phone"), fault("last_name", "too_long")),
		},
		"every strange field told": {
			Given: given, When: edit(map[string]any{"a": nil, "b": "x", "email": true}),
			Err: faults(fault("a", "unknown_field"), fault("b", "unknown_field"), fault("email", "type")),
		},
		"nothing":                     {Given: given, When: edit(nil)},
		"to what it is":               {Given: given, When: edit(map[string]any{"last_name": " Lee", "phone": nil, "address": nil})},
		"the address, with nothing":   {Given: given, When: edit(map[string]any{"address": map[string]any{}})},
		"a name":                      {Given: given, When: edit(map[string]any{"last_name": "Moe"}), Then: []Event{Edited{Details{LastName: "Lee"}, Details{LastName: "Moe"}}}},
		"a phone, which was not kept": {Given: given, When: edit(map[string]any{"phone": "555-0123"}), Then: []Event{Edited{Details{}, Details{Phone: "555-0123"}}}},
		"the e-mail away":             {Given: given, When: edit(map[string]any{"email": nil}), Then: []Event{Edited{Details{Email: "kim@example.com"}, Details{}}}},
		"a city": {
			Given: given, When: edit(map[string]any{"address": map[string]any{"city": "Bonn", "country": nil}}),
			Then: []Event{Edited{Details{}, Details{Address: Address{City: "Bonn"}}}},
		},
		"the whole address away": {
			Given: append(given, Edited{Details{}, Details{Address: Address{Street: "Main St 1", City: "Bonn"}}}), When: edit(map[string]any{"address": nil}),
			Then: []Event{Edited{Details{Address: Address{Street: "Main St 1", City: "Bonn"}}, Details{}}},
		},
		"a person into a firm": {
			Given: given, When: edit(map[string]any{"type": "company", "company": "Acme"}),
			Then: []Event{Edited{Details{Type: Person}, Details{Type: Company, Company: "Acme"}}},
		},
		"the type to null, told from the names again": {
			Given: given, When: edit(map[string]any{"type": nil, "company": "Acme", "first_name": nil, "last_name": nil}),
			Then: []Event{Edited{Details{Type: Person, FirstName: "Kim", LastName: "Lee"}, Details{Type: Company, Company: "Acme"}}},
		},
		"something else, past an old e-mail that would not be taken today": {
			Given: []Event{Registered{Details{Type: Person, LastName: "Lee", Email: "kim at home"}, Assignment{ProjectID: retail}, Lead, nil}},
			When:  edit(map[string]any{"phone": "555-0123"}), Then: []Event{Edited{Details{}, Details{Phone: "555-0123"}}},
		},
	})
}

func TestAssign(t *testing.T) {
	at := func(project, desk, manager domain.ID) []Event {
		return []Event{Registered{lee, Assignment{project, desk, manager}, Lead, nil}}
	}
	moved := func(p, d, m, p2, d2, m2 domain.ID) []Event {
		return []Event{Reassigned{From: Assignment{p, d, m}, To: Assignment{p2, d2, m2}}}
	}
	unset := domain.Field[domain.ID]{}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                             {World: world, When: Assign{DeskID: set(north)}, Err: ErrAbsent},
		"to no project":                      {World: world, Given: at(retail, nobody, nobody), When: Assign{ProjectID: set(nobody)}, Err: fault("project_id", "required")},
		"to a project that does not exist":   {World: world, Given: at(retail, nobody, nobody), When: Assign{ProjectID: set(nothing)}, Err: fault("project_id", "unknown")},
		"to another project, the desk stays": {World: world, Given: at(retail, north, nobody), When: Assign{ProjectID: set(wholesale)}, Err: fault("desk_id", "other_project")},
		"to another project, manager stays":  {World: world, Given: at(retail, nobody, bob), When: Assign{ProjectID: set(wholesale)}, Err: fault("manager_id", "not_assigned")},
		"to another project, both stay":      {World: world, Given: at(retail, north, bob), When: Assign{ProjectID: set(wholesale)}, Err: faults(fault("desk_id", "other_project"), fault("manager_id", "not_assigned"))},
		"to a desk of another project":       {World: world, Given: at(retail, nobody, nobody), When: Assign{DeskID: set(harbour)}, Err: fault("desk_id", "other_project")},
		"to a desk that does not exist":      {World: world, Given: at(retail, nobody, nobody), When: Assign{DeskID: set(nothing)}, Err: fault("desk_id", "unknown")},
		"to a desk of which manager is not":  {World: world, Given: at(retail, north, bob), When: Assign{DeskID: set(south)}, Err: fault("manager_id", "not_assigned")},
		"to a manager who is not of the desk": {
			World: world, Given: at(retail, south, nobody), When: Assign{ManagerID: set(bob)}, Err: fault("manager_id", "not_assigned"),
		},
		"to a manager who does not exist": {World: world, Given: at(retail, nobody, nobody), When: Assign{ManagerID: set(nothing)}, Err: fault("manager_id", "not_assigned")},
		"to an administrator":             {World: world, Given: at(retail, nobody, nobody), When: Assign{ManagerID: set(root)}, Err: fault("manager_id", "not_assigned")},
		"with a reason that is too long":  {World: world, Given: at(retail, nobody, nobody), When: Assign{DeskID: set(north), Reason: strings.Repeat("x", 1001)}, Err: fault("reason", "too_long")},

		"to a project that one may not see": {World: world, By: bobManager, Given: at(retail, north, nobody), When: Assign{ProjectID: set(wholesale)}, Err: forbidden("project_id")},
		"to a desk that one may not see":    {World: world, By: bobManager, Given: at(retail, north, nobody), When: Assign{DeskID: set(south)}, Err: forbidden("desk_id")},
		"a client of another project":       {World: world, By: bobManager, Given: at(wholesale, nobody, nobody), When: Assign{ProjectID: set(retail)}, Err: ErrAbsent},
		"a client of another desk":          {World: world, By: bobManager, Given: at(retail, south, nobody), When: Assign{DeskID: set(north)}, Err: ErrAbsent},
		"by somebody assigned to nothing":   {World: world, By: idle, Given: at(retail, nobody, nobody), When: Assign{DeskID: set(north)}, Err: ErrAbsent},

		"to a desk":       {World: world, Given: at(retail, nobody, nobody), When: Assign{unset, set(north), unset, ""}, Then: moved(retail, nobody, nobody, retail, north, nobody)},
		"to another desk": {World: world, Given: at(retail, north, nobody), When: Assign{unset, set(south), unset, ""}, Then: moved(retail, north, nobody, retail, south, nobody)},
		"to another desk, the manager is of both": {World: world, Given: at(retail, north, ann), When: Assign{unset, set(south), unset, ""}, Then: moved(retail, north, ann, retail, south, ann)},
		"off the desk":                             {World: world, Given: at(retail, north, bob), When: Assign{unset, set(nobody), unset, ""}, Then: moved(retail, north, bob, retail, nobody, bob)},
		"to a manager":                             {World: world, Given: at(retail, north, nobody), When: Assign{unset, unset, set(bob), ""}, Then: moved(retail, north, nobody, retail, north, bob)},
		"to another manager":                       {World: world, Given: at(retail, north, bob), When: Assign{unset, unset, set(ann), ""}, Then: moved(retail, north, bob, retail, north, ann)},
		"off the manager":                          {World: world, Given: at(retail, north, bob), When: Assign{unset, unset, set(nobody), ""}, Then: moved(retail, north, bob, retail, north, nobody)},
		"to desk and manager":                      {World: world, Given: at(retail, nobody, nobody), When: Assign{unset, set(south), set(ann), ""}, Then: moved(retail, nobody, nobody, retail, south, ann)},
		"off both":                                 {World: world, Given: at(retail, north, bob), When: Assign{unset, set(nobody), set(nobody), ""}, Then: moved(retail, north, bob, retail, nobody, nobody)},
		"to a project, having neither":             {World: world, Given: at(retail, nobody, nobody), When: Assign{set(wholesale), unset, unset, ""}, Then: moved(retail, nobody, nobody, wholesale, nobody, nobody)},
		"to a project, off the desk":               {World: world, Given: at(retail, north, nobody), When: Assign{set(wholesale), set(nobody), unset, ""}, Then: moved(retail, north, nobody, wholesale, nobody, nobody)},
		"to a project, off the manager":            {World: world, Given: at(retail, nobody, bob), When: Assign{set(wholesale), unset, set(nobody), ""}, Then: moved(retail, nobody, bob, wholesale, nobody, nobody)},
		"to a project and its desk":                {World: world, Given: at(retail, north, nobody), When: Assign{set(wholesale), set(harbour), unset, ""}, Then: moved(retail, north, nobody, wholesale, harbour, nobody)},
		"to a project and its manager":             {World: world, Given: at(retail, nobody, bob), When: Assign{set(wholesale), unset, set(cem), ""}, Then: moved(retail, nobody, bob, wholesale, nobody, cem)},
		"to a project, its desk and manager":       {World: world, Given: at(retail, north, bob), When: Assign{set(wholesale), set(harbour), set(cem), ""}, Then: moved(retail, north, bob, wholesale, harbour, cem)},
		"with a reason":                            {World: world, Given: at(retail, north, nobody), When: Assign{unset, set(south), unset, " moved\r\nhouse "}, Then: []Event{Reassigned{Assignment{retail, north, nobody}, Assignment{retail, south, nobody}, "moved\nhouse"}}},
		"to a desk, by somebody of its project":    {World: world, By: retailHead, Given: at(retail, nobody, nobody), When: Assign{DeskID: set(north)}, Then: moved(retail, nobody, nobody, retail, north, nobody)},
		"to a desk, one's own client without one":  {World: world, By: bobAgent, Given: at(retail, nobody, bob), When: Assign{DeskID: set(north)}, Then: moved(retail, nobody, bob, retail, north, bob)},
		"a deactivated client":                     {World: world, Given: append(at(retail, north, nobody), Deactivated{"x"}), When: Assign{DeskID: set(south)}, Then: moved(retail, north, nobody, retail, south, nobody)},
		"to where it is":                           {World: world, Given: at(retail, north, bob), When: Assign{set(retail), set(north), set(bob), "no reason"}},
		"with nothing said":                        {World: world, Given: at(retail, north, bob), When: Assign{}},
		"with nothing said, manager since gone":    {World: world, Given: at(retail, north, cem), When: Assign{}},
		"off a manager who has since gone":         {World: world, Given: at(retail, north, cem), When: Assign{ManagerID: set(nobody)}, Then: moved(retail, north, cem, retail, north, nobody)},
		"to a desk, when the manager has gone too": {World: world, Given: at(retail, nobody, cem), When: Assign{DeskID: set(north)}, Err: fault("manager_id", "not_assigned")},
	})
}

func TestRetag(t *testing.T) {
	given := []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, []string{"b", "d"}}}
	full := []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, tags(100)}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                           {When: Retag{Add: []string{"a"}}, Err: ErrAbsent},
		"a deactivated client":             {Given: append(given, Deactivated{"x"}), When: Retag{Add: []string{"a"}}, Err: ErrDeactivated},
		"an empty tag":                     {Given: given, When: Retag{Add: []string{"a", ""}, Remove: []string{"\t"}}, Err: faults(fault("add[1]", "required"), fault("remove[0]", "required"))},
		"a tag that is too long":           {Given: given, When: Retag{Add: []string{strings.Repeat("x", 51)}}, Err: fault("add[0]", "too_long")},
		"the same tag to and from":         {Given: given, When: Retag{Add: []string{"a"}, Remove: []string{" a"}}, Err: fault("remove", "contradiction")},
		"more than there is room for":      {Given: full, When: Retag{Add: []string{"one more"}}, Err: fault("add", "too_many")},
		"more at once than there are":      {Given: given, When: Retag{Add: tags(101)}, Err: fault("add", "too_many")},
		"one for another when full":        {Given: full, When: Retag{Add: []string{"one more"}, Remove: []string{"tag 000"}}, Then: []Event{Retagged{[]string{"one more"}, []string{"tag 000"}}}},
		"add and remove":                   {Given: given, When: Retag{Add: []string{"c", "a", "c "}, Remove: []string{"d"}}, Then: []Event{Retagged{[]string{"a", "c"}, []string{"d"}}}},
		"only what changes is told":        {Given: given, When: Retag{Add: []string{"a", "b"}, Remove: []string{"c", "d"}}, Then: []Event{Retagged{[]string{"a"}, []string{"d"}}}},
		"what is there, and what is not":   {Given: given, When: Retag{Add: []string{"b"}, Remove: []string{"c"}}},
		"nothing":                          {Given: given, When: Retag{}},
		"a tag in capitals is another one": {Given: given, When: Retag{Add: []string{"B"}}, Then: []Event{Retagged{Added: []string{"B"}}}},
	})
}

func tags(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("tag %03d", i)
	}
	return tags
}

func TestStatus(t *testing.T) {
	given := []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, nil}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of nobody":               {When: ChangeStatus{Status: Active}, Err: ErrAbsent},
		"of a deactivated client": {Given: append(given, Deactivated{"x"}), When: ChangeStatus{Status: Active}, Err: ErrDeactivated},
		"to none":                 {Given: given, When: ChangeStatus{}, Err: fault("status", "unknown")},
		"to one there is not":     {Given: given, When: ChangeStatus{Status: "Active"}, Err: fault("status", "unknown")},
		"to active":               {Given: given, When: ChangeStatus{Status: Active}, Then: []Event{StatusChanged{From: Lead, To: Active}}},
		"to inactive":             {Given: given, When: ChangeStatus{Status: Inactive}, Then: []Event{StatusChanged{From: Lead, To: Inactive}}},
		"back to lead":            {Given: append(given, StatusChanged{From: Lead, To: Active}), When: ChangeStatus{Status: Lead}, Then: []Event{StatusChanged{From: Active, To: Lead}}},
		"to what it is":           {Given: given, When: ChangeStatus{Status: Lead}},
	})
}

func TestDeactivation(t *testing.T) {
	given := []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, nil}}
	off := append(given, Deactivated{"moved away"})
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of nobody":                      {When: Deactivate{"x"}, Err: ErrAbsent},
		"without a reason":               {Given: given, When: Deactivate{}, Err: fault("reason", "required")},
		"with a reason of nothing":       {Given: given, When: Deactivate{" \n\u200b"}, Err: fault("reason", "required")},
		"with a reason that is too long": {Given: given, When: Deactivate{strings.Repeat("x", 1001)}, Err: fault("reason", "too_long")},
		"with a reason that is no text":  {Given: given, When: Deactivate{"a\x00"}, Err: fault("reason", "control_character")},
		"reactivating nobody":            {When: Reactivate{}, Err: ErrAbsent},
		"with a reason":                  {Given: given, When: Deactivate{"moved away\r\n"}, Then: []Event{Deactivated{"moved away"}}},
		"again":                          {Given: off, When: Deactivate{"still away"}},
		"taken back":                     {Given: off, When: Reactivate{}, Then: []Event{Reactivated{}}},
		"taken back when there is none":  {Given: given, When: Reactivate{}},
		"once more":                      {Given: append(off, Reactivated{}), When: Deactivate{"x"}, Then: []Event{Deactivated{"x"}}},
		"an edit after it is taken back": {Given: append(off, Reactivated{}), When: ChangeStatus{Status: Active}, Then: []Event{StatusChanged{From: Lead, To: Active}}},
	})
}

// TestDeactivationKeepsEverything: what was known before is known during and after.
func TestDeactivationKeepsEverything(t *testing.T) {
	before := Aggregate.Evolve(State{}, Registered{lee, Assignment{retail, north, bob}, Active, []string{"vip"}})
	during := Aggregate.Evolve(before, Deactivated{"x"})
	if !during.Deactivated || !during.Details.same(before.Details) || during.Assignment != before.Assignment || during.Status != Active || len(during.Tags) != 1 {
		t.Errorf("deactivated: %+v, was %+v", during, before)
	}
	if after := Aggregate.Evolve(during, Reactivated{}); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("reactivated: %+v, was %+v", after, before)
	}
}

func allButView() []domain.Grant {
	rights := domain.AllRights()
	delete(rights, domain.ClientsView)
	return rights.Grants()
}

// TestUnseen: for somebody who may not see a client, no command can tell that it
// exists, whatever state it is in and whatever is wrong with the command.
func TestUnseen(t *testing.T) {
	commands := []Command{
		Edit{map[string]any{"x": "y"}},
		Assign{ProjectID: set(nothing)},
		HandOver{ann, nothing},
		Retag{Add: []string{""}},
		ChangeStatus{Status: "?"},
		Deactivate{},
		Reactivate{},
	}
	there := []Event{Registered{lee, Assignment{retail, south, ann}, Lead, nil}}
	cases := map[string]domaintest.Case[Command, Event]{}
	for _, c := range commands {
		for name, by := range map[string]domain.Authority{
			"without rights":        {ID: ann, Rights: domain.Rights{}, Scope: domain.ScopeOf(ids(retail), ids(south))},
			"who may all but view":  {ID: ann, Rights: domain.RightsOf(allButView()...), Scope: domain.ScopeOf(ids(retail), ids(south))},
			"of nothing":            idle,
			"of another project":    as(cem, role.ProjectAdmin, ids(wholesale), ids(harbour)),
			"of another desk":       bobManager,
			"who keeps a desk only": as(ann, role.DeskManager, nil, ids(south)), // a desk without its project is none
			"who was the manager":   as(ann, role.Agent, ids(retail), ids(north)),
			"who is a key":          as(nobody, role.Agent, ids(retail), ids(north)),
		} {
			cases[fmt.Sprintf("%T by somebody %s", c, name)] = domaintest.Case[Command, Event]{World: world, By: by, Given: there, When: c, Err: ErrAbsent}
			cases[fmt.Sprintf("%T when deactivated by somebody %s", c, name)] = domaintest.Case[Command, Event]{World: world, By: by, Given: append(there, Deactivated{"x"}), When: c, Err: ErrAbsent}
		}
		cases[fmt.Sprintf("%T of a client that is not there", c)] = domaintest.Case[Command, Event]{World: world, When: c, Err: ErrAbsent}
	}
	domaintest.Run(t, Aggregate, cases)
}

func TestRefs(t *testing.T) {
	s := Aggregate.Evolve(State{}, Registered{lee, Assignment{retail, north, bob}, Lead, nil})
	for name, c := range map[string]struct {
		when Command
		want int
	}{
		"register, project only": {Register{ProjectID: retail}, 2},
		"register, all":          {Register{ProjectID: retail, DeskID: set(north), ManagerID: set(bob)}, 4},
		"assign looks at all":    {Assign{DeskID: set(south)}, 3},
		"off desk and manager":   {Assign{DeskID: set(nobody), ManagerID: set(nobody)}, 1},
		"to nobody":              {HandOver{bob, nobody}, 2},
		"to another":             {HandOver{bob, ann}, 3},
		"edit":                   {Edit{}, 0},
		"retag":                  {Retag{}, 1},
		"status":                 {ChangeStatus{}, 1},
		"register with tags":     {Register{ProjectID: retail, Tags: []string{"vip"}}, 3},
		"register with a person": {Register{ProjectID: retail, Details: Details{Custom: map[string]any{"advisor": ann.String()}}}, 4},
		"edit custom fields":     {Edit{map[string]any{"custom": map[string]any{"colour": "red"}}}, 1},
		"edit with a person":     {Edit{map[string]any{"custom": map[string]any{"advisor": ann.String()}}}, 3},
		"empty custom fields":    {Edit{map[string]any{"custom": nil}}, 1},
		"custom fields, wrongly": {Edit{map[string]any{"custom": 5.0}}, 0},
		"deactivate":             {Deactivate{}, 0},
		"reactivate":             {Reactivate{}, 0},
	} {
		if got := Aggregate.Refs(s, c.when); len(got) != c.want {
			t.Errorf("%s: %d refs, want %d", name, len(got), c.want)
		}
	}
}
