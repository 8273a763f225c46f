package eventschema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	sealed bool
	inner  *plan // a struct that holds sealed fields
}

// A sealing turns the JSON of the field at path into what is stored; an opening
// turns it back, or says that the key is gone.
type (
	sealing func(path string, plain []byte) ([]byte, error)
	opening func(path string, box []byte) (plain []byte, ok bool, err error)
)

var rawJSON = reflect.TypeFor[json.RawMessage]()

func newPlan(t reflect.Type) *plan {
	p := &plan{}
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("eventschema: %v is not a struct", t))
	}
	var shadow []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() || len(f.Index) > 1 && !embedded(t, f.Index) {
			continue
		}
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		if name == "" || name == "-" {
			panic(fmt.Sprintf("eventschema: %v.%s has no name in JSON", t, f.Name))
		}
		out := field{name: name, index: f.Index, sealed: f.Tag.Get("personal") == "yes"}
		typ := f.Type
		switch {
		case out.sealed:
			typ, tag = rawJSON, name+",omitempty"
		case typ.Kind() == reflect.Struct && !implementsJSON(typ):
			if inner := newPlan(typ); inner.personal {
				out.inner, typ = inner, inner.shadow
			}
		}
		p.personal = p.personal || out.sealed || out.inner != nil
		p.fields = append(p.fields, out)
		shadow = append(shadow, reflect.StructField{Name: f.Name, Type: typ, Tag: reflect.StructTag(`json:"` + tag + `"`)})
	}
	p.shadow = reflect.StructOf(shadow)
	return p
}

// embedded says whether all but the last step of index lead through embedded structs.
func embedded(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		if !f.Anonymous {
			return false
		}
		t = f.Type
	}
	return true
}

func implementsJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]())
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

func (p *plan) decode(data []byte, v reflect.Value, open opening) error {
	if !p.personal {
		return json.Unmarshal(data, v.Addr().Interface())
	}
	s := reflect.New(p.shadow)
	if err := json.Unmarshal(data, s.Interface()); err != nil {
		return err
	}
	return p.fromShadow(s.Elem(), v, "", open)
}

func (p *plan) fromShadow(s, v reflect.Value, path string, open opening) error {
	for i, f := range p.fields {
		from, to := s.Field(i), v.FieldByIndex(f.index)
		switch {
		case f.inner != nil:
			if err := f.inner.fromShadow(from, to, path+f.name+".", open); err != nil {
				return err
			}
		case f.sealed && from.Len() > 0:
			plain, ok, err := open(path+f.name, from.Bytes())
			if err != nil {
				return fmt.Errorf("%s%s: %w", path, f.name, err)
			}
			if !ok {
				continue
			}
			if err := json.Unmarshal(plain, to.Addr().Interface()); err != nil {
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

// sealer binds each box to its stream, event type and field, so that a box moved
// to another place does not open there.
func sealer(key *DataKey, stream, name string) sealing {
	if key == nil {
		return func(string, []byte) ([]byte, error) { return nil, errNoKey }
	}
	aead := key.aead()
	return func(path string, plain []byte) ([]byte, error) {
		sealed := seal(aead, plain, stream+"\n"+name+"\n"+path)
		box := make([]byte, 0, len(boxBegin)+base64.RawURLEncoding.EncodedLen(len(sealed))+len(boxEnd))
		box = append(box, boxBegin...)
		box = base64.RawURLEncoding.AppendEncode(box, sealed)
		return append(box, boxEnd...), nil
	}
}

func unsealer(key *DataKey, stream, name string, erased *[]string) opening {
	if key == nil {
		return func(path string, raw []byte) ([]byte, bool, error) {
			if _, ok := boxed(raw); !ok {
				return raw, true, nil
			}
			*erased = append(*erased, path)
			return nil, false, nil
		}
	}
	aead := key.aead()
	return func(path string, raw []byte) ([]byte, bool, error) {
		text, ok := boxed(raw)
		if !ok {
			return raw, true, nil
		}
		sealed, err := base64.RawURLEncoding.AppendDecode(nil, text)
		if err != nil {
			return nil, false, err
		}
		plain, err := unseal(aead, sealed, stream+"\n"+name+"\n"+path)
		return plain, true, err
	}
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
