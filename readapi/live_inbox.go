package readapi

import (
	"context"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

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
	leave, err := a.Live.Enter(me)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		return a.followInbox(a.Live.watch(ctx, e), me, from) //nolint:contextcheck // the stream knows its own
	}, nil
}

func (a *API) followInbox(w *watch, me domain.ID, from *eventlog.Position) error {
	defer w.stop()
	bell := w.hub.Listen(me)
	defer bell.Close()
	var at int64
	var err error
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
			err = w.to.Beat("")
		case <-w.renew.C:
			_, err = w.renewed()
		case <-bell.C: // rarely, and it may be about a client that they have just come to see, or see no more
			if _, err = w.renewed(); err == nil {
				err = a.tellNotifications(w, me, &at)
			}
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
		if err == nil {
			err = a.notified(w.ctx, items)
		}
		if err != nil {
			return err
		}
		*at = reached
		for _, item := range items {
			if err := w.to.Add("notification", item.Position, item); err != nil {
				return err
			}
		}
		if err := w.to.Flush(); err != nil || len(items) < notificationPage {
			return err
		}
	}
}
