package feed

import (
	"context"
	"sync"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/eventlog"
)

// remembered is how many records a window holds: for all who are not far behind, the log
// is read once.
const remembered = 4096

// Window is the end of the log, as far as it has been read, for many who follow it at
// their own pace. It is safe for concurrent use.
type Window struct {
	mu      sync.Mutex
	since   eventlog.Position // every record after this is here
	upTo    eventlog.Position // and every one up to this
	records []*eventlog.Record
	more    chan struct{} // closed when there is more
	erased  map[domain.ID]bool
}

// NewWindow returns a window that has been read up to a position, and holds nothing.
func NewWindow(at eventlog.Position) *Window {
	return &Window{since: at, upTo: at, more: make(chan struct{}), erased: map[domain.ID]bool{}}
}

// Add publishes what was read.
func (w *Window) Add(run Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range run.Records {
		rec := &run.Records[i]
		if _, gone := rec.Event.(eventschema.KeyDestroyed); gone {
			if ref, err := rec.Ref(); err == nil {
				w.erased[ref.ID] = true
			}
		}
		w.records = append(w.records, rec)
	}
	if over := len(w.records) - remembered; over > 0 {
		w.since = w.records[over-1].Position
		w.records = append([]*eventlog.Record(nil), w.records[over:]...)
	}
	w.upTo = run.To
	close(w.more)
	w.more = make(chan struct{})
}

// After is what is here after a position, at most so many records, and up to where that
// is; ok is false when some of it is not here any more.
func (w *Window) After(at eventlog.Position, most int) (records []*eventlog.Record, to eventlog.Position, more <-chan struct{}, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.Compare(w.since) < 0 {
		return nil, at, nil, false
	}
	lo, hi := 0, len(w.records)
	for lo < hi {
		if mid := (lo + hi) / 2; w.records[mid].Position.Compare(at) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	records = w.records[lo:]
	to = w.upTo
	if len(records) > most {
		records = records[:most]
		to = records[most-1].Position
	}
	if at.Compare(to) > 0 {
		to = at
	}
	return append([]*eventlog.Record(nil), records...), to, w.more, true
}

// Reach waits until the window has got as far as a position.
func (w *Window) Reach(ctx context.Context, at eventlog.Position) error {
	for {
		w.mu.Lock()
		reached, more := w.upTo.Compare(at) >= 0, w.more
		w.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Gone says whether the person has been erased since the window was opened: records that
// were read before hold what is to be told nobody any more.
func (w *Window) Gone(id domain.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.erased[id]
}

// UpTo is how far the window has been read.
func (w *Window) UpTo() eventlog.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.upTo
}
