package action

import (
	"time"

	"annals/domain"
	"annals/domain/attached"
)

// Command is the closed set of requests to an action.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Add says what is to be done.
	Add struct {
		Type       Type                    `json:"type,omitempty" doc:"task, call, meeting, email, other, or a word of your own; task unless given" example:"call" maxLength:"30"`
		Title      string                  `json:"title" doc:"What is to be done" example:"Send the offer" maxLength:"200"`
		Text       string                  `json:"text,omitempty" doc:"More about it, in Markdown; colleagues who see the client can be mentioned as in notes" maxLength:"20000"`
		DueAt      domain.Field[time.Time] `json:"due_at,omitzero" doc:"By when; what lies in the past is overdue from the start" example:"2030-05-04T15:00:00Z"`
		RemindAt   domain.Field[time.Time] `json:"remind_at,omitzero" doc:"When the assignee is to be reminded; not in the past, and not after due_at" example:"2030-05-04T09:00:00Z"`
		AssigneeID domain.Field[domain.ID] `json:"assignee_id,omitzero" doc:"The employee who is to do it, who has to see the client; nobody unless given"`
	}
	// Change changes an action; what is left out stays, and null takes it away. Of one
	// that is done, dates and assignee stay.
	Change struct {
		Type       domain.Field[string]    `json:"type,omitzero" doc:"task, call, meeting, email, other, or a word of your own" example:"call" maxLength:"30"`
		Title      domain.Field[string]    `json:"title,omitzero" maxLength:"200"`
		Text       domain.Field[string]    `json:"text,omitzero" doc:"Markdown; who is mentioned and was not before is told" nullable:"true" maxLength:"20000"`
		DueAt      domain.Field[time.Time] `json:"due_at,omitzero" doc:"By when"`
		RemindAt   domain.Field[time.Time] `json:"remind_at,omitzero" doc:"Not in the past, unless it stays as it is, and not after due_at"`
		AssigneeID domain.Field[domain.ID] `json:"assignee_id,omitzero" doc:"An employee who sees the client, or null for nobody"`
	}
	// Finish says that it is done.
	Finish struct {
		Outcome string `json:"outcome,omitempty" doc:"What came of it" maxLength:"5000"`
	}
	// Reopen takes that back.
	Reopen struct{}
	// Delete takes an action out of the feed.
	Delete struct{}
	// Remind is what the system does at the time to be reminded at. It changes nothing if
	// the action is done, or that time is another one by now.
	Remind struct{ At time.Time }
	// FallDue is what the system does when an action falls due, under the same conditions.
	FallDue struct{ At time.Time }
)

func (Add) command()     {}
func (Change) command()  {}
func (Finish) command()  {}
func (Reopen) command()  {}
func (Delete) command()  {}
func (Remind) command()  {}
func (FallDue) command() {}

// Needs implements [attached.Command].
func (Add) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Change) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Finish) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Reopen) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Delete) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Remind) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (FallDue) Needs() domain.Permission { return domain.ActivitiesWrite }

// Creates implements [attached.Command].
func (Add) Creates() bool { return true }

// Creates implements [attached.Command].
func (Change) Creates() bool { return false }

// Creates implements [attached.Command].
func (Finish) Creates() bool { return false }

// Creates implements [attached.Command].
func (Reopen) Creates() bool { return false }

// Creates implements [attached.Command].
func (Delete) Creates() bool { return false }

// Creates implements [attached.Command].
func (Remind) Creates() bool { return false }

// Creates implements [attached.Command].
func (FallDue) Creates() bool { return false }

// Markdown implements [attached.Mentioning].
func (c Add) Markdown() string { return c.Text }

// Markdown implements [attached.Mentioning].
func (c Change) Markdown() string { return c.Text.Value }

// Assignee implements [attached.Assigning].
func (c Add) Assignee() domain.ID { return c.AssigneeID.Value }

// Assignee implements [attached.Assigning].
func (c Change) Assignee() domain.ID { return c.AssigneeID.Value }
