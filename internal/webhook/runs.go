package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/eventlog"
)

// run is a way through the log, as it was when it was last noted.
type run struct {
	id    domain.ID
	at    eventlog.Position
	until *eventlog.Position
	since *time.Time
	end   *time.Time
	over  bool // it has been read to its end

	items []*item            // that wait
	known map[uuid.UUID]bool // deliveries of what comes after the position, which are not to be begun again
	dues  map[uuid.UUID]time.Time
	lasts map[domain.ID]eventlog.Position
	asked chan *item
}

// tours starts couriers for the runs that have none.
func (l *lead) tours(ctx context.Context) error {
	rows, err := l.store.db.Query(ctx, `select r.id, r.webhook_id, r.commit, r.prepare, r.until_commit, r.until_prepare, r.since, r.before, r.ended_at is not null
		from annals_webhooks.runs r join annals_webhooks.endpoints e on e.id = r.webhook_id
		where e.status = 'active' and (r.ended_at is null
			or exists (select from annals_webhooks.deliveries d where d.run_id = r.id and d.state = 'waiting' and d.lane <> d.id))`)
	if err != nil {
		return fmt.Errorf("runs of webhooks: %w", err)
	}
	type found struct {
		run
		webhook domain.ID
	}
	var all []found
	var one found
	var commit, prepare *uint64
	_, err = pgx.ForEachRow(rows, []any{&one.id, &one.webhook, &one.at.Commit, &one.at.Prepare, &commit, &prepare, &one.since, &one.end, &one.over}, func() error {
		r := one
		if r.until = nil; commit != nil && prepare != nil {
			r.until = &eventlog.Position{Commit: *commit, Prepare: *prepare}
		}
		all = append(all, r)
		one = found{}
		return nil
	})
	if err != nil {
		return fmt.Errorf("runs of webhooks: %w", err)
	}
	for _, r := range all {
		e := l.endpoints[r.webhook]
		if e == nil {
			continue
		}
		if t := e.runs[r.id]; t != nil {
			select {
			case <-t.done: // it has ended, and the next look starts what is left
				delete(e.runs, r.id)
			default:
			}
			continue
		}
		if err := l.depart(ctx, e, r.run); err != nil {
			return err
		}
	}
	return nil
}

// depart starts a courier.
func (l *lead) depart(ctx context.Context, e *attended, r run) error {
	if err := l.waiting(ctx, e.id, &r); err != nil {
		return err
	}
	t := &tour{stop: make(chan struct{}), done: make(chan struct{}), asked: make(chan *item, 64)}
	r.asked = t.asked
	c := &courier{lead: l, ep: e.endpoint, run: r, dirty: newChanges(), ended: r.over}
	e.runs[r.id] = t
	go func() {
		defer close(t.done)
		c.deliver(ctx, t.stop)
	}()
	return nil
}

const itemColumns = `id, lane, commit, prepare, stream, revision, event_id, type, client_id, event_at, attempts, tries, first_at, due_at`

// waiting loads what waits of a run; what somebody wants to have again goes with the
// webhook's own.
func (l *lead) waiting(ctx context.Context, webhook domain.ID, r *run) error {
	rows, err := l.store.db.Query(ctx, `select `+itemColumns+` from annals_webhooks.deliveries where webhook_id = $1 and state = 'waiting'
		and (run_id = $2 and lane <> id or $1 = $2 and lane = id) order by commit, prepare`, webhook, r.id)
	if err != nil {
		return fmt.Errorf("waiting deliveries: %w", err)
	}
	if r.items, r.dues, err = scanItems(rows, webhook); err != nil {
		return fmt.Errorf("waiting deliveries: %w", err)
	}
	var lanes []domain.ID
	for _, it := range r.items {
		if it.asked = it.lane == it.id; !it.asked {
			lanes = append(lanes, it.lane)
		}
	}
	if r.lasts, err = l.lastOf(ctx, r.id, lanes); err != nil {
		return err
	}
	rows, err = l.store.db.Query(ctx, `select id from annals_webhooks.deliveries where run_id = $1 and (commit, prepare) > ($2, $3)`, r.id, r.at.Commit, r.at.Prepare)
	if err != nil {
		return fmt.Errorf("known deliveries: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("known deliveries: %w", err)
	}
	r.known = map[uuid.UUID]bool{}
	for _, id := range ids {
		r.known[id] = true
	}
	return nil
}

func scanItems(rows pgx.Rows, webhook domain.ID) (all []*item, dues map[uuid.UUID]time.Time, err error) {
	dues = map[uuid.UUID]time.Time{}
	var it item
	var client *uuid.UUID
	var first, due *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&it.id, &it.lane, &it.position.Commit, &it.position.Prepare, &it.stream, &it.revision, &it.event, &it.typ, &client, &it.at,
		&it.attempts, &it.tries, &first, &due,
	}, func() error {
		one := it
		one.aside, one.message = true, deliveryID(webhook, it.event)
		if client != nil {
			one.client = *client
		}
		if first != nil {
			one.first = *first
		}
		if due != nil {
			dues[it.id] = *due
		}
		all = append(all, &one)
		return nil
	})
	return all, dues, err
}

// lastOf is where lanes have got to.
func (l *lead) lastOf(ctx context.Context, run domain.ID, lanes []domain.ID) (map[domain.ID]eventlog.Position, error) {
	out := map[domain.ID]eventlog.Position{}
	if len(lanes) == 0 {
		return out, nil
	}
	rows, err := l.store.db.Query(ctx, `select lane, commit, prepare from annals_webhooks.lanes where run_id = $1 and lane = any($2)`, run, lanes)
	if err != nil {
		return nil, fmt.Errorf("lanes of webhooks: %w", err)
	}
	var id domain.ID
	var at eventlog.Position
	if _, err := pgx.ForEachRow(rows, []any{&id, &at.Commit, &at.Prepare}, func() error { out[id] = at; return nil }); err != nil {
		return nil, fmt.Errorf("lanes of webhooks: %w", err)
	}
	return out, nil
}

// askedFor has sent what somebody wants to be sent now.
func (l *lead) askedFor(ctx context.Context) error {
	for id, e := range l.endpoints {
		if len(e.runs) == 0 {
			continue
		}
		rows, err := l.store.db.Query(ctx, `with asked as (
				update annals_webhooks.deliveries set asked = false where webhook_id = $1 and asked and state = 'waiting' returning run_id, `+itemColumns+`)
			select `+itemColumns+`, run_id from asked`, id)
		if err != nil {
			return fmt.Errorf("deliveries asked for: %w", err)
		}
		if err := l.hand(e, rows); err != nil {
			return err
		}
	}
	return nil
}

// hand gives what was asked for to the courier that has it.
func (l *lead) hand(e *attended, rows pgx.Rows) error {
	var it item
	var run domain.ID
	var client *uuid.UUID
	var first, due *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&it.id, &it.lane, &it.position.Commit, &it.position.Prepare, &it.stream, &it.revision, &it.event, &it.typ, &client, &it.at,
		&it.attempts, &it.tries, &first, &due, &run,
	}, func() error {
		one := it
		one.aside, one.message = true, deliveryID(e.id, it.event)
		if client != nil {
			one.client = *client
		}
		if one.lane == one.id {
			run = e.id
		}
		if t := e.runs[run]; t != nil {
			select {
			case t.asked <- &one:
			default: // so many at once: those are due, and sent when the run begins anew
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deliveries asked for: %w", err)
	}
	return nil
}
