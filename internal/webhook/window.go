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

// memory remembers what a load answered until something happens that may change it. Of what
// is under way then, nothing is remembered.
type memory[K comparable, V any] struct {
	most time.Duration // for which anything is remembered; for good if zero

	mu    sync.Mutex
	known map[K]recalled[V]
	count int // of what has happened
}

type recalled[V any] struct {
	v     V
	until time.Time
}

// recalling is for how long it is remembered what somebody may do: keys end by themselves.
const recalling = 5 * time.Second

// memorised bounds a memory: beyond it everything is looked up anew.
const memorised = 200_000

func (m *memory[K, V]) get(ctx context.Context, now time.Time, k K, load func(context.Context, K) (V, error)) (V, error) {
	m.mu.Lock()
	r, ok := m.known[k]
	count := m.count
	m.mu.Unlock()
	if ok && (m.most == 0 || now.Before(r.until)) {
		return r.v, nil
	}
	v, err := load(ctx, k)
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == count {
		m.keep(k, recalled[V]{v, now.Add(m.most)})
	}
	return v, nil
}

func (m *memory[K, V]) keep(k K, r recalled[V]) {
	if m.known == nil || len(m.known) >= memorised {
		m.known = map[K]recalled[V]{}
	}
	m.known[k] = r
}

// tell has what it is given be remembered, where nothing is for a time only.
func (m *memory[K, V]) tell(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	m.keep(k, recalled[V]{v: v})
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
	for run, err := range feed.Runs(ctx, l.cfg.Log, l.window.UpTo(), 0) {
		if err != nil {
			return err
		}
		for i := range run.Records {
			l.heed(&run.Records[i])
		}
		l.window.Add(run)
	}
	return context.Cause(ctx)
}

// heed takes note of what an event changes in what somebody may be told.
func (l *lead) heed(rec *eventlog.Record) {
	ref, err := rec.Ref()
	if err != nil {
		return
	}
	switch e := rec.Event.(type) {
	case employee.Event, role.Event, apikey.Event:
		l.owners.forget(true)
	case client.Registered:
		l.places.tell(ref.ID, located{e.Place(), true})
	case client.Reassigned:
		l.places.tell(ref.ID, located{e.To.Place(), true})
	case eventschema.KeyDestroyed, nil:
		l.places.forget(false, ref.ID)
	}
}
