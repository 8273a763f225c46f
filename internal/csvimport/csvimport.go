// Package csvimport reads clients from CSV files as they come from other systems,
// and registers each through the HTTP API.
//
// A row is one command. Its idempotency key is derived from its content, so that
// importing a file again, or going on after a failure, changes nothing that has
// been done; it also makes two identical rows of one file one client. A row that
// cannot be read, or that the API refuses, is rejected with its line and the
// reason, and the rest goes on. Memory does not grow with the file.
//
// The format is RFC 4180 with any delimiter and line end. What differs from it is
// told rather than guessed at: see splitter. Proved by TestDefects, FuzzSplitter
// and TestManyRows.
package csvimport

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a file holds and where its rows go.
type Options struct {
	Project     string            // id of the project of rows that name none themselves
	Desk        string            // id of the desk of rows that name none themselves; may be empty
	Map         map[string]string // field → column; nil: columns named like a field
	Null        []string          // cells that are exactly one of these are empty
	Delimiter   rune              // 0: told from the header: comma, semicolon, tab or vertical bar
	Encoding    string            // a name of the WHATWG encoding standard; empty: UTF-8. A byte order mark wins
	Concurrency int               // commands under way at once; 0: 16
	Rejects     io.Writer         // gets the rejected rows as CSV; may be nil

	Progress func(Progress) // told a few times a second, and at the end; may be nil
	Rejected func(Reject)   // told of each rejected row, in the order of lines; may be nil
}

// Summary counts what has become of a file's records, the header apart.
type Summary struct {
	Rows       int // records that hold something: the sum of the next three
	Registered int
	Unchanged  int // had been registered before: by an earlier run, an identical row, or an attempt whose answer got lost
	Rejected   int
	Empty      int // lines with nothing in them, or only delimiters
}

// String is the line that ends an import: "67 registered, 0 unchanged, 24 rejected".
func (s Summary) String() string {
	t := fmt.Sprintf("%d registered, %d unchanged, %d rejected", s.Registered, s.Unchanged, s.Rejected)
	switch s.Empty {
	case 0:
		return t
	case 1:
		return t + " (and 1 empty line)"
	}
	return fmt.Sprintf("%s (and %d empty lines)", t, s.Empty)
}

// Progress is how far an import has come.
type Progress struct {
	Summary

	Bytes   int64 // read from the file; the rows that they hold may still be under way
	Elapsed time.Duration
	Trouble string // why nothing goes on at the moment, else empty
}

// Reject is a row that was not registered.
type Reject struct {
	Line   int // where it begins; 1 is the first line of the file
	Reason string
}

func (r Reject) String() string { return fmt.Sprintf("line %d: %s", r.Line, r.Reason) }

// UsageError is an import that was asked for wrongly: nothing has been sent, and
// asking the same again is no use.
type UsageError struct{ msg string }

func (e *UsageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

const (
	defaultConcurrency = 16
	maxConcurrency     = 256
)

// Run reads r to its end and registers each row. The summary is right whatever the
// error: rows are counted in the order of lines, those after the last one counted
// may have been sent as well.
//
// The error is a [*UsageError] when there was nothing to start on; rows that were
// rejected are none. When ctx ends, commands under way are given up, and a read of r
// that blocks is left behind.
func Run(ctx context.Context, r io.Reader, c Client, o Options) (Summary, error) {
	counted := &countingReader{r: r}
	f, err := open(counted, o)
	if err != nil {
		return Summary{}, err
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	o.Concurrency = min(o.Concurrency, maxConcurrency)

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := newSender(c, o.Concurrency, fail)
	if err != nil {
		return Summary{}, err
	}
	defer s.close()
	rejects, err := newRejectsWriter(o.Rejects, f)
	if err != nil {
		return Summary{}, fmt.Errorf("rejects: %w", err)
	}

	p := newPipeline(f)
	var workers sync.WaitGroup
	go p.read(ctx)
	for range o.Concurrency {
		workers.Go(func() {
			if err := p.work(ctx, s); err != nil {
				fail(err)
			}
		})
	}
	t := &tally{opts: o, sender: s, rejects: rejects, bytes: &counted.n, last: f.headerLine}
	t.sum.Empty = f.emptyBefore
	t.began = time.Now() //nolint:forbidigo // tells the rate, decides nothing
	err = t.count(ctx, p)
	fail(nil)
	workers.Wait()
	return t.sum, err
}

// countingReader counts what is read through it.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
