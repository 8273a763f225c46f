package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	"annals/domain/project"
	. "annals/domain/view"
)

func id(n byte) domain.ID { return domain.ID{15: n} }

func fault(field, code string) error { return domain.Fault(field, code, "") }

func forbidden(field, code string) error {
	return &domain.Error{Kind: domain.Forbidden, Code: code, Field: field}
}

// There are project 5 with desk 6, and project 7 with desk 8.
var (
	world = domain.World{
		{Category: domain.Project, ID: id(5)}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "North"}),
		{Category: domain.Project, ID: id(7)}: project.Aggregate.Evolve(project.State{}, project.Created{Name: "South"}),
		{Category: domain.Desk, ID: id(6)}:    desk.State{ProjectID: id(5)},
		{Category: domain.Desk, ID: id(8)}:    desk.State{ProjectID: id(7)},
	}
	here   = domain.ScopeOf([]domain.ID{id(5)}, []domain.ID{id(6)})
	agent  = domain.Authority{ID: id(1), Rights: domain.Rights{domain.ClientsView: domain.OnDesks}, Scope: here}
	head   = domain.Authority{ID: id(1), Rights: domain.Rights{domain.ViewsShare: domain.OnDesks}, Scope: here}
	boss   = domain.Authority{ID: id(1), Rights: domain.Rights{domain.ViewsShare: domain.InProjects}, Scope: here}
	admin  = domain.Authority{ID: id(2), Rights: domain.AllRights()}
	keeper = domain.Authority{ID: id(2), Rights: domain.Rights{domain.SettingsManage: domain.Everywhere}}
	mate   = domain.Authority{ID: id(3), Rights: domain.Rights{domain.ViewsShare: domain.InProjects}, Scope: here}
	other  = domain.Authority{ID: id(4), Rights: domain.Rights{domain.ClientsView: domain.Everywhere}}
	key    = domain.Authority{Behalf: id(1), Rights: head.Rights, Scope: here}

	mine = Definition{
		Name: "Leads", Columns: []Column{{Field: "name", Width: 180, Frozen: true}, {Field: "custom.contract"}},
		Filter: json.RawMessage(`{"field":"status","op":"one_of","value":["lead"]}`), Q: "anna", Sort: []string{"-created_at", "name"},
	}
	toDesk    = Shared{With: Desk, ID: id(6)}
	toProject = Shared{With: Project, ID: id(5)}
	toAll     = Shared{With: Everybody}
)

func with(s Shared) Definition {
	d := mine
	d.Shared = s
	return d
}

func made(s Shared) []Event { return []Event{Created{id(1), with(s)}} }

func share(with string, n byte) Edit {
	return Edit{map[string]any{"shared": map[string]any{"with": with, "id": id(n).String()}}}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	elsewhere := with(Shared{With: Desk, ID: id(8)})
	loose := Definition{Name: "  Leads ", Filter: json.RawMessage(` {"op" : "greater", "value": 1.50, "field": "custom.b"} `), Columns: []Column{}, Shared: Shared{With: Nobody}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"a key has none":           {By: key, When: Create{mine}, Err: ErrPeople},
		"twice":                    {By: agent, Given: made(Shared{}), When: Create{mine}, Err: ErrExists},
		"again after its end":      {By: agent, Given: []Event{Created{id(1), mine}, Deleted{}}, When: Create{mine}, Err: ErrExists},
		"one's own":                {By: agent, When: Create{mine}, Then: made(Shared{})},
		"its form":                 {By: agent, When: Create{loose}, Then: []Event{Created{id(1), Definition{Name: "Leads", Filter: json.RawMessage(`{"field":"custom.b","op":"greater","value":1.5}`)}}}},
		"no filter":                {By: agent, When: Create{Definition{Name: "All", Filter: json.RawMessage("null")}}, Then: []Event{Created{id(1), Definition{Name: "All"}}}},
		"sharing takes permission": {By: agent, World: world, When: Create{with(toDesk)}, Err: forbidden("shared.id", "not_assigned")},
		"with a desk":              {By: head, World: world, When: Create{with(toDesk)}, Then: made(toDesk)},
		"with a desk of a project": {By: boss, World: world, When: Create{with(toDesk)}, Then: made(toDesk)},
		"with more than a desk":    {By: head, World: world, When: Create{with(toProject)}, Err: forbidden("shared.id", "not_assigned")},
		"with a project":           {By: boss, World: world, When: Create{with(toProject)}, Then: made(toProject)},
		"with a desk not seen":     {By: boss, World: world, When: Create{elsewhere}, Err: fault("shared.id", "unknown")},
		"with no desk":             {By: boss, World: world, When: Create{with(Shared{With: Desk, ID: id(9)})}, Err: fault("shared.id", "unknown")},
		"with a desk that is seen": {By: domain.Authority{ID: id(1), Rights: domain.Rights{domain.ClientsView: domain.Everywhere, domain.ViewsShare: domain.InProjects}, Scope: here}, World: world, When: Create{elsewhere}, Err: forbidden("shared.id", "not_assigned")},
		"anywhere":                 {By: domain.Authority{ID: id(1), Rights: domain.AllRights()}, World: world, When: Create{elsewhere}, Then: []Event{Created{id(1), elsewhere}}},
		"with everybody":           {By: boss, When: Create{with(toAll)}, Err: forbidden("shared.with", "not_yours")},
		"with everybody, by admin": {By: domain.Authority{ID: id(1), Rights: domain.AllRights()}, When: Create{with(toAll)}, Then: made(toAll)},
		"with whom":                {By: boss, When: Create{with(Shared{With: "friends"})}, Err: fault("shared.with", "unknown")},
		"with which":               {By: boss, When: Create{with(Shared{With: Project})}, Err: fault("shared.id", "required")},
		"with nobody in it":        {By: boss, When: Create{with(Shared{With: Nobody, ID: id(5)})}, Err: fault("shared.id", "not_allowed")},
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	var columns []Column
	var sorts []string
	for i := range 101 {
		columns = append(columns, Column{Field: fmt.Sprintf("custom.c%d", i)})
		sorts = append(sorts, fmt.Sprintf("custom.c%d", i))
	}
	wide := Definition{
		Name: strings.Repeat("ä", 101), Q: "a\x00", Filter: json.RawMessage(`[1]`),
		Columns: []Column{{Field: "name", Width: 19}, {Field: "name"}, {Field: "Name", Width: 2001}, {Field: ""}, {Field: long}},
		Sort:    []string{"name", "-name", "--status", "drop table", "a."},
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"all at once": {By: agent, When: Create{wide}, Err: errors.Join(
			fault("name", "too_long"), fault("q", "control_character"), fault("filter", "type"),
			fault("columns[0].width", "out_of_range"), fault("columns[1].field", "repeated"), fault("columns[2].field", "unknown"), fault("columns[2].width", "out_of_range"),
			fault("columns[3].field", "unknown"), fault("columns[4].field", "too_long"),
			fault("sort[1]", "repeated"), fault("sort[2]", "unknown"), fault("sort[3]", "unknown"), fault("sort[4]", "unknown"))},
		"too many": {By: agent, When: Create{Definition{Columns: columns, Sort: sorts[:9]}}, Err: errors.Join(
			fault("name", "required"), fault("columns", "too_many"), fault("sort", "too_many"))},
		"as many as may be":           {By: agent, When: Create{Definition{Name: "N", Columns: columns[:100], Sort: sorts[:8]}}, Then: []Event{Created{id(1), Definition{Name: "N", Columns: columns[:100], Sort: sorts[:8]}}}},
		"a filter that is large":      {By: agent, When: Create{Definition{Name: "N", Filter: json.RawMessage(`{"a":"` + strings.Repeat("x", 32<<10) + `"}`)}}, Err: fault("filter", "too_long")},
		"a filter that is larger yet": {By: agent, When: Create{Definition{Name: "N", Filter: json.RawMessage(`{"a":"` + strings.Repeat("<", 6<<10) + `"}`)}}, Err: fault("filter", "too_long")},
		"a filter that is no JSON":    {By: agent, When: Create{Definition{Name: "N", Filter: json.RawMessage(`{"a":`)}}, Err: fault("filter", "malformed")},
		"a number beyond all":         {By: agent, When: Create{Definition{Name: "N", Filter: json.RawMessage(`{"a":1e999}`)}}, Err: fault("filter", "malformed")},
		"what is no text":             {By: agent, When: Create{Definition{Name: "N", Filter: json.RawMessage(`{"a":[1,{"\u0000":2}]}`)}}, Err: fault("filter", "control_character")},
		"a patch of other types": {By: agent, Given: made(Shared{}), When: Edit{map[string]any{
			"name": 1.0, "columns": []any{"name", map[string]any{"field": "name", "width": "wide"}, map[string]any{"colour": "red"}},
			"sort": []any{"name", true}, "shared": "all", "filter": "x", "q": []any{}, "owner_id": "me",
		}}, Err: errors.Join(
			fault("columns[0]", "type"), fault("columns[1].width", "type"), fault("columns[2].colour", "unknown_field"), fault("name", "type"),
			fault("owner_id", "unknown_field"), fault("q", "type"), fault("shared", "type"), fault("sort[1]", "type"))},
		"no lists": {By: agent, Given: made(Shared{}), When: Edit{map[string]any{"columns": "name", "sort": 1.0}}, Err: errors.Join(fault("columns", "type"), fault("sort", "type"))},
	})
}

func TestEdit(t *testing.T) {
	t.Parallel()
	renamed := func(s Shared) []Event {
		to := with(s)
		to.Name = "Mine"
		return []Event{Changed{with(s), to}}
	}
	rename := Edit{map[string]any{"name": "Mine"}}
	bare := Definition{Name: "Leads"}
	nulls := Edit{map[string]any{"columns": nil, "filter": nil, "q": nil, "sort": nil, "shared": nil}}
	refiltered := mine
	refiltered.Filter = json.RawMessage(`{"field":"desk","op":"empty"}`)
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"no view":                       {By: agent, When: rename, Err: ErrAbsent},
		"one that was deleted":          {By: agent, Given: append(made(Shared{}), Deleted{}), When: rename, Err: ErrAbsent},
		"another's":                     {By: admin, Given: made(Shared{}), When: rename, Err: ErrAbsent},
		"a key of the owner":            {By: key, Given: made(Shared{}), When: rename, Err: ErrAbsent},
		"a key that sees it":            {By: key, Given: made(toDesk), When: rename, Err: domain.ErrForbidden},
		"shared with one's desk":        {By: mate, Given: made(toDesk), When: rename, Err: domain.ErrForbidden},
		"shared with one's project":     {By: mate, Given: made(toProject), When: rename, Err: domain.ErrForbidden},
		"shared with another's desk":    {By: other, Given: made(toDesk), When: rename, Err: ErrAbsent},
		"shared with another's project": {By: other, Given: made(toProject), When: rename, Err: ErrAbsent},
		"shared with everybody":         {By: other, Given: made(toAll), When: rename, Err: domain.ErrForbidden},
		"by an administrator":           {By: keeper, Given: made(toDesk), When: rename, Then: renamed(toDesk)},
		"by its owner":                  {By: agent, Given: made(Shared{}), When: rename, Then: renamed(Shared{})},
		"by its owner who has left":     {By: domain.Authority{ID: id(1)}, Given: made(toDesk), When: rename, Then: renamed(toDesk)},
		"to what it is":                 {By: agent, Given: made(Shared{}), When: Edit{map[string]any{"name": "Leads", "filter": map[string]any{"field": "status", "op": "one_of", "value": []any{"lead"}}, "shared": map[string]any{"with": "nobody"}}}},
		"to nothing but a name":         {By: agent, Given: made(toDesk), When: nulls, Then: []Event{Changed{with(toDesk), bare}}},
		"without a name":                {By: agent, Given: made(Shared{}), When: Edit{map[string]any{"name": nil}}, Err: fault("name", "required")},
		"another filter, all of it":     {By: agent, Given: made(Shared{}), When: Edit{map[string]any{"filter": map[string]any{"field": "desk", "op": "empty"}}}, Then: []Event{Changed{mine, refiltered}}},
		"sharing it":                    {By: head, World: world, Given: made(Shared{}), When: share(Desk, 6), Then: []Event{Changed{mine, with(toDesk)}}},
		"sharing it elsewhere":          {By: head, World: world, Given: made(toDesk), When: share(Desk, 8), Err: fault("shared.id", "unknown")},
		"sharing it with nobody known":  {By: head, World: world, Given: made(toDesk), When: Edit{map[string]any{"shared": map[string]any{"with": "desk", "id": "x"}}}, Err: fault("shared", "malformed")},
		"deleting another's":            {By: admin, Given: made(Shared{}), When: Delete{}, Err: ErrAbsent},
		"deleting a colleague's":        {By: mate, Given: made(toDesk), When: Delete{}, Err: domain.ErrForbidden},
		"deleting one's own":            {By: agent, Given: made(Shared{}), When: Delete{}, Then: []Event{Deleted{}}},
		"deleting what is shared":       {By: keeper, Given: made(toAll), When: Delete{}, Then: []Event{Deleted{}}},
		"deleting it twice":             {By: agent, Given: append(made(Shared{}), Deleted{}), When: Delete{}, Err: ErrAbsent},
	})
}
