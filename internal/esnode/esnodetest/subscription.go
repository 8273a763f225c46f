package esnodetest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// subscription reads one step at a time; the context it was opened with bounds every step.
type subscription struct {
	*esdb.Subscription
	stream string
}

func (s *suite) toStream(t *testing.T, stream string, options esdb.SubscribeToStreamOptions) subscription {
	t.Helper()
	inner, err := s.client.SubscribeToStream(bounded(t), stream, options)
	if err != nil {
		t.Fatalf("subscribe to %s: %v", stream, err)
	}
	return opened(t, inner, stream)
}

func (s *suite) toAll(t *testing.T, options esdb.SubscribeToAllOptions) subscription {
	t.Helper()
	inner, err := s.client.SubscribeToAll(bounded(t), options)
	if err != nil {
		t.Fatalf("subscribe to $all: %v", err)
	}
	return opened(t, inner, "$all")
}

func opened(t *testing.T, inner *esdb.Subscription, stream string) subscription {
	t.Helper()
	t.Cleanup(func() {
		if err := inner.Close(); err != nil {
			t.Errorf("close the subscription: %v", err)
		}
	})
	if inner.Id() == "" {
		t.Error("the confirmation has no id")
	}
	return subscription{inner, stream}
}

// next is the next message of any kind; a dropped subscription ends the test.
func (s subscription) next(t *testing.T) *esdb.SubscriptionEvent {
	t.Helper()
	message := s.Recv()
	if message.SubscriptionDropped != nil {
		t.Fatalf("the subscription to %s dropped: %v", s.stream, message.SubscriptionDropped.Error)
	}
	if message.FellBehind != nil {
		t.Error("told that it fell behind")
	}
	return message
}

// event is the next event, whatever else comes before it.
func (s subscription) event(t *testing.T) *esdb.ResolvedEvent {
	t.Helper()
	for {
		if message := s.next(t); message.EventAppeared != nil {
			return message.EventAppeared
		}
	}
}

// wantEvents takes the events from one revision to another, in order and without a gap.
func (s subscription) wantEvents(t *testing.T, from, to uint64) {
	t.Helper()
	for want := from; want <= to; want++ {
		if got := s.event(t).OriginalEvent(); got.EventNumber != want {
			t.Fatalf("event %d of %s, want %d", got.EventNumber, got.StreamID, want)
		}
	}
}

// wantCaughtUp takes the message that history has ended; no event may come before it.
func (s subscription) wantCaughtUp(t *testing.T) {
	t.Helper()
	for {
		message := s.next(t)
		if message.CaughtUp != nil {
			return
		}
		if message.EventAppeared != nil {
			got := message.EventAppeared.OriginalEvent()
			t.Fatalf("event %d of %s, want to be caught up", got.EventNumber, got.StreamID)
		}
	}
}

// wantDropped takes what is left until the server ends the subscription, and answers why.
func (s subscription) wantDropped(t *testing.T) error {
	t.Helper()
	for {
		if message := s.Recv(); message.SubscriptionDropped != nil {
			return message.SubscriptionDropped.Error
		}
	}
}
