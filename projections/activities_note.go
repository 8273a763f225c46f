package projections

import (
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/note"
	"annals/internal/eventlog"
)

func applyNote(b *pgx.Batch, r *eventlog.Record, e note.Event) {
	switch e := e.(type) {
	case note.Added:
		activity{kind: domain.Note, at: r.Meta.At, personal: map[string]any{"text": e.Text}, pinned: &e.Pinned}.add(b, r)
	case note.Edited:
		activity{data: map[string]any{"edited_at": r.Meta.At}, personal: map[string]any{"text": e.To}}.change(b, r)
	case note.Pinned:
		activity{pinned: new(true)}.change(b, r)
	case note.Unpinned:
		activity{pinned: new(false)}.change(b, r)
	case note.Deleted:
		remove(b, r)
	}
}
