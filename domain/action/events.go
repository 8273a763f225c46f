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
