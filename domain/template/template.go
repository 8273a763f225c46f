package template

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"annals/domain"
	"annals/domain/registry"
)

// Command is the closed set of requests to a template.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a template.
	Create struct {
		ProjectID domain.Field[domain.ID] `json:"project_id,omitzero" doc:"The project for whose clients it is; for all clients if left out or null"`
		Definition
	}
	// Edit changes a template by a JSON merge patch of its [Definition].
	Edit struct{ Patch map[string]any }
	// Retire has a template no longer used.
	Retire struct{}
	// Restore takes that back.
	Restore struct{}
)

func (Create) command()  {}
func (Edit) command()    {}
func (Retire) command()  {}
func (Restore) command() {}

// State is a template, folded from its events.
type State struct {
	exists    bool
	Retired   bool
	ProjectID domain.ID // the zero ID: for all
	Definition
}

// Exists says whether there is such a template, retired ones included.
func (s State) Exists() bool { return s.exists }

// For says whether the template is one for clients of that project.
func (s State) For(project domain.ID) bool {
	return s.exists && (s.ProjectID == domain.ID{} || s.ProjectID == project)
}

// CheckUse says why somebody may not use the template for a client of that project, if
// so: it does not exist for them, is for others, or is retired.
func (s State) CheckUse(by domain.Authority, project domain.ID) error {
	switch {
	case !s.exists || !registry.Visible(by, s.ProjectID):
		return ErrAbsent
	case !s.For(project):
		return domain.Fault("template_id", "other_project", "is for clients of another project")
	case s.Retired:
		return ErrRetired
	}
	return nil
}

// Reasons to refuse a command.
var (
	ErrExists  = domain.Errorf(domain.Conflict, "template.exists", "the template exists already")
	ErrAbsent  = domain.Errorf(domain.NotFound, "template.absent", "there is no such template")
	ErrRetired = domain.Errorf(domain.Conflict, "template.retired", "the template is retired: restore it first")
)

// Aggregate is the template for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Template,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func refs(_ State, c Command) []domain.Ref {
	switch c := c.(type) {
	case Create:
		return registry.Project(c.ProjectID.Value)
	case Edit, Retire, Restore:
	}
	return nil
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if c, creating := c.(Create); creating {
		return c.decide(s, w, m)
	}
	if !s.exists {
		return nil, ErrAbsent
	}
	if err := registry.Admits(m.By, s.ProjectID, ErrAbsent, domain.OrganisationManage); err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case Edit:
		return c.decide(s)
	case Retire:
		if !s.Retired {
			return []Event{Retired{}}, nil
		}
	case Restore:
		if s.Retired {
			return []Event{Restored{}}, nil
		}
	case Create:
	}
	return nil, nil
}

func (c Create) decide(s State, w domain.World, m domain.Meta) ([]Event, error) {
	if m.By.Rights[domain.OrganisationManage] < domain.InProjects {
		return nil, domain.ErrForbidden
	}
	if s.exists {
		return nil, ErrExists
	}
	var f domain.Faults
	f.Add(registry.CheckScope("project_id", c.ProjectID.Value, w, m.By, domain.OrganisationManage))
	d, err := c.normal(Definition{})
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Created{c.ProjectID.Value, d}}, nil
}

func (c Edit) decide(s State) ([]Event, error) {
	if s.Retired {
		return nil, ErrRetired
	}
	to, err := registry.Patched(s.Definition, c.Patch, "is no part of a template: name, default_language and texts are, with subject, text and html by language")
	if err != nil {
		return nil, err
	}
	if to, err = to.normal(s.Definition); err != nil {
		return nil, err
	}
	e := diff(s.Definition, to)
	if to.Name == s.Name && to.DefaultLanguage == s.DefaultLanguage && e.From.Texts == nil && e.To.Texts == nil {
		return nil, nil
	}
	return []Event{e}, nil
}

const (
	maxLanguages = 30
	maxSubject   = 200     // characters
	maxText      = 50_000  // characters
	maxAll       = 150_000 // bytes: an edit may hold all of it twice, and has to fit into an event
)

// normal brings d into the form in which it is stored, and says what is wrong with it.
// A text that is as it was is not checked again.
func (d Definition) normal(was Definition) (Definition, error) {
	var f domain.Faults
	d.Name = domain.Text(d.Name)
	f.Add(domain.CheckName("name", d.Name, 200))
	texts, size := map[string]Text{}, 0
	if len(d.Texts) == 0 || len(d.Texts) > maxLanguages {
		f.Add(domain.Fault("texts", "number", "has %d languages, and has to have 1 to %d", len(d.Texts), maxLanguages))
		d.Texts = nil
	}
	for _, name := range slices.Sorted(maps.Keys(d.Texts)) {
		tag, at := languageTag(name), "texts."+name
		if _, twice := texts[tag]; tag == "" || twice {
			f.Add(domain.Fault(at, "language", "is not a language tag of BCP 47, as in en or de-AT, or there twice"))
			continue
		}
		t := d.Texts[name].normal()
		if old, ok := was.Texts[tag]; !ok || old != t {
			f.Add(t.check(at))
		}
		texts[tag] = t
		size += len(t.Subject) + len(t.Text) + len(t.HTML)
	}
	if size > maxAll {
		f.Add(domain.Fault("texts", "too_long", "has %d bytes in all, at most %d are allowed", size, maxAll))
	}
	if tag := languageTag(d.DefaultLanguage); tag != "" {
		d.DefaultLanguage = tag
	}
	if _, there := texts[d.DefaultLanguage]; !there && len(texts) > 0 {
		f.Add(domain.Fault("default_language", "unknown", "is none of the languages in texts"))
	}
	d.Texts = texts
	return d, f.Err()
}

// languageTag is the canonical form of a tag, or empty.
func languageTag(s string) string {
	tag, err := language.Parse(s)
	if err != nil || tag == language.Und {
		return ""
	}
	return tag.String()
}

// normal leaves the HTML as it is. It was made safe for what it says to the letter, and
// to compose characters is to change that: > and U+0338 are one character then.
func (t Text) normal() Text {
	return Text{domain.Text(t.Subject), domain.LongText(t.Text), t.HTML}
}

func (t Text) check(at string) error {
	var f domain.Faults
	for _, part := range [...]struct {
		field, value string
		check        error
	}{
		{at + ".subject", t.Subject, domain.CheckName(at+".subject", t.Subject, maxSubject)},
		{at + ".text", t.Text, domain.CheckName(at+".text", t.Text, maxText)},
		{at + ".html", t.HTML, domain.CheckText(at+".html", t.HTML, maxText)},
	} {
		if part.check != nil {
			f.Add(part.check)
			continue
		}
		pieces, err := parse(part.field, part.value)
		if err == nil && strings.HasSuffix(part.field, ".html") {
			err = place(part.field, pieces)
		}
		f.Add(err)
	}
	return f.Err()
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s = State{exists: true, ProjectID: e.ProjectID, Definition: e.Definition}
	case Edited:
		s.Definition = s.apply(e)
	case Retired:
		s.Retired = true
	case Restored:
		s.Retired = false
	}
	return s
}

// In is the text in the wanted language, in that of a wider group (de for de-AT), or in
// the default one; and which language that is. Found says that it is not the default
// for want of another.
func (d Definition) In(wanted string) (t Text, lang string, found bool) {
	for tag := languageTag(wanted); tag != ""; {
		if t, ok := d.Texts[tag]; ok {
			return t, tag, true
		}
		i := strings.LastIndexByte(tag, '-')
		tag = tag[:max(i, 0)]
	}
	return d.Texts[d.DefaultLanguage], d.DefaultLanguage, false
}
