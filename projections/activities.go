package projections

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain/client"
	"annals/domain/note"
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
	Apply: applyActivities, Inserts: []*Insert{insertActivity}, Updates: []*Update{changeActivity},
}

var (
	insertActivity = NewInsert("activities", "id", "client_id", "kind", "at", "actor_id", "position", "revision", "pinned", "data", "personal", "sealed", "erased")
	changeActivity = NewUpdate("activities", "id", `revision = $2, data = (data || $3::jsonb) - $4::text[], personal = (personal || $5::jsonb) - $6::text[],
		pinned = coalesce($7, pinned), sealed = sealed or $8, erased = erased or $9`)
)

const (
	eraseActivities = `update activities set personal = '{}', erased = sealed where client_id = $1`
	removeActivity  = `delete from activities where id = $1`
)

func applyActivities(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case eventschema.KeyDestroyed:
		b.Queue(eraseActivities, id(r))
	case client.Event:
		applyChange(b, r)
	case note.Event:
		applyNote(b, r, e)
	}
}

// An activity is what an event makes of a row: of a new one all of it, of one that is
// there what changes. Values that are zero are left out, and taken out.
type activity struct {
	kind     string
	at       time.Time
	data     map[string]any
	personal map[string]any
	pinned   *bool // nil: as it is
}

// add queues the row of what the record's event begins.
func (a activity) add(b *pgx.Batch, r *eventlog.Record) { a.insert(b, r, id(r)) }

func (a activity) insert(b *pgx.Batch, r *eventlog.Record, id pgtype.UUID) {
	data, _ := parts(a.data)
	personal, _ := parts(a.personal)
	insertActivity.Queue(b, id, subject(r), a.kind, a.at, known(r.Meta.Actor), r.Position.Commit, r.Revision, a.pinned != nil && *a.pinned,
		data, personal, personalIn(r), len(r.Erased) > 0)
}

// change queues what the record's event changes of its row.
func (a activity) change(b *pgx.Batch, r *eventlog.Record) {
	data, gone := parts(a.data)
	personal, forgotten := parts(a.personal)
	changeActivity.Queue(b, id(r), r.Revision, data, gone, personal, forgotten, a.pinned, personalIn(r), len(r.Erased) > 0)
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

// applyChange shows that the client itself changed: what, its history says.
func applyChange(b *pgx.Batch, r *eventlog.Record) {
	activity{kind: "change", at: r.Meta.At, data: map[string]any{"type": r.Type}}.insert(b, r, known(r.ID))
}
