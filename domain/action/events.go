// Package action is work to be done about a client, by a date and by somebody: what
// people work off every morning.
package action

import (
	"time"

	"annals/domain"
)

// Type is what kind of work it is: one of these, or a word of one's own.
type Type string

// The types of action.
const (
	Task    Type = "task"
	Call    Type = "call"
	Meeting Type = "meeting"
	Email   Type = "email"
	Other   Type = "other"
)

// Event is the closed set of facts about an action. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Details is what is to be done, when and by whom; a zero time is none.
type Details struct {
	Type       Type      `json:"type,omitempty"`
	Title      string    `json:"title,omitempty" personal:"yes"`
	Text       string    `json:"text,omitempty" personal:"yes"`
	DueAt      time.Time `json:"due_at,omitzero"`
	RemindAt   time.Time `json:"remind_at,omitzero"`
	AssigneeID domain.ID `json:"assignee_id,omitzero"`
}

type (
	// Added is a new action, which is open.
	Added struct {
		ClientID domain.ID `json:"client_id"`
		Details
		Mentions []domain.ID `json:"mentions,omitempty"` // the colleagues whom its text mentions
	}
	// Changed holds, on both sides, what differs and nothing else.
	Changed struct {
		From     Details     `json:"from"`
		To       Details     `json:"to"`
		Mentions []domain.ID `json:"mentions,omitempty"` // those whom its text mentions and did not before
	}
	// Done says that there is nothing left to do.
	Done struct {
		Outcome string `json:"outcome,omitempty" personal:"yes"`
	}
	// Reopened takes that back.
	Reopened struct{}
	// Deleted takes the action out of the feed; the history keeps it.
	Deleted struct{}
	// Reminded says that the time came at which somebody wanted to be reminded.
	Reminded struct {
		AssigneeID domain.ID `json:"assignee_id,omitzero"`
		At         time.Time `json:"at"`
	}
	// FellDue says that the time came by which it was to be done, and it was not.
	FellDue struct {
		AssigneeID domain.ID `json:"assignee_id,omitzero"`
		At         time.Time `json:"at"`
	}
)

func (Added) event()    {}
func (Changed) event()  {}
func (Done) event()     {}
func (Reopened) event() {}
func (Deleted) event()  {}
func (Reminded) event() {}
func (FellDue) event()  {}

// diff is what differs between two details, each side for itself.
func diff(from, to Details) (was, is Details) {
	if from.Type != to.Type {
		was.Type, is.Type = from.Type, to.Type
	}
	if from.Title != to.Title {
		was.Title, is.Title = from.Title, to.Title
	}
	if from.Text != to.Text {
		was.Text, is.Text = from.Text, to.Text
	}
	if !from.DueAt.Equal(to.DueAt) {
		was.DueAt, is.DueAt = from.DueAt, to.DueAt
	}
	if !from.RemindAt.Equal(to.RemindAt) {
		was.RemindAt, is.RemindAt = from.RemindAt, to.RemindAt
	}
	if from.AssigneeID != to.AssigneeID {
		was.AssigneeID, is.AssigneeID = from.AssigneeID, to.AssigneeID
	}
	return was, is
}

// apply is d after a change: what stands on either side of it has changed.
func (d Details) apply(e Changed) Details {
	was, is := e.From, e.To
	if was.Type != is.Type {
		d.Type = is.Type
	}
	if was.Title != is.Title {
		d.Title = is.Title
	}
	if was.Text != is.Text {
		d.Text = is.Text
	}
	if !was.DueAt.Equal(is.DueAt) {
		d.DueAt = is.DueAt
	}
	if !was.RemindAt.Equal(is.RemindAt) {
		d.RemindAt = is.RemindAt
	}
	if was.AssigneeID != is.AssigneeID {
		d.AssigneeID = is.AssigneeID
	}
	return d
}
