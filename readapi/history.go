package readapi

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// change is one thing that an event changed.
type change struct {
	Field   string   `json:"field" doc:"An inner field is written outer.inner"`
	From    any      `json:"from,omitempty"`
	To      any      `json:"to,omitempty"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

type historyItem struct {
	Of            ref       `json:"of" doc:"What it happened to: the client itself, or what belongs to it"`
	Stream        string    `json:"stream" doc:"Of that, in the log"`
	Revision      int64     `json:"revision" doc:"Of what it happened to"`
	Position      string    `json:"position"`
	EventID       uuid.UUID `json:"event_id" format:"uuid"`
	Type          string    `json:"type"`
	At            time.Time `json:"at" doc:"To the microsecond"`
	Actor         doer      `json:"actor"`
	Import        bool      `json:"import,omitempty" doc:"A row of a file, by what the program that sent it called itself"`
	ProjectID     uuid.UUID `json:"project_id,omitzero" format:"uuid" doc:"The project in which it happened: of a client, the one that it was in then"`
	CommandID     uuid.UUID `json:"command_id" format:"uuid"`
	CorrelationID uuid.UUID `json:"correlation_id" format:"uuid" doc:"The request that all of it goes back to"`
	CausationID   uuid.UUID `json:"causation_id" format:"uuid" doc:"The command or event that directly led to it"`
	IP            string    `json:"ip,omitempty" doc:"Only for those who may view what others did"`
	UserAgent     string    `json:"user_agent,omitempty" doc:"Only for those who may view what others did"`
	App           string    `json:"app,omitempty" doc:"The version of the software that wrote it"`
	Schema        int       `json:"schema" doc:"The version of the event's type"`
	Reason        string    `json:"reason,omitempty"`
	Changes       []change  `json:"changes"`
	Erased        []string  `json:"erased,omitempty" doc:"Fields that are gone because the person has been erased"`
}

// doer is who did something.
type doer struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name"`
	Kind string    `json:"kind" enum:"employee,api_key,rule,system" doc:"rule: Annals did it because something else had happened; system: of itself"`
}

// ref names what is no person.
type ref struct {
	Kind string    `json:"kind" example:"note"`
	ID   uuid.UUID `json:"id" format:"uuid"`
}

type historyRow struct {
	keyset
	Category      string
	AggregateID   uuid.UUID
	ClientID      *uuid.UUID
	Revision      int64
	Position      int64
	EventID       uuid.UUID
	Type          string
	At            time.Time
	ActorID       uuid.UUID
	ActorName     *string
	ActorKind     *string
	Rule          bool
	ProjectID     uuid.UUID
	CommandID     uuid.UUID
	CorrelationID uuid.UUID
	CausationID   uuid.UUID
	IP            string
	UserAgent     string
	App           string
	Schema        int
	Reason        string
	Changes       json.RawMessage
	Erased        []string
}

// item is the row as it is answered, to somebody who may view what others did or may not.
func (r historyRow) item(audit bool) historyItem {
	item := historyItem{
		Of: ref{r.Category, r.AggregateID}, Stream: r.Category + "-" + r.AggregateID.String(), Revision: r.Revision, Position: strconv.FormatInt(r.Position, 10), EventID: r.EventID, Type: r.Type, At: r.At,
		Actor: doer{r.ActorID, actor(r.ActorID, r.ActorName).Name, r.kindOfActor()}, Import: r.UserAgent == importer, ProjectID: r.ProjectID,
		CommandID: r.CommandID, CorrelationID: r.CorrelationID, CausationID: r.CausationID,
		App: r.App, Schema: r.Schema, Reason: r.Reason, Changes: []change{}, Erased: r.Erased,
	}
	if audit {
		item.IP, item.UserAgent = r.IP, r.UserAgent
	}
	if json.Unmarshal(r.Changes, &item.Changes) != nil {
		item.Changes = nil // shown as null rather than as nothing having changed
	}
	return item
}

// importer is how the program that imports files calls itself.
const importer = "annals-import"

func (r historyRow) kindOfActor() string {
	switch {
	case r.ActorKind != nil:
		return *r.ActorKind
	case r.Rule:
		return "rule"
	case r.ActorID == domain.System:
		return "system"
	}
	return "employee" // who has just been registered, and has no name yet
}

// actor is who did something, by their name where they have one.
func actor(id uuid.UUID, name *string) named {
	who := named{ID: id}
	switch {
	case name != nil:
		who.Name = *name
	case id == domain.System:
		who.Name = "Annals"
	}
	return who
}

// historySource reads what happened to one aggregate, by its key.
var historySource = source{
	columns: `h.category, h.aggregate_id, h.client_id, h.revision, h.position, h.event_id, h.type, h.at, h.actor_id, a.name as actor_name, a.kind as actor_kind, h.rule, h.project_id,
		h.command_id, h.correlation_id, h.causation_id,
		h.ip, h.user_agent, h.app, h.schema, h.reason, h.changes, h.erased`,
	from: `annals_read.history h
		left join annals_read.names a on a.id = h.actor_id`,
	id:      "h.position",
	idCast:  "bigint",
	natural: "revision",
	table:   "annals_read.history h",
	indexed: map[string]bool{"h.revision": false},
	ordinal: "h.revision",
	// Of one aggregate the revisions have the order of the positions.
	sorts: map[string]column{"revision": {"h.revision", "bigint"}, "position": {"h.revision", "bigint"}},
}

// storySource reads what happened to a client and to all that belongs to it, by the
// index of the client.
var storySource = source{
	columns: historySource.columns,
	from:    historySource.from,
	id:      "h.position",
	idCast:  "bigint",
	natural: "position",
	table:   "annals_read.history h",
	indexed: map[string]bool{"h.position": false},
	sorts:   map[string]column{"position": {"h.position", "bigint"}, "revision": {"h.position", "bigint"}},
}

type historyRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
	Happened
}

type clientHistoryRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
	Happened
	With string `query:"with" doc:"activities: also what happened to what belongs to the client: notes, documents, its portal and so on" enum:"activities"`
}

// clientHistory reads what happened to the client alone off the primary key, and the rest off the
// index of the client. Filters leave out some of what is read so.
func (a *API) clientHistory(ctx context.Context, r *clientHistoryRequest) (*list[historyItem], error) {
	q, s := &query{before: visible(ctx, r.ID)}, historySource
	if r.With == "activities" {
		s, q.arms = storySource, []arm{{"h.client_id", []uuid.UUID{r.ID}, ""}}
	} else {
		q.arms = []arm{{"h.aggregate_id", []uuid.UUID{r.ID}, "h.category = 'client'"}}
	}
	if err := r.conditions(a, q); err != nil {
		return nil, err
	}
	audit := access.Authority(ctx).Rights[domain.AuditView] > domain.Nothing
	out, err := fetch(ctx, a, s, q, r.Page, func(r historyRow) historyItem { return r.item(audit) })
	if err = a.orAbsent(ctx, r.ID, out, err); err != nil {
		return nil, err
	}
	return out, a.shown(ctx, accesslog.History, r.ID)
}

// visible queues the finding whether the client is one that the caller sees: the
// policies on what belongs to a client go by what is found, until the batch ends.
func visible(ctx context.Context, client uuid.UUID) func(*pgx.Batch) {
	q := visibleClients(ctx)
	q.and("c.id = " + q.bind(client))
	return func(b *pgx.Batch) {
		b.Queue("select set_config('annals.client', coalesce((select c.id::text from annals_read.clients c where "+q.all()+"), ''), true)", q.args...)
	}
}
