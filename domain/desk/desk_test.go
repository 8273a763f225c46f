package desk_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	. "annals/domain/desk"
	"annals/domain/domaintest"
	"annals/domain/project"
)

func TestDesk(t *testing.T) {
	retail, nowhere := uuid.New(), uuid.New()
	world := domain.World{
		{Category: domain.Project, ID: retail}:  project.Aggregate.Evolve(project.State{}, project.Created{Name: "Retail"}),
		{Category: domain.Project, ID: nowhere}: project.State{}, // looked up, and not there
	}
	created := Created{ProjectID: retail, Name: "North"}
	with := func(reach domain.Reach, projects ...domain.ID) domain.Authority {
		return domain.Authority{ID: uuid.New(), Rights: domain.Rights{domain.OrganisationManage: reach}, Scope: domain.ScopeOf(projects, nil)}
	}
	elsewhere := domain.OutOfReach("project_id", "project")
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without a project":                {World: world, When: Create{Name: "North"}, Err: domain.Fault("project_id", "required", "")},
		"in a project that does not exist": {World: world, When: Create{nowhere, "North"}, Err: ErrProject},
		"without a name":                   {World: world, When: Create{ProjectID: retail}, Err: domain.Fault("name", "required", "")},
		"with a name that is too long":     {World: world, When: Create{retail, strings.Repeat("x", 201)}, Err: domain.Fault("name", "too_long", "")},
		"both faults told": {World: world, When: Create{}, Err: (&domain.Faults{
			domain.Fault("project_id", "required", ""), domain.Fault("name", "required", ""),
		}).Err()},
		"by somebody without rights":             {World: world, By: domain.Authority{Rights: domain.Rights{}}, When: Create{retail, "North"}, Err: domain.ErrForbidden},
		"by who manages desks, not projects":     {World: world, By: with(domain.OnDesks, retail), When: Create{retail, "North"}, Err: domain.ErrForbidden},
		"by who manages another project":         {World: world, By: with(domain.InProjects, uuid.New()), When: Create{retail, "North"}, Err: elsewhere},
		"by who cannot tell whether there is it": {World: world, By: with(domain.InProjects, retail), When: Create{nowhere, "North"}, Err: elsewhere},
		"by who manages no project yet":          {World: world, By: with(domain.InProjects), When: Create{retail, "North"}, Err: elsewhere},
		"by who manages the project":             {World: world, By: with(domain.InProjects, retail), When: Create{retail, "North"}, Then: []Event{created}},
		"by who manages all projects":            {World: world, By: with(domain.Everywhere), When: Create{retail, "North"}, Then: []Event{created}},
		"twice":                                  {World: world, Given: []Event{created}, When: Create{retail, "North"}, Err: ErrExists},
		"again in another project":               {World: world, Given: []Event{created}, When: Create{nowhere, "North"}, Err: ErrExists},
		"in a project":                           {World: world, When: Create{retail, " North "}, Then: []Event{created}},
		"called like another one, or as default": {World: world, When: Create{retail, "Default"}, Then: []Event{Created{ProjectID: retail, Name: "Default"}}},
	})
}

func TestRefs(t *testing.T) {
	id := uuid.New()
	if refs := Aggregate.Refs(State{}, Create{ProjectID: id}); len(refs) != 1 || refs[0] != (domain.Ref{Category: domain.Project, ID: id}) {
		t.Errorf("refs = %v, want the project", refs)
	}
}
