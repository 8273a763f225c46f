package esnodetest_test

import (
	"os"
	"testing"

	"annals/internal/esnode/esnodetest"
)

// TestConformance holds the server behind ANNALS_TEST_EVENTSTORE, an esdb:// address, against the protocol; without
// one, the embedded node.
func TestConformance(t *testing.T) {
	t.Parallel()
	address := os.Getenv("ANNALS_TEST_EVENTSTORE")
	if address == "" {
		address = esnodetest.Start(t)
	}
	esnodetest.Run(t, address)
}
