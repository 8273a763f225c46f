package eventlog

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"annals/internal/esnode/esnodetest"
)

// TestNothingIsLeft is not parallel to others, since it counts goroutines.
func TestNothingIsLeft(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refused.Close()
	for name, connection := range map[string]string{
		"a node":        esnodetest.Start(t),
		"nobody":        at(refused.Addr().String()),
		"an ill server": startFaulty(t, &faulty{err: status.Error(codes.Unavailable, "x")}),
		"a mute server": startFaulty(t, &faulty{hang: true}),
	} {
		l := openLog(t, connection, quick)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		var wg sync.WaitGroup
		for _, do := range calls {
			for range 5 {
				wg.Go(func() {
					if err := do(ctx, l); errors.Is(err, errClosed) {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		cancel()
		l.Close()
		var left []string
		for deadline := time.Now().Add(2*stuck + 5*time.Second); time.Now().Before(deadline); runtime.Gosched() {
			if left = leftovers(); len(left) == 0 {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		for _, g := range left {
			t.Errorf("%s leaves behind\n%s", name, g)
		}
	}
}
