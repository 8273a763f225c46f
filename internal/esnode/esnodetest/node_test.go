package esnodetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"annals/internal/esnode"
)

// TestNode holds what the embedded node promises beyond the protocol.
func TestNode(t *testing.T) {
	t.Parallel()
	s := newSuite(t, Start(t))

	t.Run("a refusal reaches the official client whole", func(t *testing.T) {
		t.Parallel()
		// A server that answers before it has heard everything leaves the client with a broken pipe.
		for range 10 {
			list := events(20)
			for i := range list {
				list[i].Data = make([]byte, 500_000)
			}
			_, err := s.tryAppend(t, newStream(), esdb.Any{}, list...)
			if err == nil || strings.Contains(err.Error(), "EOF") || !strings.Contains(strings.ToLower(err.Error()), "size") {
				t.Fatalf("too much is answered %v", err)
			}
			list = events(300)
			list[0].EventType = ""
			if _, err = s.tryAppend(t, newStream(), esdb.Any{}, list...); err == nil || strings.Contains(err.Error(), "EOF") {
				t.Fatalf("a bad event is answered %v", err)
			}
		}
	})

	t.Run("a conflict reaches the official client whole", func(t *testing.T) {
		t.Parallel()
		stream, buried := newStream(), newStream()
		s.tombstone(t, buried, esdb.Any{})
		for range 20 {
			_, err := s.tryAppend(t, stream, esdb.Revision(5), events(300)...)
			wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)
			_, err = s.tryAppend(t, buried, esdb.Any{}, events(300)...)
			wantCode(t, err, esdb.ErrorCodeStreamDeleted)
		}
	})

	t.Run("what no table can hold is refused", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"nul\x00" + newStream(), "\xff\xfe" + newStream(), strings.Repeat("long", 10_000) + newStream()} {
			_, _, err := s.raw.append(t, opening(to(name)), proposing(proposal("1")))
			wantStatus(t, err, codes.InvalidArgument)
			answers, _, err := s.raw.read(t, reading(name))
			if err == nil && (len(answers) != 1 || answers[0].GetStreamNotFound() == nil) {
				t.Errorf("read of a name that cannot be: %v", answers)
			}
		}
		m := proposal("1")
		m.Metadata["type"] = "nul\x00"
		_, _, err := s.raw.append(t, opening(to(newStream())), proposing(m))
		wantStatus(t, err, codes.InvalidArgument, codes.Unknown)
		s.append(t, newStream(), esdb.NoStream{}, event(`"it lives on"`))
	})

	t.Run("no append to $all", func(t *testing.T) {
		t.Parallel()
		_, _, err := s.raw.append(t, opening(to("$all")), proposing(proposal("1")))
		wantStatus(t, err, codes.PermissionDenied)
	})

	t.Run("no persistent subscriptions", func(t *testing.T) {
		t.Parallel()
		features, err := serverfeatures.NewServerFeaturesClient(s.raw.conn).GetSupportedMethods(bounded(t), &shared.Empty{})
		if err != nil {
			t.Fatalf("features: %v", err)
		}
		for _, m := range features.GetMethods() {
			if strings.Contains(m.GetServiceName(), "persistent") || strings.Contains(m.GetServiceName(), "projections") {
				t.Errorf("%s/%s is offered", m.GetServiceName(), m.GetMethodName())
			}
		}
	})

	t.Run("a client may call itself an administrator", func(t *testing.T) {
		t.Parallel()
		credentials := &esdb.Credentials{Login: "admin", Password: "changeit"}
		_, err := s.client.AppendToStream(bounded(t), newStream(), esdb.AppendToStreamOptions{Authenticated: credentials}, event(`1`))
		if err != nil {
			t.Errorf("append: %v", err)
		}
	})

	t.Run("its own bookkeeping is not in $all", func(t *testing.T) {
		t.Parallel()
		from, group := s.end(t), newStream()
		mine := "$persistentsubscription-$all::" + group
		s.append(t, mine+"-checkpoint", esdb.Any{}, event(`1`))
		s.append(t, mine+"-parked", esdb.Any{}, event(`1`))
		s.append(t, "$epoch-information", esdb.Any{}, event(`1`))
		s.append(t, mine, esdb.Any{}, event(`1`))
		for _, e := range s.readAll(t, esdb.ReadAllOptions{From: from}, all) {
			if name := e.OriginalEvent().StreamID; name == "$epoch-information" || strings.HasPrefix(name, mine+"-") {
				t.Errorf("%s is read", name)
			}
		}
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: from})
		for {
			name := sub.event(t).OriginalEvent().StreamID
			if name == mine {
				return
			}
			if name == "$epoch-information" || strings.HasPrefix(name, mine) {
				t.Errorf("%s is delivered", name)
			}
		}
	})

	t.Run("there are users from the start", func(t *testing.T) {
		t.Parallel()
		if list := s.read(t, "$users", esdb.ReadStreamOptions{}, 1); len(list) != 1 {
			t.Errorf("read %d events of $users", len(list))
		}
	})
}

// TestNodeEnds closes a node under its clients: nobody may hang, and what was acknowledged is not forgotten.
func TestNodeEnds(t *testing.T) {
	t.Parallel()
	node := start(t, esnode.Config{})
	s := newSuite(t, node.ConnectionString())
	stream := newStream()
	s.append(t, stream, esdb.NoStream{}, events(3)...)
	sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	sub.wantEvents(t, 0, 2)
	sub.wantCaughtUp(t)
	filtered := s.toAll(t, esdb.SubscribeToAllOptions{Filter: esdb.ExcludeSystemEventsFilter()})
	// The npm clients keep one such call open for as long as they live, and say nothing in it most of the time.
	batch, err := s.raw.streams.BatchAppend(bounded(t))
	if err != nil {
		t.Fatalf("open a batch: %v", err)
	}
	err = batch.Send(&streams.BatchAppendReq{
		CorrelationId: structured(uuid.New()), Options: batchTo(newStream()), ProposedMessages: batchOf(1), IsFinal: true,
	})
	if err == nil {
		_, err = batch.Recv()
	}
	if err != nil {
		t.Fatalf("append in a batch: %v", err)
	}
	// A reader that takes nothing.
	s.append(t, stream, esdb.Any{}, event(string(make([]byte, 900_000))))
	for range 10 {
		s.raw.subscribe(t, subscribing(reading(stream)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := node.Close(ctx); err != nil {
		t.Fatalf("close: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("closing waits for those who say nothing")
	}
	if _, err = batch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the open call ends with %v", err)
	}
	wantStatus(t, sub.wantDropped(t), codes.Unavailable)
	wantStatus(t, filtered.wantDropped(t), codes.Unavailable)
	_, err = gossip.NewGossipClient(s.raw.conn).Read(bounded(t), &shared.Empty{})
	wantStatus(t, err, codes.Unavailable)
	if err := node.Close(bounded(t)); err != nil {
		t.Errorf("close again: %v", err)
	}
}
