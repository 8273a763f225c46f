package projections

import (
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/message"
	"annals/internal/eventlog"
)

func applyMessage(b *pgx.Batch, r *eventlog.Record, e message.Event) {
	switch e := e.(type) {
	case message.Composed:
		data := map[string]any{"direction": "outbound", "state": message.IsComposed}
		if e.TemplateID != (domain.ID{}) {
			data["template_id"] = e.TemplateID
		}
		personal := map[string]any{"to": e.To, "to_name": e.ToName, "subject": e.Subject, "text": e.Text, "html": e.HTML, "language": e.Language}
		if len(e.Attachments) > 0 {
			personal["attachments"] = e.Attachments
		}
		activity{kind: domain.Message, at: r.Meta.At, data: data, personal: personal}.add(b, r)
	case message.Sent:
		activity{data: map[string]any{"state": message.IsSent, "sent_at": e.At, "message_id": e.MessageID, "attempts": e.Attempts, "reason": nil}}.change(b, r)
	case message.Failed:
		activity{data: map[string]any{"state": message.IsFailed, "reason": e.Reason, "attempts": e.Attempts}}.change(b, r)
	case message.Bounced:
		activity{data: map[string]any{"state": message.IsBounced, "bounced_at": e.At}, personal: map[string]any{"reason": e.Reason}}.change(b, r)
	case message.Logged:
		data := map[string]any{"direction": "inbound", "state": message.IsLogged}
		if e.AnswerTo != (domain.ID{}) {
			data["answer_to"] = e.AnswerTo
		}
		personal := map[string]any{"from": e.From, "subject": e.Subject, "text": e.Text, "in_reply_to": e.InReplyTo}
		activity{kind: domain.Message, at: e.At, data: data, personal: personal}.add(b, r)
	}
}
