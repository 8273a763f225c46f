// Package domain holds what every aggregate shares: identity, the circumstances
// of a decision, visibility, and errors. The aggregates are in the packages
// below it. Nothing here does I/O or reads a clock: whatever a decision depends
// on arrives as an argument.
package domain

import (
	"bytes"
	"time"

	"github.com/google/uuid"
)

// ID names an aggregate.
type ID = uuid.UUID

// Meta is the circumstances of a command: who, when, from where and on whose
// behalf. What has a name in JSON is stored beside each event that the
// command leads to, in the clear, so it never holds personal data of a client.
type Meta struct {
	Actor       ID        `json:"actor"`                 // the employee, or [System]
	Command     ID        `json:"command_id"`            // the same for the same request sent again
	Correlation ID        `json:"correlation_id"`        // the request that all of it goes back to
	Causation   ID        `json:"causation_id"`          // the command or event that directly led here
	At          time.Time `json:"at"`                    // server time, UTC, microseconds
	IP          string    `json:"ip,omitempty"`          // where the request came from
	UserAgent   string    `json:"user_agent,omitempty"`  //
	App         string    `json:"app,omitempty"`         // software version
	Fingerprint string    `json:"request_mac,omitempty"` // tells a repeated command from another one under its id
	Subject     ID        `json:"subject,omitzero"`      // whose data key seals the event; the zero ID: its own aggregate's
	By          Authority `json:"-"`                     // what the actor may do
	Aggregate   ID        `json:"-"`                     // the one that decides
	Request     []byte    `json:"-"`                     // digest of what was asked; stored only as Fingerprint
}

// System is the actor of what nobody asked for: the first start, the demo.
var System = uuid.NewSHA1(uuid.NameSpaceOID, []byte("annals/system"))

// A Decider is an aggregate as pure functions.
type Decider[S, C, E any] struct {
	// Category begins the aggregate's stream names: Category-ID.
	Category string
	// Subject is the client that the aggregate belongs to, by whose data key what is
	// personal in its events is sealed. Nil means that it has a key of its own, if any.
	Subject func(S) ID
	// Refs names the other aggregates whose state a decision needs. Nil means none.
	Refs func(S, C) []Ref
	// Decide says which events a command leads to; none when nothing would
	// change. The error is an [Error], or several joined.
	Decide func(S, C, World, Meta) ([]E, error)
	// Evolve folds one event into the state. The zero state is the aggregate
	// that does not exist yet.
	Evolve func(S, E) S
	// Companions are the streams that have to exist before the event does,
	// each created with the given events unless it exists. Nil means none.
	Companions func(ID, E) []Companion
	// Depends names the aggregates that have to be in a certain state for the event to
	// hold, which may have left it between the decision and its being in the log:
	// nothing can change two streams at once. Nil means none.
	Depends func(E) []Ref
	// Correct is the command of the system that makes up for that.
	Correct func(S, World) (C, bool)
	// Collisions names the fields that a command would change and that events since have
	// changed: for somebody who wanted to change what they saw, and nothing else. Nil means
	// that it is not told.
	Collisions func(c C, since []E) []string
}

// SubjectAfter is the client that an aggregate belongs to once the events have happened,
// the zero ID where aggregates of its kind belong to none.
func (d Decider[S, C, E]) SubjectAfter(s S, events ...E) ID {
	if d.Subject == nil {
		return ID{}
	}
	for _, e := range events {
		s = d.Evolve(s, e)
	}
	return d.Subject(s)
}

// The categories of the aggregates: how the names of their streams begin.
const (
	Project  = "project"
	Desk     = "desk"
	Employee = "employee"
	Client   = "client"
	Role     = "role"
	APIKey   = "apikey"

	// What belongs to a client, see package attached.
	Note     = "note"
	Action   = "action"
	Request  = "request"
	Call     = "call"
	Message  = "message"
	Document = "document"
	Record   = "record"
	Portal   = "portal" // of the client with the same id

	CustomField = "field"     // all of them in one stream
	Tag         = "tag"       // all of them in one stream
	Retention   = "retention" // all rules in one stream
	Template    = "template"
	Inbox       = "inbox"     // of the employee with the same id
	Favourite   = "favourite" // of an employee and what they starred
	View        = "view"
	DefaultView = "defaultview" // of the role with the same id
	Import      = "import"
	Access      = "access"  // who was shown what: streams of no aggregate, see package accessed
	Erasure     = "erasure" // of the client with the same id
	Webhook     = "webhook"
)

// A Ref names an aggregate of another kind.
type Ref struct {
	Category string
	ID       ID
}

// Stream is the name of the stream that holds the aggregate.
func (r Ref) Stream() string { return r.Category + "-" + r.ID.String() }

// A Companion is a stream that is created along with an aggregate.
type Companion struct {
	Ref    Ref
	Events []any
}

// World holds the states of the aggregates that [Decider.Refs] named.
type World map[Ref]any

// Look returns the state that r names: the zero state where it does not exist.
func Look[S any](w World, r Ref) S {
	s, _ := w[r].(S)
	return s
}

// Has says whether the aggregate that r names exists.
func (w World) Has(r Ref) bool {
	s, ok := w[r].(interface{ Exists() bool })
	return ok && s.Exists()
}

// CompareIDs orders ids by their bytes, as PostgreSQL does.
func CompareIDs(a, b ID) int { return bytes.Compare(a[:], b[:]) }
