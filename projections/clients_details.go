package projections

import (
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/message"
	"annals/internal/eventlog"
)

var (
	insertDetails   = NewInsert("client_details", "client_id", "details", "status_at")
	editDetails     = NewUpdate("client_details", "client_id", `details = (details || $2::jsonb) - $3::text[]`)
	statusOfDetails = NewUpdate("client_details", "client_id", `status_at = $2, status_reason = $3`)
	eraseDetails    = NewUpdate("client_details", "client_id", `details = '{}', status_reason = ''`).Maybe()

	insertValue = NewInsert("client_values", "client_id", "key", "value")

	insertContact = NewInsert("client_contacts", "id", "client_id", "at")
)

const (
	setValue     = `insert into client_values (client_id, key, value) values ($1, $2, $3) on conflict (client_id, key) do update set value = excluded.value`
	removeValues = `delete from client_values where client_id = $1 and key = any($2)`
	eraseValues  = `delete from client_values where client_id = $1`
)

// What a call or message that is not one any more, or was at another time, leaves
// behind.
const (
	moveContact   = `update client_contacts set at = $2 where id = $1`
	removeContact = `delete from client_contacts where id = $1`
	lastContact   = `update clients set last_contacted_at = (select max(k.at) from client_contacts k where k.client_id = clients.id) where id = $1`
)

// inColumns are details that are columns of clients.
var inColumns = []string{
	"type", "first_name", "middle_name", "last_name", "display_name", "company", "email", "phone", "website",
	"address.street", "address.city", "address.region", "address.postal_code", "address.country",
}

func applyDetails(b *pgx.Batch, r *eventlog.Record, e client.Event) {
	switch e := e.(type) { //nolint:gochecksumtype // the others change what is in columns of clients only
	case client.Registered:
		insertDetails.Queue(b, id(r), object(beside(e.Details)), r.Meta.At)
		for key, value := range byValue(e.Custom) {
			insertValue.Queue(b, id(r), key, value)
		}
	case client.Edited:
		was, is := beside(e.From), beside(e.To)
		gone := []string{}
		for path := range was {
			if _, stays := is[path]; !stays {
				gone = append(gone, path)
			}
		}
		if len(is)+len(gone) > 0 {
			editDetails.Queue(b, id(r), object(is), gone)
		}
		applyValues(b, r, e.From.Custom, e.To.Custom)
	case client.StatusChanged:
		statusOfDetails.Queue(b, id(r), r.Meta.At, e.Reason)
	}
}

// beside is what there is of details beside the columns, by path.
func beside(d client.Details) map[string]any {
	flat := client.Flatten(d)
	for _, path := range inColumns {
		delete(flat, path)
	}
	return flat
}

func applyValues(b *pgx.Batch, r *eventlog.Record, from, to map[string]any) {
	is := byValue(to)
	var gone []string
	for _, key := range slices.Sorted(maps.Keys(from)) {
		if _, stays := is[key]; !stays {
			gone = append(gone, key)
		}
	}
	if len(gone) > 0 {
		b.Queue(removeValues, id(r), gone)
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		b.Queue(setValue, id(r), key, is[key])
	}
}

// longest is how many bytes of JSON a value may have to be compared.
const longest = 300

// byValue are values as JSON, those that are compared.
func byValue(custom map[string]any) map[string]string {
	values := map[string]string{}
	for key, value := range custom {
		if raw := object(value); len(raw) <= longest {
			values[key] = string(raw)
		}
	}
	return values
}

// applyContact keeps when somebody was in contact with a client. What came back was
// none.
func applyContact(b *pgx.Batch, r *eventlog.Record) {
	contact := func(at any) {
		insertContact.Queue(b, id(r), subject(r), at)
		contactClient.Queue(b, subject(r), at)
	}
	switch e := r.Event.(type) {
	case call.Logged:
		contact(e.At)
	case call.Edited:
		if !e.To.At.IsZero() {
			b.Queue(moveContact, id(r), e.To.At)
			b.Queue(lastContact, subject(r))
		}
	case call.Deleted, message.Bounced:
		b.Queue(removeContact, id(r))
		b.Queue(lastContact, subject(r))
	case message.Sent:
		contact(e.At)
	case message.Logged:
		contact(e.At)
	}
}
