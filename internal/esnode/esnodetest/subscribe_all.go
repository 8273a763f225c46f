package esnodetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func testSubscribeAll(t *testing.T, s *suite) {
	t.Helper()

	t.Run("from a position, behind it", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		list := s.read(t, stream, esdb.ReadStreamOptions{}, all)
		for from := range 2 {
			sub := s.toAll(t, esdb.SubscribeToAllOptions{From: list[from].OriginalEvent().Position})
			for want := from + 1; want < 3; want++ {
				if got := sub.event(t).OriginalEvent(); got.EventID != list[want].OriginalEvent().EventID {
					t.Errorf("from event %d: got %d of %s, want event %d", from, got.EventNumber, got.StreamID, want)
				}
			}
		}
	})

	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		first := s.readAll(t, esdb.ReadAllOptions{}, 1)[0].OriginalEvent()
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if got := sub.event(t).OriginalEvent(); got.EventID != first.EventID || got.Position != first.Position {
			t.Errorf("begins with %d of %s, want %d of %s", got.EventNumber, got.StreamID, first.EventNumber, first.StreamID)
		}
		for n := 0; n < 3; {
			if sub.event(t).OriginalEvent().StreamID == stream {
				n++
			}
		}
	})

	t.Run("from the end", func(t *testing.T) {
		t.Parallel()
		mark := s.end(t)
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: esdb.End{}})
		for sub.next(t).CaughtUp == nil { // others write meanwhile
		}
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		for {
			got := sub.event(t).OriginalEvent()
			if got.Position.Commit <= mark.Commit {
				t.Fatalf("the event at %v is from before", got.Position)
			}
			if got.StreamID == stream {
				return
			}
		}
	})

	t.Run("nothing said is the end", func(t *testing.T) {
		t.Parallel()
		mark := s.end(t)
		sub := s.toAll(t, esdb.SubscribeToAllOptions{})
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		if got := sub.event(t).OriginalEvent(); got.Position.Commit <= mark.Commit {
			t.Errorf("the event at %v is from before", got.Position)
		}
	})

	t.Run("caught up at once where nothing is missing", func(t *testing.T) {
		t.Parallel()
		// Others write meanwhile, so it may take an event or two, but the message comes without any event of ours.
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: s.end(t)})
		for sub.next(t).CaughtUp == nil {
		}
	})

	t.Run("no gap and no duplicate under writers", func(t *testing.T) {
		t.Parallel()
		from := s.end(t)
		mine := fresh("gapless")
		const writers, each = 4, 25
		done := make(chan int, 1)
		go func() {
			done <- parallel(writers, func(writer int) bool {
				for range each {
					if _, err := s.tryAppend(t, fmt.Sprintf("%s-%d", mine, writer), esdb.Any{}, events(3)...); err != nil {
						t.Errorf("append: %v", err)
					}
				}
				return true
			})
		}()
		for range 3 {
			sub := s.toAll(t, esdb.SubscribeToAllOptions{From: from})
			next := map[string]uint64{}
			last := from
			for n := 0; n < writers*each*3; {
				got := sub.event(t).OriginalEvent()
				if got.Position.Commit <= last.Commit {
					t.Fatalf("position %v after %v", got.Position, last)
				}
				last = got.Position
				if !strings.HasPrefix(got.StreamID, mine) {
					continue
				}
				if got.EventNumber != next[got.StreamID] {
					t.Fatalf("event %d of %s, want %d", got.EventNumber, got.StreamID, next[got.StreamID])
				}
				next[got.StreamID]++
				n++
			}
		}
		<-done
		// What a read gives, the subscription gives. Of others' streams one may be tombstoned and scavenged meanwhile.
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: from})
		for _, e := range s.readAll(t, esdb.ReadAllOptions{From: from}, all) {
			if !strings.HasPrefix(e.OriginalEvent().StreamID, mine) {
				continue
			}
			got := sub.event(t).OriginalEvent()
			for !strings.HasPrefix(got.StreamID, mine) {
				got = sub.event(t).OriginalEvent()
			}
			if got.EventID != e.OriginalEvent().EventID {
				t.Fatalf("got %d of %s, want %d of %s", got.EventNumber, got.StreamID, e.OriginalEvent().EventNumber, e.OriginalEvent().StreamID)
			}
		}
	})

	t.Run("deletes are events like others", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: s.end(t)})
		want := func(eventType string) {
			t.Helper()
			for {
				if got := sub.event(t).OriginalEvent(); strings.HasSuffix(got.StreamID, stream) {
					if got.EventType != eventType {
						t.Errorf("got a %q, want a %q", got.EventType, eventType)
					}
					return
				}
			}
		}
		// One after the other: a server may scavenge at once what is tombstoned.
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		want("happened")
		s.delete(t, stream, esdb.Any{})
		want("$metadata")
		s.tombstone(t, stream, esdb.Any{})
		want("$streamDeleted")
	})
}
