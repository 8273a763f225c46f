// Package accessed is what was shown of clients, and to whom: the access log. It decides
// nothing. Each look is recorded before it is answered, many to an event, in streams that
// are of no aggregate: each belongs to the one writer that appends to it.
package accessed

import (
	"time"

	"annals/domain"
)

// Kind is what of clients was shown.
type Kind string

// The kinds.
const (
	Record     Kind = "record"     // all of a client
	Activities Kind = "activities" // what happened with a client, or one thing that did
	Records    Kind = "records"    // a client's records of other systems
	Documents  Kind = "documents"  // which documents a client has, or about one of them
	Content    Kind = "content"    // the bytes of a document
	History    Kind = "history"    // what happened to a client
	Replay     Kind = "replay"     // the same, from the log itself
	Visibility Kind = "visibility" // who sees a client
	AccessLog  Kind = "access_log" // who was shown something of a client, or what somebody was shown
	List       Kind = "list"       // a list of clients
	Search     Kind = "search"     // clients that were searched for
	Actions    Kind = "actions"    // what is to be done, with whom
	Inbox      Kind = "inbox"      // notifications
	Preview    Kind = "preview"    // a text with what is known of a client filled in
	Export     Kind = "export"     // clients as a file
	Events     Kind = "events"     // what happened to clients, told to who follows it
)

// Kinds are all of them.
var Kinds = []Kind{Record, Activities, Records, Documents, Content, History, Replay, Visibility, AccessLog, List, Search, Actions, Inbox, Preview, Export, Events}

// MostClients is how many clients an entry names. What showed more is several entries.
const MostClients = 100

// Entry is one look at one or more clients, or at none, where nothing was found. It holds
// nothing personal of them: no text that was searched for, only how long it was.
type Entry struct {
	Actor     domain.ID   `json:"actor"`           // the employee, or the API key
	Owner     domain.ID   `json:"owner,omitzero"`  // the employee whose key it is
	Kind      Kind        `json:"kind"`            //
	Clients   []domain.ID `json:"clients"`         // those that were shown
	Count     int         `json:"count"`           // how many the whole answer showed, of which these may be a part
	Item      domain.ID   `json:"item,omitzero"`   // what of the client, as a document
	AsOf      string      `json:"as_of,omitempty"` // the moment in the past that was asked for
	Filters   int         `json:"filters,omitempty"`
	Searched  int         `json:"searched,omitempty"` // letters of what was searched for
	At        time.Time   `json:"at"`
	Request   domain.ID   `json:"request_id"`
	IP        string      `json:"ip,omitempty"`
	UserAgent string      `json:"user_agent,omitempty"`
}

// Event is the closed set of facts of the access log. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

// Recorded is some looks, in the order in which they were recorded.
type Recorded struct {
	Entries []Entry `json:"entries"`
}

func (Recorded) event() {}
