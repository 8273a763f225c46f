package csvimport

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// tick is how often progress is told, and the rejects so far are written out.
const tick = 200 * time.Millisecond

// tally counts records in the order of the file.
type tally struct {
	opts    Options
	sender  *sender
	rejects *rejectsWriter
	bytes   *atomic.Int64
	began   time.Time

	sum  Summary
	last int // line that all before are counted
}

// count counts until the pipeline or ctx ends.
func (t *tally) count(ctx context.Context, p *pipeline) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	err := t.follow(ctx, p, ticker)
	if err == nil && ctx.Err() != nil {
		if err = t.rest(p); err == nil {
			err = fmt.Errorf("stopped after line %d, from where importing the file again goes on: %w", t.last, context.Cause(ctx))
		}
	}
	if flushErr := t.rejects.flush(); flushErr != nil {
		err = errors.Join(err, fmt.Errorf("rejects: %w", flushErr))
	}
	t.tell()
	return err
}

// follow counts each job as it is settled.
func (t *tally) follow(ctx context.Context, p *pipeline, ticker *time.Ticker) error {
	for {
		j, ok := await(ctx, p.order, ticker, t.tick)
		if !ok {
			return nil
		}
		if j.err != nil {
			return fmt.Errorf("reading after line %d: %w", t.last, j.err)
		}
		if await(ctx, j.done, ticker, t.tick); !j.settled() {
			return nil
		}
		if err := t.add(j); err != nil {
			return err
		}
		p.release(j)
	}
}

// rest counts what is settled already when the import stops.
func (t *tally) rest(p *pipeline) error {
	for {
		select {
		case j, ok := <-p.order:
			if !ok || !j.settled() {
				return nil
			}
			if err := t.add(j); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// await is the next value of c, or false when c is closed or ctx ends.
func await[T any](ctx context.Context, c <-chan T, ticker *time.Ticker, tick func()) (v T, ok bool) {
	for {
		select {
		case v, ok = <-c:
			return v, ok
		case <-ticker.C:
			tick()
		case <-ctx.Done():
			return v, false
		}
	}
}

func (t *tally) add(j *job) error {
	t.last = j.last
	verdict, reason := j.fate()
	if verdict == empty {
		t.sum.Empty++
		return nil
	}
	t.sum.Rows++
	switch verdict {
	case registered:
		t.sum.Registered++
	case unchanged:
		t.sum.Unchanged++
	case rejected, empty:
		t.sum.Rejected++
		if t.opts.Rejected != nil {
			t.opts.Rejected(Reject{j.line, reason})
		}
		if err := t.rejects.write(j, reason); err != nil {
			return fmt.Errorf("rejects: %w", err)
		}
	}
	return nil
}

func (t *tally) tick() {
	_ = t.rejects.flush() // fails again when the next is written, or at the end
	t.tell()
}

func (t *tally) tell() {
	if t.opts.Progress == nil {
		return
	}
	t.opts.Progress(Progress{
		Summary: t.sum,
		Bytes:   t.bytes.Load(),
		Elapsed: time.Since(t.began),
		Trouble: t.sender.trouble(),
	})
}
