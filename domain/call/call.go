// Package call is a phone call with a client, as it was logged.
package call

import (
	"slices"
	"time"

	"annals/domain"
	"annals/domain/attached"
)

// Direction is who called whom.
type Direction string

// The directions of a call.
const (
	Inbound  Direction = "inbound" // the client called
	Outbound Direction = "outbound"
)

// Directions are both directions.
var Directions = []Direction{Inbound, Outbound}

// Outcome is how a call ended: in one of these ways, or by a word of one's own.
type Outcome string

// The outcomes of a call.
const (
	Answered  Outcome = "answered"
	NoAnswer  Outcome = "no_answer"
	Busy      Outcome = "busy"
	Voicemail Outcome = "voicemail"
	Failed    Outcome = "failed"
	Other     Outcome = "other"
)

// Event is the closed set of facts about a call. A shipped event never changes shape:
// add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Details is what is known about a call.
type Details struct {
	Direction Direction `json:"direction,omitempty"`
	Number    string    `json:"number,omitempty" personal:"yes"` // as it was typed
	Duration  int       `json:"duration_s,omitempty"`            // in seconds
	Outcome   Outcome   `json:"outcome,omitempty"`
	Text      string    `json:"text,omitempty" personal:"yes"`
	At        time.Time `json:"at,omitzero"` // when it began
}

type (
	// Logged is a call that was made.
	Logged struct {
		ClientID domain.ID `json:"client_id"`
		Details
		Mentions []domain.ID `json:"mentions,omitempty"` // the colleagues whom its text mentions
	}
	// Edited holds, on both sides, what differs and nothing else.
	Edited struct {
		From     Details     `json:"from"`
		To       Details     `json:"to"`
		Mentions []domain.ID `json:"mentions,omitempty"` // those whom its text mentions and did not before
	}
	// Deleted takes the call out of the feed; the history keeps it.
	Deleted struct{}
)

func (Logged) event()  {}
func (Edited) event()  {}
func (Deleted) event() {}

// Command is the closed set of requests to a call.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Log writes down a call.
	Log struct {
		Direction Direction               `json:"direction" doc:"inbound: the client called" enum:"inbound,outbound"`
		Number    string                  `json:"number" doc:"Of the client, as it was dialled or shown; it is kept as it is typed" example:"+44 20 7946 0958" maxLength:"50"`
		Duration  int                     `json:"duration_s,omitempty" doc:"How long they talked, in seconds" minimum:"0" maximum:"86400"`
		Outcome   Outcome                 `json:"outcome" doc:"answered, no_answer, busy, voicemail, failed, other, or a word of your own" example:"answered" maxLength:"30"`
		Text      string                  `json:"text,omitempty" doc:"What was said, in Markdown; colleagues who see the client can be mentioned as in notes" maxLength:"20000"`
		At        domain.Field[time.Time] `json:"at,omitzero" doc:"When it began, by which the feed is sorted; now unless given"`
	}
	// Edit changes a call; what is left out stays.
	Edit struct {
		Direction domain.Field[string]    `json:"direction,omitzero" enum:"inbound,outbound"`
		Number    domain.Field[string]    `json:"number,omitzero" maxLength:"50"`
		Duration  domain.Field[int]       `json:"duration_s,omitzero" doc:"In seconds" minimum:"0" maximum:"86400"`
		Outcome   domain.Field[string]    `json:"outcome,omitzero" doc:"answered, no_answer, busy, voicemail, failed, other, or a word of your own" example:"answered" maxLength:"30"`
		Text      domain.Field[string]    `json:"text,omitzero" doc:"Markdown; who is mentioned and was not before is told" nullable:"true" maxLength:"20000"`
		At        domain.Field[time.Time] `json:"at,omitzero" doc:"When it began"`
	}
	// Delete takes a call out of the feed.
	Delete struct{}
)

func (Log) command()    {}
func (Edit) command()   {}
func (Delete) command() {}

// Needs implements [attached.Command].
func (Log) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Edit) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Delete) Needs() domain.Permission { return domain.ActivitiesWrite }

// Creates implements [attached.Command].
func (Log) Creates() bool { return true }

// Creates implements [attached.Command].
func (Edit) Creates() bool { return false }

// Creates implements [attached.Command].
func (Delete) Creates() bool { return false }

// Markdown implements [attached.Mentioning].
func (c Log) Markdown() string { return c.Text }

// Markdown implements [attached.Mentioning].
func (c Edit) Markdown() string { return c.Text.Value }

// State is a call, folded from its events.
type State struct {
	client domain.ID
	Details
	Deleted bool
	told    []domain.ID // who has been mentioned, ever
}

// Exists says whether there is such a call, deleted ones included.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the call for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Call, Decide: decide, Evolve: evolve})

const (
	mostNumber   = 50
	mostDuration = 24 * 60 * 60
	mostText     = 20_000
	skew         = time.Minute // by which clocks may differ
)

// first is before any call that somebody could want to write down.
var first = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Log:
		to := normal(Details{c.Direction, c.Number, c.Duration, c.Outcome, c.Text, c.At.Value}, in.At)
		var f domain.Faults
		f.Add(to.check(Details{}, in.At))
		mentions, err := in.Mentioned("text", "", nil)
		f.Add(err)
		if err := f.Err(); err != nil {
			return nil, err
		}
		return []Event{Logged{in.ClientID, to, mentions}}, nil
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

func (c Edit) decide(s State, in attached.Context) ([]Event, error) {
	if s.Deleted {
		return nil, attached.Absent(domain.Call)
	}
	to := normal(Details{
		Direction(c.Direction.Or(string(s.Direction))), c.Number.Or(s.Number), c.Duration.Or(s.Duration),
		Outcome(c.Outcome.Or(string(s.Outcome))), c.Text.Or(s.Text), c.At.Or(s.At),
	}, s.At)
	was, is := domain.Differ(s.Details, to)
	if was == is {
		return nil, nil
	}
	var f domain.Faults
	f.Add(to.check(s.Details, in.At))
	var mentions []domain.ID
	if to.Text != s.Text {
		var err error
		mentions, err = in.Mentioned("text", s.Text, s.told)
		f.Add(err)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Edited{was, is, mentions}}, nil
}

// normal brings d into the form in which it is stored: in UTC, to the microsecond, at
// the given time unless it says another.
func normal(d Details, at time.Time) Details {
	d.Number, d.Text = domain.Text(d.Number), domain.LongText(d.Text)
	if d.At.IsZero() {
		d.At = at
	}
	d.At = d.At.UTC().Truncate(time.Microsecond)
	return d
}

// check says what is wrong with those details that are not as they were.
func (d Details) check(was Details, now time.Time) error {
	var f domain.Faults
	if !slices.Contains(Directions, d.Direction) {
		f.Add(domain.Fault("direction", "unknown", "is neither inbound nor outbound"))
	}
	f.Add(domain.CheckWord("outcome", string(d.Outcome)))
	if d.Number != was.Number || d.Number == "" {
		f.Add(checkNumber(d.Number))
	}
	if d.Duration < 0 || d.Duration > mostDuration {
		f.Add(domain.Fault("duration_s", "range", "is no number of seconds between 0 and a day"))
	}
	if d.Text != was.Text {
		f.Add(domain.CheckText("text", d.Text, mostText))
	}
	switch {
	case d.At.Equal(was.At):
	case d.At.After(now.Add(skew)):
		f.Add(domain.Fault("at", "future", "has not come yet"))
	case d.At.Before(first):
		f.Add(domain.Fault("at", "too_early", "lies before 1970"))
	}
	return f.Err()
}

// checkNumber takes what people write for a phone number, extensions included.
func checkNumber(s string) error {
	if err := domain.CheckName("number", s, mostNumber); err != nil {
		return err
	}
	return domain.CheckPhone("number", s)
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Logged:
		s = State{client: e.ClientID, Details: e.Details, told: e.Mentions}
	case Edited:
		s.Details, s.told = domain.Amend(s.Details, e.From, e.To), attached.Told(s.told, e.Mentions)
	case Deleted:
		s.Deleted = true
	}
	return s
}
