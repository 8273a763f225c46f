package webhook

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/webhook"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
)

// Bounds of a run.
const (
	mostAhead = 512    // events read and not done, nor set aside
	mostAside = 10_000 // events set aside, by which no more is read

	// Requests under way, and done but not noted yet, are what a crash has sent twice: so many
	// at least, and of what this courier has sent a fiftieth, but not more than the last.
	leastUnsure = 24
	unsurePart  = 50
	mostUnsure  = 512
)

// item is an event on its way to an endpoint.
type item struct {
	id       uuid.UUID // of the delivery
	message  uuid.UUID // what the endpoint knows it by: the same in every run
	lane     domain.ID
	position eventlog.Position
	stream   string
	revision eventlog.Revision
	event    uuid.UUID
	typ      string
	client   domain.ID
	at       time.Time

	rec      *eventlog.Record  // nil: to be read again
	previous eventlog.Position // in its lane
	attempts int
	tries    int       // since it waits
	first    time.Time // the first of those
	aside    bool      // it is in the database as waiting, so that the run can go on past it
	done     bool
	asked    bool // somebody had it sent again: it waits for nothing and nothing for it
}

// lane is events of which each waits for the one before.
type lane struct {
	id    domain.ID
	queue []*item
	last  eventlog.Position // of what was done last
	busy  bool
	due   time.Time
	index int // in the heap of those that wait
}

// waiting is lanes by when they are due.
type waiting []*lane

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i]; w[i].index, w[j].index = i, j }

// Push implements [heap.Interface].
func (w *waiting) Push(x any) {
	l := x.(*lane)
	l.index = len(*w)
	*w = append(*w, l)
}

// Pop implements [heap.Interface].
func (w *waiting) Pop() any {
	l := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return l
}

// courier takes one run through the log to its endpoint. Everything but the requests is
// done by one goroutine.
type courier struct {
	*lead
	ep  *endpoint
	run run

	lanes   map[domain.ID]*lane
	lasts   map[domain.ID]eventlog.Position // of lanes that were busy of late
	ready   []*lane
	waiting waiting
	ahead   []*item // in the order of the log: read, and not known to be behind the checkpoint
	aside   int
	flying  int
	readTo  eventlog.Position // everything up to here has been handed over
	ended   bool              // there is no more to be read
	slots   int               // of the endpoint that are taken by this run

	dirty   changes  // since the last commit began
	unnoted int      // requests done, and not committed
	sent    int      // requests done
	commit  *changes // under way
	noted   time.Time
}

type ended struct {
	it *item
	o  outcome
}

// deliver runs until the run is at its end, until stop is closed and what is under way has
// ended, or until the lead ends.
func (c *courier) deliver(ctx context.Context, stop <-chan struct{}) {
	c.lanes, c.lasts = map[domain.ID]*lane{}, map[domain.ID]eventlog.Position{}
	c.readTo, c.noted = c.run.at, c.cfg.Now()
	defer func() { c.ep.leave(c.slots, c.overall) }()
	requests, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	items := make(chan chunk)
	for _, it := range c.run.items {
		c.restore(it)
	}
	go c.read(reading, c.run, items)
	results, committed := make(chan ended, perEndpoint), make(chan error, 1)
	asked := c.run.asked
	stopping := false
	halt := func() {
		stopping, stop, asked = true, nil, nil
		stopReading()
		time.AfterFunc(grace, abort)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	over := ctx.Done()
	for {
		if !stopping {
			c.start(requests, results)
		}
		c.save(stopping, committed)
		if c.commit == nil && c.flying == 0 && (stopping || c.ended && c.dirty.ended) {
			return
		}
		in := items
		if stopping || c.ended || len(c.ahead) >= mostAhead || c.aside >= mostAside {
			in = nil
		}
		timer.Reset(c.pause())
		select {
		case ch := <-in:
			c.take(ch)
		case r := <-results:
			c.settle(ctx, r.it, r.o)
		case err := <-committed:
			if err != nil {
				return // another process delivers
			}
			c.unnoted -= c.commit.requests
			c.commit = nil
		case it := <-asked:
			c.again(it)
		case <-timer.C:
		case <-stop:
			halt()
		case <-over:
			over = nil
			halt()
		}
	}
}

// grace is how long requests may go on when we stop.
const grace = 5 * time.Second

// pause is how long nothing happens by itself.
func (c *courier) pause() time.Duration {
	wait := time.Second
	now := c.cfg.Now()
	if len(c.ready) > 0 {
		wait = max(c.ep.until(now), 10*time.Millisecond) // or another run has all of the endpoint
	}
	if len(c.waiting) > 0 {
		wait = min(wait, c.waiting[0].due.Sub(now))
	}
	return min(max(wait, 0), time.Second)
}

// chunk is a stretch of the log for a run.
type chunk struct {
	items []*item
	lasts map[domain.ID]eventlog.Position // what is in the database of their lanes
	to    eventlog.Position
	end   bool
}

func (c *courier) take(ch chunk) {
	for _, it := range ch.items {
		l := c.lane(it.lane, ch.lasts[it.lane])
		c.ahead = append(c.ahead, it)
		if n := len(l.queue); n > 0 && l.queue[n-1].aside && c.setsAside() {
			c.putAside(it)
		}
		c.queue(l, it)
	}
	c.readTo, c.ended = ch.to, ch.end
}

// restore takes up what waited when the run was last interrupted.
func (c *courier) restore(it *item) {
	l := c.lane(it.lane, c.run.lasts[it.lane])
	c.aside++
	if len(l.queue) == 0 {
		l.due = c.run.dues[it.id]
	}
	c.queue(l, it)
}

// again has something sent that somebody asked for.
func (c *courier) again(it *item) {
	if l := c.lanes[it.lane]; l != nil { // it waits already: not any longer
		if !l.busy && l.queue[0].id == it.id {
			c.wake(l)
		}
		return
	}
	it.asked = true
	c.aside++
	c.queue(c.lane(it.lane, eventlog.Position{}), it)
}

func (c *courier) wake(l *lane) {
	if l.index >= 0 {
		heap.Remove(&c.waiting, l.index)
		l.index = -1
		l.due = time.Time{}
		c.ready = append(c.ready, l)
	}
}

func (c *courier) lane(id domain.ID, last eventlog.Position) *lane {
	l := c.lanes[id]
	if l == nil {
		if newer, ok := c.lasts[id]; ok {
			last = newer
		}
		l = &lane{id: id, last: last, index: -1}
		c.lanes[id] = l
	}
	return l
}

func (c *courier) queue(l *lane, it *item) {
	l.queue = append(l.queue, it)
	if len(l.queue) == 1 {
		c.schedule(l)
	}
}

// schedule has the first of a lane sent when it is due.
func (c *courier) schedule(l *lane) {
	if l.due.After(c.cfg.Now()) {
		heap.Push(&c.waiting, l)
		return
	}
	c.ready = append(c.ready, l)
}

// setsAside says whether the run goes on past what fails.
func (c *courier) setsAside() bool { return c.ep.definition().Order != webhook.Global }

func (c *courier) putAside(it *item) {
	it.aside, it.rec = true, nil
	c.aside++
	c.dirty.put(c, it, stateWaiting, 0, c.cfg.Now())
}

// start sends what is due, as far as the endpoint and everybody's share allow.
func (c *courier) start(ctx context.Context, results chan<- ended) {
	now := c.cfg.Now()
	for len(c.waiting) > 0 && !c.waiting[0].due.After(now) {
		c.wake(c.waiting[0])
	}
	unsure := min(max(leastUnsure, c.sent/unsurePart), mostUnsure)
	for len(c.ready) > 0 && c.unnoted+c.flying < unsure && c.ep.enter(now, c.overall) {
		l := c.ready[0]
		c.ready = c.ready[1:]
		it := l.queue[0]
		l.busy, it.previous = true, l.last
		if it.asked {
			it.previous = eventlog.Position{}
		}
		c.flying++
		c.slots++
		go func() { results <- ended{it, c.attempt(ctx, it)} }()
	}
}

// settle draws the consequences of an attempt.
func (c *courier) settle(ctx context.Context, it *item, o outcome) {
	l, now := c.lanes[it.lane], c.cfg.Now()
	c.flying--
	c.slots--
	l.busy = false
	recovered := c.ep.report(o, now, c.overall)
	if o.postponed != nil {
		c.cfg.Logger.DebugContext(ctx, "delivery postponed", "webhook", c.ep.id.String(), "stream", it.stream, "revision", it.revision, "err", plain(o.postponed))
		l.due = now.Add(postponing)
		c.schedule(l)
		return
	}
	c.unnoted++
	c.sent++
	c.dirty.requests++
	if o.withheld {
		if it.aside {
			c.finish(l, it, stateWithheld, o)
		} else {
			c.drop(l, it)
		}
		return
	}
	it.attempts++
	it.tries++
	if it.first.IsZero() {
		it.first = o.at
	}
	c.dirty.attempted(it, o)
	switch wait, more := c.retry(it, o); {
	case o.delivered:
		c.finish(l, it, stateDelivered, o)
	case !more:
		c.finish(l, it, stateFailed, o)
	default:
		l.due = now.Add(wait)
		if !it.aside {
			c.aside++
		}
		it.aside, it.rec = true, nil
		c.dirty.put(c, it, stateWaiting, o.status, l.due)
		if c.setsAside() {
			for _, behind := range l.queue[1:] {
				if !behind.aside {
					c.putAside(behind)
				}
			}
		}
		c.schedule(l)
	}
	if recovered { // what waits need not wait any longer
		for len(c.waiting) > 0 {
			c.wake(c.waiting[0])
		}
	}
}

// postponing is how long to wait when it was our own fault.
const postponing = 2 * time.Second

// finish is the end of a delivery.
func (c *courier) finish(l *lane, it *item, state string, o outcome) {
	c.dirty.put(c, it, state, o.status, time.Time{})
	if !it.asked && state != stateWithheld {
		l.last = it.position
		c.remember(l)
		c.dirty.lanes[laneKey{c.run.id, l.id}] = l.last
	}
	if it.aside {
		c.aside--
	}
	c.drop(l, it)
}

// drop takes the first off its lane.
func (c *courier) drop(l *lane, it *item) {
	it.done, it.rec = true, nil
	l.queue, l.due = l.queue[1:], time.Time{}
	if len(l.queue) == 0 {
		delete(c.lanes, l.id)
		return
	}
	c.schedule(l)
}

// remember keeps where lanes are for as long as the database may not know it yet.
func (c *courier) remember(l *lane) {
	if len(c.lasts) >= 16*mostAhead {
		for id := range c.lasts {
			if _, unnoted := c.dirty.lanes[laneKey{c.run.id, id}]; !unnoted && (c.commit == nil || c.commit.lanes[laneKey{c.run.id, id}] == (eventlog.Position{})) {
				delete(c.lasts, id)
				if len(c.lasts) < 8*mostAhead {
					break
				}
			}
		}
	}
	c.lasts[l.id] = l.last
}

// retry is when what failed is to be tried again; more is false when that is enough. An
// endpoint that has taken nothing else since is not there, and what is for it is kept.
func (c *courier) retry(it *item, o outcome) (wait time.Duration, more bool) {
	schedule := c.cfg.Schedule
	at := min(it.tries, len(schedule)-1)
	if it.tries >= len(schedule) && (c.setsAside() || it.asked) && c.ep.acceptedSince(it.first) {
		return 0, false
	}
	wait = schedule[at]
	wait = wait*4/5 + rand.N(wait*2/5+1) //nolint:gosec // jitter
	return max(wait, min(o.retryAfter, mostRetryAfter)), true
}

// mostRetryAfter bounds what an endpoint can ask for.
const mostRetryAfter = 24 * time.Hour

// save commits what has happened, one commit at a time.
func (c *courier) save(all bool, committed chan<- error) {
	if c.commit != nil {
		return
	}
	at := c.run.at
	for len(c.ahead) > 0 && (c.ahead[0].done || c.ahead[0].aside) {
		at = c.ahead[0].position
		c.ahead = c.ahead[1:]
	}
	if len(c.ahead) == 0 {
		at = c.readTo
	}
	moved := at.Compare(c.run.at) > 0
	over := c.ended && len(c.ahead) == 0 && c.run.until != nil && !c.run.over
	if !c.dirty.some() && !over && (!moved || !all && c.cfg.Now().Sub(c.noted) < time.Second) {
		if c.ended && len(c.ahead) == 0 && c.aside == 0 && c.run.over {
			c.dirty.ended = true // nothing is left to do
		}
		return
	}
	ch := c.dirty
	c.dirty = newChanges()
	ch.run, ch.from, ch.to, ch.over = c.run.id, c.run.at, at, over
	ch.health = c.ep.changed()
	c.run.at, c.run.over, c.noted = at, c.run.over || over, c.cfg.Now()
	c.commit = &ch
	select {
	case c.commits <- commit{&ch, committed}:
	case <-c.noting.Done(): // we stop, and the database is away
		committed <- errFenced
	}
}

// deliveryID names a delivery: of a webhook as things happen, it is what the endpoint
// knows it by.
func deliveryID(run domain.ID, event uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(run, append([]byte("delivery\n"), event[:]...))
}

func (c *courier) item(rec *eventlog.Record) *item {
	it := &item{
		id: deliveryID(c.run.id, rec.ID), message: deliveryID(c.ep.id, rec.ID), position: rec.Position, stream: rec.Stream, revision: rec.Revision,
		event: rec.ID, typ: rec.Type, client: cloudevent.Client(rec), at: rec.Meta.At, rec: rec,
	}
	if c.ep.definition().Order != webhook.Global {
		it.lane = it.client
		if ref, err := rec.Ref(); err == nil && it.lane == (domain.ID{}) {
			it.lane = ref.ID
		}
	}
	return it
}
