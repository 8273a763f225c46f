package readapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// shown records that whoever asks is about to be shown something of clients. What it fails
// for must not be shown.
func (a *API) shown(ctx context.Context, kind accesslog.Kind, clients ...uuid.UUID) error {
	return a.AccessLog.Record(ctx, accesslog.Look{Kind: kind, Clients: clients})
}

// shownItem is shown for one thing of a client.
func (a *API) shownItem(ctx context.Context, kind accesslog.Kind, client, item uuid.UUID) error {
	return a.AccessLog.Record(ctx, accesslog.Look{Kind: kind, Clients: []uuid.UUID{client}, Item: item})
}

// clientsOf are the clients that items are about, each once.
func clientsOf[T any](items []T, of func(T) *named) []uuid.UUID {
	ids, seen := []uuid.UUID{}, map[uuid.UUID]bool{}
	for _, item := range items {
		if c := of(item); c != nil && !seen[c.ID] {
			seen[c.ID] = true
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// LookFilter is which looks are asked for. It is exported for huma.
type LookFilter struct {
	Actor uuid.UUID        `query:"actor" format:"uuid" doc:"Only what this employee or API key was shown; of an employee their keys included"`
	Kind  []accesslog.Kind `query:"kind,explode" doc:"Only these kinds of looks" maxItems:"20"`
	From  time.Time        `query:"from" doc:"A time, included"`
	To    time.Time        `query:"to" doc:"A time, excluded"`
}

type accessLogRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
	LookFilter
}

// and has the query meet the filter, for the rows of l.
func (f LookFilter) and(q *query) error {
	for i, k := range f.Kind {
		if !slices.Contains(accesslog.Kinds, k) {
			return domain.Fault(domain.At("kind", i), "unknown", "%q is none of %v", k, accesslog.Kinds)
		}
	}
	if len(f.Kind) > 0 {
		q.and("l.kind = any(" + q.bind(f.Kind) + "::text[])")
	}
	if f.Actor != uuid.Nil {
		actor := q.bind(f.Actor)
		q.and(fmt.Sprintf("(l.actor_id = %s::uuid or l.employee_id = %[1]s::uuid)", actor))
	}
	if !f.From.IsZero() {
		q.and("l.at >= " + q.bind(f.From))
	}
	if !f.To.IsZero() {
		q.and("l.at < " + q.bind(f.To))
	}
	return nil
}

// lookItem is that somebody was shown something of a client.
type lookItem struct {
	ID        uuid.UUID      `json:"id" format:"uuid"`
	At        time.Time      `json:"at"`
	Actor     named          `json:"actor" doc:"Who was shown it: an employee, or an API key"`
	Employee  named          `json:"employee" doc:"The same, or the employee whose key it is"`
	Kind      accesslog.Kind `json:"kind" doc:"What was shown: record, activities, records, documents (which there are), content (the bytes of one), history, replay (the same, from the log), visibility (who sees the client), access_log; or with others list, search, actions, inbox, preview, export"`
	Count     int            `json:"count" doc:"How many clients the answer showed"`
	Item      *uuid.UUID     `json:"item,omitempty" format:"uuid" doc:"What of the client, as a document. Of an access log of an employee, the employee"`
	AsOf      string         `json:"as_of,omitempty" doc:"The moment in the past that was asked for"`
	Filters   int            `json:"filters,omitempty" doc:"Of a list: how many conditions it had"`
	Searched  int            `json:"searched,omitempty" doc:"Of a search: how many letters were searched for. Which, nobody keeps"`
	IP        string         `json:"ip"`
	UserAgent string         `json:"user_agent"`
	RequestID uuid.UUID      `json:"request_id" format:"uuid"`
}

// employeeLookItem is that somebody was shown clients.
type employeeLookItem struct {
	LookItem
	Clients []uuid.UUID `json:"clients" doc:"Which clients, 100 at most: the answer to a longer list is several items with the same request_id. Of those that you see"`
}

// LookItem is a look, under a name that huma looks into.
type LookItem = lookItem

type lookRow struct {
	keyset
	ID           uuid.UUID
	At           time.Time
	ActorID      uuid.UUID
	ActorName    *string
	EmployeeID   uuid.UUID
	EmployeeName *string
	Kind         string
	Clients      []uuid.UUID
	Count        int
	Item         *uuid.UUID
	AsOf         string
	Filters      int
	Searched     int
	RequestID    uuid.UUID
	IP           string
	UserAgent    string
}

func (r lookRow) item() lookItem {
	return lookItem{
		r.ID, r.At, actor(r.ActorID, r.ActorName), actor(r.EmployeeID, r.EmployeeName), accesslog.Kind(r.Kind), r.Count, r.Item,
		r.AsOf, r.Filters, r.Searched, r.IP, r.UserAgent, r.RequestID,
	}
}

func (r lookRow) whole() employeeLookItem {
	return employeeLookItem{r.item(), append([]uuid.UUID{}, r.Clients...)}
}

const (
	lookColumns = `l.id, l.at, l.actor_id, k.name as actor_name, l.employee_id, n.name as employee_name, l.kind,
		e.item, e.as_of, e.filters, e.searched, e.request_id, e.ip, e.user_agent`
	lookNames = ` left join annals_read.names k on k.id = l.actor_id left join annals_read.names n on n.id = l.employee_id`
)

// lookedAtSource is who looked at a client, read off the primary key.
var lookedAtSource = source{
	columns: lookColumns + `, '{}'::uuid[] as clients, e.count`,
	from:    `annals_read.access_log_clients l join annals_read.access_log e on e.id = l.id` + lookNames,
	id:      "l.id",
	natural: "-at",
	table:   "annals_read.access_log_clients l",
	indexed: map[string]bool{"l.at": false},
	sorts:   map[string]column{"at": {"l.at", "timestamptz"}},
}

// clientAccessLog is for those who view what others did, as far as the client.
func (a *API) clientAccessLog(ctx context.Context, r *accessLogRequest) (*list[lookItem], error) {
	seen, audited := false, ""
	q := &query{before: func(b *pgx.Batch) {
		q := visibleClients(ctx)
		q.and("c.id = " + q.bind(r.ID))
		found := "select c.id::text from annals_read.clients c where " + q.all()
		sql := fmt.Sprintf("select exists (%s), set_config('annals.looked_at', coalesce((%[1]s and %s), ''), true)",
			found, access.Clients(access.Authority(ctx), domain.AuditView, "c", q.bind))
		b.Queue(sql, q.args...).QueryRow(func(row pgx.Row) error { return row.Scan(&seen, &audited) })
	}}
	q.arms = []arm{{"l.client_id", []uuid.UUID{r.ID}, ""}}
	if err := r.and(q); err != nil {
		return nil, err
	}
	out, err := fetch(ctx, a, lookedAtSource, q, r.Page, lookRow.item)
	switch {
	case err != nil:
		return nil, err
	case !seen:
		return nil, domain.Errorf(domain.NotFound, "client.absent", "there is no such client")
	case audited == "":
		return nil, domain.ErrForbidden
	}
	return out, a.shown(ctx, accesslog.AccessLog, r.ID)
}

// employeeLookSource is what an employee looked at, of it the clients of whom the caller
// may see what others did; what showed only others is left out.
func employeeLookSource(who domain.Authority, q *query) source {
	clients, count := "l.clients", "l.count"
	if min(who.Rights[domain.AuditView], who.Rights[domain.ClientsView]) < domain.Everywhere {
		of := fmt.Sprintf("select c.id from annals_read.clients c where c.id = any(l.clients) and %s and %s",
			access.Clients(who, domain.ClientsView, "c", q.bind), access.Clients(who, domain.AuditView, "c", q.bind))
		q.and("(l.clients = '{}' or exists (" + of + "))")
		clients = "array(" + of + " order by array_position(l.clients, c.id))"
		count = "cardinality(" + clients + ")"
	}
	return source{
		columns: lookColumns + `, ` + clients + ` as clients, ` + count + ` as count`,
		from:    `annals_read.access_log l join annals_read.access_log e on e.id = l.id` + lookNames,
		id:      "l.id",
		natural: "-at",
		table:   "annals_read.access_log l",
		indexed: lookedAtSource.indexed,
		sorts:   lookedAtSource.sorts,
	}
}

// employeeAccessLog is for those who view what others did, as far as the employee.
func (a *API) employeeAccessLog(ctx context.Context, r *accessLogRequest) (*list[employeeLookItem], error) {
	who := access.Authority(ctx)
	seen, audited := false, ""
	q := &query{before: func(b *pgx.Batch) {
		q := &query{}
		q.and("e.id = " + q.bind(r.ID))
		q.and(visibleEmployees(who, q.bind))
		found := "select e.id::text from annals_read.employees e where " + q.all()
		sql := fmt.Sprintf("select exists (%s), set_config('annals.looking', coalesce((%[1]s and %s), ''), true)", found, employees(who, domain.AuditView, q.bind))
		b.Queue(sql, q.args...).QueryRow(func(row pgx.Row) error { return row.Scan(&seen, &audited) })
	}}
	q.arms = []arm{{"l.employee_id", []uuid.UUID{r.ID}, ""}}
	if err := r.and(q); err != nil {
		return nil, err
	}
	s := employeeLookSource(who, q)
	out, err := fetch(ctx, a, s, q, r.Page, lookRow.whole)
	switch {
	case err != nil:
		return nil, err
	case !seen:
		return nil, domain.Errorf(domain.NotFound, "employee.absent", "there is no such employee")
	case audited == "":
		return nil, domain.ErrForbidden
	}
	return out, a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.AccessLog, Item: r.ID})
}
