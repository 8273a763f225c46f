package eventschema

import (
	"bytes"
	"crypto/cipher"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A plan says how one type of event is written: like encoding/json does, but
// with each personal field sealed by itself, as {"$sealed":"base64"}. It works
// on a shadow of the type in which those fields are raw JSON.
type plan struct {
	shadow   reflect.Type
	fields   []field
	personal bool // some field is sealed, here or further in
}

type field struct {
	name   string // as in JSON
	index  []int  // in the type; the place in fields is its index in the shadow
	kind   kind
	sealed bool
	inner  *plan // a struct that holds sealed fields
}

// A sealing turns the JSON of the field at path into what is stored.
type sealing func(path string, plain []byte) ([]byte, error)

var rawJSON = reflect.TypeFor[json.RawMessage]()

// newPlan panics for types that it cannot write without leaving something
// personal in the clear: the program does not start with one in its catalogue.
func newPlan(t reflect.Type) *plan {
	p := &plan{}
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("eventschema: %v is not a struct", t))
	}
	var shadow []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			if f.Type.Kind() != reflect.Struct || f.Tag != "" {
				panic(fmt.Sprintf("eventschema: %v embeds %v other than as a plain struct", t, f.Type))
			}
			continue
		}
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case !f.IsExported(), tag == "-":
			continue
		case name == "":
			panic(fmt.Sprintf("eventschema: %v.%s has no name in JSON", t, f.Name))
		}
		out := field{name: name, index: f.Index, kind: kindOf(f.Type), sealed: f.Tag.Get("personal") == "yes"}
		typ := f.Type
		switch {
		case out.sealed:
			typ, tag = rawJSON, name+",omitempty"
		case typ.Kind() == reflect.Struct && !implementsJSON(typ):
			if inner := newPlan(typ); inner.personal {
				out.inner, typ = inner, inner.shadow
			}
		case holdsPersonal(typ, nil):
			panic(fmt.Sprintf("eventschema: %v.%s holds personal fields where they cannot be sealed one by one: mark the whole field", t, f.Name))
		}
		p.personal = p.personal || out.sealed || out.inner != nil
		p.fields = append(p.fields, out)
		shadow = append(shadow, reflect.StructField{Name: f.Name, Type: typ, Tag: reflect.StructTag(`json:"` + tag + `"`)})
	}
	p.shadow = reflect.StructOf(shadow)
	return p
}

// holdsPersonal says whether some field that can be reached from t is marked.
func holdsPersonal(t reflect.Type, seen []reflect.Type) bool {
	if slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	switch t.Kind() { //nolint:exhaustive // the others hold nothing
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsPersonal(t.Elem(), seen)
	case reflect.Map:
		return holdsPersonal(t.Key(), seen) || holdsPersonal(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Tag.Get("personal") != "" || holdsPersonal(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

func implementsJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (p *plan) encode(v reflect.Value, seal sealing) ([]byte, error) {
	if !p.personal {
		return json.Marshal(v.Interface())
	}
	s, err := p.toShadow(v, "", seal)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s.Interface())
}

func (p *plan) toShadow(v reflect.Value, path string, seal sealing) (reflect.Value, error) {
	s := reflect.New(p.shadow).Elem()
	for i, f := range p.fields {
		from := v.FieldByIndex(f.index)
		switch {
		case from.IsZero():
		case f.inner != nil:
			in, err := f.inner.toShadow(from, path+f.name+".", seal)
			if err != nil {
				return s, err
			}
			s.Field(i).Set(in)
		case f.sealed:
			plain, err := json.Marshal(from.Interface())
			if err != nil {
				return s, err
			}
			box, err := seal(path+f.name, plain)
			if err != nil {
				return s, err
			}
			s.Field(i).SetBytes(box)
		default:
			s.Field(i).Set(from)
		}
	}
	return s, nil
}

// decode reads data into v, which is zero.
func (p *plan) decode(data []byte, v reflect.Value, open *opener) error {
	if err := p.readCanonical(data, v, open); !errors.Is(err, errOther) {
		return err
	}
	v.SetZero()
	open.erased = nil
	if !p.personal {
		return json.Unmarshal(data, v.Addr().Interface())
	}
	s := reflect.New(p.shadow)
	if err := json.Unmarshal(data, s.Interface()); err != nil {
		return err
	}
	return p.fromShadow(s.Elem(), v, "", open)
}

func (p *plan) fromShadow(s, v reflect.Value, path string, open *opener) error {
	for i, f := range p.fields {
		from, to := s.Field(i), v.FieldByIndex(f.index)
		switch {
		case f.inner != nil:
			if err := f.inner.fromShadow(from, to, path+f.name+".", open); err != nil {
				return err
			}
		case f.sealed && from.Len() > 0:
			raw := from.Bytes()
			if text, ok := boxed(raw); ok {
				if err := open.into(to, f.kind, path+f.name, text); err != nil {
					return err
				}
			} else if err := json.Unmarshal(raw, to.Addr().Interface()); err != nil { // from before it was personal
				return fmt.Errorf("%s%s: %w", path, f.name, err)
			}
		case !f.sealed:
			to.Set(from)
		}
	}
	return nil
}

const (
	boxBegin = `{"$sealed":"`
	boxEnd   = `"}`
)

var errNoKey = errors.New("has personal fields, and there is no key")

// where begins what a box is bound to; the field's path follows.
func where(stream, name string) string { return stream + "\n" + name + "\n" }

// sealer binds each box to its stream, event type and field, so that a box moved
// to another place does not open there.
func sealer(key *DataKey, stream, name string) sealing {
	if key == nil {
		return func(string, []byte) ([]byte, error) { return nil, errNoKey }
	}
	aead := key.aead()
	return func(path string, plain []byte) ([]byte, error) {
		sealed := seal(aead, plain, where(stream, name)+path)
		box := make([]byte, 0, len(boxBegin)+base64url.EncodedLen(len(sealed))+len(boxEnd))
		box = append(box, boxBegin...)
		box = base64url.AppendEncode(box, sealed)
		return append(box, boxEnd...), nil
	}
}

// base64url refuses what it would not have written itself, so that a stored box
// has one form only.
var base64url = base64.RawURLEncoding.Strict()

// An opener opens the boxes of one event. Without a key it notes their paths.
type opener struct {
	key    *DataKey
	where  string // stream and event type, see sealer
	erased []string
	aead   cipher.AEAD
	bytes  []byte // what was opened last
	place  []byte
}

// open returns what is in a box, valid until the next call.
func (o *opener) open(path string, text []byte) (plain []byte, ok bool, err error) {
	if o.key == nil {
		o.erased = append(o.erased, path)
		return nil, false, nil
	}
	if o.aead == nil {
		o.aead = o.key.aead()
		o.place = append(o.place, o.where...)
	}
	if o.bytes, err = base64url.AppendDecode(o.bytes[:0], text); err != nil {
		return nil, false, err
	}
	o.place = append(o.place[:len(o.where)], path...)
	plain, err = unseal(o.aead, o.bytes, o.place)
	return plain, true, err
}

// boxed returns what is inside raw's box. PostgreSQL and other JSON writers may
// have spaced it differently, so anything but the usual form is parsed.
func boxed(raw []byte) ([]byte, bool) {
	if in, ok := bytes.CutPrefix(raw, []byte(boxBegin)); ok {
		return bytes.TrimSuffix(in, []byte(boxEnd)), true
	}
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	var box struct {
		Sealed *string `json:"$sealed"`
	}
	if json.Unmarshal(raw, &box) != nil || box.Sealed == nil {
		return nil, false
	}
	return []byte(*box.Sealed), true
}
