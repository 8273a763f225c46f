package project_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/domaintest"
	. "annals/domain/project"
)

// defaultDesk is the id that the default desk gets when the command has no id.
var defaultDesk = uuid.NewSHA1(domain.ID{}, []byte("default-desk"))

func TestProject(t *testing.T) {
	created := Created{Name: "Retail", DefaultDeskID: defaultDesk}
	with := func(reach domain.Reach, p domain.Permission) domain.Authority {
		return domain.Authority{ID: uuid.UUID{1}, Rights: domain.Rights{p: reach}, Scope: domain.ScopeOf([]domain.ID{{2}}, nil)}
	}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"by somebody without rights":     {By: domain.Authority{Rights: domain.Rights{}}, When: Create{"Retail"}, Err: domain.ErrForbidden},
		"by who manages other things":    {By: with(domain.Everywhere, domain.EmployeesManage), When: Create{"Retail"}, Err: domain.ErrForbidden},
		"by who manages some projects":   {By: with(domain.InProjects, domain.OrganisationManage), When: Create{"Retail"}, Err: domain.ErrForbidden},
		"by who manages all of them":     {By: with(domain.Everywhere, domain.OrganisationManage), When: Create{"Retail"}, Then: []Event{created}},
		"without a name":                 {When: Create{}, Err: domain.Fault("name", "required", "")},
		"with a name of spaces":          {When: Create{" \t\u00a0\n"}, Err: domain.Fault("name", "required", "")},
		"with a name that nobody sees":   {When: Create{"\u200b\ufeff"}, Err: domain.Fault("name", "required", "")},
		"with a name that is too long":   {When: Create{strings.Repeat("ä", 201)}, Err: domain.Fault("name", "too_long", "")},
		"with a name that is not text":   {When: Create{"Ret\x00ail"}, Err: domain.Fault("name", "control_character", "")},
		"with a name that is not UTF-8":  {When: Create{"Ret\xffail"}, Err: domain.Fault("name", "encoding", "")},
		"twice":                          {Given: []Event{created}, When: Create{"Retail"}, Err: ErrExists},
		"with a name":                    {When: Create{"Retail"}, Then: []Event{created}},
		"with a name typed carelessly":   {When: Create{"  Retail\n"}, Then: []Event{created}},
		"with the longest name possible": {When: Create{strings.Repeat("ä", 200)}, Then: []Event{Created{strings.Repeat("ä", 200), defaultDesk}}},
	})
}

func TestEveryProjectHasADefaultDesk(t *testing.T) {
	id := uuid.New()
	got := Aggregate.Companions(id, Created{Name: "Retail", DefaultDeskID: defaultDesk})
	want := []domain.Companion{{
		Ref:    domain.Ref{Category: domain.Desk, ID: defaultDesk},
		Events: []any{desk.Created{ProjectID: id, Name: "Default", Default: true}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSameCommandSameDesk: a command that is sent again has to find the desk that
// it made before.
func TestSameCommandSameDesk(t *testing.T) {
	of := func(command domain.ID) domain.ID {
		events, err := Aggregate.Decide(State{}, Create{"Retail"}, nil, domain.Meta{Command: command, By: domain.Root})
		if err != nil {
			t.Fatal(err)
		}
		return events[0].(Created).DefaultDeskID
	}
	one, other := uuid.New(), uuid.New()
	first, again, another := of(one), of(one), of(other)
	if first != again || first == another {
		t.Error("the desk's id does not follow from the command's")
	}
}
