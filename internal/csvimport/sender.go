package csvimport

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client says where the API is and who asks.
type Client struct {
	URL   string // of the server, as in http://127.0.0.1:8080
	Token string // bearer token

	// Patience is how long the server may refuse or not answer before the import
	// fails; 0: two minutes. Before its first answer it is 15 seconds at most.
	Patience time.Duration
	HTTP     http.RoundTripper // nil: one with a connection for each command under way
}

const (
	defaultPatience = 2 * time.Minute
	firstPatience   = 15 * time.Second
	attemptTime     = time.Minute
	firstBackoff    = 100 * time.Millisecond
	maxBackoff      = 5 * time.Second
	maxAnswer       = 64 << 10

	// A row on which the server fails so often, while it takes others, is at fault
	// itself.
	maxOwnFailures = 5
)

// verdict is what has become of a record.
type verdict uint8

const (
	empty verdict = iota
	registered
	unchanged
	rejected
)

// sender carries out commands, again and again until the server has answered.
type sender struct {
	url    string
	header http.Header
	http   http.Client
	idle   func()

	answers atomic.Uint64 // that settled a command
	outage  outage
	gate    gate
}

func newSender(c Client, connections int, fail context.CancelCauseFunc) (*sender, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("url: %q is not the address of a server, as in http://127.0.0.1:8080", c.URL)
	}
	if strings.ContainsAny(c.Token, "\r\n") || c.Token == "" {
		return nil, usagef("token: there is none, or it is not one")
	}
	s := &sender{
		url: u.JoinPath("api/v1/clients").String(),
		header: http.Header{
			"Authorization": {"Bearer " + c.Token},
			"Content-Type":  {"application/json"},
			"Accept":        {"application/json, application/problem+json"},
			"User-Agent":    {"annals-import"},
		},
		idle: func() {},
	}
	s.http.Transport = c.HTTP
	if c.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
		t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
		t.DisableCompression = true
		s.http.Transport, s.idle = t, t.CloseIdleConnections
	}
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.outage.patience = c.Patience
	if s.outage.patience <= 0 {
		s.outage.patience = defaultPatience
	}
	s.outage.fail = fail
	return s, nil
}

func (s *sender) close() {
	s.outage.over()
	s.idle()
}

// trouble is why the server takes nothing at the moment.
func (s *sender) trouble() string { return s.outage.why() }

// send carries out one command. The error is for the whole import: the server
// cannot be reached for too long, does not know the token, or is none of ours.
func (s *sender) send(ctx context.Context, key string, body []byte) (verdict, string, error) {
	own, seen := 0, s.answers.Load()
	for wait := firstBackoff; ; wait = min(2*wait, maxBackoff) {
		if err := s.gate.pass(ctx); err != nil {
			return 0, "", err
		}
		a, err := s.attempt(ctx, key, body)
		switch {
		case ctx.Err() != nil:
			return 0, "", context.Cause(ctx)
		case err == nil && !a.again:
			s.answers.Add(1)
			s.outage.over()
			return a.verdict, a.reason, a.fatal
		case err == nil:
			err = errors.New(a.reason)
		case hopeless(err):
			return 0, "", err
		}
		if now := s.answers.Load(); a.status >= http.StatusInternalServerError && now != seen {
			if seen, own = now, own+1; own == maxOwnFailures {
				s.outage.over()
				return rejected, "the server fails on it: " + a.reason, nil
			}
		}
		s.outage.goesOn(err, s.answers.Load() > 0)
		if a.wait > 0 {
			s.gate.shut(a.wait)
			continue
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, "", err
		}
	}
}

// answer is what the server said, and what that means.
type answer struct {
	verdict verdict
	reason  string
	status  int
	again   bool          // send it again
	wait    time.Duration // after that long, if the server says so
	fatal   error
}

// attempt sends a command once. The error is the network's.
func (s *sender) attempt(ctx context.Context, key string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = s.header.Clone()
	req.Header.Set("Idempotency-Key", key)
	resp, err := s.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, fmt.Errorf("no answer within %s", attemptTime)
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the address is the same for all
		}
		return answer{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing to be done about it
	if resp.StatusCode == http.StatusCreated {
		// The identity is of no interest; read, so that the connection serves again.
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
			return answer{}, err
		}
		if resp.Header.Get("Idempotency-Replayed") == "true" {
			return answer{verdict: unchanged, status: resp.StatusCode}, nil
		}
		return answer{verdict: registered, status: resp.StatusCode}, nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	return s.refusal(resp, text), nil
}

// refusal judges whatever is not 201.
func (s *sender) refusal(resp *http.Response, text []byte) answer {
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	problem := strings.TrimSpace(media) == "application/problem+json"
	a := answer{status: resp.StatusCode, verdict: rejected, reason: resp.Status}
	if problem {
		a.reason = problemReason(text, resp.Status)
	}
	a.wait = retryAfter(resp.Header)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized:
		a.fatal = fmt.Errorf("the server does not accept the token (%s): sign in again and give the new one", a.reason)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly,
		code >= http.StatusInternalServerError, code == http.StatusConflict && a.wait > 0:
		a.again = true
		a.reason = fmt.Sprintf("%d: %s", code, a.reason)
		if !problem {
			a.reason = resp.Status
		}
	case code >= 300 && code < 400:
		a.fatal = fmt.Errorf("%s answered %s to %q: give the address that it leads to", s.url, resp.Status, resp.Header.Get("Location"))
	case code < 300, !problem && (code == http.StatusBadRequest || code == http.StatusNotFound || code == http.StatusMethodNotAllowed):
		a.fatal = fmt.Errorf("%s answered %s: is this the address of Annals?", s.url, resp.Status)
	}
	return a
}

// problemReason is what an RFC 9457 problem says in one line: the faults of the
// fields, or else its detail.
func problemReason(text []byte, status string) string {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(text, &p) != nil {
		return status
	}
	var all []string
	for _, e := range p.Errors {
		switch {
		case e.Message == "":
		case e.Field == "":
			all = append(all, e.Message)
		default:
			all = append(all, e.Field+": "+e.Message)
		}
	}
	if len(all) > 0 {
		return strings.Join(all, "; ")
	}
	for _, s := range []string{p.Detail, p.Title} {
		if s != "" {
			return s
		}
	}
	return status
}

// retryAfter is RFC 9110 §10.2.3, in seconds or until a date; 0 when not given.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return max(time.Duration(n)*time.Second, time.Millisecond)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(time.Until(at), time.Millisecond)
	}
	return 0
}

// hopeless says whether trying again cannot help.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// outage is the time in which no command is settled though some are tried.
type outage struct {
	patience time.Duration
	fail     context.CancelCauseFunc
	on       atomic.Bool // so that over costs nothing when there is none

	mu    sync.Mutex
	last  error
	timer *time.Timer
}

// goesOn notes a failure, and begins an outage if there is none.
func (o *outage) goesOn(err error, answered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = err
	if o.on.Swap(true) {
		return
	}
	limit := o.patience
	if !answered {
		limit = min(limit, firstPatience)
	}
	o.timer = time.AfterFunc(limit, func() {
		o.fail(fmt.Errorf("the server has taken nothing for %s: %s", limit, o.why()))
	})
}

func (o *outage) over() {
	if !o.on.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on.Swap(false) {
		o.timer.Stop()
	}
}

func (o *outage) why() string {
	if !o.on.Load() {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last.Error()
}

// gate holds back all commands for as long as the server asks.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed when it opens; nil when it is open
}

func (g *gate) shut(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		return
	}
	open := make(chan struct{})
	g.open = open
	time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open = nil
		close(open)
	})
}

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
