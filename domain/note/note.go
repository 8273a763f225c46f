// Package note is what people write down about a client, in Markdown. Editing and
// deleting one keeps its history.
package note

import (
	"annals/domain"
	"annals/domain/attached"
)

// Event is the closed set of facts about a note. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Added is a new note.
	Added struct {
		ClientID domain.ID   `json:"client_id"`
		Text     string      `json:"text" personal:"yes"`
		Pinned   bool        `json:"pinned,omitempty"`
		Mentions []domain.ID `json:"mentions,omitempty"` // the colleagues whom it mentions
	}
	// Edited replaces the text.
	Edited struct {
		From     string      `json:"from" personal:"yes"`
		To       string      `json:"to" personal:"yes"`
		Mentions []domain.ID `json:"mentions,omitempty"` // those whom it mentions and did not before
	}
	// Pinned has the note stand before all others.
	Pinned struct{}
	// Unpinned takes that back.
	Unpinned struct{}
	// Deleted takes the note out of the feed; the history keeps it.
	Deleted struct{}
)

func (Added) event()    {}
func (Edited) event()   {}
func (Pinned) event()   {}
func (Unpinned) event() {}
func (Deleted) event()  {}

// Command is the closed set of requests to a note.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Add writes a note.
	Add struct {
		Text   string `json:"text" doc:"Markdown. Colleagues who see the client are mentioned as @ and the part of their e-mail address before the @, or by a link to employee: and their id" example:"Wants a **call** in May, @mira" maxLength:"20000"`
		Pinned bool   `json:"pinned,omitempty" doc:"Whether it stands before all others"`
	}
	// Edit changes a note; what is left out stays.
	Edit struct {
		Text   domain.Field[string] `json:"text,omitzero" doc:"Markdown; who is mentioned and was not before is told" maxLength:"20000"`
		Pinned domain.Field[bool]   `json:"pinned,omitzero"`
	}
	// Delete takes a note out of the feed.
	Delete struct{}
)

func (Add) command()    {}
func (Edit) command()   {}
func (Delete) command() {}

// Markdown implements [attached.Mentioning].
func (c Add) Markdown() string { return c.Text }

// Markdown implements [attached.Mentioning].
func (c Edit) Markdown() string { return c.Text.Value }

// Needs implements [attached.Command].
func (Add) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Edit) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Delete) Needs() domain.Permission { return domain.ActivitiesWrite }

// Creates implements [attached.Command].
func (Add) Creates() bool { return true }

// Creates implements [attached.Command].
func (Edit) Creates() bool { return false }

// Creates implements [attached.Command].
func (Delete) Creates() bool { return false }

// State is a note, folded from its events.
type State struct {
	client  domain.ID
	Text    string
	Pinned  bool
	Deleted bool
	told    []domain.ID // who has been mentioned, ever
}

// Exists says whether there is such a note, deleted ones included.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the note for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Note, Decide: decide, Evolve: evolve})

// most is how long a note may be, in characters.
const most = 20_000

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Add:
		text, err := normal(c.Text)
		if err != nil {
			return nil, err
		}
		mentions, err := in.Mentioned("text", "", nil)
		if err != nil {
			return nil, err
		}
		return []Event{Added{ClientID: in.ClientID, Text: text, Pinned: c.Pinned, Mentions: mentions}}, nil
	case Edit:
		return c.decide(s, in)
	case Delete:
		if s.Deleted {
			return nil, nil
		}
		return []Event{Deleted{}}, nil
	}
	return nil, nil
}

func (c Edit) decide(s State, in attached.Context) (events []Event, err error) {
	if s.Deleted {
		return nil, attached.Absent(domain.Note)
	}
	if c.Text.Set {
		text, err := normal(c.Text.Value)
		if err != nil {
			return nil, err
		}
		if text != s.Text {
			mentions, err := in.Mentioned("text", s.Text, s.told)
			if err != nil {
				return nil, err
			}
			events = append(events, Edited{From: s.Text, To: text, Mentions: mentions})
		}
	}
	switch {
	case !c.Pinned.Set || c.Pinned.Value == s.Pinned:
	case s.Pinned:
		events = append(events, Unpinned{})
	default:
		events = append(events, Pinned{})
	}
	return events, nil
}

func normal(text string) (string, error) {
	text = domain.LongText(text)
	return text, domain.CheckName("text", text, most)
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Added:
		s = State{client: e.ClientID, Text: e.Text, Pinned: e.Pinned, told: e.Mentions}
	case Edited:
		s.Text, s.told = e.To, attached.Told(s.told, e.Mentions)
	case Pinned:
		s.Pinned = true
	case Unpinned:
		s.Pinned = false
	case Deleted:
		s.Deleted = true
	}
	return s
}
