package projections

import (
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/action"
	"annals/internal/eventlog"
)

// The statuses of an action.
const (
	actionOpen = "open"
	actionDone = "done"
)

func applyAction(b *pgx.Batch, r *eventlog.Record, e action.Event) {
	switch e := e.(type) {
	case action.Added:
		activity{
			kind: domain.Action, at: r.Meta.At, open: new(true), assignee: &e.AssigneeID, due: &e.DueAt,
			data:     map[string]any{"type": e.Type, "status": actionOpen, "remind_at": e.RemindAt},
			personal: map[string]any{"title": e.Title, "text": e.Text},
		}.add(b, r)
	case action.Changed:
		changedAction(r.Meta.At, e).change(b, r)
	case action.Done:
		activity{
			open: new(false), data: map[string]any{"status": actionDone, "done_at": r.Meta.At},
			personal: map[string]any{"outcome": e.Outcome},
		}.change(b, r)
	case action.Reopened:
		activity{
			open: new(true), data: map[string]any{"status": actionOpen, "done_at": nil}, personal: map[string]any{"outcome": nil},
		}.change(b, r)
	case action.Deleted:
		remove(b, r)
	case action.Reminded, action.FellDue:
		activity{}.change(b, r) // for the revision: that it is due shows by itself
	}
}

// changedAction is what differs between the sides of the event. Of an erased person the
// texts are the same on both: empty.
func changedAction(at time.Time, e action.Changed) activity {
	a := activity{data: map[string]any{"edited_at": at}, personal: map[string]any{}}
	was, is := e.From, e.To
	if was.Type != is.Type {
		a.data["type"] = is.Type
	}
	if !was.RemindAt.Equal(is.RemindAt) {
		a.data["remind_at"] = is.RemindAt
	}
	if was.Title != is.Title {
		a.personal["title"] = is.Title
	}
	if was.Text != is.Text {
		a.personal["text"] = is.Text
	}
	if was.AssigneeID != is.AssigneeID {
		a.assignee = &is.AssigneeID
	}
	if !was.DueAt.Equal(is.DueAt) {
		a.due = &is.DueAt
	}
	return a
}
