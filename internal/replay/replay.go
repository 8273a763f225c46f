// Package replay tells a client's story from the log itself: each event with who,
// when, and the state after it. It asks no read model, so it is also what a read
// model can be held against.
package replay

import (
	"context"
	"encoding/json"
	"iter"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

// Log is the part of [eventlog.Log] that replaying needs.
type Log interface {
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Story(ctx context.Context, of domain.Ref, categories []string) iter.Seq2[eventlog.Record, error]
}

// Step is one event and what the client, or what belongs to it, was after it.
type Step struct {
	Of       *Belonging        `json:"of,omitempty" doc:"What belongs to the client and changed; missing where the client itself did"`
	Revision eventlog.Revision `json:"revision"`
	Position string            `json:"position"`
	Type     string            `json:"type"`
	At       time.Time         `json:"at"`
	Actor    Actor             `json:"actor"`
	Command  domain.ID         `json:"command_id"`
	Event    any               `json:"event"`
	Erased   []string          `json:"erased,omitempty"` // fields that are gone because the person has been erased
	State    *State            `json:"state,omitempty" doc:"Of the client, after an event of it"`
	Item     map[string]any    `json:"item,omitempty" doc:"What belongs to the client, after an event of that: as far as commands go by it"`
}

// Belonging names what belongs to the client.
type Belonging struct {
	Kind string    `json:"kind" example:"note"`
	ID   domain.ID `json:"id"`
}

// Line is one line of a story: a step, the end, or that the story broke off.
type Line struct {
	*Step
	End   *End   `json:"end,omitempty"`
	Error string `json:"error,omitempty"`
}

// Schema implements [huma.SchemaProvider].
func (Line) Schema(r huma.Registry) *huma.Schema {
	other := func(name string, s *huma.Schema) *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{name: s}, Required: []string{name}}
	}
	return &huma.Schema{AnyOf: []*huma.Schema{
		r.Schema(reflect.TypeFor[Step](), true, ""), other("end", r.Schema(reflect.TypeFor[End](), true, "")),
		other("error", &huma.Schema{Type: huma.TypeString, Description: "The story broke off here"}),
	}}
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

func stateOf(s client.State) *State {
	return &State{s.Details.Name(), s.Details, s.Assignment, s.Status, append([]string{}, s.Tags...), s.Deactivated}
}

// Until bounds a replay; the zero value is up to now.
type Until struct {
	Revision *eventlog.Revision // the last event shown
	AsOf     time.Time          // the last moment shown, unless zero
	Position *eventlog.Position // the last position of the log shown
}

func (u Until) admits(r *eventlog.Record) bool {
	return (u.Revision == nil || r.Revision <= *u.Revision) && (u.AsOf.IsZero() || !r.Meta.At.After(u.AsOf)) &&
		(u.Position == nil || r.Position.Compare(*u.Position) <= 0)
}

// Client yields the steps of a client in order, until and including the bound.
func Client(ctx context.Context, log Log, id domain.ID, until Until) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		names := NewNames(log)
		for rec, s := range fold(ctx, log, id, until) {
			if rec.Err != nil {
				yield(Step{}, rec.Err)
				return
			}
			step, err := names.step(ctx, &rec)
			step.State = stateOf(s)
			if !yield(step, err) || err != nil {
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

// Names are what those are called who did something: a few people and programs, however
// long the story is.
type Names struct {
	log  Log
	know map[domain.ID]string
}

func NewNames(log Log) *Names { return &Names{log, map[domain.ID]string{domain.System: "Annals"}} }

// Of is what somebody is called.
func (n *Names) Of(ctx context.Context, who domain.ID) (string, error) {
	name, ok := n.know[who]
	if !ok {
		var err error
		if name, err = actorName(ctx, n.log, who); err != nil {
			return "", err
		}
		n.know[who] = name
	}
	return name, nil
}

// step is a record without what anything was after it.
func (n *Names) step(ctx context.Context, rec *eventlog.Record) (Step, error) {
	who := rec.Meta.Actor
	if _, err := n.Of(ctx, who); err != nil {
		return Step{}, err
	}
	return Step{
		Revision: rec.Revision, Position: rec.Position.String(), Type: rec.Type, At: rec.Meta.At, Actor: Actor{who, n.know[who]},
		Command: rec.Meta.Command, Event: rec.Event, Erased: rec.Erased,
	}, nil
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
	With     string    `query:"with" doc:"activities: what belongs to the client as well, its notes, actions and so on, in the order of the log, and at last what all of it came to" enum:"activities"`
	AsOf     string    `query:"as_of" doc:"Stop after this moment: a time, or a date with all of its day" maxLength:"40"`
	Position string    `query:"position" doc:"Stop after this position of the log" maxLength:"50"`
}

func (r *request) until() (Until, error) {
	var u Until
	if r.Revision >= 0 {
		u.Revision = new(eventlog.Revision(r.Revision))
	}
	if r.Position != "" {
		at, err := eventlog.ParsePosition(r.Position)
		if err != nil {
			return u, domain.Fault("position", "malformed", "is not a position of the log, as in Annals-Position")
		}
		u.Position = &at
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

// scans bounds how many stories with activities are told at a time: each looks at a
// large part of the log.
const scans = 2

var errBusy = domain.Errorf(domain.Unavailable, "busy", "others are being told long stories; try again in a moment")

// Routes adds the replay of a client, as lines of JSON, each of which is recorded before
// it is told.
func Routes(api *httpapi.API, log Log, looks *accesslog.Recorder) {
	op := httpapi.GetOp("/api/v1/clients/{id}/replay", "Replay a client from the log: a line of JSON per event, with the state after it")
	op.Lines = Line{}
	scanning := make(chan struct{}, scans)
	httpapi.Handle(api, op, func(ctx context.Context, in *request) (*huma.StreamResponse, error) {
		until, err := in.until()
		if err != nil {
			return nil, err
		}
		if err := visible(ctx, log, in.ID); err != nil {
			return nil, err
		}
		story, done := lines(Client(ctx, log, in.ID, until)), func() {}
		if in.With != "" {
			select {
			case scanning <- struct{}{}:
				done = func() { <-scanning }
			default:
				return nil, errBusy
			}
			story = Whole(ctx, log, in.ID, until)
		}
		if err := looks.Record(ctx, accesslog.Look{Kind: accesslog.Replay, Clients: []domain.ID{in.ID}, AsOf: in.AsOf}); err != nil {
			done()
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer done()
			hc.SetHeader("Content-Type", "application/x-ndjson")
			out := json.NewEncoder(hc.BodyWriter())
			for line, err := range story {
				if err != nil {
					// The status has been sent: a line that is no step says that the story is not whole.
					_ = out.Encode(Line{Error: "the replay broke off; try again"})
					return
				}
				if out.Encode(line) != nil {
					return
				}
			}
		}}, nil
	})
}

// lines are steps as lines.
func lines(steps iter.Seq2[Step, error]) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for step, err := range steps {
			if !yield(Line{Step: &step}, err) {
				return
			}
		}
	}
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
