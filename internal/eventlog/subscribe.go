package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"annals/domain"
	"annals/eventschema"
)

// Item is what a subscription delivers: a record, or word of how far it is.
type Item struct {
	Record   *Record  // nil: everything up to Position has been delivered
	Position Position // of the record, or of the checkpoint
	Live     bool     // the subscription has caught up: what follows is new
}

// idle is how long a subscription may be silent before it is checked against the
// log's head: a change of leader can end one without a word.
const idle = 30 * time.Second

// Subscribe follows the log from after a position: every record of an aggregate,
// in order, without gap or repetition, as it is committed. It ends with an error
// when the connection is lost; the caller subscribes again from where it got to.
func (l *Log) Subscribe(ctx context.Context, after Position) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		raw, err := l.follow(ctx, after)
		if err != nil {
			yield(Item{}, fmt.Errorf("subscribe after %s: %w", after, err))
			return
		}
		last := after
		watch := time.NewTimer(idle)
		defer watch.Stop()
		for {
			select {
			case ev := <-raw:
				watch.Reset(idle)
				item, ok, err := l.item(ctx, ev, last)
				if err != nil {
					yield(Item{}, fmt.Errorf("subscription at %s: %w", last, err))
					return
				}
				if last = item.Position; ok && !yield(item, nil) {
					return
				}
			case <-watch.C:
				watch.Reset(idle)
				if head, err := l.Head(ctx); err != nil || head.Compare(last) > 0 {
					yield(Item{}, fmt.Errorf("subscription at %s: silent for %v, and the log is at %s: %w", last, idle, head, ErrUnavailable))
					return
				}
			case <-ctx.Done():
				yield(Item{}, ctx.Err())
				return
			}
		}
	}
}

// item turns what the client delivers into an Item; ok is false for what only
// matters in here.
func (l *Log) item(ctx context.Context, ev *esdb.SubscriptionEvent, last Position) (item Item, ok bool, err error) {
	item.Position = last
	switch {
	case ev.EventAppeared != nil:
		e := ev.EventAppeared.OriginalEvent()
		item.Position = Position(e.Position)
		ref, err := parseStream(e.StreamID)
		if err == nil && ref.Category == eventschema.Key && e.EventType == "$streamDeleted" {
			l.keys.forget(ref.ID)
			item.Record = &Record{
				Stream: e.StreamID, Revision: Revision(e.EventNumber), Position: item.Position,
				ID: e.EventID, Type: e.EventType, Event: eventschema.KeyDestroyed{},
				Meta: domain.Meta{At: e.CreatedDate.UTC().Truncate(time.Microsecond)},
			}
			return item, true, nil
		}
		if e.EventType[0] == '$' {
			return item, true, nil // the log's own: nothing happened to an aggregate
		}
		rec := l.decode(ctx, e)
		if rec.Err != nil && ctx.Err() != nil {
			return item, false, ctx.Err()
		}
		if errors.Is(rec.Err, ErrUnavailable) || errors.Is(rec.Err, ErrUnknown) {
			return item, false, rec.Err // the key could not be had: not the event's fault
		}
		item.Record = &rec
		return item, true, nil
	case ev.CheckPointReached != nil:
		item.Position = Position(*ev.CheckPointReached)
		return item, true, nil
	case ev.CaughtUp != nil:
		item.Live = true
		return item, true, nil
	case ev.SubscriptionDropped != nil:
		return item, false, errors.Join(ErrUnavailable, ev.SubscriptionDropped.Error)
	}
	return item, false, nil
}

// follow starts a subscription and the goroutine that receives from it, which
// ends with ctx.
func (l *Log) follow(ctx context.Context, after Position) (<-chan *esdb.SubscriptionEvent, error) {
	prefixes := eventschema.Categories()
	for i := range prefixes {
		prefixes[i] += "-"
	}
	opts := esdb.SubscribeToAllOptions{
		From:               esdb.Position(after),
		MaxSearchWindow:    4096,
		CheckpointInterval: 1,
		Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: prefixes},
	}
	if after == (Position{}) {
		opts.From = esdb.Start{}
	}
	// The subscription lives in ctx, beyond the call that starts it.
	sub, err := call(ctx, l.clients, func(_ context.Context, c *esdb.Client) (*esdb.Subscription, error) {
		return c.SubscribeToAll(ctx, opts)
	})
	if err != nil {
		return nil, classify(err)
	}
	out := make(chan *esdb.SubscriptionEvent, 1024)
	go func() {
		defer func() { _ = sub.Close() }()
		for {
			ev := sub.Recv()
			select {
			case out <- ev:
			case <-ctx.Done():
				return
			}
			if ev.SubscriptionDropped != nil {
				return
			}
		}
	}()
	return out, nil
}
