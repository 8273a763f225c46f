package project

import (
	"maps"
	"slices"
	"strings"

	"annals/domain"
)

// Transitions are to which statuses of clients there is a change from each. Nil is all
// of them from each.
type Transitions map[string][]string

// statuses are those of clients, see package client, which refers to this one.
var statuses = []string{"lead", "active", "inactive"}

func (t Transitions) allow(from, to string) bool {
	return t == nil || from == to || slices.Contains(t[from], to)
}

// normal brings transitions into the form in which they are stored, each status with a
// list, and nil for all that there are.
func (t Transitions) normal(field string) (Transitions, error) {
	if len(t) == 0 {
		return nil, nil
	}
	if len(t) > len(statuses) {
		return nil, domain.Fault(field, "too_many", "has %d statuses, and there are %d: %s", len(t), len(statuses), strings.Join(statuses, ", "))
	}
	var f domain.Faults
	out, n := Transitions{}, 0
	for _, from := range slices.Sorted(maps.Keys(t)) {
		at := field + "." + from
		f.Add(checkStatus(at, from))
		if len(t[from]) > len(statuses) {
			f.Add(domain.Fault(at, "too_many", "has %d statuses, and there are %d", len(t[from]), len(statuses)))
			continue
		}
		for i, to := range t[from] {
			f.Add(checkStatus(domain.At(at, i), to))
		}
	}
	for _, from := range statuses {
		out[from] = []string{}
		for _, to := range statuses {
			if to != from && slices.Contains(t[from], to) {
				out[from] = append(out[from], to)
				n++
			}
		}
	}
	if n == len(statuses)*(len(statuses)-1) {
		out = nil
	}
	return out, f.Err()
}

func checkStatus(at, s string) error {
	if !slices.Contains(statuses, s) {
		return domain.Fault(at, "unknown", "has to be one of %s", strings.Join(statuses, ", "))
	}
	return nil
}
