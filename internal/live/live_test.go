package live_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/note"
	"annals/domain/role"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/live"
)

// script is a log in memory: it ends each subscription after some items.
type script struct {
	mu    sync.Mutex
	items []eventlog.Record
	more  chan struct{}
	after int
}

func at(n int) eventlog.Position { return eventlog.Position{Commit: uint64(n), Prepare: uint64(n)} }

var project = domain.Place{Project: uuid.UUID{1}}

func (s *script) add(stream string, events ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.items = append(s.items, eventlog.Record{Stream: stream, Revision: 7, Position: at(len(s.items) + 1), ID: uuid.New(), Type: eventschema.Name(e), Event: e})
	}
	close(s.more)
	s.more = make(chan struct{})
}

func (s *script) Head(context.Context) (eventlog.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at(len(s.items)), nil
}

func (s *script) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return func(yield func(eventlog.Item, error) bool) {
		seen := 0
		for n := int(after.Commit); ; {
			s.mu.Lock()
			items, more := s.items, s.more
			s.mu.Unlock()
			for ; n < len(items); n++ {
				if seen++; s.after > 0 && seen > s.after {
					yield(eventlog.Item{}, errors.New("dropped"))
					return
				}
				if !yield(eventlog.Item{Record: &items[n], Position: items[n].Position}, nil) {
					return
				}
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(eventlog.Item{}, ctx.Err())
				return
			}
		}
	}
}

// hub runs one on a script, in a bubble.
func hub(t *testing.T, keep int, f func(s *script, h *live.Hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{more: make(chan struct{})}
		s.add("client-00000000-0000-4000-8000-000000000001", client.Registered{}) // before anybody looks
		reached := eventlog.Position{}
		h := live.New(live.Config{
			Log: s, Keep: keep,
			Reached: func(_ context.Context, at eventlog.Position) error { reached = at; return nil },
			Places: func(_ context.Context, ids []domain.ID) (map[domain.ID]domain.Place, error) {
				out := map[domain.ID]domain.Place{}
				for _, id := range ids {
					out[id] = project
				}
				return out, nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		synctest.Wait()
		f(s, h)
		synctest.Wait()
		if s.after == 0 && reached != at(len(s.items)) && len(s.items) > 1 {
			t.Errorf("told before the read models show it: %s of %d", reached, len(s.items))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		select {
		case <-h.Done():
		default:
			t.Error("not done")
		}
	})
}

func stream(n int) string {
	return fmt.Sprintf("client-00000000-0000-4000-8000-%012d", n)
}

func taken(r *live.Reader) (got []string, ok bool) {
	ok = r.Take(func(c *live.Change) { got = append(got, c.Position.String()+" "+c.Type) })
	return got, ok
}

func TestReaders(t *testing.T) {
	t.Parallel()
	hub(t, 0, func(s *script, h *live.Hub) {
		now, ok := h.Changes(nil)
		if got, _ := taken(now); !ok || got != nil {
			t.Errorf("%v of what was before", got)
		}
		more := now.More()
		s.add(stream(2), client.Registered{}, client.StatusChanged{})
		s.add("role-00000000-0000-4000-8000-000000000009", role.Deleted{})
		s.add("employee-00000000-0000-4000-8000-000000000008", employee.Deactivated{})
		s.add("project-00000000-0000-4000-8000-000000000007", struct{}{})
		synctest.Wait()
		select {
		case <-more:
		default:
			t.Error("nobody was told")
		}
		want := []string{"2 client.registered", "3 client.status_changed", "4 role.deleted", "5 employee.deactivated"}
		if got, ok := taken(now); !ok || !slices.Equal(got, want) || now.At() != at(6) {
			t.Errorf("%v, %v at %s", got, ok, now.At())
		}
		if got, _ := taken(now); got != nil {
			t.Errorf("%v twice", got)
		}
		again, ok := h.Changes(new(at(2)))
		if got, _ := taken(again); !ok || !slices.Equal(got, want[1:]) {
			t.Errorf("%v, %v from 2 on", got, ok)
		}
		if _, ok := h.Changes(new(at(0))); ok {
			t.Error("what was before is not known")
		}
		// Another process is further: what it has told already is not told again.
		ahead, ok := h.Changes(new(at(8)))
		s.add(stream(3), client.Registered{}, client.StatusChanged{}, client.Reactivated{})
		synctest.Wait()
		if got, _ := taken(ahead); !ok || !slices.Equal(got, []string{"9 client.reactivated"}) {
			t.Errorf("%v, %v from 8 on", got, ok)
		}
	})
}

// What happens too fast is forgotten, and said to be.
func TestRingIsBounded(t *testing.T) {
	t.Parallel()
	hub(t, 10, func(s *script, h *live.Hub) {
		slow, _ := h.Changes(nil)
		for range 10 {
			s.add(stream(2), client.Registered{})
		}
		synctest.Wait()
		if got, ok := taken(slow); !ok || len(got) != 10 {
			t.Errorf("%v %v", got, ok)
		}
		for range 11 {
			s.add(stream(2), client.Registered{})
		}
		synctest.Wait()
		if got, ok := taken(slow); ok || got != nil {
			t.Errorf("%v, %v of more than is kept", got, ok)
		}
		if got, ok := taken(slow); !ok || got != nil || slow.At() != at(22) {
			t.Errorf("%v, %v afterwards", got, ok)
		}
		for n, want := range map[int]bool{11: false, 12: true, 22: true} {
			r, ok := h.Changes(new(at(n)))
			if got, _ := taken(r); ok != want || ok && len(got) != 22-n {
				t.Errorf("from %d: %v %v", n, got, ok)
			}
		}
	})
}

// A log that breaks off is followed from where it was: nothing is lost or told twice.
func TestTheLogBreaksOff(t *testing.T) {
	t.Parallel()
	hub(t, 0, func(s *script, h *live.Hub) {
		r, _ := h.Changes(nil)
		s.mu.Lock()
		s.after = 3
		s.mu.Unlock()
		for range 50 {
			s.add(stream(2), client.Registered{})
		}
		var got []string
		for len(got) < 50 {
			<-r.More()
			more, ok := taken(r)
			if got = append(got, more...); !ok {
				t.Fatal("lost")
			}
		}
		for i, one := range got {
			if one != fmt.Sprintf("%d client.registered", i+2) {
				t.Errorf("%d: %s", i, one)
			}
		}
	})
}

// Who is notified is told so, and nobody else.
func TestBells(t *testing.T) {
	t.Parallel()
	hub(t, 0, func(s *script, h *live.Hub) {
		ann, bob := uuid.UUID{0x30}, uuid.UUID{0x31}
		anns, bobs, closed := h.Listen(ann), h.Listen(bob), h.Listen(ann)
		closed.Close()
		for range 3 {
			s.add("note-00000000-0000-4000-8000-000000000003", note.Added{Mentions: []domain.ID{ann}})
		}
		synctest.Wait()
		rang := func(b *live.Bell) (n int) {
			for {
				select {
				case <-b.C:
					n++
				default:
					return n
				}
			}
		}
		if a, b, c := rang(anns), rang(bobs), rang(closed); a != 1 || b != 0 || c != 0 {
			t.Errorf("%d %d %d", a, b, c)
		}
		anns.Close()
		bobs.Close()
	})
}
