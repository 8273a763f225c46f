// Package erasure is what was done to forget a client who was erased: what the
// certificate of erasure tells beside the event client.erased itself. It has a stream of
// its own, since that of the client takes no events once its key is gone, and nothing
// personal in it. Only the system has it do anything.
package erasure

import (
	"time"

	"annals/domain"
)

// CleanWithin is how soon after an erasure was carried out the bytes that the database
// keeps of what it has deleted are overwritten or given back.
const CleanWithin = 24 * time.Hour

// Event is the closed set of facts about an erasure. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// CarriedOut means that nobody can read any more what was known of the person, here:
	// the key is destroyed, the bytes of documents are deleted, and the read models show
	// nothing of the person. Until CleanBy the database's files may hold some of it yet.
	CarriedOut struct {
		KeyEvents int            `json:"key_events"`      // that left the log with the key
		Rows      map[string]int `json:"rows,omitempty"`  // of the read models, by table: of the person, and emptied
		Mails     int            `json:"mails,omitempty"` // that waited to be sent, and were given up
		Jobs      int            `json:"jobs,omitempty"`  // that were to be done for the person
		CleanBy   time.Time      `json:"clean_by"`
	}
	// Cleaned means that the database's files have been cleaned of what it had deleted.
	Cleaned struct{ Cleaning }
)

// Cleaning is what was done to the database's files.
type Cleaning struct {
	Rewritten []string `json:"rewritten,omitempty"` // tables of which new files were made, and the old ones deleted
	Freed     []string `json:"freed,omitempty"`     // tables that are too large for that: their space is free, and overwritten by what comes next
	WAL       bool     `json:"wal"`                 // the write-ahead log of the time before is deleted; false: that is up to who runs the database
}

func (CarriedOut) event() {}
func (Cleaned) event()    {}

// Command is the closed set of requests to an erasure.
//
//sumtype:decl
type Command interface{ command() }

type (
	// CarryOut tells what was done.
	CarryOut struct{ Done CarriedOut }
	// Clean tells how the database's files were cleaned.
	Clean struct{ Cleaning }
)

func (CarryOut) command() {}
func (Clean) command()    {}

// State is how far an erasure is.
type State struct {
	CarriedOut, Cleaned bool
}

// Aggregate is the erasure for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.Erasure, Decide: decide, Evolve: evolve}

func decide(s State, c Command, _ domain.World, m domain.Meta) ([]Event, error) {
	if m.By.ID != domain.System {
		return nil, domain.ErrForbidden
	}
	switch c := c.(type) {
	case CarryOut:
		if !s.CarriedOut {
			return []Event{c.Done}, nil
		}
	case Clean:
		if s.CarriedOut && !s.Cleaned {
			return []Event{Cleaned(c)}, nil
		}
	}
	return nil, nil
}

func evolve(s State, e Event) State {
	switch e.(type) {
	case CarriedOut:
		s.CarriedOut = true
	case Cleaned:
		s.Cleaned = true
	}
	return s
}
