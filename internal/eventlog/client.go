package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// clients hands out the current client and replaces one that has died.
type clients struct {
	conf   *esdb.Configuration
	mu     sync.Mutex
	now    *esdb.Client
	closed bool
}

var errClosed = errors.New("the log has been closed")

func (c *clients) get() (*esdb.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.now == nil {
		conf := *c.conf
		now, err := esdb.NewClient(&conf)
		if err != nil {
			return nil, fmt.Errorf("event store client: %w", err)
		}
		c.now = now
	}
	return c.now, nil
}

// drop has the next call make a new client, unless somebody dropped this one
// already. Closing it frees the callers that hang in it: they panic, in a
// goroutine of [call] that expects it.
func (c *clients) drop(old *esdb.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == old {
		c.now = nil
		go closeClient(old)
	}
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed = true; c.now != nil {
		go closeClient(c.now)
		c.now = nil
	}
}

func closeClient(c *esdb.Client) {
	defer func() { _ = recover() }()
	_ = c.Close()
}

// call runs f with the current client, and returns when ctx ends whether or not
// f does: inside the client a caller can hang for good. A client that fails to
// connect or does not answer is dropped.
func call[T any](ctx context.Context, cs *clients, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	type outcome struct {
		v   T
		err error
	}
	var none T
	c, err := cs.get()
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("%w: the client panicked: %v", ErrUnavailable, p)
			}
			done <- o
		}()
		o.v, o.err = f(ctx, c)
	}()
	select {
	case o := <-done:
		if broken(o.err) {
			cs.drop(c)
		}
		return o.v, o.err
	case <-ctx.Done():
	}
	select { // the client usually notices too; what it says is better than that time is up
	case o := <-done:
		return o.v, o.err
	case <-time.After(grace):
		cs.drop(c)
		return none, errors.Join(ErrUnknown, ctx.Err())
	}
}

// grace is how long a call may take to notice that its context has ended.
const grace = 100 * time.Millisecond

// broken says whether after err the client is of no more use.
func broken(err error) bool {
	if err == nil {
		return false
	}
	e, ok := errors.AsType[*esdb.Error](err)
	if ok && (e.Code() == esdb.ErrorCodeConnectionClosed || e.Code() == esdb.ErrorUnavailable) {
		return true
	}
	return errors.Is(classify(err), ErrUnavailable)
}

// classify brings the client's errors into ours. The client wraps some errors in
// its own type, some in none, and maps several codes to one: the gRPC status
// below is what counts.
func classify(err error) error {
	for _, ours := range []error{ErrConflict, ErrUnavailable, ErrUnknown, ErrErased, ErrDeleted, ErrTooLarge} {
		if errors.Is(err, ours) {
			return err
		}
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			return errors.Join(ErrConflict, err)
		case esdb.ErrorCodeStreamDeleted:
			return errors.Join(ErrDeleted, err)
		case esdb.ErrorCodeConnectionClosed, esdb.ErrorUnavailable, esdb.ErrorCodeNotLeader:
			return errors.Join(ErrUnavailable, err)
		case esdb.ErrorCodeDeadlineExceeded:
			return errors.Join(ErrUnknown, err)
		}
	}
	switch s, _ := status.FromError(unwrapAll(err)); s.Code() {
	case codes.Unavailable:
		return errors.Join(ErrUnavailable, err)
	case codes.Aborted, codes.DeadlineExceeded, codes.Canceled:
		return errors.Join(ErrUnknown, err)
	case codes.InvalidArgument, codes.ResourceExhausted:
		return errors.Join(ErrTooLarge, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(ErrUnknown, err) // EOF: the server ended the call while the client was sending
	}
	return err
}

// unwrapAll finds the error with a gRPC status in err's tree. The client's own
// error type hides it from errors.As on some paths.
func unwrapAll(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, ok := e.(interface{ GRPCStatus() *status.Status }); ok {
			return e
		}
	}
	return err
}

// pause is how long to wait before trying again: 0, then 10 ms doubling to 500.
type pause time.Duration

func (p pause) next() pause {
	return min(max(2*p, pause(10*time.Millisecond)), pause(500*time.Millisecond))
}

// sleep says whether ctx still lasts afterwards.
func (p pause) sleep(ctx context.Context) bool {
	if p == 0 {
		p = pause(5 * time.Millisecond)
	}
	select {
	case <-time.After(time.Duration(p)):
		return true
	case <-ctx.Done():
		return false
	}
}
