package client

import (
	"slices"

	"annals/domain"
	"annals/domain/tag"
)

func (c Retag) decide(s State, w domain.World) ([]Event, error) {
	var f domain.Faults
	add, err := normalTags("add", c.Add)
	f.Add(err)
	remove, err := normalTags("remove", c.Remove)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	known, in := domain.Look[tag.State](w, tag.Ref()), s.Assignment.ProjectID
	var e Retagged
	for _, name := range add {
		if len(known.Stored(in, s.Tags, name)) == 0 {
			e.Added = append(e.Added, known.Key(in, name))
		}
		if slices.ContainsFunc(remove, func(other string) bool { return known.Key(in, other) == known.Key(in, name) }) {
			f.Add(domain.Fault("remove", "contradiction", "%q is to be added and removed at once", name))
		}
	}
	for _, name := range remove {
		e.Removed = append(e.Removed, known.Stored(in, s.Tags, name)...)
	}
	e.Added, e.Removed = sorted(e.Added), sorted(e.Removed)
	if n := len(s.Tags) + len(e.Added) - len(e.Removed); n > max(maxTags, len(s.Tags)) {
		f.Add(domain.Fault("add", "too_many", "would make %d tags, at most %d are allowed", n, maxTags))
	}
	if err := f.Err(); err != nil || len(e.Added)+len(e.Removed) == 0 {
		return nil, err
	}
	return []Event{e}, nil
}

const maxTags = 100

// normalTags brings names of tags into their form: each once, sorted.
func normalTags(field string, tags []string) ([]string, error) {
	var f domain.Faults
	var out []string
	if len(tags) > maxTags {
		return nil, domain.Fault(field, "too_many", "has %d tags, at most %d are allowed", len(tags), maxTags)
	}
	for i, t := range tags {
		t = domain.Text(t)
		f.Add(domain.CheckName(domain.At(field, i), t, 50))
		out = append(out, t)
	}
	return sorted(out), f.Err()
}

// keysOf are the keys under which tags of these names are stored.
func keysOf(w domain.World, project domain.ID, names []string) []string {
	known := domain.Look[tag.State](w, tag.Ref())
	var keys []string
	for _, name := range names {
		keys = append(keys, known.Key(project, name))
	}
	return sorted(keys)
}

// sorted has each once.
func sorted(tags []string) []string {
	slices.Sort(tags)
	return slices.Compact(tags)
}
