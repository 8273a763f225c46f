package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/field"
)

// Limits of a filter.
const (
	MaxBytes  = 32 << 10
	MaxDepth  = 10
	MaxNodes  = 200
	MaxValues = 500 // of one condition
	maxText   = 1000
)

// Node is a filter, or a part of one: exactly one of its kinds. The zero Node is met by
// every client.
type Node struct {
	And, Or []Node
	Not     *Node

	Field  Field
	Op     string
	Values []Value
}

// Value is what a field is compared with, of the field's type.
type Value struct {
	Text   string    // of a text, a choice, a key of several; of a number in decimal digits
	ID     domain.ID // of a reference
	Ref    string    // of a reference that depends on who asks: @me, @my_desks, @my_projects
	Bool   bool
	Moment Moment // of a date or time
	Days   int    // of in_last and in_next
}

// Parse reads a filter, which is called at in errors; of nothing, and of null, it is the
// zero Node. Custom tells of custom fields by their keys.
func Parse(at string, raw []byte, custom func(key string) (field.Type, bool)) (Node, error) {
	if len(raw) > MaxBytes {
		return Node{}, domain.Fault(at, "too_long", "has %d bytes, at most %d are allowed", len(raw), MaxBytes)
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return Node{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return Node{}, domain.Fault(at, "malformed", "is not valid JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Node{}, domain.Fault(at, "malformed", "has something after its end")
	}
	if v == nil {
		return Node{}, nil
	}
	p := &parser{custom: custom}
	n := p.node(at, v, 1)
	return n, p.faults.Err()
}

type parser struct {
	custom func(string) (field.Type, bool)
	faults domain.Faults
	nodes  int
}

func (p *parser) fault(at, code, format string, args ...any) {
	if len(p.faults) < 20 {
		p.faults.Add(domain.Fault(at, code, format, args...))
	}
}

func (p *parser) node(at string, v any, depth int) (n Node) {
	m, ok := v.(map[string]any)
	if p.nodes++; p.nodes > MaxNodes {
		if p.nodes == MaxNodes+1 {
			p.fault(at, "too_many", "is one condition too many: at most %d are allowed", MaxNodes)
		}
		return n
	}
	switch {
	case !ok:
		p.fault(at, "type", `has to be an object: {"and": […]}, {"or": […]}, {"not": …} or {"field": …, "op": …, "value": …}`)
		return n
	case depth > MaxDepth:
		p.fault(at, "too_deep", "is nested deeper than %d levels", MaxDepth)
		return n
	}
	if f, ok := m["field"]; ok {
		p.unknown(at, m, "field", "op", "value")
		return p.condition(at, f, m)
	}
	for _, group := range []string{"and", "or"} {
		if list, ok := m[group]; ok {
			p.unknown(at, m, group)
			parts := p.group(at+"."+group, list, depth)
			if group == "and" {
				return Node{And: parts}
			}
			return Node{Or: parts}
		}
	}
	if inner, ok := m["not"]; ok {
		p.unknown(at, m, "not")
		not := p.node(at+".not", inner, depth+1)
		return Node{Not: &not}
	}
	if len(m) > 0 {
		p.fault(at, "unknown", `has none of and, or, not, field`)
	}
	return n // {} is met by all
}

func (p *parser) unknown(at string, m map[string]any, known ...string) {
	for name := range m {
		if !slices.Contains(known, name) {
			p.fault(at+"."+name, "unknown", "is not known here: there is %s", strings.Join(known, ", "))
		}
	}
}

func (p *parser) group(at string, v any, depth int) []Node {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		p.fault(at, "type", "has to be a list of one condition or more")
		return nil
	}
	parts := make([]Node, 0, min(len(list), MaxNodes))
	for i, one := range list {
		if p.nodes > MaxNodes {
			break
		}
		parts = append(parts, p.node(domain.At(at, i), one, depth+1))
	}
	return parts
}

func (p *parser) condition(at string, name any, m map[string]any) (n Node) {
	s, ok := name.(string)
	if !ok {
		p.fault(at+".field", "type", "has to be the name of a field")
		return n
	}
	if n.Field, ok = Lookup(s, p.custom); !ok {
		p.fault(at+".field", "unknown", "%q is none of the fields of clients", cut(s))
		return n
	}
	n.Op, _ = m["op"].(string)
	if ops := Operators[n.Field.Type]; !slices.Contains(ops, n.Op) {
		p.fault(at+".op", "unknown", "%q is none of the operators of %s, which is a %s: %s", cut(fmt.Sprint(m["op"])), cut(s), n.Field.Type, strings.Join(ops, ", "))
		return n
	}
	v, given := m["value"]
	at += ".value"
	switch n.Op {
	case Empty, NotEmpty:
		if given && v != nil {
			p.fault(at, "unknown", "is not for %s", n.Op)
		}
	case OneOf, NoneOf, HasAny, HasAll, HasNone:
		n.Values = p.values(at, n, v, 1, MaxValues)
	case Between:
		n.Values = p.values(at, n, v, 2, 2)
	default:
		n.Values = []Value{p.value(at, n, v)}
	}
	return n
}

func (p *parser) values(at string, n Node, v any, least, most int) []Value {
	list, ok := v.([]any)
	switch {
	case !ok && least == 1 && v != nil:
		return []Value{p.value(at, n, v)} // one alone needs no list
	case !ok || len(list) < least && least > 1:
		p.fault(at, "type", "has to be a list of %d values or more", least)
		return nil
	case len(list) == 0:
		p.fault(at, "required", "has to have at least one value")
		return nil
	case len(list) > most:
		p.fault(at, "too_many", "has %d values, at most %d are allowed", len(list), most)
		return nil
	}
	values := make([]Value, len(list))
	for i, one := range list {
		values[i] = p.value(domain.At(at, i), n, one)
	}
	return values
}

var (
	decimal = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,30})?$`)
	refs    = map[string][]string{"project": {"@my_projects"}, "desk": {"@my_desks"}, "manager": {"@me"}}
)

func (p *parser) value(at string, n Node, v any) (out Value) {
	keep := func(err error) {
		if err != nil && len(p.faults) < 20 {
			p.faults.Add(err)
		}
	}
	if n.Op == InLast || n.Op == InNext {
		days, ok := v.(json.Number)
		i, err := days.Int64()
		if !ok || err != nil || i < 1 || i > 100_000 {
			p.fault(at, "type", "has to be a number of days, 1 to 100000")
		}
		out.Days = int(i)
		return out
	}
	var err error
	switch n.Field.Type {
	case Unknown:
		switch v := v.(type) {
		case string:
			keep(domain.CheckText(at, v, maxText))
		case json.Number, bool:
		default:
			p.fault(at, "type", "has to be a text, a number, true or false")
		}
		return out
	case Date, Time:
		out.Moment, err = parseMoment(at, v)
		keep(err)
		return out
	case Boolean:
		b, ok := v.(bool)
		if !ok {
			p.fault(at, "type", "has to be true or false")
		}
		out.Bool = b
		return out
	case Number:
		out.Text = fmt.Sprint(v)
		_, isText := v.(string)
		if _, isNumber := v.(json.Number); !isNumber && !isText || !decimal.MatchString(out.Text) {
			p.fault(at, "type", "has to be a number as in 12.5, of at most 30 digits before and after the point")
		}
		return out
	case Text, Choice, Reference, Several:
	}
	s, ok := v.(string)
	if !ok {
		p.fault(at, "type", "has to be a text")
		return out
	}
	keep(domain.CheckText(at, s, maxText))
	out.Text = domain.Text(s)
	if out.Text == "" {
		p.fault(at, "required", "is empty: for that there are empty and not_empty")
		return out
	}
	switch n.Field.Type {
	case Choice:
		if c := n.Field.Choices; len(c) > 0 && !slices.Contains(c, s) {
			p.fault(at, "unknown", "%q is none of %s", cut(s), strings.Join(c, ", "))
		}
	case Reference:
		who := refs[n.Field.Name]
		if _, custom := Custom(n.Field.Name); custom {
			who = refs["manager"]
		}
		if strings.HasPrefix(s, "@") && slices.Contains(who, s) {
			out.Ref = s
			return out
		}
		if out.ID, err = uuid.Parse(s); err != nil {
			p.fault(at, "malformed", "%q is not the id of one%s", cut(s), orRefs(who))
		}
	case Text, Several, Number, Date, Time, Boolean, Unknown:
	}
	return out
}

func orRefs(who []string) string {
	if len(who) == 0 {
		return ""
	}
	return ", nor " + strings.Join(who, ", ")
}

func cut(s string) string {
	if r := []rune(s); len(r) > 50 {
		return string(r[:50]) + "…"
	}
	return s
}

// Fields are the names of the fields that a filter is about, each once, in no order.
func (n Node) Fields() []string {
	names := map[string]bool{}
	n.walk(func(c Node) { names[c.Field.Name] = true })
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	return out
}

// Conditions is how many conditions a filter has.
func (n Node) Conditions() (count int) {
	n.walk(func(Node) { count++ })
	return count
}

// walk visits all conditions.
func (n Node) walk(visit func(Node)) {
	switch {
	case n.Field.Name != "":
		visit(n)
	case n.Not != nil:
		n.Not.walk(visit)
	default:
		for _, part := range slices.Concat(n.And, n.Or) {
			part.walk(visit)
		}
	}
}
