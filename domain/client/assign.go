package client

import (
	"annals/domain"
	"annals/domain/desk"
	"annals/domain/employee"
)

func (c Register) assignment() Assignment {
	return Assignment{c.ProjectID, c.DeskID.Value, c.ManagerID.Value}
}

func (c Assign) over(a Assignment) Assignment {
	return Assignment{c.ProjectID.Or(a.ProjectID), c.DeskID.Or(a.DeskID), c.ManagerID.Or(a.ManagerID)}
}

func (c HandOver) assign() Assign { return Assign{ManagerID: domain.Set(c.To)} }

func (c Assign) decide(s State, w domain.World, m domain.Meta) ([]Event, error) {
	to := c.over(s.Assignment)
	if to == s.Assignment {
		return nil, nil // nothing moves, so the rules of moving do not matter
	}
	var f domain.Faults
	reason := domain.LongText(c.Reason)
	f.Add(domain.CheckText("reason", reason, 1000))
	f.Add(to.check(w, m.By, domain.ClientsAssign))
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Reassigned{From: s.Assignment, To: to, Reason: reason}}, nil
}

// check holds the rules of belonging: a project, a desk of that project, a
// manager assigned to both; and within the reach of the actor's permission.
func (a Assignment) check(w domain.World, by domain.Authority, p domain.Permission) error {
	var f domain.Faults
	reach := by.Rights[p]
	switch {
	case a.ProjectID == domain.ID{}:
		return domain.Fault("project_id", "required", "is required")
	case reach < domain.Everywhere && !by.Scope.Projects[a.ProjectID]:
		return domain.OutOfReach("project_id", "project")
	case !w.Has(domain.Ref{Category: domain.Project, ID: a.ProjectID}):
		return domain.Fault("project_id", "unknown", "%s names no project", a.ProjectID)
	}
	if a.DeskID != (domain.ID{}) {
		switch d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: a.DeskID}); {
		case reach < domain.InProjects && !by.Scope.Desks[a.DeskID],
			reach == domain.InProjects && !by.Scope.Projects[d.ProjectID]: // whether there is one or it is another's is told nobody
			f.Add(domain.OutOfReach("desk_id", "desk"))
		case !d.Exists():
			f.Add(domain.Fault("desk_id", "unknown", "%s names no desk", a.DeskID))
		case d.ProjectID != a.ProjectID:
			f.Add(domain.Fault("desk_id", "other_project", "%s is a desk of another project: give a desk of project %s, or null", a.DeskID, a.ProjectID))
		}
	}
	if a.ManagerID != (domain.ID{}) {
		eligible := domain.Look[employee.State](w, domain.Ref{Category: domain.Employee, ID: a.ManagerID}).Eligible(a.ProjectID, a.DeskID)
		if a.ManagerID == by.ID {
			eligible = by.Scope.Covers(a.ProjectID, a.DeskID)
		}
		if !eligible { // who there is and where they work is not for everybody to find out
			f.Add(domain.Fault("manager_id", "not_assigned", "%s is no employee who is active and assigned to the client's project and desk", a.ManagerID))
		}
	}
	return f.Err()
}

// depends has a manager who leaves at the moment of being chosen not stay one: either
// they see the client when they leave, or we see here that they have left.
func depends(e Event) []domain.Ref {
	var manager domain.ID
	switch e := e.(type) {
	case Registered:
		manager = e.ManagerID
	case Reassigned:
		manager = e.To.ManagerID
	case Edited, Retagged, StatusChanged, Deactivated, Reactivated, Held, Released, Erased:
	}
	if manager == (domain.ID{}) {
		return nil
	}
	return []domain.Ref{{Category: domain.Employee, ID: manager}}
}

func correct(s State, w domain.World) (Command, bool) {
	a := s.Assignment
	if a.ManagerID == (domain.ID{}) || domain.Look[employee.State](w, domain.Ref{Category: domain.Employee, ID: a.ManagerID}).Eligible(a.ProjectID, a.DeskID) {
		return nil, false
	}
	return HandOver{From: a.ManagerID}, true
}
