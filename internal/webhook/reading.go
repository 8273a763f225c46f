package webhook

import (
	"context"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/webhook"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// read reads what a run is about, and hands it over.
func (c *courier) read(ctx context.Context, r run, out chan<- chunk) {
	at := r.at
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		before := at
		err := c.readOn(ctx, r, &at, out)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			c.cfg.Logger.DebugContext(ctx, "webhook waits for the log", "webhook", c.ep.id.String(), "err", plain(err))
		}
		if at != before {
			wait = 50 * time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

const pageSize = 128

func (c *courier) readOn(ctx context.Context, r run, at *eventlog.Position, out chan<- chunk) error {
	for {
		records, to, more, ok := c.window.After(*at, pageSize)
		if !ok {
			if done, err := c.catchUp(ctx, r, at, out); done || err != nil {
				return err
			}
			continue
		}
		if to == *at && !r.past(to) {
			select {
			case <-more:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		done, err := c.handOver(ctx, r, records, to, out)
		if done || err != nil {
			return err
		}
		*at = to
	}
}

// catchUp reads the log until the window has what comes next.
func (c *courier) catchUp(ctx context.Context, r run, at *eventlog.Position, out chan<- chunk) (done bool, err error) {
	for run, err := range feed.Runs(ctx, c.cfg.Log, *at, pageSize) {
		if err != nil {
			return false, err
		}
		// What changes who may see something has been read there, if it is up to here.
		if err := c.window.Reach(ctx, run.To); err != nil {
			return false, err
		}
		records := make([]*eventlog.Record, len(run.Records))
		for i := range run.Records {
			records[i] = &run.Records[i]
		}
		if done, err := c.handOver(ctx, r, records, run.To, out); done || err != nil {
			return done, err
		}
		*at = run.To
		if _, _, _, ok := c.window.After(*at, 1); ok {
			return false, nil
		}
	}
	return false, ctx.Err()
}

func (r *run) past(at eventlog.Position) bool { return r.until != nil && at.Compare(*r.until) >= 0 }

// handOver gives the courier what its endpoint is to be sent of the records.
func (c *courier) handOver(ctx context.Context, r run, records []*eventlog.Record, to eventlog.Position, out chan<- chunk) (done bool, err error) {
	ch := chunk{to: to, end: r.past(to)}
	var asked []*eventlog.Record
	for _, rec := range records {
		if r.until != nil && rec.Position.Compare(*r.until) > 0 {
			break
		}
		ok, err := c.asksFor(r, rec)
		if err != nil {
			return false, err
		}
		if ok {
			asked = append(asked, rec)
		}
	}
	if err := c.locate(ctx, asked); err != nil {
		return false, err
	}
	var lanes []domain.ID
	for _, rec := range asked {
		if rec.Err == nil { // what cannot be read waits where it is sent
			sight, err := c.sight(ctx, rec, *c.ep.definition())
			if err != nil {
				return false, err
			}
			if !sight.Sees {
				continue
			}
		}
		if it := c.item(rec); !r.known[it.id] {
			ch.items = append(ch.items, it)
			lanes = append(lanes, it.lane)
		}
	}
	if ch.lasts, err = c.lastOf(ctx, r.id, lanes); err != nil {
		return false, err
	}
	select {
	case out <- ch:
		return ch.end, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// locating is how many clients are looked for in the log at once.
const locating = 8

// locate finds out where the clients of records belong: of many who have not been heard of
// from the read models, of the others from the log.
func (c *courier) locate(ctx context.Context, records []*eventlog.Record) error {
	there := map[domain.ID]bool{}
	for _, rec := range records {
		if id := cloudevent.Client(rec); id != (domain.ID{}) {
			there[id] = true
		}
	}
	unknown := c.places.unknown(maps.Keys(there))
	if len(unknown) > locating && c.cfg.Places != nil {
		c.ask(ctx, unknown)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(locating)
	for _, id := range unknown {
		g.Go(func() error {
			_, _, err := c.place(ctx, id)
			return err
		})
	}
	return g.Wait()
}

// asking is how long it is waited for the read models before the log is read instead.
const asking = 250 * time.Millisecond

// ask has it be remembered where clients belong, as far as the read models know it.
func (c *courier) ask(ctx context.Context, clients []domain.ID) {
	within, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	err := c.places.learn(func(upTo eventlog.Position) (map[domain.ID]domain.Place, error) {
		return c.cfg.Places(within, clients, upTo)
	})
	if err != nil && ctx.Err() == nil {
		c.cfg.Logger.DebugContext(ctx, "the read models do not tell webhooks where clients belong", "err", plain(err))
	}
}

// asksFor says whether the webhook asks for an event. What cannot be read by this program
// it does, so that it waits for one that can.
func (c *courier) asksFor(r run, rec *eventlog.Record) (bool, error) {
	d := c.ep.definition()
	if c.tests(rec) {
		return r.until == nil, nil // of a test, once
	}
	if r.since != nil && rec.Meta.At.Before(*r.since) || r.end != nil && rec.Meta.At.After(*r.end) {
		return false, nil
	}
	if rec.Err != nil {
		return d.Wants(rec.Type, d.Fields), nil //nolint:nilerr // it waits where it is sent
	}
	if !cloudevent.Public(rec) {
		return false, nil
	}
	var changed []string
	if len(d.Fields) > 0 {
		var err error
		if changed, err = cloudevent.Changed(rec); err != nil {
			return false, err
		}
	}
	return d.Wants(rec.Type, changed), nil
}

// tests says whether an event is a test of this webhook.
func (c *courier) tests(rec *eventlog.Record) bool {
	_, ok := rec.Event.(webhook.Tested)
	return ok && rec.Stream == eventlog.Stream(domain.Webhook, c.ep.id)
}
