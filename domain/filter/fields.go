// Package filter is the language in which people say which clients they mean: fields,
// operators and values, put together by and, or and not. Lists and saved views have it in
// common.
package filter

import (
	"maps"
	"slices"
	"strings"

	"annals/domain/client"
	"annals/domain/field"
)

// Type says which operators and values fit a field.
type Type string

// The types of fields.
const (
	Text      Type = "text"      // compared without case and accents
	Number    Type = "number"    // also amounts of money, whatever the currency
	Date      Type = "date"      // a day
	Time      Type = "time"      // a moment
	Boolean   Type = "boolean"   // true or false
	Choice    Type = "choice"    // one of some keys
	Reference Type = "reference" // an id
	Several   Type = "several"   // any number of keys
	Unknown   Type = "unknown"   // of a custom field, where it is not looked up
)

// The operators.
const (
	Is          = "is"
	IsNot       = "is_not"
	OneOf       = "one_of"
	NoneOf      = "none_of"
	Empty       = "empty"
	NotEmpty    = "not_empty"
	Contains    = "contains"
	NotContains = "not_contains"
	BeginsWith  = "begins_with"
	EndsWith    = "ends_with"
	Greater     = "greater"
	AtLeast     = "at_least"
	Less        = "less"
	AtMost      = "at_most"
	Between     = "between"
	Before      = "before"
	OnOrBefore  = "on_or_before"
	After       = "after"
	OnOrAfter   = "on_or_after"
	InLast      = "in_last"
	InNext      = "in_next"
	HasAny      = "has_any"
	HasAll      = "has_all"
	HasNone     = "has_none"
)

// Operators are those of each type.
var Operators = func() map[Type][]string {
	all := operators
	for _, t := range []Type{Text, Number, Date, Time, Boolean, Choice, Reference, Several} {
		for _, op := range all[t] {
			if !slices.Contains(all[Unknown], op) {
				all[Unknown] = append(all[Unknown], op)
			}
		}
	}
	return all
}()

var operators = map[Type][]string{
	Text:      {Is, IsNot, OneOf, NoneOf, Contains, NotContains, BeginsWith, EndsWith, Empty, NotEmpty},
	Number:    {Is, IsNot, OneOf, NoneOf, Greater, AtLeast, Less, AtMost, Between, Empty, NotEmpty},
	Date:      {Is, IsNot, Before, OnOrBefore, After, OnOrAfter, Between, InLast, InNext, Empty, NotEmpty},
	Time:      {Is, IsNot, Before, OnOrBefore, After, OnOrAfter, Between, InLast, InNext, Empty, NotEmpty},
	Boolean:   {Is, IsNot, Empty, NotEmpty},
	Choice:    {Is, IsNot, OneOf, NoneOf, Empty, NotEmpty},
	Reference: {Is, IsNot, OneOf, NoneOf, Empty, NotEmpty},
	Several:   {HasAny, HasAll, HasNone, Empty, NotEmpty},
}

// Field is something that every client may have, and that lists are sorted and filtered
// by.
type Field struct {
	Name    string
	Type    Type
	Choices []string // of a [Choice], where they are known
}

// fields are those that all clients have, by name.
var fields = func() map[string]Field {
	all := map[string]Field{}
	add := func(t Type, names ...string) {
		for _, name := range names {
			all[name] = Field{Name: name, Type: t}
		}
	}
	add(Text, client.Fields()...)
	add(Text, "name", "phone_e164", "other_emails", "other_phones", "status_reason", "deactivation_reason")
	add(Number, "revision", "billing.payment_terms")
	add(Date, "date_of_birth")
	add(Time, "created_at", "updated_at", "status_changed_at", "deactivated_at", "last_contacted_at", "portal.last_sign_in_at")
	add(Boolean, "active", "erased", "favourite", "portal.access", "portal.override")
	add(Reference, "id", "project", "desk", "manager")
	add(Several, "tags")
	all["type"] = Field{"type", Choice, []string{string(client.Person), string(client.Company)}}
	all["status"] = Field{"status", Choice, []string{string(client.Lead), string(client.Active), string(client.Inactive)}}
	for _, address := range []string{"street", "city", "region", "postal_code", "country"} {
		delete(all, address)
	}
	return all
}()

// Names are the names of the fields that all clients have, sorted.
func Names() []string { return slices.Sorted(maps.Keys(fields)) }

// aliases are other names of fields.
var aliases = map[string]string{
	"street": "address.street", "city": "address.city", "region": "address.region", "postal_code": "address.postal_code", "country": "address.country",
}

// longestName is how many bytes a field's name may have.
const longestName = 200

// Lookup finds a field by its name; custom tells of custom fields by their keys.
func Lookup(name string, custom func(key string) (field.Type, bool)) (Field, bool) {
	if other, ok := aliases[name]; ok {
		name = other
	}
	if f, ok := fields[name]; ok {
		return f, true
	}
	outer, inner, nested := strings.Cut(name, ".")
	if !nested || inner == "" || len(name) > longestName || strings.ContainsFunc(inner, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Field{}, false
	}
	switch outer {
	case "external_ids", "meta":
		return Field{Name: name, Type: Text}, true
	case "consents":
		return Field{Name: name, Type: Boolean}, slices.Contains(client.Channels, client.Channel(inner))
	case "custom":
		if custom == nil {
			return Field{}, false
		}
		t, ok := custom(inner)
		return Field{Name: name, Type: OfCustom(t)}, ok
	}
	return Field{}, false
}

// Custom is the key of the custom field that a name is of.
func Custom(name string) (key string, ok bool) { return strings.CutPrefix(name, "custom.") }

// AnyCustom takes all custom fields for defined, of types that are not known.
func AnyCustom(string) (field.Type, bool) { return "", true }

// OfCustom is the type of a custom field's values in filters.
func OfCustom(t field.Type) Type {
	switch t {
	case field.Number, field.Money:
		return Number
	case field.Date:
		return Date
	case field.DateTime:
		return Time
	case field.Boolean:
		return Boolean
	case field.OneOf:
		return Choice
	case field.SeveralOf:
		return Several
	case field.Employee, field.Client:
		return Reference
	case field.Text, field.LongText, field.Email, field.Phone, field.URL:
		return Text
	}
	return Unknown
}
