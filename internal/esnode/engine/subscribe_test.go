package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"annals/internal/esnode/engine"
)

// next takes the next batch, or fails when there is none.
func next(t *testing.T, sub engine.Subscription) engine.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	batch, err := sub.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return batch
}

// take reads n events.
func take(t *testing.T, sub engine.Subscription, n int) []*engine.Event {
	t.Helper()
	var list []*engine.Event
	for len(list) < n {
		list = append(list, next(t, sub).Events...)
	}
	if len(list) != n {
		t.Fatalf("%d events, want %d", len(list), n)
	}
	return list
}

func wantCaughtUp(t *testing.T, sub engine.Subscription) {
	t.Helper()
	if batch := next(t, sub); !batch.CaughtUp || len(batch.Events) > 0 {
		t.Fatalf("%d events, caught up %t", len(batch.Events), batch.CaughtUp)
	}
}

// TestSubscriptionsUnderWriters follows while many write, from the start, from in between and slowly, with memory for
// a few events only, and wants every event once and in order.
func TestSubscriptionsUnderWriters(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{TailEvents: 50})
	watched := newStream()
	const writers, each, size = 8, 60, 3
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			own := newStream()
			for i := range each {
				stream := own
				if i%3 == 0 {
					stream = watched
				}
				if _, err := e.Append(t.Context(), stream, engine.Any, proposed(size)); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	const total, ofWatched = writers * each * size, writers * each / 3 * size
	var reading sync.WaitGroup
	for reader := range 6 {
		reading.Go(func() {
			sub := e.SubscribeAll(0)
			var got []*engine.Event
			for len(got) < total {
				batch, err := sub.Next(t.Context())
				if err != nil {
					t.Errorf("next: %v", err)
					return
				}
				got = append(got, batch.Events...)
				if reader%2 == 1 && len(batch.Events) > 0 {
					e.Head() // as slow as another lock
					if n := len(got); n%7 == 0 {
						sub = e.SubscribeAll(got[n-1].Position) // and going away, and coming back
					}
				}
			}
			for i, event := range got {
				if i > 0 && event.Position <= got[i-1].Position {
					t.Errorf("position %d after %d", event.Position, got[i-1].Position)
				}
			}
			if len(got) != total {
				t.Errorf("%d events, want %d", len(got), total)
			}
		})
		reading.Go(func() {
			sub, err := e.SubscribeStream(t.Context(), watched, -1)
			if err != nil {
				t.Errorf("subscribe: %v", err)
				return
			}
			revision := int64(-1)
			for revision < ofWatched-1 {
				batch, err := sub.Next(t.Context())
				if err != nil {
					t.Errorf("next: %v", err)
					return
				}
				for _, event := range batch.Events {
					if event.Revision != revision+1 || event.Stream != watched {
						t.Errorf("revision %d of %s after %d", event.Revision, event.Stream, revision)
					}
					revision = event.Revision
				}
			}
		})
	}
	writing.Wait()
	reading.Wait()
}

func TestCaughtUp(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{TailEvents: 10})
	stream := newStream()
	mustAppend(t, e, stream, engine.NoStream, proposed(100)) // most of them only in the table
	all := e.SubscribeAll(0)
	take(t, all, 100)
	wantCaughtUp(t, all)
	one, err := e.SubscribeStream(t.Context(), stream, 49)
	if err != nil {
		t.Fatal(err)
	}
	if list := take(t, one, 50); list[0].Revision != 50 {
		t.Errorf("after 49 comes %d", list[0].Revision)
	}
	wantCaughtUp(t, one)

	// Live: nothing is said of being caught up, until it has fallen behind.
	mustAppend(t, e, stream, 99, proposed(1))
	take(t, all, 1)
	take(t, one, 1)
	mustAppend(t, e, stream, 100, proposed(40))
	take(t, all, 40)
	wantCaughtUp(t, all)

	// A stream that is quiet while others write does not fall behind.
	quiet, err := e.SubscribeStream(t.Context(), newStream(), -1)
	if err != nil {
		t.Fatal(err)
	}
	wantCaughtUp(t, quiet)
	take(t, one, 40)
	for range 30 {
		mustAppend(t, e, newStream(), engine.NoStream, proposed(1))
	}
	mustAppend(t, e, stream, 140, proposed(1))
	if list := take(t, one, 1); list[0].Revision != 141 {
		t.Errorf("revision %d", list[0].Revision)
	}
}

func TestFromTheEnd(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	stream := newStream()
	mustAppend(t, e, stream, engine.NoStream, proposed(5))
	all := e.SubscribeAll(engine.MaxPosition)
	one, err := e.SubscribeStream(t.Context(), stream, engine.MaxRevision)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, e, stream, 4, proposed(1))
	for _, sub := range []engine.Subscription{all, one} {
		if list := take(t, sub, 1); list[0].Revision != 5 {
			t.Errorf("revision %d is not new", list[0].Revision)
		}
	}
}

func TestSubscriptionOutlivesDeletion(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	stream := newStream()
	sub, err := e.SubscribeStream(t.Context(), stream, -1)
	if err != nil {
		t.Fatal(err)
	}
	wantCaughtUp(t, sub)
	mustAppend(t, e, stream, engine.NoStream, proposed(2))
	take(t, sub, 2)
	if _, err := e.Delete(t.Context(), stream, 1); err != nil {
		t.Fatal(err)
	}
	if list := readStream(t, e, stream); len(list) != 0 {
		t.Errorf("%d events of a deleted stream", len(list))
	}
	mustAppend(t, e, stream, engine.NoStream, proposed(1))
	if list := take(t, sub, 1); list[0].Revision != 2 {
		t.Errorf("after the deletion comes revision %d", list[0].Revision)
	}
	if list := readStream(t, e, stream); len(list) != 1 || list[0].Revision != 2 {
		t.Errorf("recreated, it shows %d events", len(list))
	}
	if _, err := e.Tombstone(t.Context(), stream, engine.Any); err != nil {
		t.Fatal(err)
	}
	var deleted *engine.DeletedError
	if _, err := sub.Next(t.Context()); !errors.As(err, &deleted) {
		t.Errorf("after the tombstone: %v", err)
	}
	late, err := e.SubscribeStream(t.Context(), stream, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Next(t.Context()); !errors.As(err, &deleted) {
		t.Errorf("subscribing to a tombstoned stream: %v", err)
	}
}

func TestSubscriptionEnds(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	one, err := e.SubscribeStream(t.Context(), newStream(), -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []engine.Subscription{e.SubscribeAll(0), one} {
		wantCaughtUp(t, sub)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := sub.Next(t.Context())
			ended <- err
		}()
		t.Cleanup(func() {
			if err := <-ended; !errors.Is(err, engine.ErrClosed) && !errors.Is(err, context.Canceled) {
				t.Errorf("closed: %v", err)
			}
		})
	}
	closeLog(t, e)
}
