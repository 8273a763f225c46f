package projections

import (
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/call"
	"annals/internal/eventlog"
)

func applyCall(b *pgx.Batch, r *eventlog.Record, e call.Event) {
	switch e := e.(type) {
	case call.Logged:
		activity{
			kind: domain.Call, at: e.At,
			data:     map[string]any{"direction": e.Direction, "duration_s": e.Duration, "outcome": e.Outcome},
			personal: map[string]any{"number": e.Number, "text": e.Text},
		}.add(b, r)
	case call.Edited:
		editedCall(r.Meta.At, e).change(b, r)
	case call.Deleted:
		remove(b, r)
	}
}

// editedCall is what differs between the sides of the event.
func editedCall(at time.Time, e call.Edited) activity {
	a := activity{data: map[string]any{"edited_at": at}, personal: map[string]any{}}
	was, is := e.From, e.To
	if was.Direction != is.Direction {
		a.data["direction"] = is.Direction
	}
	if was.Duration != is.Duration {
		a.data["duration_s"] = is.Duration
	}
	if was.Outcome != is.Outcome {
		a.data["outcome"] = is.Outcome
	}
	if was.Number != is.Number {
		a.personal["number"] = is.Number
	}
	if was.Text != is.Text {
		a.personal["text"] = is.Text
	}
	if !was.At.Equal(is.At) {
		a.at = is.At
	}
	return a
}
