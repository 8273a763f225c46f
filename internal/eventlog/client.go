package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

	"annals/internal/raced"
)

// clients hands out a client that is connected, and replaces one that has died.
//
// The official client connects at its first call. Where that fails it is dead for
// good, and all callers but the first hang in it; closing it makes them panic. And
// whenever a server says that it is unavailable, the next call connects anew and
// leaves the old connection open for ever. So nobody gets a client before it has
// connected; it serves one call alone before it serves all; one that stops working
// is handed out no more, and it is closed when its calls have ended.
type clients struct {
	conf    *esdb.Configuration
	life    context.Context // ends with close
	end     context.CancelFunc
	mu      sync.Mutex
	now     *connected
	dialing *dialing
}

// connected is one client and its use. The lock of clients guards the fields.
type connected struct {
	*esdb.Client
	calls   int
	proven  bool          // a call has had an answer
	turn    chan struct{} // closed, and made anew, when others may have their turn
	retired bool
	dead    chan struct{} // closed when whoever still hangs in it is not waited for
	closing sync.Once
}

// dialing is one attempt to connect, shared by all who wait for it.
type dialing struct {
	done chan struct{}
	err  error
}

const (
	// grace is how long a call may take to notice that its context has ended.
	grace = 100 * time.Millisecond
	// stuck is how long after that a call is held to hang for good.
	stuck = 3 * time.Second
)

var (
	errClosed = errors.New("the log has been closed")
	errUnsent = errors.New("no connection") // nothing has left this process
)

func newClients(conf *esdb.Configuration) *clients {
	life, end := context.WithCancel(context.Background())
	return &clients{conf: conf, life: life, end: end}
}

// get returns a client that is connected, which the caller gives back.
func (cs *clients) get(ctx context.Context) (*connected, error) {
	for {
		cs.mu.Lock()
		if cs.life.Err() != nil {
			cs.mu.Unlock()
			return nil, errors.Join(errUnsent, errClosed)
		}
		if c := cs.now; c != nil {
			if c.proven || c.calls == 0 {
				c.calls++
				cs.mu.Unlock()
				return c, nil
			}
			turn := c.turn
			cs.mu.Unlock()
			select {
			case <-turn:
				continue
			case <-ctx.Done():
				return nil, errors.Join(ErrUnavailable, errUnsent, ctx.Err())
			}
		}
		d := cs.dialing
		if d == nil {
			d = &dialing{done: make(chan struct{})}
			cs.dialing = d
			go cs.dial(d)
		}
		cs.mu.Unlock()
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, errors.Join(ErrUnavailable, errUnsent, ctx.Err())
		}
		if d.err != nil {
			return nil, errors.Join(ErrUnavailable, errUnsent, d.err)
		}
	}
}

func (cs *clients) dial(d *dialing) {
	c, err := connect(cs.conf)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	d.err, cs.dialing = err, nil
	switch {
	case err != nil:
	case cs.life.Err() != nil:
		c.close()
		d.err = errClosed
	default:
		cs.now = c
	}
	close(d.done)
}

// connect returns once the server has said which version it is. It is bounded by
// the connection string's gossipTimeout, for each of the servers in it.
func connect(conf *esdb.Configuration) (c *connected, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the client panicked: %v", p)
		}
	}()
	own := *conf
	inner, err := esdb.NewClient(&own)
	if err != nil {
		return nil, fmt.Errorf("event store client: %w", err)
	}
	c = &connected{Client: inner, turn: make(chan struct{}), dead: make(chan struct{})}
	if _, err := c.GetServerVersion(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// giveBack ends a call, which was answered or was not.
func (cs *clients) giveBack(c *connected, answered bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.calls--
	c.proven = c.proven || answered
	c.next()
	if c.retired && c.calls == 0 {
		c.close()
	}
}

// next wakes those who wait for their turn.
func (c *connected) next() {
	close(c.turn)
	c.turn = make(chan struct{})
}

// drop has the next call make a new client, unless somebody dropped this one
// already.
func (cs *clients) drop(c *connected) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.now == c {
		cs.now = nil
	}
	if c.retired {
		return
	}
	c.retired = true
	c.next()
	if c.calls == 0 {
		c.close()
		return
	}
	time.AfterFunc(stuck, func() {
		close(c.dead)
		if !raced.On { // the detector takes for a fault what frees them
			c.close() // who still hangs in it panics, where call expects it
		}
	})
}

func (cs *clients) close() {
	cs.mu.Lock()
	cs.end()
	c := cs.now
	cs.mu.Unlock()
	if c != nil {
		cs.drop(c)
	}
}

func (c *connected) close() {
	c.closing.Do(func() {
		defer func() { _ = recover() }()
		_ = c.Close()
	})
}

// call runs f with a client, and returns when ctx ends whether or not f does. A
// client that has lost its server, or keeps f hanging, is dropped.
func call[T any](ctx context.Context, cs *clients, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type outcome struct {
		v   T
		err error
	}
	var none T
	c, err := cs.get(ctx)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(cs.life, cancel)() //nolint:contextcheck // ends with whichever ends first
	if cs.conf.NodePreference == esdb.NodePreferenceLeader {
		// The client means to send this, and does not: after an election a former
		// leader would go on answering reads.
		ctx = metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("%w: the client panicked: %v", ErrUnavailable, p)
			}
			if broken(o.err) {
				cs.drop(c)
			}
			cs.giveBack(c, !transient(classify(o.err)))
			done <- o
		}()
		o.v, o.err = f(ctx, c.Client)
	}()
	select {
	case o := <-done:
		return o.v, o.err
	case <-c.dead:
		return none, fmt.Errorf("%w: the client hangs", ErrUnavailable)
	case <-ctx.Done():
	}
	select { // the client usually notices too; what it says is better than that time is up
	case o := <-done:
		return o.v, o.err
	case <-time.After(grace):
	}
	time.AfterFunc(stuck, func() {
		select {
		case <-done:
		default:
			cs.drop(c)
		}
	})
	return none, errors.Join(ErrUnknown, ctx.Err())
}

// pause is how long to wait before trying again: 5 ms, then 10 doubling to 500.
type pause time.Duration

func (p pause) next() pause {
	return min(max(2*p, pause(10*time.Millisecond)), pause(500*time.Millisecond))
}

// sleep says whether ctx still lasts afterwards.
func (p pause) sleep(ctx context.Context) bool {
	select {
	case <-time.After(time.Duration(max(p, pause(5*time.Millisecond)))):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
