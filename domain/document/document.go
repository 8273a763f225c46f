package document

import (
	"slices"

	"annals/domain"
	"annals/domain/attached"
)

// Command is the closed set of requests to a document.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Add makes a document of bytes that are in storage.
	Add struct {
		Title
		Version
	}
	// AddVersion puts another version before those that there are, of which there may
	// be Most. Size and digest are what it is compared with to find that nothing changed.
	AddVersion struct {
		Version
		Most int
	}
	// Rename changes what the document is called; what is left out stays.
	Rename struct {
		Name        domain.Field[string] `json:"name,omitzero" doc:"Of the file, without a path" maxLength:"255"`
		Description domain.Field[string] `json:"description,omitzero" maxLength:"2000"`
	}
	// Delete takes the document away, with all versions.
	Delete struct {
		Reason string `json:"reason,omitempty" doc:"Why, for the history" maxLength:"1000"`
	}
)

func (Add) command()        {}
func (AddVersion) command() {}
func (Rename) command()     {}
func (Delete) command()     {}

// Needs implements [attached.Command].
func (Add) Needs() domain.Permission { return domain.DocumentsWrite }

// Needs implements [attached.Command].
func (AddVersion) Needs() domain.Permission { return domain.DocumentsWrite }

// Needs implements [attached.Command].
func (Rename) Needs() domain.Permission { return domain.DocumentsWrite }

// Needs implements [attached.Command].
func (Delete) Needs() domain.Permission { return domain.DocumentsWrite }

// Creates implements [attached.Command].
func (Add) Creates() bool { return true }

// Creates implements [attached.Command].
func (AddVersion) Creates() bool { return false }

// Creates implements [attached.Command].
func (Rename) Creates() bool { return false }

// Creates implements [attached.Command].
func (Delete) Creates() bool { return false }

// State is a document, folded from its events.
type State struct {
	client   domain.ID
	Title    Title
	Versions []Version // oldest first
	Deleted  bool
}

// Exists says whether there is such a document, deleted ones included.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Has says whether the version is one of the document's.
func (s State) Has(version domain.ID) bool {
	for _, v := range s.Versions {
		if v.ID == version {
			return true
		}
	}
	return false
}

// Aggregate is the document for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Document, Decide: decide, Evolve: evolve})

const (
	mostDescription = 2000
	mostReason      = 1000
)

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	if _, deleting := c.(Delete); s.Deleted && !deleting {
		return nil, attached.Absent(domain.Document)
	}
	switch c := c.(type) {
	case Add:
		title, err := c.normal()
		if err != nil {
			return nil, err
		}
		return []Event{Added{in.ClientID, title, c.Version}}, nil
	case AddVersion:
		if last := s.Versions[len(s.Versions)-1]; last.SHA256 == c.SHA256 && last.Size == c.Size && last.SHA256 != "" {
			return nil, nil // the same bytes again
		}
		if len(s.Versions) >= c.Most {
			return nil, domain.Errorf(domain.Conflict, "document.too_many_versions", "the document has %d versions, at most %d are allowed", len(s.Versions), c.Most)
		}
		return []Event{VersionAdded{c.Version}}, nil
	case Rename:
		return c.decide(s)
	case Delete:
		if s.Deleted {
			return nil, nil
		}
		reason := domain.LongText(c.Reason)
		if err := domain.CheckText("reason", reason, mostReason); err != nil {
			return nil, err
		}
		return []Event{Deleted{reason}}, nil
	}
	return nil, nil
}

func (c Rename) decide(s State) ([]Event, error) {
	to, err := Title{c.Name.Or(s.Title.Name), c.Description.Or(s.Title.Description)}.normal()
	if err != nil || to == s.Title {
		return nil, err
	}
	e := Renamed{s.Title, to}
	if e.From.Name == e.To.Name {
		e.From.Name, e.To.Name = "", ""
	}
	if e.From.Description == e.To.Description {
		e.From.Description, e.To.Description = "", ""
	}
	return []Event{e}, nil
}

func (t Title) normal() (Title, error) {
	var f domain.Faults
	name, err := FileName(t.Name)
	f.Add(err)
	t = Title{name, domain.LongText(t.Description)}
	f.Add(domain.CheckText("description", t.Description, mostDescription))
	return t, f.Err()
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Added:
		s = State{client: e.ClientID, Title: e.Title, Versions: []Version{e.Version}}
	case VersionAdded:
		s.Versions = append(slices.Clip(s.Versions), e.Version) // a state that others hold never changes
	case Renamed:
		if e.To.Name != "" {
			s.Title.Name = e.To.Name
		}
		if e.From.Description != "" || e.To.Description != "" {
			s.Title.Description = e.To.Description
		}
	case Deleted:
		s.Deleted = true
	}
	return s
}
