package client

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"annals/domain"
)

// Type says what a client is.
type Type string

// The types of client.
const (
	Person  Type = "person"
	Company Type = "company"
)

// Details is what is known about a client itself. Adding one takes a field here,
// a line in texts, and a column where it is to be listed.
type Details struct {
	Type       Type    `json:"type,omitempty" doc:"person or company; told from the names when left out" enum:"person,company"`
	FirstName  string  `json:"first_name,omitempty" personal:"yes"`
	MiddleName string  `json:"middle_name,omitempty" personal:"yes"`
	LastName   string  `json:"last_name,omitempty" personal:"yes"`
	Company    string  `json:"company,omitempty" doc:"The company's name, or the one that the person works for" personal:"yes"`
	Email      string  `json:"email,omitempty" personal:"yes"`
	Phone      string  `json:"phone,omitempty" personal:"yes"`
	Website    string  `json:"website,omitempty" personal:"yes"`
	Address    Address `json:"address,omitzero"`
}

// Address is where a client is found.
type Address struct {
	Street     string `json:"street,omitempty" personal:"yes"`
	City       string `json:"city,omitempty" personal:"yes"`
	Region     string `json:"region,omitempty" personal:"yes"`
	PostalCode string `json:"postal_code,omitempty" personal:"yes"`
	Country    string `json:"country,omitempty" personal:"yes"`
}

// text is one of the details that are text.
type text struct {
	name string
	most int // characters
	at   func(*Details) *string
	more func(field, s string) error // checks beyond length, for what is not empty
}

var texts = []text{
	{"first_name", 100, func(d *Details) *string { return &d.FirstName }, nil},
	{"middle_name", 100, func(d *Details) *string { return &d.MiddleName }, nil},
	{"last_name", 100, func(d *Details) *string { return &d.LastName }, nil},
	{"company", 200, func(d *Details) *string { return &d.Company }, nil},
	{"email", 254, func(d *Details) *string { return &d.Email }, domain.CheckEmail},
	{"phone", 50, func(d *Details) *string { return &d.Phone }, checkPhone},
	{"website", 500, func(d *Details) *string { return &d.Website }, checkWebsite},
	{"address.street", 200, func(d *Details) *string { return &d.Address.Street }, nil},
	{"address.city", 100, func(d *Details) *string { return &d.Address.City }, nil},
	{"address.region", 100, func(d *Details) *string { return &d.Address.Region }, nil},
	{"address.postal_code", 20, func(d *Details) *string { return &d.Address.PostalCode }, nil},
	{"address.country", 100, func(d *Details) *string { return &d.Address.Country }, nil},
}

// Fields are the names of all details, an inner one written outer.inner.
func Fields() []string {
	names := []string{"type"}
	for _, t := range texts {
		names = append(names, t.name)
	}
	return names
}

// Name is what the client is called: a person by first, middle and last name, a
// company by its name.
func (d Details) Name() string {
	if person := domain.Text(d.FirstName + " " + d.MiddleName + " " + d.LastName); person != "" && d.Type != Company {
		return person
	}
	return d.Company
}

// normal brings d into the form in which it is stored, and says what is wrong with
// it. A text that is stored as it is already in was is not checked again: what was
// taken once must not keep anybody from changing something else.
func (d Details) normal(was Details) (Details, error) {
	var f domain.Faults
	for _, t := range texts {
		s := t.at(&d)
		if *s = domain.Text(*s); *s == *t.at(&was) {
			continue
		}
		err := domain.CheckText(t.name, *s, t.most)
		if err == nil && *s != "" && t.more != nil {
			err = t.more(t.name, *s)
		}
		f.Add(err)
	}
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

// diff is what differs between two details, each side for itself.
func diff(from, to Details) (was, is Details) {
	if from.Type != to.Type {
		was.Type, is.Type = from.Type, to.Type
	}
	for _, t := range texts {
		if a, b := *t.at(&from), *t.at(&to); a != b {
			*t.at(&was), *t.at(&is) = a, b
		}
	}
	return was, is
}

// apply is d after an edit: what stands on either side of it has changed.
func (d Details) apply(e Edited) Details {
	if e.To.Type != "" {
		d.Type = e.To.Type
	}
	for _, t := range texts {
		if was, is := *t.at(&e.From), *t.at(&e.To); was != is {
			*t.at(&d) = is
		}
	}
	return d
}

// merge applies a JSON merge patch (RFC 7396): null empties, what is left out
// stays. Unlike one for documents without a schema it faults, all at once, names
// that are no details and values that are no text.
func (d Details) merge(patch map[string]any) (Details, error) {
	var f domain.Faults
	d.patch(&f, "", patch)
	return d, f.Err()
}

func (d *Details) patch(f *domain.Faults, outer string, patch map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		name := outer + key
		one, within := d.at(name)
		text, isText := patch[key].(string)
		object, isObject := patch[key].(map[string]any)
		switch {
		case len(within) == 0 || strings.Contains(key, "."):
			f.Add(domain.Fault(name, "unknown_field", "is none of the details that can be edited: %s", strings.Join(Fields(), ", ")))
		case patch[key] == nil:
			for _, s := range within {
				*s = ""
			}
		case one != nil && isText:
			*one = text
		case one != nil:
			f.Add(domain.Fault(name, "type", "has to be a text, or null"))
		case isObject:
			d.patch(f, name+".", object)
		default:
			f.Add(domain.Fault(name, "type", "has to be an object, or null"))
		}
	}
}

// at is the detail of that name, if it is one, and all details within it.
func (d *Details) at(name string) (one *string, within []*string) {
	if name == "type" {
		one = (*string)(&d.Type)
		return one, []*string{one}
	}
	for _, t := range texts {
		switch s := t.at(d); {
		case t.name == name:
			return s, []*string{s}
		case strings.HasPrefix(t.name, name+"."):
			within = append(within, s)
		}
	}
	return nil, within
}

func checkPhone(field, s string) error {
	digits := 0
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits++
		case !strings.ContainsRune(" +-\u2010\u2011\u2012\u2013\u2014().,/#*;:=xXextEXT", r):
			return domain.Fault(field, "phone", "holds %q, which is not part of a phone number", r)
		}
	}
	if digits < 3 {
		return domain.Fault(field, "phone", "is no phone number: it has %d digits", digits)
	}
	return nil
}

func checkWebsite(field, s string) error {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || strings.Contains(s, " ") {
		return errWebsite(field)
	}
	labels := strings.Split(u.Hostname(), ".")
	if len(labels) < 2 || slices.Contains(labels, "") {
		return errWebsite(field)
	}
	return nil
}

func errWebsite(field string) error {
	return domain.Fault(field, "url", "is no web address, as in https://example.com")
}
