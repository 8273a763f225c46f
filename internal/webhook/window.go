package webhook

import (
	"context"
	"sync"
	"time"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// remembered is how many records the window holds: for all webhooks that are not far
// behind, the log is read once.
const remembered = 4096

// window is the end of the log, as far as it has been read.
type window struct {
	mu      sync.Mutex
	since   eventlog.Position // every record after this is here
	upTo    eventlog.Position // and every one up to this
	records []*eventlog.Record
	more    chan struct{} // closed when there is more
	erased  map[domain.ID]bool
}

func newWindow(at eventlog.Position) *window {
	return &window{since: at, upTo: at, more: make(chan struct{}), erased: map[domain.ID]bool{}}
}

// add publishes what was read.
func (w *window) add(run feed.Run) {
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

// after is what is here after a position, at most so many records, and up to where that
// is; ok is false when some of it is not here any more.
func (w *window) after(at eventlog.Position, most int) (records []*eventlog.Record, to eventlog.Position, more <-chan struct{}, ok bool) {
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

// reach waits until the window has got as far as a position.
func (w *window) reach(ctx context.Context, at eventlog.Position) error {
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

// gone says whether the person has been erased since the window was opened: records that
// were read before hold what is to be told nobody any more.
func (w *window) gone(id domain.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.erased[id]
}

// memory remembers what a load answered until something happens that may change it, and
// not for long: keys end by themselves. Of what is under way then, nothing is remembered.
type memory[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]recalled[V]
	count int // of what has happened
}

type recalled[V any] struct {
	v     V
	until time.Time
}

const recalling = 5 * time.Second

// memorised bounds a memory: beyond it everything is looked up anew.
const memorised = 50_000

func (m *memory[K, V]) get(ctx context.Context, now time.Time, k K, load func(context.Context, K) (V, error)) (V, error) {
	m.mu.Lock()
	r, ok := m.known[k]
	count := m.count
	m.mu.Unlock()
	if ok && now.Before(r.until) {
		return r.v, nil
	}
	v, err := load(ctx, k)
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == count {
		if m.known == nil || len(m.known) >= memorised {
			m.known = map[K]recalled[V]{}
		}
		m.known[k] = recalled[V]{v, now.Add(recalling)}
	}
	return v, nil
}

// forget forgets those that it is given, or all.
func (m *memory[K, V]) forget(all bool, some ...K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if all {
		clear(m.known)
	}
	for _, k := range some {
		delete(m.known, k)
	}
}

// owner is on whose behalf deliveries are made.
type owner struct{ employee, key domain.ID }

type located struct {
	at    domain.Place
	known bool
}

// follow reads the end of the log for all, and forgets what has changed by it before
// anybody is given it.
func (l *lead) follow(ctx context.Context) error {
	for run, err := range feed.Runs(ctx, l.cfg.Log, l.window.upTo, 0) {
		if err != nil {
			return err
		}
		for i := range run.Records {
			rec := &run.Records[i]
			switch rec.Event.(type) {
			case employee.Event, role.Event, apikey.Event:
				l.owners.forget(true)
			case client.Registered, client.Reassigned, eventschema.KeyDestroyed, nil:
				if ref, err := rec.Ref(); err == nil {
					l.places.forget(false, ref.ID)
				}
			}
		}
		l.window.add(run)
	}
	return context.Cause(ctx)
}
