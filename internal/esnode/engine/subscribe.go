package engine

import (
	"context"
	"errors"
	"math"
)

// Batch is what a subscription has next: events, or the word that there are no more for now.
type Batch struct {
	Events []*Event
	// CaughtUp tells that the subscription has reached the end, and now follows what is being written.
	CaughtUp bool
	// Position is up to where the log has been looked at.
	Position uint64
}

// Subscription yields the events after some point in order, those there are and those to come, each once. It is for
// one goroutine.
type Subscription interface {
	// Next waits for a batch. An error ends the subscription: that of ctx, ErrClosed, or a DeletedError.
	Next(ctx context.Context) (Batch, error)
}

// liveBatch bounds the events handed out from memory at a time.
const liveBatch = 512

// SubscribeAll follows the whole log after a position. MaxPosition stands for the end.
func (e *Engine) SubscribeAll(after uint64) Subscription {
	if after == MaxPosition {
		after = e.Head()
	}
	return &allSubscription{e: e, pos: after}
}

type allSubscription struct {
	e     *Engine
	pos   uint64
	live  bool
	pages *pager // from the table, while catching up
}

func (s *allSubscription) Next(ctx context.Context) (Batch, error) {
	for {
		events, reached := s.e.tail.after(s.pos, liveBatch)
		switch {
		case !reached:
			s.live = false
			events, err := s.catchUp(ctx)
			if err != nil {
				return Batch{}, err
			}
			if len(events) > 0 {
				return Batch{Events: events, Position: s.pos}, nil
			}
		case len(events) > 0:
			s.pos, s.pages = events[len(events)-1].Position, nil
			return Batch{Events: events, Position: s.pos}, nil
		case !s.live:
			s.live, s.pages = true, nil
			return Batch{CaughtUp: true, Position: s.pos}, nil
		default:
			if err := s.e.tail.wait(ctx, s.e.closed, s.pos); err != nil {
				return Batch{}, err
			}
		}
	}
}

// catchUp reads a page after s.pos from the table. Finding none there means that all that stood before the tail
// when it looked has been seen.
func (s *allSubscription) catchUp(ctx context.Context) ([]*Event, error) {
	base := s.e.tail.start()
	fresh := s.pages == nil
	if fresh {
		s.pages = newPager(s.e.allAfter(s.pos), math.MaxUint64)
	}
	events, err := s.pages.next(ctx)
	switch {
	case err != nil:
		s.pages = nil
		return nil, s.e.outlast(ctx, err)
	case len(events) > 0:
		s.pos = events[len(events)-1].Position
	default:
		s.pages = nil
		if fresh {
			s.pos = max(s.pos, base)
		}
	}
	return events, nil
}

// outlast turns the error of a database that is away into none, after a moment: a subscription waits for it.
func (e *Engine) outlast(ctx context.Context, err error) error {
	if errors.Is(err, ErrUnavailable) && !e.isClosed() && pause(ctx, lastBackoff) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// SubscribeStream follows one stream after a revision; -1 is its beginning, MaxRevision stands for its end. The
// stream need not exist yet. It outlives a soft deletion, and a tombstone ends it with a DeletedError.
func (e *Engine) SubscribeStream(ctx context.Context, stream string, after int64) (Subscription, error) {
	s := &streamSubscription{e: e, stream: stream, rev: after}
	if after == MaxRevision {
		info, err := e.info(ctx, stream)
		if err != nil {
			return nil, err
		}
		s.rev = info.last
	}
	return s, nil
}

// MaxRevision stands for the end of a stream where a revision is asked for.
const MaxRevision = math.MaxInt64

type streamSubscription struct {
	e      *Engine
	stream string
	rev    int64  // every event up to here has been seen
	pos    uint64 // and every one of the stream that stands before here in the log
	live   bool
	pages  *pager // from the table, while catching up
	mark   uint64 // the log's head before pages were begun
}

func (s *streamSubscription) Next(ctx context.Context) (Batch, error) {
	for {
		if s.pages == nil && s.live {
			events, err := s.follow(ctx)
			if err != nil {
				return Batch{}, err
			}
			if len(events) > 0 {
				return s.seen(events)
			}
			continue
		}
		events, done, err := s.catchUp(ctx)
		if err != nil {
			return Batch{}, err
		}
		if len(events) > 0 {
			return s.seen(events)
		}
		if done && !s.live {
			s.live = true
			return Batch{CaughtUp: true, Position: s.pos}, nil
		}
	}
}

func (s *streamSubscription) seen(events []*Event) (Batch, error) {
	end := events[len(events)-1]
	if end.Revision == TombstoneRevision {
		return Batch{}, &DeletedError{s.stream}
	}
	s.rev = end.Revision
	return Batch{Events: events, Position: end.Position}, nil
}

// follow waits for events of the stream in memory. It returns none when memory does not reach back far enough; then
// catchUp must be asked.
func (s *streamSubscription) follow(ctx context.Context) ([]*Event, error) {
	w := s.e.tail.watch(s.stream)
	defer s.e.tail.unwatch(s.stream, w)
	events, end, reached := s.e.tail.streamAfter(s.stream, s.pos, s.rev)
	if !reached {
		return nil, s.begin(ctx)
	}
	s.pos = end
	if len(events) > 0 {
		return events, nil
	}
	select {
	case <-w.changed:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.e.closed:
		return nil, ErrClosed
	}
}

// begin starts reading the stream from the table.
func (s *streamSubscription) begin(ctx context.Context) error {
	s.mark = s.e.tail.head()
	info, err := s.e.info(ctx, s.stream)
	switch {
	case err != nil:
		return s.e.outlast(ctx, err)
	case info.tombstoned:
		return &DeletedError{s.stream}
	case info.missing():
		s.pages = newPager(nil, 0)
	default:
		s.pages = newPager(s.e.stream(s.stream, &info, s.rev+1, false), math.MaxUint64)
	}
	return nil
}

// catchUp reads a page from the table, and tells whether it was the last.
func (s *streamSubscription) catchUp(ctx context.Context) (events []*Event, done bool, err error) {
	if s.pages == nil {
		if err := s.begin(ctx); err != nil || s.pages == nil {
			return nil, false, err
		}
	}
	events, err = s.pages.next(ctx)
	switch {
	case err != nil:
		s.pages = nil
		return nil, false, s.e.outlast(ctx, err)
	case events == nil:
		s.pages, s.pos = nil, max(s.pos, s.mark)
		return nil, true, nil
	case s.pages.more():
		s.live = false // more than a page behind: it will tell when it has caught up again
	}
	return events, false, nil
}
