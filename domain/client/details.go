package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

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

// normal brings d into the form in which it is stored, and says what is wrong with it.
func (d Details) normal() (Details, error) {
	var f domain.Faults
	for _, t := range texts {
		s := t.at(&d)
		err := domain.CheckText(t.name, *s, t.most)
		*s = domain.Text(*s)
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

// merge applies a JSON merge patch (RFC 7396): null empties, what is left out stays.
func (d Details) merge(patch map[string]any) (Details, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return d, fmt.Errorf("details: %w", err)
	}
	var now map[string]any
	if err := json.Unmarshal(raw, &now); err != nil {
		return d, fmt.Errorf("details: %w", err)
	}
	if raw, err = json.Marshal(mergePatch(now, patch)); err != nil {
		return d, fmt.Errorf("patch: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var out Details
	if err := dec.Decode(&out); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return d, domain.Fault(e.Field, "type", "is a JSON %s, which does not fit", e.Value)
		}
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return d, domain.Fault(strings.Trim(name, `"`), "unknown_field", "is none of the details that can be edited: %s", strings.Join(Fields(), ", "))
		}
		return d, domain.Fault("", "type", "%v", err)
	}
	return out, nil
}

func mergePatch(now, patch map[string]any) map[string]any {
	if now == nil {
		now = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(now, k)
		case map[string]any:
			inner, _ := now[k].(map[string]any)
			now[k] = mergePatch(inner, v)
		default:
			now[k] = v
		}
	}
	return now
}

func checkPhone(field, s string) error {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune(" +-().,/#*;:=xXextEXT", r):
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
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !strings.Contains(u.Hostname(), ".") || u.User != nil {
		return domain.Fault(field, "url", "is no web address, as in https://example.com")
	}
	return nil
}
