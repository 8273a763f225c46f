// Package inbox is what an employee is told of and how: which notifications they have
// read, and whether they want each kind in the page, by e-mail too, or not at all. The
// inbox has the id of its employee. What is in it follows from the events that
// it tells of: see [Notices].
package inbox

import (
	"maps"
	"slices"

	"annals/domain"
)

// Kind is a kind of notification.
type Kind string

// The kinds.
const (
	Assigned       Kind = "assigned"        // a client, an action or a request became theirs
	Mentioned      Kind = "mentioned"       // somebody named them
	Due            Kind = "due"             // the reminder of an action of theirs
	Overdue        Kind = "overdue"         // an action of theirs that was not done in time
	Request        Kind = "request"         // a client of theirs asks for something
	ImportFinished Kind = "import_finished" // a file that they import has come to its end
)

// Kinds are all of them, in the order in which they are shown.
var Kinds = []Kind{Assigned, Mentioned, Due, Overdue, Request, ImportFinished}

// Channel is how somebody is told.
type Channel string

// The channels.
const (
	Page  Channel = "page"  // in the page
	Email Channel = "email" // in the page, and by e-mail
	None  Channel = "none"  // not at all
)

// Channels are all of them.
var Channels = []Channel{Page, Email, None}

// Preferences are how somebody wants to be told, by kind. What is not among them is
// told in the page.
type Preferences map[Kind]Channel

// Of is how somebody is told of a kind.
func (p Preferences) Of(k Kind) Channel {
	if c, ok := p[k]; ok {
		return c
	}
	return Page
}

// Event is the closed set of facts about an inbox. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Read says which notifications the employee has read: these, and all up to a
	// position of the log.
	Read struct {
		Notifications []domain.ID `json:"notifications,omitempty"`
		Through       int64       `json:"through,omitempty"`
	}
	// PreferencesChanged says how the employee wants to be told from now on, of each kind
	// for which that is not in the page.
	PreferencesChanged struct {
		Preferences Preferences `json:"preferences"`
	}
)

func (Read) event()               {}
func (PreferencesChanged) event() {}

// Command is the closed set of requests to an inbox.
//
//sumtype:decl
type Command interface{ command() }

type (
	// MarkRead has notifications count as read: some, and all up to a position of the log.
	MarkRead struct {
		IDs     []domain.ID
		Through int64
	}
	// SetPreferences says how to be told; kinds that are left out stay as they are.
	SetPreferences struct{ Preferences Preferences }
)

func (MarkRead) command()       {}
func (SetPreferences) command() {}

// State is an inbox, folded from its events.
type State struct {
	Preferences Preferences
	through     int64
	recent      []domain.ID // what was read last, see most
}

// most is how many notifications are marked at once, and how many of those marked
// last are remembered, so that a repetition leaves no trace.
const most = 500

// ErrNotYours refuses whoever an inbox does not belong to, keys of the employee included.
var ErrNotYours = domain.Errorf(domain.Forbidden, "no_inbox", "only employees who have signed in have an inbox, and only their own")

// Aggregate is the inbox for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.Inbox, Decide: decide, Evolve: evolve}

func decide(s State, c Command, _ domain.World, m domain.Meta) ([]Event, error) {
	if m.By.ID == (domain.ID{}) || m.By.ID != m.Aggregate {
		return nil, ErrNotYours
	}
	switch c := c.(type) {
	case MarkRead:
		return c.decide(s)
	case SetPreferences:
		return c.decide(s)
	}
	return nil, nil
}

func (c MarkRead) decide(s State) ([]Event, error) {
	switch {
	case len(c.IDs) > most:
		return nil, domain.Fault("ids", "too_many", "has %d ids, at most %d are allowed", len(c.IDs), most)
	case c.Through < 0:
		return nil, domain.Fault("through", "out_of_range", "is before the beginning of the log")
	}
	e := Read{Through: c.Through}
	for _, id := range c.IDs {
		if !slices.Contains(s.recent, id) && !slices.Contains(e.Notifications, id) {
			e.Notifications = append(e.Notifications, id)
		}
	}
	if e.Through <= s.through {
		e.Through = 0
	}
	if len(e.Notifications) == 0 && e.Through == 0 {
		return nil, nil
	}
	return []Event{e}, nil
}

func (c SetPreferences) decide(s State) ([]Event, error) {
	var f domain.Faults
	to := maps.Clone(s.Preferences)
	if to == nil {
		to = Preferences{}
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Preferences)) {
		channel := c.Preferences[kind]
		switch {
		case !slices.Contains(Kinds, kind):
			f.Add(domain.Fault(string(kind), "unknown", "is no kind of notification"))
		case !slices.Contains(Channels, channel):
			f.Add(domain.Fault(string(kind), "unknown", "is %q, and has to be page, email or none", channel))
		case channel == Page:
			delete(to, kind)
		default:
			to[kind] = channel
		}
	}
	if err := f.Err(); err != nil || maps.Equal(to, s.Preferences) {
		return nil, err
	}
	return []Event{PreferencesChanged{to}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Read:
		s.through = max(s.through, e.Through)
		s.recent = slices.Concat(s.recent, e.Notifications)
		s.recent = s.recent[max(0, len(s.recent)-most):]
	case PreferencesChanged:
		s.Preferences = e.Preferences
	}
	return s
}
