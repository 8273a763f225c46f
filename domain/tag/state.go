package tag

import (
	"maps"

	"annals/domain"
	"annals/domain/registry"
)

// State is all definitions. Its maps never change: whatever changes them makes new ones.
type State struct {
	of map[domain.ID]*scope // by project; the zero ID: for all
}

// scope is the tags for one project, or for all.
type scope struct {
	tags  map[domain.ID]*definition
	names map[string]domain.ID // every name that a tag has or had, folded; never taken back
	exact map[string]domain.ID // the same as they were written
}

type definition struct {
	id, project domain.ID
	key         string
	Settings
	into    domain.ID // the zero ID: it stands for itself
	retired bool
}

// Ref names the registry.
func Ref() domain.Ref { return registry.Ref(domain.Tag) }

var none = &scope{}

func (s State) in(project domain.ID) *scope {
	if in := s.of[project]; in != nil {
		return in
	}
	return none
}

func (s State) find(id domain.ID) *definition {
	for _, in := range s.of {
		if d := in.tags[id]; d != nil {
			return d
		}
	}
	return nil
}

// root is the tag that d is one with. Merges go to what is not merged itself, so this
// ends.
func (in *scope) root(d *definition) *definition {
	for d.into != (domain.ID{}) {
		d = in.tags[d.into]
	}
	return d
}

// named is the tag that a name means, in whatever case, nil for none.
func (in *scope) named(name string) *definition {
	if d := in.tags[in.names[domain.Fold(name)]]; d != nil {
		return in.root(d)
	}
	return nil
}

// stored is the tag that stands on clients under a key, or under a name that it had
// when it was not yet defined; nil for none.
func (in *scope) stored(key string) *definition {
	if d := in.tags[in.exact[key]]; d != nil {
		return in.root(d)
	}
	return nil
}

// meant is the tag that counts on clients of a project, of those that are found among its
// own and among those for all: its own come first, also before one for all that is
// called the same.
func (s State) meant(project domain.ID, find func(*scope) *definition) *definition {
	own := s.in(project)
	if d := find(own); d != nil {
		return d
	}
	d := find(s.in(domain.ID{}))
	if d != nil {
		if mine := own.named(d.Name); mine != nil {
			return mine
		}
	}
	return d
}

// Key returns the key under which a tag of that name is stored on clients of a project.
// A name is one that the tag has or had, in whatever case. A name that no tag has is its
// own key, exactly as it is; and the key of a key is the same.
func (s State) Key(project domain.ID, name string) string {
	d := s.meant(project, func(in *scope) *definition { return in.named(name) })
	switch {
	case d == nil:
		return name
	case d.project != project && s.in(project).named(d.key) != nil:
		return d.Name // under its key, the project has another
	}
	return d.key
}

// Label returns what a tag is called that is stored under a key on a client of a
// project: the key itself if nobody has defined it.
func (s State) Label(project domain.ID, key string) string {
	if d := s.meant(project, func(in *scope) *definition { return in.stored(key) }); d != nil {
		return d.Name
	}
	return key
}

// Stored returns those of the keys on a client of a project that are the tag of that
// name: more than one where tags were defined or merged since. If there is one, the
// client has the tag; to take it off is to remove all of them.
func (s State) Stored(project domain.ID, keys []string, name string) []string {
	var same []string
	label := s.Label(project, s.Key(project, name))
	for _, key := range keys {
		if key == name || s.Label(project, key) == label {
			same = append(same, key)
		}
	}
	return same
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Defined:
		in := s.in(e.ProjectID).with(&definition{id: e.TagID, project: e.ProjectID, key: e.Name, Settings: e.Settings})
		return s.put(e.ProjectID, in)
	case Changed:
		return s.replace(e.TagID, func(d *definition) { d.Settings = e.To })
	case Merged:
		return s.replace(e.TagID, func(d *definition) { d.into = e.Into })
	case Retired:
		return s.replace(e.TagID, func(d *definition) { d.retired = true })
	case Restored:
		return s.replace(e.TagID, func(d *definition) { d.retired = false })
	}
	return s
}

func (s State) replace(id domain.ID, change func(*definition)) State {
	d := s.find(id)
	if d == nil {
		return s
	}
	to := *d
	change(&to)
	return s.put(d.project, s.in(d.project).with(&to))
}

func (s State) put(project domain.ID, in *scope) State {
	of := cloned(s.of)
	of[project] = in
	return State{of}
}

// with is the scope after one of its tags has become d.
func (in *scope) with(d *definition) *scope {
	to := &scope{cloned(in.tags), in.names, in.exact}
	to.tags[d.id] = d
	if _, ok := in.exact[d.Name]; !ok {
		to.names, to.exact = cloned(in.names), cloned(in.exact)
		to.exact[d.Name] = d.id
		if _, ok := to.names[domain.Fold(d.Name)]; !ok {
			to.names[domain.Fold(d.Name)] = d.id
		}
	}
	return to
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m = maps.Clone(m); m == nil {
		m = map[K]V{}
	}
	return m
}
