package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"annals/domain"
	"annals/internal/access"
)

// Events is a stream of server-sent events (WHATWG HTML, 9.2) to one client. It is
// used by one goroutine. A client that takes longer than a third of the time of a request
// to receive what is sent is cut off, and begins anew where it was.
type Events struct {
	api  *API
	op   Op
	base context.Context // of the stream, with who asked for it
	w    http.ResponseWriter
	conn *http.ResponseController
	buf  bytes.Buffer
	err  error
}

// Follow is what a stream of events does until it ends: when ctx does, because the
// client has gone or sending fails. Who asks is in ctx.
type Follow func(ctx context.Context, e *Events) error

// HandleEvents adds a stream of events to the API. What h answers follows once the
// client has been told that the stream is there; an error of h is answered as a problem.
// Unlike other answers it takes as long as it takes.
func HandleEvents[I any](a *API, op Op, h func(context.Context, *I) (Follow, error)) {
	Handle(a, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		follow, err := h(ctx, in)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // its own, without the bound
			_, w := humamux.Unwrap(hc)
			ctx, cancel := unbound(hc.Context())
			defer cancel()
			e := &Events{api: a, op: op, base: ctx, w: w, conn: http.NewResponseController(w)}
			t, _ := hc.Context().Value(trailKey{}).(*trail)
			if e.begin() != nil || t != nil && t.head { // gone already, or does not want to see it
				cancel()
			}
			if err := follow(ctx, e); domain.KindOf(err) == domain.Internal && err != nil && ctx.Err() == nil && e.err == nil {
				a.logger.WarnContext(ctx, "a stream of events ended", "request_id", access.From(ctx).Request.String(), "operation", op.ID, "err", err)
			}
		}}, nil
	})
}

// unbound is a request's context without the bound on the time that a request takes: it
// ends with the client's connection.
func unbound(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t, ok := ctx.Value(trailKey{}).(*trail)
	if !ok || t.conn == nil {
		return out, cancel
	}
	stop := context.AfterFunc(t.conn, cancel)
	return out, func() { stop(); cancel() }
}

func (e *Events) begin() error {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies pass on at once what they get
	_ = e.conn.SetReadDeadline(time.Time{})
	e.w.WriteHeader(http.StatusOK)
	// How long a browser waits before it connects again, in milliseconds: not all at once
	// when a server ends.
	fmt.Fprintf(&e.buf, "retry: %d\n\n", 2000+int(access.From(e.base).Request[0])*10)
	return e.Flush()
}

// Add queues an event: what is sent as JSON under a name, and, unless it is empty, the
// id that a client sends as Last-Event-ID when it comes back.
func (e *Events) Add(name, id string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}
	if id != "" {
		fmt.Fprintf(&e.buf, "id: %s\n", id)
	}
	fmt.Fprintf(&e.buf, "event: %s\ndata: %s\n\n", name, raw)
	return nil
}

// Beat sends a comment, by which both sides see that the connection is still there, and
// with it what is queued. With an id, that is what the client comes back with from now on.
func (e *Events) Beat(id string) error {
	if id != "" {
		fmt.Fprintf(&e.buf, "id: %s\n", id)
	}
	e.buf.WriteString(": beat\n\n")
	return e.Flush()
}

// Flush sends what is queued, or fails when the client does not take it.
func (e *Events) Flush() error {
	if e.err != nil || e.buf.Len() == 0 {
		return e.err
	}
	_ = e.conn.SetWriteDeadline(time.Now().Add(e.api.timeout / 3)) //nolint:forbidigo // a deadline of the connection
	if _, e.err = e.w.Write(e.buf.Bytes()); e.err == nil {
		e.err = e.conn.Flush()
	}
	if e.buf.Reset(); e.buf.Cap() > 64<<10 {
		e.buf = bytes.Buffer{}
	}
	return e.err
}

// Renew finds out anew who asks, and what they may, and answers the context that says
// so. An error means that they may no longer follow the stream, or that nobody can tell.
func (e *Events) Renew() (context.Context, error) {
	c := access.From(e.base)
	if c.Actor != nil {
		ctx, cancel := context.WithTimeout(e.base, e.api.timeout)
		defer cancel()
		c.Actor, c.Denied = e.api.authenticate(ctx, c.Actor.Token)
	}
	return access.With(e.base, c), e.op.admits(c)
}
