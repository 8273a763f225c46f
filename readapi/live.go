package readapi

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
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
		Log: log, Logger: logger, Places: a.Directory().Places,
		Reached: func(ctx context.Context, at eventlog.Position) error {
			for {
				if err := a.Shown(ctx, at); !errors.Is(err, errBehind) || ctx.Err() != nil {
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

// Places are where clients belong, of those that there are.
func (d *Directory) Places(ctx context.Context, clients []domain.ID) (map[domain.ID]domain.Place, error) {
	return d.PlacesAfter(ctx, clients, eventlog.Position{})
}

// PlacesAfter are where clients belong, of those that there are, by everything up to the position.
func (d *Directory) PlacesAfter(ctx context.Context, clients []domain.ID, after eventlog.Position) (map[domain.ID]domain.Place, error) {
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
	return out, d.ask(ctx, after, &b)
}

var (
	errNotLive     = domain.Errorf(domain.Unavailable, "not_live", "this process tells of no changes; try again")
	errManyStreams = domain.Errorf(domain.TooMany, "streams", "you follow too many streams already: close one")
	errFull        = domain.Errorf(domain.Unavailable, "streams", "too many streams are open; try again")
)

// Hub is what follows the log for them.
func (l *Live) Hub() *live.Hub {
	if l == nil {
		return nil
	}
	return l.hub
}

// Enter counts a stream; leave is to be called when it ends.
func (l *Live) Enter(who domain.ID) (leave func(), err error) {
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

// Streams is how many streams are open.
func (l *Live) Streams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
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
	to    *httpapi.Events
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
	ctx, err := w.to.Renew()
	if err != nil {
		return false, err
	}
	w.ctx = ctx
	now := access.From(ctx).Actor
	return !maps.Equal(before.Rights, now.Rights) || !maps.Equal(before.Scope.Projects, now.Scope.Projects) || !maps.Equal(before.Scope.Desks, now.Scope.Desks), nil
}
