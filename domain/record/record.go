// Package record is what other systems have about a client: tickets, transactions and
// integrations, each by the id that it has there. What is told of one again changes
// it, so that the other system need not know whether it has been told before.
package record

import (
	"errors"
	"maps"
	"reflect"
	"time"

	"annals/domain"
	"annals/domain/attached"
)

// Kind is what a record is one of.
type Kind string

// The kinds.
const (
	Tickets      Kind = "tickets"
	Transactions Kind = "transactions"
	Integrations Kind = "integrations"
)

// Kinds are all of them.
var Kinds = []Kind{Tickets, Transactions, Integrations}

// Event is the closed set of facts about a record. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Added is a new record, or one that is there again after it was removed.
	Added struct {
		ClientID   domain.ID `json:"client_id"`
		Kind       Kind      `json:"kind"`
		System     string    `json:"system"`
		ExternalID string    `json:"external_id" personal:"yes"`
		Details
	}
	// Updated changes details. From and To hold those that differ and no others; one
	// that is missing on a side is empty there.
	Updated struct {
		From Details `json:"from,omitzero"`
		To   Details `json:"to,omitzero"`
	}
	// Removed takes the record off the client's; the history keeps it.
	Removed struct{}
)

func (Added) event()   {}
func (Updated) event() {}
func (Removed) event() {}

// Details is what is known about a record. A detail more takes a field and a place in
// difference, over, [FieldsOf] and merge.
type Details struct {
	Title      string            `json:"title,omitempty" personal:"yes"`
	URL        string            `json:"url,omitempty" personal:"yes"`
	Status     string            `json:"status,omitempty"`
	Amount     string            `json:"amount,omitempty" personal:"yes"` // a decimal with as many decimals as the currency has
	Currency   string            `json:"currency,omitempty"`              // ISO 4217
	OccurredAt time.Time         `json:"occurred_at,omitzero"`
	DueAt      time.Time         `json:"due_at,omitzero"`
	ClosedAt   time.Time         `json:"closed_at,omitzero"`
	Data       map[string]string `json:"data,omitempty" personal:"yes"`
}

// difference is what differs between two details, on either side.
func (d Details) difference(to Details) (was, is Details) {
	differs(d.Title, to.Title, &was.Title, &is.Title)
	differs(d.URL, to.URL, &was.URL, &is.URL)
	differs(d.Status, to.Status, &was.Status, &is.Status)
	differs(d.Amount, to.Amount, &was.Amount, &is.Amount)
	differs(d.Currency, to.Currency, &was.Currency, &is.Currency)
	differs(d.OccurredAt, to.OccurredAt, &was.OccurredAt, &is.OccurredAt)
	differs(d.DueAt, to.DueAt, &was.DueAt, &is.DueAt)
	differs(d.ClosedAt, to.ClosedAt, &was.ClosedAt, &is.ClosedAt)
	if !maps.Equal(d.Data, to.Data) {
		was.Data, is.Data = d.Data, to.Data
	}
	return was, is
}

func differs[T comparable](from, to T, was, is *T) {
	if from != to {
		*was, *is = from, to
	}
}

// over is d after a change of it.
func (d Details) over(was, is Details) Details {
	replace(&d.Title, was.Title, is.Title)
	replace(&d.URL, was.URL, is.URL)
	replace(&d.Status, was.Status, is.Status)
	replace(&d.Amount, was.Amount, is.Amount)
	replace(&d.Currency, was.Currency, is.Currency)
	replace(&d.OccurredAt, was.OccurredAt, is.OccurredAt)
	replace(&d.DueAt, was.DueAt, is.DueAt)
	replace(&d.ClosedAt, was.ClosedAt, is.ClosedAt)
	if was.Data != nil || is.Data != nil {
		d.Data = is.Data
	}
	return d
}

func replace[T comparable](at *T, was, is T) {
	if was != is {
		*at = is
	}
}

func (d Details) empty() bool { return reflect.ValueOf(d).IsZero() }

// Command is the closed set of requests to a record.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Put adds a record, or changes the one that is there: its body is [Fields], of which
	// what is left out stays. The aggregate's id derives from the client, the kind, and
	// [Put.Name].
	Put struct {
		Kind Kind
		Body map[string]any
		adds bool // there is no such record yet
	}
	// Edit changes a record that is there by a merge patch of [FieldsOf].
	Edit struct {
		Kind  Kind
		Patch map[string]any
	}
	// Remove takes a record off the client's.
	Remove struct{ Kind Kind }
)

func (Put) command()    {}
func (Edit) command()   {}
func (Remove) command() {}

// Needs implements [attached.Command].
func (Put) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Edit) Needs() domain.Permission { return domain.ActivitiesWrite }

// Needs implements [attached.Command].
func (Remove) Needs() domain.Permission { return domain.ActivitiesWrite }

// Creates implements [attached.Command].
func (c Put) Creates() bool { return c.adds }

// Creates implements [attached.Command].
func (Edit) Creates() bool { return false }

// Creates implements [attached.Command].
func (Remove) Creates() bool { return false }

// State is a record, folded from its events.
type State struct {
	client     domain.ID
	Kind       Kind
	System     string
	ExternalID string
	Details
	Removed bool
}

// Exists says whether there is such a record, removed ones included.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the record for the command side.
var Aggregate = aggregate()

func aggregate() domain.Decider[State, attached.To[Command], Event] {
	d := attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Record, Decide: decide, Evolve: evolve})
	inner := d.Decide
	d.Decide = func(s State, c attached.To[Command], w domain.World, m domain.Meta) ([]Event, error) {
		if put, ok := c.Command.(Put); ok {
			put.adds = !s.Exists()
			c.Command = put
		}
		return inner(s, c, w, m)
	}
	return d
}

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Put:
		return c.decide(s, in.ClientID)
	case Edit:
		if s.Removed || s.Kind != c.Kind {
			return nil, attached.Absent(domain.Record)
		}
		return update(s, c.Patch)
	case Remove:
		switch {
		case s.Kind != c.Kind:
			return nil, attached.Absent(domain.Record)
		case s.Removed:
			return nil, nil
		}
		return []Event{Removed{}}, nil
	}
	return nil, nil
}

func (c Put) decide(s State, client domain.ID) ([]Event, error) {
	patch := maps.Clone(c.Body)
	delete(patch, "system")
	delete(patch, "external_id")
	system, id := c.Name()
	err := checkName(system, id)
	if err == nil && s.Exists() && !s.Removed {
		return update(s, patch)
	}
	d, invalid := merge(Details{}, patch)
	if err := errors.Join(err, invalid); err != nil {
		return nil, err
	}
	return []Event{Added{ClientID: client, Kind: c.Kind, System: system, ExternalID: id, Details: d}}, nil
}

func update(s State, patch map[string]any) ([]Event, error) {
	d, err := merge(s.Details, patch)
	if err != nil {
		return nil, err
	}
	was, is := s.difference(d)
	if was.empty() && is.empty() {
		return nil, nil
	}
	return []Event{Updated{From: was, To: is}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Added:
		s = State{client: e.ClientID, Kind: e.Kind, System: e.System, ExternalID: e.ExternalID, Details: e.Details}
	case Updated:
		s.Details = s.over(e.From, e.To)
	case Removed:
		s.Removed = true
	}
	return s
}
