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
	i := max(strings.LastIndex(name, ".v"), 0)
	typ, v := name[:i], strings.TrimPrefix(name[i:], ".v")
	versions := catalogue[typ]
	var n int
	if _, err := fmt.Sscanf(v, "%d", &n); err != nil || n < 1 || n > len(versions) || strconv.Itoa(n) != v {
		return nil, false
	}
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, DoNotReference: true, Mapper: textual}
	p := versions[n-1].sealed
	s := r.ReflectFromType(p.shadow)
	p.mark(s)
	s.Title, s.ID = name, jsonschema.ID("urn:annals:event:"+name)
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, false
	}
	return raw, true
}

// textual is the schema of what writes itself as text, as ids do.
func textual(t reflect.Type) *jsonschema.Schema {
	switch {
	case t == reflect.TypeFor[domain.ID]():
		return &jsonschema.Schema{Type: "string", Format: "uuid"}
	case t == reflect.TypeFor[time.Time](), !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return nil
	}
	return &jsonschema.Schema{Type: "string"}
}

// mark says which properties are sealed.
func (p *plan) mark(s *jsonschema.Schema) {
	for _, f := range p.fields {
		at, ok := s.Properties.Get(f.name)
		switch {
		case !ok:
		case f.inner != nil:
			f.inner.mark(at)
		case f.sealed:
			box := jsonschema.NewProperties()
			box.Set("$sealed", &jsonschema.Schema{Type: "string", ContentEncoding: "base64"})
			s.Properties.Set(f.name, &jsonschema.Schema{
				Type: "object", Properties: box, Required: []string{"$sealed"},
				Description: "Personal: sealed with the data key of the person",
			})
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
