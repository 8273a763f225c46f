package bundle_test

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"annals/internal/audit/bundle"
)

var (
	seed  = flag.Uint64("seed", 0, "repeat the changes of a run")
	every = flag.Int("every", 97, "of the bytes of a bundle's events, every so many is changed; 1 takes minutes")
)

// Every byte of what is signed counts, and of the other files any.
func TestBytes(t *testing.T) {
	w := newWorld(t, 6)
	keyFile := w.keyFile()
	dir, _ := w.export(bundle.Scope{Kind: "client", ID: w.one.String()})
	testBytes(t, dir, keyFile, read(t, dir), 10_000, 100)
}

// testBytes changes, removes and inserts single bytes: of the notes that are signed so
// many, or all of them, and of the events so many.
func testBytes(t *testing.T, dir, keyFile string, files map[string][]byte, notes, events int) {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	random := rand.New(rand.NewPCG(s, 1))
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		many := 5
		switch name {
		case "events.ndjson":
			many = events
		case "MANIFEST", "checkpoint.txt":
			many = min(notes, len(files[name]))
		}
		for i := range many {
			at := random.IntN(len(files[name]))
			if many == len(files[name]) {
				at = i
			}
			b, what := change(random, files[name], at)
			changed(t, dir, map[string][]byte{name: b}, files, func() {
				if v := verify(t, dir, keyFile); len(v.Faults) == 0 || !strings.HasPrefix(strings.Join(v.Faults, " "), name) && !strings.Contains(strings.Join(v.Faults, " "), name) {
					t.Fatalf("byte %d of %s %s: %q", at, name, what, v.Faults)
				}
				if i%40 == 0 && len(python(t, dir, keyFile)) == 0 {
					t.Fatalf("byte %d of %s %s: the second verifier finds nothing", at, name, what)
				}
			})
		}
	}
}

// testEachByte changes, removes and inserts single bytes of events, of each of them: each
// verifier finds it in the line where it is.
func testEachByte(t *testing.T, dir, keyFile string) {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	out, err := exec.CommandContext(t.Context(), "python3", "testdata/bytes.py", script, dir, keyFile, strconv.Itoa(*every), strconv.FormatUint(s, 10)).CombinedOutput()
	if n, bad := strconv.Atoi(strings.TrimSpace(string(out))); err != nil || bad != nil || n < 10_000 {
		t.Errorf("the second verifier: %v: %.2000s", err, out)
	}
	random, tried := rand.New(rand.NewPCG(s, 2)), 0
	bundle.EachLine(t, dir, publicKeys(t, keyFile), func(n int, line []byte, instead func([]byte) string) {
		for at := random.IntN(*every); at < len(line); at += *every {
			b, what := change(random, line, at)
			tried++
			if instead(b) == "" {
				t.Errorf("byte %d of line %d %s: nothing is found", at, n, what)
			}
		}
	})
	t.Logf("%d bytes changed, and %s by the second", tried, bytes.TrimSpace(out))
	if tried < 10_000 {
		t.Errorf("only %d bytes were changed", tried)
	}
}

// change is b with one byte, at that place, changed, removed or inserted.
func change(random *rand.Rand, b []byte, at int) (changed []byte, what string) {
	b = slices.Clone(b)
	switch random.IntN(4) {
	case 0:
		return slices.Delete(b, at, at+1), "removed"
	case 1:
		return slices.Insert(b, at, byte(random.IntN(256))), "inserted"
	case 2:
		b[at] ^= byte(1 << random.IntN(8))
		return b, "flipped"
	}
	b[at] += byte(1 + random.IntN(255))
	return b, "changed"
}
