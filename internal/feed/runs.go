// Package feed is the log as a Watermill subscription: in order, at least once,
// many events to a message.
//
// Watermill's router handles every message it gets in a goroutine of its own, so
// order comes from one place only: the next run leaves after the last was acked.
// TestOrderThroughRouter holds it.
package feed

import (
	"cmp"
	"context"
	"iter"
	"time"

	"annals/internal/eventlog"
)

// Run is a stretch of the log: all records after From, up to and including To.
// It may have none, when nothing in the stretch concerned an aggregate.
type Run struct {
	From, To eventlog.Position
	Records  []eventlog.Record
	Live     bool // the subscription has caught up: nothing that is in the log was waiting behind the run
}

// Source is where runs come from: an [eventlog.Log].
type Source interface {
	// Subscribe follows the log from after a position until it ends with an error.
	Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
}

// DefaultRecords is how many records a run has at most unless told otherwise:
// measured, a run of more gains nothing while the log is followed.
const DefaultRecords = 500

// quiet is how often progress without records is reported: not for each look at a client
// that is recorded, and soon enough for who waits for where the log ends.
const quiet = 100 * time.Millisecond

// Runs follows the log from after a position. A run leaves when nothing more is
// waiting, or when it has most records ([DefaultRecords] if most is zero). It
// reads ahead while its consumer is busy. It ends with the first error; what
// arrived before the error is delivered first.
func Runs(ctx context.Context, source Source, after eventlog.Position, most int) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		most = cmp.Or(most, DefaultRecords)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c := collector{in: receive(ctx, source, after, 2*most), run: Run{From: after, To: after}}
		for {
			err := c.collect(ctx, most)
			if (len(c.run.Records) > 0 || c.run.To != c.run.From || c.news) && !yield(c.run, nil) {
				return
			}
			if err != nil {
				yield(Run{}, err)
				return
			}
			c.run = Run{From: c.run.To, To: c.run.To, Live: c.run.Live}
			c.news = false
		}
	}
}

type received struct {
	item eventlog.Item
	err  error
}

func receive(ctx context.Context, source Source, after eventlog.Position, ahead int) <-chan received {
	out := make(chan received, ahead)
	go func() {
		for item, err := range source.Subscribe(ctx, after) {
			select {
			case out <- received{item, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// collector puts a run together.
type collector struct {
	in   <-chan received
	run  Run
	news bool // the run is the first one after catching up
}

// collect returns when the run should leave.
func (c *collector) collect(ctx context.Context, most int) error {
	var due <-chan time.Time
	for {
		if len(c.run.Records) > 0 || c.news { // leave as soon as nothing waits
			select {
			case r := <-c.in:
				if err := c.add(r); err != nil {
					return err
				}
			default:
				return nil
			}
			if len(c.run.Records) >= most {
				return nil
			}
			continue
		}
		if due == nil && c.run.To != c.run.From {
			timer := time.NewTimer(quiet)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case r := <-c.in:
			if err := c.add(r); err != nil {
				return err
			}
		case <-due:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(c.run.Records) >= most {
			return nil
		}
	}
}

func (c *collector) add(r received) error {
	if r.err != nil {
		return r.err
	}
	if r.item.Record != nil {
		c.run.Records = append(c.run.Records, *r.item.Record)
	}
	if r.item.Position.Compare(c.run.To) > 0 {
		c.run.To = r.item.Position
	}
	if r.item.Live && !c.run.Live {
		c.run.Live, c.news = true, true
	}
	return nil
}
