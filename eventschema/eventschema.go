// Package eventschema is the contract of the log: it turns domain events into
// bytes, and any bytes that were ever stored back into today's domain events.
//
// Fields marked `personal:"yes"` are encrypted under a key of their own stream
// (see [DataKey]). Destroying that key erases the person and leaves the history
// whole: the events are still read, with those fields told as erased.
package eventschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"annals/domain"
)

// ErrUnknown is an event type or version that this program does not know. A
// reader must stop at it: to skip it is to lose a fact.
var ErrUnknown = errors.New("unknown event")

// Metadata is what is stored beside an event, as JSON, in the clear.
type Metadata struct {
	domain.Meta
	Version int    `json:"schema"`        // of the event's type, counted from 1
	Code    string `json:"mac,omitempty"` // see [Authenticator]
}

// KeyCreated is the first event of a key stream: the data key of the aggregate
// with the same id, wrapped by the master key.
type KeyCreated struct {
	Master  string `json:"master"`  // names the master key
	Wrapped []byte `json:"wrapped"` // see [Master]
}

// KeyRewrapped is the same data key, wrapped by another master key: of a key stream, the
// last event counts.
type KeyRewrapped struct {
	Master  string `json:"master"`
	Wrapped []byte `json:"wrapped"`
}

// MasterRetired says, in the stream of [Masters], that a master key writes nothing from
// here on, and keeps what the codes of events are checked with that it has written. Told
// again, it is wrapped by another master key.
type MasterRetired struct {
	Retired string `json:"retired"` // names the master key that writes nothing any more
	Master  string `json:"master"`  // names the one that has wrapped
	Wrapped []byte `json:"wrapped"` // the key of the codes, see [Authenticator]
}

// KeyDestroyed is how a reader of the log is told that a key stream is gone for
// good, and the person of the same id erased: whatever was derived from the
// personal fields has to go too. It is never stored.
type KeyDestroyed struct{}

// Key is the category of the streams that hold data keys.
const Key = "key"

type version struct {
	typ    reflect.Type // today's
	stored reflect.Type // as it was then
	sealed *plan
	decode func(data []byte, open *opener) (any, error)
}

// now reads the current version.
func now[E any]() version { return was(func(e E) E { return e }) }

// was reads an earlier version and brings it up to a later one.
func was[Old, New any](up func(Old) New) version {
	old := reflect.TypeFor[Old]()
	p := newPlan(old)
	return version{reflect.TypeFor[New](), old, p, func(data []byte, open *opener) (any, error) {
		var o Old
		if err := p.decode(data, reflect.ValueOf(&o).Elem(), open); err != nil {
			return nil, err
		}
		return up(o), nil
	}}
}

// then composes two upcasts, so that version n needs to know n+1 only.
func then[A, B, C any](f func(A) B, g func(B) C) func(A) C {
	return func(a A) C { return g(f(a)) }
}

var names = func() map[reflect.Type]string {
	m := make(map[reflect.Type]string, len(catalogue))
	for name, vs := range catalogue {
		m[vs[len(vs)-1].typ] = name
	}
	return m
}()

// Categories are the first parts of the names of all streams with events of the
// catalogue, sorted.
func Categories() []string { return slices.Clone(categories) }

var categories = func() []string {
	all := map[string]bool{}
	for name := range catalogue {
		all[category(name)] = true
	}
	return slices.Sorted(maps.Keys(all))
}()

// personal holds the categories that have personal fields in some event, and so
// a data key for each stream.
var personal = func() map[string]bool {
	m := map[string]bool{}
	for name, vs := range catalogue {
		for _, v := range vs {
			m[category(name)] = m[category(name)] || v.sealed.personal
		}
	}
	return m
}()

func category(name string) string { c, _, _ := strings.Cut(name, "."); return c }

// Public says whether the outside may be told of events in streams of the category: of those
// of keys it is not, and neither of who looked at what, to which each look at the events
// would add.
func Public(category string) bool { return category != Key && category != domain.Access }

// Known says whether the catalogue has a type of event of that name.
func Known(name string) bool { _, ok := catalogue[name]; return ok }

// Types are the names of all events that there are, sorted.
func Types() []string { return slices.Sorted(maps.Keys(catalogue)) }

// HasKey says whether streams of the category have a data key.
func HasKey(category string) bool { return personal[category] }

// Name returns the type name of e, or "" when it is not in the catalogue.
func Name(e any) string { return names[reflect.TypeOf(e)] }

// Encode returns e's type name, current version and bytes, as stored in stream.
// The key may be nil for categories without one.
func Encode(e any, stream string, key *DataKey) (name string, v int, data []byte, err error) {
	name, ok := names[reflect.TypeOf(e)]
	if !ok {
		return "", 0, nil, fmt.Errorf("encode %T: %w", e, ErrUnknown)
	}
	vs := catalogue[name]
	data, err = vs[len(vs)-1].sealed.encode(reflect.ValueOf(e), sealer(key, stream, name))
	if err != nil {
		return "", 0, nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return name, len(vs), data, nil
}

// Decode reads data, stored in stream as version v of the named type, as today's
// event. Without a key, personal fields are left empty and their paths returned.
func Decode(name string, v int, data []byte, stream string, key *DataKey) (event any, erased []string, err error) {
	vs := catalogue[name]
	if v < 1 || v > len(vs) {
		return nil, nil, fmt.Errorf("decode %s v%d: %w", name, v, ErrUnknown)
	}
	o := opener{key: key, where: where(stream, name)}
	event, err = vs[v-1].decode(data, &o)
	if err != nil {
		return nil, nil, fmt.Errorf("decode %s v%d: %w", name, v, err)
	}
	return event, o.erased, nil
}

// EncodeMetadata returns the metadata of an event of version v.
func EncodeMetadata(m domain.Meta, v int) ([]byte, error) {
	b, err := json.Marshal(Metadata{Meta: m, Version: v})
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	return b, nil
}

var metadata = newPlan(reflect.TypeFor[Metadata]())

// DecodeMetadata reads what [EncodeMetadata] wrote.
func DecodeMetadata(b []byte) (Metadata, error) {
	var m Metadata
	if err := metadata.decode(b, reflect.ValueOf(&m).Elem(), &opener{}); err != nil {
		return m, fmt.Errorf("decode metadata: %w", err)
	}
	return m, nil
}
