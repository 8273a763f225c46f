// Package esnodetest holds the conformance suite of the EventStoreDB gRPC protocol, and a node to run tests on.
//
// [Run] drives any server behind an esdb:// address, through the official Go client where that can express a thing and
// over the raw protocol where it cannot. It expects what the protocol's own servers do and nothing that only the
// embedded node would: streams and event types are fresh in every test, $all is never taken to be empty, and positions
// are opaque. What differs between two servers is a fault of one of them.
//
// Proof that the suite itself is right comes from running it on a real cluster: set ANNALS_TEST_EVENTSTORE.
package esnodetest

import (
	"context"
	"testing"
	"time"

	"annals/internal/esnode"
	"annals/internal/postgres/pgtest"
)

// Start runs a node on a fresh database, on a free port of the loopback, until the test ends. It answers the node's
// connection string, esdb://….
func Start(tb testing.TB) string {
	tb.Helper()
	return start(tb, esnode.Config{}).ConnectionString()
}

// start runs a node as the configuration says, but for where it listens and keeps its log.
func start(tb testing.TB, config esnode.Config) *esnode.Node {
	tb.Helper()
	config.Listen, config.Database = "127.0.0.1:0", pgtest.Database(tb)
	node, err := esnode.Start(tb.Context(), config)
	if err != nil {
		tb.Fatalf("start a node: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 10*time.Second)
		defer cancel()
		if err := node.Close(ctx); err != nil {
			tb.Errorf("close the node: %v", err)
		}
	})
	return node
}

// Run checks the server at connectionString, esdb:// or esdb+discover://, against the protocol. It only adds streams of
// its own, so it may be run on a server that holds data. It takes a little over a minute, most of it one idle
// subscription.
func Run(t *testing.T, connectionString string) {
	t.Helper()
	s := newSuite(t, connectionString)
	testIdle(t, s) // first, because it takes longest
	runBusy(t, s)
}

// runBusy is all of the suite that does not take its time.
func runBusy(t *testing.T, s *suite) {
	t.Helper()
	for _, group := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"append", testAppend},
		{"append at a revision", testDecision},
		{"append limits", testLimits},
		{"append over the wire", testAppendWire},
		{"batch append", testBatch},
		{"delete", testDelete},
		{"filters", testFilters},
		{"links", testLinks},
		{"metadata", testMetadata},
		{"read all", testReadAll},
		{"read over the wire", testReadWire},
		{"read stream", testReadStream},
		{"server", testServer},
		{"subscribe to all", testSubscribeAll},
		{"subscribe to stream", testSubscribeStream},
		{"tombstone", testTombstone},
		{"truncation", testTruncation},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.test(t, s)
		})
	}
}
