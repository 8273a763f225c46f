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
	lastContact   = `update clients set since = greatest(since, $2), last_contacted_at = (select max(k.at) from client_contacts k where k.client_id = clients.id) where id = $1`
)

// inColumns are details that are columns of clients.
var inColumns = []string{
	"type", "first_name", "middle_name", "last_name", "display_name", "company", "email", "phone", "website",
	"address.street", "address.city", "address.region", "address.postal_code", "address.country",
}

func applyValues(b *pgx.Batch, r *eventlog.Record, e client.Event) {
	switch e := e.(type) { //nolint:gochecksumtype // the others change no values
	case client.Registered:
		for key, value := range byValue(e.Custom) {
			insertValue.Queue(b, id(r), key, value)
		}
	case client.Edited:
		changeValues(b, r, e.From.Custom, e.To.Custom)
	}
}

// inColumnsOf are the values of [inColumns].
func inColumnsOf(d client.Details) []any {
	flat, values := client.Flatten(d), make([]any, len(inColumns))
	for i, path := range inColumns {
		text, _ := flat[path].(string)
		values[i] = text
	}
	return values
}

// beside is what there is of details beside the columns, by path.
func beside(d client.Details) map[string]any {
	flat := client.Flatten(d)
	for _, path := range inColumns {
		delete(flat, path)
	}
	return flat
}

// changed is what has come to be, and which paths are gone.
func changed(was, is map[string]any) (to []byte, gone []string) {
	gone = []string{}
	for path := range was {
		if _, stays := is[path]; !stays {
			gone = append(gone, path)
		}
	}
	slices.Sort(gone)
	return object(is), gone
}

func changeValues(b *pgx.Batch, r *eventlog.Record, from, to map[string]any) {
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
		contactClient.Queue(b, subject(r), r.Meta.At, at)
	}
	switch e := r.Event.(type) {
	case call.Logged:
		contact(e.At)
	case call.Edited:
		if !e.To.At.IsZero() {
			b.Queue(moveContact, id(r), e.To.At)
			b.Queue(lastContact, subject(r), r.Meta.At)
		}
	case call.Deleted, message.Bounced:
		b.Queue(removeContact, id(r))
		b.Queue(lastContact, subject(r), r.Meta.At)
	case message.Sent:
		contact(e.At)
	case message.Logged:
		contact(e.At)
	}
}
