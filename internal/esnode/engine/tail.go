package engine

import (
	"context"
	"sort"
	"sync"
)

// tail holds the latest committed events in memory and wakes who waits for more. Every event after base and up to
// end is in events, so that a subscriber which has seen base or more needs no query.
type tail struct {
	maxEvents, maxBytes int

	mu      sync.RWMutex
	events  []*Event // only ever appended to or replaced: readers keep sub-slices
	bytes   int
	base    uint64
	end     uint64
	changed chan struct{} // closed at the next publish
	streams map[string]*watch
}

// watch wakes those who wait for one stream.
type watch struct {
	changed chan struct{}
	waiters int
}

func newTail(maxEvents, maxBytes int) *tail {
	return &tail{
		maxEvents: maxEvents, maxBytes: maxBytes,
		changed: make(chan struct{}), streams: map[string]*watch{},
	}
}

func (t *tail) head() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.end
}

// reset forgets all events: the log ends at end, and what led there must be read from it.
func (t *tail) reset(end uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events, t.bytes = nil, 0
	t.base, t.end = end, end
	close(t.changed)
	t.changed = make(chan struct{})
	for name, w := range t.streams {
		close(w.changed)
		delete(t.streams, name)
	}
}

// publish adds committed events. Those of purged streams that stand before their tombstone are forgotten.
func (t *tail) publish(rows []*Event, purge map[string]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if purge != nil {
		t.events = keep(t.events, purge)
		t.bytes = 0
		for _, e := range t.events {
			t.bytes += e.size()
		}
	}
	t.events = append(t.events, rows...)
	for _, e := range rows {
		t.bytes += e.size()
		if w, ok := t.streams[e.Stream]; ok {
			close(w.changed)
			delete(t.streams, e.Stream)
		}
	}
	t.end = rows[len(rows)-1].Position
	drop := 0
	for len(t.events)-drop > t.maxEvents || (t.bytes > t.maxBytes && drop < len(t.events)) {
		t.bytes -= t.events[drop].size()
		t.base = t.events[drop].Position
		drop++
	}
	t.events = t.events[drop:]
	close(t.changed)
	t.changed = make(chan struct{})
}

// after returns up to limit events after a position, and whether memory reaches back that far.
func (t *tail) after(pos uint64, limit int) ([]*Event, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if pos < t.base {
		return nil, false
	}
	i := sort.Search(len(t.events), func(i int) bool { return t.events[i].Position > pos })
	return t.events[i:min(i+limit, len(t.events)):len(t.events)], true
}

// wait returns when an event stands after pos or memory no longer reaches back to it, or with the error of ctx.
func (t *tail) wait(ctx context.Context, closed <-chan struct{}, pos uint64) error {
	for {
		t.mu.RLock()
		changed, ready := t.changed, t.end > pos || t.base > pos
		t.mu.RUnlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return ErrClosed
		}
	}
}

// watch returns a channel that is closed when an event of a stream is published, or all is forgotten, after the call.
func (t *tail) watch(stream string) *watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.streams[stream]
	if !ok {
		w = &watch{changed: make(chan struct{})}
		t.streams[stream] = w
	}
	w.waiters++
	return w
}

// unwatch tells that a caller of watch waits no longer.
func (t *tail) unwatch(stream string, w *watch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.waiters--
	if w.waiters == 0 && t.streams[stream] == w {
		delete(t.streams, stream)
	}
}

// streamAfter returns the events of a stream after a position and a revision, up to where it looked, and whether
// memory reaches back that far.
func (t *tail) streamAfter(stream string, pos uint64, revision int64) (events []*Event, end uint64, reached bool) {
	t.mu.RLock()
	all, end, reached := t.events, t.end, pos >= t.base
	t.mu.RUnlock()
	if !reached {
		return nil, 0, false
	}
	for _, e := range all[sort.Search(len(all), func(i int) bool { return all[i].Position > pos }):] {
		if e.Stream == stream && e.Revision > revision {
			events = append(events, e)
		}
	}
	return events, max(pos, end), true
}

// start is the position before the first event in memory.
func (t *tail) start() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.base
}
