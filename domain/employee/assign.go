package employee

import (
	"slices"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/role"
)

func given(ids *[]domain.ID) []domain.ID {
	if ids == nil {
		return nil
	}
	return *ids
}

// over is the projects and desks once the command is carried out. Where the actor
// manages nobody, they need not know of, and nothing changes.
func (c Assign) over(s State, w domain.World, by domain.Authority) Assigned {
	e := Assigned{sorted(s.Projects), sorted(s.Desks)}
	if c.Projects != nil {
		e.Projects = given(c.Projects)
		for _, id := range s.Projects {
			if !by.MayIn(domain.EmployeesManage, id) {
				e.Projects = append(slices.Clip(e.Projects), id)
			}
		}
	}
	if c.Desks != nil {
		e.Desks = given(c.Desks)
		for _, id := range s.Desks {
			if !by.MayIn(domain.EmployeesManage, domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: id}).ProjectID) {
				e.Desks = append(slices.Clip(e.Desks), id)
			}
		}
	}
	return Assigned{sorted(e.Projects), sorted(e.Desks)}
}

func (c Assign) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	e := c.over(s, w, by)
	if err := e.check(s, role.RightsOf(s.Roles, w), w, by); err != nil {
		return nil, err
	}
	if slices.Equal(e.Projects, s.Projects) && slices.Equal(e.Desks, s.Desks) {
		return nil, nil
	}
	return []Event{e}, nil
}

// check holds the rules of assigning an employee in state s with these rights: what is
// named exists, a desk requires its project, the employee comes to nowhere where the
// actor manages nobody, and where they come to, they may not do more than the actor.
func (e Assigned) check(s State, rights domain.Rights, w domain.World, by domain.Authority) error {
	var f domain.Faults
	before := s.Scope()
	projects, desks := domain.ScopeOf(nil, nil), domain.ScopeOf(nil, nil) // where they come to
	for _, id := range e.Projects {
		switch {
		case !before.Projects[id] && !by.MayIn(domain.EmployeesManage, id):
			f.Add(domain.OutOfReach("projects", "project"))
		case !w.Has(domain.Ref{Category: domain.Project, ID: id}):
			f.Add(domain.Fault("projects", "unknown", "%s names no project", id))
		case !before.Projects[id]:
			projects.Projects[id] = true
		}
	}
	for _, id := range e.Desks {
		d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: id})
		switch {
		case !before.Desks[id] && !by.MayIn(domain.EmployeesManage, d.ProjectID):
			f.Add(domain.OutOfReach("desks", "desk"))
		case !d.Exists():
			f.Add(domain.Fault("desks", "unknown", "%s names no desk", id))
		case !slices.Contains(e.Projects, d.ProjectID):
			f.Add(domain.Fault("desks", "other_project", "%s belongs to project %s, to which the employee is not assigned", id, d.ProjectID))
		case !before.Desks[id]:
			desks.Projects[d.ProjectID], desks.Desks[id] = true, true
		}
	}
	if len(f) == 0 { // else it is told already, or of no account
		err := domain.CheckRightsIn("projects", rights, projects, by)
		if err == nil {
			err = domain.CheckRightsIn("desks", rights, desks, by)
		}
		f.Add(err)
	}
	return f.Err()
}
