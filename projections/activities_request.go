package projections

import (
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/request"
	"annals/internal/eventlog"
)

func applyRequest(b *pgx.Batch, r *eventlog.Record, e request.Event) {
	switch e := e.(type) {
	case request.Opened:
		activity{
			kind: domain.Request, at: r.Meta.At, open: new(true), assignee: &e.AssigneeID,
			data:     map[string]any{"status": request.Open},
			personal: map[string]any{"subject": e.Subject, "text": e.Text},
		}.add(b, r)
	case request.StatusChanged:
		activity{
			open: new(!e.To.Closed()), data: map[string]any{"status": e.To, "status_at": r.Meta.At},
			personal: map[string]any{"answer": e.Text},
		}.change(b, r)
	case request.Assigned:
		activity{assignee: &e.To}.change(b, r)
	}
}
