package readapi_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/role"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// chronicle is a log that a test writes, and what it says.
type chronicle struct {
	s     *apitest.System
	clock time.Time
	at    map[string]eventlog.Revision
	last  eventlog.Position
	all   []eventlog.Record
}

func (c *chronicle) append(t *testing.T, category string, id domain.ID, e any) {
	t.Helper()
	stream := eventlog.Stream(category, id)
	last, ok := c.at[stream]
	if !ok {
		last = eventlog.NoStream
	}
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: c.clock}
	res, err := c.s.Log.Append(t.Context(), stream, last, m, e)
	if err != nil {
		t.Fatal(err)
	}
	c.at[stream], c.last = res.Revision, res.Position
}

// read reads the whole log, as it is after all.
func (c *chronicle) read(t *testing.T) {
	t.Helper()
	for run, err := range feed.Runs(t.Context(), c.s.Log, eventlog.Position{}, 1_000_000) {
		if err != nil {
			t.Fatal(err)
		}
		c.all = append(c.all, run.Records...)
		if run.Live {
			return
		}
	}
}

// then is what everything was at the moment: of each stream the events up to the
// first one that is later.
func (c *chronicle) then(at time.Time) domain.World {
	w, over := domain.World{}, map[string]bool{}
	for _, r := range c.all {
		if over[r.Stream] = over[r.Stream] || r.Meta.At.After(at); over[r.Stream] {
			continue
		}
		ref, _ := r.Ref()
		switch e := r.Event.(type) {
		case employee.Event:
			w[ref] = employee.Aggregate.Evolve(domain.Look[employee.State](w, ref), e)
		case role.Event:
			w[ref] = role.Aggregate.Evolve(domain.Look[role.State](w, ref), e)
		case client.Event:
			w[ref] = client.Aggregate.Evolve(domain.Look[client.State](w, ref), e)
		}
	}
	return w
}

// names are what projects and desks are called.
func (c *chronicle) names() map[domain.ID]string {
	names := map[domain.ID]string{}
	for _, r := range c.all {
		ref, _ := r.Ref()
		switch e := r.Event.(type) {
		case project.Created:
			names[ref.ID] = e.Name
		case desk.Created:
			names[ref.ID] = e.Name
		case employee.Registered:
			names[ref.ID] = e.Name
		case employee.Edited:
			names[ref.ID] = e.To.Name
		}
	}
	return names
}
