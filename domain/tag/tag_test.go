package tag_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	"annals/domain/project"
	"annals/domain/role"
	. "annals/domain/tag"
)

var (
	everywhere        = domain.ID{}
	retail, wholesale = domain.ID{1}, domain.ID{2}
	vip, old, gold    = domain.ID{11}, domain.ID{12}, domain.ID{13}

	world = domain.World{{Category: domain.Project, ID: retail}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"})}
)

// as is somebody with a built-in role in these projects.
func as(name string, projects ...domain.ID) domain.Authority {
	b, _ := role.Named(name)
	return domain.Authority{ID: uuid.UUID{9}, Rights: b.Rights, Scope: domain.ScopeOf(projects, nil)}
}

func define(project, id domain.ID, name string) Define {
	return Define{id, domain.Set(project), Settings{Name: name}}
}

func defined(project, id domain.ID, name string) Defined {
	return Defined{id, project, Settings{Name: name}}
}

func renamed(id domain.ID, from, to string) Changed {
	return Changed{id, everywhere, Settings{Name: from}, Settings{Name: to}}
}

func fault(field, code string) *domain.Error { return domain.Fault(field, code, "") }

type Map = map[string]any

func TestTags(t *testing.T) {
	given := []Event{
		defined(everywhere, vip, "VIP"), defined(everywhere, old, "Old"), defined(retail, gold, "Shop"),
		renamed(old, "Old", "Former"),
	}
	merged := append(slices.Clone(given), Merged{old, everywhere, vip})
	head, elsewhere, agent := as(role.ProjectAdmin, retail), as(role.ProjectAdmin, wholesale), as(role.Agent, retail)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"defining":                            {When: Define{vip, domain.Field[domain.ID]{}, Settings{" V I  P ", " #1A7F37", "Who?\n"}}, Then: []Event{Defined{vip, everywhere, Settings{"V I P", "#1a7f37", "Who?"}}}},
		"defining for a project":              {Given: given, World: world, By: head, When: define(retail, domain.ID{20}, "x"), Then: []Event{defined(retail, domain.ID{20}, "x")}},
		"defining as an agent":                {World: world, By: agent, When: define(retail, vip, "x"), Err: domain.ErrForbidden},
		"defining for all, from a project":    {By: head, When: define(everywhere, vip, "x"), Err: domain.OutOfReach("project_id", "project")},
		"defining for a project from another": {By: elsewhere, World: world, When: define(retail, vip, "x"), Err: domain.OutOfReach("project_id", "project")},
		"defining for no project":             {World: world, When: define(domain.ID{7}, vip, "x"), Err: fault("project_id", "unknown")},
		"defining twice":                      {Given: given, When: define(everywhere, vip, "x"), Err: domain.Errorf(domain.Conflict, "tag.exists", "")},
		"defining without a name":             {When: define(everywhere, vip, " "), Err: fault("name", "required")},
		"defining with everything wrong": {When: Define{vip, domain.Field[domain.ID]{}, Settings{strings.Repeat("ä", 51), "red", strings.Repeat("ä", 501)}}, Err: errors.Join(
			fault("name", "too_long"), fault("colour", "malformed"), fault("description", "too_long"),
		)},
		"defining what there is, in other case":   {Given: given, When: define(everywhere, domain.ID{20}, "vip"), Err: fault("name", "taken")},
		"defining what one was called":            {Given: given, When: define(everywhere, domain.ID{20}, "OLD"), Err: fault("name", "taken")},
		"defining what a project has":             {Given: given, When: define(everywhere, domain.ID{20}, "Shop"), Then: []Event{defined(everywhere, domain.ID{20}, "Shop")}},
		"defining in a project what all have":     {Given: given, World: world, When: define(retail, domain.ID{20}, "VIP"), Then: []Event{defined(retail, domain.ID{20}, "VIP")}},
		"renaming":                                {Given: given, When: Change{vip, Map{"name": " Gold "}}, Then: []Event{renamed(vip, "VIP", "Gold")}},
		"renaming to what it is":                  {Given: given, When: Change{vip, Map{"name": "VIP", "colour": ""}}},
		"renaming in case only":                   {Given: given, When: Change{vip, Map{"name": "vip"}}, Then: []Event{renamed(vip, "VIP", "vip")}},
		"renaming to what it was":                 {Given: given, When: Change{old, Map{"name": "Old"}}, Then: []Event{renamed(old, "Former", "Old")}},
		"renaming to what another is":             {Given: given, When: Change{vip, Map{"name": "former"}}, Err: fault("name", "taken")},
		"renaming to what another was":            {Given: given, When: Change{vip, Map{"name": "old"}}, Err: fault("name", "taken")},
		"renaming to what it was merged with":     {Given: merged, When: Change{vip, Map{"name": "Old"}}, Then: []Event{renamed(vip, "VIP", "Old")}},
		"renaming to nothing":                     {Given: given, When: Change{vip, Map{"name": nil}}, Err: fault("name", "required")},
		"changing colour and description":         {Given: given, When: Change{vip, Map{"colour": "#FFFFFF", "description": "d"}}, Then: []Event{Changed{vip, everywhere, Settings{Name: "VIP"}, Settings{"VIP", "#ffffff", "d"}}}},
		"changing to a colour that is none":       {Given: given, When: Change{vip, Map{"colour": "#fff"}}, Err: fault("colour", "malformed")},
		"changing what cannot be":                 {Given: given, When: Change{vip, Map{"key": "x"}}, Err: fault("key", "unknown_field")},
		"changing what there is not":              {Given: given, When: Change{domain.ID{20}, Map{"name": "x"}}, Err: ErrAbsent},
		"changing what one does not see":          {Given: given, By: elsewhere, When: Change{gold, Map{"name": "x"}}, Err: ErrAbsent},
		"changing what is for all, in a project":  {Given: given, By: head, When: Change{vip, Map{"name": "x"}}, Err: domain.ErrForbidden},
		"changing in one's project":               {Given: given, By: head, When: Change{gold, Map{"name": "x"}}, Then: []Event{Changed{gold, retail, Settings{Name: "Shop"}, Settings{Name: "x"}}}},
		"changing as an agent":                    {Given: given, By: agent, When: Change{gold, Map{"name": "x"}}, Err: domain.ErrForbidden},
		"changing what was merged":                {Given: merged, When: Change{old, Map{"name": "x"}}, Err: ErrMerged},
		"merging":                                 {Given: given, When: Merge{old, vip}, Then: []Event{Merged{old, everywhere, vip}}},
		"merging again":                           {Given: merged, When: Merge{old, vip}},
		"merging into what was merged":            {Given: append(slices.Clone(merged), defined(everywhere, domain.ID{20}, "Gold")), When: Merge{domain.ID{20}, old}, Then: []Event{Merged{domain.ID{20}, everywhere, vip}}},
		"merging with itself":                     {Given: given, When: Merge{vip, vip}, Err: fault("into", "same")},
		"merging in a circle":                     {Given: merged, When: Merge{vip, old}, Err: fault("into", "same")},
		"merging elsewhere what was merged":       {Given: append(slices.Clone(merged), defined(everywhere, domain.ID{20}, "x")), When: Merge{old, domain.ID{20}}, Err: ErrMerged},
		"merging into nothing":                    {Given: given, When: Merge{ID: vip}, Err: fault("into", "required")},
		"merging into what there is not":          {Given: given, When: Merge{vip, domain.ID{20}}, Err: fault("into", "unknown")},
		"merging into another project's":          {Given: given, When: Merge{vip, gold}, Err: fault("into", "unknown")},
		"merging into what is retired":            {Given: append(slices.Clone(given), Retired{vip, everywhere}), When: Merge{old, vip}, Err: fault("into", "retired")},
		"merging what one does not see":           {Given: given, By: elsewhere, When: Merge{gold, vip}, Err: ErrAbsent},
		"merging what is for all, from a project": {Given: given, By: head, When: Merge{old, vip}, Err: domain.ErrForbidden},
		"retiring":                   {Given: given, When: Retire{vip}, Then: []Event{Retired{vip, everywhere}}},
		"retiring twice":             {Given: append(slices.Clone(given), Retired{vip, everywhere}), When: Retire{vip}},
		"retiring what was merged":   {Given: merged, When: Retire{old}, Err: ErrMerged},
		"retiring what there is not": {Given: given, When: Retire{domain.ID{20}}, Err: ErrAbsent},
		"restoring":                  {Given: append(slices.Clone(given), Retired{vip, everywhere}), When: Restore{vip}, Then: []Event{Restored{vip, everywhere}}},
		"restoring what is in use":   {Given: given, When: Restore{vip}},
		"defining what is retired":   {Given: append(slices.Clone(given), Retired{vip, everywhere}), When: define(everywhere, domain.ID{20}, "VIP"), Err: fault("name", "taken")},
	})
}

func folded(events ...Event) (s State) {
	for _, e := range events {
		s = Aggregate.Evolve(s, e)
	}
	return s
}

// What a name means and what a key is called, for clients of each project.
func TestKeysAndLabels(t *testing.T) {
	s := folded(
		defined(everywhere, vip, "VIP"), renamed(vip, "VIP", "Gold"), // called Gold, stored as VIP
		defined(everywhere, old, "Old"), Merged{old, everywhere, vip},
		defined(everywhere, domain.ID{20}, "Loyal"),
		defined(retail, gold, "premium"), Changed{gold, retail, Settings{Name: "premium"}, Settings{Name: "gold"}}, // Retail's own of the same name
		defined(retail, domain.ID{21}, "Loyal"), Changed{domain.ID{21}, retail, Settings{}, Settings{Name: "Stays"}}, // whose key is another's
		defined(wholesale, domain.ID{22}, "vip"), Changed{domain.ID{22}, wholesale, Settings{}, Settings{Name: "Small"}}, // under whose key is another
	)
	for _, c := range []struct {
		project          domain.ID
		name, key, label string
	}{
		{everywhere, "VIP", "VIP", "Gold"},
		{everywhere, "gold", "VIP", "Gold"},
		{everywhere, "OLD", "VIP", "Gold"},
		{everywhere, "Loyal", "Loyal", "Loyal"},
		{everywhere, "premium", "premium", "premium"}, // not known there
		{everywhere, "nobody's", "nobody's", "nobody's"},
		{domain.ID{3}, "old", "VIP", "Gold"},
		{retail, "Gold", "premium", "gold"},
		{retail, "Premium", "premium", "gold"},
		{retail, "VIP", "premium", "gold"}, // all that is called Gold is Retail's
		{retail, "Old", "premium", "gold"},
		{retail, "loyal", "Loyal", "Stays"},
		{wholesale, "VIP", "vip", "Small"},
		{wholesale, "Gold", "Gold", "Gold"}, // its key would be Small
		{wholesale, "old", "Gold", "Gold"},
		{wholesale, "loyal", "Loyal", "Loyal"},
	} {
		if key := s.Key(c.project, c.name); key != c.key {
			t.Errorf("%q in %v is %q, want %q", c.name, c.project, key, c.key)
		}
		if label := s.Label(c.project, c.key); label != c.label {
			t.Errorf("%q in %v is called %q, want %q", c.key, c.project, label, c.label)
		}
	}
	// Keys that stand on clients from before, and undefined ones, which stay exactly as they are.
	for key, label := range map[string]string{"Old": "Gold", "old": "old", "Gold": "Gold", "GOLD": "GOLD", "": ""} {
		if got := s.Label(everywhere, key); got != label {
			t.Errorf("%q is called %q, want %q", key, got, label)
		}
	}
	keys := []string{"Gold", "Old", "VIP", "vip", "x"}
	for name, want := range map[string]string{"gold": "Gold Old VIP", "Old": "Gold Old VIP", "vip": "Gold Old VIP vip", "x": "x", "X": "", "Loyal": ""} {
		if got := strings.Join(s.Stored(everywhere, keys, name), " "); got != want {
			t.Errorf("%q is stored as %q, want %q", name, got, want)
		}
	}
}

func TestMost(t *testing.T) {
	var s State
	id := func(i int) domain.ID { return domain.ID{50, byte(i >> 8), byte(i)} }
	for i := range 1000 {
		s = Aggregate.Evolve(s, defined(retail, id(i), uuid.NewString()))
	}
	decide := func(c Command) []*domain.Error {
		_, err := Aggregate.Decide(s, c, world, domain.Meta{By: domain.Root})
		return domain.All(err)
	}
	if all := decide(define(retail, vip, "x")); len(all) != 1 || all[0].Code != "too_many" {
		t.Errorf("one more: %v", all)
	}
	if all := decide(define(everywhere, vip, "x")); all != nil {
		t.Errorf("for all: %v", all)
	}
	for range 99 {
		s = Aggregate.Evolve(s, Changed{id(1), retail, Settings{}, Settings{Name: uuid.NewString()}})
	}
	if all := decide(Change{id(1), Map{"name": "y"}}); len(all) != 1 || all[0].Code != "too_many" {
		t.Errorf("one name more: %v", all)
	}
	if all := decide(Change{id(1), Map{"colour": "#000000"}}); all != nil {
		t.Errorf("another colour: %v", all)
	}
}
