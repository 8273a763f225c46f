package projections

import (
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/message"
	"annals/domain/portal"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/textfold"
)

var (
	//go:embed clients.sql
	clientsTables string
	//go:embed clients.indexes.sql
	clientsIndexes string
)

// clients is the list of clients and the record of each.
var clients = &Projector{
	Name: "clients", Version: 3, Tables: clientsTables, Indexes: clientsIndexes,
	Apply: applyClients, Inserts: []*Insert{insertClient, insertDetails, insertContact, insertValue},
	Updates: []*Update{
		editClient, assignClient, retagClient, changeClientStatus, deactivateClient, portalOfClient, signInClient, contactClient, eraseClient,
		editDetails, statusOfDetails, eraseDetails,
	},
}

var insertClient = NewInsert("clients",
	"id", "type", "first_name", "middle_name", "last_name", "display_name", "company", "email", "phone", "website",
	"street", "city", "region", "postal_code", "country",
	"first_key", "middle_key", "last_key", "display_key", "company_key", "email_key", "emails_key", "phone_key", "e164_key", "phones_key",
	"project_id", "desk_id", "manager_id", "status", "tags", "created_at", "updated_at", "revision", "erased")

var (
	// A parameter is null where the detail stays.
	editClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3,
		type = coalesce($4, type), first_name = coalesce($5, first_name), middle_name = coalesce($6, middle_name),
		last_name = coalesce($7, last_name), display_name = coalesce($8, display_name), company = coalesce($9, company),
		email = coalesce($10, email), phone = coalesce($11, phone), website = coalesce($12, website),
		street = coalesce($13, street), city = coalesce($14, city), region = coalesce($15, region),
		postal_code = coalesce($16, postal_code), country = coalesce($17, country), first_key = coalesce($18, first_key),
		middle_key = coalesce($19, middle_key), last_key = coalesce($20, last_key), display_key = coalesce($21, display_key),
		company_key = coalesce($22, company_key), email_key = coalesce($23, email_key), emails_key = coalesce($24, emails_key),
		phone_key = coalesce($25, phone_key), e164_key = coalesce($26, e164_key), phones_key = coalesce($27, phones_key)`)
	assignClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3, project_id = $4, desk_id = $5, manager_id = $6`)
	retagClient  = NewUpdate("clients", "id", `revision = $2, updated_at = $3, tags = array(
		select t from (select unnest(tags) union select unnest($4::text[]) except select unnest($5::text[])) u (t) order by t collate "C")`)
	changeClientStatus = NewUpdate("clients", "id", `revision = $2, updated_at = $3, status = $4`)
	deactivateClient   = NewUpdate("clients", "id", `revision = $2, updated_at = $3, deactivated_at = $4, deactivation_reason = $5`)
	portalOfClient     = NewUpdate("clients", "id", `portal_access = coalesce($2, portal_access), portal_override = coalesce($3, portal_override)`)
	signInClient       = NewUpdate("clients", "id", `portal_signed_in_at = greatest(portal_signed_in_at, $2)`)
	contactClient      = NewUpdate("clients", "id", `last_contacted_at = greatest(last_contacted_at, $2)`).Maybe()
	eraseClient        = NewUpdate("clients", "id", `erased = true, first_name = '', middle_name = '', last_name = '', display_name = '', company = '', email = '',
		phone = '', website = '', street = '', city = '', region = '', postal_code = '', country = '', first_key = '', middle_key = '', last_key = '',
		display_key = '', company_key = '', email_key = '', emails_key = '', phone_key = '', e164_key = '', phones_key = '', deactivation_reason = ''`).Maybe()
)

func applyClients(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case eventschema.KeyDestroyed:
		eraseClient.Queue(b, id(r))
		eraseDetails.Queue(b, id(r))
		b.Queue(eraseValues, id(r))
	case client.Event:
		applyClient(b, r, e)
		applyDetails(b, r, e)
	case call.Event, message.Event:
		applyContact(b, r)
	case portal.Event:
		applyPortal(b, r, e)
	}
}

func applyClient(b *pgx.Batch, r *eventlog.Record, e client.Event) {
	change := func(u *Update, values ...any) {
		u.Queue(b, id(r), append([]any{r.Revision, r.Meta.At}, values...)...)
	}
	switch e := e.(type) {
	case client.Registered:
		insertClient.Queue(b, append(append([]any{id(r)}, details(e.Details)...),
			orNull(e.ProjectID), orNull(e.DeskID), orNull(e.ManagerID), string(e.Status), list(e.Tags),
			r.Meta.At, r.Meta.At, r.Revision, len(r.Erased) > 0)...)
	case client.Edited:
		was, is := details(e.From), details(e.To)
		for i := range is {
			if was[i] == "" && is[i] == "" {
				is[i] = nil // on neither side: not edited
			}
		}
		change(editClient, is...)
	case client.Reassigned:
		change(assignClient, orNull(e.To.ProjectID), orNull(e.To.DeskID), orNull(e.To.ManagerID))
	case client.Retagged:
		change(retagClient, list(e.Added), list(e.Removed))
	case client.StatusChanged:
		change(changeClientStatus, string(e.To))
	case client.Deactivated:
		change(deactivateClient, r.Meta.At, e.Reason)
	case client.Reactivated:
		change(deactivateClient, nil, "")
	}
}

// applyPortal changes the row of the client, whose id the portal has.
func applyPortal(b *pgx.Batch, r *eventlog.Record, e portal.Event) {
	switch e := e.(type) {
	case portal.AccessGranted:
		portalOfClient.Queue(b, id(r), true, overridden(e.Cause))
	case portal.AccessRevoked:
		portalOfClient.Queue(b, id(r), false, overridden(e.Cause))
	case portal.OverrideCleared:
		portalOfClient.Queue(b, id(r), nil, false)
	case portal.SignedIn:
		signInClient.Queue(b, id(r), e.At)
	}
}

// overridden is whether access was overridden from then on; nil: as it was.
func overridden(c portal.Cause) any {
	if c == portal.ByOverride {
		return true
	}
	return nil
}

// details are the values of the columns from type to phones_key. A key is empty
// exactly where its field is.
func details(d client.Details) []any {
	a := d.Address
	var emails, phones []string
	for _, e := range d.OtherEmails {
		emails = append(emails, textfold.Fold(e.Email))
	}
	for _, p := range d.OtherPhones {
		phones = append(phones, textfold.Fold(p.Number), textfold.Digits(p.Number), textfold.Digits(p.E164))
	}
	return []any{
		string(d.Type), d.FirstName, d.MiddleName, d.LastName, d.DisplayName, d.Company, d.Email, d.Phone, d.Website,
		a.Street, a.City, a.Region, a.PostalCode, a.Country,
		textfold.Fold(d.FirstName), textfold.Fold(d.MiddleName), textfold.Fold(d.LastName), textfold.Fold(d.DisplayName), textfold.Fold(d.Company),
		textfold.Fold(d.Email), strings.Join(emails, " "),
		strings.TrimSpace(textfold.Fold(d.Phone) + " " + textfold.Digits(d.Phone)), textfold.Digits(d.PhoneE164), strings.TrimSpace(strings.Join(phones, " ")),
	}
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
