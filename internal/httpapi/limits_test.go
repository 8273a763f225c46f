package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/refusals"
)

// few are limits that a test reaches.
var few = Limits{
	Actor:     Limit{Rate: 2, Burst: 4},
	Address:   Limit{Rate: 10, Burst: 20},
	Anonymous: Limit{Rate: 0.5, Burst: 3},
}

// member is one of a list of structured fields (RFC 9651), as both headers have them.
var member = regexp.MustCompile(`^"(actor|address|anonymous)";(q=[0-9]+;w=[0-9]+|r=[0-9]+;t=[0-9]+)$`)

func TestRateLimitHeaders(t *testing.T) {
	s := newSite(t, Config{Limits: few})
	for _, c := range []struct {
		later          time.Duration
		route, token   string
		status         int
		policy, limits string
		retry          string
	}{
		{0, "GET /api/v1/things", "mira", 204, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=19;t=1, "actor";r=3;t=1`, ""},
		{0, "GET /api/v1/things", "mira", 204, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=18;t=1, "actor";r=2;t=1`, ""},
		{0, "GET /nothing", "", 404, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=17;t=1, "anonymous";r=2;t=2`, ""},
		{0, "PATCH /api/v1/things", "mira", 405, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=16;t=1, "actor";r=1;t=2`, ""},
		{0, "GET /api/v1/things/x", "mira", 422, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=15;t=1, "actor";r=0;t=2`, ""},
		{0, "HEAD /api/v1/things", "mira", 429, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=14;t=1, "actor";r=0;t=2`, "1"},
		{0, "GET /api/v1/things", "bad", 401, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=13;t=1, "anonymous";r=1;t=4`, ""},
		{0, "GET /api/docs", "", 200, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=12;t=1, "anonymous";r=0;t=6`, ""},
		{0, "POST /api/v1/session", "", 429, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=11;t=1, "anonymous";r=0;t=6`, "2"},
		{500 * time.Millisecond, "GET /api/v1/things", "mira", 204, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=15;t=1, "actor";r=0;t=2`, ""},
		{900 * time.Millisecond, "POST /api/v1/session", "", 429, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=19;t=1, "anonymous";r=0;t=5`, "1"},
		{700 * time.Millisecond, "POST /api/v1/session", "", 204, `"address";q=20;w=2, "anonymous";q=3;w=6`, `"address";r=19;t=1, "anonymous";r=0;t=6`, ""},
		{time.Hour, "GET /api/v1/things", "mira", 204, `"address";q=20;w=2, "actor";q=4;w=2`, `"address";r=19;t=1, "actor";r=3;t=1`, ""},
	} {
		s.now = s.now.Add(c.later)
		var headers []string
		if c.token != "" {
			headers = []string{"Authorization: Bearer " + c.token}
		}
		w := s.send(c.route, headers...)
		h := w.Header()
		if w.Code != c.status || h.Get("RateLimit-Policy") != c.policy || h.Get("RateLimit") != c.limits || h.Get("Retry-After") != c.retry {
			t.Errorf("%s by %q: %d\n%s\n%s\nRetry-After %q", c.route, c.token, w.Code, h.Get("RateLimit-Policy"), h.Get("RateLimit"), h.Get("Retry-After"))
		}
		for _, header := range []string{"RateLimit-Policy", "RateLimit"} {
			for m := range strings.SplitSeq(h.Get(header), ", ") {
				if !member.MatchString(m) {
					t.Errorf("%s: %s", header, m)
				}
			}
		}
		if w.Code == 429 && c.route[:4] != "HEAD" {
			want(t, c.route, w, 429, "rate_limited")
		}
	}
}

// TestActorLimit holds that employees and keys share nothing but their address.
func TestActorLimit(t *testing.T) {
	s := newSite(t, Config{Limits: Limits{Actor: Limit{Rate: 1, Burst: 3}, Address: Limit{Rate: -1}, Anonymous: Limit{Rate: -1}}})
	for i := range 5 {
		status, code := 204, ""
		if i >= 3 {
			status, code = 429, "rate_limited"
		}
		for n, shown := range []string{"Authorization: Bearer mira", "Authorization: Bearer key1", cookie + "joan"} {
			remote := fmt.Sprintf("Remote: 192.0.2.%d:1", i) // from wherever
			want(t, shown, s.send("GET "+thing, shown, remote), status, code)
			if w := s.send("POST /api/v1/session"); w.Code != 204 || w.Header().Get("RateLimit") != "" {
				t.Errorf("unlimited: %d %v", w.Code, w.Header())
			}
			if i == 3 {
				r := s.refused[len(s.refused)-1]
				kind := []string{refusals.Employee, refusals.Key, refusals.Employee}[n]
				if r.Code != "rate_limited" || r.Kind != kind || r.Actor != whose([]string{"mira", "key1", "joan"}[n]) {
					t.Errorf("refused: %+v", r)
				}
			}
		}
	}
	if s.asked != 3*3 {
		t.Errorf("asked %d times for tokens", s.asked) // not for what was too much
	}
}

// TestAddressLimit holds that one address, or network in IPv6, cannot get more by
// anything that it says.
func TestAddressLimit(t *testing.T) {
	s := newSite(t, Config{Limits: Limits{Address: Limit{Rate: 1, Burst: 8}}})
	for i := range 20 {
		status := 204
		if i >= 8 {
			status = 429
		}
		w := s.send("GET "+thing, fmt.Sprintf("Authorization: Bearer e%d", i), fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i), fmt.Sprintf("Remote: [2001:db8:0:1::%x]:1", i+1))
		if w.Code != status {
			t.Errorf("%d: %d", i, w.Code)
		}
	}
	if s.asked != 8 {
		t.Errorf("asked %d times", s.asked)
	}
	want(t, "the neighbouring network", s.send("GET "+thing, "Authorization: Bearer mira", "Remote: [2001:db8:0:2::1]:1"), 204, "")
	want(t, "IPv4", s.send("GET "+thing, "Authorization: Bearer mira"), 204, "")
	for range 8 {
		s.send("GET "+thing, "Authorization: Bearer mira", "Remote: [::ffff:192.0.2.1]:1")
	}
	want(t, "IPv4, mapped", s.send("GET "+thing, "Authorization: Bearer mira"), 429, "rate_limited")
	proxied := newSite(t, Config{Limits: Limits{Address: Limit{Rate: 1, Burst: 1}}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for i := range 3 { // clients behind a trusted proxy are not each other
		want(t, "by proxy", proxied.send("GET "+thing, "Authorization: Bearer mira", fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i)), 204, "")
	}
	want(t, "by proxy, again", proxied.send("GET "+thing, "Authorization: Bearer mira", "X-Forwarded-For: 203.0.113.1, 198.51.100.1"), 429, "rate_limited")
}

// TestGuessing holds that whoever guesses tokens is held up like whoever guesses
// passwords, without asking the database, and in nobody else's way.
func TestGuessing(t *testing.T) {
	s := newSite(t, Config{Limits: few})
	s.api.limits.address = nil
	want(t, "a colleague behind the same address", s.send("GET "+thing, "Authorization: Bearer mira"), 204, "")
	s.asked = 0
	for i := range 30 {
		status, code := 401, "token"
		if i >= 3 {
			status, code = 429, "rate_limited"
		}
		want(t, "guess", s.send("GET "+thing, fmt.Sprintf("Authorization: Bearer bad%d", i)), status, code)
	}
	if s.asked != 3 {
		t.Errorf("%d guesses were looked up", s.asked)
	}
	want(t, "the colleague", s.send("GET "+thing, "Authorization: Bearer mira"), 204, "")
	want(t, "another address", s.send("GET "+thing, "Authorization: Bearer bad", "Remote: 192.0.2.2:1"), 401, "token")
	s.now = s.now.Add(2 * time.Second)
	want(t, "later", s.send("GET "+thing, "Authorization: Bearer joan"), 204, "")
	want(t, "an outage is nobody's guess", s.send("GET "+thing, "Authorization: Bearer outage"), 500, "internal")
}

// TestRevoked holds that a token that was good is asked for at every request.
func TestRevoked(t *testing.T) {
	s := newSite(t, Config{})
	good := s.api.authenticate
	want(t, "before", s.send("GET "+thing, "Authorization: Bearer mira"), 204, "")
	s.api.authenticate = func(ctx context.Context, _ string) (*access.Actor, error) {
		return good(ctx, "bad")
	}
	s.asked = 0
	want(t, "after", s.send("GET "+thing, "Authorization: Bearer mira"), 401, "token")
	if s.asked != 1 || s.api.limits.known.Len() != 0 {
		t.Errorf("asked %d times, %d tokens are known", s.asked, s.api.limits.known.Len())
	}
	if r := s.refused[0]; r.Actor != (domain.ID{}) || r.Kind != refusals.Nobody {
		t.Errorf("refused: %+v", r)
	}
}

// TestBurstTogether takes from new buckets in many goroutines at once: whichever of
// them creates a bucket, all take from the same.
func TestBurstTogether(t *testing.T) {
	const keys, takers = 2000, 8
	b := newBuckets[int]("actor", Limit{Rate: 0.001, Burst: 1}, Limit{})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var passed atomic.Int64
	for key := range keys {
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range takers {
			wg.Go(func() {
				<-start
				if b.take(http.Header{}, key, now) == nil {
					passed.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
	}
	if passed.Load() != keys {
		t.Errorf("%d passed, of %d buckets with one token each", passed.Load(), keys)
	}
}

func TestDefaultLimits(t *testing.T) {
	s := newSite(t, Config{})
	w := s.send("GET "+thing, "Authorization: Bearer mira")
	if got := w.Header().Get("RateLimit-Policy"); got != `"address";q=8000;w=2, "actor";q=4000;w=2` {
		t.Error(got)
	}
	w = s.send("POST /api/v1/session")
	if got := w.Header().Get("RateLimit-Policy"); got != `"address";q=8000;w=2, "anonymous";q=500;w=10` {
		t.Error(got)
	}
}
