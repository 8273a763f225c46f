package projections

import (
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

	insertContact = NewInsert("client_contacts", "id", "client_id", "at")
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
