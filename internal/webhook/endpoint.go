package webhook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"annals/domain"
	"annals/domain/webhook"
)

// Bounds of what an endpoint is sent.
const (
	perEndpoint  = 8         // requests at once
	downAfter    = 5         // failures one after the other, after which it is only looked for
	mostThrottle = time.Hour // for which it can ask to be left alone altogether
)

// endpoint is where all runs of a webhook lead, and how it fares.
type endpoint struct {
	id    domain.ID
	owner owner
	store *Store
	probe time.Duration // between attempts while it is down

	def atomic.Pointer[webhook.Definition]

	mu       sync.Mutex
	flying   int
	shared   int       // of those, that hold a share of all
	failures int       // one after the other
	notYet   time.Time // nothing is sent before
	gone     bool

	accepted time.Time  // last
	failing  *time.Time // since when nothing but failures
	news     bool       // either has changed since it was noted

	signing   []Key
	signingAt time.Time
}

func (e *endpoint) definition() *webhook.Definition { return e.def.Load() }

// enter takes a slot for a request. The first of an endpoint is always its own, so that
// nobody ever waits for another's; the others are shares of what all have.
func (e *endpoint) enter(now time.Time, all *semaphore.Weighted) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	most := perEndpoint
	if e.failures >= downAfter {
		most = 1
	}
	if e.gone || e.flying >= most || now.Before(e.notYet) {
		return false
	}
	if e.flying > 0 {
		if !all.TryAcquire(1) {
			return false
		}
		e.shared++
	}
	e.flying++
	return true
}

// leave gives slots back.
func (e *endpoint) leave(n int, all *semaphore.Weighted) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free(n, all)
}

func (e *endpoint) free(n int, all *semaphore.Weighted) {
	for range n {
		e.flying--
		if e.shared > 0 {
			e.shared--
			all.Release(1)
		}
	}
}

// until is how long nothing is sent.
func (e *endpoint) until(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.notYet.Sub(now)
}

// report gives the slot of an attempt back, and says whether the endpoint is there again
// that was down.
func (e *endpoint) report(o outcome, now time.Time, all *semaphore.Weighted) (recovered bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free(1, all)
	switch {
	case o.postponed != nil, o.withheld:
	case o.delivered:
		recovered = e.failures >= downAfter
		e.failures, e.accepted, e.failing, e.news = 0, now, nil, true
	default:
		e.failures++
		if e.failing == nil {
			e.failing, e.news = new(o.at), true
		}
		if e.failures >= downAfter {
			e.notYet = now.Add(e.probe)
		}
		if o.status == 410 {
			e.gone = true
		}
		if o.retryAfter > 0 && (o.status == 429 || o.status == 503) {
			e.notYet = later(e.notYet, now.Add(min(o.retryAfter, mostThrottle)))
		}
	}
	return recovered
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// acceptedSince says whether the endpoint has taken anything after a time.
func (e *endpoint) acceptedSince(t time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted.After(t)
}

// health is how an endpoint fares, to be noted.
type health struct {
	id       domain.ID
	accepted *time.Time
	failing  *time.Time
}

// begin gives an endpoint another chance, whose webhook is another or was resumed.
func (e *endpoint) begin(failing *time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone, e.failures, e.notYet, e.failing = false, 0, time.Time{}, failing
}

// changed is how it fares if that is to be noted, else nil.
func (e *endpoint) changed() *health {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.news {
		return nil
	}
	e.news = false
	return &health{e.id, timeOrNull(e.accepted), e.failing}
}

// verdict is what is to be done about it, if anything.
func (e *endpoint) verdict() (gone bool, failing *time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone, e.failing
}

// keysFor is how long it is not looked whether there are other keys: a rotation has the
// one before sign along for much longer.
const keysFor = 2 * time.Second

// keys are those that sign now.
func (e *endpoint) keys(ctx context.Context) ([]Key, error) {
	now := e.store.now()
	e.mu.Lock()
	keys, at := e.signing, e.signingAt
	e.mu.Unlock()
	if len(keys) > 0 && now.Sub(at) < keysFor {
		return keys, nil
	}
	keys, err := e.store.keys(ctx, e.id)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signing, e.signingAt = keys, now
	return keys, nil
}
