package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// places are what clients can be assigned to.
type places struct {
	project, manager string
	desks            []string
	shared           []string // clients that all writers change
}

// prepare makes what the writers work with.
func (s *soak) prepare(t *testing.T) {
	t.Helper()
	c := s.server.Load()
	create := func(path string, body map[string]any) string {
		t.Helper()
		r, err := must[receipt](t.Context(), c, "POST", path, body)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	s.where.project = create("/api/v1/projects", map[string]any{"name": "Soak"})
	for i := range 3 {
		s.where.desks = append(s.where.desks, create("/api/v1/desks", map[string]any{"project_id": s.where.project, "name": fmt.Sprint("Desk ", i)}))
	}
	s.where.manager = create("/api/v1/employees", map[string]any{"name": "Soak Manager", "email": "manager@soak.example"})
	create("/api/v1/employees/"+s.where.manager+"/assign", map[string]any{"projects": []string{s.where.project}, "desks": s.where.desks})
	for i := range 3 {
		s.where.shared = append(s.where.shared, create("/api/v1/clients", map[string]any{"last_name": fmt.Sprint("Shared ", i), "project_id": s.where.project}))
	}
}

// ledger is the book of what was acknowledged.
type ledger struct {
	mu      sync.Mutex
	entries []entry
	answers map[string]int // by status and code, of those that were no outcome
	waiting time.Time      // somebody waits for a command sent after this

	repeated, failed atomic.Int64
}

// entry is an acknowledged command.
type entry struct {
	command  uuid.UUID
	stream   string
	revision int64
	position string
}

func (l *ledger) await(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = since
}

// add books a command sent at some time, and says whether that is what was waited for.
func (l *ledger) add(e entry, sent time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if l.waiting.IsZero() || sent.Before(l.waiting) {
		return false
	}
	l.waiting = time.Time{}
	return true
}

func (l *ledger) noOutcome(status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers == nil {
		l.answers = map[string]int{}
	}
	l.answers[status]++
}

func (l *ledger) statuses() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.answers)
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// writer changes clients of its own, and some that all do. Every command of it has something to change, so each is to
// be found in the log.
type writer struct {
	*soak
	number, next int
	random       *rand.Rand
	own          []*owned
	tags         map[string]string // of shared clients: the one that is ours
}

type owned struct {
	id, tag string
	status  int
	desk    int
	managed bool
}

func (s *soak) newWriter(number int) *writer {
	return &writer{soak: s, number: number, random: rand.New(rand.NewPCG(s.seed, uint64(number)+1)), tags: map[string]string{}}
}

// work sends one command after the other until ctx ends; what has been begun is carried to its end.
func (w *writer) work(ctx context.Context) {
	for ctx.Err() == nil && w.broken.Err() == nil {
		w.next++
		if err := w.step(fmt.Sprintf("w%d-%d", w.number, w.next)); err != nil {
			w.wrong(fmt.Errorf("writer %d, command %d: %w", w.number, w.next, err))
			return
		}
	}
}

func (w *writer) step(unique string) error {
	dice := w.random.IntN(100)
	switch {
	case len(w.own) == 0 || len(w.own) < 40 && dice < 15:
		r, err := w.command("POST", "/api/v1/clients", "", unique, map[string]any{
			"first_name": "Given " + unique, "last_name": "Family", "email": unique + "@soak.example", "phone": fmt.Sprintf("+49 30 %07d", w.next),
			"project_id": w.where.project, "desk_id": w.where.desks[0],
		})
		if err == nil {
			w.own = append(w.own, &owned{id: r.ID})
		}
		return err
	case dice < 35:
		return w.share(unique)
	}
	c := w.own[w.random.IntN(len(w.own))]
	path := "/api/v1/clients/" + c.id
	switch {
	case dice < 55:
		_, err := w.command("PATCH", path, c.id, unique, map[string]any{"website": "https://soak.example/" + unique})
		return err
	case dice < 70:
		was := c.tag
		c.tag = unique
		body := map[string]any{"add": []string{c.tag}}
		if was != "" {
			body["remove"] = []string{was}
		}
		_, err := w.command("POST", path+"/retag", c.id, unique, body)
		return err
	case dice < 85:
		c.status = (c.status + 1) % 3
		_, err := w.command("POST", path+"/status", c.id, unique, map[string]any{"status": []string{"lead", "active", "inactive"}[c.status]})
		return err
	}
	c.desk, c.managed = (c.desk+1)%len(w.where.desks), !c.managed
	body := map[string]any{"desk_id": w.where.desks[c.desk], "manager_id": nil, "reason": "soak " + unique}
	if c.managed {
		body["manager_id"] = w.where.manager
	}
	_, err := w.command("POST", path+"/assign", c.id, unique, body)
	return err
}

// share changes a client that others change at the same time.
func (w *writer) share(unique string) error {
	id := w.where.shared[w.random.IntN(len(w.where.shared))]
	if w.random.IntN(2) == 0 {
		_, err := w.command("PATCH", "/api/v1/clients/"+id, id, unique, map[string]any{"company": "Shared " + unique})
		return err
	}
	body := map[string]any{"add": []string{unique}}
	if was := w.tags[id]; was != "" {
		body["remove"] = []string{was}
	}
	w.tags[id] = unique
	_, err := w.command("POST", "/api/v1/clients/"+id+"/retag", id, unique, body)
	return err
}

// command sends the same command with the same key until there is an outcome, and books it.
func (w *writer) command(method, path, id, key string, body any) (r receipt, err error) {
	actor := systemID("administrator")
	command := uuid.NewSHA1(actor, []byte(method+" "+path+"\n"+key))
	for begun, wait := time.Now(), time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		sent := time.Now()
		r, err = w.attempt(method, path, key, body)
		if err == nil {
			e := entry{command, domain.Client + "-" + r.ID, r.Revision, r.Position}
			if id != "" && r.ID != id {
				return r, fmt.Errorf("%s %s answers about %s", method, path, r.ID)
			}
			if w.ledger.add(e, sent) {
				w.acked <- struct{}{}
			}
			if w.random.IntN(20) == 0 {
				err = w.readBack(r)
			}
			return r, err
		}
		if err := w.again(err, begun, wait); err != nil {
			return r, err
		}
	}
}

// again waits before the next attempt, if there is to be one.
func (w *writer) again(err error, begun time.Time, wait time.Duration) error {
	const most = 90 * time.Second
	if _, ok := errors.AsType[againError](err); !ok {
		return err
	}
	if time.Since(begun) > most {
		return fmt.Errorf("there is no outcome in %v: %w", most, err)
	}
	w.ledger.failed.Add(1)
	select {
	case <-time.After(wait):
		return nil
	case <-w.broken.Done():
		return context.Cause(w.broken)
	}
}

// readBack reads what was written: the read models are behind, and wait for it.
func (w *writer) readBack(r receipt) error {
	for begun, wait := time.Now(), time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		res, err := w.server.Load().send(w.broken, "GET", "/api/v1/clients/"+r.ID, nil, "Annals-After", r.Position)
		if err == nil && res.status == http.StatusOK {
			var seen struct{ Revision int64 }
			if err := json.Unmarshal(res.body, &seen); err != nil || seen.Revision < r.Revision {
				return fmt.Errorf("read after position %s: client %s is at revision %d, not %d: %w", r.Position, r.ID, seen.Revision, r.Revision, err)
			}
			return nil
		}
		if err == nil {
			code, detail := res.problem()
			if err = fmt.Errorf("read %s: %d %s: %s", r.ID, res.status, code, detail); res.status != http.StatusServiceUnavailable {
				return err
			}
			w.ledger.noOutcome(fmt.Sprint("read ", res.status, " ", code))
		}
		if err := w.again(againError{err}, begun, wait); err != nil {
			return err
		}
	}
}

// againError is an answer, or its lack, that leaves the outcome open.
type againError struct{ error }

func (w *writer) attempt(method, path, key string, body any) (r receipt, err error) {
	res, err := w.server.Load().send(w.broken, method, path, body, "Idempotency-Key", key)
	if err != nil {
		w.ledger.noOutcome("no answer")
		return r, againError{err}
	}
	if res.status/100 == 2 {
		if res.header.Get("Idempotency-Replayed") == "true" {
			w.ledger.repeated.Add(1)
		}
		return r, json.Unmarshal(res.body, &r)
	}
	code, detail := res.problem()
	err = fmt.Errorf("%s %s: %d %s: %s", method, path, res.status, code, detail)
	if res.status == http.StatusServiceUnavailable || code == "busy" {
		w.ledger.noOutcome(fmt.Sprint(res.status, " ", code))
		return r, againError{err}
	}
	return r, err
}
