// Package registry is what aggregates have in common that hold many definitions in one
// stream, since their names have to be unique: each definition is for clients of one
// project, or for all, and has an id of its own.
package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
)

// Most is how many definitions there are for a project, or for all, at most.
const Most = 1000

// Ref names the one aggregate of a category.
func Ref(category string) domain.Ref {
	return domain.Ref{Category: category, ID: uuid.NewSHA1(domain.System, []byte("registry/"+category))}
}

// Visible says whether somebody sees what is defined for a project, the zero ID for
// all: everybody sees the organisation of the projects that they work for. Package
// access has it as SQL.
func Visible(by domain.Authority, project domain.ID) bool {
	all := max(by.Rights[domain.ClientsView], by.Rights[domain.OrganisationManage], by.Rights[domain.EmployeesView])
	return project == domain.ID{} && len(by.Rights) > 0 || all == domain.Everywhere || by.Scope.Projects[project]
}

// Admits says whether somebody who has all that it needs there may change a definition
// that there is for a project: absent if it does not exist for them.
func Admits(by domain.Authority, project domain.ID, absent error, needs ...domain.Permission) error {
	switch {
	case !Visible(by, project):
		return absent
	case !mayIn(by, project, needs):
		return domain.ErrForbidden
	}
	return nil
}

func mayIn(by domain.Authority, project domain.ID, needs []domain.Permission) bool {
	return !slices.ContainsFunc(needs, func(p domain.Permission) bool { return !by.MayIn(p, project) })
}

// Project is a project, as a decision about it refers to it: nothing for all projects.
func Project(id domain.ID) []domain.Ref {
	if id == (domain.ID{}) {
		return nil
	}
	return []domain.Ref{{Category: domain.Project, ID: id}}
}

// CheckScope faults a project for which somebody has not all that it needs to define
// anything, or that there is not. With the world go the states of [Project].
func CheckScope(field string, project domain.ID, w domain.World, by domain.Authority, needs ...domain.Permission) error {
	switch refs := Project(project); {
	case slices.ContainsFunc(needs, func(p domain.Permission) bool { return by.Rights[p] < domain.InProjects }):
		return domain.ErrForbidden
	case !mayIn(by, project, needs):
		return domain.OutOfReach(field, "project")
	case len(refs) > 0 && !w.Has(refs[0]):
		return domain.Fault(field, "unknown", "names no project")
	}
	return nil
}

// Merge applies a JSON merge patch (RFC 7396) to the fields, pointers by their name: null
// empties, what is left out stays. All at once, it faults names that there are not,
// and values that are of another type.
func Merge(patch, fields map[string]any) error {
	var f domain.Faults
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		to, ok := fields[name]
		if !ok {
			f.Add(domain.Fault(name, "unknown_field", "is none of those that can be changed: %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		raw, err := json.Marshal(patch[name])
		if err == nil {
			reflect.ValueOf(to).Elem().SetZero() // or what is decoded would be put into lists that others hold
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.DisallowUnknownFields()
			err = dec.Decode(to)
		}
		if err != nil {
			f.Add(domain.Fault(name, "type", "is of another type than this field"))
		}
	}
	return f.Err()
}

// Patched applies a JSON merge patch (RFC 7396) to a whole definition, and faults what is no
// part of one: parts says what is.
func Patched[D any](was D, patch map[string]any, parts string) (to D, err error) {
	raw, err := json.Marshal(was)
	var tree map[string]any
	if err = errors.Join(err, json.Unmarshal(raw, &tree)); err != nil {
		return was, err
	}
	mergeInto(tree, patch)
	if raw, err = json.Marshal(tree); err != nil {
		return was, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err = dec.Decode(&to)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return was, domain.Fault(wrong.Field, "type", "has to be another type than %s", wrong.Value)
	}
	if err != nil {
		if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
			return was, domain.Fault(strings.Trim(name, `"`), "unknown_field", "%s", parts)
		}
		return was, domain.Fault("", "malformed", "holds what is no id")
	}
	return to, nil
}

func mergeInto(tree, patch map[string]any) {
	for key, value := range patch {
		inner, object := value.(map[string]any)
		switch {
		case value == nil:
			delete(tree, key)
		case object:
			there, ok := tree[key].(map[string]any)
			if !ok {
				there = map[string]any{}
			}
			mergeInto(there, inner)
			tree[key] = there
		default:
			tree[key] = value
		}
	}
}
