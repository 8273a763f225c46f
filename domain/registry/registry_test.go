package registry_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/domain"
	"annals/domain/registry"
	"annals/domain/role"
	"annals/internal/access"
)

// Who sees what is defined for a project is who sees the project, and what is for all
// everybody who is somebody.
func TestVisible(t *testing.T) {
	one, other := domain.ID{1}, domain.ID{2}
	for _, b := range role.Builtins {
		by := domain.Authority{ID: domain.ID{9}, Rights: b.Rights, Scope: domain.ScopeOf([]domain.ID{one}, nil)}
		if !registry.Visible(by, one) {
			t.Errorf("%s does not see their project's", b.Name)
		}
		if got := registry.Visible(by, other); got != access.Organisation(by) {
			t.Errorf("%s sees another project's: %v", b.Name, got)
		}
		if got := registry.Visible(by, domain.ID{}); got != (len(b.Rights) > 0) {
			t.Errorf("%s sees what is for all: %v", b.Name, got)
		}
	}
	if registry.Visible(domain.Authority{}, domain.ID{}) || registry.Visible(domain.Authority{}, one) {
		t.Error("nobody sees something")
	}
}

func TestMerge(t *testing.T) {
	type inner struct {
		A string `json:"a"`
	}
	text, number, list, anything := "was", 7, []inner{{"was"}}, any("was")
	held := list
	fields := map[string]any{"text": &text, "number": &number, "list": &list, "any": &anything}
	patch := map[string]any{"text": "is", "number": nil, "list": []any{map[string]any{"a": "is"}}, "any": []any{1.0}}
	if err := registry.Merge(patch, fields); err != nil {
		t.Fatal(err)
	}
	if text != "is" || number != 0 || list[0].A != "is" || !cmp.Equal(anything, any([]any{1.0})) {
		t.Errorf("%q %d %v %v", text, number, list, anything)
	}
	if held[0].A != "was" {
		t.Error("a list that others hold was written to")
	}
	err := registry.Merge(map[string]any{"text": 1.0, "x": "y", "list": []any{map[string]any{"b": "c"}}, "number": 1.5}, fields)
	for field, code := range map[string]string{"text": "type", "x": "unknown_field", "list": "type", "number": "type"} {
		if !errors.Is(err, domain.Fault(field, code, "")) {
			t.Errorf("%v, not %s of %s", err, code, field)
		}
	}
}

// What a patch empties is gone, also where there was nothing; what is no part of a
// definition, or of another type, is faulted, and changes nothing.
func TestPatched(t *testing.T) {
	type definition struct {
		Name    string            `json:"name,omitempty"`
		Headers map[string]string `json:"headers,omitempty"`
	}
	was := definition{Name: "was"}
	to, err := registry.Patched(was, map[string]any{"headers": map[string]any{"a": nil, "b": "c"}}, "is no part of it")
	if want := (definition{"was", map[string]string{"b": "c"}}); err != nil || !cmp.Equal(to, want) {
		t.Errorf("%+v, %v", to, err)
	}
	for field, c := range map[string]struct {
		patch map[string]any
		code  string
	}{"name": {map[string]any{"name": 1.0}, "type"}, "x": {map[string]any{"x": "y"}, "unknown_field"}} {
		if to, err := registry.Patched(was, c.patch, "is no part of it"); !errors.Is(err, domain.Fault(field, c.code, "")) || !cmp.Equal(to, was) {
			t.Errorf("%s: %+v, %v", field, to, err)
		}
	}
}
