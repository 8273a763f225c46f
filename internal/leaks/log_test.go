package leaks_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

// org is an organisation in a System, and the model of it.
type org struct {
	w      *world
	name   string // seed/number: what to repeat it by
	rnd    *rand.Rand
	now    *state
	past   []moment
	clock  time.Time
	boss   *apitest.User // who makes it over HTTP; nil: it is written to the log
	big    bool          // everything is asked for, not only some
	actor  id            // of what comes next
	ends   map[string]eventlog.Revision
	events map[id][]event // of clients and employees
	tokens map[id]string
	hired  set // who was made by a command that a test tried

	furnished bool                     // something belongs to its clients
	things    map[id]thing             // that
	defined   map[id]definition        // custom fields, tags, templates and rules of retention
	partners  map[id]id                // whom clients have in a custom field
	codes     map[id]string            // what they have in one that is to be different for each
	stories   map[id][]event           // of clients, with what belongs to them
	told      map[id][]notice          // whom, of what
	unwanted  map[id]map[string]string // how somebody wants to be told of a kind, if not in the page
	views     map[id]savedView
	begins    map[id]beginning // by role
	opened    map[id][]id      // clients, by whom, the last one first
	position  string           // of the last event
}

// moment is what an organisation was from a time on.
type moment struct {
	at time.Time
	*state
}

// event is as much of one as a history is compared by.
type event struct {
	kind     string
	actor    id
	ip       string
	of       id
	revision int
}

func newOrg(w *world, seed uint64, number int, at time.Time) *org {
	return &org{
		w: w, name: fmt.Sprintf("%d/%d", seed, number), rnd: rand.New(rand.NewPCG(seed, uint64(number))), now: newState(), clock: at,
		ends: map[string]eventlog.Revision{}, events: map[id][]event{}, tokens: map[id]string{}, hired: set{}, actor: domain.System,
		things: map[id]thing{}, defined: map[id]definition{}, partners: map[id]id{}, codes: map[id]string{}, stories: map[id][]event{},
		told: map[id][]notice{}, unwanted: map[id]map[string]string{}, views: map[id]savedView{}, begins: map[id]beginning{}, opened: map[id][]id{},
	}
}

func (o *org) chance(percent int) bool { return o.rnd.IntN(100) < percent }

func (o *org) newID() (out id) {
	for i := range out {
		out[i] = byte(o.rnd.IntN(256))
	}
	out[6], out[8] = out[6]&0x0f|0x40, out[8]&0x3f|0x80
	return out
}

func pick[T any](r *rand.Rand, s []T) T { return s[r.IntN(len(s))] }

func some[T any](r *rand.Rand, s []T, percent int) []T {
	out := []T{}
	for _, v := range s {
		if r.IntN(100) < percent {
			out = append(out, v)
		}
	}
	return out
}

// sorted are the keys of a map, so that the same seed meets them in the same order.
func sorted[V any](m map[id]V) []id {
	return append([]id{}, slices.SortedFunc(maps.Keys(m), domain.CompareIDs)...)
}

// at is the organisation as it was at a time; nil before there was one.
func (o *org) at(t time.Time) *state {
	i, _ := slices.BinarySearchFunc(o.past, t, func(m moment, t time.Time) int {
		if m.at.After(t) {
			return 1
		}
		return -1
	})
	if i == 0 {
		return newState()
	}
	return o.past[i-1].state
}

// keep has the model remember what the organisation is now.
func (o *org) keep() {
	at := o.clock
	if o.boss != nil {
		at = o.w.s.Clock.Now()
	}
	o.past = append(o.past, moment{at, o.now.clone()})
}

// write appends events, a little later than those before.
func (o *org) write(t *testing.T, category string, id id, events ...any) {
	t.Helper()
	o.writeFor(t, none, category, id, events...)
}

// writeFor appends events of what belongs to a client.
func (o *org) writeFor(t *testing.T, client id, category string, id id, events ...any) {
	t.Helper()
	o.clock = o.clock.Add(time.Duration(1+o.rnd.IntN(900_000_000)) * time.Microsecond)
	m := domain.Meta{Actor: o.actor, Command: o.newID(), Correlation: o.newID(), At: o.clock, Subject: client}
	if o.chance(50) {
		m.IP, m.UserAgent = "203.0.113.7", "leaks"
	}
	o.append(t, category, id, m, events...)
}

func (o *org) append(t *testing.T, category string, id id, m domain.Meta, events ...any) {
	t.Helper()
	stream := eventlog.Stream(category, id)
	res, err := o.w.s.Log.Append(t.Context(), stream, o.end(stream), m, events...)
	if err != nil {
		t.Fatalf("organisation %s: %v", o.name, err)
	}
	o.ended(stream, res.Revision)
	o.position = res.Position.String()
	if category == domain.Inbox {
		return // which has the id of its employee
	}
	for _, e := range events {
		o.happenedTo(m.Subject, id, eventschema.Name(e), m.Actor, m.IP)
	}
}

func (o *org) happened(id id, kind string, actor id, ip string) {
	o.happenedTo(none, id, kind, actor, ip)
}

// happenedTo notes what happened to what belongs to a client, or to a client or an employee.
func (o *org) happenedTo(client, id id, kind string, actor id, ip string) {
	e := event{kind, actor, ip, id, len(o.events[id])}
	o.events[id] = append(o.events[id], e)
	if client == none {
		client = id
	}
	o.stories[client] = append(o.stories[client], e)
}

// by is who does what comes next.
func (o *org) by() id {
	if o.boss != nil {
		return parse(o.boss.ID)
	}
	return o.actor
}

// make has something come to be, by a command of the boss where there is one.
func (o *org) make(t *testing.T, category, path string, body apitest.Map, events ...any) id {
	t.Helper()
	return o.makeFor(t, none, category, path, body, events...)
}

// makeFor has something come to be that belongs to a client.
func (o *org) makeFor(t *testing.T, client id, category, path string, body any, events ...any) id {
	t.Helper()
	if o.boss == nil {
		n := o.newID()
		o.writeFor(t, client, category, n, events...)
		return n
	}
	r := o.boss.Post(t, "/api/v1/"+path, body, "Idempotency-Key", o.newID().String()).Want(t, http.StatusCreated) // so that the id follows
	n := parse(r.Text("id"))
	o.done(client, category, n, r, events...)
	return n
}

// change has something change, likewise.
func (o *org) change(t *testing.T, category string, n id, method, path string, body any, events ...any) {
	t.Helper()
	o.changeFor(t, none, category, n, method, path, body, events...)
}

func (o *org) changeFor(t *testing.T, client id, category string, n id, method, path string, body any, events ...any) {
	t.Helper()
	if o.boss == nil {
		o.writeFor(t, client, category, n, events...)
		return
	}
	r := o.boss.Do(t, method, "/api/v1/"+path, body).Want(t, http.StatusOK)
	o.done(client, category, n, r, events...)
}

// done notes what a command did.
func (o *org) done(client id, category string, n id, r *apitest.Response, events ...any) {
	revision, _ := strconv.ParseInt(r.Text("revision"), 10, 64)
	stream := eventlog.Stream(category, n)
	if o.position = r.Text("position"); o.end(stream) == eventlog.Revision(revision) {
		return // nothing changed
	}
	o.ended(stream, eventlog.Revision(revision))
	for _, e := range events {
		o.happenedTo(client, n, eventschema.Name(e), parse(o.boss.ID), "127.0.0.1")
	}
}
