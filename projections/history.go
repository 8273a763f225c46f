package projections

import (
	_ "embed"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/client"
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
	Name: "history", Version: 5, Tables: historyTables, Indexes: historyIndexes,
	Apply: applyHistory, Inserts: []*Insert{insertHistoryPlace, insertHistory}, Updates: []*Update{moveWithin},
}

var (
	insertHistory = NewInsert("history",
		"category", "aggregate_id", "client_id", "project_id", "revision", "position", "event_id", "type", "at", "actor_id", "rule",
		"command_id", "correlation_id", "causation_id", "ip", "user_agent", "app", "schema", "changes", "reason", "personal", "erased")
	insertHistoryPlace = NewInsert("history_places", "client_id", "project_id", "desk_id", "manager_id")
	moveWithin         = NewUpdate("history_places", "client_id", `desk_id = $2, manager_id = $3`)
)

// moveAcross keeps its place among the statements: what happens later happens in the other project.
const moveAcross = `update history_places set project_id = $2, desk_id = $3, manager_id = $4 where client_id = $1`

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
	case eventschema.KeyCreated, eventschema.KeyRewrapped, eventschema.MasterRetired:
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
	insertHistory.Queue(b, ref.Category, known(ref.ID), of, projectOf(ref, r.Event), r.Revision, r.Position.Commit, known(r.ID), r.Type, m.At,
		known(m.Actor), m.Actor == domain.System && m.Causation != m.Command, known(m.Command), known(m.Correlation), known(m.Causation),
		m.IP, m.UserAgent, m.App, r.Schema, c.json(), c.reason, list(c.personal), erased)
	applyHistoryPlace(b, r)
}

// projectOf is the project in which an event happened: the one that it names, or that it
// is about. Null leaves that to where the client is.
func projectOf(ref domain.Ref, event any) pgtype.UUID {
	if e, ok := event.(client.Reassigned); ok {
		return orNull(e.To.ProjectID)
	}
	if ref.Category == domain.Project {
		return orNull(ref.ID)
	}
	if f := reflect.ValueOf(event).FieldByName("ProjectID"); f.IsValid() {
		if id, ok := reflect.TypeAssert[domain.ID](f); ok {
			return orNull(id)
		}
	}
	return pgtype.UUID{}
}

func applyHistoryPlace(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case client.Registered:
		insertHistoryPlace.Queue(b, id(r), orNull(e.ProjectID), orNull(e.DeskID), orNull(e.ManagerID))
	case client.Reassigned:
		if e.From.ProjectID != e.To.ProjectID {
			b.Queue(moveAcross, id(r), orNull(e.To.ProjectID), orNull(e.To.DeskID), orNull(e.To.ManagerID))
		} else {
			moveWithin.Queue(b, id(r), orNull(e.To.DeskID), orNull(e.To.ManagerID))
		}
	}
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
