package eventschema

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// A rebuild decodes every event there ever was, and nearly all of them are in the
// form in which this package writes: no white space, fields in their order, each
// once, texts without escapes. That form is read here in one pass. Whatever is
// different in any way is errOther, and encoding/json reads it: the two never
// disagree (FuzzCanonical).

var errOther = errors.New("not in canonical form")

// kind is how a field is read.
type kind uint8

const (
	asJSON kind = iota // by encoding/json
	asText             // a string, by its UnmarshalText
	asString
)

func kindOf(t reflect.Type) kind {
	p := reflect.PointerTo(t)
	switch {
	case p.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return asJSON
	case p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return asText
	case t.Kind() == reflect.String:
		return asString
	}
	return asJSON
}

// canonical reads the object that in begins with into v, a struct of the plan's
// type, and returns what follows it.
func (p *plan) canonical(in []byte, v reflect.Value, open *opener, path string) ([]byte, error) {
	in, ok := bytes.CutPrefix(in, []byte{'{'})
	if !ok {
		return nil, errOther
	}
	if in, ok := bytes.CutPrefix(in, []byte{'}'}); ok {
		return in, nil
	}
	for next := 0; ; {
		name, rest, plain := cutString(in)
		rest, ok := bytes.CutPrefix(rest, []byte{':'})
		if !plain || !ok {
			return nil, errOther
		}
		for next < len(p.fields) && p.fields[next].name != string(name) {
			next++
		}
		if next == len(p.fields) {
			return nil, errOther
		}
		f := &p.fields[next]
		next++
		rest, err := f.canonical(rest, v.FieldByIndex(f.index), open, path)
		switch {
		case err != nil:
			return nil, err
		case len(rest) > 0 && rest[0] == '}':
			return rest[1:], nil
		case len(rest) > 0 && rest[0] == ',':
			in = rest[1:]
		default:
			return nil, errOther
		}
	}
}

func (f *field) canonical(in []byte, to reflect.Value, open *opener, path string) ([]byte, error) {
	switch {
	case f.inner != nil:
		return f.inner.canonical(in, to, open, path+f.name+".")
	case f.sealed:
		in, ok := bytes.CutPrefix(in, []byte(boxBegin))
		end := bytes.IndexByte(in, '"')
		if !ok || end < 0 || !bytes.HasPrefix(in[end:], []byte(boxEnd)) {
			return nil, errOther
		}
		return in[end+len(boxEnd):], open.into(to, f.kind, path+f.name, in[:end])
	}
	value, rest := cutValue(in)
	if value == nil {
		return nil, errOther
	}
	return rest, f.kind.set(to, value)
}

// set brings one JSON value into a field.
func (k kind) set(to reflect.Value, value []byte) error {
	if k != asJSON {
		if s, rest, ok := cutString(value); ok && len(rest) == 0 {
			if k == asString {
				to.SetString(string(s))
				return nil
			}
			return to.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s)
		}
	}
	return json.Unmarshal(value, to.Addr().Interface())
}

// cutString returns the inside of the string that in begins with, if it is plain,
// and what follows it.
func cutString(in []byte) (s, rest []byte, ok bool) {
	if len(in) == 0 || in[0] != '"' {
		return nil, nil, false
	}
	ascii := true
	for i := 1; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			s = in[1:i]
			return s, in[i+1:], ascii || utf8.Valid(s)
		case c == '\\' || c < ' ':
			return nil, nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, nil, false
}

// cutValue returns the JSON value that in begins with, nil where it cannot tell.
// Whether it is well formed is for its reader to see.
func cutValue(in []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(in); i++ {
		switch in[i] {
		case '"':
			_, after, ok := cutString(in[i:])
			if !ok {
				return nil, nil
			}
			i = len(in) - len(after) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':':
			continue
		default: // a number, or null, true, false
			for i+1 < len(in) && bytes.IndexByte([]byte(",:]}"), in[i+1]) < 0 {
				i++
			}
		}
		if depth < 0 {
			return nil, nil
		}
		if depth == 0 {
			return in[:i+1], in[i+1:]
		}
	}
	return nil, nil
}

// readCanonical reads data if it is in canonical form.
func (p *plan) readCanonical(data []byte, v reflect.Value, open *opener) error {
	rest, err := p.canonical(data, v, open, "")
	if err == nil && len(rest) > 0 {
		return errOther
	}
	return err
}

// into opens a box and sets the field with what was in it.
func (o *opener) into(to reflect.Value, k kind, path string, text []byte) error {
	plain, ok, err := o.open(path, text)
	if err == nil && ok {
		err = k.set(to, plain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
