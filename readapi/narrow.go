package readapi

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
)

// narrow has a query of clients go by the shortest arms that there are for what
// somebody sees and asks for. The request has been checked, and its conditions are in
// the query.
func (q *query) narrow(who domain.Authority, r *ClientsRequest) {
	projects, desks := access.Assigned(who.Scope)
	reach := who.Rights[domain.ClientsView]
	q.implied = []string{q.where[0]}
	if reach == domain.Own {
		q.arms = []arm{{"c.manager_id", []uuid.UUID{who.ID}, ""}}
		return
	}
	onDesks := desks
	if reach != domain.OnDesks {
		onDesks = nil // any: those of their projects
	}
	if q.asked("c.desk_id", r.Desk, onDesks) || q.asked("c.manager_id", r.Manager, nil) {
		return
	}
	switch reach {
	case domain.OnDesks:
		q.arms = []arm{{"c.desk_id", desks, ""}, {"c.manager_id", []uuid.UUID{who.ID}, "c.desk_id is null"}}
	case domain.InProjects:
		if !q.asked("c.project_id", r.Project, projects) {
			q.arms = []arm{{"c.project_id", projects, ""}}
		}
	case domain.Everywhere:
		q.asked("c.project_id", r.Project, nil)
	case domain.Own, domain.Nothing:
	}
}

// asked has the query go by the ids that are asked for, those of them that are
// visible, nil for any. It does not, and says so, if none are asked for, or if rows
// without an id are.
func (q *query) asked(column string, values []string, visible []uuid.UUID) bool {
	ids, none, err := parseIDs("", values)
	if len(ids) == 0 || none || err != nil {
		return false
	}
	if visible != nil {
		ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return !slices.Contains(visible, id) })
	}
	q.arms = []arm{{column, ids, ""}}
	for _, cond := range q.where {
		if strings.HasPrefix(cond, "("+column+" = any(") {
			q.implied = append(q.implied, cond)
		}
	}
	return true
}
