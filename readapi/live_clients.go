package readapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/live"
)

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
	leave, err := a.Live.Enter(access.From(ctx).Actor.Who)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		return a.followClients(a.Live.watch(ctx, e), from) //nolint:contextcheck // the stream knows its own
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
			if err := w.to.Beat(changes.At().String()); err != nil {
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
	if err := w.to.Add("reset", at, struct {
		Position string `json:"position"`
	}{at}); err != nil {
		return err
	}
	return w.to.Flush()
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
		if err := w.to.Add("client", one.Position, one); err != nil {
			return false, err
		}
	}
	return false, w.to.Flush()
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
