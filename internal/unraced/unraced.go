// Package unraced runs long tests in full without the race detector, which makes them
// take three to ten times as long, and sees in a little of them what it would see in all.
package unraced

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"annals/internal/raced"
)

// Only says whether the test is to be left out here: where the race detector watches, it is
// run by [Of]'s other process alone. It is for what does nothing at once that other tests of
// the package do not.
func Only(t *testing.T) (skip bool) {
	t.Helper()
	return Of(t, 1, 0) == 0
}

// Of is how much of all the test does: all of it, or, where the race detector watches, as
// much as is watched. Then the test is run once more, by a process of its own that has no
// detector, with the variables of env, and does all of it there.
func Of(t *testing.T, all, watched int, env ...string) int {
	t.Helper()
	if !raced.On || all <= watched {
		return all
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	t.Run("unraced", func(t *testing.T) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=40m", "-v", "-run=^"+name+"$", ".") //nolint:gosec // the test itself
		cmd.Env = append(os.Environ(), env...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // which ends what it has started, too
		cmd.WaitDelay = time.Minute
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !bytes.Contains(out, []byte("--- PASS: "+name+" (")) {
			t.Fatalf("it was not run:\n%s", out)
		}
		t.Logf("%s", out)
	})
	return watched
}
