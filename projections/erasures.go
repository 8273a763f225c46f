package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"

	"annals/domain/client"
	"annals/domain/erasure"
	"annals/eventschema"
	"annals/internal/eventlog"
)

//go:embed erasures.sql
var erasuresTables string

// erasures is legal holds, and what came of erasures.
var erasures = &Projector{Name: "erasures", Version: 1, Tables: erasuresTables, Apply: applyErasures}

const (
	hold = `insert into holds (client_id, at, actor_id, reason) values ($1, $2, $3, $4)
		on conflict (client_id) do update set at = excluded.at, actor_id = excluded.actor_id, reason = excluded.reason`
	release = `delete from holds where client_id = $1`
	// What it says when it is told once more is the same.
	erase = `insert into erasures (client_id, at, actor_id, event_id, position, basis, reason, requested_by) values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (client_id) do nothing`
	eraseHold  = `update holds set reason = '' where client_id = $1`
	keyGone    = `update erasures set key_position = $2, key_destroyed_at = $3 where client_id = $1`
	carriedOut = `update erasures set done_position = $2, done_at = $3, done = $4 where client_id = $1`
	cleaned    = `update erasures set clean_position = $2, cleaned_at = $3, cleaning = $4 where client_id = $1`
)

func applyErasures(b *pgx.Batch, r *eventlog.Record) {
	at, position := r.Meta.At, r.Position.Commit
	switch e := r.Event.(type) {
	case client.Held:
		b.Queue(hold, id(r), at, known(r.Meta.Actor), e.Reason)
	case client.Released:
		b.Queue(release, id(r))
	case client.Erased:
		b.Queue(erase, id(r), at, known(r.Meta.Actor), known(r.ID), position, string(e.Basis), e.Reason, e.RequestedBy)
	case eventschema.KeyDestroyed:
		b.Queue(eraseHold, id(r))
		b.Queue(keyGone, id(r), position, at)
	case erasure.CarriedOut:
		b.Queue(carriedOut, id(r), position, at, asJSON(e)).Exec(exactlyOne("erasures"))
	case erasure.Cleaned:
		b.Queue(cleaned, id(r), position, at, asJSON(e.Cleaning)).Exec(exactlyOne("erasures"))
	}
}
