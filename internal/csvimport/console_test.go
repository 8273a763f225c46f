package csvimport_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"annals/internal/csvimport"
)

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	c := csvimport.Console{Out: &out, Terminal: true, Size: 2000}
	sum := csvimport.Summary{Rows: 500, Registered: 490, Unchanged: 7, Rejected: 3}
	c.Progress(csvimport.Progress{Summary: sum, Bytes: 1000, Elapsed: 2 * time.Second})
	c.Rejected(csvimport.Reject{Line: 7, Reason: "holds \x1b[2J"})
	c.Progress(csvimport.Progress{Summary: sum, Bytes: 1000, Trouble: "connection refused"})
	c.Progress(csvimport.Progress{Summary: sum, Bytes: 1000, Trouble: "connection refused"})
	c.Finish()
	const line = "\r50% 500 rows, 490 registered, 7 unchanged, 3 rejected"
	want := line + ", 250/s\x1b[K" + "\r\x1b[K" + "line 7: holds \ufffd[2J\n" +
		"the server takes nothing, trying again: connection refused\n" + line + "\x1b[K" + line + "\x1b[K" + "\r\x1b[K"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestConsoleTellsTheFirst(t *testing.T) {
	for file, lines := range map[string]int{"rejects.csv": 21, "": 24} {
		var out bytes.Buffer
		c := csvimport.Console{Out: &out, Rejects: file}
		for i := range 24 {
			c.Rejected(csvimport.Reject{Line: i, Reason: "x"})
		}
		c.Progress(csvimport.Progress{})
		c.Finish()
		if n := strings.Count(out.String(), "\n"); n != lines {
			t.Errorf("%q: %d lines, want %d", file, n, lines)
		}
		if file != "" && !strings.HasSuffix(out.String(), "… and 4 more in rejects.csv\n") {
			t.Errorf("ends with %q", out.String())
		}
	}
}

func TestSummary(t *testing.T) {
	for want, s := range map[string]csvimport.Summary{
		"67 registered, 0 unchanged, 24 rejected":                    {Rows: 91, Registered: 67, Rejected: 24},
		"0 registered, 1 unchanged, 0 rejected (and 1 empty line)":   {Rows: 1, Unchanged: 1, Empty: 1},
		"0 registered, 1 unchanged, 0 rejected (and 12 empty lines)": {Rows: 1, Unchanged: 1, Empty: 12},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
