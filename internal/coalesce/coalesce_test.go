package coalesce

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFresh: whoever asks learns what was true when they did, or later.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int64]
		var truth, asked atomic.Int64
		ask := func(ctx context.Context) (int64, error) {
			asked.Add(1)
			seen := truth.Load()
			time.Sleep(10 * time.Millisecond)
			return seen, ctx.Err()
		}
		const callers = 100
		for i := range callers {
			truth.Add(1)
			now := truth.Load()
			go func() {
				if got, err := g.Do(t.Context(), "key", ask); err != nil || got < now {
					t.Errorf("caller %d: %d, %v", i, got, err)
				}
			}()
			if i%10 == 0 {
				time.Sleep(7 * time.Millisecond)
			}
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := asked.Load(); n < 2 || n > 15 {
			t.Errorf("asked %d times for %d callers", n, callers)
		}
		if len(g.calls) != 0 {
			t.Errorf("%d questions are left", len(g.calls))
		}
	})
}

func TestAlone(t *testing.T) {
	var g Group[int, string]
	broken := errors.New("broken")
	for i := range 3 {
		if got, err := g.Do(t.Context(), i, func(context.Context) (string, error) { return "x", broken }); got != "x" || !errors.Is(err, broken) {
			t.Errorf("%s %v", got, err)
		}
	}
}

// TestGivenUp: who gives up leaves the question to those who have not.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, string]
		ask := func(ctx context.Context) (string, error) {
			time.Sleep(time.Second)
			return "answer", ctx.Err()
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for _, ctx := range []context.Context{impatient, impatient, t.Context(), t.Context()} {
			go func() {
				got, err := g.Do(ctx, "key", ask)
				if ctx == impatient && !errors.Is(err, context.DeadlineExceeded) || ctx != impatient && (got != "answer" || err != nil) {
					t.Errorf("%q %v", got, err)
				}
			}()
			synctest.Wait()
		}
		// What nobody waits for any more ends too.
		stuck := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		go func() { _, _ = g.Do(impatient, "stuck", stuck) }()
		time.Sleep(2 * most)
		synctest.Wait()
		if len(g.calls) != 0 {
			t.Errorf("%d questions are left", len(g.calls))
		}
	})
}
