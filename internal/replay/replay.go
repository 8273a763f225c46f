// Package replay tells a client's story from the log itself: each event with who,
// when, and the state after it. It asks no read model, so it is also what a read
// model can be held against.
package replay

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

// Log is the part of [eventlog.Log] that replaying needs.
type Log interface {
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
}

// Step is one event and what the client was after it.
type Step struct {
	Revision eventlog.Revision `json:"revision"`
	Position string            `json:"position"`
	Type     string            `json:"type"`
	At       time.Time         `json:"at"`
	Actor    Actor             `json:"actor"`
	Command  domain.ID         `json:"command_id"`
	Event    any               `json:"event"`
	Erased   []string          `json:"erased,omitempty"` // fields that are gone because the person has been erased
	State    State             `json:"state"`
}

// Actor is who did something.
type Actor struct {
	ID   domain.ID `json:"id"`
	Name string    `json:"name,omitempty"`
}

// State is a client as its events left it.
type State struct {
	Name string `json:"name"`
	client.Details
	client.Assignment
	Status      client.Status `json:"status"`
	Tags        []string      `json:"tags"`
	Deactivated bool          `json:"deactivated"`
}

// Until bounds a replay; the zero value is up to now.
type Until struct {
	Revision *eventlog.Revision // the last event shown
	AsOf     time.Time          // the last moment shown, unless zero
}

func (u Until) admits(r *eventlog.Record) bool {
	return (u.Revision == nil || r.Revision <= *u.Revision) && (u.AsOf.IsZero() || !r.Meta.At.After(u.AsOf))
}

// Client yields the steps of a client in order, until and including the bound.
func Client(ctx context.Context, log Log, id domain.ID, until Until) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		names := map[domain.ID]string{domain.System: "Annals"}
		for rec, s := range fold(ctx, log, id, until) {
			if rec.Err != nil {
				yield(Step{}, rec.Err)
				return
			}
			if _, ok := names[rec.Meta.Actor]; !ok {
				name, err := actorName(ctx, log, rec.Meta.Actor)
				if err != nil {
					yield(Step{}, err)
					return
				}
				names[rec.Meta.Actor] = name
			}
			step := Step{
				rec.Revision, rec.Position.String(), rec.Type, rec.Meta.At,
				Actor{rec.Meta.Actor, names[rec.Meta.Actor]},
				rec.Meta.Command, rec.Event, rec.Erased,
				State{s.Details.Name(), s.Details, s.Assignment, s.Status, append([]string{}, s.Tags...), s.Deactivated},
			}
			if !yield(step, nil) {
				return
			}
		}
	}
}

// fold yields each record, which may be an error, with the state after it.
func fold(ctx context.Context, log Log, id domain.ID, until Until) iter.Seq2[eventlog.Record, client.State] {
	return func(yield func(eventlog.Record, client.State) bool) {
		var s client.State
		for rec, err := range log.Read(ctx, eventlog.Stream(domain.Client, id), 0) {
			if rec.Err = err; err == nil {
				if !until.admits(&rec) {
					return
				}
				if e, ok := rec.Event.(client.Event); ok {
					s = client.Aggregate.Evolve(s, e)
				}
			}
			if !yield(rec, s) || rec.Err != nil {
				return
			}
		}
	}
}

// actorName is what an employee or an API key is called.
func actorName(ctx context.Context, log Log, id domain.ID) (string, error) {
	var e employee.State
	for rec, err := range log.Read(ctx, eventlog.Stream(domain.Employee, id), 0) {
		if err != nil {
			return "", err
		}
		if event, ok := rec.Event.(employee.Event); ok {
			e = employee.Aggregate.Evolve(e, event)
		}
	}
	if e.Exists() {
		return e.Name, nil
	}
	for rec, err := range log.Read(ctx, eventlog.Stream(domain.APIKey, id), 0) {
		if err != nil {
			return "", err
		}
		if event, ok := rec.Event.(apikey.Created); ok {
			return event.Name, nil
		}
	}
	return "", nil
}

type request struct {
	ID       uuid.UUID `path:"id" format:"uuid"`
	Revision int64     `query:"revision" doc:"Stop after this revision; -1 does not" default:"-1" minimum:"-1"`
	AsOf     string    `query:"as_of" doc:"Stop after this moment: a time, or a date with all of its day" maxLength:"40"`
}

func (r *request) until() (Until, error) {
	var u Until
	if r.Revision >= 0 {
		u.Revision = new(eventlog.Revision(r.Revision))
	}
	if r.AsOf == "" {
		return u, nil
	}
	t, err := time.Parse(time.RFC3339, r.AsOf)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, r.AsOf); err == nil {
			t = t.AddDate(0, 0, 1).Add(-time.Nanosecond)
		}
	}
	if err != nil {
		return u, domain.Fault("as_of", "malformed", "%q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", r.AsOf)
	}
	u.AsOf = t
	return u, nil
}

// line is a line of the answer: a step, or the last one of a story that broke off.
type line struct {
	*Step
	Error string `json:"error,omitempty"`
}

// Routes adds the replay of a client, as lines of JSON.
func Routes(api *httpapi.API, log Log) {
	op := httpapi.GetOp("/api/v1/clients/{id}/replay", "Replay a client from the log: a line of JSON per event, with the state after it")
	op.Lines = Step{}
	httpapi.Handle(api, op, func(ctx context.Context, in *request) (*huma.StreamResponse, error) {
		until, err := in.until()
		if err != nil {
			return nil, err
		}
		if err := visible(ctx, log, in.ID); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "application/x-ndjson")
			out := json.NewEncoder(hc.BodyWriter())
			for step, err := range Client(ctx, log, in.ID, until) {
				if err != nil {
					// The status has been sent: a line that is no step says that the story is not whole.
					_ = out.Encode(line{Error: "the replay broke off; try again"})
					return
				}
				if out.Encode(line{Step: &step}) != nil {
					return
				}
			}
		}}, nil
	})
}

// visible decides by where the client is now, as for everything else about it.
func visible(ctx context.Context, log Log, id domain.ID) error {
	var now client.State
	for rec, s := range fold(ctx, log, id, Until{}) {
		if rec.Err != nil {
			return rec.Err
		}
		now = s
	}
	if !now.Exists() || !access.Authority(ctx).May(domain.ClientsView, now.Assignment.Place()) {
		return client.ErrAbsent
	}
	return nil
}
