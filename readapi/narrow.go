package readapi

import (
	"slices"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/filter"
	"annals/internal/access"
)

// narrow has a list of clients go by the shortest arms that there are for what somebody
// sees and asks for: of the conditions that all have to be met, one that the arms are made
// of comes first then.
func (l *clientList) narrow(parts []filter.Node) {
	projects, desks := access.Assigned(l.who.Scope)
	reach := l.who.Rights[domain.ClientsView]
	if reach == domain.Own {
		l.q.arms = []arm{{"c.manager_id", []uuid.UUID{l.who.ID}, ""}}
		return
	}
	onDesks := desks
	if reach != domain.OnDesks {
		onDesks = nil // any: those of their projects
	}
	if l.asked(parts, "desk", "c.desk_id", onDesks) || l.asked(parts, "manager", "c.manager_id", nil) {
		return
	}
	switch reach {
	case domain.OnDesks:
		l.q.arms = []arm{{"c.desk_id", desks, ""}, {"c.manager_id", []uuid.UUID{l.who.ID}, "c.desk_id is null"}}
	case domain.InProjects:
		if !l.asked(parts, "project", "c.project_id", projects) {
			l.q.arms = []arm{{"c.project_id", projects, ""}}
		}
	case domain.Everywhere:
		l.asked(parts, "project", "c.project_id", nil)
	case domain.Own, domain.Nothing:
	}
}

// asked has the list go by the ids that are asked for, those of them that are visible,
// nil for any. It does not, and says so, if none are asked for.
func (l *clientList) asked(parts []filter.Node, name, column string, visible []uuid.UUID) bool {
	i := slices.IndexFunc(parts, func(n filter.Node) bool {
		return n.Field.Name == name && (n.Op == filter.OneOf || n.Op == filter.Is)
	})
	if i < 0 {
		return false
	}
	ids := l.ids(parts[i])
	if visible != nil {
		ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return !slices.Contains(visible, id) })
	}
	l.q.arms = []arm{{column, ids, ""}}
	parts[0], parts[i] = parts[i], parts[0]
	l.implied = 1
	return true
}
