package httpapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
)

// site is an API with a clock that stands still, for which tokens are names of
// employees, and those that begin with key names of API keys.
type site struct {
	t       *testing.T
	mu      sync.Mutex // guards what requests leave behind
	api     *API
	router  *mux.Router
	now     time.Time
	asked   int // how often a token was looked up
	caller  access.Caller
	refused []Refusal
	fail    error // of the operation
}

func whose(token string) domain.ID { return uuid.NewSHA1(uuid.Nil, []byte(token)) }

func newSite(t *testing.T, cfg Config) *site {
	t.Helper()
	s := &site{t: t, router: mux.NewRouter(), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	cfg.Version, cfg.Logger = "1", slog.New(slog.DiscardHandler)
	cfg.Now = func() time.Time { return s.now }
	cfg.Refused = func(_ context.Context, r Refusal) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = append(s.refused, r)
	}
	cfg.Authenticate = func(_ context.Context, token string) (*access.Actor, error) {
		s.mu.Lock()
		s.asked++
		s.mu.Unlock()
		switch {
		case strings.HasPrefix(token, "bad"):
			return nil, domain.Errorf(domain.Unauthorized, "token", "the token is not valid")
		case token == "outage":
			return nil, errors.New("the database is away")
		case strings.HasPrefix(token, "key"):
			return &access.Actor{Who: whose(token), Owner: whose("owner")}, nil
		}
		return &access.Actor{Who: whose(token)}, nil
	}
	s.api = New(s.router, cfg)
	type byID struct {
		ID uuid.UUID `path:"id"`
	}
	type signedIn struct {
		Cookie http.Cookie `header:"Set-Cookie"`
	}
	seen := func(ctx context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.caller = access.From(ctx)
		return s.fail
	}
	Handle(s.api, Op{ID: "read", Method: "GET", Path: "/api/v1/things/{id}", Tag: "things"},
		func(ctx context.Context, _ *byID) (*struct{}, error) { return nil, seen(ctx) })
	Handle(s.api, Op{ID: "list", Method: "GET", Path: "/api/v1/things", Tag: "things"},
		func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, seen(ctx) })
	Handle(s.api, Op{ID: "change", Method: "POST", Path: "/api/v1/things/{id}/rename", Tag: "things"},
		func(ctx context.Context, _ *input) (*struct{}, error) { return nil, seen(ctx) })
	Handle(s.api, Op{ID: "sign-in", Method: "POST", Path: "/api/v1/session", Tag: "things", Anyone: true},
		func(ctx context.Context, _ *struct{}) (*signedIn, error) {
			return &signedIn{SetSession("mira", s.now.Add(time.Hour))}, seen(ctx)
		})
	Handle(s.api, Op{ID: "reset", Method: "POST", Path: "/api/v1/reset/{secret}", Tag: "things", Anyone: true},
		func(ctx context.Context, _ *struct {
			Secret string `path:"secret"`
		},
		) (*struct{}, error) {
			return nil, seen(ctx)
		})
	return s
}

const (
	thing  = "/api/v1/things/9b2f8a52-4a83-4b0f-8f5e-3d0f5b1c2a6d"
	rename = thing + "/rename"
)

// send sends "METHOD path" from 192.0.2.1 with headers as in "Name: value".
func (s *site) send(route string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	body := ""
	if strings.HasSuffix(path, "/rename") {
		body = good
	}
	r := httptest.NewRequest(method, "https://crm.example"+path, strings.NewReader(body))
	r.TLS = nil
	r.RemoteAddr = "192.0.2.1:4711"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Remote" {
			r.RemoteAddr = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.router.ServeHTTP(w, r)
	return w
}

// want fails unless w has the status and, where it is a problem, the code.
func want(t *testing.T, name string, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var p Problem
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.Code != status || p.Code != code {
		t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, status, code)
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newSite(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Limits: Limits{Anonymous: Limit{Rate: 1, Burst: 7}}})
	answers := map[string]*httptest.ResponseRecorder{
		"success":       s.send("GET "+thing, "Authorization: Bearer mira"),
		"head":          s.send("HEAD "+thing, "Authorization: Bearer mira"),
		"unauthorized":  s.send("GET " + thing),
		"no path":       s.send("GET /nothing"),
		"no method":     s.send("PATCH " + thing),
		"odd path":      s.send("GET //api/../v1"),
		"cross origin":  s.send("POST /api/v1/session", "Sec-Fetch-Site: cross-site"),
		"bad query":     s.send("GET "+thing+"?a=%zz", "Authorization: Bearer mira"),
		"invalid":       s.send("GET /api/v1/things/x", "Authorization: Bearer mira"),
		"docs":          s.send("GET /api/docs"),
		"document":      s.send("GET /api/openapi.json"),
		"https":         s.send("GET /nothing", "Remote: 10.0.0.1:1", "X-Forwarded-Proto: http, https"),
		"http":          s.send("GET /nothing", "Remote: 10.0.0.1:1", "X-Forwarded-Proto: https, http"),
		"spoofed https": s.send("GET /nothing", "X-Forwarded-Proto: https"),
		"limited":       s.send("GET /nothing"),
	}
	if answers["limited"].Code != 429 {
		t.Errorf("limited: %d", answers["limited"].Code)
	}
	s.fail = errors.New("a bug")
	answers["bug"] = s.send("GET "+thing, "Authorization: Bearer mira")
	for name, w := range answers {
		h := w.Header()
		csp := "default-src 'none'; frame-ancestors 'none'"
		if name == "docs" {
			csp = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
		}
		for header, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": csp,
		} {
			if got := h.Values(header); len(got) != 1 || got[0] != value {
				t.Errorf("%s (%d): %s %q", name, w.Code, header, got)
			}
		}
		if !strings.Contains(h.Get("Permissions-Policy"), "camera=()") || h.Get("Request-Id") == "" || h.Get("RateLimit") == "" || h.Get("RateLimit-Policy") == "" {
			t.Errorf("%s: %v", name, h)
		}
		if hsts := h.Get("Strict-Transport-Security"); (hsts != "") != (name == "https") {
			t.Errorf("%s: Strict-Transport-Security %q", name, hsts)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/nothing", nil)
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	if s.router.ServeHTTP(w, r); w.Header().Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("TLS: %v", w.Header())
	}
}

// wait is an error that says how long to wait.
type wait struct {
	err  error
	time time.Duration
}

func (w wait) Error() string             { return w.err.Error() }
func (w wait) Unwrap() error             { return w.err }
func (w wait) RetryAfter() time.Duration { return w.time }

func TestRetryAfter(t *testing.T) {
	locked := domain.Errorf(domain.TooMany, "locked", "wait")
	for name, c := range map[string]struct {
		err    error
		header string
	}{
		"a lock":           {wait{locked, 90 * time.Second}, "90"},
		"rounded up":       {fmt.Errorf("sign in: %w", wait{locked, 90*time.Second + 1}), "91"},
		"no time at all":   {wait{locked, 0}, "1"},
		"in the past":      {wait{locked, -time.Hour}, "1"},
		"forever":          {wait{locked, 1 << 62}, "86400"},
		"among others":     {errors.Join(errors.New("x"), wait{locked, time.Minute}), "60"},
		"of another kind":  {wait{domain.Errorf(domain.Forbidden, "locked", "wait"), time.Minute}, "60"},
		"without its time": {locked, "1"},
		"nothing to await": {domain.Errorf(domain.Forbidden, "forbidden", "no"), ""},
	} {
		s := newSite(t, Config{})
		s.fail = c.err
		if w := s.send("POST /api/v1/session"); w.Header().Get("Retry-After") != c.header {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// TestWatched: who watches over the process is never told to wait, or to sign in.
func TestWatched(t *testing.T) {
	s := newSite(t, Config{Limits: few})
	for path := range watched {
		for range 50 {
			if w := s.send("GET " + path); w.Code != http.StatusNotFound || w.Header().Get("RateLimit") != "" {
				t.Fatalf("%s: %d %v", path, w.Code, w.Header())
			}
		}
	}
}
