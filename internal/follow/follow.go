// Package follow answers what happened, in the order of the log, to who follows it by
// themselves: the same events as webhooks deliver, to the same people. Whoever follows
// keeps their own position.
package follow

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/webhook"
	"annals/eventschema"
	"annals/internal/accesslog"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/live"
)

// Log is the part of [eventlog.Log] that is followed and read.
type Log interface {
	live.Log
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
}

// API answers those who follow.
type API struct {
	Log Log
	Hub *live.Hub // nil: nobody is told of anything
	// Shown returns when the read models show everything up to a position.
	Shown func(ctx context.Context, at eventlog.Position) error
	// Places are where clients belong by the read models, and Place where one does by the log
	// itself; known is false for one that there is not.
	Places    func(ctx context.Context, clients []domain.ID) (map[domain.ID]domain.Place, error)
	Place     func(ctx context.Context, client domain.ID) (at domain.Place, known bool, err error)
	AccessLog *accesslog.Recorder
	Enter     func(who domain.ID) (leave func(), err error) // counts the streams that are open
	Source    string                                        // the URL that this Annals is reached at
	App       string                                        // software version
	Quiet     time.Duration                                 // how often a quiet stream says that it is there; 15 s if zero
	Trust     time.Duration                                 // how long it counts who somebody is; 10 s if zero
}

var errNotLive = domain.Errorf(domain.Unavailable, "not_live", "this process tells of no events yet; try again")

// Routes registers them.
func (a *API) Routes(api *httpapi.API) {
	httpapi.Handle(api, httpapi.GetOp("/api/v1/events", "What happened, in the order of the log, from any position on: for programs that follow it"), a.page)
	op := httpapi.GetOp("/api/v1/events/stream", "The same as server-sent events, as it happens: message, each with its position as id")
	op.Events = cloudevent.Event{}
	httpapi.HandleEvents(api, op, a.stream)
	httpapi.HandleExport(api, httpapi.GetOp("/api/v1/events/export", "The same as a file with an event a line (NDJSON)"), nil, []string{"application/x-ndjson"}, a.export)
	op = httpapi.GetOp("/api/v1/events/schemas/{name}", "The JSON Schema (2020-12) of an event of some type, as it is in data.event")
	op.Anyone = true
	httpapi.HandleExport(api, op, nil, []string{"application/schema+json"}, a.schema)
	api.Document("/api/asyncapi.json", "application/json", sync.OnceValues(func() ([]byte, error) { return cloudevent.AsyncAPI(a.Source, a.App) }))
	for _, typ := range cloudevent.Types() {
		api.Pushes(typ, cloudevent.Event{}, "application/cloudevents+json", "/api/v1/events/schemas/"+cloudevent.SchemaName(typ))
	}
}

// Wanted is which events somebody follows. It is exported for huma.
type Wanted struct {
	Types    []string `query:"types,explode" doc:"Only events of these types, as in client.edited or client.*, separated by commas or repeated" maxItems:"100"`
	Projects []string `query:"project,explode" doc:"Only events of clients in these projects, and of the projects" maxItems:"100"`
	Desks    []string `query:"desk,explode" doc:"Only events of clients on these desks, and of the desks" maxItems:"100"`
	Fields   []string `query:"fields,explode" doc:"Only events that change one of these fields, as in email or custom.contract" maxItems:"100"`
	Payload  string   `query:"payload" enum:"thin,full" default:"full" doc:"thin: ids and which fields changed; full: the event as well, with what is personal of clients that you may export"`
}

type pageRequest struct {
	Wanted
	Fresh string `header:"Annals-After" doc:"A position of the log, as a command answered it: the answer shows at least everything up to there" maxLength:"50"`
	From  string `query:"after" doc:"Only what comes after this position of the log: next of the answer before. From the beginning, if left out" maxLength:"50" example:"1234"`
	Limit int    `query:"limit" doc:"How many events at most" default:"100" minimum:"1" maximum:"1000"`
	Wait  int    `query:"wait" doc:"How many seconds to wait for an event, if there is none yet" minimum:"0" maximum:"20"`
}

type page struct {
	Position string `header:"Annals-Position" doc:"Everything up to here has been told"`
	Body     struct {
		Items    []cloudevent.Event `json:"items" doc:"In the order of the log. There may be none, and yet more to come: while next is not position"`
		Next     string             `json:"next" doc:"Send it as after for what comes next. Everything up to there that you may be told has been" example:"1234"`
		Position string             `json:"position" doc:"Where the log ended: next, if you have been told everything" example:"1234"`
	}
}

// definition is what is asked for, as a webhook would be.
func (in *Wanted) definition() (webhook.Definition, error) {
	var f domain.Faults
	var err error
	d := webhook.Definition{Fields: split(in.Fields), Types: split(in.Types), Payload: webhook.Payload(in.Payload)}
	if len(d.Types) == 0 {
		d.Types = []string{"*"}
	}
	for i, pattern := range d.Types {
		if !slices.ContainsFunc(eventschema.Types(), func(name string) bool { return webhook.Matches(pattern, name) }) {
			f.Add(domain.Fault(domain.At("types", i), "unknown", "%s is no type of event", pattern))
		}
	}
	d.Projects, err = ids("project", split(in.Projects))
	f.Add(err)
	d.Desks, err = ids("desk", split(in.Desks))
	f.Add(err)
	return d, f.Err()
}

func ids(field string, values []string) (all []domain.ID, err error) {
	for i, v := range values {
		id, err := uuid.Parse(v)
		if err != nil {
			return nil, domain.Fault(domain.At(field, i), "malformed", "is not an id")
		}
		all = append(all, id)
	}
	return all, nil
}

// split are the parts of values that are separated by commas.
func split(values []string) (all []string) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part != "" && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}

func positionOf(field, text string) (at eventlog.Position, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = eventlog.ParsePosition(text); err != nil {
		return at, domain.Fault(field, "malformed", "is not a position of the log, as in the next of an answer")
	}
	return at, nil
}

func (a *API) page(ctx context.Context, in *pageRequest) (*page, error) {
	var f domain.Faults
	d, err := in.definition()
	f.Add(err)
	at, err := positionOf("after", in.From)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, at, in.Fresh)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	out := &page{}
	out.Body.Items = []cloudevent.Event{}
	var clients []domain.ID
	timer := time.NewTimer(time.Duration(in.Wait) * time.Second)
	defer timer.Stop()
	for over := in.Wait == 0; len(out.Body.Items) < in.Limit && r.looked < mostRead; {
		s, err := r.next(ctx, in.Limit-len(out.Body.Items))
		if err != nil && len(out.Body.Items) == 0 {
			return nil, err
		}
		if err != nil {
			break // whoever asks for what comes next is told
		}
		out.Body.Items = append(out.Body.Items, s.events...)
		clients = append(clients, s.clients...)
		if s.rights {
			break // what comes next is for who asks next
		}
		if s.more == nil {
			continue
		}
		if len(out.Body.Items) > 0 || over {
			break
		}
		select {
		case <-s.more:
		case <-timer.C:
			over = true
		case <-a.Hub.Done():
			over = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out.Body.Next, out.Body.Position = r.at.String(), latest(r.at, r.window.UpTo()).String()
	out.Position = out.Body.Next
	return out, a.told(ctx, clients)
}

func latest(a, b eventlog.Position) eventlog.Position {
	if a.Compare(b) > 0 {
		return a
	}
	return b
}

// told records which clients the events are of that are about to be told.
func (a *API) told(ctx context.Context, clients []domain.ID) error {
	if len(clients) == 0 {
		return nil
	}
	slices.SortFunc(clients, domain.CompareIDs)
	return a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.Events, Clients: slices.Compact(clients)})
}

func (a *API) schema(_ context.Context, in *schemaRequest) (*httpapi.Export, error) {
	raw, ok := eventschema.PublicSchema(in.Name, a.Source)
	if !ok {
		return nil, domain.Errorf(domain.NotFound, "event.absent", "there is no such type of event")
	}
	return &httpapi.Export{
		Name: in.Name + ".json", MediaType: "application/schema+json",
		Write: func(_ context.Context, w io.Writer) error { _, err := w.Write(raw); return err },
	}, nil
}

type schemaRequest struct {
	Name string `path:"name" doc:"A type of event and its version" maxLength:"100" example:"client.edited.v2"`
}
