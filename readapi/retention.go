package readapi

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/eventlog"
)

// RetentionRule is a rule by which clients are erased. It is exported for huma, which does
// not look into what is not.
type RetentionRule struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	ProjectID *uuid.UUID `json:"project_id" format:"uuid" nullable:"true" doc:"The project whose clients are meant; null: clients of all projects"`
	Name      string     `json:"name" example:"Old leads"`
	Statuses  []string   `json:"statuses" doc:"Only clients of these statuses; none: of all"`
	Since     string     `json:"since" enum:"created,last_contacted,status_changed,deactivated" doc:"From when the days count"`
	Days      int        `json:"days" doc:"After how many days of 24 hours clients are due"`
	Action    string     `json:"action" enum:"propose,erase" doc:"propose: clients that are due are listed; erase: they are erased as well"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	Revision  int64      `json:"revision" doc:"Of all rules together: send it as If-Match to change what you have seen, and nothing else"`
}

// retentionItem is one rule, with how many clients are due.
type retentionItem struct {
	RetentionRule
	Due *total `json:"due,omitempty" doc:"How many clients are due, of those that you see and may erase or hold, or whose history you see; missing if that is none whatever they are"`
}

type retentionRow struct {
	keyset
	RetentionRule
}

func (r retentionRow) at() int64 { return r.Revision }

func (r retentionRow) item() RetentionRule { return r.RetentionRule }

func (r retentionRow) one() retentionItem { return retentionItem{RetentionRule: r.RetentionRule} }

var retentionSource = source{
	columns: `r.id, r.project_id, r.name, r.statuses, r.since, r.days, r.action, r.created_at, r.updated_at, g.revision`,
	from:    "annals_read.retention_rules r join annals_read.registries g on g.category = 'retention'",
	id:      "r.id",
	natural: "name",
	sorts: map[string]column{
		"name": textColumn("r.name"), "days": {"r.days", "int"}, "created_at": {"r.created_at", "timestamptz"}, "updated_at": {"r.updated_at", "timestamptz"},
	},
}

type retentionRequest struct {
	Page
	Project []string `query:"project,explode" doc:"Ids of projects: the rules for their clients, which are their own and those for all; or none: those for all alone" maxItems:"100"`
}

func (a *API) retentionRules(ctx context.Context, in *retentionRequest) (*list[RetentionRule], error) {
	q := definitions(ctx, "r")
	if err := (&definitionsRequest{Project: in.Project}).narrow(q, "r"); err != nil {
		return nil, err
	}
	return fetch(ctx, a, retentionSource, q, in.Page, retentionRow.item)
}

func (a *API) retentionRule(ctx context.Context, in *byID) (*one[retentionItem], error) {
	out, err := fetchOne(ctx, a, retentionSource, definitions(ctx, "r"), *in, "retention_rule", retentionRow.one)
	if err != nil || !seesDue(ctx) {
		return out, err
	}
	due, q := a.dueBy(ctx, &out.Body.RetentionRule)
	out.Body.Due = &total{}
	var b pgx.Batch
	sql, args := due.count(q)
	b.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&out.Body.Due.Count) })
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fmt.Errorf("count who is due: %w", err)
	}
	if out.Body.Due.Exact = out.Body.Due.Count <= countMost; !out.Body.Due.Exact {
		out.Body.Due.Count = countMost
	}
	return out, nil
}

// dueItem is a client that is due by a rule.
type dueItem struct {
	Client   named     `json:"client"`
	Project  *named    `json:"project"`
	Status   string    `json:"status" enum:"lead,active,inactive"`
	DueSince time.Time `json:"due_since" doc:"When the days of the rule were over"`
	Held     bool      `json:"held" doc:"The client is under a legal hold, and is not erased until it is released"`
}

type dueRow struct {
	keyset
	ID          uuid.UUID
	Name        string
	ProjectID   *uuid.UUID
	ProjectName *string
	Status      string
	DueSince    time.Time
	Held        bool
}

func (r dueRow) item() dueItem {
	return dueItem{named{r.ID, r.Name}, namedOrNil(r.ProjectID, r.ProjectName), r.Status, r.DueSince, r.Held}
}

// retention.Rule.Due as SQL: since when a client c is due by a rule r, null for never, and
// whether it is about such clients at all.
const (
	dueSince = `(case r.since when 'created' then c.created_at when 'last_contacted' then coalesce(c.last_contacted_at, c.created_at)
		when 'status_changed' then c.status_at when 'deactivated' then c.deactivated_at end + r.days * interval '24 hours')`
	dueAmong = `not c.erased and not c.erasing and (r.project_id is null or r.project_id = c.project_id) and (r.statuses = '{}' or c.status = any(r.statuses))`
)

// seesDue says whether somebody may be told of any client that it is due: as of erasures,
// those are who may erase or hold clients, or see what others did.
func seesDue(ctx context.Context) bool {
	rights := access.Authority(ctx).Rights
	return max(rights[domain.ClientsErase], rights[domain.ClientsHold], rights[domain.AuditView]) > domain.Nothing
}

// dueBy is the clients that are due by a rule, of those of which the caller may be told. It
// takes one pass over the clients that they see, or those of the project of the rule.
func (a *API) dueBy(ctx context.Context, rule *RetentionRule) (source, *query) {
	s := source{
		columns: "c.id, c.name, c.project_id, p.name as project_name, c.status, " + dueSince + " as due_since, c.held",
		from: `annals_read.clients c join annals_read.retention_rules r on ` + dueAmong + `
			left join annals_read.projects p on p.id = c.project_id`,
		id:      "c.id",
		natural: "due_since",
		sorts:   map[string]column{"due_since": {dueSince, "timestamptz"}},
	}
	who, q := access.Authority(ctx), visibleClients(ctx)
	told := func(p domain.Permission) string { return access.Clients(who, p, "c", q.bind) }
	q.and("(" + told(domain.ClientsErase) + " or " + told(domain.ClientsHold) + " or " + told(domain.AuditView) + ")")
	q.and("r.id = " + q.bind(rule.ID))
	if rule.ProjectID != nil {
		q.and("c.project_id = " + q.bind(*rule.ProjectID)) // by an index
	}
	q.and(dueSince + " <= " + q.bind(a.now()))
	return s, q
}

type dueRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
}

// retentionDue lists who is due by a rule, whatever its action is.
func (a *API) retentionDue(ctx context.Context, in *dueRequest) (*list[dueItem], error) {
	rule, err := fetchOne(ctx, a, retentionSource, definitions(ctx, "r"), byID{in.ID, in.After}, "retention_rule", retentionRow.item)
	if err != nil {
		return nil, err
	}
	if !seesDue(ctx) {
		return nil, domain.ErrForbidden
	}
	s, q := a.dueBy(ctx, &rule.Body)
	out, err := fetch(ctx, a, s, q, in.Page, dueRow.item)
	if err != nil {
		return nil, err
	}
	return out, a.shown(ctx, accesslog.List, clientsOf(out.Body.Items, func(i dueItem) *named { return &i.Client })...)
}

// dueAtOnce is how many clients one statement looks at.
const dueAtOnce = 10_000

// Due are clients that are due by a rule at that time and not held, of a bounded number
// with ids after the given one, and the id to go on after: the zero ID at the end. So one
// pass over the primary key finds all of them, however many there are.
func (d *Directory) Due(ctx context.Context, rule domain.ID, now time.Time, from domain.ID, after eventlog.Position) (due []domain.ID, next domain.ID, err error) {
	n := 0
	var b pgx.Batch
	b.Queue(`select c.id, coalesce(`+dueAmong+` and not c.held and `+dueSince+` <= $2, false)
		from (select * from annals_read.clients where id > $3 order by id limit $4) c cross join annals_read.retention_rules r where r.id = $1 order by c.id`,
		rule, now, from, dueAtOnce).Query(func(rows pgx.Rows) error {
		var id domain.ID
		var is bool
		_, err := pgx.ForEachRow(rows, []any{&id, &is}, func() error {
			if is {
				due = append(due, id)
			}
			n++
			next = id
			return nil
		})
		return err
	})
	if err := d.ask(ctx, after, &b); err != nil || n < dueAtOnce {
		return due, domain.ID{}, err
	}
	return due, next, nil
}

// LastContacted is when somebody was in contact with a client, by everything up to the
// position: the zero time for never.
func (d *Directory) LastContacted(ctx context.Context, client domain.ID, after eventlog.Position) (time.Time, error) {
	var at *time.Time
	var b pgx.Batch
	b.Queue(`select (select last_contacted_at from annals_read.clients where id = $1)`, client).
		QueryRow(func(row pgx.Row) error { return row.Scan(&at) })
	if err := d.ask(ctx, after, &b); err != nil || at == nil {
		return time.Time{}, err
	}
	return *at, nil
}
