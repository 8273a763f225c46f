package eventschema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"annals/domain"
)

// JSONSchema is what the data of an event looks like as it is stored: JSON Schema
// (2020-12) of a version of a type, named as in client.registered.v2. What is personal is
// an object with the sealed bytes. It is false for what the catalogue does not have.
func JSONSchema(name string) ([]byte, bool) {
	v, ok := versionOf(name)
	if !ok {
		return nil, false
	}
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, DoNotReference: true, Mapper: Textual}
	s := r.ReflectFromType(v.sealed.shadow)
	v.sealed.each(s, func(in *jsonschema.Schema, name string, _ *jsonschema.Schema) {
		box := jsonschema.NewProperties()
		box.Set("$sealed", &jsonschema.Schema{Type: "string", ContentEncoding: "base64"})
		in.Properties.Set(name, &jsonschema.Schema{
			Type: "object", Properties: box, Required: []string{"$sealed"},
			Description: "Personal: sealed with the data key of the person",
		})
	})
	return written(s, name, "urn:annals:event:"+name)
}

// PublicSchema is what an event looks like to the outside, of a version that is named as in
// [JSONSchema]: fields may be added to it, and what is personal may be missing. Source is
// the URL that it is found at.
func PublicSchema(name, source string) ([]byte, bool) {
	v, ok := versionOf(name)
	if !ok {
		return nil, false
	}
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, DoNotReference: true, AllowAdditionalProperties: true, Mapper: Textual, LookupComment: Doc}
	s := r.ReflectFromType(v.stored)
	v.sealed.each(s, func(_ *jsonschema.Schema, _ string, f *jsonschema.Schema) {
		f.Description = strings.TrimPrefix(f.Description+". Personal: for who may export the client, until the person is erased", ". ")
	})
	return written(s, name, source+"/api/v1/events/schemas/"+name)
}

func versionOf(name string) (v version, ok bool) {
	i := max(strings.LastIndex(name, ".v"), 0)
	typ, text := name[:i], strings.TrimPrefix(name[i:], ".v")
	versions := catalogue[typ]
	var n int
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil || n < 1 || n > len(versions) || strconv.Itoa(n) != text {
		return v, false
	}
	return versions[n-1], true
}

func written(s *jsonschema.Schema, name, id string) ([]byte, bool) {
	s.Title, s.ID = name, jsonschema.ID(id)
	raw, err := json.MarshalIndent(s, "", "  ")
	return raw, err == nil
}

// Doc is what a field of a type means, as its tag says.
func Doc(t reflect.Type, field string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	f, _ := t.FieldByName(field)
	return f.Tag.Get("doc")
}

// Textual is the schema of what writes itself as text, as ids do; nil for everything else.
func Textual(t reflect.Type) *jsonschema.Schema {
	switch {
	case t == reflect.TypeFor[domain.ID]():
		return &jsonschema.Schema{Type: "string", Format: "uuid"}
	case t == reflect.TypeFor[time.Time](), !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return nil
	}
	return &jsonschema.Schema{Type: "string"}
}

// each has f see the properties that are personal, which need not be there, and the schema
// that they are in.
func (p *plan) each(s *jsonschema.Schema, see func(in *jsonschema.Schema, name string, f *jsonschema.Schema)) {
	for _, f := range p.fields {
		at, ok := s.Properties.Get(f.name)
		switch {
		case !ok:
		case f.inner != nil:
			f.inner.each(at, see)
		case f.sealed:
			see(s, f.name, at)
			s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return name == f.name })
		}
	}
}

// Versions names every version of every type that the catalogue has, as [JSONSchema]
// takes them, sorted.
func Versions() (all []string) {
	for typ, versions := range catalogue {
		for n := range versions {
			all = append(all, fmt.Sprintf("%s.v%d", typ, n+1))
		}
	}
	slices.Sort(all)
	return all
}
