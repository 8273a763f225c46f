package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/internal/eventlog"
	"annals/internal/generate"
)

const (
	// atOnce is how many clients are begun before all of them are in the log: none is before
	// all of earlier ones are, by which it is told where to go on. Were it less, what was
	// interrupted before would be taken for whole.
	atOnce = 2048
	// appenders is how many appends wait for the log.
	appenders = 256
	// telling is how often progress is told.
	telling = 2 * time.Second
)

// making appends the clients of a generator.
type making struct {
	log       *eventlog.Log
	generator *generate.Generator
	fresh     bool // there is no client of it yet
	out       io.Writer

	clients, duplicates, changes, activities, events atomic.Int64
	finished                                         atomic.Int64 // those that were there among them
}

// made is what was added.
type made struct{ clients, duplicates, changes, activities, events int64 }

// run has the first n clients be there.
func (m *making) run(ctx context.Context, n int) (made, error) {
	err := m.batches(ctx, n)
	return made{m.clients.Load(), m.duplicates.Load(), m.changes.Load(), m.activities.Load(), m.events.Load()}, err
}

func (m *making) batches(ctx context.Context, n int) error {
	var from, unsure int
	if !m.fresh {
		var err error
		if from, unsure, err = m.goOn(ctx, n); err != nil {
			return err
		}
	}
	m.finished.Store(int64(from))
	told := make(chan struct{})
	var tell sync.WaitGroup
	tell.Go(func() { m.tell(told, int64(n)) })
	defer tell.Wait()
	defer close(told)
	for ; from < n; from += atOnce {
		var next atomic.Int64
		next.Store(int64(from))
		to := int64(min(n, from+atOnce))
		work, running := errgroup.WithContext(ctx)
		for range appenders {
			work.Go(func() error {
				for i := next.Add(1) - 1; i < to && running.Err() == nil; i = next.Add(1) - 1 {
					if err := m.client(running, int(i), int(i) < unsure); err != nil {
						return err
					}
				}
				return running.Err()
			})
		}
		if err := work.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// goOn is the first client of whom something may be missing: all before are in the log,
// and from unsure on none is.
func (m *making) goOn(ctx context.Context, n int) (from, unsure int, err error) {
	missing := sort.Search(n, func(i int) bool {
		if err != nil {
			return true
		}
		var there bool
		there, err = m.there(ctx, domain.Ref{Category: domain.Client, ID: m.generator.ID(i)})
		return !there
	})
	// Some of those that were begun together may be there and others not. It is one of them
	// that was found, or the first of the next ones.
	from = max(missing-1, 0) / atOnce * atOnce
	return from, (missing/atOnce + 1) * atOnce, err
}

// there says whether an aggregate is in the log, or has been.
func (m *making) there(ctx context.Context, ref domain.Ref) (bool, error) {
	for _, err := range m.log.Read(ctx, ref.Stream(), 0) {
		if err != nil && !errors.Is(err, eventlog.ErrDeleted) {
			return false, err
		}
		return true, nil
	}
	return false, nil
}

// client appends what is missing of the n-th client.
func (m *making) client(ctx context.Context, n int, unsure bool) error {
	c, err := m.generator.Client(n)
	if err != nil {
		return err
	}
	defer m.finished.Add(1)
	for i, s := range c.Streams {
		if unsure {
			there, err := m.there(ctx, s.Ref)
			if err != nil {
				return err
			}
			if there {
				continue
			}
		}
		switch err := m.append(ctx, n, s); {
		case errors.Is(err, eventlog.ErrErased) && unsure:
			return nil // somebody has had this client forgotten
		case err != nil:
			return err
		case i > 0:
			m.activities.Add(1)
			continue
		}
		m.clients.Add(1)
		m.changes.Add(int64(len(s.Commits) - 1))
		if c.Duplicate {
			m.duplicates.Add(1)
		}
	}
	return nil
}

// append appends a stream of the n-th client.
func (m *making) append(ctx context.Context, n int, s generate.Stream) error {
	commits, events := make([]eventlog.Commit, len(s.Commits)), 0
	for i, one := range s.Commits {
		commits[i] = eventlog.Commit(one)
		events += len(one.Events)
	}
	if _, err := m.log.AppendAll(ctx, s.Ref.Stream(), eventlog.NoStream, commits...); err != nil {
		return fmt.Errorf("client %d: %w", n, err)
	}
	m.events.Add(int64(events))
	return nil
}

// tell tells from time to time how many are done, until all are.
func (m *making) tell(done <-chan struct{}, n int64) {
	tick := time.NewTicker(telling)
	defer tick.Stop()
	last, at := m.finished.Load(), now()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		finished, t := m.finished.Load(), now()
		fmt.Fprintf(m.out, "%d of %d clients, %.0f/s\n", finished, n, float64(finished-last)/t.Sub(at).Seconds())
		last, at = finished, t
	}
}
