package feed_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"annals/internal/eventlog"
	"annals/internal/feed"
)

// script is a log in memory: what a subscription after a position delivers, and
// how each subscription in turn ends.
type script struct {
	mu    sync.Mutex
	items []eventlog.Item
	more  chan struct{}
	fail  []int // the n-th subscription breaks after so many items
	opens []eventlog.Position
}

func at(n uint64) eventlog.Position { return eventlog.Position{Commit: n, Prepare: n} }

func events(from, to uint64) (items []eventlog.Item) {
	for n := from; n <= to; n++ {
		items = append(items, eventlog.Item{Record: &eventlog.Record{Position: at(n)}, Position: at(n)})
	}
	return items
}

func (s *script) add(items ...eventlog.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, items...)
	close(s.more)
	s.more = make(chan struct{})
}

var errDropped = errors.New("the connection was dropped")

func (s *script) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return func(yield func(eventlog.Item, error) bool) {
		s.mu.Lock()
		nth := len(s.opens)
		s.opens = append(s.opens, after)
		s.mu.Unlock()
		seen := 0
		for i := 0; ; i++ {
			s.mu.Lock()
			items, more := s.items, s.more
			s.mu.Unlock()
			if i == len(items) {
				select {
				case <-more:
					i--
					continue
				case <-ctx.Done():
					yield(eventlog.Item{}, ctx.Err())
					return
				}
			}
			if nth < len(s.fail) && seen == s.fail[nth] {
				yield(eventlog.Item{}, errDropped)
				return
			}
			item := items[i]
			if item.Record != nil && item.Position.Compare(after) <= 0 {
				continue
			}
			seen++
			if !yield(item, nil) {
				return
			}
		}
	}
}

// reader is what a projector is to the feed: it keeps a position, and refuses what
// does not start there.
type reader struct {
	mu      sync.Mutex
	at      eventlog.Position
	got     []uint64
	runs    []feed.Run
	refuse  func(feed.Run) error
	startUp error
}

func (r *reader) start(context.Context, string) (eventlog.Position, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.startUp
	r.startUp = nil
	return r.at, err
}

func (r *reader) handle(msg *message.Message) error {
	run := feed.RunOf(msg)
	if r.refuse != nil {
		if err := r.refuse(run); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if run.From != r.at {
		return errors.New("fenced")
	}
	for _, rec := range run.Records {
		r.got = append(r.got, rec.Position.Commit)
	}
	r.at = run.To
	r.runs = append(r.runs, run)
	return nil
}

// through runs the reader behind a real Watermill router until f returns.
func through(t *testing.T, s *script, r *reader, most int, f func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.more = make(chan struct{})
		router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		if err != nil {
			t.Fatal(err)
		}
		sub := feed.New(feed.Config{Source: s, Start: r.start, MaxRecords: most})
		router.AddConsumerHandler("reader", "reader", sub, r.handle)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- router.Run(ctx) }()
		<-router.Running()
		f()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

func upTo(n uint64) (all []uint64) {
	for i := uint64(1); i <= n; i++ {
		all = append(all, i)
	}
	return all
}

func (r *reader) check(t *testing.T, last uint64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.got, upTo(last)) {
		t.Errorf("got %v, want all up to %d once and in order", r.got, last)
	}
	at := eventlog.Position{}
	for _, run := range r.runs {
		if run.From != at || run.To.Compare(run.From) < 0 {
			t.Errorf("a run from %v to %v after one that ended at %v", run.From, run.To, at)
		}
		at = run.To
	}
}

func TestOrderThroughRouter(t *testing.T) {
	r := &reader{}
	s := &script{items: events(1, 1000)}
	failed, where := 0, at(0)
	r.refuse = func(run feed.Run) error {
		if run.To.Commit > 300 && failed < 3 {
			if failed > 0 && run.From != where {
				t.Errorf("after a run from %v was refused came one from %v", where, run.From)
			}
			failed, where = failed+1, run.From
			return errors.New("the database is down")
		}
		return nil
	}
	through(t, s, r, 100, func() {
		time.Sleep(10 * time.Second)
		synctest.Wait()
	})
	r.check(t, 1000)
	if failed != 3 {
		t.Errorf("the run was refused %d times", failed)
	}
	for _, run := range r.runs {
		if len(run.Records) > 100 {
			t.Errorf("a run has %d records", len(run.Records))
		}
	}
	if len(s.opens) != 1 {
		t.Errorf("%d subscriptions for a reader that stood still", len(s.opens))
	}
}

func TestDroppedSubscriptionResumesFromTheReader(t *testing.T) {
	r := &reader{startUp: errors.New("the database is not up yet")}
	s := &script{items: events(1, 50), fail: []int{0, 7, 20, 1}}
	through(t, s, r, 5, func() {
		time.Sleep(time.Minute)
		synctest.Wait()
		s.add(events(51, 60)...)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
	r.check(t, 60)
	if want := []eventlog.Position{{}, {}, at(7), at(27), at(28)}; !slices.Equal(s.opens, want) {
		t.Errorf("subscribed after %v, want %v", s.opens, want)
	}
}

// Somebody else moved the reader on while a run was refused: the feed goes on from
// where the reader is.
func TestRefusedElsewhere(t *testing.T) {
	r := &reader{}
	s := &script{items: events(1, 20)}
	moved := false
	r.refuse = func(run feed.Run) error {
		if run.To.Commit >= 10 && !moved {
			moved = true
			r.mu.Lock()
			defer r.mu.Unlock()
			r.runs = append(r.runs, feed.Run{From: r.at, To: at(13)})
			r.at, r.got = at(13), upTo(13)
			return errors.New("fenced")
		}
		return nil
	}
	through(t, s, r, 5, func() {
		time.Sleep(time.Minute)
		synctest.Wait()
	})
	r.check(t, 20)
}

// What is live leaves at once, progress alone ten times a second, and the moment of
// having caught up at once and once.
func TestCheckpointsAndLive(t *testing.T) {
	r := &reader{}
	s := &script{items: append(events(1, 3), eventlog.Item{Position: at(3), Live: true})}
	through(t, s, r, 100, func() {
		synctest.Wait()
		r.check(t, 3)
		if n := len(r.runs); n == 0 || !r.runs[n-1].Live {
			t.Errorf("runs %v: none says that it is live", r.runs)
		}
		seen := len(r.runs)
		for n := uint64(10); n < 310; n++ { // three seconds of checkpoints
			s.add(eventlog.Item{Position: at(n)})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(r.runs) - seen; n < 25 || n > 31 {
			t.Errorf("%d runs in three seconds of nothing but checkpoints", n)
		}
		s.add(eventlog.Item{Record: &eventlog.Record{Position: at(500)}, Position: at(500)})
		synctest.Wait()
		if r.at != at(500) {
			t.Errorf("an event waits: the reader is at %v", r.at)
		}
		if last := r.runs[len(r.runs)-1]; !last.Live || len(last.Records) != 1 {
			t.Errorf("last run %v", last)
		}
		seen = len(r.runs)
		s.add(eventlog.Item{Position: at(50), Live: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.runs) != seen {
			t.Error("catching up again was told again")
		}
	})
}

func TestCloseEndsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{items: events(1, 3), more: make(chan struct{})}
		sub := feed.New(feed.Config{Source: s, Start: (&reader{}).start})
		messages, err := sub.Subscribe(context.Background(), "reader")
		if err != nil {
			t.Fatal(err)
		}
		msg := <-messages
		if run := feed.RunOf(msg); len(run.Records) == 0 || msg.UUID != "reader:0" {
			t.Errorf("message %s with %v", msg.UUID, run)
		}
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		if _, open := <-messages; open {
			t.Error("a message after closing")
		}
		synctest.Wait()
	})
}
