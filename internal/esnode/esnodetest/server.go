package esnodetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	streamsService    = "event_store.client.streams.streams"
	persistentService = "event_store.client.persistent_subscriptions.persistentsubscriptions"
)

func testServer(t *testing.T, s *suite) {
	t.Helper()

	t.Run("tells what it can", func(t *testing.T) {
		t.Parallel()
		features, err := serverfeatures.NewServerFeaturesClient(s.raw.conn).GetSupportedMethods(bounded(t), &shared.Empty{})
		if err != nil {
			t.Fatalf("features: %v", err)
		}
		offered := map[string]bool{}
		for _, m := range features.GetMethods() {
			name := m.GetServiceName() + "/" + m.GetMethodName()
			if name != strings.ToLower(name) {
				t.Errorf("%s is not in lower case", name)
			}
			offered[name] = true
		}
		for _, method := range []string{"read", "append", "delete", "tombstone"} {
			if !offered[streamsService+"/"+method] {
				t.Errorf("%s is not offered", method)
			}
		}
		version, err := s.client.GetServerVersion()
		if err != nil {
			t.Fatalf("version: %v", err)
		}
		if version.Major < 23 {
			t.Errorf("version %s: clients take it for a server that never says it is caught up", features.GetEventStoreServerVersion())
		}
	})

	t.Run("offers persistent subscriptions or has none", func(t *testing.T) {
		t.Parallel()
		features, err := serverfeatures.NewServerFeaturesClient(s.raw.conn).GetSupportedMethods(bounded(t), &shared.Empty{})
		if err != nil {
			t.Fatalf("features: %v", err)
		}
		offered := false
		for _, m := range features.GetMethods() {
			offered = offered || m.GetServiceName() == persistentService
		}
		call, err := persistent.NewPersistentSubscriptionsClient(s.raw.conn).Read(bounded(t))
		if err == nil {
			err = call.CloseSend()
		}
		if err == nil {
			_, err = call.Recv()
		}
		if missing := status.Code(err) == codes.Unimplemented; missing == offered {
			t.Errorf("offered: %t, but a call is answered %v", offered, err)
		}
	})

	t.Run("is the living leader", func(t *testing.T) {
		t.Parallel()
		info, err := gossip.NewGossipClient(s.raw.conn).Read(bounded(t), &shared.Empty{})
		if err != nil {
			t.Fatalf("gossip: %v", err)
		}
		leaders := 0
		for _, member := range info.GetMembers() {
			if member.GetState() == gossip.MemberInfo_Leader && member.GetIsAlive() {
				leaders++
				if member.GetHttpEndPoint().GetAddress() == "" || member.GetHttpEndPoint().GetPort() == 0 || member.GetInstanceId() == nil {
					t.Errorf("the leader is told as %v", member)
				}
			}
		}
		if leaders != 1 {
			t.Errorf("%d leaders among %v", leaders, info.GetMembers())
		}
	})

	t.Run("is discovered", func(t *testing.T) {
		t.Parallel()
		info, err := gossip.NewGossipClient(s.raw.conn).Read(bounded(t), &shared.Empty{})
		if err != nil {
			t.Fatalf("gossip: %v", err)
		}
		host, port, _ := strings.Cut(s.raw.address, ":")
		seeds := fmt.Sprintf("%s:%s,%s:%s", host, port, host, port)
		for _, way := range []string{"esdb+discover://" + s.raw.address, "esdb://" + seeds} {
			config, err := esdb.ParseConnectionString(way)
			if err != nil {
				t.Fatalf("parse %s: %v", way, err)
			}
			config.Logger = nil
			config.DisableTLS, config.RootCAs = s.config.DisableTLS, s.config.RootCAs
			config.SkipCertificateVerification = s.config.SkipCertificateVerification
			config.Username, config.Password = s.config.Username, s.config.Password
			found := &suite{config: *config}
			found.client = found.newClient(t)
			stream := newStream()
			if _, err := found.tryAppend(t, stream, esdb.NoStream{}, event(`1`)); err != nil {
				t.Errorf("append by %s, gossip %v: %v", way, info.GetMembers(), err)
				continue
			}
			wantNumbers(t, found.read(t, stream, esdb.ReadStreamOptions{}, all), "0")
		}
	})

	t.Run("answers plain HTTP on the same port", func(t *testing.T) {
		t.Parallel()
		code, _ := s.get(t, "/health/live")
		if code != http.StatusNoContent {
			t.Errorf("/health/live answers %d", code)
		}
		code, body := s.get(t, "/info")
		var info map[string]any
		if err := json.Unmarshal(body, &info); code != http.StatusOK || err != nil {
			t.Fatalf("/info answers %d, %q", code, body)
		}
		if state, ok := info["state"].(string); !ok || !strings.EqualFold(state, "leader") {
			t.Errorf("/info tells the state %v", info["state"])
		}
		if code, _ := s.get(t, "/nothing/"+fresh("here")); code == http.StatusOK {
			t.Error("an unknown path is found")
		}
	})

	t.Run("knows no other method", func(t *testing.T) {
		t.Parallel()
		err := s.raw.conn.Invoke(bounded(t), "/event_store.client.streams.Streams/Nonsense", &shared.Empty{}, &shared.Empty{})
		wantStatus(t, err, codes.Unimplemented)
	})

	t.Run("honours a deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		call, err := s.raw.streams.Read(ctx, subscribing(reading(newStream())))
		for err == nil {
			_, err = call.Recv()
		}
		wantStatus(t, err, codes.DeadlineExceeded)
	})
}

func (s *suite) get(t *testing.T, path string) (int, []byte) {
	t.Helper()
	scheme := "http"
	transport := &http.Transport{DisableKeepAlives: true}
	if s.raw.tls != nil {
		scheme, transport.TLSClientConfig = "https", s.raw.tls.Clone()
	}
	request, err := http.NewRequestWithContext(bounded(t), http.MethodGet, scheme+"://"+s.raw.address+path, http.NoBody)
	if err != nil {
		t.Fatalf("request %s: %v", path, err)
	}
	if s.config.Username != "" {
		request.SetBasicAuth(s.config.Username, s.config.Password)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatalf("get %s: %v", path, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return response.StatusCode, body
}

// testIdle leaves subscriptions alone for longer than it takes a server to mind the pings of its clients, which come
// every 10 seconds whether there is anything to say or not.
func testIdle(t *testing.T, s *suite) {
	t.Helper()

	t.Run("idle for more than a minute", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 62*time.Second+patience)
		defer cancel()
		stream, mine := newStream(), fresh("idle")
		toStream, err := s.newClient(t).SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		if err != nil {
			t.Fatalf("subscribe: %v", err)
		}
		toAll, err := s.newClient(t).SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
			From: esdb.End{}, Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{mine}},
		})
		if err != nil {
			t.Fatalf("subscribe: %v", err)
		}
		// A client that has called once and says nothing more.
		silent := s.newClient(t)
		if _, err := silent.AppendToStream(ctx, newStream(), esdb.AppendToStreamOptions{}, event(`1`)); err != nil {
			t.Fatalf("append: %v", err)
		}

		type arrival struct {
			from string
			what *esdb.SubscriptionEvent
		}
		arrivals := make(chan arrival)
		for from, sub := range map[string]subscription{"the stream": opened(t, toStream, stream), "$all": opened(t, toAll, "$all")} {
			go func() {
				for {
					message := sub.Recv()
					if message.EventAppeared == nil && message.SubscriptionDropped == nil {
						continue
					}
					select {
					case arrivals <- arrival{from, message}:
					case <-ctx.Done():
						return
					}
					if message.SubscriptionDropped != nil {
						return
					}
				}
			}()
		}
		select {
		case got := <-arrivals:
			t.Fatalf("from %s came %+v", got.from, got.what)
		case <-time.After(62 * time.Second):
		}
		if _, err := silent.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{}, typed(mine, events(1))...); err != nil {
			t.Errorf("append by the silent client: %v", err)
		}
		for range 2 {
			select {
			case got := <-arrivals:
				if got.what.EventAppeared == nil {
					t.Fatalf("from %s came %v", got.from, got.what.SubscriptionDropped.Error)
				}
			case <-ctx.Done():
				t.Fatal("the event does not come")
			}
		}
	})
}
