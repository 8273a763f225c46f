package client

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"annals/domain"
)

// Forms are other ways to say details, put together as people think of them. Whatever is
// said in one of them must not be said otherwise in the fields that it stands for.
type Forms struct {
	Emails    []EmailEntry  `json:"emails,omitempty" doc:"All addresses, instead of email, email_kind and other_emails. The primary one, or else the first, is email" maxItems:"21"`
	Phones    []PhoneEntry  `json:"phones,omitempty" doc:"All numbers, instead of phone, phone_kind, phone_country and other_phones. The primary one, or else the first, is phone" maxItems:"21"`
	Addresses AddressesForm `json:"addresses,omitzero" doc:"All addresses, instead of address, work_address and billing_address"`
}

// EmailEntry is one of all e-mail addresses of a client.
type EmailEntry struct {
	Email   string `json:"email" example:"elena@example.com"`
	Kind    string `json:"kind,omitempty" doc:"work, home, billing or other" example:"work"`
	Primary bool   `json:"primary,omitempty" doc:"Of one at most"`
}

// PhoneEntry is one of all phone numbers of a client.
type PhoneEntry struct {
	Number  string `json:"number" doc:"As it was typed" example:"02 931 0142"`
	Kind    string `json:"kind,omitempty" doc:"mobile, work, home, fax or other" example:"work"`
	Country string `json:"country,omitempty" doc:"ISO 3166-1 alpha-2: the number has to be one of this country" example:"BG"`
	E164    string `json:"e164,omitempty" doc:"As in E.164, where it is such a number. Derived: not taken from what is sent" readOnly:"true"`
	Primary bool   `json:"primary,omitempty" doc:"Of one at most"`
}

// AddressesForm is all addresses of a client.
type AddressesForm struct {
	Home    Address `json:"home,omitzero"`
	Work    Address `json:"work,omitzero"`
	Billing Address `json:"billing,omitzero"`
}

// Emails are all e-mail addresses, the first one first.
func Emails(d Details) []EmailEntry {
	var all []EmailEntry
	if d.Email != "" {
		all = append(all, EmailEntry{d.Email, d.EmailKind, true})
	}
	for _, e := range d.OtherEmails {
		all = append(all, EmailEntry{Email: e.Email, Kind: e.Kind})
	}
	return all
}

// Phones are all phone numbers, the first one first.
func Phones(d Details) []PhoneEntry {
	var all []PhoneEntry
	if d.Phone != "" {
		all = append(all, PhoneEntry{d.Phone, d.PhoneKind, d.PhoneCountry, d.PhoneE164, true})
	}
	for _, p := range d.OtherPhones {
		all = append(all, PhoneEntry{Number: p.Number, Kind: p.Kind, Country: p.Country, E164: p.E164})
	}
	return all
}

// expand is a patch of details and forms as one of details alone. The names are those
// by which their sender knows what stands in it, where they differ.
func expand(patch map[string]any) (flat map[string]any, names map[string]string, err error) {
	e := expander{out: maps.Clone(patch), names: map[string]string{}}
	for _, form := range []string{"emails", "phones", "addresses"} {
		delete(e.out, form)
	}
	if value, said := patch["emails"]; said {
		e.entries("emails", value, "email", []string{"kind"}, "other_emails", patch["other_emails"])
	}
	if value, said := patch["phones"]; said {
		e.entries("phones", value, "number", []string{"kind", "country"}, "other_phones", patch["other_phones"])
	}
	if value, said := patch["addresses"]; said {
		e.addresses(value)
	}
	return e.out, e.names, e.faults.Err()
}

type expander struct {
	patcher
	out   map[string]any
	names map[string]string
}

// entries puts the primary one, or the first, into the fields of the first, and the
// others into their list.
func (e *expander) entries(form string, value any, main string, more []string, others string, saidOthers any) {
	primary, flagged := 0, -1
	list, _ := value.([]any)
	for i, element := range list {
		object, _ := element.(map[string]any)
		switch on, isBool := object["primary"].(bool); {
		case object["primary"] != nil && !isBool:
			e.fault(domain.At(form, i)+".primary", "type", "has to be true or false")
		case on && flagged >= 0:
			e.fault(domain.At(form, i)+".primary", "contradiction", "is said of %s as well", domain.At(form, flagged))
		case on:
			primary, flagged = i, i
		}
	}
	keys := append([]string{main}, more...)
	entries := e.list(form, value, append(keys, "e164", "primary")...)
	if len(entries) > maxOthers+1 {
		e.fault(form, "too_many", "has %d elements, at most %d are allowed", len(entries), maxOthers+1)
	}
	first := strings.TrimSuffix(form, "s")
	for _, key := range keys {
		field := first
		if key != main {
			field += "_" + key
		}
		e.names[field] = domain.At(form, primary) + "." + key
		var text any
		if len(entries) > primary {
			text = entries[primary][key]
		}
		e.put(field, text)
	}
	rest := []any{}
	for i, entry := range entries {
		if entry != nil && domain.Text(entry[main]) == "" {
			e.fault(domain.At(form, i)+"."+main, "required", "is required")
		}
		if i == primary {
			continue
		}
		one := map[string]any{}
		for _, key := range keys {
			one[key] = entry[key]
		}
		e.names[domain.At(others, len(rest))] = domain.At(form, i)
		rest = append(rest, one)
	}
	e.names[others] = form
	if _, said := e.out[others]; said {
		var quiet expander // its faults are told when it is merged
		if !sameEntries(quiet.list(others, saidOthers, append(keys, "e164")...), e.list(others, rest, keys...)) {
			e.fault(form, "contradiction", "says something else than %s", others)
		}
	}
	e.out[others] = rest
}

func sameEntries(a, b []map[string]string) bool {
	return slices.EqualFunc(a, b, func(a, b map[string]string) bool {
		for _, key := range []string{"email", "number", "kind", "country"} {
			if domain.Text(a[key]) != domain.Text(b[key]) {
				return false
			}
		}
		return true
	})
}

// put sets a text, which must not have been said to be another.
func (e *expander) put(field string, value any) {
	if was, said := e.out[field]; said {
		a, _ := was.(string)
		b, _ := value.(string)
		if domain.Text(a) != domain.Text(b) {
			e.fault(e.names[field], "contradiction", "is something else than %s says", field)
		}
	}
	e.out[field] = value
}

func (e *expander) addresses(value any) {
	form, ok := value.(map[string]any)
	if value == nil {
		form, ok = map[string]any{"home": nil, "work": nil, "billing": nil}, true
	}
	if !ok {
		e.fault("addresses", "type", "has to be an object, or null")
	}
	for _, place := range slices.Sorted(maps.Keys(form)) {
		field, known := map[string]string{"home": "address", "work": "work_address", "billing": "billing_address"}[place]
		if !known {
			e.fault("addresses."+place, "unknown_field", "is none of home, work, billing")
			continue
		}
		if was, said := e.out[field]; said && !reflect.DeepEqual(was, form[place]) {
			e.fault("addresses."+place, "contradiction", "says something else than %s", field)
		}
		e.names[field] = "addresses." + place
		e.out[field] = form[place]
	}
}

// into is d with what the forms say.
func (s Forms) into(d Details) (Details, given, map[string]string, error) {
	patch := map[string]any{}
	b, err := json.Marshal(struct {
		Details
		Forms
	}{d, s})
	if err == nil {
		err = json.Unmarshal(b, &patch)
	}
	if err != nil { // there is no such time, say
		return d, nil, nil, domain.Fault("", "malformed", "cannot be written as JSON")
	}
	for form, said := range map[string]bool{"emails": s.Emails != nil, "phones": s.Phones != nil} {
		if _, there := patch[form]; said && !there {
			patch[form] = []any{}
		}
	}
	var f domain.Faults
	patch, names, err := expand(patch)
	f.Add(err)
	to, g, err := Details{}.merge(patch)
	f.Add(renamed(err, names))
	to.Custom = d.Custom
	return to, g, names, f.Err()
}

func (s Forms) empty() bool {
	return s.Emails == nil && s.Phones == nil && s.Addresses == (AddressesForm{})
}

// renamed tells faults by the names that their reader used.
func renamed(err error, names map[string]string) error {
	if err == nil || len(names) == 0 {
		return err
	}
	var f domain.Faults
	for _, e := range domain.All(err) {
		told := *e
		for end := len(e.Field); end > 0; end = strings.LastIndexAny(e.Field[:end], ".[") {
			if name, ok := names[e.Field[:end]]; ok {
				told.Field = name + e.Field[end:]
				break
			}
		}
		f.Add(&told)
	}
	return f.Err()
}
