package client

import (
	"time"

	"annals/domain"
)

// Type says what a client is.
type Type string

// The types of client.
const (
	Person  Type = "person"
	Company Type = "company"
)

// Details is what is known about a client itself. Adding one that is text takes a
// field here and a line in texts, and a column where it is to be listed.
//
// One e-mail address, phone number and address are the client's first, in fields of
// their own, as they have been from the beginning; [Emails], [Phones] and [Forms] put
// them together with the others. A list or map is personal as a whole.
type Details struct {
	Type           Type                `json:"type,omitempty" doc:"person or company; told from the names when left out" enum:"person,company"`
	Title          string              `json:"title,omitempty" doc:"What goes before the name" example:"Dr." personal:"yes"`
	FirstName      string              `json:"first_name,omitempty" example:"Elena" personal:"yes"`
	MiddleName     string              `json:"middle_name,omitempty" personal:"yes"`
	LastName       string              `json:"last_name,omitempty" example:"Petrova" personal:"yes"`
	DisplayName    string              `json:"display_name,omitempty" doc:"What the client is called, where that is not made of the names" personal:"yes"`
	Company        string              `json:"company,omitempty" doc:"The company's name, or the one that the person works for" example:"Petrova Marine" personal:"yes"`
	JobTitle       string              `json:"job_title,omitempty" example:"Head of purchasing" personal:"yes"`
	Gender         string              `json:"gender,omitempty" doc:"female, male, diverse, unknown, or the client's own word" example:"female" personal:"yes"`
	DateOfBirth    string              `json:"date_of_birth,omitempty" doc:"A date as in ISO 8601" example:"1984-02-29" personal:"yes"`
	Language       string              `json:"language,omitempty" doc:"A language tag of BCP 47; stored in its canonical form" example:"de-AT" personal:"yes"`
	TimeZone       string              `json:"time_zone,omitempty" doc:"A name of the IANA time zone database" example:"Europe/Sofia" personal:"yes"`
	Email          string              `json:"email,omitempty" doc:"The first address; others are in other_emails" example:"elena@example.com" personal:"yes"`
	EmailKind      string              `json:"email_kind,omitempty" doc:"work, home, billing or other" example:"work" personal:"yes"`
	OtherEmails    []Email             `json:"other_emails,omitempty" doc:"Addresses beside the first" maxItems:"20" personal:"yes"`
	Phone          string              `json:"phone,omitempty" doc:"The first number, as it was typed; others are in other_phones" example:"02 931 0142" personal:"yes"`
	PhoneKind      string              `json:"phone_kind,omitempty" doc:"mobile, work, home, fax or other" example:"work" personal:"yes"`
	PhoneCountry   string              `json:"phone_country,omitempty" doc:"ISO 3166-1 alpha-2: the number has to be one of this country. Without it, that of the address is tried" example:"BG" personal:"yes"`
	PhoneE164      string              `json:"phone_e164,omitempty" doc:"The number as in E.164, where it is one. Derived: not taken from what is sent" readOnly:"true" example:"+35929310142" personal:"yes"`
	OtherPhones    []Phone             `json:"other_phones,omitempty" doc:"Numbers beside the first" maxItems:"20" personal:"yes"`
	Website        string              `json:"website,omitempty" example:"https://petrova-marine.example" personal:"yes"`
	Address        Address             `json:"address,omitzero" doc:"Where a person lives, or a company is"`
	WorkAddress    Address             `json:"work_address,omitzero" doc:"Where a person works"`
	BillingAddress Address             `json:"billing_address,omitzero" doc:"Where invoices go"`
	Billing        Billing             `json:"billing,omitzero" doc:"How the client is invoiced, and pays"`
	Affiliation    Affiliation         `json:"affiliation,omitzero" doc:"How the client came"`
	ExternalIDs    map[string]string   `json:"external_ids,omitempty" doc:"What the client is called in other systems, by system: at most 50" example:"{\"erp\":\"C-1042\"}" personal:"yes"`
	Consents       map[Channel]Consent `json:"consents,omitempty" doc:"Whether the client may be contacted, by channel: email, phone, sms, post, chat" personal:"yes"`
	Meta           map[string]string   `json:"meta,omitempty" doc:"Meta tags: any keys and values, at most 100" example:"{\"fair\":\"Hamburg 2026\"}" personal:"yes"`
	Custom         map[string]any      `json:"custom,omitempty" doc:"Values of custom fields, by key" personal:"yes"`
}

// Address is where a client is found.
type Address struct {
	Street      string `json:"street,omitempty" example:"ul. Slivnitsa 12" personal:"yes"`
	City        string `json:"city,omitempty" example:"Varna" personal:"yes"`
	Region      string `json:"region,omitempty" personal:"yes"`
	PostalCode  string `json:"postal_code,omitempty" example:"9000" personal:"yes"`
	Country     string `json:"country,omitempty" doc:"As it was typed; the name of country_code where only that is given" example:"Bulgaria" personal:"yes"`
	CountryCode string `json:"country_code,omitempty" doc:"ISO 3166-1 alpha-2; told from country where that is known" example:"BG" personal:"yes"`
}

// Billing is how a client is invoiced, and pays.
type Billing struct {
	LegalName    string `json:"legal_name,omitempty" doc:"The name that invoices are made out to" example:"Petrova Marine EOOD" personal:"yes"`
	TaxID        string `json:"tax_id,omitempty" personal:"yes"`
	VATID        string `json:"vat_id,omitempty" doc:"Begins with the letters of its country; those of the EU are checked against the form that they have there" example:"BG123456789" personal:"yes"`
	IBAN         string `json:"iban,omitempty" doc:"ISO 13616: checked, and stored without spaces" example:"BG80BNBG96611020345678" personal:"yes"`
	Currency     string `json:"currency,omitempty" doc:"ISO 4217" example:"EUR" personal:"yes"`
	PaymentTerms string `json:"payment_terms,omitempty" doc:"In how many days an invoice is due: a text of digits, 0 to 365" example:"30" personal:"yes"`
}

// Affiliation is how a client came.
type Affiliation struct {
	AffiliateID string `json:"affiliate_id,omitempty" doc:"The partner, as they are called where partners are kept" example:"A-77" personal:"yes"`
	Source      string `json:"source,omitempty" example:"fair" personal:"yes"`
	Campaign    string `json:"campaign,omitempty" example:"spring-2026" personal:"yes"`
	Referrer    string `json:"referrer,omitempty" doc:"Who or what referred the client: a name, or a web address" personal:"yes"`
}

// text is one of the details that are text.
type text struct {
	name string
	most int // characters
	at   func(*Details) *string
	// form checks beyond length what is not empty, and brings it into the form in which it
	// is stored, where that is another.
	form func(field, s string) (string, error)
}

// derived are texts that follow from others: what is sent for them counts for nothing.
var derived = map[string]bool{"phone_e164": true}

var texts = append(append(append(append([]text{
	{"title", 50, func(d *Details) *string { return &d.Title }, nil},
	{"first_name", 100, func(d *Details) *string { return &d.FirstName }, nil},
	{"middle_name", 100, func(d *Details) *string { return &d.MiddleName }, nil},
	{"last_name", 100, func(d *Details) *string { return &d.LastName }, nil},
	{"display_name", 200, func(d *Details) *string { return &d.DisplayName }, nil},
	{"company", 200, func(d *Details) *string { return &d.Company }, nil},
	{"job_title", 100, func(d *Details) *string { return &d.JobTitle }, nil},
	{"gender", 50, func(d *Details) *string { return &d.Gender }, genderForm},
	{"date_of_birth", 10, func(d *Details) *string { return &d.DateOfBirth }, dateForm},
	{"language", 100, func(d *Details) *string { return &d.Language }, languageForm},
	{"time_zone", 100, func(d *Details) *string { return &d.TimeZone }, zoneForm},
	{"email", 254, func(d *Details) *string { return &d.Email }, checked(domain.CheckEmail)},
	{"email_kind", 20, func(d *Details) *string { return &d.EmailKind }, kindForm(emailKinds)},
	{"phone", 50, func(d *Details) *string { return &d.Phone }, checked(domain.CheckPhone)},
	{"phone_kind", 20, func(d *Details) *string { return &d.PhoneKind }, kindForm(phoneKinds)},
	{"phone_country", 2, func(d *Details) *string { return &d.PhoneCountry }, countryForm},
	{"phone_e164", 20, func(d *Details) *string { return &d.PhoneE164 }, nil},
	{"website", 500, func(d *Details) *string { return &d.Website }, checked(checkWebsite)},
},
	addressTexts("address", func(d *Details) *Address { return &d.Address })...),
	addressTexts("work_address", func(d *Details) *Address { return &d.WorkAddress })...),
	addressTexts("billing_address", func(d *Details) *Address { return &d.BillingAddress })...),
	[]text{
		{"billing.legal_name", 200, func(d *Details) *string { return &d.Billing.LegalName }, nil},
		{"billing.tax_id", 50, func(d *Details) *string { return &d.Billing.TaxID }, nil},
		{"billing.vat_id", 50, func(d *Details) *string { return &d.Billing.VATID }, vatForm},
		{"billing.iban", 50, func(d *Details) *string { return &d.Billing.IBAN }, ibanForm},
		{"billing.currency", 3, func(d *Details) *string { return &d.Billing.Currency }, currencyForm},
		{"billing.payment_terms", 10, func(d *Details) *string { return &d.Billing.PaymentTerms }, termsForm},
		{"affiliation.affiliate_id", 100, func(d *Details) *string { return &d.Affiliation.AffiliateID }, nil},
		{"affiliation.source", 100, func(d *Details) *string { return &d.Affiliation.Source }, nil},
		{"affiliation.campaign", 200, func(d *Details) *string { return &d.Affiliation.Campaign }, nil},
		{"affiliation.referrer", 500, func(d *Details) *string { return &d.Affiliation.Referrer }, nil},
	}...)

// addresses are all of them, by their names in JSON.
var addresses = []struct {
	name string
	at   func(*Details) *Address
}{
	{"address", func(d *Details) *Address { return &d.Address }},
	{"work_address", func(d *Details) *Address { return &d.WorkAddress }},
	{"billing_address", func(d *Details) *Address { return &d.BillingAddress }},
}

func addressTexts(name string, of func(*Details) *Address) []text {
	return []text{
		{name + ".street", 200, func(d *Details) *string { return &of(d).Street }, nil},
		{name + ".city", 100, func(d *Details) *string { return &of(d).City }, nil},
		{name + ".region", 100, func(d *Details) *string { return &of(d).Region }, nil},
		{name + ".postal_code", 20, func(d *Details) *string { return &of(d).PostalCode }, nil},
		{name + ".country", 100, func(d *Details) *string { return &of(d).Country }, nil},
		{name + ".country_code", 2, func(d *Details) *string { return &of(d).CountryCode }, countryForm},
	}
}

// Fields are the names of all details that are text and can be given, an inner one
// written outer.inner.
func Fields() []string {
	names := []string{"type"}
	for _, t := range texts {
		if !derived[t.name] {
			names = append(names, t.name)
		}
	}
	return names
}

// Name is what the client is called: by the display name if there is one; a person by
// first, middle and last name, a company by its name.
func (d Details) Name() string {
	if d.DisplayName != "" {
		return d.DisplayName
	}
	if person := domain.Text(d.FirstName + " " + d.MiddleName + " " + d.LastName); person != "" && d.Type != Company {
		return person
	}
	return d.Company
}

// given are the names of the texts that somebody gave; nil stands for all that are not
// empty.
type given map[string]bool

func (g given) has(name, value string) bool { return g[name] || g == nil && value != "" }

// normal brings d into the form in which it is stored at that time, and says what is
// wrong with it; custom values apart, which see [custom]. What is as it is already in
// was is not checked again: what was taken once must not keep anybody from changing
// something else.
func (d Details) normal(was Details, g given, at time.Time) (Details, error) {
	var f domain.Faults
	for _, t := range texts {
		s := t.at(&d)
		if *s = domain.Text(*s); *s == *t.at(&was) || derived[t.name] {
			continue
		}
		f.Add(check(t, s))
	}
	if d.DateOfBirth != was.DateOfBirth {
		f.Add(checkBirth(d.DateOfBirth, at))
	}
	for _, a := range addresses {
		a.at(&d).settle(&f, a.name, *a.at(&was), g)
	}
	d.settleEmails(&f, was)
	d.settlePhones(&f, was)
	d.ExternalIDs = settleMap(&f, "external_ids", d.ExternalIDs, was.ExternalIDs, 50, 200, domain.Text)
	d.Meta = settleMap(&f, "meta", d.Meta, was.Meta, 100, 1000, domain.LongText)
	d.settleConsents(&f, was, at)
	person := d.FirstName != "" || d.LastName != ""
	if d.Type == "" {
		if d.Type = Company; person || d.Company == "" {
			d.Type = Person
		}
	}
	switch {
	case d.Type != Person && d.Type != Company:
		f.Add(domain.Fault("type", "unknown", "is %q, and has to be person or company", d.Type))
	case d.Type == Person && !person:
		f.Add(domain.Fault("last_name", "required", "is required: a person has a first name or a last name"))
	case d.Type == Company && d.Company == "":
		f.Add(domain.Fault("company", "required", "is required: a company has a name"))
	}
	return d, f.Err()
}
