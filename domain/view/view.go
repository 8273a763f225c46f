package view

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"annals/domain"
	"annals/domain/desk"
	"annals/domain/filter"
	"annals/domain/registry"
)

// Command is the closed set of requests to a view.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a view of one's own.
	Create struct{ Definition }
	// Edit changes a view by a JSON merge patch of its [Definition].
	Edit struct{ Patch map[string]any }
	// Delete ends it.
	Delete struct{}
)

func (Create) command() {}
func (Edit) command()   {}
func (Delete) command() {}

// State is a view, folded from its events.
type State struct {
	exists  bool
	OwnerID domain.ID
	Definition
}

// Exists says whether there is such a view, still.
func (s State) Exists() bool { return s.exists }

// Visible says whether somebody sees the view: its owner, with whom it is shared, and,
// of what is shared, who manages the settings. Nobody else learns that there is one.
// Package readapi has it as SQL.
func (s State) Visible(by domain.Authority) bool {
	return s.exists && (s.owns(by) || s.Shared.with(by) || s.administers(by))
}

func (s State) owns(by domain.Authority) bool { return by.ID != domain.ID{} && by.ID == s.OwnerID }

func (s State) administers(by domain.Authority) bool {
	return s.Shared != Shared{} && by.MayIn(domain.SettingsManage, domain.ID{})
}

func (s Shared) with(by domain.Authority) bool {
	switch s.With {
	case Desk:
		return by.Scope.Desks[s.ID]
	case Project:
		return by.Scope.Projects[s.ID]
	}
	return s.With == Everybody
}

// Reasons to refuse a command.
var (
	ErrExists = domain.Errorf(domain.Conflict, "view.exists", "the view exists already")
	ErrAbsent = domain.Errorf(domain.NotFound, "view.absent", "there is no such view")
	ErrPeople = domain.Errorf(domain.Forbidden, "people_only", "only employees who have signed in have views of their own")
)

// Aggregate is the view for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.View, Refs: refs, Decide: decide, Evolve: evolve}

// refs are the desk or project that a view is to be shared with.
func refs(s State, c Command) []domain.Ref {
	to := s.Definition
	switch c := c.(type) {
	case Create:
		to = c.Definition
	case Edit:
		to, _ = s.merge(c.Patch) // what is wrong with it, the decision tells
	case Delete:
		return nil
	}
	if to.Shared == s.Shared || to.Shared.ID == (domain.ID{}) {
		return nil
	}
	switch to.Shared.With {
	case Desk:
		return []domain.Ref{{Category: domain.Desk, ID: to.Shared.ID}}
	case Project:
		return registry.Project(to.Shared.ID)
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if c, creating := c.(Create); creating {
		return c.decide(s, w, m.By)
	}
	switch {
	case !s.Visible(m.By):
		return nil, ErrAbsent
	case !s.owns(m.By) && !s.administers(m.By):
		return nil, domain.ErrForbidden
	}
	switch c := c.(type) {
	case Edit:
		to, err := s.merge(c.Patch)
		if err != nil {
			return nil, err
		}
		if to, err = to.normal(s.Definition, w, m.By); err != nil || reflect.DeepEqual(to, s.Definition) {
			return nil, err
		}
		return []Event{Changed{s.Definition, to}}, nil
	case Delete:
		return []Event{Deleted{}}, nil
	case Create:
	}
	return nil, nil
}

func (c Create) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	switch {
	case by.ID == domain.ID{}:
		return nil, ErrPeople // ADR 8: what is somebody's own means nothing for a key
	case s.OwnerID != domain.ID{}:
		return nil, ErrExists
	}
	d, err := c.normal(Definition{}, w, by)
	if err != nil {
		return nil, err
	}
	return []Event{Created{by.ID, d}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s = State{exists: true, OwnerID: e.OwnerID, Definition: e.Definition}
	case Changed:
		s.Definition = e.To
	case Deleted:
		s.exists = false
	}
	return s
}

const (
	maxColumns = 100
	maxSorts   = 8
	maxField   = 200      // characters
	maxFilter  = 32 << 10 // bytes, twice of which fit into an event
)

// normal brings d into the form in which it is stored, and says what is wrong with it,
// now that it was another.
func (d Definition) normal(was Definition, w domain.World, by domain.Authority) (Definition, error) {
	var f domain.Faults
	d.Name, d.Q = domain.Text(d.Name), domain.Text(d.Q)
	f.Add(domain.CheckName("name", d.Name, 100))
	f.Add(domain.CheckText("q", d.Q, 200))
	f.Add(checkColumns(d.Columns))
	f.Add(checkSort(d.Sort))
	var err error
	d.Filter, err = normalFilter(d.Filter)
	f.Add(err)
	if d.Shared.With == Nobody && d.Shared.ID == (domain.ID{}) {
		d.Shared = Shared{}
	}
	if d.Shared != was.Shared {
		f.Add(d.Shared.check(w, by))
	}
	d.Columns, d.Sort = orNone(d.Columns), orNone(d.Sort)
	return d, f.Err()
}

// orNone is as none is stored and read again.
func orNone[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func checkColumns(columns []Column) error {
	var f domain.Faults
	if len(columns) > maxColumns {
		return domain.Fault("columns", "too_many", "has %d columns, at most %d are allowed", len(columns), maxColumns)
	}
	seen := map[string]bool{}
	for i, c := range columns {
		at := domain.At("columns", i)
		f.Add(checkName(at+".field", c.Field, c.Field, seen))
		if c.Width != 0 && (c.Width < 20 || c.Width > 2000) {
			f.Add(domain.Fault(at+".width", "out_of_range", "has to be from 20 to 2000"))
		}
	}
	return f.Err()
}

func checkSort(sort []string) error {
	var f domain.Faults
	if len(sort) > maxSorts {
		return domain.Fault("sort", "too_many", "has %d columns, at most %d are allowed", len(sort), maxSorts)
	}
	seen := map[string]bool{}
	for i, s := range sort {
		f.Add(checkName(domain.At("sort", i), strings.TrimPrefix(s, "-"), s, seen))
	}
	return f.Err()
}

// checkName faults the name of a column that there cannot be, or that was there before.
func checkName(at, name, given string, seen map[string]bool) error {
	again := seen[name]
	seen[name] = true
	switch err := checkField(name); {
	case len(name) > maxField:
		return domain.Fault(at, "too_long", "has %d characters, at most %d are allowed", len(name), maxField)
	case err != nil:
		return domain.Fault(at, "unknown", "%q %v", given, err)
	case again:
		return domain.Fault(at, "repeated", "is there twice")
	}
	return nil
}

// checkField says why a list has no column of that name.
func checkField(name string) error {
	if _, ok := filter.Lookup(name, filter.AnyCustom); !ok {
		return domain.Errorf(domain.Invalid, "unknown", "is no name of a column, as in created_at or custom.contract")
	}
	return nil
}

// checkFilter says what is wrong with a filter.
func checkFilter(raw json.RawMessage) error {
	_, err := filter.Parse("filter", raw, filter.AnyCustom)
	return err
}

// normalFilter is the filter in one form, so that it can be told whether it is the same,
// and nothing for null. What PostgreSQL does not take as JSON, no filter needs.
func normalFilter(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, domain.Fault("filter", "malformed", "is not JSON, or holds a number that is too large")
	}
	out, err := json.Marshal(v)
	switch {
	case err != nil || v == nil:
		return nil, err
	case len(out) > maxFilter:
		return nil, domain.Fault("filter", "too_long", "has %d bytes, at most %d are allowed", len(out), maxFilter)
	case holdsNUL(v):
		return nil, domain.Fault("filter", "control_character", "holds a control character")
	}
	return out, checkFilter(out)
}

func holdsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, holdsNUL)
	case map[string]any:
		for name, one := range v {
			if holdsNUL(name) || holdsNUL(one) {
				return true
			}
		}
	}
	return false
}

// check says why somebody may not share a view so: with a desk or project they have to
// see it, and to be permitted to share views there.
func (s Shared) check(w domain.World, by domain.Authority) error {
	var place domain.Place
	var there bool
	switch s.With {
	case Desk:
		d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: s.ID})
		place, there = domain.Place{Project: d.ProjectID, Desk: s.ID}, d.Exists()
	case Project:
		place, there = domain.Place{Project: s.ID}, w.Has(domain.Ref{Category: domain.Project, ID: s.ID})
	case Nobody, Everybody, "":
		switch {
		case s.ID != domain.ID{}:
			return domain.Fault("shared.id", "not_allowed", "is for a desk or a project")
		case s.With == Everybody && !by.MayIn(domain.SettingsManage, domain.ID{}):
			return &domain.Error{Kind: domain.Forbidden, Code: "not_yours", Field: "shared.with", Msg: "is for who manages the settings"}
		}
		return nil
	default:
		return domain.Fault("shared.with", "unknown", "is none of nobody, desk, project, everybody")
	}
	switch {
	case s.ID == domain.ID{}:
		return domain.Fault("shared.id", "required", "is required")
	case !there || !registry.Visible(by, place.Project):
		return domain.Fault("shared.id", "unknown", "names no %s that you see", s.With)
	case !by.May(domain.ViewsShare, place):
		return domain.OutOfReach("shared.id", s.With)
	}
	return nil
}
