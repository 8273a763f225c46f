package client

import (
	"maps"
	"slices"
	"strings"
)

// collisions are the fields that a command would change and that the events since its
// sender looked have changed.
func collisions(c Command, since []Event) []string {
	changed := map[string]bool{}
	for _, e := range since {
		for _, path := range touched(e) {
			changed[path] = true
		}
	}
	both := map[string]bool{}
	for _, path := range changesOf(c) {
		for other := range changed {
			switch {
			case path == other || strings.HasPrefix(other, path+"."):
				both[other] = true
			case strings.HasPrefix(path, other+"."):
				both[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(both))
}

// touched are the fields that an event changed.
func touched(e Event) []string {
	switch e := e.(type) {
	case Edited:
		flat := Flatten(e.From)
		maps.Copy(flat, Flatten(e.To))
		return slices.Collect(maps.Keys(flat))
	case Reassigned:
		return places(e.From.ProjectID != e.To.ProjectID, e.From.DeskID != e.To.DeskID, e.From.ManagerID != e.To.ManagerID)
	case Retagged:
		return []string{"tags"}
	case StatusChanged:
		return []string{"status"}
	case Deactivated, Reactivated:
		return []string{"active"}
	case Held, Released:
		return []string{"held"}
	case Erased: // after it nothing is changed
	case Registered: // nobody has seen what was before
	}
	return nil
}

func places(project, desk, manager bool) []string {
	var out []string
	for name, is := range map[string]bool{"project_id": project, "desk_id": desk, "manager_id": manager} {
		if is {
			out = append(out, name)
		}
	}
	return out
}

// changesOf are the fields that a command is about.
func changesOf(c Command) []string {
	switch c := c.(type) {
	case Edit:
		patch, _, _ := expand(c.Patch) // of which nothing is left out that is at fault
		return paths("", patch)
	case Assign:
		return places(c.ProjectID.Set, c.DeskID.Set, c.ManagerID.Set)
	case HandOver:
		return places(false, false, true)
	case Retag:
		return []string{"tags"}
	case ChangeStatus:
		return []string{"status"}
	case Deactivate, Reactivate:
		return []string{"active"}
	case Hold, Release:
		return []string{"held"}
	case Register, Erase, TellKey, EraseAgain:
	}
	return nil
}
