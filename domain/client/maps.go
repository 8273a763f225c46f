package client

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"annals/domain"
)

// Channel is a way to contact a client.
type Channel string

// The channels.
const (
	ByEmail Channel = "email"
	ByPhone Channel = "phone"
	BySMS   Channel = "sms"
	ByPost  Channel = "post"
	ByChat  Channel = "chat"
)

// Channels are all of them.
var Channels = []Channel{ByEmail, ByPhone, BySMS, ByPost, ByChat}

// Consent is whether a client may be contacted in a way, and how that is known.
type Consent struct {
	Granted bool      `json:"granted" doc:"true: may be contacted; false: refused, or withdrew it"`
	At      time.Time `json:"at,omitzero" doc:"When it was given or refused; when it is stored, unless given"`
	Source  string    `json:"source,omitempty" doc:"How it is known" example:"form on the website"`
}

func (c Consent) same(as Consent) bool {
	return c.Granted == as.Granted && c.At.Equal(as.At) && c.Source == as.Source
}

// ahead is how far a clock elsewhere may be ahead of ours.
const ahead = 5 * time.Minute

func (d *Details) settleConsents(f *domain.Faults, was Details, at time.Time) {
	var out map[Channel]Consent
	for _, channel := range slices.Sorted(maps.Keys(d.Consents)) {
		c, field := d.Consents[channel], "consents."+string(channel)
		if c.At = c.At.UTC().Truncate(time.Microsecond); c.At.IsZero() {
			c.At = at.UTC().Truncate(time.Microsecond)
		}
		c.Source = domain.Text(c.Source)
		if old, ok := was.Consents[channel]; !ok || !old.same(c) {
			if !slices.Contains(Channels, channel) {
				f.Add(domain.Fault(field, "unknown", "is no way to contact a client: there are email, phone, sms, post and chat"))
			}
			if c.At.After(at.Add(ahead)) {
				f.Add(domain.Fault(field+".at", "future", "is in the future"))
			}
			f.Add(domain.CheckText(field+".source", c.Source, 200))
		}
		if out == nil {
			out = map[Channel]Consent{}
		}
		out[channel] = c
	}
	d.Consents = out
}

// maxKey is how many characters a key may have that people make up.
const maxKey = 100

// settleMap brings texts by keys into the form in which they are stored. An empty one is
// none.
func settleMap(f *domain.Faults, field string, texts, was map[string]string, most, long int, form func(string) string) map[string]string {
	var out map[string]string
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		value := form(texts[key])
		if value == "" {
			continue
		}
		name := domain.Text(key)
		at := field + "." + name
		if old, ok := was[name]; !ok || old != value {
			f.Add(domain.CheckName(at, name, maxKey))
			f.Add(domain.CheckText(at, value, long))
		}
		if _, twice := out[name]; twice {
			f.Add(domain.Fault(at, "duplicate", "stands there twice"))
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	if len(out) > max(most, len(was)) {
		f.Add(domain.Fault(field, "too_many", "has %d keys, at most %d are allowed", len(out), most))
	}
	return out
}

// changedKeys splits two maps into what differs, each side for itself.
func changedKeys[K comparable, V any](from, to map[K]V, same func(a, b V) bool) (was, is map[K]V) {
	put := func(m map[K]V, k K, v V) map[K]V {
		if m == nil {
			m = map[K]V{}
		}
		m[k] = v
		return m
	}
	for k, a := range from {
		if b, ok := to[k]; !ok || !same(a, b) {
			was = put(was, k, a)
		}
	}
	for k, b := range to {
		if a, ok := from[k]; !ok || !same(a, b) {
			is = put(is, k, b)
		}
	}
	return was, is
}

// withChanged is m after such a difference: a new map, or nil where nothing is left.
func withChanged[K comparable, V any](m, was, is map[K]V) map[K]V {
	if len(was) == 0 && len(is) == 0 {
		return m
	}
	out := maps.Clone(m)
	maps.DeleteFunc(out, func(k K, _ V) bool { _, ok := was[k]; return ok })
	if out == nil {
		out = map[K]V{}
	}
	maps.Copy(out, is)
	if len(out) == 0 {
		return nil
	}
	return out
}

func equalText(a, b string) bool { return a == b }

func sameConsent(a, b Consent) bool { return a.same(b) }

func sameValue(a, b any) bool { return reflect.DeepEqual(a, b) }

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
	if !slices.Equal(from.OtherEmails, to.OtherEmails) {
		was.OtherEmails, is.OtherEmails = from.OtherEmails, to.OtherEmails
	}
	if !slices.Equal(from.OtherPhones, to.OtherPhones) {
		was.OtherPhones, is.OtherPhones = from.OtherPhones, to.OtherPhones
	}
	was.ExternalIDs, is.ExternalIDs = changedKeys(from.ExternalIDs, to.ExternalIDs, equalText)
	was.Consents, is.Consents = changedKeys(from.Consents, to.Consents, sameConsent)
	was.Meta, is.Meta = changedKeys(from.Meta, to.Meta, equalText)
	was.Custom, is.Custom = changedKeys(from.Custom, to.Custom, sameValue)
	return was, is
}

// Diff is the edit that leads from one to the other.
func Diff(from, to Details) Edited {
	was, is := diff(from, to)
	return Edited{From: was, To: is}
}

// same says whether nothing differs.
func (d Details) same(as Details) bool {
	was, is := diff(d, as)
	return was.empty() && is.empty()
}

func (d Details) empty() bool { return reflect.ValueOf(d).IsZero() }

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
	if len(e.From.OtherEmails)+len(e.To.OtherEmails) > 0 {
		d.OtherEmails = e.To.OtherEmails
	}
	if len(e.From.OtherPhones)+len(e.To.OtherPhones) > 0 {
		d.OtherPhones = e.To.OtherPhones
	}
	d.ExternalIDs = withChanged(d.ExternalIDs, e.From.ExternalIDs, e.To.ExternalIDs)
	d.Consents = withChanged(d.Consents, e.From.Consents, e.To.Consents)
	d.Meta = withChanged(d.Meta, e.From.Meta, e.To.Meta)
	d.Custom = withChanged(d.Custom, e.From.Custom, e.To.Custom)
	return d
}

// Flatten is all that d holds, by path: a text at address.city, a list at other_emails,
// a value of a map at meta.KEY.
func Flatten(d Details) map[string]any {
	out := map[string]any{}
	if d.Type != "" {
		out["type"] = string(d.Type)
	}
	for _, t := range texts {
		if s := *t.at(&d); s != "" {
			out[t.name] = s
		}
	}
	if len(d.OtherEmails) > 0 {
		out["other_emails"] = d.OtherEmails
	}
	if len(d.OtherPhones) > 0 {
		out["other_phones"] = d.OtherPhones
	}
	for k, v := range d.ExternalIDs {
		out["external_ids."+k] = v
	}
	for k, v := range d.Consents {
		out["consents."+string(k)] = v
	}
	for k, v := range d.Meta {
		out["meta."+k] = v
	}
	for k, v := range d.Custom {
		out["custom."+k] = v
	}
	return out
}

// Inflate is what [Flatten] was called with, of what it returned or what has become of
// that in JSON.
func Inflate(flat map[string]any) (Details, error) {
	document := map[string]any{}
	for path, value := range flat {
		outer, inner, nested := strings.Cut(path, ".")
		if !nested {
			document[path] = value
			continue
		}
		in, ok := document[outer].(map[string]any)
		if !ok {
			in = map[string]any{}
			document[outer] = in
		}
		in[inner] = value
	}
	var d Details
	b, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	return d, err
}
