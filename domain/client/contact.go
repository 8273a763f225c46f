package client

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"

	"annals/domain"
)

// Email is an e-mail address beside the first.
type Email struct {
	Email string `json:"email" example:"elena@home.example"`
	Kind  string `json:"kind,omitempty" doc:"work, home, billing or other" example:"home"`
}

// Phone is a phone number beside the first.
type Phone struct {
	Number  string `json:"number" doc:"As it was typed" example:"+359 88 555 0142"`
	Kind    string `json:"kind,omitempty" doc:"mobile, work, home, fax or other" example:"mobile"`
	Country string `json:"country,omitempty" doc:"ISO 3166-1 alpha-2: the number has to be one of this country" example:"BG"`
	E164    string `json:"e164,omitempty" doc:"As in E.164, where it is such a number. Derived: not taken from what is sent" readOnly:"true"`
}

const maxOthers = 20

// settleEmails brings the addresses beside the first into the form in which they are
// stored. The one that has become the first is not another any more.
func (d *Details) settleEmails(f *domain.Faults, was Details) {
	var out []Email
	seen := map[string]int{}
	for i, e := range d.OtherEmails {
		at := domain.At("other_emails", i)
		e = Email{domain.Text(e.Email), domain.Text(e.Kind)}
		same := strings.ToLower(e.Email)
		first, twice := seen[same]
		seen[same] = i
		switch {
		case e.Email == "":
			f.Add(domain.Fault(at+".email", "required", "is required"))
		case twice:
			f.Add(domain.Fault(at+".email", "duplicate", "is the same as that of %s", domain.At("other_emails", first)))
		case same == strings.ToLower(d.Email):
			continue
		case !slices.Contains(was.OtherEmails, e):
			f.Add(check(text{at + ".email", 254, nil, checked(domain.CheckEmail)}, &e.Email))
			f.Add(check(text{at + ".kind", 20, nil, kindForm(emailKinds)}, &e.Kind))
		}
		out = append(out, e)
	}
	if len(out) > max(maxOthers, len(was.OtherEmails)) {
		f.Add(domain.Fault("other_emails", "too_many", "has %d addresses, at most %d are allowed", len(out), maxOthers))
	}
	d.OtherEmails = out
}

// settlePhones brings the numbers beside the first into the form in which they are
// stored, and finds out which numbers of E.164 all of them are.
func (d *Details) settlePhones(f *domain.Faults, was Details) {
	here := d.country()
	moved := here != was.country()
	d.PhoneE164 = was.PhoneE164
	switch {
	case d.Phone != was.Phone || d.PhoneCountry != was.PhoneCountry:
		var err error
		d.PhoneE164, err = e164("phone", d.Phone, d.PhoneCountry, here)
		f.Add(err)
	case moved:
		d.PhoneE164, _ = e164("phone", d.Phone, d.PhoneCountry, here)
	}
	var out []Phone
	seen := map[string]int{}
	for i, p := range d.OtherPhones {
		at := domain.At("other_phones", i)
		p = Phone{Number: domain.Text(p.Number), Kind: domain.Text(p.Kind), Country: domain.Text(p.Country)}
		first, twice := seen[p.Number]
		seen[p.Number] = i
		old := slices.IndexFunc(was.OtherPhones, func(o Phone) bool { return o.Number == p.Number && o.Kind == p.Kind && o.Country == p.Country })
		switch {
		case p.Number == "":
			f.Add(domain.Fault(at+".number", "required", "is required"))
		case twice:
			f.Add(domain.Fault(at+".number", "duplicate", "is the same as that of %s", domain.At("other_phones", first)))
		case p.Number == d.Phone:
			continue
		case old >= 0 && !moved:
			p.E164 = was.OtherPhones[old].E164
		case old >= 0:
			p.E164, _ = e164(at, p.Number, p.Country, here)
		default:
			f.Add(check(text{at + ".number", 50, nil, checked(domain.CheckPhone)}, &p.Number))
			f.Add(check(text{at + ".kind", 20, nil, kindForm(phoneKinds)}, &p.Kind))
			f.Add(check(text{at + ".country", 2, nil, countryForm}, &p.Country))
			var err error
			p.E164, err = e164(at+".number", p.Number, p.Country, here)
			f.Add(err)
		}
		out = append(out, p)
	}
	if len(out) > max(maxOthers, len(was.OtherPhones)) {
		f.Add(domain.Fault("other_phones", "too_many", "has %d numbers, at most %d are allowed", len(out), maxOthers))
	}
	d.OtherPhones = out
}

// check brings a text into its form, or says what is wrong with it.
func check(t text, s *string) error {
	err := domain.CheckText(t.name, *s, t.most)
	if err == nil && *s != "" && t.form != nil {
		*s, err = t.form(t.name, *s)
	}
	return err
}

// country is where numbers without a country are taken to be.
func (d *Details) country() string {
	return cmp.Or(d.Address.CountryCode, d.WorkAddress.CountryCode, d.BillingAddress.CountryCode)
}

// e164 is the number as in E.164, or nothing where it is none that could be dialled from
// anywhere, as those from other systems often are not. A number that says which country
// it is of, in itself or beside it, has to be one of that country.
func e164(field, number, country, here string) (string, error) {
	international := strings.HasPrefix(number, "+")
	told := domain.CheckPhone(field, number) != nil || country != "" && !isCountry(country)
	if number == "" || told {
		return "", nil
	}
	n, err := phonenumbers.Parse(number, cmp.Or(country, here, "ZZ"))
	unread := err != nil
	switch {
	case country != "" && (unread || !phonenumbers.IsValidNumberForRegion(n, country)):
		return "", domain.Fault(field, "phone", "is no phone number of %s", country)
	case country == "" && international && (unread || !fits(number)):
		return "", domain.Fault(field, "phone", "begins with +, and is no number as in E.164: the code of a country and 7 to 15 digits in all")
	case unread || !phonenumbers.IsValidNumber(n):
		return "", nil //nolint:nilerr // kept as it was typed
	}
	return phonenumbers.Format(n, phonenumbers.E164), nil
}

// fits says whether the number has as many digits as one with the code of a country can
// have. Which of them are in use changes faster than anybody's list of them.
func fits(number string) bool {
	digits := 0
	for _, r := range number {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	return digits >= 7 && digits <= 15
}
