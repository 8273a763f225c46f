package csvimport

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzSplitter holds the splitter to its promises: every byte is in exactly one
// record, every line is counted, a record that is not at fault is one for
// encoding/csv as well, and what is at fault is one line.
func FuzzSplitter(f *testing.F) {
	sample, err := os.ReadFile("../../cmd/annals/testdata/clients.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample, false)
	for _, s := range []string{
		"", "\n", "\r\n", "\r", "a", "a,b\nc", "\"", "\"\"", "\"\"\"", "\"a\nb\"\r\nc", "\"a\n\"b", "a\"b\n", ",\",\n\",\n",
		"\"a\"\r", "\"a\r\n\"\r\r\n", "\"\n\"\n\"\n", "\xff\"\x00,\"\n", "a,\"b\n\",\"c\n\"\nd", "\"" + strings.Repeat("\n", 120) + "\"",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, old bool) {
		s := newSplitter(iotest.HalfReader(bytes.NewReader(data)))
		if old {
			s.eol = '\r'
		}
		lines, at := 0, 0
		for {
			rec, err := s.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.line != lines+1 || rec.lines < 1 || rec.lines > 1 && rec.fault != "" {
				t.Fatalf("%+v after line %d", rec, lines)
			}
			whole := data[at : at+rec.size]
			if rec.fault != faultLong && string(bytes.TrimRight(whole, "\r\n")) != string(bytes.TrimRight(rec.raw, "\r\n")) {
				t.Fatalf("%q is not %q", rec.raw, whole)
			}
			at, lines = at+rec.size, lines+rec.lines
			if rec.fault == "" && rec.size <= len(whole) {
				check(t, rec.raw, old)
			}
		}
		want := bytes.Count(data, []byte{s.eol})
		if len(data) > 0 && data[len(data)-1] != s.eol {
			want++
		}
		if at != len(data) || lines != want {
			t.Errorf("%d bytes and %d lines of %d and %d", at, lines, len(data), want)
		}
	})
}

// check reads a record by encoding/csv: it has to be exactly one, or blank.
func check(t *testing.T, raw []byte, old bool) {
	t.Helper()
	f := &file{delimiter: ','}
	if f.blank(raw) {
		return
	}
	c := csv.NewReader(bytes.NewReader(raw))
	want, err := c.Read()
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	got, err := f.fields.read(raw, ',')
	if _, more := c.Read(); !errors.Is(more, io.EOF) {
		// Only where lines do not end with what csv takes for it.
		if !old || !errors.Is(err, errLineEnd) {
			t.Fatalf("%q: got %q, %v, but it holds more", raw, got, err)
		}
		return
	}
	if err != nil && !errors.Is(err, errLineEnd) || err == nil && !slices.Equal(got, want) {
		t.Fatalf("%q: got %q, %v, want %q", raw, got, err, want)
	}
}

func TestSplitterMemory(t *testing.T) {
	// Lines of 64 MiB pass through a buffer of a few.
	var text []io.Reader
	for range 2 {
		text = append(text, io.LimitReader(endless('x'), 64<<20), strings.NewReader("\n"))
	}
	s := newSplitter(io.MultiReader(append(text, strings.NewReader("a,\"\n"))...))
	for i := range 3 {
		rec, err := s.next()
		if err != nil || rec.fault == "" || rec.line != i+1 || len(rec.raw) > keepOfLong {
			t.Errorf("%d: line %d, %q, %v", i, rec.line, rec.fault, err)
		}
	}
	if _, err := s.next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(s.buf) > 4<<20 {
		t.Errorf("the buffer grew to %d bytes", len(s.buf))
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestReaderGivesNothing(t *testing.T) {
	s := newSplitter(nothing{})
	if _, err := s.next(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }
