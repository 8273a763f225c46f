package field

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"annals/domain"
)

// mostStored is how much a client may have in custom fields, in bytes of JSON.
const mostStored = 256 << 10

// Merge returns what a client of a project has in custom fields after a JSON merge patch
// of what it had: null, and whatever is empty, removes; what is left out stays, and so
// does what is under keys that are retired or those of another project. The values
// are in the form in which they are stored, see [Type]. A new client gets defaults.
//
// All at once, errors fault keys that are not in effect, values that are not of their
// field's type, and what is required and missing, or would be taken away. What the
// client has already is taken as it is. The world has to have the states of [Refs] of
// the patch.
func (s State) Merge(project domain.ID, was, patch map[string]any, creating bool, w domain.World, by domain.Authority) (map[string]any, error) {
	var f domain.Faults
	to := maps.Clone(was)
	if to == nil {
		to = map[string]any{}
	}
	defs := s.visible(project)
	among := mentioned(patch)
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		at := "custom." + key
		d := effective(defs, key)
		if d == nil {
			f.Add(unknown(at, key, defs))
			continue
		}
		old, had := was[key]
		if had && reflect.DeepEqual(patch[key], old) {
			continue
		}
		v, err := d.normal(at, patch[key], old)
		if err == nil && v != nil && !reflect.DeepEqual(v, old) {
			err = d.resolve(at, v, among, w, by)
		}
		switch {
		case err != nil:
			f.Add(err)
		case v != nil:
			to[key] = v
		case d.Required && (creating || had):
			f.Add(domain.Fault(at, "required", "is required"))
		default:
			delete(to, key)
		}
	}
	if creating {
		f.Add(complete(to, patch, defs))
	}
	if len(patch) > 0 && f.Err() == nil && !reflect.DeepEqual(to, was) {
		if raw, err := json.Marshal(to); err != nil || len(raw) > mostStored {
			f.Add(domain.Fault("custom", "too_large", "would be more than %d bytes", mostStored))
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	if len(to) == 0 {
		return nil, nil
	}
	return to, nil
}

// complete gives a new client the defaults of what nothing was said about, and faults
// what is required and has none.
func complete(to, patch map[string]any, defs []*Definition) error {
	var f domain.Faults
	for _, d := range defs {
		_, there := to[d.Key]
		_, said := patch[d.Key]
		switch {
		case d.Retired || there || said:
		case d.Default != nil:
			to[d.Key] = d.Default
		case d.Required:
			f.Add(domain.Fault("custom."+d.Key, "required", "is required"))
		}
	}
	return f.Err()
}

func effective(defs []*Definition, key string) *Definition {
	for _, d := range defs {
		if d.Key == key && !d.Retired {
			return d
		}
	}
	return nil
}

// mostNamed is how many keys a message names.
const mostNamed = 50

func unknown(at, key string, defs []*Definition) error {
	var keys []string
	for _, d := range defs {
		switch {
		case !d.Retired:
			keys = append(keys, d.Key)
		case d.Key == key:
			return domain.Fault(at, "retired", "is a field that is not in use any more")
		}
	}
	slices.Sort(keys)
	switch n := len(keys); {
	case n == 0:
		return domain.Fault(at, "unknown_field", "is no custom field: there are none for this project")
	case n > mostNamed:
		return domain.Fault(at, "unknown_field", "is none of the %d custom fields: %s, …", n, strings.Join(keys[:mostNamed], ", "))
	}
	return domain.Fault(at, "unknown_field", "is none of the custom fields: %s", strings.Join(keys, ", "))
}

// resolve faults a value that names who or what there is not, or that somebody may not
// see: to them both are the same.
func (d *Definition) resolve(at string, v any, among []domain.ID, w domain.World, by domain.Authority) error {
	if d.Type != Employee && d.Type != Client {
		return nil
	}
	id, _ := parseID(v)
	if !slices.Contains(among, id) {
		return domain.Fault(at, "too_many", "is one of more than %d ids: set the others first", mostMentioned)
	}
	if d.Type == Employee {
		if e, ok := w[domain.Ref{Category: domain.Employee, ID: id}].(interface{ Active() bool }); !ok || !e.Active() {
			return domain.Fault(at, "absent", "names no active employee")
		}
		return nil
	}
	ref := domain.Ref{Category: domain.Client, ID: id}
	c, ok := w[ref].(interface{ Place() domain.Place })
	if !ok || !w.Has(ref) || !by.May(domain.ClientsView, c.Place()) {
		return domain.Fault(at, "absent", "names no client that you may see")
	}
	return nil
}
