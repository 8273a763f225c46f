package projections

import (
	_ "embed"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain/record"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed related.sql
	relatedTables string
	//go:embed related.indexes.sql
	relatedIndexes string
)

// related is what other systems have about clients, and what that comes to.
var related = &Projector{
	Name: "related", Version: 1, Tables: relatedTables, Indexes: relatedIndexes,
	Apply: applyRelated, Inserts: []*Insert{insertRecord}, Updates: []*Update{updateRecord},
}

var (
	insertRecord = NewInsert("records", "id", "client_id", "kind", "system", "external_id", "title", "url", "status", "amount", "currency",
		"occurred_at", "due_at", "closed_at", "data", "added_at", "updated_at", "actor_id", "revision", "erased")
	// What has changed is in $4; the others stay.
	updateRecord = NewUpdate("records", "id", `revision = $2, updated_at = $3, actor_id = $15,
		title = case when 'title' = any($4::text[]) then $5 else title end,
		url = case when 'url' = any($4) then $6 else url end,
		status = case when 'status' = any($4) then $7 else status end,
		amount = case when 'amount' = any($4) then $8::numeric else amount end,
		currency = case when 'currency' = any($4) then $9 else currency end,
		occurred_at = case when 'occurred_at' = any($4) then $10::timestamptz else occurred_at end,
		due_at = case when 'due_at' = any($4) then $11::timestamptz else due_at end,
		closed_at = case when 'closed_at' = any($4) then $12::timestamptz else closed_at end,
		data = case when 'data' = any($4) then $13::jsonb else data end,
		erased = erased or $14`)
)

const (
	eraseRecords = `update records set external_id = '', title = '', url = '', amount = null, data = '{}', erased = true where client_id = $1`
	removeRecord = `delete from records where id = $1`
)

func applyRelated(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case eventschema.KeyDestroyed:
		b.Queue(eraseRecords, id(r))
	case record.Added:
		values := append([]any{id(r), subject(r), string(e.Kind), e.System, e.ExternalID}, recordDetails(e.Details)...)
		insertRecord.Queue(b, append(values, r.Meta.At, r.Meta.At, known(r.Meta.Actor), r.Revision, len(r.Erased) > 0)...)
	case record.Updated:
		values := append([]any{r.Revision, r.Meta.At, differing(e)}, recordDetails(e.To)...)
		updateRecord.Queue(b, id(r), append(values, len(r.Erased) > 0, known(r.Meta.Actor))...)
	case record.Removed:
		b.Queue(removeRecord, id(r))
	}
}

// recordDetails are the values of the columns from title to data.
func recordDetails(d record.Details) []any {
	var amount pgtype.Numeric
	if d.Amount != "" {
		if err := amount.Scan(d.Amount); err != nil {
			panic(err) // the command made it a decimal
		}
	}
	data := []byte("{}")
	if d.Data != nil {
		var err error
		if data, err = json.Marshal(d.Data); err != nil {
			panic(err) // texts always marshal
		}
	}
	return []any{d.Title, d.URL, d.Status, amount, d.Currency, orNever(d.OccurredAt), orNever(d.DueAt), orNever(d.ClosedAt), data}
}

// orNever is how a time is stored: the zero time, which stands for none, as null.
func orNever(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()} }

// differing are the names of what an update changes. What has been erased is not among
// it: there is nothing left on either side.
func differing(e record.Updated) []string {
	names := []string{}
	note := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	was, is := e.From, e.To
	note("title", was.Title != is.Title)
	note("url", was.URL != is.URL)
	note("status", was.Status != is.Status)
	note("amount", was.Amount != is.Amount)
	note("currency", was.Currency != is.Currency)
	note("occurred_at", was.OccurredAt != is.OccurredAt)
	note("due_at", was.DueAt != is.DueAt)
	note("closed_at", was.ClosedAt != is.ClosedAt)
	note("data", was.Data != nil || is.Data != nil)
	return names
}
