package projections

import (
	_ "embed"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/favourite"
	"annals/domain/inbox"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed history.sql
	historyTables string
	//go:embed history.indexes.sql
	historyIndexes string
)

// history is what happened to each aggregate.
var history = &Projector{
	Name: "history", Version: 4, Tables: historyTables, Indexes: historyIndexes,
	Apply: applyHistory, Inserts: []*Insert{insertHistory},
}

var insertHistory = NewInsert("history",
	"category", "aggregate_id", "client_id", "revision", "position", "event_id", "type", "at", "actor_id", "command_id", "correlation_id",
	"ip", "user_agent", "app", "schema", "changes", "reason", "personal", "erased")

// forget takes the same from a row as decoding its event without the key would.
const forget = `update history set erased = personal, reason = case when 'reason' = any(personal) then '' else reason end,
	changes = (select coalesce(jsonb_agg(c order by n), '[]') from jsonb_array_elements(changes) with ordinality x (c, n)
		where c->>'field' <> all(personal))
	where (client_id = $1 or category = any($2) and aggregate_id = $1) and personal <> '{}'`

func applyHistory(b *pgx.Batch, r *eventlog.Record) {
	ref, err := r.Ref()
	if err != nil {
		panic(err) // a record that was decoded has one
	}
	switch r.Event.(type) {
	case eventschema.KeyDestroyed:
		b.Queue(forget, ref.ID, sealedCategories)
		return
	case eventschema.KeyCreated:
		return // nothing happened to anybody
	case inbox.Read, favourite.Event:
		// That somebody has looked at their notifications, or has starred something, is
		// nobody's business, proves nothing about any client, and would be the most of
		// what there is.
		return
	}
	c := changesOf(r.Type, r.Event)
	erased := []string{}
	if len(r.Erased) > 0 {
		erased = fieldsOf(r.Type, r.Erased)
		c.personal = erased
	}
	m := r.Meta
	of := orNull(r.Meta.Subject)
	if ref.Category == domain.Client {
		of = known(ref.ID)
	}
	insertHistory.Queue(b, ref.Category, known(ref.ID), of, r.Revision, r.Position.Commit, known(r.ID), r.Type, m.At,
		known(m.Actor), known(m.Command), known(m.Correlation), m.IP, m.UserAgent, m.App, r.Schema,
		c.json(), c.reason, list(c.personal), erased)
}

// sealedCategories have personal fields.
var sealedCategories = func() []string {
	var sealed []string
	for _, c := range eventschema.Categories() {
		if eventschema.HasKey(c) {
			sealed = append(sealed, c)
		}
	}
	return sealed
}()
