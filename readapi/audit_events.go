package readapi

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

type eventsRequest struct {
	After
	Type      []string `query:"type,explode" doc:"Only these types of events; * stands for anything, as in client.* or *.deleted" maxItems:"50"`
	Actor     []string `query:"actor,explode" doc:"Only what these employees and API keys did" maxItems:"50"`
	Project   []string `query:"project,explode" doc:"Only what happened in these projects" maxItems:"50"`
	Stream    string   `query:"stream" doc:"Only what happened to one thing, as in role-6f1c…: the category of its events, and its id" maxLength:"100"`
	From      string   `query:"from" doc:"A time or a date, included" maxLength:"40"`
	To        string   `query:"to" doc:"A time, excluded, or a date, included" maxLength:"40"`
	AfterPos  string   `query:"after" doc:"Only what comes after this position of the log" maxLength:"50"`
	BeforePos string   `query:"before" doc:"Only what comes before this position of the log" maxLength:"50"`
	Sort      string   `query:"sort" doc:"By the order of the log: -position, which it is when left out, has the newest first" enum:"position,-position"`
	Limit     int      `query:"limit" doc:"How many items at most" default:"50" minimum:"1" maximum:"500"`
	Cursor    string   `query:"cursor" doc:"next_cursor or prev_cursor of another page" maxLength:"1000"`
}

type eventsPage struct {
	Fresh
	Body struct {
		Items      []historyItem `json:"items"`
		NextCursor string        `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		PrevCursor string        `json:"prev_cursor,omitempty" doc:"Of the page before; missing on the first"`
		Position   string        `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

// audited shows everything that happened.
func (a *API) audited(api *httpapi.API) {
	op := httpapi.GetOp("/api/v1/audit/events", "Everything that happened: who did what, when, from where, and what changed. Within a project, what happened in it, of clients those that you see")
	op.Needs = domain.AuditView
	httpapi.Handle(api, op, a.auditEvents)
}

var errAuditReach = domain.Errorf(domain.Forbidden, "forbidden", "this takes the permission audit.view within a project; what happened to a client that you see is in its history")

// auditEvents reads a page off an index that has the order of the log: that of all events, or of
// those of each type, actor or project that is asked for, of which the page is merged.
func (a *API) auditEvents(ctx context.Context, in *eventsRequest) (*eventsPage, error) {
	who := access.Authority(ctx)
	if who.Rights[domain.AuditView] < domain.InProjects {
		return nil, errAuditReach
	}
	e, err := a.parseEvents(in)
	if err != nil {
		return nil, err
	}
	if projects, _ := access.Assigned(who.Scope); who.Rights[domain.AuditView] == domain.InProjects {
		if e.projects != nil {
			projects = slices.DeleteFunc(projects, func(id uuid.UUID) bool { return !slices.Contains(e.projects, id) })
		}
		e.projects = append([]uuid.UUID{}, projects...)
	}
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out := &eventsPage{}
	var rows []historyRow
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position, out.Body.Position = at.String(), at.String()
		return err
	})
	b.Queue(inOrder)
	sql, args := e.page(in.Limit + 1)
	b.Queue(sql, args...).Query(func(r pgx.Rows) (err error) {
		rows, err = collect[historyRow](r, in.Limit+1)
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	more := len(rows) > in.Limit
	rows = rows[:min(len(rows), in.Limit)]
	if e.back {
		slices.Reverse(rows)
	}
	out.Body.Items = make([]historyItem, 0, len(rows))
	for _, r := range rows {
		out.Body.Items = append(out.Body.Items, r.item(true))
	}
	if len(rows) == 0 {
		return out, a.shownEvents(ctx, in, rows)
	}
	at := func(r historyRow, back bool) string {
		return cursor{Sort: in.Sort, Values: []*string{new(strconv.FormatInt(r.Position, 10))}, Back: back}.String()
	}
	if more || e.back {
		out.Body.NextCursor = at(rows[len(rows)-1], false)
	}
	if more && e.back || !e.back && in.Cursor != "" {
		out.Body.PrevCursor = at(rows[0], true)
	}
	return out, a.shownEvents(ctx, in, rows)
}

// shownEvents records which clients those events are of that are about to be shown.
func (a *API) shownEvents(ctx context.Context, in *eventsRequest, rows []historyRow) error {
	clients := []uuid.UUID{}
	for _, r := range rows {
		if r.ClientID != nil && !slices.Contains(clients, *r.ClientID) {
			clients = append(clients, *r.ClientID)
		}
	}
	filters := len(in.Type) + len(in.Actor) + len(in.Project)
	for _, text := range []string{in.Stream, in.From, in.To, in.AfterPos, in.BeforePos} {
		if text != "" {
			filters++
		}
	}
	return a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.History, Clients: clients, Filters: filters})
}

// events is which events are asked for.
type events struct {
	types    []string // nil: any; likewise the others
	actors   []uuid.UUID
	projects []uuid.UUID
	of       *ref
	all      []string // the types that there are
	from, to *time.Time
	low      int64 // positions, both included
	high     int64
	down     bool
	back     bool
}

func (a *API) parseEvents(in *eventsRequest) (*events, error) {
	var f domain.Faults
	var err error
	e := &events{all: a.Events, high: math.MaxInt64, down: in.Sort != "position"}
	e.types, err = a.eventTypes(in.Type)
	f.Add(err)
	e.actors, err = idsOf("actor", in.Actor)
	f.Add(err)
	e.projects, err = idsOf("project", in.Project)
	f.Add(err)
	e.from, e.to, err = (&Happened{From: in.From, To: in.To}).span()
	f.Add(err)
	if in.Stream != "" {
		category, id, _ := strings.Cut(in.Stream, "-")
		e.of = &ref{Kind: category}
		if e.of.ID, err = uuid.Parse(id); err != nil || !typePattern.MatchString(category) {
			f.Add(domain.Fault("stream", "malformed", "has to be a category and an id, as in the stream of an event"))
		}
	}
	bound := func(field, s string, set func(int64)) {
		if s == "" {
			return
		}
		at, err := eventlog.ParsePosition(s)
		if err != nil {
			f.Add(domain.Fault(field, "malformed", "is not a position of the log, as in Annals-Position"))
			return
		}
		set(int64(at.Commit)) //nolint:gosec // it has 63 bits
	}
	after := func(at int64) { // nothing comes after the last one that there can be
		if e.low = max(e.low, at+1); at == math.MaxInt64 {
			e.low, e.high = 1, 0
		}
	}
	before := func(at int64) { e.high = min(e.high, at-1) }
	bound("after", in.AfterPos, after)
	bound("before", in.BeforePos, before)
	if in.Cursor != "" {
		c, err := parseCursor(in.Cursor, in.Sort, 1)
		if err != nil {
			f.Add(err)
			return e, f.Err()
		}
		e.back = c.Back
		set := after
		if e.down != e.back {
			set = before
		}
		bound("cursor", *c.Values[0], set)
	}
	return e, f.Err()
}

// inOrder has PostgreSQL read indexes in their order. It knows nothing of the values that a plan is made for, and
// would now and then rather fetch and sort all that there is of a type, actor or project.
const inOrder = `select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)`

// page is the statement for the first so many events, in the order in which they are walked.
func (e *events) page(limit int) (string, []any) {
	q := &query{}
	dir := " asc"
	if e.down != e.back {
		dir = " desc"
	}
	// Those of a time are between positions, up to clocks that were wrong, and among them those that are asked for.
	low, high := q.bind(e.low)+"::bigint", q.bind(e.high)+"::bigint"
	within := ""
	if e.from != nil {
		low = fmt.Sprintf("greatest(%s, (select coalesce(min(first), 9223372036854775807) from annals_read.history_hours where hour >= %s::bigint))", low, q.bind(floorHour(*e.from)))
		within += " and h.at >= " + q.bind(*e.from)
	}
	if e.to != nil {
		high = fmt.Sprintf("least(%s, (select coalesce(max(last), -1) from annals_read.history_hours where hour <= %s::bigint))", high, q.bind(floorHour(*e.to)))
		within += " and h.at < " + q.bind(*e.to)
	}
	order := "h.position"
	var keys, each []string
	if e.of != nil {
		order = "h.revision" // of one thing, the order of positions
		within += fmt.Sprintf(" and h.category = %s and h.aggregate_id = %s", q.bind(e.of.Kind), q.bind(e.of.ID))
	}
	by := func(name, typ string, values any, there bool) {
		if !there {
			return
		}
		if e.of != nil {
			within += fmt.Sprintf(" and h.%s = any(%s::%s[])", name, q.bind(values), typ)
			return
		}
		keys = append(keys, fmt.Sprintf("unnest(%s::%s[]) %s_key (v)", q.bind(values), typ, name))
		each = append(each, fmt.Sprintf("h.%s = %[1]s_key.v and ", name))
	}
	types := e.types
	if types == nil && len(e.projects) > 0 && len(e.actors) > 0 {
		types = e.all // the index of both has them
	}
	by("project_id", "uuid", e.projects, e.projects != nil)
	by("actor_id", "uuid", e.actors, len(e.actors) > 0)
	by("type", "text", types, types != nil)
	found := fmt.Sprintf(`select h.position from annals_read.history h
		where %sh.position >= (select low from bounds) and h.position <= (select high from bounds)%s order by %s%s limit %d`,
		strings.Join(each, ""), within, order, dir, limit)
	if len(keys) > 0 {
		found = fmt.Sprintf("select found.position from %s cross join lateral (%s) found order by 1%s limit %d", strings.Join(keys, " cross join "), found, dir, limit)
	}
	// The offset keeps both queries apart: each is read by its own index.
	return fmt.Sprintf(`with bounds as materialized (select %s as low, %s as high)
		select item.*, null::text[] as cursor from (%s) page cross join lateral (select %s from %s where h.position = page.position offset 0) item order by page.position%s`,
		low, high, found, historySource.columns, historySource.from, dir), q.args
}

// floorHour is the hour of a time, since 1970.
func floorHour(t time.Time) int64 {
	hour := t.Unix() / 3600
	if t.Unix()%3600 < 0 {
		hour--
	}
	return hour
}
