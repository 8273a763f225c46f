package follow

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/domain/webhook"
	"annals/internal/access"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// Bounds of what is looked at.
const (
	atOnce   = 500         // records at a time
	mostRead = 40 * atOnce // for a page that they do not fill
)

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
func (a *API) reading(ctx context.Context, d webhook.Definition, at eventlog.Position, fresh string) (*reading, error) {
	if a.Hub == nil || a.Hub.Window() == nil {
		return nil, errNotLive
	}
	r := &reading{a: a, ctx: ctx, window: a.Hub.Window(), d: d, at: at}
	r.since = r.window.UpTo()
	if at.Compare(r.window.UpTo()) > 0 {
		head, err := a.Log.Head(ctx)
		if err != nil {
			return nil, err
		}
		if at.Compare(head) > 0 {
			return nil, domain.Fault("after", "beyond", "lies beyond the end of the log, which is at %s", head)
		}
	}
	// Where clients belong is told by the read models: what is in the window they show, but not
	// what there was before it, if they have just begun.
	if err := a.Shown(ctx, r.since); err != nil {
		return nil, err
	}
	if fresh == "" {
		return r, nil
	}
	want, err := eventlog.ParsePosition(fresh)
	if err != nil {
		return nil, domain.Fault("Annals-After", "malformed", "is not a position of the log, as in Annals-Position")
	}
	if err := a.Shown(ctx, want); err != nil {
		return nil, err
	}
	return r, r.window.Reach(ctx, want)
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
	records, to, more, ok := r.window.After(r.at, atOnce)
	if ok {
		r.stop()
		if to == r.at {
			return more, nil
		}
		r.records, r.to = records, to
		return nil, nil
	}
	if r.run == nil {
		r.run, r.end = iter.Pull2(feed.Runs(r.ctx, r.a.Log, r.at, atOnce))
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
	places, err := a.Places(ctx, clients)
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
		for again, err := range r.a.Log.Read(ctx, rec.Stream, rec.Revision) {
			if err != nil {
				return err
			}
			again.Position = rec.Position
			rec = &again
			break
		}
	}
	e, err := cloudevent.Of(rec, r.a.Source, sight.Detail(r.d.Payload != webhook.Thin))
	if err != nil {
		return err
	}
	s.events = append(s.events, e)
	if client != (domain.ID{}) {
		s.clients = append(s.clients, client)
	}
	return nil
}
