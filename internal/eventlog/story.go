package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"annals/domain"
	"annals/eventschema"
)

// Story yields, in the order of the log and up to where that ends now, the records of an
// aggregate and of everything that belongs to it: those of its own stream, and those of
// streams of the categories whose metadata name it as their subject. Nothing but the log
// is asked which these are: the server sends all events of the categories that came
// after the aggregate's first. Only those of the story are decoded, and memory does not
// grow with either. BenchmarkStory says how many events a second are looked at.
func (l *Log) Story(ctx context.Context, of domain.Ref, categories []string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		head, err := l.Head(ctx)
		if err != nil {
			yield(Record{}, err)
			return
		}
		s := story{of: of, stream: of.Stream(), id: []byte(of.ID.String()), last: head, head: head}
		for first, err := range l.Read(ctx, s.stream, 0) {
			if !yield(first, err) || err != nil {
				return
			}
			s.last = first.Position
			break
		}
		prefixes := []string{s.stream}
		for _, c := range categories {
			prefixes = append(prefixes, c+"-")
		}
		var first time.Time // of the failures since something was received
		for wait := pause(0); s.last.Compare(head) < 0; wait = wait.next() {
			before := s.last
			done, err := l.tell(ctx, &s, prefixes, yield)
			if done {
				return
			}
			now := time.Now() //nolint:forbidigo // how long to try, as with the timeouts of calls
			if s.last != before || first.IsZero() {
				first, wait = now, pause(0)
			}
			if !transient(err) || now.Sub(first) > l.timeout || !wait.sleep(ctx) {
				yield(Record{}, fmt.Errorf("story of %s after %s: %w", s.stream, s.last, errors.Join(err, ctx.Err())))
				return
			}
		}
	}
}

// story is where the telling of one has got to.
type story struct {
	of         domain.Ref
	stream     string
	id         []byte
	last, head Position
}

// tell goes on with the story until it is told, until nobody listens, or until the
// connection breaks.
func (l *Log) tell(ctx context.Context, s *story, prefixes []string, yield func(Record, error) bool) (done bool, err error) {
	sub, err := l.follow(ctx, s.last, named(prefixes))
	if err != nil {
		return false, err
	}
	defer sub.stop()
	silence := time.NewTimer(l.idle)
	defer silence.Stop()
	for s.last.Compare(s.head) < 0 {
		select {
		case ev := <-sub.events:
			silence.Reset(l.idle)
			switch {
			case ev.EventAppeared != nil:
				e := ev.EventAppeared.OriginalEvent()
				at := Position(e.Position)
				if at.Compare(s.last) <= 0 {
					return false, fmt.Errorf("%w: it delivered %s after %s", ErrUnavailable, at, s.last)
				}
				if at.Compare(s.head) > 0 {
					return true, nil
				}
				s.last = at
				if s.has(e) && !l.yield(ctx, e, yield) {
					return true, nil
				}
			case ev.CheckPointReached != nil:
				if at := Position(*ev.CheckPointReached); at.Compare(s.last) > 0 {
					s.last = at
				}
			case ev.CaughtUp != nil:
				return true, nil
			case ev.SubscriptionDropped != nil:
				return false, errors.Join(ErrUnavailable, ev.SubscriptionDropped.Error)
			}
		case <-silence.C:
			return false, fmt.Errorf("%w: silent for %v", ErrUnavailable, l.idle)
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

func (l *Log) yield(ctx context.Context, e *esdb.RecordedEvent, yield func(Record, error) bool) bool {
	rec := l.decode(ctx, e)
	if rec.Err != nil {
		yield(rec, rec.Err)
		return false
	}
	return yield(rec, nil)
}

// has says whether an event is of the story. Of most others it is known without reading
// their metadata.
func (s *story) has(e *esdb.RecordedEvent) bool {
	switch {
	case strings.HasPrefix(e.EventType, "$"):
		return false
	case e.StreamID == s.stream:
		return true
	case !bytes.Contains(e.UserMetadata, s.id):
		return false
	}
	md, err := eventschema.DecodeMetadata(e.UserMetadata)
	return err == nil && md.Subject == s.of.ID
}
