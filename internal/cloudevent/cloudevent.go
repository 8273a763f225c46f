// Package cloudevent is what the outside is told of events, whether it is pushed by
// webhooks or pulled by those who follow: CloudEvents 1.0.2 in their JSON format
// (https://github.com/cloudevents/spec), and who may be told of what.
package cloudevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/eventlog"
)

// Event is an event for the outside. The attributes that begin with annals are extensions.
type Event struct {
	SpecVersion     string    `json:"specversion" enum:"1.0"`
	Type            string    `json:"type" example:"client.edited"`
	Source          string    `json:"source" doc:"The URL of this Annals" format:"uri-reference" example:"https://crm.example.com"`
	ID              string    `json:"id" format:"uuid" doc:"Names the event: the same whenever it is delivered, here or elsewhere"`
	Time            time.Time `json:"time"`
	Subject         string    `json:"subject" doc:"The stream that the event is of" example:"client-0197e2a5-5f0c-7cc3-98c4-dc0c0c07398f"`
	DataContentType string    `json:"datacontenttype" enum:"application/json"`
	DataSchema      string    `json:"dataschema" format:"uri" doc:"Names the JSON Schema of the event in data" example:"https://crm.example.com/api/v1/events/schemas/client.edited.v2"`
	Position        string    `json:"annalsposition" doc:"Where in the log: later events have greater ones" example:"1234"`
	Revision        int64     `json:"annalsrevision" doc:"The number of the event in its stream, from 0"`
	Previous        string    `json:"annalsprevious,omitempty" doc:"Position of the event that was delivered before, of the same client or of all as the webhook's order is: another one than you have got last tells that some are missing"`
	Actor           domain.ID `json:"annalsactor,omitzero" doc:"Who did it: an employee, an API key, or Annals itself"`
	Data            Data      `json:"data"`
}

// Data is what happened.
type Data struct {
	ID       domain.ID       `json:"id" doc:"Of what the event is about"`
	ClientID domain.ID       `json:"client_id,omitzero" doc:"The client that it belongs to"`
	Changed  []string        `json:"changed,omitempty" doc:"Names of the fields that the event changes, or has"`
	Event    json.RawMessage `json:"event,omitempty" doc:"The event itself, unless the payload is thin"`
	Erased   []string        `json:"erased,omitempty" doc:"Fields that are gone because the person has been erased"`
}

// Detail is how much of an event is told.
type Detail uint8

// The details.
const (
	Thin     Detail = iota // ids, and which fields changed
	Outline                // the event without what is personal
	Personal               // all of it
)

// Of is the record of an event for the outside. Source is the URL of this Annals.
func Of(rec *eventlog.Record, source string, d Detail) (Event, error) {
	ref, err := rec.Ref()
	if err != nil {
		return Event{}, err
	}
	e := Event{
		SpecVersion: "1.0", Type: rec.Type, Source: source, ID: rec.ID.String(), Time: rec.Meta.At.UTC(), Subject: rec.Stream,
		DataContentType: "application/json", Position: rec.Position.String(), Revision: int64(rec.Revision), Actor: rec.Meta.Actor,
		Data: Data{ID: ref.ID, ClientID: Client(rec), Erased: rec.Erased},
	}
	e.DataSchema = source + "/api/v1/events/schemas/" + SchemaName(rec.Type)
	if rec.Event == nil {
		return e, errors.Join(fmt.Errorf("event %s cannot be told", rec.ID), rec.Err)
	}
	whole, err := json.Marshal(rec.Event)
	if err != nil {
		return e, fmt.Errorf("event %s: %w", rec.ID, err)
	}
	if e.Data.Changed, err = changed(whole); err != nil {
		return e, fmt.Errorf("event %s: %w", rec.ID, err)
	}
	switch d {
	case Thin:
	case Outline:
		e.Data.Event, err = eventschema.Outline(rec.Event)
	case Personal:
		e.Data.Event = whole
	}
	return e, err
}

// Client is the client that a record belongs to; the zero ID for none.
func Client(rec *eventlog.Record) domain.ID {
	ref, err := rec.Ref()
	switch {
	case err != nil:
		return domain.ID{}
	case ref.Category == domain.Client, ref.Category == domain.Erasure:
		return ref.ID
	case ref.Category == domain.Employee:
		return domain.ID{}
	}
	return rec.Meta.Subject
}

// Public says whether events like the record are told anybody at all.
func Public(rec *eventlog.Record) bool {
	category, _, _ := strings.Cut(rec.Stream, "-")
	return rec.Event != nil && eventschema.Public(category)
}

// Changed are the names of the fields that an event changes: those in which from and to
// differ, or all that it has. Of a record of custom fields it is custom.KEY.
func Changed(rec *eventlog.Record) ([]string, error) {
	if !Public(rec) {
		return nil, nil
	}
	whole, err := json.Marshal(rec.Event)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", rec.ID, err)
	}
	return changed(whole)
}

func changed(event []byte) ([]string, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(event, &all); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	from, to, both := object(all["from"]), object(all["to"]), false
	if from != nil || to != nil {
		both = true
		add(names, "", from, to)
		add(names, "", to, from)
	}
	for name, v := range all {
		if both && (name == "from" || name == "to") {
			continue
		}
		if name == "custom" {
			add(names, "custom.", object(v), nil)
			continue
		}
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// add adds the names in one that are not the same in the other.
func add(names map[string]bool, prefix string, one, other map[string]json.RawMessage) {
	for name, v := range one {
		switch {
		case prefix == "" && name == "custom":
			add(names, "custom.", object(v), object(other[name]))
		case string(other[name]) != string(v):
			names[prefix+name] = true
		}
	}
}

func object(raw json.RawMessage) (m map[string]json.RawMessage) {
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}
