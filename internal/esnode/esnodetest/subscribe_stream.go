package esnodetest

import (
	"errors"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
)

func testSubscribeStream(t *testing.T, s *suite) {
	t.Helper()

	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(100)...)
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 0, 99)
		sub.wantCaughtUp(t)
		s.append(t, stream, esdb.Revision(99), events(3)...)
		sub.wantEvents(t, 100, 102)
	})

	t.Run("from a revision, behind it", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(10)...)
		for _, from := range []uint64{0, 4, 8} {
			sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Revision(from)})
			sub.wantEvents(t, from+1, 9)
			sub.wantCaughtUp(t)
		}
		last := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Revision(9)})
		last.wantCaughtUp(t)
		s.append(t, stream, esdb.Revision(9), event(`10`))
		last.wantEvents(t, 10, 10)
	})

	t.Run("from the end", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(5)...)
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.End{}})
		sub.wantCaughtUp(t)
		s.append(t, stream, esdb.Revision(4), events(2)...)
		sub.wantEvents(t, 5, 6)
	})

	t.Run("before the stream begins", func(t *testing.T) {
		t.Parallel()
		for _, from := range []esdb.StreamPosition{esdb.Start{}, esdb.End{}} {
			stream := newStream()
			sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: from})
			sub.wantCaughtUp(t)
			s.append(t, stream, esdb.NoStream{}, events(2)...)
			sub.wantEvents(t, 0, 1)
		}
	})

	t.Run("only its own stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantCaughtUp(t)
		s.append(t, stream+"-other", esdb.NoStream{}, events(2)...)
		s.append(t, stream[:len(stream)-1], esdb.NoStream{}, events(2)...)
		s.setMetadata(t, stream, `{"custom":1}`)
		s.append(t, stream, esdb.Any{}, event(`1`))
		if got := sub.event(t).OriginalEvent(); got.StreamID != stream || got.EventNumber != 0 {
			t.Errorf("event %d of %s", got.EventNumber, got.StreamID)
		}
	})

	t.Run("of metadata", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.setMetadata(t, stream, `{"n":0}`)
		sub := s.toStream(t, "$$"+stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 0, 0)
		sub.wantCaughtUp(t)
		s.setMetadata(t, stream, `{"n":1}`)
		sub.wantEvents(t, 1, 1)
	})

	t.Run("a delete goes unnoticed", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(2)...)
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 0, 1)
		sub.wantCaughtUp(t)
		s.delete(t, stream, esdb.Any{})
		s.append(t, stream, esdb.Any{}, events(2)...)
		sub.wantEvents(t, 2, 3)
	})

	t.Run("of a deleted stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(2)...)
		s.delete(t, stream, esdb.Any{})
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantCaughtUp(t)
		s.append(t, stream, esdb.Any{}, events(2)...)
		sub.wantEvents(t, 2, 3)
	})

	t.Run("a tombstone ends it", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(2)...)
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 0, 1)
		sub.wantCaughtUp(t)
		s.tombstone(t, stream, esdb.Any{})
		wantStatus(t, sub.wantDropped(t), codes.FailedPrecondition)
	})

	t.Run("of a tombstoned stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(2)...)
		s.tombstone(t, stream, esdb.Any{})
		answers, trailer, err := s.raw.read(t, subscribing(reading(stream)))
		wantStatus(t, err, codes.FailedPrecondition)
		wantTrailer(t, trailer, "exception", "stream-deleted")
		wantTrailer(t, trailer, "stream-name", stream)
		if countEvents(answers) != 0 {
			t.Errorf("answered %v", answers)
		}
	})

	t.Run("no gap and no duplicate under writers", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		const writers, each = 4, 25
		s.append(t, stream, esdb.NoStream{}, events(200)...)
		done := make(chan int, 1)
		go func() {
			done <- parallel(writers, func(int) bool {
				for range each {
					if _, err := s.tryAppend(t, stream, esdb.Any{}, events(3)...); err != nil {
						t.Errorf("append: %v", err)
					}
				}
				return true
			})
		}()
		const last = 200 + writers*each*3 - 1
		for range 4 { // each begins somewhere in the middle of the writing
			sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
			sub.wantEvents(t, 0, last)
		}
		<-done
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Revision(last - 10)})
		sub.wantEvents(t, last-9, last)
		sub.wantCaughtUp(t)
	})

	t.Run("a slow consumer misses nothing", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`0`))
		call := s.raw.subscribe(t, subscribing(reading(stream)))
		if _, err := call.Recv(); err != nil {
			t.Fatalf("receive: %v", err)
		}
		// More than every buffer on the way holds, while nobody reads.
		const more = 600
		for range more / 20 {
			list := events(20)
			for i := range list {
				list[i].Metadata = make([]byte, 10_000)
			}
			s.append(t, stream, esdb.Any{}, list...)
		}
		for want := uint64(1); want <= more; {
			answer, err := call.Recv()
			if err != nil {
				t.Fatalf("receive event %d: %v", want, err)
			}
			if answer.GetFellBehind() != nil {
				t.Error("told that it fell behind")
			}
			if e := answer.GetEvent(); e != nil {
				if got := e.GetEvent().GetStreamRevision(); got != want {
					t.Fatalf("event %d, want %d", got, want)
				}
				want++
			}
		}
		s.append(t, stream, esdb.Any{}, event(`"live"`))
		for {
			answer, err := call.Recv()
			if err != nil {
				t.Fatalf("receive the live event: %v", err)
			}
			if e := answer.GetEvent(); e != nil {
				if got := e.GetEvent().GetStreamRevision(); got != more+1 {
					t.Errorf("event %d, want %d", got, more+1)
				}
				break
			}
		}
	})

	t.Run("closing it", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(50)...)
		for range 20 {
			sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
			sub.wantEvents(t, 0, 3)
			if err := sub.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if err := sub.wantDropped(t); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("dropped with %v", err)
			}
		}
	})
}
