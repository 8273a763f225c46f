package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/refusals"
)

// requestTimeout bounds every request from its first byte to its last; reads that
// wait for a read model bound themselves below it. A client may take a third longer
// to receive what was written.
const requestTimeout = 30 * time.Second

// watched are the paths that tell how the process is.
var watched = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// frame is around everything that is answered: it bounds what a request may take,
// finds out who asks, and puts it into the request's context.
func (a *API) frame(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := r.Context().Value(trailKey{}).(*trail); ok { // sent on by otherMethod
			t.follow(r)
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.timeout)
		defer cancel()
		a.bound(w, r)
		c := access.Caller{UserAgent: truncate(r.UserAgent(), 300), Request: uuid.New(), IP: a.proxies.client(r)}
		secure(w.Header(), a.proxies.encrypted(r))
		w.Header().Set("Request-Id", c.Request.String())
		t := &trail{conn: r.Context(), head: r.Method == http.MethodHead}
		t.follow(r)
		ctx = context.WithValue(access.With(ctx, c), trailKey{}, t)
		defer a.recovered(ctx, w)
		if watched[r.URL.Path] {
			// Who watches over the process asks often, and must not be told to wait.
			next.ServeHTTP(w, r.WithContext(access.With(ctx, c)))
			return
		}
		if err := a.admit(ctx, w.Header(), r, &c, t); err != nil {
			problem(ctx, a.logger, err).write(w)
		} else {
			next.ServeHTTP(w, r.WithContext(access.With(ctx, c)))
		}
		a.audit(ctx, r, c, t)
	})
}

// bound gives the connection deadlines. Without them a client that sends its body, or
// takes its answer, a byte at a time would hold the connection for as long as it
// likes, even when it was refused: net/http reads what is left of a body before it
// answers.
func (a *API) bound(w http.ResponseWriter, r *http.Request) {
	conn, now := http.NewResponseController(w), time.Now() //nolint:forbidigo // deadlines of the connection; what is no connection needs none
	if r.ContentLength != 0 {
		_ = conn.SetReadDeadline(now.Add(a.timeout))
	}
	_ = conn.SetWriteDeadline(now.Add(a.timeout + a.timeout/3))
}

// admit says who asks, in c, or why a request goes no further. The cheapest comes
// first: nobody asks the database for a request that there are too many of, or that
// another site made.
func (a *API) admit(ctx context.Context, h http.Header, r *http.Request, c *access.Caller, t *trail) error {
	now, from := a.now(), refusals.Network(c.IP)
	if err := a.limits.address.take(h, from, now); err != nil {
		return err
	}
	sent, err := credentials(r)
	if !sent.bearer && a.origins.Check(r) != nil {
		return errCrossOrigin
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return malformed("query", "syntax", "is not well-formed")
	}
	c.Cookie, c.Denied = sent.cookie, err
	if err != nil || sent.token == "" {
		return a.limits.anonymous.take(h, from, now)
	}
	digest := a.limits.digest(sent.token)
	actor, known := a.limits.known.Get(digest)
	if known {
		t.actor, t.kind = actor.id, actor.kind
		if err := a.limits.actor.take(h, actor.id, now); err != nil {
			return err
		}
	} else if a.limits.anonymous.dry(from, now) { // somebody there is guessing
		if err := a.limits.anonymous.take(h, from, now); err != nil {
			return err
		}
	}
	c.Actor, c.Denied = a.authenticate(ctx, sent.token)
	switch {
	case c.Actor == nil:
		t.actor, t.kind = domain.ID{}, ""
		if domain.KindOf(c.Denied) == domain.Internal {
			return nil // an outage, which is not theirs
		}
		a.limits.known.Remove(digest)
		return a.limits.anonymous.take(h, from, now)
	case !known:
		t.actor, t.kind = c.Actor.Who, kind(c.Actor)
		a.limits.known.Add(digest, bearer{t.actor, t.kind})
		return a.limits.actor.take(h, c.Actor.Who, now)
	}
	return nil
}

// fixed are headers of all answers. They have a browser make nothing of an answer but
// data, for our own pages only.
var fixed = http.Header{
	"X-Content-Type-Options":       {"nosniff"},
	"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
	"Referrer-Policy":              {"no-referrer"},
	"Cache-Control":                {"no-store"},
	"X-Frame-Options":              {"DENY"},
	"Cross-Origin-Opener-Policy":   {"same-origin"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Permissions-Policy":           {"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()"},
}

func secure(h http.Header, encrypted bool) {
	maps.Copy(h, fixed)
	if encrypted {
		h.Set("Strict-Transport-Security", "max-age=31536000") // a year; nothing is said for subdomains, which may be others'
	}
}

// recovered answers for an operation that panicked: a bug of ours, which is logged
// with where it is.
func (a *API) recovered(ctx context.Context, w http.ResponseWriter) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // what could not be written to a client that went away
	}
	a.logger.ErrorContext(ctx, "request panicked", "request_id", access.From(ctx).Request.String(), "panic", v, "stack", string(debug.Stack()))
	problem(ctx, a.logger, errPanic).write(w) // has no effect if the answer has begun
}

var errPanic = domain.Errorf(domain.Internal, "internal", "something went wrong on our side")

func truncate(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
