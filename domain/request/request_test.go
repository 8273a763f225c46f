package request_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
	"annals/domain/request"
)

var (
	of      = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	project = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	mira    = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	tom     = uuid.MustParse("00000000-0000-4000-8000-000000000002")

	world = domain.World{domain.Ref{Category: domain.Client, ID: of}: client.Aggregate.Evolve(client.State{}, client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Petrova"}, Assignment: client.Assignment{ProjectID: project, ManagerID: tom},
	})}
	sees = attached.People{Assignee: domain.Authority{
		ID: mira, Rights: domain.Rights{domain.ClientsView: domain.InProjects}, Scope: domain.ScopeOf([]domain.ID{project}, nil),
	}}
)

func to(c request.Command, people ...attached.People) attached.To[request.Command] {
	a := attached.To[request.Command]{Client: of, Command: c}
	for _, p := range people {
		a.People = p
	}
	return a
}

type example = domaintest.Case[attached.To[request.Command], request.Event]

func run(t *testing.T, cases map[string]example) {
	t.Helper()
	for name, c := range cases {
		c.World = world
		cases[name] = c
	}
	domaintest.Run(t, request.Aggregate, cases)
}

var given = []request.Event{request.Opened{ClientID: of, ManagerID: tom, Subject: "Invoice", Text: "Again"}}

func TestTaking(t *testing.T) {
	t.Parallel()
	run(t, map[string]example{
		"down": {When: to(request.Take{Subject: " In  voice", Text: "Again\r\nplease "}), Then: []request.Event{request.Opened{ClientID: of, ManagerID: tom, Subject: "In voice", Text: "Again\nplease"}}},
		"down for somebody": {
			When: to(request.Take{Subject: "x", Text: "y", AssigneeID: domain.Set(mira)}, sees),
			Then: []request.Event{request.Opened{ClientID: of, ManagerID: tom, AssigneeID: mira, Subject: "x", Text: "y"}},
		},
		"down for nobody there is": {When: to(request.Take{Subject: "x", Text: "y", AssigneeID: domain.Set(mira)}), Err: domain.Fault("assignee_id", "no_access", "")},
		"nothing":                  {When: to(request.Take{}), Err: errors.Join(domain.Fault("subject", "required", ""), domain.Fault("text", "required", ""))},
		"too much": {
			When: to(request.Take{Subject: strings.Repeat("x", 201), Text: strings.Repeat("x", 20_001)}),
			Err:  errors.Join(domain.Fault("subject", "too_long", ""), domain.Fault("text", "too_long", "")),
		},
		"twice":                      {Given: given, When: to(request.Take{Subject: "x", Text: "y"}), Err: domain.Errorf(domain.Conflict, "request.exists", "")},
		"nobody":                     {Given: given, When: to(request.Assign{})},
		"away":                       {Given: append(given[:1:1], request.Assigned{To: mira}), When: to(request.Assign{}), Then: []request.Event{request.Assigned{From: mira}}},
		"on":                         {Given: given, When: to(request.Assign{AssigneeID: domain.Set(mira)}, sees), Then: []request.Event{request.Assigned{To: mira}}},
		"on by somebody who may not": {Given: given, When: to(request.Assign{AssigneeID: domain.Set(tom)}, sees), Err: domain.Fault("assignee_id", "no_access", "")},
		"on what is resolved": {
			Given: append(given[:1:1], request.StatusChanged{From: request.Open, To: request.Resolved}), When: to(request.Assign{AssigneeID: domain.Set(mira)}, sees), Err: request.ErrClosed,
		},
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	legal := map[[2]request.Status]bool{
		{request.Open, request.InProgress}: true, {request.Open, request.Resolved}: true, {request.Open, request.Rejected}: true,
		{request.InProgress, request.Open}: true, {request.InProgress, request.Resolved}: true, {request.InProgress, request.Rejected}: true,
		{request.Resolved, request.Open}: true, {request.Resolved, request.InProgress}: true,
		{request.Rejected, request.Open}: true, {request.Rejected, request.InProgress}: true,
	}
	illegal := domain.Errorf(domain.Conflict, "request.status", "")
	cases := map[string]example{}
	for _, from := range request.Statuses {
		was := given[:1:1]
		if from != request.Open {
			was = append(was, request.StatusChanged{From: request.Open, To: from, Text: "so"})
		}
		for _, next := range request.Statuses {
			c := example{Given: was, When: to(request.ChangeStatus{Status: next, Text: "then"})}
			if c.Err = illegal; legal[[2]request.Status{from, next}] {
				c.Err, c.Then = nil, []request.Event{request.StatusChanged{From: from, To: next, Text: "then"}}
			}
			cases[string(from)+" to "+string(next)] = c
		}
		cases[string(from)+" as it is"] = example{Given: was, When: to(request.ChangeStatus{Status: from})}
	}
	people := func(project domain.ID) attached.People {
		return attached.People{Mentions: []attached.Mention{{Typed: "@mira", Who: []domain.Authority{
			{ID: mira, Rights: domain.Rights{domain.ClientsView: domain.InProjects}, Scope: domain.ScopeOf([]domain.ID{project}, nil)},
		}}}}
	}
	cases["with the same answer"] = example{
		Given: append(given[:1:1], request.StatusChanged{From: request.Open, To: request.Resolved, Text: "so"}), When: to(request.ChangeStatus{Status: request.Resolved, Text: " so"}),
	}
	cases["rejected without a reason"] = example{Given: given, When: to(request.ChangeStatus{Status: request.Rejected, Text: " "}), Err: domain.Fault("text", "required", "")}
	cases["resolved without a word"] = example{Given: given, When: to(request.ChangeStatus{Status: request.Resolved}), Then: []request.Event{request.StatusChanged{From: request.Open, To: request.Resolved}}}
	cases["no status there is"] = example{Given: given, When: to(request.ChangeStatus{Status: "lost"}), Err: domain.Fault("status", "unknown", "")}
	cases["too long an answer"] = example{Given: given, When: to(request.ChangeStatus{Status: request.Resolved, Text: strings.Repeat("x", 20_001)}), Err: domain.Fault("text", "too_long", "")}
	cases["mentioning"] = example{
		Given: given, When: to(request.ChangeStatus{Status: request.Resolved, Text: "@mira"}, people(project)),
		Then: []request.Event{request.StatusChanged{From: request.Open, To: request.Resolved, Text: "@mira", Mentions: []domain.ID{mira}}},
	}
	cases["mentioning who may not see it"] = example{Given: given, When: to(request.ChangeStatus{Status: request.Resolved, Text: "@mira"}, people(of)), Err: domain.Fault("text", "mention", "")}
	cases["what is not"] = example{When: to(request.ChangeStatus{Status: request.Resolved}), Err: domain.Errorf(domain.NotFound, "request.absent", "")}
	run(t, cases)
}
