package projections

import (
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/client"
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
	Name: "clients", Version: 2, Tables: clientsTables, Indexes: clientsIndexes,
	Apply: applyClients, Inserts: []*Insert{insertClient},
	Updates: []*Update{editClient, assignClient, retagClient, changeClientStatus, deactivateClient, touchClient, eraseClient},
}

var insertClient = NewInsert("clients",
	"id", "type", "first_name", "middle_name", "last_name", "company", "email", "phone", "website",
	"street", "city", "region", "postal_code", "country",
	"first_key", "middle_key", "last_key", "company_key", "email_key", "phone_key",
	"project_id", "desk_id", "manager_id", "status", "tags", "created_at", "updated_at", "revision", "erased")

var (
	// A parameter is null where the detail stays.
	editClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3,
		type = coalesce($4, type), first_name = coalesce($5, first_name), middle_name = coalesce($6, middle_name),
		last_name = coalesce($7, last_name), company = coalesce($8, company), email = coalesce($9, email),
		phone = coalesce($10, phone), website = coalesce($11, website), street = coalesce($12, street),
		city = coalesce($13, city), region = coalesce($14, region), postal_code = coalesce($15, postal_code),
		country = coalesce($16, country), first_key = coalesce($17, first_key), middle_key = coalesce($18, middle_key),
		last_key = coalesce($19, last_key), company_key = coalesce($20, company_key), email_key = coalesce($21, email_key),
		phone_key = coalesce($22, phone_key)`)
	assignClient = NewUpdate("clients", "id", `revision = $2, updated_at = $3, project_id = $4, desk_id = $5, manager_id = $6`)
	retagClient  = NewUpdate("clients", "id", `revision = $2, updated_at = $3, tags = array(
		select t from (select unnest(tags) union select unnest($4::text[]) except select unnest($5::text[])) u (t) order by t collate "C")`)
	changeClientStatus = NewUpdate("clients", "id", `revision = $2, updated_at = $3, status = $4`)
	deactivateClient   = NewUpdate("clients", "id", `revision = $2, updated_at = $3, deactivated_at = $4, deactivation_reason = $5`)
	touchClient        = NewUpdate("clients", "id", `revision = $2, updated_at = $3`)
	eraseClient        = NewUpdate("clients", "id", `erased = true, first_name = '', middle_name = '', last_name = '', company = '', email = '',
		phone = '', website = '', street = '', city = '', region = '', postal_code = '', country = '', first_key = '', middle_key = '',
		last_key = '', company_key = '', email_key = '', phone_key = '', deactivation_reason = ''`).Maybe()
)

func applyClients(b *pgx.Batch, r *eventlog.Record) {
	if _, ok := r.Event.(eventschema.KeyDestroyed); ok {
		eraseClient.Queue(b, id(r))
		return
	}
	e, ok := r.Event.(client.Event)
	if !ok {
		return
	}
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
	case client.PortalAccessGranted, client.PortalAccessRevoked, client.PortalOverrideCleared, client.PortalSignedIn:
		change(touchClient)
	}
}

// details are the values of the columns from type to phone_key. A key is empty
// exactly where its field is.
func details(d client.Details) []any {
	a := d.Address
	return []any{
		string(d.Type), d.FirstName, d.MiddleName, d.LastName, d.Company, d.Email, d.Phone, d.Website,
		a.Street, a.City, a.Region, a.PostalCode, a.Country,
		textfold.Fold(d.FirstName), textfold.Fold(d.MiddleName), textfold.Fold(d.LastName), textfold.Fold(d.Company), textfold.Fold(d.Email),
		strings.TrimSpace(textfold.Fold(d.Phone) + " " + textfold.Digits(d.Phone)),
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
