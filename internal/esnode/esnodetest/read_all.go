package esnodetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func testReadAll(t *testing.T, s *suite) {
	t.Helper()

	// The events of one append stand side by side in $all, so three of them show exactly where a read begins.
	three := func(t *testing.T) []*esdb.RecordedEvent {
		t.Helper()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		var list []*esdb.RecordedEvent
		for _, e := range s.read(t, stream, esdb.ReadStreamOptions{}, all) {
			list = append(list, e.OriginalEvent())
		}
		return list
	}
	same := func(t *testing.T, got []*esdb.ResolvedEvent, want ...*esdb.RecordedEvent) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("read %d events, want %d", len(got), len(want))
			return
		}
		for i := range want {
			if g := got[i].OriginalEvent(); g.EventID != want[i].EventID || g.Position != want[i].Position || g.StreamID != want[i].StreamID {
				t.Errorf("event %d is %d of %s at %v, want %d of %s at %v", i,
					g.EventNumber, g.StreamID, g.Position, want[i].EventNumber, want[i].StreamID, want[i].Position)
			}
		}
	}

	t.Run("forwards from a position includes it", func(t *testing.T) {
		t.Parallel()
		mine := three(t)
		same(t, s.readAll(t, esdb.ReadAllOptions{From: mine[0].Position}, 3), mine...)
		same(t, s.readAll(t, esdb.ReadAllOptions{From: mine[1].Position}, 2), mine[1:]...)
		same(t, s.readAll(t, esdb.ReadAllOptions{From: mine[2].Position}, 1), mine[2])
	})

	t.Run("backwards from a position excludes it", func(t *testing.T) {
		t.Parallel()
		mine := three(t)
		same(t, s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: mine[2].Position}, 2), mine[1], mine[0])
		same(t, s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: mine[1].Position}, 1), mine[0])
	})

	t.Run("forwards from the start", func(t *testing.T) {
		t.Parallel()
		s.append(t, newStream(), esdb.NoStream{}, events(60)...)
		list := s.readAll(t, esdb.ReadAllOptions{}, 50)
		if len(list) != 50 {
			t.Fatalf("read %d events, want 50", len(list))
		}
		var last esdb.Position
		for _, e := range list {
			at := e.OriginalEvent().Position
			if at.Commit <= last.Commit || at.Prepare <= last.Prepare {
				t.Errorf("position %v after %v", at, last)
			}
			last = at
		}
		// Reading on begins there again, unless the event was of a stream that is scavenged by now.
		on := s.readAll(t, esdb.ReadAllOptions{From: last}, 2)
		if len(on) == 0 || on[0].OriginalEvent().Position.Commit < last.Commit {
			t.Error("reading on from a position begins elsewhere")
		}
	})

	t.Run("backwards from the end", func(t *testing.T) {
		t.Parallel()
		mine := three(t)
		list := s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, all)
		found := 0
		for i, e := range list {
			if i > 0 && e.OriginalEvent().Position.Commit >= list[i-1].OriginalEvent().Position.Commit {
				t.Fatalf("position %v after %v", e.OriginalEvent().Position, list[i-1].OriginalEvent().Position)
			}
			if e.OriginalEvent().StreamID == mine[0].StreamID {
				found++
			}
		}
		if found != 3 {
			t.Errorf("found %d of 3 events", found)
		}
		if len(s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 2)) != 2 {
			t.Error("a count is not honoured")
		}
	})

	t.Run("both directions see the same", func(t *testing.T) {
		t.Parallel()
		from, mine := s.end(t), fresh("both")
		parallel(4, func(writer int) bool {
			for range 10 {
				s.append(t, fmt.Sprintf("%s-%d", mine, writer), esdb.Any{}, events(3)...)
			}
			return true
		})
		until := s.end(t)
		own := func(list []*esdb.ResolvedEvent) (ids []uuid.UUID) {
			for _, e := range list {
				if strings.HasPrefix(e.OriginalEvent().StreamID, mine) {
					ids = append(ids, e.OriginalEvent().EventID)
				}
			}
			return ids
		}
		forwards := s.readAll(t, esdb.ReadAllOptions{From: from}, all)
		backwards := s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: until}, uint64(len(forwards)))
		there, again := own(forwards), own(backwards)
		slices.Reverse(again)
		if len(there) != 120 || !slices.Equal(there, again) {
			t.Errorf("%d events forwards, %d backwards, want the same 120", len(there), len(again))
		}
	})

	t.Run("from the wrong end", func(t *testing.T) {
		t.Parallel()
		mark := s.end(t)
		for _, e := range s.readAll(t, esdb.ReadAllOptions{From: esdb.End{}}, 10) {
			if e.OriginalEvent().Position.Commit <= mark.Commit {
				t.Errorf("forwards from the end gives the event at %v", e.OriginalEvent().Position)
			}
		}
		if list := s.readAll(t, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.Start{}}, 10); len(list) != 0 {
			t.Errorf("backwards from the start gives %d events", len(list))
		}
	})

	t.Run("deleted and truncated events stay", func(t *testing.T) {
		t.Parallel()
		deleted, truncated := newStream(), newStream()
		from := s.end(t)
		s.append(t, deleted, esdb.NoStream{}, events(3)...)
		s.append(t, truncated, esdb.NoStream{}, events(3)...)
		s.delete(t, deleted, esdb.Any{})
		s.setMetadata(t, truncated, `{"$maxCount":1,"$tb":2}`)
		count := map[string]int{}
		for _, e := range s.readAll(t, esdb.ReadAllOptions{From: from}, all) {
			count[e.OriginalEvent().StreamID]++
		}
		if count[deleted] != 3 || count["$$"+deleted] != 1 || count[truncated] != 3 || count["$$"+truncated] != 1 {
			t.Errorf("$all holds %d, %d, %d, %d events, want 3, 1, 3, 1",
				count[deleted], count["$$"+deleted], count[truncated], count["$$"+truncated])
		}
	})
}
