package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/message"
	"annals/domain/portal"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed clients.sql
	clientsTables string
	//go:embed clients.derive.sql
	clientsDerive string
	//go:embed clients.indexes.sql
	clientsIndexes string
)

// clients is the list of clients and the record of each.
var clients = &Projector{
	Name: "clients", Version: 7, Tables: clientsTables, Derive: clientsDerive, Indexes: clientsIndexes, Found: []string{"clients", "client_times", "client_past", "client_counts", "client_words"},
	Apply: applyClients, Inserts: []*Insert{insertClient, insertContact, insertValue},
	Updates: []*Update{
		editClient, assignClient, retagClient, changeClientStatus, deactivateClient, holdClient, endClient, portalOfClient, signInClient, contactClient, eraseClient,
	},
}

var insertClient = NewInsert("clients",
	"id", "type", "first_name", "middle_name", "last_name", "display_name", "company", "email", "phone", "website",
	"street", "city", "region", "postal_code", "country", "details", "keys", "words",
	"project_id", "desk_id", "manager_id", "status", "status_at", "tags", "created_at", "updated_at", "since", "revision", "erased")

// The row is as it is now since an event that changes it: client_past keeps what it was.
var (
	// A parameter is null where the detail stays. Of those by path come what they are and which are gone.
	editClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3),
		type = coalesce($4, type), first_name = coalesce($5, first_name), middle_name = coalesce($6, middle_name),
		last_name = coalesce($7, last_name), display_name = coalesce($8, display_name), company = coalesce($9, company),
		email = coalesce($10, email), phone = coalesce($11, phone), website = coalesce($12, website),
		street = coalesce($13, street), city = coalesce($14, city), region = coalesce($15, region),
		postal_code = coalesce($16, postal_code), country = coalesce($17, country),
		details = (details || $18::jsonb) - $19::text[], keys = (keys || $20::jsonb) - $21::text[], words = (words || $22::jsonb) - $23::text[]`)
	assignClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), project_id = $4, desk_id = $5, manager_id = $6`)
	retagClient  = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), tags = array(
		select t from (select unnest(tags) union select unnest($4::text[]) except select unnest($5::text[])) u (t) order by t collate "C")`)
	changeClientStatus = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), status = $4, status_at = $3, status_reason = $5,
		keys = (keys - 'status_reason') || $6::jsonb`)
	deactivateClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), deactivated_at = $4, deactivation_reason = $5,
		keys = (keys - 'deactivation_reason') || $6::jsonb`)
	holdClient     = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), held = $4`)
	endClient      = NewUpdate("clients", "id", `revision = $2, updated_at = $3, since = greatest(since, $3), erasing = true`)
	portalOfClient = NewUpdate("clients", "id", `since = greatest(since, $2), portal_access = coalesce($3, portal_access), portal_override = coalesce($4, portal_override)`)
	signInClient   = NewUpdate("clients", "id", `since = greatest(since, $2), portal_signed_in_at = greatest(portal_signed_in_at, $3)`)
	contactClient  = NewUpdate("clients", "id", `since = greatest(since, $2), last_contacted_at = greatest(last_contacted_at, $3)`).Maybe()
	eraseClient    = NewUpdate("clients", "id", erased).Maybe()
)

const (
	erased = `erased = true, first_name = '', middle_name = '', last_name = '', display_name = '', company = '', email = '', phone = '', website = '', street = '',
		city = '', region = '', postal_code = '', country = '', details = '{}', keys = '{}', words = '{}', status_reason = '', deactivation_reason = ''`
	// There nothing is generated.
	erasePast = `update client_past set ` + erased + `, name = '', name_key = null, first_name_key = null, last_name_key = null, company_key = null, email_key = null,
		phone_key = null, city_key = null, country_key = null, search = ' ' where id = $1`
)

func applyClients(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case eventschema.KeyDestroyed:
		eraseClient.Queue(b, id(r))
		b.Queue(erasePast, id(r))
		b.Queue(eraseValues, id(r))
	case client.Event:
		applyClient(b, r, e)
		applyValues(b, r, e)
	case call.Event, message.Event:
		applyContact(b, r)
	case portal.Event:
		applyPortal(b, r, e)
	}
}

func applyClient(b *pgx.Batch, r *eventlog.Record, e client.Event) {
	at := r.Meta.At
	change := func(u *Update, values ...any) {
		u.Queue(b, id(r), append([]any{r.Revision, at}, values...)...)
	}
	switch e := e.(type) {
	case client.Registered:
		place := []any{orNull(e.ProjectID), orNull(e.DeskID), orNull(e.ManagerID)}
		values := append(append([]any{id(r)}, inColumnsOf(e.Details)...), object(beside(e.Details)), object(keys(e.Details)), object(searched(e.Details)))
		insertClient.Queue(b, append(append(values, place...), string(e.Status), at, list(e.Tags), at, at, at, r.Revision, len(r.Erased) > 0)...)
	case client.Edited:
		was, is := inColumnsOf(e.From), inColumnsOf(e.To)
		for i := range is {
			if was[i] == "" && is[i] == "" {
				is[i] = nil // on neither side: not edited
			}
		}
		for _, by := range []func(client.Details) map[string]any{beside, keys, searched} {
			to, gone := changed(by(e.From), by(e.To))
			is = append(is, to, gone)
		}
		change(editClient, is...)
	case client.Reassigned:
		change(assignClient, orNull(e.To.ProjectID), orNull(e.To.DeskID), orNull(e.To.ManagerID))
	case client.Retagged:
		change(retagClient, list(e.Added), list(e.Removed))
	case client.StatusChanged:
		change(changeClientStatus, string(e.To), e.Reason, object(reason("status_reason", e.Reason)))
	case client.Deactivated:
		change(deactivateClient, at, e.Reason, object(reason("deactivation_reason", e.Reason)))
	case client.Reactivated:
		change(deactivateClient, nil, "", object(reason("deactivation_reason", "")))
	case client.Held: // for what else, see erasures
		change(holdClient, true)
	case client.Released:
		change(holdClient, false)
	case client.Erased:
		change(endClient)
	}
}

// applyPortal changes the row of the client, whose id the portal has.
func applyPortal(b *pgx.Batch, r *eventlog.Record, e portal.Event) {
	switch e := e.(type) {
	case portal.AccessGranted:
		portalOfClient.Queue(b, id(r), r.Meta.At, true, overridden(e.Cause))
	case portal.AccessRevoked:
		portalOfClient.Queue(b, id(r), r.Meta.At, false, overridden(e.Cause))
	case portal.OverrideCleared:
		portalOfClient.Queue(b, id(r), r.Meta.At, nil, false)
	case portal.SignedIn:
		signInClient.Queue(b, id(r), r.Meta.At, e.At)
	}
}

// overridden is whether access was overridden from then on; nil: as it was.
func overridden(c portal.Cause) any {
	if c == portal.ByOverride {
		return true
	}
	return nil
}

// id is that of the record's aggregate.
func id(r *eventlog.Record) pgtype.UUID {
	ref, err := r.Ref()
	if err != nil {
		panic(err) // a record that was decoded has one
	}
	return orNull(ref.ID)
}

// orNull is how an id is stored: the zero ID, which stands for none, as null.
func orNull(id domain.ID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != domain.ID{}} }

// list keeps an empty list from being stored as null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
