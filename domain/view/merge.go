package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"annals/domain"
	"annals/domain/registry"
)

// merge applies a JSON merge patch (RFC 7396). Unlike one by the letter it replaces a
// filter as a whole, in which null means something, and with whom the view is shared.
func (d Definition) merge(patch map[string]any) (Definition, error) {
	var f domain.Faults
	texts := map[string]any{"name": &d.Name, "filter": &d.Filter, "q": &d.Q}
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		switch v := patch[name]; name {
		case "columns":
			d.Columns = elements[Column](&f, name, v)
		case "sort":
			d.Sort = elements[string](&f, name, v)
		case "shared":
			d.Shared = element[Shared](&f, name, v)
		case "name", "filter", "q":
			f.Add(registry.Merge(map[string]any{name: v}, texts))
		default:
			f.Add(domain.Fault(name, "unknown_field", "is no part of a view: name, columns, filter, q, sort and shared are"))
		}
	}
	return d, f.Err()
}

func elements[T any](f *domain.Faults, at string, v any) []T {
	list, ok := v.([]any)
	if !ok && v != nil {
		f.Add(domain.Fault(at, "type", "has to be a list, or null"))
	}
	var out []T
	for i, one := range list {
		out = append(out, element[T](f, domain.At(at, i), one))
	}
	return out
}

// element is a value of a patch, at a path at which it is faulted.
func element[T any](f *domain.Faults, at string, v any) (out T) {
	if v == nil {
		return out
	}
	raw, err := json.Marshal(v)
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		err = dec.Decode(&out)
	}
	f.Add(faultAt(at, err))
	return out
}

func faultAt(at string, err error) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field != "" {
			at += "." + wrong.Field
		}
		return domain.Fault(at, "type", "has to be another type than %s", wrong.Value)
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return domain.Fault(at+"."+strings.Trim(name, `"`), "unknown_field", "is not a field of this")
	}
	return domain.Fault(at, "malformed", "is malformed")
}
