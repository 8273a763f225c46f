package action_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
)

var (
	of      = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	project = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	mira    = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	tom     = uuid.MustParse("00000000-0000-4000-8000-000000000002")
	now     = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

	world = domain.World{domain.Ref{Category: domain.Client, ID: of}: client.Aggregate.Evolve(client.State{}, client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Petrova"}, Assignment: client.Assignment{ProjectID: project},
	})}
)

func who(id, project domain.ID) domain.Authority {
	return domain.Authority{ID: id, Rights: domain.Rights{domain.ClientsView: domain.InProjects}, Scope: domain.ScopeOf([]domain.ID{project}, nil)}
}

func to(c action.Command, people ...attached.People) attached.To[action.Command] {
	a := attached.To[action.Command]{Client: of, Command: c}
	for _, p := range people {
		a.People = p
	}
	return a
}

type example = domaintest.Case[attached.To[action.Command], action.Event]

func run(t *testing.T, cases map[string]example) {
	t.Helper()
	for name, c := range cases {
		if c.World, c.At = world, now; c.Given == nil {
			c.Given = []action.Event{}
		}
		cases[name] = c
	}
	domaintest.Run(t, action.Aggregate, cases)
}

func in(d time.Duration) time.Time { return now.Add(d) }

func TestAdding(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) domain.Field[time.Time] { return domain.Set(in(d)) }
	task := func(d action.Details, mentions ...domain.ID) []action.Event {
		if d.Type == "" {
			d.Type = action.Task
		}
		return []action.Event{action.Added{ClientID: of, Details: d, Mentions: mentions}}
	}
	run(t, map[string]example{
		"a task":              {When: to(action.Add{Title: " Send  it "}), Then: task(action.Details{Title: "Send it"})},
		"a call":              {When: to(action.Add{Type: action.Call, Title: "x"}), Then: task(action.Details{Type: action.Call, Title: "x"})},
		"a type of one's own": {When: to(action.Add{Type: "site_visit", Title: "x"}), Then: task(action.Details{Type: "site_visit", Title: "x"})},
		"a type that is none": {When: to(action.Add{Type: "Site visit", Title: "x"}), Err: domain.Fault("type", "word", "")},
		"without a title":     {When: to(action.Add{}), Err: domain.Fault("title", "required", "")},
		"too long a title":    {When: to(action.Add{Title: strings.Repeat("x", 201)}), Err: domain.Fault("title", "too_long", "")},
		"too long a text":     {When: to(action.Add{Title: "x", Text: strings.Repeat("x", 20_001)}), Err: domain.Fault("text", "too_long", "")},
		"due":                 {When: to(action.Add{Title: "x", DueAt: at(time.Hour)}), Then: task(action.Details{Title: "x", DueAt: in(time.Hour)})},
		"due elsewhere":       {When: to(action.Add{Title: "x", DueAt: domain.Set(in(time.Hour).In(time.FixedZone("", 7200)).Add(time.Nanosecond))}), Then: task(action.Details{Title: "x", DueAt: in(time.Hour)})},
		"due already":         {When: to(action.Add{Title: "x", DueAt: at(-time.Hour)}), Then: task(action.Details{Title: "x", DueAt: in(-time.Hour)})},
		"due before clocks":   {When: to(action.Add{Title: "x", DueAt: at(-100 * 366 * 24 * time.Hour)}), Err: domain.Fault("due_at", "past", "")},
		"reminding just now":  {When: to(action.Add{Title: "x", RemindAt: at(-time.Second)}), Then: task(action.Details{Title: "x", RemindAt: in(-time.Second)})},
		"due in an age":       {When: to(action.Add{Title: "x", DueAt: at(101 * 366 * 24 * time.Hour)}), Err: domain.Fault("due_at", "too_far", "")},
		"reminding alone":     {When: to(action.Add{Title: "x", RemindAt: at(time.Hour)}), Then: task(action.Details{Title: "x", RemindAt: in(time.Hour)})},
		"reminding in time":   {When: to(action.Add{Title: "x", DueAt: at(time.Hour), RemindAt: at(time.Hour)}), Then: task(action.Details{Title: "x", DueAt: in(time.Hour), RemindAt: in(time.Hour)})},
		"reminding late":      {When: to(action.Add{Title: "x", DueAt: at(time.Hour), RemindAt: at(2 * time.Hour)}), Err: domain.Fault("remind_at", "order", "")},
		"reminding of what has been": {
			When: to(action.Add{Title: "x", RemindAt: at(-time.Hour), DueAt: at(-time.Hour)}),
			Err:  domain.Fault("remind_at", "past", ""),
		},
		"for somebody": {
			When: to(action.Add{Title: "x", AssigneeID: domain.Set(mira)}, attached.People{Assignee: who(mira, project)}),
			Then: task(action.Details{Title: "x", AssigneeID: mira}),
		},
		"for somebody who sees nothing": {
			When: to(action.Add{Title: "x", AssigneeID: domain.Set(mira)}, attached.People{Assignee: who(mira, uuid.New())}), Err: domain.Fault("assignee_id", "no_access", ""),
		},
		"for nobody there is": {When: to(action.Add{Title: "x", AssigneeID: domain.Set(mira)}), Err: domain.Fault("assignee_id", "no_access", "")},
		"for somebody else": {
			When: to(action.Add{Title: "x", AssigneeID: domain.Set(mira)}, attached.People{Assignee: who(tom, project)}), Err: domain.Fault("assignee_id", "no_access", ""),
		},
		"mentioning": {
			When: to(action.Add{Title: "x", Text: "@tom"}, attached.People{Mentions: []attached.Mention{{Typed: "@tom", Who: []domain.Authority{who(tom, project)}}}}),
			Then: task(action.Details{Title: "x", Text: "@tom"}, tom),
		},
		"twice": {Given: task(action.Details{Title: "x"}), When: to(action.Add{Title: "x"}), Err: domain.Errorf(domain.Conflict, "action.exists", "")},
	})
}

func TestChanging(t *testing.T) {
	t.Parallel()
	was := action.Details{Type: action.Task, Title: "Send it", Text: "all", DueAt: in(2 * time.Hour), RemindAt: in(time.Hour), AssigneeID: mira}
	given := []action.Event{action.Added{ClientID: of, Details: was}}
	late := []action.Event{action.Added{ClientID: of, Details: action.Details{Type: action.Task, Title: "x", DueAt: in(-time.Hour), RemindAt: in(-2 * time.Hour)}}}
	done := append(given, action.Done{Outcome: "Sent"})
	changed := func(from, to action.Details) []action.Event {
		return []action.Event{action.Changed{From: from, To: to}}
	}
	type d = action.Details
	at := func(d time.Duration) domain.Field[time.Time] { return domain.Set(in(d)) }
	never, nobody := domain.Field[time.Time]{Set: true}, domain.Field[domain.ID]{Set: true}
	absent := domain.Errorf(domain.NotFound, "action.absent", "")
	run(t, map[string]example{
		"nothing":                  {Given: given, When: to(action.Change{})},
		"to the same":              {Given: given, When: to(action.Change{Title: domain.Set("Send  it"), DueAt: at(2 * time.Hour), AssigneeID: domain.Set(mira)})},
		"title":                    {Given: given, When: to(action.Change{Title: domain.Set("Sell it")}), Then: changed(d{Title: "Send it"}, d{Title: "Sell it"})},
		"no title":                 {Given: given, When: to(action.Change{Title: domain.Set("")}), Err: domain.Fault("title", "required", "")},
		"no text":                  {Given: given, When: to(action.Change{Text: domain.Set("")}), Then: changed(d{Text: "all"}, d{})},
		"type":                     {Given: given, When: to(action.Change{Type: domain.Set("email")}), Then: changed(d{Type: action.Task}, d{Type: action.Email})},
		"no type":                  {Given: given, When: to(action.Change{Type: domain.Set("")}), Err: domain.Fault("type", "required", "")},
		"due later":                {Given: given, When: to(action.Change{DueAt: at(3 * time.Hour)}), Then: changed(d{DueAt: in(2 * time.Hour)}, d{DueAt: in(3 * time.Hour)})},
		"due before the reminder":  {Given: given, When: to(action.Change{DueAt: at(time.Minute)}), Err: domain.Fault("due_at", "order", "")},
		"reminding later":          {Given: given, When: to(action.Change{RemindAt: at(3 * time.Hour)}), Err: domain.Fault("remind_at", "order", "")},
		"never due":                {Given: given, When: to(action.Change{DueAt: never}), Then: changed(d{DueAt: in(2 * time.Hour)}, d{})},
		"never reminding":          {Given: given, When: to(action.Change{RemindAt: never}), Then: changed(d{RemindAt: in(time.Hour)}, d{})},
		"into the past":            {Given: given, When: to(action.Change{RemindAt: at(-time.Hour)}), Err: domain.Fault("remind_at", "past", "")},
		"what is late":             {Given: late, When: to(action.Change{Title: domain.Set("y"), DueAt: at(-time.Hour)}), Then: changed(d{Title: "x"}, d{Title: "y"})},
		"for nobody":               {Given: given, When: to(action.Change{AssigneeID: nobody}), Then: changed(d{AssigneeID: mira}, d{})},
		"for another":              {Given: given, When: to(action.Change{AssigneeID: domain.Set(tom)}, attached.People{Assignee: who(tom, project)}), Then: changed(d{AssigneeID: mira}, d{AssigneeID: tom})},
		"for another who may not":  {Given: given, When: to(action.Change{AssigneeID: domain.Set(tom)}, attached.People{Assignee: who(tom, of)}), Err: domain.Fault("assignee_id", "no_access", "")},
		"of who may not any more":  {Given: given, When: to(action.Change{Title: domain.Set("y"), AssigneeID: domain.Set(mira)}), Then: changed(d{Title: "Send it"}, d{Title: "y"})},
		"title of what is done":    {Given: done, When: to(action.Change{Title: domain.Set("y")}), Then: changed(d{Title: "Send it"}, d{Title: "y"})},
		"date of what is done":     {Given: done, When: to(action.Change{DueAt: at(3 * time.Hour)}), Err: action.ErrDone},
		"assignee of what is done": {Given: done, When: to(action.Change{AssigneeID: nobody}), Err: action.ErrDone},
		"what is not":              {When: to(action.Change{Title: domain.Set("y")}), Err: absent},
		"what was deleted":         {Given: append(given, action.Deleted{}), When: to(action.Change{Title: domain.Set("y")}), Err: absent},
	})
}

func TestDone(t *testing.T) {
	t.Parallel()
	due, remind := in(2*time.Hour), in(time.Hour)
	given := []action.Event{action.Added{ClientID: of, Details: action.Details{Type: action.Task, Title: "x", DueAt: due, RemindAt: remind, AssigneeID: mira}}}
	with := func(more ...action.Event) []action.Event { return append(given[:1:1], more...) }
	later := in(5 * time.Hour)
	moved := action.Changed{From: action.Details{DueAt: due, RemindAt: remind}, To: action.Details{DueAt: later, RemindAt: later}}
	run(t, map[string]example{
		"done":                         {Given: given, When: to(action.Finish{Outcome: " Sent "}), Then: []action.Event{action.Done{Outcome: "Sent"}}},
		"done again":                   {Given: with(action.Done{Outcome: "Sent"}), When: to(action.Finish{})},
		"done again alike":             {Given: with(action.Done{Outcome: "Sent"}), When: to(action.Finish{Outcome: "Sent"})},
		"done again otherwise":         {Given: with(action.Done{Outcome: "Sent"}), When: to(action.Finish{Outcome: "Lost"}), Err: action.ErrDone},
		"too much to say":              {Given: given, When: to(action.Finish{Outcome: strings.Repeat("x", 5001)}), Err: domain.Fault("outcome", "too_long", "")},
		"reopened":                     {Given: with(action.Done{}), When: to(action.Reopen{}), Then: []action.Event{action.Reopened{}}},
		"reopened while open":          {Given: given, When: to(action.Reopen{})},
		"deleted":                      {Given: given, When: to(action.Delete{}), Then: []action.Event{action.Deleted{}}},
		"deleted again":                {Given: with(action.Deleted{}), When: to(action.Delete{})},
		"done after it was deleted":    {Given: with(action.Deleted{}), When: to(action.Finish{}), Err: domain.Errorf(domain.NotFound, "action.absent", "")},
		"reminded":                     {Given: given, When: to(action.Remind{At: remind}), Then: []action.Event{action.Reminded{AssigneeID: mira, At: remind}}},
		"reminded again":               {Given: with(action.Reminded{AssigneeID: mira, At: remind}), When: to(action.Remind{At: remind})},
		"reminded when it is done":     {Given: with(action.Done{}), When: to(action.Remind{At: remind})},
		"reminded when it is deleted":  {Given: with(action.Deleted{}), When: to(action.Remind{At: remind})},
		"reminded of another time":     {Given: with(moved), When: to(action.Remind{At: remind})},
		"reminded of the time that is": {Given: with(moved), When: to(action.Remind{At: later.In(time.FixedZone("", 3600))}), Then: []action.Event{action.Reminded{AssigneeID: mira, At: later}}},
		"reminded after reopening":     {Given: with(action.Done{}, action.Reopened{}), When: to(action.Remind{At: remind}), Then: []action.Event{action.Reminded{AssigneeID: mira, At: remind}}},
		"falling due":                  {Given: given, When: to(action.FallDue{At: due}), Then: []action.Event{action.FellDue{AssigneeID: mira, At: due}}},
		"falling due again":            {Given: with(action.FellDue{AssigneeID: mira, At: due}), When: to(action.FallDue{At: due})},
		"falling due when done":        {Given: with(action.Done{}), When: to(action.FallDue{At: due})},
		"falling due at another time":  {Given: with(moved), When: to(action.FallDue{At: due})},
		"falling due that never does":  {Given: []action.Event{action.Added{ClientID: of, Details: action.Details{Title: "x"}}}, When: to(action.FallDue{At: due})},
		"falling due at no time":       {Given: []action.Event{action.Added{ClientID: of, Details: action.Details{Title: "x"}}}, When: to(action.FallDue{})},
	})
}
