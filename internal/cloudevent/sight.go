package cloudevent

import (
	"context"

	"annals/domain"
	"annals/domain/desk"
	"annals/internal/access"
	"annals/internal/eventlog"
)

// Sight is whether somebody may be told of an event, and whether of what is personal in
// it as well: for that it has to be of a client that they may export.
type Sight struct{ Sees, Personal bool }

// Detail is how much of an event is told who asked for all of it, or only for ids.
func (s Sight) Detail(full bool) Detail {
	switch {
	case !full:
		return Thin
	case s.Personal:
		return Personal
	}
	return Outline
}

// Where answers where a client belongs; known is false for one that there is not.
type Where func(ctx context.Context, client domain.ID) (at domain.Place, known bool, err error)

// Look says what somebody may be told of an event. Clients belong where they belong now:
// who sees a client sees all of its history, and who does not see it any more none.
// Projects and desks are seen by all who work there; employees by who sees all of them;
// everything else by who may see what everybody does.
func Look(ctx context.Context, by domain.Authority, rec *eventlog.Record, where Where) (s Sight, at domain.Place, err error) {
	if !Public(rec) {
		return s, at, nil
	}
	if c := Client(rec); c != (domain.ID{}) {
		at, known, err := where(ctx, c)
		if err != nil {
			return s, at, err
		}
		if !known { // another's key, or a stream that was deleted with all that was known
			return s, at, nil
		}
		sees := by.May(domain.ClientsView, at)
		return Sight{sees, sees && by.May(domain.ClientsExport, at)}, at, nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return s, at, err
	}
	all := by.MayIn(domain.AuditView, domain.ID{})
	switch ref.Category {
	case domain.Project:
		at.Project = ref.ID
		s.Sees = all || access.Organisation(by) || by.Scope.Projects[ref.ID]
	case domain.Desk:
		at.Desk = ref.ID
		if e, ok := rec.Event.(desk.Created); ok {
			at.Project = e.ProjectID
		}
		s.Sees = all || access.Organisation(by) || by.Scope.Projects[at.Project] || by.Scope.Desks[ref.ID]
	case domain.Employee:
		own := by.ID == ref.ID
		s.Personal = by.Rights[domain.EmployeesView] == domain.Everywhere || own
		s.Sees = all || s.Personal
	default:
		s.Sees = all
	}
	return s, at, nil
}
