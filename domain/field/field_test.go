package field_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	. "annals/domain/field"
	"annals/domain/project"
	"annals/domain/role"
)

var (
	retail, wholesale = domain.ID{1}, domain.ID{2}
	one, two, three   = domain.ID{11}, domain.ID{12}, domain.ID{13}

	world = domain.World{
		{Category: domain.Project, ID: retail}:    project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
		{Category: domain.Project, ID: wholesale}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Wholesale"}),
	}
)

// as is somebody with a built-in role in these projects.
func as(name string, projects ...domain.ID) domain.Authority {
	b, _ := role.Named(name)
	return domain.Authority{ID: uuid.UUID{9}, Rights: b.Rights, Scope: domain.ScopeOf(projects, nil)}
}

func of(project domain.ID, id domain.ID, key string, t Type, s Settings) Define {
	if s.Label == "" {
		s.Label = key
	}
	return Define{ID: id, ProjectID: domain.Set(project), Key: key, Type: t, Settings: s}
}

func defined(c Define) Defined { return Defined{c.ID, c.ProjectID.Value, c.Key, c.Type, c.Settings} }

func fault(field, code string) *domain.Error { return domain.Fault(field, code, "") }

func TestDefine(t *testing.T) {
	all := domain.ID{}
	options := []Option{{Key: "silver", Label: "Silver"}, {Key: "gold", Label: "Gold"}}
	given := []Event{
		defined(of(all, one, "tier", Text, Settings{})), defined(of(retail, two, "shop", Text, Settings{})),
		Retired{two, retail},
	}
	refused := func(s Settings, typ Type, field, code string) domaintest.Case[Command, Event] {
		return domaintest.Case[Command, Event]{When: of(all, three, "x", typ, s), Err: fault(field, code)}
	}
	accepted := func(c Define) domaintest.Case[Command, Event] {
		return domaintest.Case[Command, Event]{Given: given, World: world, When: c, Then: []Event{defined(c)}}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"by an agent":                         {By: as(role.Agent, retail), World: world, When: of(retail, three, "x", Text, Settings{}), Err: domain.ErrForbidden},
		"for all by who manages one project":  {By: as(role.ProjectAdmin, retail), World: world, When: of(all, three, "x", Text, Settings{}), Err: domain.OutOfReach("project_id", "project")},
		"for a project by who has another":    {By: as(role.ProjectAdmin, wholesale), World: world, When: of(retail, three, "x", Text, Settings{}), Err: domain.OutOfReach("project_id", "project")},
		"for a project that there is not":     {World: world, When: of(domain.ID{7}, three, "x", Text, Settings{}), Err: fault("project_id", "unknown")},
		"by who manages the project":          {By: as(role.ProjectAdmin, retail), World: world, When: of(retail, three, "x", Text, Settings{}), Then: []Event{defined(of(retail, three, "x", Text, Settings{}))}},
		"twice":                               {Given: given, When: of(all, one, "x", Text, Settings{}), Err: domain.Errorf(domain.Conflict, "field.exists", "")},
		"a key for all that is there for all": {Given: given, When: of(all, three, "tier", Date, Settings{}), Err: fault("key", "taken")},
		"a key for all of a project's field":  {Given: given, When: of(all, three, "shop", Text, Settings{}), Err: fault("key", "taken")},
		"a key of a project that is for all":  {Given: given, World: world, When: of(retail, three, "tier", Text, Settings{}), Err: fault("key", "taken")},
		"a key of a field that is retired":    {Given: given, World: world, When: of(retail, three, "shop", Text, Settings{}), Err: fault("key", "taken")},
		"a key that another project has":      accepted(of(wholesale, three, "shop", Number, Settings{})),
		"a key with capitals":                 {When: of(all, three, "Tier", Text, Settings{}), Err: fault("key", "malformed")},
		"a key that begins with a digit":      {When: of(all, three, "1st", Text, Settings{}), Err: fault("key", "malformed")},
		"a key that is too long":              {When: of(all, three, "a"+strings.Repeat("b", 50), Text, Settings{}), Err: fault("key", "malformed")},
		"the longest key":                     accepted(of(all, three, "a"+strings.Repeat("b", 49), Text, Settings{})),
		"of a type that there is not":         {When: of(all, three, "x", "colour", Settings{}), Err: fault("type", "unknown")},
		"everything wrong at once": {World: world, When: Define{ID: three, ProjectID: domain.Set(domain.ID{7}), Key: "", Type: "", Settings: Settings{}}, Err: join(
			fault("project_id", "unknown"), fault("key", "malformed"), fault("type", "unknown"))},
		"without a label":          {When: Define{ID: three, Key: "x", Type: Text}, Err: fault("label", "required")},
		"with long texts":          {When: of(all, three, "x", Text, Settings{Label: strings.Repeat("ä", 101), Help: strings.Repeat("ä", 1001), Group: strings.Repeat("ä", 101)}), Err: join(fault("label", "too_long"), fault("help", "too_long"), fault("group", "too_long"))},
		"far away":                 refused(Settings{Order: 100_001}, Text, "order", "range"),
		"with options for a text":  refused(Settings{Options: options}, Text, "options", "not_allowed"),
		"without a choice":         refused(Settings{}, OneOf, "options", "required"),
		"with retired options":     refused(Settings{Options: []Option{{"a", "A", true}}}, SeveralOf, "options", "required"),
		"with an option twice":     refused(Settings{Options: []Option{{Key: "a", Label: "A"}, {Key: "A", Label: "B"}}}, OneOf, "options[1].key", "repeated"),
		"with a label twice":       refused(Settings{Options: []Option{{Key: "a", Label: "A"}, {Key: "b", Label: " a"}}}, OneOf, "options[1].label", "repeated"),
		"with a bad option":        refused(Settings{Options: []Option{{Key: "a b", Label: "A"}}}, OneOf, "options[0].key", "malformed"),
		"with a nameless option":   refused(Settings{Options: []Option{{Key: "a"}}}, OneOf, "options[0].label", "required"),
		"with 201 options":         refused(Settings{Options: make([]Option, 201)}, OneOf, "options", "too_many"),
		"with a choice":            accepted(of(all, three, "x", OneOf, Settings{Options: options, Default: "gold"})),
		"with a default of others": refused(Settings{Options: options, Default: "tin"}, OneOf, "default", "option"),
		"with a default of a type": refused(Settings{Default: 12.5}, Text, "default", "type"),
		"with somebody as default": refused(Settings{Default: uuid.NewString()}, Employee, "default", "not_allowed"),
		"with a default typed carelessly": {
			When: of(all, three, "x", Money, Settings{Default: " 012.5 eur"}),
			Then: []Event{defined(of(all, three, "x", Money, Settings{Default: map[string]any{"amount": "12.50", "currency": "EUR"}}))},
		},
		"with all settings": accepted(of(all, three, "x", SeveralOf, Settings{"X", "Help\nyourself", "Group", -7, true, true, []any{"silver", "gold"}, options})),
	})
}

func join(all ...*domain.Error) error {
	var f domain.Faults
	for _, e := range all {
		f.Add(e)
	}
	return f.Err()
}

func TestChange(t *testing.T) {
	silver, gold := Option{Key: "silver", Label: "Silver"}, Option{Key: "gold", Label: "Gold"}
	was := Settings{Label: "Tier", Help: "Which?", Order: 3, Required: true, Default: "silver", Options: []Option{silver, gold}}
	given := []Event{defined(of(retail, one, "tier", OneOf, was)), defined(of(domain.ID{}, two, "name", Text, Settings{}))}
	to := func(change func(*Settings)) []Event {
		s := was
		change(&s)
		return []Event{Changed{one, retail, was, s}}
	}
	options := func(all ...Map) []any {
		var list []any
		for _, m := range all {
			list = append(list, m)
		}
		return list
	}
	k := func(key, label string) Map { return Map{"key": key, "label": label} }
	patch := func(m Map) Change { return Change{one, m} }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of what there is not":              {Given: given, When: Change{three, Map{"label": "x"}}, Err: ErrAbsent},
		"of a project one does not see":     {Given: given, By: as(role.ProjectAdmin, wholesale), When: patch(Map{"label": "x"}), Err: ErrAbsent},
		"of a project one may only see":     {Given: given, By: as(role.Agent, retail), When: patch(Map{"label": "x"}), Err: domain.ErrForbidden},
		"of one for all, from a project":    {Given: given, By: as(role.ProjectAdmin, retail), When: Change{two, Map{"label": "x"}}, Err: domain.ErrForbidden},
		"by who manages the project":        {Given: given, By: as(role.ProjectAdmin, retail), When: patch(Map{"label": "x"}), Then: to(func(s *Settings) { s.Label = "x" })},
		"of nothing":                        {Given: given, When: patch(nil)},
		"to what it is":                     {Given: given, When: patch(Map{"label": " Tier ", "order": 3.0, "default": "Silver"})},
		"of key and type":                   {Given: given, When: patch(Map{"key": "x", "type": "text"}), Err: join(fault("key", "unknown_field"), fault("type", "unknown_field"))},
		"with values of other types":        {Given: given, When: patch(Map{"label": 1.0, "order": 1.5, "options": "x", "required": "yes"}), Err: join(fault("label", "type"), fault("options", "type"), fault("order", "type"), fault("required", "type"))},
		"with an option that says too much": {Given: given, When: patch(Map{"options": options(Map{"key": "silver", "label": "S", "colour": "red"})}), Err: fault("options", "type")},
		"to no label":                       {Given: given, When: patch(Map{"label": nil}), Err: fault("label", "required")},
		"to no help, default, need":         {Given: given, When: patch(Map{"help": nil, "default": nil, "required": nil}), Then: to(func(s *Settings) { s.Help, s.Default, s.Required = "", nil, false })},
		"an option more, others moved":      {Given: given, When: patch(Map{"options": options(k("gold", "Gold"), k("tin", "Tin"), k("silver", "Silver"))}), Then: to(func(s *Settings) { s.Options = []Option{gold, {Key: "tin", Label: "Tin"}, silver} })},
		"an option relabelled":              {Given: given, When: patch(Map{"options": options(k("silver", "Argent"), k("gold", "Gold"))}), Then: to(func(s *Settings) { s.Options = []Option{{Key: "silver", Label: "Argent"}, gold} })},
		"an option left out":                {Given: given, When: patch(Map{"options": options(k("silver", "Silver"))}), Err: fault("options", "missing")},
		"all options emptied":               {Given: given, When: patch(Map{"options": nil}), Err: join(fault("options", "required"), fault("options", "missing"), fault("options", "missing"))},
		"an option retired":                 {Given: given, When: patch(Map{"options": options(k("silver", "Silver"), Map{"key": "gold", "label": "Gold", "retired": true})}), Then: to(func(s *Settings) { s.Options = []Option{silver, {"gold", "Gold", true}} })},
		"the default's option retired":      {Given: given, When: patch(Map{"options": options(Map{"key": "silver", "label": "Silver", "retired": true}, k("gold", "Gold"))}), Err: fault("default", "option")},
		"to another default":                {Given: given, When: patch(Map{"default": "gold"}), Then: to(func(s *Settings) { s.Default = "gold" })},
		"to a default that is none":         {Given: given, When: patch(Map{"default": "tin"}), Err: fault("default", "option")},
		"retiring":                          {Given: given, When: Retire{one}, Then: []Event{Retired{one, retail}}},
		"retiring twice":                    {Given: append(given, Retired{one, retail}), When: Retire{one}},
		"retiring what there is not":        {Given: given, When: Retire{three}, Err: ErrAbsent},
		"retiring from elsewhere":           {Given: given, By: as(role.ProjectAdmin, wholesale), When: Retire{one}, Err: ErrAbsent},
		"restoring":                         {Given: append(given, Retired{one, retail}), When: Restore{one}, Then: []Event{Restored{one, retail}}},
		"restoring what is in use":          {Given: given, When: Restore{one}},
		"restoring what there is not":       {Given: given, When: Restore{three}, Err: ErrAbsent},
		"changing what is retired":          {Given: append(given, Retired{one, retail}), When: patch(Map{"order": 4.0}), Then: to(func(s *Settings) { s.Order = 4 })},
	})
}

type Map = map[string]any

// A change decides on a copy: what others hold of the definition stays as it was.
func TestChangeLeavesTheStateAlone(t *testing.T) {
	s := State{}
	for _, e := range []Event{defined(of(retail, one, "tier", OneOf, Settings{Options: []Option{{Key: "a", Label: "A"}, {Key: "b", Label: "B"}}}))} {
		s = Aggregate.Evolve(s, e)
	}
	patch := Map{"options": []any{Map{"key": "b", "label": "Z"}, Map{"key": "a", "label": "Y"}}}
	events, err := Aggregate.Decide(s, Change{one, patch}, nil, domain.Meta{By: domain.Root})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.For(retail)[0].Options; o[0] != (Option{Key: "a", Label: "A"}) || o[1] != (Option{Key: "b", Label: "B"}) {
		t.Errorf("a decision changed the state: %v", o)
	}
	after := Aggregate.Evolve(s, events[0])
	if o := s.For(retail)[0].Options; o[0].Label != "A" || after.For(retail)[0].Options[0].Label != "Z" {
		t.Errorf("an event changed the state before it: %v", o)
	}
}

func TestFor(t *testing.T) {
	var s State
	for _, e := range []Event{
		defined(of(domain.ID{}, one, "z", Text, Settings{})), defined(of(retail, two, "b", Text, Settings{Order: -1})),
		defined(of(retail, three, "a", Text, Settings{})), defined(of(wholesale, domain.ID{14}, "a", Text, Settings{})),
		defined(of(domain.ID{}, domain.ID{15}, "c", Text, Settings{Order: 5})),
		Retired{FieldID: domain.ID{15}},
	} {
		s = Aggregate.Evolve(s, e)
	}
	for project, want := range map[domain.ID]string{{}: "z", retail: "b a z", wholesale: "a z", {7}: "z"} {
		var keys []string
		for _, d := range s.For(project) {
			keys = append(keys, d.Key)
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("for %v: %s, want %s", project, got, want)
		}
	}
}

// There are as many as a list can show, and not one more.
func TestMost(t *testing.T) {
	var s State
	for i := range 1000 {
		s = Aggregate.Evolve(s, defined(of(retail, domain.ID{0: 200, 14: byte(i >> 8), 15: byte(i)}, "k"+uuid.NewString(), Text, Settings{})))
	}
	decide := func(project domain.ID) error {
		_, err := Aggregate.Decide(s, of(project, one, "x", Text, Settings{}), world, domain.Meta{By: domain.Root})
		return err
	}
	if all := domain.All(decide(retail)); len(all) != 1 || all[0].Code != "too_many" {
		t.Errorf("one more: %v", all)
	}
	if err := decide(wholesale); err != nil {
		t.Errorf("in another project: %v", err)
	}
}
