package inbox_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/domaintest"
	"annals/domain/imported"
	. "annals/domain/inbox"
	"annals/domain/note"
	"annals/domain/request"
)

var (
	ann, bob        = uuid.UUID{0x30}, uuid.UUID{0x31}
	one, two, third = uuid.UUID{0x01}, uuid.UUID{0x02}, uuid.UUID{0x03}
	mine            = domain.Authority{ID: ann, Rights: domain.Rights{}}
	fault           = func(field, code string) error { return domain.Fault(field, code, "") }
	many            = func(n int) (ids []domain.ID) {
		for range n {
			ids = append(ids, uuid.New())
		}
		return ids
	}
)

func TestReading(t *testing.T) {
	read := Read{Notifications: []domain.ID{one, two}, Through: 7}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of another":          {By: mine, ID: bob, When: MarkRead{IDs: []domain.ID{one}}, Err: ErrNotYours},
		"by a key":            {By: domain.Authority{Behalf: ann, Rights: domain.AllRights()}, ID: ann, When: MarkRead{IDs: []domain.ID{one}}, Err: ErrNotYours},
		"of nobody, by a key": {By: domain.Authority{Rights: domain.AllRights()}, When: MarkRead{Through: 7}, Err: ErrNotYours},
		"too many":            {By: mine, ID: ann, When: MarkRead{IDs: many(501)}, Err: fault("ids", "too_many")},
		"before the log":      {By: mine, ID: ann, When: MarkRead{Through: -1}, Err: fault("through", "out_of_range")},
		"nothing":             {By: mine, ID: ann, When: MarkRead{}},
		"some":                {By: mine, ID: ann, When: MarkRead{IDs: []domain.ID{one, one}}, Then: []Event{Read{Notifications: []domain.ID{one}}}},
		"all":                 {By: mine, ID: ann, When: MarkRead{Through: 7}, Then: []Event{Read{Through: 7}}},
		"again":               {By: mine, ID: ann, Given: []Event{read}, When: MarkRead{IDs: []domain.ID{two}, Through: 7}},
		"more":                {By: mine, ID: ann, Given: []Event{read}, When: MarkRead{IDs: []domain.ID{two, third}, Through: 8}, Then: []Event{Read{Notifications: []domain.ID{third}, Through: 8}}},
	})
}

func TestPreferences(t *testing.T) {
	set := func(p Preferences) Command { return SetPreferences{p} }
	given := []Event{PreferencesChanged{Preferences{Due: Email, Request: None}}}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of another":        {By: mine, ID: bob, When: set(Preferences{Due: None}), Err: ErrNotYours},
		"what there is not": {By: mine, ID: ann, When: set(Preferences{"gossip": None, Due: "pigeon"}), Err: (&domain.Faults{fault("gossip", "unknown"), fault("due", "unknown")}).Err()},
		"first":             {By: mine, ID: ann, When: set(Preferences{Due: Email, Mentioned: Page}), Then: []Event{PreferencesChanged{Preferences{Due: Email}}}},
		"others stay":       {By: mine, ID: ann, Given: given, When: set(Preferences{Assigned: None}), Then: []Event{PreferencesChanged{Preferences{Due: Email, Request: None, Assigned: None}}}},
		"back to the page":  {By: mine, ID: ann, Given: given, When: set(Preferences{Due: Page}), Then: []Event{PreferencesChanged{Preferences{Request: None}}}},
		"what they are":     {By: mine, ID: ann, Given: given, When: set(Preferences{Due: Email, Overdue: Page})},
		"nothing":           {By: mine, ID: ann, When: set(nil)},
	})
}

// Only the last that were read are remembered, however many there are.
func TestStateIsBounded(t *testing.T) {
	var s State
	for range 10 {
		s = Aggregate.Evolve(s, Read{Notifications: many(300)})
	}
	last := many(500)
	s = Aggregate.Evolve(s, Read{Notifications: last})
	if got, err := Aggregate.Decide(s, MarkRead{IDs: last}, nil, domain.Meta{By: mine, Aggregate: ann}); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func TestNotices(t *testing.T) {
	managed := func(id domain.ID) client.Assignment { return client.Assignment{ProjectID: one, ManagerID: id} }
	for name, c := range map[string]struct {
		event any
		actor domain.ID
		want  []Notice
	}{
		"a client":              {client.Registered{Assignment: managed(ann)}, bob, []Notice{{ann, Assigned}}},
		"a client of one's own": {client.Registered{Assignment: managed(ann)}, ann, nil},
		"a client of nobody":    {client.Registered{}, bob, nil},
		"another client":        {client.Reassigned{From: managed(bob), To: managed(ann)}, bob, []Notice{{ann, Assigned}}},
		"a client that moves":   {client.Reassigned{From: managed(ann), To: client.Assignment{ProjectID: two, ManagerID: ann}}, bob, nil},
		"a client taken away":   {client.Reassigned{From: managed(ann), To: managed(domain.ID{})}, bob, nil},
		"an action":             {action.Added{Details: action.Details{AssigneeID: ann}, Mentions: []domain.ID{ann, third, bob}}, bob, []Notice{{ann, Assigned}, {third, Mentioned}}},
		"an action handed over": {action.Changed{From: action.Details{AssigneeID: third}, To: action.Details{AssigneeID: ann}}, bob, []Notice{{ann, Assigned}}},
		"a reminder":            {action.Reminded{AssigneeID: ann}, domain.System, []Notice{{ann, Due}}},
		"what is late":          {action.FellDue{AssigneeID: ann}, domain.System, []Notice{{ann, Overdue}}},
		"what nobody does":      {action.FellDue{}, domain.System, nil},
		"a request":             {request.Opened{AssigneeID: ann, ManagerID: third}, bob, []Notice{{ann, Request}, {third, Request}}},
		"a request to one":      {request.Opened{AssigneeID: ann, ManagerID: ann}, bob, []Notice{{ann, Request}}},
		"a request handed over": {request.Assigned{From: bob, To: ann}, bob, []Notice{{ann, Assigned}}},
		"an answer":             {request.StatusChanged{Mentions: []domain.ID{ann}}, bob, []Notice{{ann, Mentioned}}},
		"a note":                {note.Added{Mentions: []domain.ID{ann, bob}}, bob, []Notice{{ann, Mentioned}}},
		"a note, edited":        {note.Edited{Mentions: []domain.ID{ann}}, bob, []Notice{{ann, Mentioned}}},
		"a call":                {call.Logged{Mentions: []domain.ID{ann}}, bob, []Notice{{ann, Mentioned}}},
		"a call, edited":        {call.Edited{Mentions: []domain.ID{ann}}, bob, []Notice{{ann, Mentioned}}},
		"one's own import":      {imported.Finished{EmployeeID: ann}, ann, []Notice{{ann, ImportFinished}}},
		"one's own, by a key":   {imported.Finished{EmployeeID: ann}, two, []Notice{{ann, ImportFinished}}},
		"what concerns nobody":  {client.Reactivated{}, bob, nil},
	} {
		if diff := cmp.Diff(c.want, Notices(c.event, c.actor)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	ids := []domain.ID{Notice{ann, Assigned}.ID(one), Notice{bob, Assigned}.ID(one), Notice{ann, Mentioned}.ID(one), Notice{ann, Assigned}.ID(two)}
	slices.SortFunc(ids, domain.CompareIDs)
	if len(slices.Compact(ids)) != 4 || !slices.Contains(ids, Notice{ann, Assigned}.ID(one)) {
		t.Error(ids)
	}
}
