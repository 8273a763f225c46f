package readapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/domain/webhook"
	"annals/eventschema"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/httpapi"
)

// EventsWanted is which events somebody follows. It is exported for huma, as is StreamRequest.
type EventsWanted struct {
	Types    []string `query:"types,explode" doc:"Only events of these types, as in client.edited or client.*, separated by commas or repeated" maxItems:"100"`
	Projects []string `query:"project,explode" doc:"Only events of clients in these projects, and of the projects" maxItems:"100"`
	Desks    []string `query:"desk,explode" doc:"Only events of clients on these desks, and of the desks" maxItems:"100"`
	Fields   []string `query:"fields,explode" doc:"Only events that change one of these fields, as in email or custom.contract" maxItems:"100"`
	Payload  string   `query:"payload" enum:"thin,full" default:"full" doc:"thin: ids and which fields changed; full: the event as well, with what is personal of clients that you may export"`
}

type eventFeedRequest struct {
	After
	EventsWanted
	From  string `query:"after" doc:"Only what comes after this position of the log: next of the answer before. From the beginning, if left out" maxLength:"50" example:"1234"`
	Limit int    `query:"limit" doc:"How many events at most" default:"100" minimum:"1" maximum:"1000"`
	Wait  int    `query:"wait" doc:"How many seconds to wait for an event, if there is none yet" minimum:"0" maximum:"20"`
}

type eventFeed struct {
	Fresh
	Body struct {
		Items    []cloudevent.Event `json:"items" doc:"In the order of the log. There may be none, and yet more to come: while next is not position"`
		Next     string             `json:"next" doc:"Send it as after for what comes next. Everything up to there that you may be told has been" example:"1234"`
		Position string             `json:"position" doc:"Where the log ended: next, if you have been told everything" example:"1234"`
	}
}

type eventStreamRequest struct {
	EventsWanted
	StreamRequest
}

type eventExportRequest struct {
	After
	EventsWanted
	From string `query:"after" doc:"Only what comes after this position of the log; from the beginning, if left out" maxLength:"50"`
	To   string `query:"to" doc:"Up to this position, included; all that is there, if left out" maxLength:"50"`
}

type eventSchemaRequest struct {
	Name string `path:"name" doc:"A type of event and its version" maxLength:"100" example:"client.edited.v2"`
}

// eventRoutes are the feed of events for those who follow it by themselves: the same events
// as webhooks deliver, to the same people.
func (a *API) eventRoutes(api *httpapi.API) {
	get(api, "/api/v1/events", "What happened, in the order of the log, from any position on: for programs that follow it", a.eventFeed)
	op := httpapi.GetOp("/api/v1/events/stream", "The same as server-sent events, as it happens: message, each with its position as id")
	op.Events = cloudevent.Event{}
	httpapi.HandleEvents(api, op, a.eventStream)
	httpapi.HandleExport(api, httpapi.GetOp("/api/v1/events/export", "The same as a file with an event a line (NDJSON)"), nil, []string{"application/x-ndjson"}, a.eventExport)
	op = httpapi.GetOp("/api/v1/events/schemas/{name}", "The JSON Schema (2020-12) of an event of some type, as it is in data.event")
	op.Anyone = true
	httpapi.HandleExport(api, op, nil, []string{"application/schema+json"}, a.eventSchema)
	api.Document("/api/asyncapi.json", "application/json", sync.OnceValues(func() ([]byte, error) { return cloudevent.AsyncAPI(a.Public, a.App) }))
	for _, typ := range cloudevent.Types() {
		api.Pushes(typ, cloudevent.Event{}, "application/cloudevents+json", "/api/v1/events/schemas/"+cloudevent.SchemaName(typ))
	}
}

// definition is what is asked for, as a webhook would be.
func (in *EventsWanted) definition(all []string) (webhook.Definition, error) {
	var f domain.Faults
	var err error
	d := webhook.Definition{Fields: split(in.Fields), Types: split(in.Types), Payload: webhook.Payload(in.Payload)}
	if len(d.Types) == 0 {
		d.Types = []string{"*"}
	}
	for i, pattern := range d.Types {
		if !slices.ContainsFunc(all, func(name string) bool { return webhook.Matches(pattern, name) }) {
			f.Add(domain.Fault(domain.At("types", i), "unknown", "%s is no type of event", pattern))
		}
	}
	d.Projects, err = idsOf("project", split(in.Projects))
	f.Add(err)
	d.Desks, err = idsOf("desk", split(in.Desks))
	f.Add(err)
	return d, f.Err()
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

// Bounds of an answer of the feed.
const (
	feedStretch = 500              // records that are looked at at a time
	feedMost    = 40 * feedStretch // records that are looked at for a page that they do not fill
)

func (a *API) eventFeed(ctx context.Context, in *eventFeedRequest) (*eventFeed, error) {
	var f domain.Faults
	d, err := in.definition(a.Events)
	f.Add(err)
	at, err := positionOf("after", in.From)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, at, in.After)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	out := &eventFeed{}
	out.Body.Items = []cloudevent.Event{}
	var clients []domain.ID
	timer := time.NewTimer(time.Duration(in.Wait) * time.Second)
	defer timer.Stop()
	for over := in.Wait == 0; len(out.Body.Items) < in.Limit && r.looked < feedMost; {
		s, err := r.next(ctx, in.Limit-len(out.Body.Items))
		if err != nil && len(out.Body.Items) == 0 {
			return nil, err
		}
		if err != nil || s.rights {
			break // what comes next is for who asks next, and may be what fails
		}
		out.Body.Items = append(out.Body.Items, s.events...)
		clients = append(clients, s.clients...)
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
		case <-a.Live.hub.Done():
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

func (a *API) eventStream(ctx context.Context, in *eventStreamRequest) (httpapi.Follow, error) {
	d, err := in.definition(a.Events)
	if err != nil {
		return nil, err
	}
	from, err := in.from()
	if err != nil {
		return nil, err
	}
	leave, err := a.Live.enter(access.From(ctx).Actor.Who)
	if err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, *cmp.Or(from, &eventlog.Position{}), After{})
	if err != nil {
		leave()
		return nil, err
	}
	if from == nil {
		r.at = r.window.UpTo()
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		defer r.stop()
		r.ctx = ctx
		return a.followEvents(a.Live.watch(ctx, e), r) //nolint:contextcheck // the stream knows its own
	}, nil
}

func (a *API) followEvents(w *watch, r *reading) error {
	defer w.stop()
	for {
		s, err := r.next(w.ctx, feedStretch)
		if err == nil {
			err = a.told(w.ctx, s.clients)
		}
		if err == nil {
			err = w.send(s)
		}
		if err == nil && s.rights {
			r.since = r.window.UpTo()
			_, err = w.renewed()
		}
		if err != nil {
			return err
		}
		ready := make(chan struct{})
		more := s.more
		if more == nil { // there is: but who it is for is found out as often
			close(ready)
			more = ready
		}
		select {
		case <-w.ctx.Done():
			return nil
		case <-w.hub.Done():
			return nil
		case <-w.beat.C:
			w.beat.Reset(w.Quiet)
			err = w.to.Beat(r.at.String())
		case <-w.renew.C:
			_, err = w.renewed()
		case <-more:
		}
		if err != nil {
			return err
		}
	}
}

func (w *watch) send(s stretch) error {
	for i := range s.events {
		if err := w.to.Add("message", s.events[i].Position, &s.events[i]); err != nil {
			return err
		}
	}
	return w.to.Flush()
}

// eventExport writes what is there now. It is recorded page by page, before it is written.
func (a *API) eventExport(ctx context.Context, in *eventExportRequest) (*httpapi.Export, error) {
	var f domain.Faults
	d, err := in.definition(a.Events)
	f.Add(err)
	from, err := positionOf("after", in.From)
	f.Add(err)
	to, err := positionOf("to", in.To)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, from, in.After)
	if err != nil {
		return nil, err
	}
	if end := r.window.UpTo(); in.To == "" || to.Compare(end) > 0 {
		to = end
	}
	return &httpapi.Export{
		Name: "events.ndjson", MediaType: "application/x-ndjson", Header: map[string][]string{"Annals-Position": {to.String()}},
		Write: func(ctx context.Context, w io.Writer) error {
			r.ctx = ctx
			defer r.stop()
			lines := json.NewEncoder(w)
			for r.at.Compare(to) < 0 {
				s, err := r.next(ctx, feedStretch)
				if err == nil {
					err = r.unchanged(ctx)
				}
				if err == nil {
					err = a.told(ctx, s.clients)
				}
				if err != nil {
					return err
				}
				for i := range s.events {
					if at, err := eventlog.ParsePosition(s.events[i].Position); err != nil || at.Compare(to) > 0 {
						return err
					}
					if err := lines.Encode(&s.events[i]); err != nil {
						return err
					}
				}
				if s.more != nil {
					return nil
				}
			}
			return nil
		},
	}, nil
}

var errRightsChanged = errors.New("what somebody may has changed while events were exported: what comes next may not be for them")

func (a *API) eventSchema(_ context.Context, in *eventSchemaRequest) (*httpapi.Export, error) {
	raw, ok := eventschema.PublicSchema(in.Name, a.Public)
	if !ok {
		return nil, domain.Errorf(domain.NotFound, "event.absent", "there is no such type of event")
	}
	return &httpapi.Export{
		Name: in.Name + ".json", MediaType: "application/schema+json",
		Write: func(_ context.Context, w io.Writer) error { _, err := w.Write(raw); return err },
	}, nil
}

// reading goes through the log for one who follows it. It is used by one goroutine.
type reading struct {
	a      *API
	ctx    context.Context //nolint:containedctx // of what is read from the log itself
	window *feed.Window
	d      webhook.Definition
	at     eventlog.Position // everything up to here has been looked at
	looked int               // at how many records
	// since is where the log ended when it was found out who it is for. A stretch ends with
	// what may have changed that.
	since eventlog.Position

	records []*eventlog.Record // what has been read from the log and not been looked at
	to      eventlog.Position  // up to where that goes
	run     func() (feed.Run, error, bool)
	end     func()
}

// reading begins at a position, where everything that fresh asks for can be told.
func (a *API) reading(ctx context.Context, d webhook.Definition, at eventlog.Position, fresh After) (*reading, error) {
	if a.Live == nil || a.Live.hub.Window() == nil {
		return nil, errNotLive
	}
	r := &reading{a: a, ctx: ctx, window: a.Live.hub.Window(), d: d, at: at}
	r.since = r.window.UpTo()
	if at.Compare(r.window.UpTo()) > 0 {
		head, err := a.Live.log.Head(ctx)
		if err != nil {
			return nil, err
		}
		if at.Compare(head) > 0 {
			return nil, domain.Fault("after", "beyond", "lies beyond the end of the log, which is at %s", head)
		}
	}
	// Where clients belong is told by the read models: what is in the window they show, but not
	// what there was before it, if they have just begun.
	if err := a.waitFor(ctx, r.since); err != nil {
		return nil, err
	}
	if fresh.After == "" {
		return r, nil
	}
	if err := a.wait(ctx, fresh); err != nil {
		return nil, err
	}
	want, err := eventlog.ParsePosition(fresh.After)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, cmp.Or(a.Patience, 10*time.Second))
	defer cancel()
	if err := r.window.Reach(waiting, want); err != nil {
		return nil, errBehind
	}
	return r, nil
}

func (r *reading) stop() {
	if r.end != nil {
		r.end()
	}
	r.run, r.end = nil, nil
}

// stretch is a part of the log as somebody is told it.
type stretch struct {
	events  []cloudevent.Event
	clients []domain.ID     // that they are of
	rights  bool            // what somebody may has changed at its end
	more    <-chan struct{} // not nil: it is empty, at the end of the log, and this is closed when there is more
}

// next looks at what comes next, for at most so many events. There may be none in it.
func (r *reading) next(ctx context.Context, most int) (stretch, error) {
	if len(r.records) == 0 {
		if more, err := r.read(); more != nil || err != nil {
			return stretch{more: more}, err
		}
	}
	// What changes who may see something is known, if it is up to here.
	if err := r.window.Reach(ctx, r.to); err != nil {
		return stretch{}, err
	}
	s, n, err := r.tell(ctx, most)
	if n > 0 {
		r.at = r.records[n-1].Position
	}
	r.looked += n
	if r.records = r.records[n:]; len(r.records) == 0 {
		r.at = r.to
	}
	return s, err
}

// read has the records be those that come next, or answers what is closed when there are any.
func (r *reading) read() (more <-chan struct{}, err error) {
	records, to, more, ok := r.window.After(r.at, feedStretch)
	if ok {
		r.stop()
		if to == r.at {
			return more, nil
		}
		r.records, r.to = records, to
		return nil, nil
	}
	if r.run == nil {
		r.run, r.end = iter.Pull2(feed.Runs(r.ctx, r.a.Live.log, r.at, feedStretch))
	}
	run, err, ok := r.run()
	if !ok {
		err = errors.New("the log ended its subscription without a word")
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("events: %w", err)
	}
	r.to = run.To
	for i := range run.Records {
		r.records = append(r.records, &run.Records[i])
	}
	return nil, nil
}

// tell is what whoever asks may be told of the records, and how many it has looked at.
func (r *reading) tell(ctx context.Context, most int) (s stretch, looked int, err error) {
	records, err := r.readable(ctx, &s)
	if err != nil {
		return s, 0, err
	}
	var wanted []*eventlog.Record
	var clients []domain.ID
	for _, rec := range records {
		ok, err := r.wants(rec)
		if err != nil {
			return s, 0, err
		}
		if ok {
			wanted, clients = append(wanted, rec), append(clients, cloudevent.Client(rec))
		}
	}
	places, err := r.a.places(ctx, clients)
	if err != nil {
		return s, 0, err
	}
	looked = len(records)
	for _, rec := range wanted {
		if len(s.events) == most { // the others are told the next time
			s.rights = false
			looked = slices.Index(records, rec)
			break
		}
		if err := r.add(ctx, &s, rec, places); err != nil {
			return stretch{}, 0, err
		}
	}
	return s, looked, nil
}

// places are where clients belong. Of one that the read models do not have, the log knows:
// its events may have been set aside there, and are told all the same.
func (a *API) places(ctx context.Context, clients []domain.ID) (map[domain.ID]domain.Place, error) {
	slices.SortFunc(clients, domain.CompareIDs)
	clients = slices.DeleteFunc(slices.Compact(clients), func(id domain.ID) bool { return id == domain.ID{} })
	places, err := a.Directory().places(ctx, clients)
	if err != nil {
		return nil, err
	}
	for _, id := range clients {
		if _, ok := places[id]; ok {
			continue
		}
		at, known, err := a.Place(ctx, id)
		if err != nil {
			return nil, err
		}
		if known {
			places[id] = at
		}
	}
	return places, nil
}

// readable are the records up to the first one that cannot be read, or that changes what
// somebody may: nothing is passed over.
func (r *reading) readable(ctx context.Context, s *stretch) ([]*eventlog.Record, error) {
	for i, rec := range r.records {
		switch {
		case rec.Err != nil && r.d.Wants(rec.Type, r.d.Fields):
			if i > 0 {
				return r.records[:i], nil
			}
			return nil, domain.Errorf(domain.Unavailable, "events.unreadable", "the event at position %s cannot be read by this version; what comes after that position can be asked for", rec.Position)
		case rec.Position.Compare(r.since) > 0 && changesRights(ctx, rec):
			s.rights = true
			return r.records[:i+1], nil
		}
	}
	return r.records, nil
}

// changesRights says whether the event may change what whoever asks may do.
func changesRights(ctx context.Context, rec *eventlog.Record) bool {
	switch rec.Event.(type) {
	case role.Event:
		return true
	case employee.Event, apikey.Event:
		ref, err := rec.Ref()
		who := access.From(ctx).Actor
		return err != nil || ref.ID == who.Who || ref.ID == who.Owner
	}
	return false
}

// unchanged fails once something has happened that may have changed what whoever asks may do.
func (r *reading) unchanged(ctx context.Context) error {
	records, to, _, ok := r.window.After(r.since, math.MaxInt)
	if !ok || slices.ContainsFunc(records, func(rec *eventlog.Record) bool { return changesRights(ctx, rec) }) {
		return errRightsChanged
	}
	r.since = to
	return nil
}

func (r *reading) wants(rec *eventlog.Record) (bool, error) {
	if !cloudevent.Public(rec) {
		return false, nil
	}
	var changed []string
	if len(r.d.Fields) > 0 {
		var err error
		if changed, err = cloudevent.Changed(rec); err != nil {
			return false, err
		}
	}
	return r.d.Wants(rec.Type, changed), nil
}

// add adds the event, if whoever asks may be told of it.
func (r *reading) add(ctx context.Context, s *stretch, rec *eventlog.Record, places map[domain.ID]domain.Place) error {
	sight, at, err := cloudevent.Look(ctx, access.Authority(ctx), rec, func(_ context.Context, id domain.ID) (domain.Place, bool, error) {
		at, known := places[id]
		return at, known, nil
	})
	if err != nil || !sight.Sees || !r.d.WantsFrom(at) {
		return err
	}
	client := cloudevent.Client(rec)
	if r.window.Gone(client) { // it was read before the person was erased
		for again, err := range r.a.Live.log.Read(ctx, rec.Stream, rec.Revision) {
			if err != nil {
				return err
			}
			again.Position = rec.Position
			rec = &again
			break
		}
	}
	detail := cloudevent.Thin
	switch {
	case r.d.Payload == webhook.Thin:
	case sight.Personal:
		detail = cloudevent.Personal
	default:
		detail = cloudevent.Outline
	}
	e, err := cloudevent.Of(rec, r.a.Public, detail)
	if err != nil {
		return err
	}
	s.events = append(s.events, e)
	if client != (domain.ID{}) {
		s.clients = append(s.clients, client)
	}
	return nil
}
