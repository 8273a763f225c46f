package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

type accessRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
	At string `query:"at" doc:"A moment in the past, or a date, meaning its end; left out, now. Before the client was there, nobody saw it" maxLength:"40"`
}

type accessList struct {
	Fresh
	Body struct {
		At         time.Time    `json:"at" doc:"The moment that the answer is about"`
		Items      []accessItem `json:"items"`
		NextCursor string       `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		Total      total        `json:"total"`
		Position   string       `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

// accessItem is an employee who sees a client.
type accessItem struct {
	Employee named   `json:"employee" doc:"An API key sees what it was given of what its owner sees, and is not listed"`
	Because  []cause `json:"because" doc:"Each role by which they do; one would be enough"`
}

type cause struct {
	Role   string       `json:"role" doc:"What the role is called"`
	RoleID uuid.UUID    `json:"role_id" format:"uuid"`
	Reach  domain.Reach `json:"reach" doc:"Within which the role permits clients.view"`
	Scope  scope        `json:"scope"`
}

// scope is what ties an employee to a client.
type scope struct {
	Type string     `json:"type" enum:"all,project,desk,own" doc:"all: the role reaches all clients; project, desk: the client belongs to this one, and the employee was assigned to it; own: the employee was the client's manager"`
	ID   *uuid.UUID `json:"id,omitempty" format:"uuid" doc:"Of the project or desk"`
	Name string     `json:"name,omitempty" doc:"Of the project or desk, where you see it"`
}

type accessRow struct {
	keyset
	ID          uuid.UUID
	Name        *string
	ProjectID   *uuid.UUID
	ProjectName *string
	DeskID      *uuid.UUID
	DeskName    *string
	ManagerID   *uuid.UUID
	Projects    []uuid.UUID
	Desks       []uuid.UUID
	Roles       json.RawMessage
}

func (a *API) clientAccess(ctx context.Context, r *accessRequest) (*accessList, error) {
	now := a.Now().UTC()
	at, err := moment("at", r.At, now)
	if err != nil {
		return nil, err
	}
	who := access.Authority(ctx)
	q := visibleClients(ctx)
	q.and("c.id = " + q.bind(r.ID) + "::uuid")
	found := ""
	q.before = func(b *pgx.Batch) {
		visible(ctx, r.ID)(b)
		b.QueuedQueries[len(b.QueuedQueries)-1].QueryRow(func(row pgx.Row) error { return row.Scan(&found) })
	}
	got, err := fetch(ctx, a, accessSource(who, q, r.ID, at), q, r.Page, same[accessRow])
	if err != nil {
		return nil, err
	}
	if found == "" {
		return nil, domain.Errorf(domain.NotFound, "client.absent", "there is no such client")
	}
	out := &accessList{Fresh: got.Fresh}
	out.Body.At, out.Body.NextCursor, out.Body.Total, out.Body.Position = now, got.Body.NextCursor, got.Body.Total, got.Body.Position
	if at != nil {
		out.Body.At = *at
	}
	out.Body.Items = make([]accessItem, len(got.Body.Items))
	for i, row := range got.Body.Items {
		if out.Body.Items[i], err = row.item(); err != nil {
			return nil, err
		}
	}
	return out, a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.Visibility, Clients: []uuid.UUID{r.ID}, AsOf: r.At})
}

// item explains the row by [domain.Authority.May], role by role.
func (r accessRow) item() (item accessItem, err error) {
	item.Employee = *namedOrNil(&r.ID, r.Name)
	item.Because = []cause{}
	var roles []struct {
		named
		Reach domain.Reach `json:"reach"`
	}
	if err := json.Unmarshal(r.Roles, &roles); err != nil {
		return item, fmt.Errorf("roles of employee %s: %w", r.ID, err)
	}
	at := domain.Place{Project: orZero(r.ProjectID), Desk: orZero(r.DeskID), Manager: orZero(r.ManagerID)}
	for _, role := range roles {
		a := domain.Authority{ID: r.ID, Rights: domain.Rights{domain.ClientsView: role.Reach}, Scope: domain.ScopeOf(r.Projects, r.Desks)}
		if a.May(domain.ClientsView, at) {
			item.Because = append(item.Because, cause{role.Name, role.ID, role.Reach, r.scope(role.Reach)})
		}
	}
	return item, nil
}

// scope is that of a role which reaches the client.
func (r accessRow) scope(reach domain.Reach) scope {
	tie := func(typ string, id *uuid.UUID, name *string) scope {
		n := namedOrNil(id, name)
		return scope{typ, id, n.Name}
	}
	switch reach {
	case domain.Everywhere:
		return scope{Type: "all"}
	case domain.InProjects:
		return tie("project", r.ProjectID, r.ProjectName)
	case domain.OnDesks:
		if r.DeskID != nil {
			return tie("desk", r.DeskID, r.DeskName)
		}
	case domain.Own, domain.Nothing:
	}
	return scope{Type: "own"}
}

func orZero(id *uuid.UUID) (out uuid.UUID) {
	if id != nil {
		out = *id
	}
	return out
}

// accessSource is who sees the client c at the moment, nil for now. The condition is
// [domain.Authority.May] for all employees at once: a role with a further reach
// reaches all that one with a nearer reach does.
func accessSource(who domain.Authority, q *query, id uuid.UUID, at *time.Time) source {
	place := "select c.project_id, c.desk_id, c.manager_id"
	valid := func(table string) string { return table + ".valid_to is null" }
	if at != nil {
		place = placeThen(q.bind(id), q.bind(*at))
		moment := q.bind(*at) + "::timestamptz"
		valid = func(table string) string {
			return fmt.Sprintf("%s.valid_from <= %s and (%[1]s.valid_to > %[2]s or %[1]s.valid_to is null)", table, moment)
		}
	}
	refs := func(reach domain.Reach) string {
		return fmt.Sprintf("coalesce(array_agg(r.ref) filter (where r.reach = '%s'), '{}')", reach)
	}
	q.and(`(e.roles && s.everywhere or p.project_id = any(e.projects) and (e.roles && s.in_projects
		or (p.desk_id = any(e.desks) or p.desk_id is null and p.manager_id = e.employee_id) and e.roles && s.on_desks
		or (p.desk_id = any(e.desks) or p.desk_id is null) and p.manager_id = e.employee_id and e.roles && s.own))`)
	return source{
		columns: `e.employee_id as id, n.name, p.project_id, pr.name as project_name, p.desk_id, d.name as desk_name, p.manager_id, e.projects, e.desks,
			(select jsonb_agg(jsonb_build_object('id', r.role_id, 'name', r.name, 'reach', r.reach) order by r.name collate "C", r.role_id)
				from annals_read.role_periods r where r.ref = any(e.roles) and r.reach <> '' and ` + valid("r") + `) as roles`,
		from: `annals_read.clients c cross join lateral (` + place + `) p
			cross join (select ` + refs(domain.Everywhere) + ` as everywhere, ` + refs(domain.InProjects) + ` as in_projects,
				` + refs(domain.OnDesks) + ` as on_desks, ` + refs(domain.Own) + ` as own
				from annals_read.role_periods r where ` + valid("r") + `) s
			join annals_read.employee_periods e on e.active and ` + valid("e") + `
			left join annals_read.names n on n.id = e.employee_id
			left join annals_read.projects pr on pr.id = p.project_id and ` + access.Projects(who, "pr.id", q.bind) + `
			left join annals_read.desks d on d.id = p.desk_id and ` + access.Projects(who, "d.project_id", q.bind),
		id:      "e.employee_id",
		natural: "name",
		sorts:   map[string]column{"name": textColumn("n.name")},
	}
}

// placeThen is where the client was: what its last changes up to the moment say, and
// no row before it was registered. As in a replay an event later than the moment
// ends it, whatever the clocks of those after it said.
func placeThen(id, at string) string {
	last := func(field string) string {
		return "(array_agg(x.change->>'to' order by h.revision desc) filter (where x.change->>'field' = '" + field + "'))[1]::uuid as " + field
	}
	return `select ` + last("project_id") + `, ` + last("desk_id") + `, ` + last("manager_id") + `
		from annals_read.history h cross join lateral jsonb_array_elements(h.changes) x (change)
		where h.category = 'client' and h.aggregate_id = ` + id + `::uuid and h.type in ('client.registered', 'client.reassigned')
			and h.revision < coalesce((select min(l.revision) from annals_read.history l
				where l.category = 'client' and l.aggregate_id = ` + id + `::uuid and l.at > ` + at + `::timestamptz), 9223372036854775807)
		having count(*) > 0`
}

// moment reads a time in the past, or a date, meaning its end; nil is now.
func moment(field, text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, text); err == nil {
			if now.Sub(t) >= 0 && now.Sub(t) < 24*time.Hour {
				return nil, nil // of today there is as much as there was
			}
			t = t.AddDate(0, 0, 1).Add(-time.Microsecond)
		}
	}
	switch {
	case err != nil:
		return nil, domain.Fault(field, "malformed", "%q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", text)
	case t.After(now):
		return nil, domain.Fault(field, "future", "%s has not come yet", t.UTC().Format(time.RFC3339))
	}
	return new(t.UTC()), nil
}
