package client

import (
	"maps"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/domaintest"
	"annals/domain/field"
	"annals/domain/project"
	"annals/domain/tag"
)

// known is the world with definitions in it: of a tag that was called vip and is called
// key account now, of fields, and of how the clients of retail change.
var known = func() domain.World {
	w := maps.Clone(world)
	one, two, three := uuid.UUID{0x50}, uuid.UUID{0x51}, uuid.UUID{0x52}
	var tags tag.State
	for _, e := range []tag.Event{
		tag.Defined{TagID: one, Settings: tag.Settings{Name: "vip"}},
		tag.Changed{TagID: one, From: tag.Settings{Name: "vip"}, To: tag.Settings{Name: "Key account"}},
		tag.Defined{TagID: two, Settings: tag.Settings{Name: "A-customer"}},
		tag.Merged{TagID: two, Into: one},
	} {
		tags = tag.Aggregate.Evolve(tags, e)
	}
	w[tag.Ref()] = tags
	var fields field.State
	for _, e := range []field.Event{
		field.Defined{FieldID: one, Key: "size", Type: field.Number, Settings: field.Settings{Label: "Size"}},
		field.Defined{FieldID: two, Key: "advisor", Type: field.Employee, Settings: field.Settings{Label: "Advisor"}},
		field.Defined{FieldID: three, Key: "origin", Type: field.Text, ProjectID: wholesale, Settings: field.Settings{Label: "Origin", Required: true}},
	} {
		fields = field.Aggregate.Evolve(fields, e)
	}
	w[field.Ref()] = fields
	at := domain.Ref{Category: domain.Project, ID: retail}
	w[at] = project.Aggregate.Evolve(domain.Look[project.State](w, at), project.TransitionsChanged{To: project.Transitions{"lead": {"active"}, "active": {"inactive"}}})
	return w
}()

// TestTagsByKey: tags are called what people call them, and stored by their keys.
func TestTagsByKey(t *testing.T) {
	at := func(tags ...string) []Event {
		return []Event{Registered{lee, Assignment{ProjectID: retail}, Lead, tags}}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"registered by any of its names": {World: known, When: Register{Details: lee, ProjectID: retail, Tags: []string{"key account", "VIP", "a-customer", "Berlin"}}, Then: at("Berlin", "vip")},
		"added by its name":              {World: known, Given: at(), When: Retag{Add: []string{"Key Account"}}, Then: []Event{Retagged{Added: []string{"vip"}}}},
		"added again":                    {World: known, Given: at("vip"), When: Retag{Add: []string{"Key account", "vip"}}},
		"added under a merged name":      {World: known, Given: at("A-customer"), When: Retag{Add: []string{"Key account"}}},
		"removed by its name":            {World: known, Given: at("Berlin", "vip"), When: Retag{Remove: []string{"key account"}}, Then: []Event{Retagged{Removed: []string{"vip"}}}},
		"removed with what it became":    {World: known, Given: at("A-customer", "vip"), When: Retag{Remove: []string{"Key account"}}, Then: []Event{Retagged{Removed: []string{"A-customer", "vip"}}}},
		"removed, which there is not":    {World: known, Given: at("Berlin"), When: Retag{Remove: []string{"Key account"}}},
		"added and removed":              {World: known, Given: at(), When: Retag{Add: []string{"vip"}, Remove: []string{"key account"}}, Err: fault("remove", "contradiction")},
		"of nobody's definition":         {World: known, Given: at(), When: Retag{Add: []string{"Vienna"}}, Then: []Event{Retagged{Added: []string{"Vienna"}}}},
	})
}

// TestCustom: values of fields that people have defined.
func TestCustom(t *testing.T) {
	custom := func(values map[string]any) Details {
		d := lee
		d.Custom = values
		return d
	}
	at := func(values map[string]any) []Event {
		return []Event{Registered{custom(values), Assignment{ProjectID: retail}, Lead, nil}}
	}
	edit := func(values any) Edit { return Edit{map[string]any{"custom": values}} }
	sized := map[string]any{"size": "42", "advisor": ann.String()}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"registered":              {World: known, When: Register{Details: custom(map[string]any{"size": "42", "advisor": ann.String()}), ProjectID: retail}, Then: at(sized)},
		"registered with faults":  {World: known, When: Register{Details: custom(map[string]any{"size": "big", "advisor": nothing.String(), "x": 1.0}), ProjectID: retail}, Err: faults(fault("custom.advisor", "absent"), fault("custom.size", "number"), fault("custom.x", "unknown_field"))},
		"registered, all at once": {World: known, When: Register{Details: Details{Email: "x", Custom: map[string]any{"x": 1.0}}, ProjectID: retail}, Err: faults(fault("email", "email"), fault("last_name", "required"), fault("custom.x", "unknown_field"))},
		"of another project":      {World: known, When: Register{Details: custom(map[string]any{"origin": "x"}), ProjectID: retail}, Err: fault("custom.origin", "unknown_field")},
		"required, left out":      {World: known, When: Register{Details: lee, ProjectID: wholesale}, Err: fault("custom.origin", "required")},
		"edited":                  {World: known, Given: at(sized), When: edit(map[string]any{"size": "43"}), Then: []Event{Edited{Details{Custom: map[string]any{"size": "42"}}, Details{Custom: map[string]any{"size": "43"}}}}},
		"edited to the same":      {World: known, Given: at(sized), When: edit(map[string]any{"size": "42"})},
		"one away":                {World: known, Given: at(sized), When: edit(map[string]any{"size": nil}), Then: []Event{Edited{From: Details{Custom: map[string]any{"size": "42"}}}}},
		"all away":                {World: known, Given: at(sized), When: edit(nil), Then: []Event{Edited{From: Details{Custom: sized}}}},
		"no object":               {World: known, Given: at(sized), When: edit("x"), Err: fault("custom", "type")},
		"something else":          {World: known, Given: at(map[string]any{"gone": "x"}), When: Edit{map[string]any{"title": "Dr."}}, Then: []Event{Edited{To: Details{Title: "Dr."}}}},
	})
}

// TestTransitions: how the clients of a project change, which does not hold for others.
func TestTransitions(t *testing.T) {
	at := func(project domain.ID, s Status) []Event {
		return []Event{Registered{lee, Assignment{ProjectID: project}, s, nil}}
	}
	refused := domain.Errorf(domain.Conflict, "client.transition", "")
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"as it is allowed":     {World: known, Given: at(retail, Lead), When: ChangeStatus{Active, " signed"}, Then: []Event{StatusChanged{Lead, Active, "signed"}}},
		"as it is not":         {World: known, Given: at(retail, Lead), When: ChangeStatus{Status: Inactive}, Err: refused},
		"to what it is":        {World: known, Given: at(retail, Inactive), When: ChangeStatus{Inactive, "again"}},
		"of another project":   {World: known, Given: at(wholesale, Inactive), When: ChangeStatus{Status: Lead}, Then: []Event{StatusChanged{From: Inactive, To: Lead}}},
		"to none, for nothing": {World: known, Given: at(retail, Lead), When: ChangeStatus{"x", "a\x00"}, Err: faults(fault("status", "unknown"), fault("reason", "control_character"))},
	})
}
