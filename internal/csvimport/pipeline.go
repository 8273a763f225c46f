package csvimport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Bounds of what is under way: so many records may be done before the one that is
// counted next, and so many bytes may they have.
const (
	window      = 1024
	windowBytes = 8 << 20
)

// pipeline carries records from the reader over the workers to the tally. They are
// counted in the order of the file, however they are done.
type pipeline struct {
	file   *file
	order  chan *job // all, in the order of the file; closed at the end
	todo   chan *job // those to be sent
	weight *semaphore.Weighted

	mu      sync.Mutex
	sending map[string]*job // by key, until counted
}

// job is one record on its way.
type job struct {
	line, last int      // the first and the last line of it
	fields     []string // as they stand in the file; nil when it could not be taken apart
	raw        string   // what it is then
	weight     int64
	key        string
	body       []byte
	twin       *job          // an identical row before this one, whose fate it shares
	done       chan struct{} // closed when verdict and reason are known
	verdict    verdict
	reason     string

	err error // no record, but the reason why there are no more; never settled
}

func newPipeline(f *file) *pipeline {
	return &pipeline{
		file:    f,
		order:   make(chan *job, window),
		todo:    make(chan *job),
		weight:  semaphore.NewWeighted(windowBytes),
		sending: map[string]*job{},
	}
}

// read takes the file apart until its end, or that of ctx.
func (p *pipeline) read(ctx context.Context) {
	defer close(p.todo)
	defer close(p.order)
	for {
		rec, err := p.file.next()
		if errors.Is(err, io.EOF) {
			return
		}
		var j *job
		if err != nil {
			j = &job{err: err}
		} else {
			j = p.job(rec)
		}
		if p.weight.Acquire(ctx, j.weight) != nil {
			return
		}
		select {
		case p.order <- j:
		case <-ctx.Done():
			return
		}
		if j.err != nil {
			return
		}
		if j.settled() || j.twin != nil {
			continue
		}
		select {
		case p.todo <- j:
		case <-ctx.Done():
			return
		}
	}
}

// settledAlready is the done channel of what is not sent.
var settledAlready = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// job makes of a record what is to be done with it.
func (p *pipeline) job(rec record) *job {
	f := p.file
	j := &job{line: rec.line, last: rec.line + rec.lines - 1, done: settledAlready, verdict: rejected}
	j.weight = min(int64(len(rec.raw))*4+256, windowBytes) // with the fields, the body and the rest
	if f.blank(rec.raw) && rec.fault == "" {
		j.verdict = empty
		return j
	}
	if rec.fault != "" {
		j.raw, j.reason = string(rec.raw), rec.fault
		return j
	}
	fields, err := f.fields.read(rec.raw, f.delimiter)
	switch {
	case err != nil:
		j.raw, j.reason = string(rec.raw), err.Error()
	case !f.valid(rec.raw):
		j.fields, j.reason = fields, "holds bytes that are not valid "+f.charset
	case allBlank(fields):
		j.verdict = empty
	case len(fields) != len(f.header):
		j.fields, j.reason = fields, f.mismatch(len(fields))
	default:
		j.fields = fields
		p.prepare(j)
	}
	return j
}

// prepare makes the command of a row that can be sent, or finds its twin.
func (p *pipeline) prepare(j *job) {
	var err error
	if j.key, j.body, err = p.file.mapping.command(j.fields); err != nil {
		j.reason = err.Error()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if twin, ok := p.sending[j.key]; ok {
		j.twin, j.done = twin, twin.done
		return
	}
	p.sending[j.key] = j
	j.done = make(chan struct{})
}

// mismatch says what is wrong with a row of n fields.
func (f *file) mismatch(n int) string {
	fields := "fields"
	if n == 1 {
		fields = "field"
	}
	s := fmt.Sprintf("has %d %s, the header has %d", n, fields, len(f.header))
	if n > len(f.header) {
		s += " (an unquoted " + delimiterName(f.delimiter) + "?)"
	}
	return s
}

// work sends what is to be sent. The error is for the whole import.
func (p *pipeline) work(ctx context.Context, s *sender) error {
	for {
		select {
		case j, ok := <-p.todo:
			if !ok {
				return nil
			}
			var err error
			if j.verdict, j.reason, err = s.send(ctx, j.key, j.body); err != nil {
				return err
			}
			close(j.done)
		case <-ctx.Done():
			return nil
		}
	}
}

// settled says whether the fate of j is known.
func (j *job) settled() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// fate is what has become of j, once that is settled.
func (j *job) fate() (verdict, string) {
	switch {
	case j.twin == nil:
		return j.verdict, j.reason
	case j.twin.verdict == rejected:
		return rejected, j.twin.reason
	}
	return unchanged, ""
}

// release lets go of a job that has been counted.
func (p *pipeline) release(j *job) {
	p.weight.Release(j.weight)
	if j.key == "" || j.twin != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sending, j.key)
}
