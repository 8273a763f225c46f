package bundle

import (
	"bufio"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// EachLine goes through the events of a bundle. Each is told with its newline, and with
// what the verifier says when other bytes are in its place and all others as they are.
func EachLine(t *testing.T, dir string, keys Keys, each func(n int, line []byte, instead func([]byte) string)) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, eventsFile))
	if err != nil {
		t.Fatal(err)
	}
	c := &check{Verdict: &Verdict{}, dir: dir, keys: keys}
	c.checkpoint()
	s := &sequence{check: c, seen: map[string]int64{}, last: -1}
	all := bytes.SplitAfter(raw, []byte("\n"))
	for i, line := range all[:len(all)-1] {
		before := *s
		before.seen = maps.Clone(s.seen)
		each(i+1, line, func(b []byte) string {
			changed := before
			changed.seen = maps.Clone(before.seen)
			if !bytes.HasSuffix(b, []byte("\n")) { // then what follows is of the same line
				b = bytes.Join([][]byte{b, all[i+1]}, nil)
			}
			in := bufio.NewScanner(bytes.NewReader(b))
			in.Buffer(nil, maxLine)
			in.Split(wholeLines)
			for in.Scan() {
				if what := changed.line(in.Bytes()); what != "" {
					return what
				}
			}
			if in.Err() != nil {
				return in.Err().Error()
			}
			return ""
		})
		if what := s.line(bytes.TrimSuffix(line, []byte("\n"))); what != "" {
			t.Fatalf("line %d: %s", i+1, what)
		}
	}
}
