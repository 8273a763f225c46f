package readapi

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/accesslog"
)

// clientRecord is all that there is to know about a client.
type clientRecord struct {
	ID             uuid.UUID          `json:"id" format:"uuid"`
	Type           string             `json:"type" enum:"person,company"`
	Name           string             `json:"name" doc:"The display name if there is one, otherwise made of the names"`
	Title          string             `json:"title" example:"Dr."`
	FirstName      string             `json:"first_name"`
	MiddleName     string             `json:"middle_name"`
	LastName       string             `json:"last_name"`
	DisplayName    string             `json:"display_name"`
	Company        string             `json:"company"`
	JobTitle       string             `json:"job_title"`
	Gender         string             `json:"gender" doc:"female, male, diverse, unknown, or the client's own word"`
	DateOfBirth    string             `json:"date_of_birth" doc:"A date as in ISO 8601, or empty" example:"1984-02-29"`
	Language       string             `json:"language" doc:"A language tag of BCP 47, or empty" example:"de-AT"`
	TimeZone       string             `json:"time_zone" doc:"A name of the IANA time zone database, or empty" example:"Europe/Sofia"`
	Email          string             `json:"email" doc:"The first address"`
	EmailKind      string             `json:"email_kind"`
	OtherEmails    []recordOtherEmail `json:"other_emails" doc:"The others"`
	Emails         []recordEmail      `json:"emails" doc:"All addresses, the first one first"`
	Phone          string             `json:"phone" doc:"The first number, as it was typed"`
	PhoneKind      string             `json:"phone_kind"`
	PhoneCountry   string             `json:"phone_country"`
	PhoneE164      string             `json:"phone_e164" doc:"The first number as in E.164, or empty where it is none that can be dialled from anywhere" example:"+35929310142"`
	OtherPhones    []recordOtherPhone `json:"other_phones" doc:"The others"`
	Phones         []recordPhone      `json:"phones" doc:"All numbers, the first one first"`
	Website        string             `json:"website"`
	Address        recordAddress      `json:"address"`
	WorkAddress    recordAddress      `json:"work_address"`
	BillingAddress recordAddress      `json:"billing_address"`
	Addresses      recordAddresses    `json:"addresses" doc:"The same three by what they are for"`
	Billing        recordBilling      `json:"billing"`
	Affiliation    recordAffiliation  `json:"affiliation"`
	ExternalIDs    map[string]string  `json:"external_ids" doc:"What the client is called in other systems, by system"`
	Consents       map[string]consent `json:"consents" doc:"By channel: email, phone, sms, post, chat"`
	Meta           map[string]string  `json:"meta"`
	Custom         map[string]any     `json:"custom" doc:"Values of custom fields, by key"`
	Status         string             `json:"status" enum:"lead,active,inactive"`
	StatusAt       time.Time          `json:"status_changed_at" doc:"When it came to have this status"`
	StatusReason   string             `json:"status_reason,omitempty"`
	Project        *named             `json:"project"`
	Desk           *named             `json:"desk"`
	Manager        *named             `json:"manager"`
	Tags           []string           `json:"tags"`
	Active         bool               `json:"active" doc:"false while the client is deactivated"`
	Deactive       *time.Time         `json:"deactivated_at"`
	Reason         string             `json:"deactivation_reason,omitempty"`
	Portal         recordPortal       `json:"portal"`
	LastContacted  *time.Time         `json:"last_contacted_at" doc:"When a call was made or a message was sent or came, last"`
	Erased         bool               `json:"erased,omitempty" doc:"The person has been erased: what identified them is gone"`
	Warnings       []warning          `json:"warnings" doc:"What somebody should look at"`
	CreatedAt      time.Time          `json:"created_at"`
	UpdatedAt      time.Time          `json:"updated_at"`
	Revision       int64              `json:"revision"`
}

// TransformSchema says what huma cannot: these may be null.
func (clientRecord) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema { return orNull(s) }

func orNull(s *huma.Schema) *huma.Schema {
	for _, name := range []string{"project", "desk", "manager"} {
		s.Properties[name] = &huma.Schema{AnyOf: []*huma.Schema{s.Properties[name], {Type: "null"}}}
	}
	return s
}

// The parts of a record. As they are stored they have the names that they are answered by.
type (
	recordAddress struct {
		Street      string `json:"street"`
		City        string `json:"city"`
		Region      string `json:"region"`
		PostalCode  string `json:"postal_code"`
		Country     string `json:"country" doc:"As it was typed"`
		CountryCode string `json:"country_code" doc:"ISO 3166-1 alpha-2, where the country is known" example:"BG"`
	}
	recordAddresses struct {
		Home    recordAddress `json:"home"`
		Work    recordAddress `json:"work"`
		Billing recordAddress `json:"billing"`
	}
	recordEmail struct {
		Email   string `json:"email"`
		Kind    string `json:"kind"`
		Primary bool   `json:"primary"`
	}
	recordOtherEmail struct {
		Email string `json:"email"`
		Kind  string `json:"kind"`
	}
	recordPhone struct {
		Number  string `json:"number"`
		Kind    string `json:"kind"`
		Country string `json:"country"`
		E164    string `json:"e164"`
		Primary bool   `json:"primary"`
	}
	recordOtherPhone struct {
		Number  string `json:"number"`
		Kind    string `json:"kind"`
		Country string `json:"country"`
		E164    string `json:"e164"`
	}
	recordBilling struct {
		LegalName    string `json:"legal_name"`
		TaxID        string `json:"tax_id"`
		VATID        string `json:"vat_id"`
		IBAN         string `json:"iban"`
		Currency     string `json:"currency"`
		PaymentTerms string `json:"payment_terms" doc:"In how many days an invoice is due"`
	}
	recordAffiliation struct {
		AffiliateID string `json:"affiliate_id"`
		Source      string `json:"source"`
		Campaign    string `json:"campaign"`
		Referrer    string `json:"referrer"`
	}
	consent struct {
		Granted bool      `json:"granted"`
		At      time.Time `json:"at"`
		Source  string    `json:"source,omitempty"`
	}
	recordPortal struct {
		Access     bool       `json:"access"`
		Override   bool       `json:"override" doc:"Somebody said so, and the rule does not count"`
		LastSignIn *time.Time `json:"last_sign_in_at"`
	}
	warning struct {
		Field   string      `json:"field" example:"custom.customer_number"`
		Code    string      `json:"code" enum:"not_unique" doc:"not_unique: other clients that you see have the same"`
		Clients []uuid.UUID `json:"clients" doc:"Which, ten at most"`
	}
)

// clientRecordRow is a row of wholeSource.
type clientRecordRow struct {
	clientRow
	DisplayName      string
	Details          map[string]json.RawMessage
	StatusAt         *time.Time
	StatusReason     string
	PortalAccess     bool
	PortalOverride   bool
	PortalSignedInAt *time.Time
	Favourite        bool
}

var wholeSource = func() source {
	s := clientSource
	s.columns += `, c.display_name, c.details, c.status_at, c.status_reason, c.portal_access, c.portal_override, c.portal_signed_in_at, false as favourite`
	return s
}()

// sameValue is SQL for the other clients that the caller sees and that have the same value in a
// custom field that should be different for each. What the two have in common is the
// condition that a client is seen, which follows.
const sameValue = `select 'custom.' || f.key, array_agg(o.client_id order by o.client_id) from annals_read.clients me
	join annals_read.custom_fields f on f.unique_values and f.retired_at is null and (f.project_id is null or f.project_id = me.project_id)
	join annals_read.client_values v on v.client_id = me.id and v.key = f.key
	cross join lateral (select o.client_id from annals_read.client_values o join annals_read.clients c on c.id = o.client_id
		where o.key = v.key and o.value = v.value and o.client_id <> me.id and %s order by o.client_id limit 10) o
	where me.id = %s group by f.key order by f.key`

func (a *API) client(ctx context.Context, in *clientRequest) (*one[clientRecord], error) {
	then, err := in.point()
	if err != nil {
		return nil, err
	}
	if then != (point{}) {
		return a.clientThen(ctx, byID{in.ID, in.After}, then)
	}
	q, warnings := visibleClients(ctx), []warning{}
	q.before = func(b *pgx.Batch) {
		visible(ctx, in.ID)(b)
		others := visibleClients(ctx)
		cond := others.all()
		b.Queue(strings.Replace(strings.Replace(sameValue, "%s", cond, 1), "%s", others.bind(in.ID), 1), others.args...).Query(func(r pgx.Rows) (err error) {
			warnings, err = pgx.AppendRows(warnings, r, func(r pgx.CollectableRow) (w warning, err error) {
				w.Code = "not_unique"
				return w, r.Scan(&w.Field, &w.Clients)
			})
			return err
		})
	}
	out, err := fetchOne(ctx, a, wholeSource, q, byID{in.ID, in.After}, "client", clientRecordRow.record)
	if err != nil {
		return nil, err
	}
	if err := a.shown(ctx, accesslog.Record, in.ID); err != nil {
		return nil, err
	}
	out.Body.Warnings = warnings
	a.opened(ctx, in.ID)
	return out, nil
}

// record is the row as it is answered.
func (r clientRecordRow) record() clientRecord {
	d := flat(r.Details)
	c := r.item()
	home := recordAddress{c.Address.Street, c.Address.City, c.Address.Region, c.Address.PostalCode, c.Address.Country, d.text("address.country_code")}
	work, billing := d.address("work_address"), d.address("billing_address")
	to := clientRecord{
		ID: c.ID, Type: c.Type, Name: c.Name, Title: d.text("title"), FirstName: c.FirstName, MiddleName: c.MiddleName, LastName: c.LastName,
		DisplayName: r.DisplayName, Company: c.Company, JobTitle: d.text("job_title"), Gender: d.text("gender"), DateOfBirth: d.text("date_of_birth"),
		Language: d.text("language"), TimeZone: d.text("time_zone"), Email: c.Email, EmailKind: d.text("email_kind"),
		OtherEmails: []recordOtherEmail{}, Emails: []recordEmail{}, OtherPhones: []recordOtherPhone{}, Phones: []recordPhone{},
		Phone: c.Phone, PhoneKind: d.text("phone_kind"), PhoneCountry: d.text("phone_country"), PhoneE164: d.text("phone_e164"), Website: c.Website,
		Address: home, WorkAddress: work, BillingAddress: billing, Addresses: recordAddresses{home, work, billing},
		Billing: recordBilling{
			d.text("billing.legal_name"), d.text("billing.tax_id"), d.text("billing.vat_id"), d.text("billing.iban"), d.text("billing.currency"), d.text("billing.payment_terms"),
		},
		Affiliation: recordAffiliation{d.text("affiliation.affiliate_id"), d.text("affiliation.source"), d.text("affiliation.campaign"), d.text("affiliation.referrer")},
		ExternalIDs: within[string](d, "external_ids"), Consents: within[consent](d, "consents"), Meta: within[string](d, "meta"), Custom: within[any](d, "custom"),
		Status: c.Status, StatusAt: c.CreatedAt, Project: c.Project, Desk: c.Desk, Manager: c.Manager, Tags: c.Tags,
		Active: c.Active, Deactive: c.Deactive, Reason: c.Reason, Portal: recordPortal{r.PortalAccess, r.PortalOverride, r.PortalSignedInAt},
		LastContacted: c.Contacted, Erased: c.Erased, Warnings: []warning{}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, Revision: c.Revision,
	}
	if r.StatusAt != nil {
		to.StatusAt = *r.StatusAt
	}
	to.StatusReason = r.StatusReason
	if to.Email != "" {
		to.Emails = append(to.Emails, recordEmail{to.Email, to.EmailKind, true})
	}
	read(d["other_emails"], &to.OtherEmails)
	for _, e := range to.OtherEmails {
		to.Emails = append(to.Emails, recordEmail{e.Email, e.Kind, false})
	}
	if to.Phone != "" {
		to.Phones = append(to.Phones, recordPhone{to.Phone, to.PhoneKind, to.PhoneCountry, to.PhoneE164, true})
	}
	read(d["other_phones"], &to.OtherPhones)
	for _, p := range to.OtherPhones {
		to.Phones = append(to.Phones, recordPhone{p.Number, p.Kind, p.Country, p.E164, false})
	}
	return to
}

// flat is details by path, as the read model keeps them.
type flat map[string]json.RawMessage

func (d flat) text(path string) (s string) {
	read(d[path], &s)
	return s
}

func (d flat) address(at string) recordAddress {
	t := func(name string) string { return d.text(at + "." + name) }
	return recordAddress{t("street"), t("city"), t("region"), t("postal_code"), t("country"), t("country_code")}
}

// within are the values of a map that is kept at paths of its name and a key.
func within[T any](d flat, name string) map[string]T {
	out := map[string]T{}
	for path, raw := range d {
		if key, in := strings.CutPrefix(path, name+"."); in {
			var value T
			read(raw, &value)
			out[key] = value
		}
	}
	return out
}

// read reads what the read model has written, which fits.
func read(raw json.RawMessage, to any) {
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, to)
	}
}
