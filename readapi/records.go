package readapi

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/accesslog"
)

// recordItem is a ticket, transaction or integration of another system.
type recordItem struct {
	ID         uuid.UUID         `json:"id" format:"uuid"`
	Kind       string            `json:"kind" enum:"tickets,transactions,integrations"`
	System     string            `json:"system" example:"billing"`
	ExternalID string            `json:"external_id" example:"INV-2026-0042"`
	Title      string            `json:"title" example:"Invoice 42"`
	URL        string            `json:"url,omitempty" example:"https://billing.example.com/invoices/42"`
	Status     string            `json:"status" example:"paid"`
	Amount     string            `json:"amount,omitempty" doc:"An exact decimal" example:"129.90"`
	Currency   string            `json:"currency,omitempty" doc:"ISO 4217" example:"EUR"`
	OccurredAt *time.Time        `json:"occurred_at"`
	DueAt      *time.Time        `json:"due_at"`
	ClosedAt   *time.Time        `json:"closed_at"`
	Data       map[string]string `json:"data"`
	AddedAt    time.Time         `json:"added_at" doc:"When this was first told"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Actor      named             `json:"actor" doc:"Who told it last: often an API key"`
	Revision   int64             `json:"revision" doc:"Send it as If-Match with a command to change this"`
	Erased     bool              `json:"erased,omitempty" doc:"The person has been erased, and with them what this said"`
}

type recordRow struct {
	keyset
	ID         uuid.UUID
	Kind       string
	System     string
	ExternalID string
	Title      string
	URL        string
	Status     string
	Amount     string
	Currency   string
	OccurredAt *time.Time
	DueAt      *time.Time
	ClosedAt   *time.Time
	Data       json.RawMessage
	AddedAt    time.Time
	UpdatedAt  time.Time
	ActorID    uuid.UUID
	ActorName  *string
	Revision   int64
	Erased     bool
}

func (r recordRow) item() recordItem {
	item := recordItem{
		ID: r.ID, Kind: r.Kind, System: r.System, ExternalID: r.ExternalID, Title: r.Title, URL: r.URL, Status: r.Status,
		Amount: r.Amount, Currency: r.Currency, OccurredAt: r.OccurredAt, DueAt: r.DueAt, ClosedAt: r.ClosedAt,
		AddedAt: r.AddedAt, UpdatedAt: r.UpdatedAt, Actor: actor(r.ActorID, r.ActorName), Revision: r.Revision, Erased: r.Erased,
	}
	if err := json.Unmarshal(r.Data, &item.Data); err != nil {
		panic(err) // the projector wrote it
	}
	return item
}

// recordSource has an index for each of its sorts, of all records of a client and kind;
// for the usual one also of those of a status or system.
var recordSource = source{
	columns: `r.id, r.kind, r.system, r.external_id, r.title, r.url, r.status, coalesce(r.amount::text, '') as amount, r.currency,
		r.occurred_at, r.due_at, r.closed_at, r.data, r.added_at, r.updated_at, r.actor_id, n.name as actor_name, r.revision, r.erased`,
	from:    "annals_read.records r left join annals_read.names n on n.id = r.actor_id",
	id:      "r.id",
	natural: "-added_at",
	table:   "annals_read.records r",
	indexed: map[string]bool{"r.added_at": false, "r.occurred_at": true, "r.due_at": true},
	sorts: map[string]column{
		"added_at": {"r.added_at", "timestamptz"}, "occurred_at": {"r.occurred_at", "timestamptz"}, "due_at": {"r.due_at", "timestamptz"},
	},
}

// recordTotal is what the amounts of a currency come to.
type recordTotal struct {
	Currency string `json:"currency" example:"EUR"`
	Count    int64  `json:"count" doc:"Of the records with an amount in this currency"`
	Amount   string `json:"amount" doc:"Their exact sum" example:"1299.00"`
}

type statusCount struct {
	Status string `json:"status" doc:"Empty for records without one"`
	Count  int64  `json:"count"`
}

// recordSummary is what all records of a kind come to, whatever the list is filtered by.
type recordSummary struct {
	Count    int64         `json:"count"`
	Totals   []recordTotal `json:"totals"`
	ByStatus []statusCount `json:"by_status"`
}

// recordList is a page of records, with what all of the kind come to.
type recordList struct {
	Fresh
	Body struct {
		Items      []recordItem  `json:"items"`
		NextCursor string        `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		Total      total         `json:"total"`
		Totals     []recordTotal `json:"totals" doc:"By currency, of all records of the kind: filters do not matter"`
		ByStatus   []statusCount `json:"by_status" doc:"Of all records of the kind: filters do not matter"`
		Position   string        `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

type recordsRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	Kind string    `path:"kind" enum:"tickets,transactions,integrations"`
	Page
	Status []string `query:"status,explode" doc:"Only those of any of these statuses" maxItems:"20"`
	System []string `query:"system,explode" doc:"Only those of any of these systems" maxItems:"20"`
}

func (a *API) records(ctx context.Context, in *recordsRequest) (*recordList, error) {
	var f domain.Faults
	for i, s := range in.Status {
		in.Status[i] = domain.Text(s)
		f.Add(domain.CheckText(domain.At("status", i), in.Status[i], 50))
	}
	for i, s := range in.System {
		in.System[i] = strings.TrimSpace(s)
		f.Add(domain.CheckText(domain.At("system", i), in.System[i], 50))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	summaries := map[string]*recordSummary{}
	q := &query{before: func(b *pgx.Batch) {
		visible(ctx, in.ID)(b)
		summarise(b, summaries, in.Kind)
	}}
	q.arms = []arm{{"r.client_id", []uuid.UUID{in.ID}, "r.kind = " + q.bind(in.Kind)}}
	// One status or system is an arm that an index has; several are looked for in the order of the sort.
	for _, by := range []struct {
		column string
		values []string
	}{{"r.status", in.Status}, {"r.system", in.System}} {
		switch len(by.values) {
		case 0:
		case 1:
			q.arms[0].cond += " and " + by.column + " = " + q.bind(by.values[0])
		default:
			q.and(by.column + " = any(" + q.bind(by.values) + "::text[])")
		}
	}
	page, err := fetch(ctx, a, recordSource, q, in.Page, recordRow.item)
	if err = a.orAbsent(ctx, in.ID, page, err); err != nil {
		return nil, err
	}
	out := &recordList{Fresh: page.Fresh}
	s := of(summaries, in.Kind)
	out.Body.Items, out.Body.NextCursor, out.Body.Total, out.Body.Position = page.Body.Items, page.Body.NextCursor, page.Body.Total, page.Body.Position
	out.Body.Totals, out.Body.ByStatus = s.Totals, s.ByStatus
	return out, a.shown(ctx, accesslog.Records, in.ID)
}

// summarise queues the reading of what a client's records come to, of one kind or, with
// an empty one, of all.
func summarise(b *pgx.Batch, into map[string]*recordSummary, kind string) {
	var name, text, amount string
	var count int64
	const mine = ` where client_id = (select nullif(current_setting('annals.client', true), '')::uuid) and ($1 = '' or kind = $1) `
	b.Queue(`select kind, currency, sum(count)::bigint, sum(amount)::text from annals_read.record_totals`+mine+`group by kind, currency order by kind, currency`, kind).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&name, &text, &count, &amount}, func() error {
				s := of(into, name)
				s.Totals = append(s.Totals, recordTotal{text, count, amount})
				return nil
			})
			return err
		})
	b.Queue(`select kind, status, count from annals_read.record_statuses`+mine+`order by kind, count desc, status`, kind).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&name, &text, &count}, func() error {
				s := of(into, name)
				s.ByStatus = append(s.ByStatus, statusCount{text, count})
				s.Count += count
				return nil
			})
			return err
		})
}

func of(all map[string]*recordSummary, kind string) *recordSummary {
	if all[kind] == nil {
		all[kind] = &recordSummary{Totals: []recordTotal{}, ByStatus: []statusCount{}}
	}
	return all[kind]
}

// recordSummaries is what a client's records come to, by kind.
type recordSummaries struct {
	Fresh
	Body struct {
		Tickets      recordSummary `json:"tickets"`
		Transactions recordSummary `json:"transactions"`
		Integrations recordSummary `json:"integrations"`
		Position     string        `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

func (a *API) allRecords(ctx context.Context, in *struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	After
},
) (*recordSummaries, error) {
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out, summaries := &recordSummaries{}, map[string]*recordSummary{}
	var b pgx.Batch
	visible(ctx, in.ID)(&b)
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position = at.String()
		return err
	})
	summarise(&b, summaries, "")
	err := a.DB.Ask(ctx, &b)
	if err = a.orAbsent(ctx, in.ID, noneOf(len(summaries)), err); err != nil {
		return nil, err
	}
	out.Body.Tickets, out.Body.Transactions, out.Body.Integrations = *of(summaries, "tickets"), *of(summaries, "transactions"), *of(summaries, "integrations")
	out.Body.Position = out.Position
	return out, a.shown(ctx, accesslog.Records, in.ID)
}

// noneOf is how many were found.
type noneOf int

func (n noneOf) empty() bool { return n == 0 }
