package live

import (
	"sort"

	"annals/domain"
	"annals/internal/eventlog"
)

// Reader takes what changes, in order, at its own pace. It is used by one goroutine.
type Reader struct {
	hub  *Hub
	next int               // number of the next change to take
	at   eventlog.Position // everything up to here has been taken
}

// Changes returns a reader of what changes after a position, or, without one, from now
// on. Ok is false when that is not remembered any longer, so that the reader begins now.
func (h *Hub) Changes(after *eventlog.Position) (r *Reader, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	r = &Reader{hub: h, next: h.next, at: h.upTo}
	if after == nil {
		return r, true
	}
	if !h.known || after.Compare(h.since) < 0 {
		return r, false
	}
	first := max(0, h.next-len(h.ring))
	r.next = first + sort.Search(h.next-first, func(i int) bool { return h.ring[(first+i)%len(h.ring)].Position.Compare(*after) > 0 })
	r.at = *after // perhaps of another process, which is further
	return r, true
}

// At is up to where everything has been taken: what happened and changed nothing counts.
func (r *Reader) At() eventlog.Position {
	r.hub.mu.RLock()
	defer r.hub.mu.RUnlock()
	if r.next == r.hub.next && r.hub.upTo.Compare(r.at) > 0 {
		r.at = r.hub.upTo
	}
	return r.at
}

// More is closed when there is more than had been taken.
func (r *Reader) More() <-chan struct{} {
	r.hub.mu.RLock()
	defer r.hub.mu.RUnlock()
	if r.hub.next > r.next {
		return ready
	}
	return r.hub.more
}

var ready = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Take gives each change that there is to f, in order, which must be quick and keep
// nothing of it but copies. Ok is false when some have been forgotten meanwhile.
func (r *Reader) Take(f func(*Change)) (ok bool) {
	h := r.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	if ok = r.next >= h.next-len(h.ring); ok {
		for ; r.next < h.next; r.next++ {
			if c := &h.ring[r.next%len(h.ring)]; c.Position.Compare(r.at) > 0 {
				f(c)
			}
		}
	}
	r.next = h.next
	if h.upTo.Compare(r.at) > 0 {
		r.at = h.upTo
	}
	return ok
}

// Bell rings when an employee is notified of something.
type Bell struct {
	C   <-chan struct{} // receives at most once for what has not been looked at yet
	c   chan struct{}
	hub *Hub
	who domain.ID
}

// Listen returns a bell that has to be closed.
func (h *Hub) Listen(employee domain.ID) *Bell {
	b := &Bell{c: make(chan struct{}, 1), hub: h, who: employee}
	b.C = b.c
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inbox[employee] == nil {
		h.inbox[employee] = map[*Bell]bool{}
	}
	h.inbox[employee][b] = true
	return b
}

func (b *Bell) ring() {
	select {
	case b.c <- struct{}{}:
	default:
	}
}

// Close has the bell ring no more.
func (b *Bell) Close() {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	all := b.hub.inbox[b.who]
	if delete(all, b); len(all) == 0 {
		delete(b.hub.inbox, b.who)
	}
}
