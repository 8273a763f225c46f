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
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// memory remembers for a while what a load answered, until something happens that may change
// it. Of what is under way then, nothing is remembered.
type memory[K comparable, V any] struct {
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

// memorised bounds what is remembered: beyond it everything is looked up anew.
const memorised = 200_000

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

// forget forgets all.
func (m *memory[K, V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	clear(m.known)
}

// owner is on whose behalf deliveries are made.
type owner struct{ employee, key domain.ID }

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
		l.owners.forget()
	case client.Registered:
		l.places.tell(ref.ID, e.Place(), rec.Position)
	case client.Reassigned:
		l.places.tell(ref.ID, e.To.Place(), rec.Position)
	case nil:
		if ref.Category == domain.Client {
			l.places.doubts(ref.ID)
		}
	}
}
