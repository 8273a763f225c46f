package tag

import (
	"maps"
	"slices"
	"sync"

	"annals/domain"
	"annals/domain/registry"
)

// State is all definitions. Its maps and lists never change: whatever changes them
// makes new ones.
type State struct {
	of map[domain.ID]*scope // by project; the zero ID: for all
}

// scope is the tags for one project, or for all.
type scope struct {
	tags  []*definition
	once  sync.Once
	index index // made when it is first asked for: most states are but steps to another
}

type definition struct {
	id, project domain.ID
	Settings
	names   []string  // that it has and had; the first is its key
	into    domain.ID // the zero ID: it stands for itself
	retired bool
}

func (d *definition) key() string { return d.names[0] }

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
		for _, d := range in.tags {
			if d.id == id {
				return d
			}
		}
	}
	return nil
}

// index finds tags, by what they are one with.
type index struct {
	byID   map[domain.ID]*definition
	folded map[string]domain.ID // by every name that a tag has or had, folded
	exact  map[string]domain.ID // by the same as they were written
}

func (in *scope) lookup() *index {
	in.once.Do(func() {
		in.index = index{map[domain.ID]*definition{}, map[string]domain.ID{}, map[string]domain.ID{}}
		for _, d := range in.tags {
			in.index.byID[d.id] = d
			for _, name := range d.names {
				// Two tags with one name are one, so it does not matter which of them it finds.
				in.index.folded[domain.Fold(name)], in.index.exact[name] = d.id, d.id
			}
		}
	})
	return &in.index
}

// root is the tag that the one with the id is one with, nil if there is none. Merges go
// to what is not merged itself, so this ends.
func (x *index) root(id domain.ID) *definition {
	d := x.byID[id]
	for d != nil && d.into != (domain.ID{}) {
		d = x.byID[d.into]
	}
	return d
}

// named is the tag that a name means, in whatever case, nil for none.
func (x *index) named(name string) *definition { return x.root(x.folded[domain.Fold(name)]) }

// stored is the tag that stands on clients under a key, or under a name that it had
// when it was not yet defined; nil for none.
func (x *index) stored(key string) *definition { return x.root(x.exact[key]) }

// meant is the tag that counts on clients of a project, of those that are found among its
// own and among those for all: its own come first, also before one for all that is
// called the same.
func (s State) meant(project domain.ID, find func(*index) *definition) *definition {
	own := s.in(project).lookup()
	if d := find(own); d != nil {
		return d
	}
	d := find(s.in(domain.ID{}).lookup())
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
	d := s.meant(project, func(in *index) *definition { return in.named(name) })
	switch {
	case d == nil:
		return name
	case d.project != project && s.in(project).lookup().named(d.key()) != nil:
		return d.Name // under its key, the project has another
	}
	return d.key()
}

// Label returns what a tag is called that is stored under a key on a client of a
// project: the key itself if nobody has defined it.
func (s State) Label(project domain.ID, key string) string {
	if d := s.meant(project, func(in *index) *definition { return in.stored(key) }); d != nil {
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
		d := &definition{id: e.TagID, project: e.ProjectID, Settings: e.Settings, names: []string{e.Name}}
		return s.with(e.ProjectID, append(slices.Clone(s.in(e.ProjectID).tags), d))
	case Changed:
		return s.replace(e.ProjectID, e.TagID, func(d *definition) {
			if d.Settings = e.To; !slices.Contains(d.names, e.To.Name) {
				d.names = append(slices.Clone(d.names), e.To.Name)
			}
		})
	case Merged:
		return s.replace(e.ProjectID, e.TagID, func(d *definition) { d.into = e.Into })
	case Retired:
		return s.replace(e.ProjectID, e.TagID, func(d *definition) { d.retired = true })
	case Restored:
		return s.replace(e.ProjectID, e.TagID, func(d *definition) { d.retired = false })
	}
	return s
}

func (s State) replace(project, id domain.ID, change func(*definition)) State {
	tags := slices.Clone(s.in(project).tags)
	i := slices.IndexFunc(tags, func(d *definition) bool { return d.id == id })
	if i < 0 {
		return s
	}
	to := *tags[i]
	change(&to)
	tags[i] = &to
	return s.with(project, tags)
}

func (s State) with(project domain.ID, tags []*definition) State {
	of := maps.Clone(s.of)
	if of == nil {
		of = map[domain.ID]*scope{}
	}
	of[project] = &scope{tags: tags}
	return State{of}
}
