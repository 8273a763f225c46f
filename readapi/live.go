package readapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/semaphore"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/live"
)

// Live are the streams of events: what changes, told to those who look on.
type Live struct {
	hub    *live.Hub
	checks *semaphore.Weighted // many streams ask the database one after the other, each for all that has come since

	EachMost int           // streams of a person at once
	AllMost  int           // streams of a process at once
	Quiet    time.Duration // how often a quiet stream says that it is there
	Trust    time.Duration // how long it counts who somebody is and what they may
	Pace     time.Duration // changes that come closer together are told together

	mu   sync.Mutex
	open map[domain.ID]int
	all  int
}

// Follow has a's streams tell what comes in the log; what it returns does, when it is
// run. It belongs before [API.Routes].
func (a *API) Follow(log live.Log, logger *slog.Logger) *live.Hub {
	hub := live.New(live.Config{
		Log: log, Logger: logger, Places: a.Directory().places,
		Reached: func(ctx context.Context, at eventlog.Position) error {
			for {
				if err := a.waitFor(ctx, at); !errors.Is(err, errBehind) || ctx.Err() != nil {
					return err
				}
			}
		},
	})
	a.Live = &Live{
		hub: hub, checks: semaphore.NewWeighted(4), EachMost: 20, AllMost: 5000,
		Quiet: 15 * time.Second, Trust: 10 * time.Second, Pace: 200 * time.Millisecond, open: map[domain.ID]int{},
	}
	return hub
}

// places are where clients belong.
func (d *Directory) places(ctx context.Context, clients []domain.ID) (map[domain.ID]domain.Place, error) {
	out := map[domain.ID]domain.Place{}
	var b pgx.Batch
	b.Queue(`select id, project_id, desk_id, manager_id from annals_read.clients where id = any($1)`, clients).Query(func(rows pgx.Rows) error {
		var id domain.ID
		var project, desk, manager uuid.NullUUID
		_, err := pgx.ForEachRow(rows, []any{&id, &project, &desk, &manager}, func() error {
			out[id] = domain.Place{Project: project.UUID, Desk: desk.UUID, Manager: manager.UUID}
			return nil
		})
		return err
	})
	return out, d.ask(ctx, eventlog.Position{}, &b)
}

var (
	errNotLive     = domain.Errorf(domain.Unavailable, "not_live", "this process tells of no changes; try again")
	errManyStreams = domain.Errorf(domain.TooMany, "streams", "you follow too many streams already: close one")
	errFull        = domain.Errorf(domain.Unavailable, "streams", "too many streams are open; try again")
)

// enter counts a stream; leave is to be called when it ends.
func (l *Live) enter(who domain.ID) (leave func(), err error) {
	if l == nil {
		return nil, errNotLive
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open[who] >= l.EachMost:
		return nil, errManyStreams
	case l.all >= l.AllMost:
		return nil, errFull
	}
	l.open[who]++
	l.all++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.open[who]--; l.open[who] == 0 {
			delete(l.open, who)
		}
	}, nil
}

type streamRequest struct {
	LastEventID string `header:"Last-Event-ID" doc:"Of the last event that was received, as browsers send it: the stream goes on from there" maxLength:"50"`
	From        string `query:"after" doc:"The same, for the first time: position of the answer that is shown; now, if left out" maxLength:"50" example:"1234"`
}

// from is where a stream is to go on; nil is now.
func (r *streamRequest) from() (*eventlog.Position, error) {
	text, field := r.LastEventID, "Last-Event-ID"
	if text == "" {
		text, field = r.From, "after"
	}
	if text == "" {
		return nil, nil
	}
	at, err := eventlog.ParsePosition(text)
	if err != nil {
		return nil, domain.Fault(field, "malformed", "is not a position of the log, as in the id of an event")
	}
	return &at, nil
}

func (a *API) streams(api *httpapi.API) {
	op := httpapi.GetOp("/api/v1/clients/stream", "Be told which of the clients that you see change, as server-sent events: client, and reset when everything shown has to be read again")
	op.Events, op.Needs = clientChange{}, domain.ClientsView
	httpapi.HandleEvents(api, op, a.clientStream)
	op = httpapi.GetOp("/api/v1/notifications/stream", "Be told of what there is to know, as server-sent events: notification")
	op.Events = notificationItem{}
	httpapi.HandleEvents(api, op, a.notificationStream)
}

// watch is a stream that is open: when it beats, and when it is to find out anew who it
// is for.
type watch struct {
	*Live
	*httpapi.Events
	ctx   context.Context
	beat  *time.Timer
	renew *time.Timer
}

func (l *Live) watch(ctx context.Context, e *httpapi.Events) *watch {
	return &watch{l, e, ctx, time.NewTimer(l.Quiet), time.NewTimer(jitter(l.Trust))}
}

func (w *watch) stop() {
	w.beat.Stop()
	w.renew.Stop()
}

// jitter is four fifths of d or more, so that streams that began together part.
func jitter(d time.Duration) time.Duration { return d*4/5 + rand.N(d/5+1) } //nolint:gosec // nobody gains by guessing it

// renewed finds out who the stream is for, and whether they may something else by now.
func (w *watch) renewed() (changed bool, err error) {
	w.renew.Reset(jitter(w.Trust))
	before := access.From(w.ctx).Actor
	ctx, err := w.Events.Renew()
	if err != nil {
		return false, err
	}
	w.ctx = ctx
	now := access.From(ctx).Actor
	return !maps.Equal(before.Rights, now.Rights) || !maps.Equal(before.Scope.Projects, now.Scope.Projects) || !maps.Equal(before.Scope.Desks, now.Scope.Desks), nil
}

// clientChange is what a stream tells of a client.
type clientChange struct {
	ID       uuid.UUID `json:"id" format:"uuid"`
	Kind     string    `json:"kind" doc:"gone: it belongs elsewhere now, where you do not see it" enum:"changed,gone"`
	Position string    `json:"position" doc:"Of the last change; what you read now shows it" example:"1234"`
	Revision *int64    `json:"revision,omitempty" doc:"Of the client; missing if only what belongs to it has changed" example:"7"`
	What     []string  `json:"what,omitempty" doc:"The types of the events" example:"[\"client.edited\"]"`
	position eventlog.Position
	left     bool
}

// mostTold is how many clients a stream tells of at once: of more, that everything has
// to be read again.
const mostTold = 200

func (a *API) clientStream(ctx context.Context, in *streamRequest) (httpapi.Follow, error) {
	from, err := in.from()
	if err != nil {
		return nil, err
	}
	leave, err := a.Live.enter(access.From(ctx).Actor.Who)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		return a.followClients(a.Live.watch(ctx, e), from)
	}, nil
}

func (a *API) followClients(w *watch, from *eventlog.Position) error {
	defer w.stop()
	changes, ok := w.hub.Changes(from)
	if !ok {
		if err := w.reset(changes); err != nil {
			return err
		}
	}
	var next, rest <-chan time.Time
	more := changes.More()
	for {
		select {
		case <-w.ctx.Done():
			return nil
		case <-w.hub.Done():
			return nil
		case <-w.beat.C:
			w.beat.Reset(w.Quiet)
			if err := w.Events.Beat(changes.At().String()); err != nil {
				return err
			}
		case <-w.renew.C:
			changed, err := w.renewed()
			if err == nil && changed {
				err = w.reset(changes)
			}
			if err != nil {
				return err
			}
		case <-more:
			more, next = nil, time.After(w.Pace/10) // what comes together is told together
		case <-next:
			all, err := a.tellChanges(w, changes)
			if err != nil {
				return err
			}
			if next, rest = nil, time.After(w.Pace); all { // reading everything again takes a page longer
				rest = time.After(25 * w.Pace)
			}
		case <-rest:
			more, rest = changes.More(), nil
		}
	}
}

// reset has the client read again what it shows.
func (w *watch) reset(changes *live.Reader) error {
	changes.Take(func(*live.Change) {})
	at := changes.At().String()
	if err := w.Add("reset", at, struct {
		Position string `json:"position"`
	}{at}); err != nil {
		return err
	}
	return w.Flush()
}

// tellChanges tells of what has changed since the last time, or that all may have.
func (a *API) tellChanges(w *watch, changes *live.Reader) (all bool, err error) {
	who := access.From(w.ctx).Actor
	candidates := map[domain.ID]*clientChange{}
	rights := false
	ok := changes.Take(func(c *live.Change) {
		if c.Rights {
			rights = rights || c.Who == (domain.ID{}) || c.Who == who.Who || c.Who == who.Owner
			return
		}
		left := c.Left != nil && who.May(domain.ClientsView, *c.Left)
		if !left && !who.May(domain.ClientsView, c.At) {
			return
		}
		one := candidates[c.Client]
		if one == nil {
			if len(candidates) > mostTold {
				return
			}
			one = &clientChange{ID: c.Client, Kind: "changed"}
			candidates[c.Client] = one
		}
		one.position, one.left = c.Position, one.left || left
		if c.Revision != eventlog.NoStream {
			one.Revision = new(int64(c.Revision))
		}
		if !slices.Contains(one.What, c.Type) {
			one.What = append(one.What, c.Type)
		}
	})
	if rights {
		changed, err := w.renewed()
		if err != nil {
			return false, err
		}
		ok = ok && !changed
	}
	if !ok || len(candidates) > mostTold {
		return true, w.reset(changes)
	}
	if len(candidates) == 0 {
		return false, nil
	}
	visible, err := a.among(w, slices.Collect(maps.Keys(candidates)))
	if err != nil {
		return false, err
	}
	told := make([]*clientChange, 0, len(candidates))
	for id, one := range candidates {
		switch {
		case visible[id]:
			told = append(told, one)
		case one.left:
			told = append(told, &clientChange{ID: id, Kind: "gone", position: one.position})
		}
	}
	// In the order of the log, so that who is cut off in the middle goes on from there.
	slices.SortFunc(told, func(a, b *clientChange) int { return a.position.Compare(b.position) })
	for _, one := range told {
		one.Position = one.position.String()
		if err := w.Add("client", one.Position, one); err != nil {
			return false, err
		}
	}
	return false, w.Flush()
}

// among are those of the clients that the caller sees, by the database.
func (a *API) among(w *watch, ids []domain.ID) (map[domain.ID]bool, error) {
	if err := w.checks.Acquire(w.ctx, 1); err != nil {
		return nil, err
	}
	defer w.checks.Release(1)
	visible := map[domain.ID]bool{}
	q := visibleClients(w.ctx)
	q.and("c.id = any(" + q.bind(ids) + ")")
	var b pgx.Batch
	b.Queue("select c.id from annals_read.clients c where "+q.all(), q.args...).Query(func(rows pgx.Rows) error {
		var id domain.ID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { visible[id] = true; return nil })
		return err
	})
	if err := a.DB.Ask(w.ctx, &b); err != nil {
		return nil, fmt.Errorf("which clients are visible: %w", err)
	}
	return visible, nil
}

// notificationPage is how many notifications are read at once.
const notificationPage = 100

func (a *API) notificationStream(ctx context.Context, in *streamRequest) (httpapi.Follow, error) {
	me, err := inboxOf(ctx)
	if err != nil {
		return nil, err
	}
	from, err := in.from()
	if err != nil {
		return nil, err
	}
	leave, err := a.Live.enter(me)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		return a.followInbox(a.Live.watch(ctx, e), me, from)
	}, nil
}

func (a *API) followInbox(w *watch, me domain.ID, from *eventlog.Position) error {
	defer w.stop()
	bell := w.hub.Listen(me)
	defer bell.Close()
	at, err := int64(0), error(nil)
	if from != nil {
		at = int64(from.Commit) //nolint:gosec // positions have 63 bits
		err = a.tellNotifications(w, me, &at)
	} else {
		at, err = a.reached(w.ctx)
	}
	for err == nil {
		select {
		case <-w.ctx.Done():
			return nil
		case <-w.hub.Done():
			return nil
		case <-w.beat.C:
			w.beat.Reset(w.Quiet)
			err = w.Events.Beat("")
		case <-w.renew.C:
			_, err = w.renewed()
		case <-bell.C:
			err = a.tellNotifications(w, me, &at)
		}
	}
	return err
}

// reached is the position up to which the read models show everything.
func (a *API) reached(ctx context.Context) (int64, error) {
	var at position
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error { return at.scan(r) })
	err := a.DB.Ask(ctx, &b)
	return int64(at.Commit), err //nolint:gosec // positions have 63 bits
}

// tellNotifications tells of all that came after a position, and moves that.
func (a *API) tellNotifications(w *watch, me domain.ID, at *int64) error {
	for {
		if err := w.checks.Acquire(w.ctx, 1); err != nil {
			return err
		}
		items, reached, err := a.since(w.ctx, me, *at, notificationPage)
		w.checks.Release(1)
		if err != nil {
			return err
		}
		*at = reached
		for _, item := range items {
			if err := w.Add("notification", item.Position, item); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil || len(items) < notificationPage {
			return err
		}
	}
}
