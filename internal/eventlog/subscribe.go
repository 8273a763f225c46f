package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

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

// buffer is how many events are received ahead of their consumer.
const buffer = 256

// Subscribe follows the log from after a position: every record of an aggregate,
// in order, without gap or repetition, as it is committed. It ends with an error
// when the connection is lost; the caller subscribes again from where it got to.
// Of the access log it tells only that it has passed it: there may be more of that than of
// all else, and it changes nothing.
func (l *Log) Subscribe(ctx context.Context, after Position) iter.Seq2[Item, error] {
	return l.subscribe(ctx, after, named(ofAggregates()), func(ctx context.Context, e *esdb.RecordedEvent) (*Record, error) {
		if strings.HasPrefix(e.StreamID, domain.Access+"-") {
			return nil, nil
		}
		return l.delivered(ctx, e)
	})
}

// SubscribeAll is [Log.Subscribe] with the access log.
func (l *Log) SubscribeAll(ctx context.Context, after Position) iter.Seq2[Item, error] {
	return l.subscribe(ctx, after, named(ofAggregates()), l.delivered)
}

// SubscribeStored is [Log.Subscribe] for events as they are stored, in all streams whose
// names fit the pattern: their records have [Record.Stored] and nothing that would have
// to be decoded.
func (l *Log) SubscribeStored(ctx context.Context, after Position, pattern string) iter.Seq2[Item, error] {
	filter := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: pattern}
	return l.subscribe(ctx, after, filter, func(_ context.Context, e *esdb.RecordedEvent) (*Record, error) {
		rec := storedRecord(e)
		return &rec, nil
	})
}

// subscribe has each event delivered, which is no record where it concerns nobody.
func (l *Log) subscribe(ctx context.Context, after Position, filter *esdb.SubscriptionFilter, deliver func(context.Context, *esdb.RecordedEvent) (*Record, error)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		sub, err := l.follow(ctx, after, filter)
		if err != nil {
			yield(Item{}, fmt.Errorf("subscribe after %s: %w", after, err))
			return
		}
		last := after
		watch := time.NewTimer(l.idle)
		defer watch.Stop()
		for {
			select {
			case ev := <-sub.events:
				watch.Reset(l.idle)
				item, ok, err := item(ctx, ev, last, deliver)
				if err != nil {
					yield(Item{}, fmt.Errorf("subscription at %s: %w", last, err))
					return
				}
				if last = item.Position; ok && !yield(item, nil) {
					return
				}
			case <-watch.C:
				watch.Reset(l.idle)
				if sub, err = l.check(ctx, sub, last, filter); err != nil {
					yield(Item{}, fmt.Errorf("subscription at %s, silent for %v: %w", last, l.idle, err))
					return
				}
			case <-ctx.Done():
				yield(Item{}, ctx.Err())
				return
			}
		}
	}
}

// check answers for a silent subscription: with itself if nothing has happened in
// the log, otherwise with a new one. It may well have been in order, since what
// others write into the log passes it by.
func (l *Log) check(ctx context.Context, sub following, last Position, filter *esdb.SubscriptionFilter) (following, error) {
	head, err := l.Head(ctx)
	if err != nil || head.Compare(last) <= 0 || len(sub.events) > 0 {
		return sub, err
	}
	sub.stop()
	return l.follow(ctx, last, filter)
}

// item turns what the client delivers into an Item; ok is false for what only
// matters in here.
func item(ctx context.Context, ev *esdb.SubscriptionEvent, last Position, deliver func(context.Context, *esdb.RecordedEvent) (*Record, error)) (item Item, ok bool, err error) {
	item.Position = last
	switch {
	case ev.EventAppeared != nil:
		e := ev.EventAppeared.OriginalEvent()
		if item.Position = Position(e.Position); item.Position.Compare(last) <= 0 {
			return item, false, fmt.Errorf("%w: it delivered %s after %s", ErrUnavailable, item.Position, last)
		}
		item.Record, err = deliver(ctx, e)
		return item, err == nil, err
	case ev.CheckPointReached != nil:
		if p := Position(*ev.CheckPointReached); p.Compare(last) > 0 && p.Commit <= math.MaxInt64 {
			item.Position = p
			return item, true, nil
		}
	case ev.CaughtUp != nil:
		item.Live = true
		return item, true, nil
	case ev.SubscriptionDropped != nil:
		return item, false, errors.Join(ErrUnavailable, ev.SubscriptionDropped.Error)
	}
	return item, false, nil
}

// delivered is the record of an event, or none for one of the log's own.
func (l *Log) delivered(ctx context.Context, e *esdb.RecordedEvent) (*Record, error) {
	if strings.HasPrefix(e.EventType, "$") {
		ref, err := parseStream(e.StreamID)
		if err != nil || ref.Category != eventschema.Key || e.EventType != "$streamDeleted" {
			return nil, nil //nolint:nilerr // nothing happened to an aggregate
		}
		l.keys.forget(ref.ID)
		rec := record(e)
		rec.Event = eventschema.KeyDestroyed{}
		rec.Meta = domain.Meta{At: e.CreatedDate.UTC().Truncate(time.Microsecond)}
		return &rec, nil
	}
	rec := l.decode(ctx, e)
	if rec.Err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if transient(rec.Err) || errors.Is(rec.Err, eventschema.ErrMaster) {
		return nil, rec.Err // the key could not be had: not the event's fault
	}
	return &rec, nil
}

// Opened is a record that [Log.SubscribeStored] delivered as [Log.Subscribe] would have:
// nil for an event of the log's own. The record says whether it could be read.
func (l *Log) Opened(ctx context.Context, r *Record) (*Record, error) {
	e := &esdb.RecordedEvent{
		StreamID: r.Stream, EventNumber: uint64(r.Revision), Position: esdb.Position(r.Position), EventID: r.ID, EventType: r.Type, //nolint:gosec // not negative
		CreatedDate: r.Stored.Created, Data: r.Stored.Data, UserMetadata: r.Stored.Metadata,
	}
	return l.delivered(ctx, e)
}

// following is a subscription under way.
type following struct {
	events <-chan *esdb.SubscriptionEvent
	stop   context.CancelFunc
}

// ofAggregates is how the streams of aggregates begin.
func ofAggregates() []string {
	prefixes := eventschema.Categories()
	for i := range prefixes {
		prefixes[i] += "-"
	}
	return prefixes
}

// named admits streams whose names begin so.
func named(prefixes []string) *esdb.SubscriptionFilter {
	return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: prefixes}
}

// follow starts a subscription to what the filter admits, and the goroutine that receives
// from it, which ends with ctx, or when it is stopped.
func (l *Log) follow(ctx context.Context, after Position, filter *esdb.SubscriptionFilter) (following, error) {
	opts := esdb.SubscribeToAllOptions{
		From:               esdb.Position(after),
		MaxSearchWindow:    4096,
		CheckpointInterval: 1,
		Filter:             filter,
	}
	if after == (Position{}) {
		opts.From = esdb.Start{}
	}
	ctx, stop := context.WithCancel(ctx)
	starting, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	sub, err := call(starting, l.clients, func(call context.Context, c *esdb.Client) (*esdb.Subscription, error) {
		// The subscription lives on after the call that starts it, and takes along
		// what the call was given to send.
		md, _ := metadata.FromOutgoingContext(call)
		return c.SubscribeToAll(metadata.NewOutgoingContext(ctx, md), opts)
	})
	if err != nil {
		stop()
		return following{}, unread(classify(err))
	}
	out := make(chan *esdb.SubscriptionEvent, buffer)
	go func() {
		defer stop()
		defer func() { _ = sub.Close() }()
		for {
			ev := receive(sub)
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
	return following{out, stop}, nil
}

// receive is the next event of a subscription; a panic of the client ends it.
func receive(sub *esdb.Subscription) (ev *esdb.SubscriptionEvent) {
	defer func() {
		if p := recover(); p != nil {
			ev = &esdb.SubscriptionEvent{SubscriptionDropped: &esdb.SubscriptionDropped{Error: fmt.Errorf("the client panicked: %v", p)}}
		}
	}()
	return sub.Recv()
}
