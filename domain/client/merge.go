package client

import (
	"maps"
	"slices"
	"strings"
	"time"

	"annals/domain"
)

// merge applies a JSON merge patch (RFC 7396): null empties, what is left out stays.
// Unlike one for documents without a schema it faults, all at once, names that are no
// details and values that do not fit. Unlike one by the letter, a consent is replaced as
// a whole where it becomes another. Values of custom fields stay as they are: see
// [Edit.custom].
func (d Details) merge(patch map[string]any) (Details, given, error) {
	p := patcher{d: &d, given: given{}}
	p.object("", patch)
	return d, p.given, p.faults.Err()
}

type patcher struct {
	d      *Details
	faults domain.Faults
	given  given
}

func (p *patcher) fault(field, code, format string, args ...any) {
	p.faults.Add(domain.Fault(field, code, format, args...))
}

func (p *patcher) object(outer string, patch map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		name := outer + key
		if outer == "" && p.structured(key, patch[key]) {
			continue
		}
		one, within := p.d.at(name)
		text, isText := patch[key].(string)
		object, isObject := patch[key].(map[string]any)
		switch {
		case len(within) == 0 || strings.Contains(key, "."):
			p.fault(name, "unknown_field", "is none of the details that can be edited: %s", strings.Join(editable(), ", "))
		case patch[key] == nil:
			for _, s := range within {
				*s = ""
			}
		case one != nil && isText:
			*one, p.given[name] = text, text != ""
		case one != nil:
			p.fault(name, "type", "has to be a text, or null")
		case isObject:
			p.object(name+".", object)
		default:
			p.fault(name, "type", "has to be an object, or null")
		}
	}
}

// editable are the names of all that can be edited, in the ways in which it can be said.
func editable() []string {
	return append(Fields(), "other_emails", "other_phones", "emails", "phones", "addresses", "external_ids", "consents", "meta", "custom")
}

// at is the text of that name, if it is one, and all texts within it.
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

// structured patches what is no text and holds none, if name is such a detail.
func (p *patcher) structured(name string, value any) bool {
	switch name {
	case "other_emails":
		p.d.OtherEmails = nil
		for _, e := range p.list(name, value, "email", "kind") {
			p.d.OtherEmails = append(p.d.OtherEmails, Email{e["email"], e["kind"]})
		}
	case "other_phones":
		p.d.OtherPhones = nil
		for _, e := range p.list(name, value, "number", "kind", "country", "e164") {
			p.d.OtherPhones = append(p.d.OtherPhones, Phone{Number: e["number"], Kind: e["kind"], Country: e["country"]})
		}
	case "external_ids":
		p.d.ExternalIDs = p.texts(name, p.d.ExternalIDs, value)
	case "meta":
		p.d.Meta = p.texts(name, p.d.Meta, value)
	case "consents":
		p.d.Consents = p.consents(p.d.Consents, value)
	case "custom":
		p.keys(name, value)
	default:
		return false
	}
	return true
}

// keys is a patch of a map; nil with ok stands for null, which empties it.
func (p *patcher) keys(name string, value any) (patch map[string]any, ok bool) {
	patch, ok = value.(map[string]any)
	if !ok && value != nil {
		p.fault(name, "type", "has to be an object, or null")
		return nil, false
	}
	return patch, true
}

func (p *patcher) texts(name string, was map[string]string, value any) map[string]string {
	patch, ok := p.keys(name, value)
	if !ok {
		return was
	}
	if patch == nil {
		return nil
	}
	out := maps.Clone(was)
	if out == nil {
		out = map[string]string{}
	}
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		at := domain.Text(key)
		switch text, isText := patch[key].(string); {
		case isText:
			out[at] = text
		case patch[key] == nil:
			delete(out, at)
		default:
			p.fault(name+"."+at, "type", "has to be a text, or null")
		}
	}
	return out
}

func (p *patcher) consents(was map[Channel]Consent, value any) map[Channel]Consent {
	patch, ok := p.keys("consents", value)
	if !ok {
		return was
	}
	if patch == nil {
		return nil
	}
	out := maps.Clone(was)
	if out == nil {
		out = map[Channel]Consent{}
	}
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		old, there := was[Channel(key)]
		if patch[key] == nil {
			delete(out, Channel(key))
			continue
		}
		out[Channel(key)] = p.consent("consents."+key, old, there, patch[key])
	}
	return out
}

// consent is one after a patch. One that is said to be as it was stays as it was, with
// its time and source unless others are given; another has those that are given.
func (p *patcher) consent(field string, was Consent, there bool, value any) Consent {
	patch, ok := value.(map[string]any)
	if !ok {
		p.fault(field, "type", "has to be an object, or null")
		return was
	}
	granted, ok := patch["granted"].(bool)
	switch _, said := patch["granted"]; {
	case said && !ok:
		p.fault(field+".granted", "type", "has to be true or false")
	case !said && !there:
		p.fault(field+".granted", "required", "is required")
	case !said:
		granted = was.Granted
	}
	c := Consent{Granted: granted}
	if there && granted == was.Granted {
		c = was
	}
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		text, isText := patch[key].(string)
		switch {
		case key == "granted":
		case key != "at" && key != "source":
			p.fault(field+"."+key, "unknown_field", "is none of granted, at, source")
		case patch[key] == nil && key == "source":
			c.Source = ""
		case patch[key] == nil: // as if left out
		case !isText:
			p.fault(field+"."+key, "type", "has to be a text, or null")
		case key == "source":
			c.Source = text
		default:
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				p.fault(field+".at", "time", "is no time as in RFC 3339")
			}
			c.At = at
		}
	}
	return c
}

// list is the elements of a list of objects of texts; of none where it is null.
func (p *patcher) list(name string, value any, keys ...string) []map[string]string {
	list, ok := value.([]any)
	if !ok && value != nil {
		p.fault(name, "type", "has to be a list, or null")
	}
	if len(list) > maxList {
		p.fault(name, "too_many", "has %d elements, at most %d are allowed", len(list), maxOthers)
		return nil
	}
	var out []map[string]string
	for i, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			p.fault(domain.At(name, i), "type", "has to be an object")
			out = append(out, nil)
			continue
		}
		one := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			text, isText := object[key].(string)
			switch at := domain.At(name, i) + "." + key; {
			case key == "primary" && slices.Contains(keys, key): // is read by [expander.entries]
			case !slices.Contains(keys, key):
				p.fault(at, "unknown_field", "is none of %s", strings.Join(keys, ", "))
			case !isText && object[key] != nil:
				p.fault(at, "type", "has to be a text, or null")
			}
			one[key] = text
		}
		out = append(out, one)
	}
	return out
}

// maxList bounds lists before anything is made of them.
const maxList = 200

// paths are those of what a patch would change; one that is an object is told by what
// is in it.
func paths(outer string, patch map[string]any) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		name := outer + domain.Text(key) // as keys that people make up are stored
		if object, ok := patch[key].(map[string]any); ok && len(object) > 0 && strings.Count(name, ".") == 0 {
			out = append(out, paths(name+".", object)...)
			continue
		}
		out = append(out, name)
	}
	return out
}
