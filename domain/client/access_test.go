package client

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/domain"
	"annals/domain/domaintest"
	"annals/domain/employee"
	"annals/domain/role"
)

// Those who act in these tests are all Bob, who works for retail, on its north desk.
var (
	keyed = as(nobody, role.DeskManager, ids(retail), ids(north)) // a key of his
	none  = domain.Authority{ID: bob, Rights: domain.Rights{}, Scope: domain.ScopeOf(ids(retail), ids(north))}
	blind = domain.Authority{ID: bob, Rights: domain.RightsOf(allButView()...), Scope: domain.ScopeOf(ids(retail), ids(north))}
	// hand sees all of retail and edits what is his; anything else he may do on his desk.
	hand = domain.Authority{ID: bob, Scope: domain.ScopeOf(ids(retail), ids(north)), Rights: domain.Rights{
		domain.ClientsView: domain.InProjects, domain.ClientsEdit: domain.Own, domain.ClientsAssign: domain.OnDesks, domain.ClientsRetag: domain.OnDesks,
		domain.ClientsStatus: domain.OnDesks, domain.ClientsDeactivate: domain.OnDesks,
	}}
)

// TestWho: every command to a client, by everybody, wherever the client belongs. What
// may not be seen is not there; what may be seen but not done is forbidden.
func TestWho(t *testing.T) {
	clients := []struct {
		what string
		at   Assignment
	}{
		{"his own", Assignment{retail, north, bob}},
		{"a colleague's on his desk", Assignment{retail, north, ann}},
		{"nobody's on his desk", Assignment{retail, north, nobody}},
		{"his own without a desk", Assignment{retail, nobody, bob}},
		{"a colleague's without a desk", Assignment{retail, nobody, ann}},
		{"nobody's without a desk", Assignment{retail, nobody, nobody}},
		{"a colleague's on another desk", Assignment{retail, south, ann}},
		{"his own on a desk that he left", Assignment{retail, south, bob}},
		{"another project's", Assignment{wholesale, harbour, cem}},
		{"his own in a project that he left", Assignment{wholesale, nobody, bob}},
	}
	const ok, no, unseen = "ok", "403", "404"
	commands := []struct {
		what string
		when Command
	}{
		{"edit", Edit{map[string]any{"first_name": "Jo"}}},
		{"assign", Assign{ManagerID: set(nobody)}},
		{"hand over", HandOver{bob, nobody}},
		{"retag", Retag{Add: []string{"new"}}},
		{"status", ChangeStatus{Status: Active}},
		{"deactivate", Deactivate{"x"}},
		{"reactivate", Reactivate{}},
	}
	for _, c := range []struct {
		who  string
		by   domain.Authority
		edit []string // what an edit leads to, client by client
		rest []string // and the other commands, where it is something else
	}{
		{who: "an agent", by: bobAgent, edit: []string{ok, no, no, ok, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "a desk manager", by: bobManager, edit: []string{ok, ok, ok, ok, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "a key of a desk manager", by: keyed, edit: []string{ok, ok, ok, unseen, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "a project admin", by: as(bob, role.ProjectAdmin, ids(retail), ids(north)), edit: []string{ok, ok, ok, ok, ok, ok, ok, ok, unseen, unseen}},
		{who: "an auditor", by: as(bob, role.Auditor, ids(retail), ids(north)), edit: []string{no, no, no, no, no, no, no, no, no, no}},
		{who: "an admin", by: as(bob, role.Admin, nil, nil), edit: []string{ok, ok, ok, ok, ok, ok, ok, ok, ok, ok}},
		{who: "somebody without rights", by: none, edit: []string{unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "one who may all but view", by: blind, edit: []string{unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "an agent assigned to nothing", by: as(bob, role.Agent, nil, nil), edit: []string{unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen, unseen}},
		{who: "an agent of a project, no desk", by: as(bob, role.Agent, ids(retail), nil), edit: []string{unseen, unseen, unseen, ok, unseen, unseen, unseen, unseen, unseen, unseen}},
		{
			who: "one with several reaches", by: hand,
			edit: []string{ok, no, no, ok, no, no, no, no, unseen, unseen},
			rest: []string{ok, ok, ok, ok, no, no, no, no, unseen, unseen},
		},
	} {
		for i, at := range clients {
			for _, command := range commands {
				for _, off := range []bool{false, true} {
					want := c.edit[i]
					if c.rest != nil && command.what != "edit" {
						want = c.rest[i]
					}
					s := Aggregate.Evolve(State{}, Registered{lee, at.at, Lead, nil})
					if off {
						s = Aggregate.Evolve(s, Deactivated{"x"})
					}
					_, err := Aggregate.Decide(s, command.when, world, domain.Meta{By: c.by})
					got := ok
					switch {
					case errors.Is(err, ErrAbsent):
						got = unseen
					case errors.Is(err, domain.ErrForbidden):
						got = no
					case off && errors.Is(err, ErrDeactivated):
					case err != nil:
						got = err.Error()
					}
					if got != want {
						t.Errorf("%s by %s, of a client %s (deactivated: %v): %s, want %s", command.what, c.who, at.what, off, got, want)
					}
				}
			}
		}
	}
}

// TestRegisterByWhom: where somebody may register clients, and who becomes their
// manager when nothing is said of it.
func TestRegisterByWhom(t *testing.T) {
	left := domain.Field[domain.ID]{}
	notYours := &domain.Error{Kind: domain.Forbidden, Code: "not_yours", Field: "manager_id"}
	notAssigned := fault("manager_id", "not_assigned")
	head, admin := as(bob, role.ProjectAdmin, ids(retail), ids(north)), as(bob, role.Admin, nil, nil)
	cases := map[string]domaintest.Case[Command, Event]{}
	for _, c := range []struct {
		who     string
		by      domain.Authority
		project domain.ID
		desk    domain.ID
		manager domain.Field[domain.ID]
		then    domain.ID // the manager
		err     error
	}{
		{"an agent, who gets it", bobAgent, retail, north, left, bob, nil},
		{"an agent, who gets it without a desk", bobAgent, retail, nobody, left, bob, nil},
		{"an agent, for himself", bobAgent, retail, north, set(bob), bob, nil},
		{"an agent, for nobody", bobAgent, retail, north, set(nobody), nobody, notYours},
		{"an agent, for nobody without a desk", bobAgent, retail, nobody, set(nobody), nobody, notYours},
		{"an agent, for a colleague", bobAgent, retail, north, set(ann), nobody, notYours},
		{"an agent, on another desk", bobAgent, retail, south, left, nobody, forbidden("desk_id")},
		{"an agent, on a desk that is not there", bobAgent, retail, nothing, left, nobody, forbidden("desk_id")},
		{"an agent, in another project", bobAgent, wholesale, nobody, left, nobody, forbidden("project_id")},
		{"an agent without assignments", as(bob, role.Agent, nil, nil), retail, nobody, left, nobody, forbidden("project_id")},
		{"an agent of a desk, not its project", as(bob, role.Agent, nil, ids(north)), retail, north, left, nobody, forbidden("project_id")},
		{"a desk manager", bobManager, retail, north, left, nobody, nil},
		{"a desk manager, for nobody", bobManager, retail, north, set(nobody), nobody, nil},
		{"a desk manager, for a colleague", bobManager, retail, north, set(ann), ann, nil},
		{"a desk manager, for one who is not of the desk", bobManager, retail, north, set(cem), nobody, notAssigned},
		{"a desk manager, for one there is not", bobManager, retail, north, set(nothing), nobody, notAssigned},
		{"a desk manager, who gets it without a desk", bobManager, retail, nobody, left, bob, nil},
		{"a desk manager, for nobody without a desk", bobManager, retail, nobody, set(nobody), nobody, notYours},
		{"a desk manager, for a colleague without a desk", bobManager, retail, nobody, set(ann), nobody, notYours},
		{"a desk manager, on another desk", bobManager, retail, south, set(ann), nobody, forbidden("desk_id")},
		{"a key of a desk manager", keyed, retail, north, left, nobody, nil},
		{"a key of a desk manager, without a desk", keyed, retail, nobody, left, nobody, notYours},
		{"a project admin, on any desk of it", head, retail, south, left, nobody, nil},
		{"a project admin, without a desk", head, retail, nobody, left, nobody, nil},
		{"a project admin, for a colleague", head, retail, south, set(ann), ann, nil},
		{"a project admin, on a desk of which he is not, for himself", head, retail, south, set(bob), nobody, notAssigned},
		{"a project admin, in another project", head, wholesale, nobody, left, nobody, forbidden("project_id")},
		{"a project admin, in one there is not", head, nothing, nobody, left, nobody, forbidden("project_id")},
		{"a project admin, on another project's desk", head, retail, harbour, left, nobody, forbidden("desk_id")},
		{"a project admin, on a desk there is not", head, retail, nothing, left, nobody, forbidden("desk_id")},
		{"an admin", admin, wholesale, harbour, left, nobody, nil},
		{"an admin, who is assigned to nothing, for himself", admin, wholesale, harbour, set(bob), nobody, notAssigned},
		{"an auditor", as(bob, role.Auditor, ids(retail), ids(north)), retail, north, left, nobody, domain.ErrForbidden},
		{"somebody without rights", none, retail, north, left, nobody, domain.ErrForbidden},
	} {
		one := domaintest.Case[Command, Event]{World: world, By: c.by, When: Register{Details: lee, ProjectID: c.project, DeskID: set(c.desk), ManagerID: c.manager}, Err: c.err}
		if c.err == nil {
			one.Then = []Event{Registered{lee, Assignment{c.project, c.desk, c.then}, Lead, nil}}
		}
		if _, twice := cases[c.who]; twice {
			t.Fatal(c.who)
		}
		cases[c.who] = one
	}
	domaintest.Run(t, Aggregate, cases)
}

// TestAssignByWhom: where somebody may move a client that they may assign.
func TestAssignByWhom(t *testing.T) {
	at := func(project, desk, manager domain.ID) []Event {
		return []Event{Registered{lee, Assignment{project, desk, manager}, Lead, nil}}
	}
	moved := func(p, d, m, p2, d2, m2 domain.ID) []Event {
		return []Event{Reassigned{From: Assignment{p, d, m}, To: Assignment{p2, d2, m2}}}
	}
	notAssigned := fault("manager_id", "not_assigned")
	head := as(bob, role.ProjectAdmin, ids(retail), ids(north))
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"his own to a colleague, by an agent":     {World: world, By: bobAgent, Given: at(retail, north, bob), When: Assign{ManagerID: set(ann)}, Then: moved(retail, north, bob, retail, north, ann)},
		"his own off the desk, by an agent":       {World: world, By: bobAgent, Given: at(retail, north, bob), When: Assign{DeskID: set(nobody)}, Then: moved(retail, north, bob, retail, nobody, bob)},
		"to himself, by an agent":                 {World: world, By: bobAgent, Given: at(retail, north, ann), When: Assign{ManagerID: set(bob)}, Err: domain.ErrForbidden},
		"nobody's to himself, by an agent":        {World: world, By: bobAgent, Given: at(retail, north, nobody), When: Assign{ManagerID: set(bob)}, Err: domain.ErrForbidden},
		"to himself, by a desk manager":           {World: world, By: bobManager, Given: at(retail, north, ann), When: Assign{ManagerID: set(bob)}, Then: moved(retail, north, ann, retail, north, bob)},
		"off the desk, by a desk manager":         {World: world, By: bobManager, Given: at(retail, north, ann), When: Assign{DeskID: set(nobody)}, Then: moved(retail, north, ann, retail, nobody, ann)},
		"to another desk, by a desk manager":      {World: world, By: bobManager, Given: at(retail, north, ann), When: Assign{DeskID: set(south)}, Err: forbidden("desk_id")},
		"to another project, by a desk manager":   {World: world, By: bobManager, Given: at(retail, north, nobody), When: Assign{ProjectID: set(wholesale), DeskID: set(nobody)}, Err: forbidden("project_id")},
		"to one who works elsewhere":              {World: world, By: bobManager, Given: at(retail, north, nobody), When: Assign{ManagerID: set(cem)}, Err: notAssigned},
		"to one there is not":                     {World: world, By: bobManager, Given: at(retail, north, nobody), When: Assign{ManagerID: set(nothing)}, Err: notAssigned},
		"to another desk, by a project admin":     {World: world, By: head, Given: at(retail, north, ann), When: Assign{DeskID: set(south)}, Then: moved(retail, north, ann, retail, south, ann)},
		"to a desk elsewhere, by a project admin": {World: world, By: head, Given: at(retail, north, nobody), When: Assign{DeskID: set(harbour)}, Err: forbidden("desk_id")},
		"to a desk there is not, by one":          {World: world, By: head, Given: at(retail, north, nobody), When: Assign{DeskID: set(nothing)}, Err: forbidden("desk_id")},
		"to another project, by a project admin":  {World: world, By: head, Given: at(retail, nobody, nobody), When: Assign{ProjectID: set(wholesale)}, Err: forbidden("project_id")},
		"to another project, by an admin":         {World: world, By: as(bob, role.Admin, nil, nil), Given: at(retail, nobody, nobody), When: Assign{ProjectID: set(wholesale)}, Then: moved(retail, nobody, nobody, wholesale, nobody, nobody)},
	})
}

func TestHandOver(t *testing.T) {
	at := func(manager domain.ID, more ...Event) []Event {
		return append([]Event{Registered{lee, Assignment{retail, north, manager}, Lead, nil}}, more...)
	}
	moved := func(to domain.ID) []Event {
		return []Event{Reassigned{From: Assignment{retail, north, bob}, To: Assignment{retail, north, to}}}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"none":                             {World: world, When: HandOver{bob, ann}, Err: ErrAbsent},
		"to another":                       {World: world, Given: at(bob), When: HandOver{bob, ann}, Then: moved(ann)},
		"to nobody":                        {World: world, Given: at(bob), When: HandOver{bob, nobody}, Then: moved(nobody)},
		"to the same":                      {World: world, Given: at(bob), When: HandOver{bob, bob}},
		"to one who works elsewhere":       {World: world, Given: at(bob), When: HandOver{bob, cem}, Err: fault("manager_id", "not_assigned")},
		"again":                            {World: world, Given: at(bob, moved(ann)...), When: HandOver{bob, ann}},
		"which has another manager since":  {World: world, Given: at(ann), When: HandOver{bob, nobody}},
		"which is deactivated":             {World: world, Given: at(bob, Deactivated{"x"}), When: HandOver{bob, ann}, Then: moved(ann)},
		"by who may not assign it":         {World: world, By: as(ann, role.Agent, ids(retail), ids(north)), Given: at(bob), When: HandOver{bob, ann}, Err: domain.ErrForbidden},
		"by who may not, and is not asked": {World: world, By: as(ann, role.Agent, ids(retail), ids(north)), Given: at(cem), When: HandOver{bob, ann}, Err: domain.ErrForbidden},
	})
}

// TestEveryCommandNeedsSomething: a command that needs no permission would be
// everybody's.
func TestEveryCommandNeedsSomething(t *testing.T) {
	want := map[string]domain.Permission{
		"client.Register": domain.ClientsCreate, "client.Edit": domain.ClientsEdit, "client.Assign": domain.ClientsAssign, "client.HandOver": domain.ClientsAssign,
		"client.Retag": domain.ClientsRetag, "client.ChangeStatus": domain.ClientsStatus, "client.Deactivate": domain.ClientsDeactivate, "client.Reactivate": domain.ClientsDeactivate,
	}
	for _, c := range []Command{Register{}, Edit{}, Assign{}, HandOver{}, Retag{}, ChangeStatus{}, Deactivate{}, Reactivate{}} {
		if name := fmt.Sprintf("%T", c); c.Needs() != want[name] || want[name] == "" {
			t.Errorf("%s needs %q", name, c.Needs())
		}
	}
}

// TestManagerWhoLeft: whoever leaves, or is deactivated, while they are made the
// manager of a client, does not stay it, and nothing else about it is touched.
func TestManagerWhoLeft(t *testing.T) {
	chosen := Assignment{retail, north, bob}
	for what, c := range map[string]struct {
		event Event
		want  []domain.Ref
	}{
		"registered":               {Registered{Assignment: chosen}, []domain.Ref{{Category: domain.Employee, ID: bob}}},
		"registered with none":     {Registered{Assignment: Assignment{ProjectID: retail}}, nil},
		"assigned":                 {Reassigned{To: chosen}, []domain.Ref{{Category: domain.Employee, ID: bob}}},
		"assigned to none":         {Reassigned{From: chosen}, nil},
		"edited, as anything else": {Edited{}, nil},
	} {
		if diff := cmp.Diff(c.want, Aggregate.Depends(c.event)); diff != "" {
			t.Errorf("%s depends on (-want +got)\n%s", what, diff)
		}
	}
	s := Aggregate.Evolve(State{}, Registered{lee, chosen, Lead, nil})
	who := domain.Ref{Category: domain.Employee, ID: bob}
	for what, e := range map[string]struct {
		now   employee.State
		stays bool
	}{
		"stayed":          {assigned(ids(retail), ids(north)), true},
		"left the desk":   {assigned(ids(retail), nil), false},
		"left it all":     {assigned(nil, nil), false},
		"was deactivated": {employee.Aggregate.Evolve(assigned(ids(retail), ids(north)), employee.Deactivated{}), false},
		"never was":       {employee.State{}, false},
	} {
		w := domain.World{who: e.now} // which is all that is looked at
		c, wrong := Aggregate.Correct(s, w)
		if wrong == e.stays {
			t.Errorf("who %s: to be corrected: %v", what, wrong)
		}
		if !wrong {
			continue
		}
		got, err := Aggregate.Decide(s, c, w, domain.Meta{By: domain.Root})
		if diff := cmp.Diff([]Event{Reassigned{From: chosen, To: Assignment{ProjectID: retail, DeskID: north}}}, got); err != nil || diff != "" {
			t.Errorf("who %s: %v (-want +got)\n%s", what, err, diff)
		}
	}
	if _, wrong := Aggregate.Correct(Aggregate.Evolve(s, Reassigned{From: chosen, To: Assignment{ProjectID: retail}}), nil); wrong {
		t.Error("a client without a manager is corrected")
	}
}
