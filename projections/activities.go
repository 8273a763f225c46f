package projections

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/document"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/portal"
	"annals/domain/request"
	"annals/eventschema"
	"annals/internal/eventlog"
)

var (
	//go:embed activities.sql
	activitiesTables string
	//go:embed activities.indexes.sql
	activitiesIndexes string
)

// activities is the feed of each client. What a kind of activity shows is in a file of
// its own.
var activities = &Projector{
	Name: "activities", Version: 1, Tables: activitiesTables, Indexes: activitiesIndexes,
	Apply: applyActivities, Inserts: []*Insert{insertActivity, insertPlace}, Updates: []*Update{changeActivity, movePlace},
}

var (
	insertActivity = NewInsert("activities", "id", "client_id", "kind", "at", "actor_id", "position", "revision", "pinned", "data", "personal", "sealed", "erased",
		"assignee_id", "due_at", "open")
	// A parameter is null where the value stays; who and when, which can be taken away, have one more.
	changeActivity = NewUpdate("activities", "id", `revision = $2, data = (data || $3::jsonb) - $4::text[], personal = (personal || $5::jsonb) - $6::text[],
		pinned = coalesce($7, pinned), sealed = sealed or $8, erased = erased or $9, at = coalesce($10, at), open = coalesce($11, open),
		assignee_id = case when $12 then $13 else assignee_id end, due_at = case when $14 then $15 else due_at end`)

	insertPlace = NewInsert("places", "client_id", "project_id", "desk_id", "manager_id")
	movePlace   = NewUpdate("places", "client_id", `project_id = $2, desk_id = $3, manager_id = $4`)
)

const (
	eraseActivities = `update activities set personal = '{}', erased = sealed where client_id = $1`
	removeActivity  = `delete from activities where id = $1`
)

func applyActivities(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case eventschema.KeyDestroyed:
		b.Queue(eraseActivities, id(r))
	case action.Event:
		applyAction(b, r, e)
	case call.Event:
		applyCall(b, r, e)
	case client.Event:
		applyChange(b, r)
		applyPlace(b, r, e)
	case document.Event:
		applyDocument(b, r, e)
	case message.Event:
		applyMessage(b, r, e)
	case note.Event:
		applyNote(b, r, e)
	case portal.Event:
		applyChange(b, r)
	case request.Event:
		applyRequest(b, r, e)
	}
}

// An activity is what an event makes of a row: of a new one all of it, of one that is
// there what changes. Values that are zero are left out, and taken out.
type activity struct {
	kind     string
	at       time.Time
	data     map[string]any
	personal map[string]any
	pinned   *bool      // nil: as it is
	open     *bool      // likewise
	assignee *domain.ID // likewise; the zero ID: nobody
	due      *time.Time // likewise; the zero time: none
}

// add queues the row of what the record's event begins.
func (a activity) add(b *pgx.Batch, r *eventlog.Record) { a.insert(b, r, id(r)) }

func (a activity) insert(b *pgx.Batch, r *eventlog.Record, id pgtype.UUID) {
	data, _ := parts(a.data)
	personal, _ := parts(a.personal)
	insertActivity.Queue(b, id, subject(r), a.kind, a.at, known(r.Meta.Actor), r.Position.Commit, r.Revision, a.pinned != nil && *a.pinned,
		data, personal, personalIn(r), len(r.Erased) > 0, orNobody(a.assignee), timeOrNull(a.due), a.open)
}

// change queues what the record's event changes of its row.
func (a activity) change(b *pgx.Batch, r *eventlog.Record) {
	data, gone := parts(a.data)
	personal, forgotten := parts(a.personal)
	changeActivity.Queue(b, id(r), r.Revision, data, gone, personal, forgotten, a.pinned, personalIn(r), len(r.Erased) > 0,
		timeOrNull(&a.at), a.open, a.assignee != nil, orNobody(a.assignee), a.due != nil, timeOrNull(a.due))
}

func orNobody(id *domain.ID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return orNull(*id)
}

func timeOrNull(at *time.Time) *time.Time {
	if at == nil || at.IsZero() {
		return nil
	}
	return at
}

// remove queues the removal of the record's row: the history keeps what it was.
func remove(b *pgx.Batch, r *eventlog.Record) { b.Queue(removeActivity, id(r)) }

// parts is an object with those values that are there, and the names of the others.
func parts(values map[string]any) (object []byte, none []string) {
	there := map[string]any{}
	none = []string{}
	for name, value := range values {
		if v := reflect.ValueOf(value); !v.IsValid() || v.IsZero() {
			none = append(none, name)
		} else {
			there[name] = value
		}
	}
	object, err := json.Marshal(there)
	if err != nil {
		panic(err) // the fields of an event were read from JSON
	}
	return object, none
}

// subject is the client that the record's aggregate belongs to.
func subject(r *eventlog.Record) pgtype.UUID {
	id, err := r.Subject()
	if err != nil {
		panic(err) // a record that was decoded has one
	}
	return orNull(id)
}

func known(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// personalIn says whether the record's event has, or had, something personal.
func personalIn(r *eventlog.Record) bool {
	return len(r.Erased) > 0 || len(changesOf(r.Type, r.Event).personal) > 0
}

// applyChange shows that the client itself, or its portal, changed: what, its history says.
func applyChange(b *pgx.Batch, r *eventlog.Record) {
	activity{kind: "change", at: r.Meta.At, data: map[string]any{"type": r.Type}}.insert(b, r, known(r.ID))
}

// applyPlace keeps where the client belongs.
func applyPlace(b *pgx.Batch, r *eventlog.Record, e client.Event) {
	switch e := e.(type) { //nolint:gochecksumtype // the others move nobody
	case client.Registered:
		insertPlace.Queue(b, id(r), orNull(e.ProjectID), orNull(e.DeskID), orNull(e.ManagerID))
	case client.Reassigned:
		movePlace.Queue(b, id(r), orNull(e.To.ProjectID), orNull(e.To.DeskID), orNull(e.To.ManagerID))
	}
}
