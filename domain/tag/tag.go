// Package tag is what people know about the labels on their clients: what a tag is
// called today, its colour, and which tags were merged. All definitions are in one
// aggregate, since names have to be unique.
//
// A client's tag is stored by its key, the name that it was first given. What it is
// called is looked up when it is shown: so to rename a tag, or to merge two, is one
// event, and is so everywhere at once. A tag that nobody has defined is its own key.
package tag

import (
	"regexp"
	"strings"

	"annals/domain"
	"annals/domain/registry"
)

// Event is the closed set of facts about tags. A shipped event never changes shape: add
// a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Defined makes something known about a tag. Its key is its name from then on.
	Defined struct {
		TagID     domain.ID `json:"tag_id"`
		ProjectID domain.ID `json:"project_id,omitzero"` // the zero ID: on clients of all projects
		Settings
	}
	// Changed is what is different about a tag from now on.
	Changed struct {
		TagID     domain.ID `json:"tag_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
		From      Settings  `json:"from"`
		To        Settings  `json:"to"`
	}
	// Merged makes a tag, and those merged into it before, one with another.
	Merged struct {
		TagID     domain.ID `json:"tag_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
		Into      domain.ID `json:"into"` // a tag that is not merged into another
	}
	// Retired takes a tag out of what is offered; clients that have it keep it.
	Retired struct {
		TagID     domain.ID `json:"tag_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
	}
	// Restored has it offered again.
	Restored struct {
		TagID     domain.ID `json:"tag_id"`
		ProjectID domain.ID `json:"project_id,omitzero"`
	}
)

func (Defined) event()  {}
func (Changed) event()  {}
func (Merged) event()   {}
func (Retired) event()  {}
func (Restored) event() {}

// Settings are what can change about a tag.
type Settings struct {
	Name        string `json:"name" doc:"What people call the tag: no other tag of the project, or for all, is or was ever called that, whatever the case" maxLength:"50" example:"VIP"`
	Colour      string `json:"colour,omitempty" doc:"As in #1a7f37" maxLength:"7" example:"#1a7f37"`
	Description string `json:"description,omitempty" doc:"Which clients are meant" maxLength:"500"`
}

// Command is the closed set of requests to the registry of tags.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Define makes a tag known. Clients that have one of that name already have this one.
	Define struct {
		ID        domain.ID               `json:"-"`
		ProjectID domain.Field[domain.ID] `json:"project_id,omitzero" doc:"The project whose clients are meant; null or left out: those of all projects"`
		Settings
	}
	// Change changes settings by a JSON merge patch of them.
	Change struct {
		ID    domain.ID
		Patch map[string]any
	}
	// Merge makes a tag one with another of the same project, or for all.
	Merge struct {
		ID   domain.ID `json:"-"`
		Into domain.ID `json:"into" doc:"The tag that stays" format:"uuid"`
	}
	// Retire takes a tag out of what is offered.
	Retire struct{ ID domain.ID }
	// Restore has it offered again.
	Restore struct{ ID domain.ID }
)

func (Define) command()  {}
func (Change) command()  {}
func (Merge) command()   {}
func (Retire) command()  {}
func (Restore) command() {}

// Reasons to refuse a command.
var (
	ErrAbsent = domain.Errorf(domain.NotFound, "tag.absent", "there is no such tag")
	ErrMerged = domain.Errorf(domain.Conflict, "tag.merged", "the tag was merged into another, and is one with that")
)

// Aggregate is the registry for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Tag,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func refs(_ State, c Command) []domain.Ref {
	if c, ok := c.(Define); ok {
		return registry.Project(c.ProjectID.Value)
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Define:
		return c.decide(s, w, m.By)
	case Change:
		d, err := s.admit(c.ID, m.By)
		if err != nil {
			return nil, err
		}
		return c.decide(s, d)
	case Merge:
		d, err := s.admit(c.ID, m.By)
		if err != nil {
			return nil, err
		}
		return c.decide(s, d)
	case Retire:
		d, err := s.admit(c.ID, m.By)
		switch {
		case err != nil:
			return nil, err
		case d.into != (domain.ID{}):
			return nil, ErrMerged
		case d.retired:
			return nil, nil
		}
		return []Event{Retired{d.id, d.project}}, nil
	case Restore:
		d, err := s.admit(c.ID, m.By)
		if err != nil || !d.retired {
			return nil, err
		}
		return []Event{Restored{d.id, d.project}}, nil
	}
	return nil, nil
}

func (s State) admit(id domain.ID, by domain.Authority) (*definition, error) {
	d := s.find(id)
	if d == nil {
		return nil, ErrAbsent
	}
	return d, registry.Admits(by, d.project, ErrAbsent, domain.OrganisationManage)
}

func (c Define) decide(s State, w domain.World, by domain.Authority) ([]Event, error) {
	project := c.ProjectID.Value
	var f domain.Faults
	switch err := registry.CheckScope("project_id", project, w, by, domain.OrganisationManage); {
	case domain.KindOf(err) == domain.Forbidden:
		return nil, err
	case s.find(c.ID) != nil:
		return nil, domain.Errorf(domain.Conflict, "tag.exists", "the tag exists already")
	default:
		f.Add(err)
	}
	to, err := c.normal()
	f.Add(err)
	f.Add(s.free(project, domain.ID{}, to.Name))
	if len(s.in(project).tags) >= registry.Most {
		f.Add(domain.Fault("name", "too_many", "would be one of more than %d tags", registry.Most))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Defined{c.ID, project, to}}, nil
}

func (c Change) decide(s State, d *definition) ([]Event, error) {
	if d.into != (domain.ID{}) {
		return nil, ErrMerged
	}
	to := d.Settings
	if err := registry.Merge(c.Patch, map[string]any{"name": &to.Name, "colour": &to.Colour, "description": &to.Description}); err != nil {
		return nil, err
	}
	var f domain.Faults
	to, err := to.normal()
	f.Add(err)
	f.Add(s.free(d.project, d.id, to.Name))
	if to.Name != d.Name && len(d.names) >= mostNames {
		f.Add(domain.Fault("name", "too_many", "would be one of more than %d that it had", mostNames))
	}
	if err := f.Err(); err != nil || to == d.Settings {
		return nil, err
	}
	return []Event{Changed{d.id, d.project, d.Settings, to}}, nil
}

func (c Merge) decide(s State, d *definition) ([]Event, error) {
	in := s.in(d.project).lookup()
	into := in.root(c.Into)
	switch {
	case c.Into == domain.ID{}:
		return nil, domain.Fault("into", "required", "is required")
	case into == nil:
		return nil, domain.Fault("into", "unknown", "names no tag of the same project, or for all")
	case d.into != (domain.ID{}) && d.into == into.id:
		return nil, nil // that is done
	case d.into != (domain.ID{}):
		return nil, ErrMerged
	case into.id == d.id:
		return nil, domain.Fault("into", "same", "is the tag itself, or was merged into it")
	case into.retired:
		return nil, domain.Fault("into", "retired", "is retired: restore it first")
	}
	return []Event{Merged{d.id, d.project, into.id}}, nil
}

// mostNames bounds how many names a tag has and had.
const mostNames = 100

var colourPattern = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// normal brings the settings into the form in which they are stored.
func (s Settings) normal() (Settings, error) {
	var f domain.Faults
	s.Name, s.Colour, s.Description = domain.Text(s.Name), strings.ToLower(strings.TrimSpace(s.Colour)), domain.LongText(s.Description)
	f.Add(domain.CheckName("name", s.Name, 50))
	if s.Colour != "" && !colourPattern.MatchString(s.Colour) {
		f.Add(domain.Fault("colour", "malformed", "has to be as in #1a7f37"))
	}
	f.Add(domain.CheckText("description", s.Description, 500))
	return s, f.Err()
}

// free faults a name that means another tag of the same scope: one that is called so,
// was called so, or has been merged with one that was. What was said with it means that
// tag for good.
func (s State) free(project, id domain.ID, name string) error {
	d := s.in(project).lookup().named(name)
	if d == nil || d.id == id {
		return nil
	}
	e := domain.Fault("name", "taken", "is the name of another tag, or was: %q", d.Name)
	e.Items = []domain.ID{d.id}
	return e
}
