package projections

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// subjects name what an event changes, where its own fields do not: those of an
// event with From and To that are no structs, or with Added and Removed.
var subjects = map[string]string{
	"client.retagged":             "tags",
	"client.status_changed":       "status",
	"project.transitions_changed": "transitions",
	"note.edited":                 "text",
}

// changes is what an event changed, told by its fields alone: From and To are
// compared, Added and Removed taken as they are, and any other field that is not
// empty became what it is. Reason is the reason.
type changes struct {
	all      []any
	reason   string
	personal []string // the fields of them that are erased with the person, sorted
}

type fromTo struct {
	Field string `json:"field"`
	From  any    `json:"from"`
	To    any    `json:"to"`
}

type addedRemoved struct {
	Field   string `json:"field"`
	Added   any    `json:"added,omitempty"`
	Removed any    `json:"removed,omitempty"`
}

func (c *changes) json() []byte {
	b, err := json.Marshal(list(c.all))
	if err != nil {
		panic(err) // the fields of an event were read from JSON
	}
	return b
}

func changesOf(name string, event any) *changes {
	c := &changes{}
	v := reflect.ValueOf(event)
	from, to := v.FieldByName("From"), v.FieldByName("To")
	added, removed := v.FieldByName("Added"), v.FieldByName("Removed")
	pair, lists := from.IsValid() && to.IsValid() && from.Type() == to.Type(), added.IsValid() && removed.IsValid()
	switch {
	case pair && from.Kind() == reflect.Struct:
		for _, l := range leaves(from.Type()) {
			c.add(l, from.FieldByIndex(l.index), to.FieldByIndex(l.index))
		}
	case pair:
		f, _ := v.Type().FieldByName("From")
		c.add(leaf{name: subjects[name], personal: f.Tag.Get("personal") == "yes"}, from, to)
	case lists:
		c.all = append(c.all, addedRemoved{subjects[name], value(added), value(removed)})
	}
	for _, l := range leaves(v.Type()) {
		field := v.FieldByIndex(l.index)
		outer, _, _ := strings.Cut(l.name, ".")
		switch {
		case pair && (outer == "from" || outer == "to"), lists && (outer == "added" || outer == "removed"): // above
		case l.name == "reason":
			c.reason = field.String()
			c.mark(l, field)
		default: // a message is from and to somebody
			c.add(l, reflect.Zero(field.Type()), field)
		}
	}
	slices.Sort(c.personal)
	return c
}

func (c *changes) add(l leaf, from, to reflect.Value) {
	c.mark(l, from, to) // what the event holds, changed or not: without the key nobody can tell
	f, t := value(from), value(to)
	if f == nil && t == nil || from.Comparable() && from.Equal(to) {
		return
	}
	c.all = append(c.all, fromTo{l.name, f, t})
}

func (c *changes) mark(l leaf, values ...reflect.Value) {
	if l.personal && slices.ContainsFunc(values, func(v reflect.Value) bool { return !v.IsZero() }) {
		c.personal = append(c.personal, l.name)
	}
}

// value is what stands in a history: null for empty.
func value(v reflect.Value) any {
	if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return nil
	}
	return v.Interface()
}

// leaf is a field of an event that holds a value, by its path in JSON.
type leaf struct {
	name     string
	index    []int
	personal bool
}

var leavesOf sync.Map // reflect.Type to []leaf

func leaves(t reflect.Type) []leaf {
	if l, ok := leavesOf.Load(t); ok {
		return l.([]leaf) //nolint:forcetypeassert // nothing else is stored
	}
	l := walk(t, "", nil)
	leavesOf.Store(t, l)
	return l
}

func walk(t reflect.Type, path string, index []int) []leaf {
	var out []leaf
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(slices.Clone(index), f.Index...)
		personal := f.Tag.Get("personal") == "yes"
		switch {
		case f.Anonymous:
			out = append(out, walk(f.Type, path, at)...)
		case f.Type.Kind() == reflect.Struct && !personal && !f.Type.Implements(marshaler):
			out = append(out, walk(f.Type, path+name+".", at)...)
		default:
			out = append(out, leaf{path + name, at, personal})
		}
	}
	return out
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// fieldsOf brings the paths of erased fields into the names that changes have.
func fieldsOf(name string, erased []string) []string {
	names := make([]string, len(erased))
	for i, path := range erased {
		subject, whole := subjects[name]
		switch path {
		case "from", "to", "added", "removed":
			if names[i] = subject; !whole {
				names[i] = path
			}
		default:
			names[i] = strings.TrimPrefix(strings.TrimPrefix(path, "from."), "to.")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
