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

// TestLongHistory: how many events a client has is told exactly, however many there are.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	id := a.Client(t, a.Project(t, "Long"), "Methuselah")
	events := make([]any, 1100)
	for i := range events {
		events[i] = client.Retagged{Added: []string{"x"}}
	}
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: s.Clock.Now()}
	res, err := s.Log.Append(t.Context(), eventlog.Stream(domain.Client, uuid.MustParse(id)), 0, m, events...)
	if err != nil {
		t.Fatal(err)
	}
	a.After = res.Position.String()
	for _, query := range []string{"", "?sort=-revision&limit=1"} {
		if r := a.Get(t, "/api/v1/clients/"+id+"/history"+query).Want(t, 200); r.At("total.count") != 1101.0 || r.At("total.exact") != true {
			t.Errorf("%s: %s", query, r.Text("total"))
		}
	}
	if r := a.Get(t, "/api/v1/clients/"+id+"/history?with=activities").Want(t, 200); r.At("total.count") != 1000.0 || r.At("total.exact") != false {
		t.Errorf("with activities: %s", r.Text("total"))
	}
}
