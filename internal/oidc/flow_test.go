package oidc

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"annals/domain"
)

func TestBegin(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	seen := map[string]bool{}
	for range 3 {
		a := begin(t, p)
		for name, want := range map[string]string{
			"response_type": "code", "client_id": client, "redirect_uri": callback, "scope": "openid email profile", "code_challenge_method": "S256",
		} {
			if got := a.sent.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		for _, secret := range []string{a.sent.Get("state"), a.nonce(), a.sent.Get("code_challenge"), a.Binding} {
			if len(secret) < 26 || seen[secret] {
				t.Errorf("%q is short, or was there before", secret)
			}
			seen[secret] = true
		}
		if !strings.HasPrefix(a.URL, f.URL+"/authorize?") || strings.Contains(a.URL, a.Binding) || len(a.sent) != 8 {
			t.Error(a.URL)
		}
		var verifier, row string
		err := db.QueryRow(t.Context(), `select verifier, f::text from annals_oidc.flows f where state_hash = $1`, p.hashState(a.sent.Get("state"))).Scan(&verifier, &row)
		if err != nil || oauth2.S256ChallengeFromVerifier(verifier) != a.sent.Get("code_challenge") || strings.Contains(a.URL, verifier) {
			t.Errorf("the verifier does not fit: %v", err)
		}
		if strings.Contains(row, a.sent.Get("state")) || strings.Contains(row, a.Binding) {
			t.Error("the database knows a secret that its hash would do for")
		}
	}
	if _, err := p.Begin(t.Context(), BeginOptions{ReturnTo: "//evil.example"}); domain.KindOf(err) != domain.Invalid {
		t.Error(err)
	}
	a, err := p.Begin(t.Context(), BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(a.URL)
	at := attempt{a, u.Query(), "code"}
	f.issue(at, rs256(f.honest(at, c.Now())))
	if who, err := p.Finish(t.Context(), at.query(), at.Binding); err != nil || who.ReturnTo != "/" {
		t.Errorf("%+v, %v", who, err)
	}
}

// TestAnswers is what the browser may come back with.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	type q = url.Values
	for name, tc := range map[string]struct {
		change  func(q)
		binding func(string) string
		want    *domain.Error
	}{
		"as it should":          {want: nil},
		"with more":             {change: func(v q) { v.Set("session_state", "x"); v.Set("iss", f.URL) }, want: nil},
		"nothing":               {change: func(v q) { clear(v) }, want: ErrState},
		"no state":              {change: func(v q) { v.Del("state") }, want: ErrState},
		"empty state":           {change: func(v q) { v.Set("state", "") }, want: ErrState},
		"state in lower case":   {change: func(v q) { v.Set("state", strings.ToLower(v.Get("state"))) }, want: ErrState},
		"state cut off":         {change: func(v q) { v.Set("state", v.Get("state")[:25]) }, want: ErrState},
		"guessed state":         {change: func(v q) { v.Set("state", "AAAAAAAAAAAAAAAAAAAAAAAAAA") }, want: ErrState},
		"NUL for state":         {change: func(v q) { v.Set("state", "\x00") }, want: ErrState},
		"huge state":            {change: func(v q) { v.Set("state", strings.Repeat("A", 1<<20)) }, want: ErrState},
		"two states":            {change: func(v q) { v.Add("state", "x") }, want: ErrState},
		"the same state twice":  {change: func(v q) { v.Add("state", v.Get("state")) }, want: ErrState},
		"no code":               {change: func(v q) { v.Del("code") }, want: ErrCode},
		"empty code":            {change: func(v q) { v.Set("code", "") }, want: ErrCode},
		"two codes":             {change: func(v q) { v.Add("code", "x") }, want: ErrCode},
		"huge code":             {change: func(v q) { v.Set("code", strings.Repeat("A", maxCode+1)) }, want: ErrCode},
		"guessed code":          {change: func(v q) { v.Set("code", "x&grant_type=password\r\n") }, want: ErrCode},
		"another issuer":        {change: func(v q) { v.Set("iss", "https://evil.example") }, want: ErrState},
		"two issuers":           {change: func(v q) { v["iss"] = []string{f.URL, "https://evil.example"} }, want: ErrState},
		"no binding":            {binding: func(string) string { return "" }, want: ErrState},
		"another binding":       {binding: func(string) string { return "AAAAAAAAAAAAAAAAAAAAAAAAAA" }, want: ErrState},
		"binding in lower case": {binding: strings.ToLower, want: ErrState},
		"binding and more":      {binding: func(s string) string { return s + "A" }, want: ErrState},
		"huge binding":          {binding: func(s string) string { return strings.Repeat(s, 1<<16) }, want: ErrState},
		"denied":                {change: func(v q) { v.Set("error", "access_denied") }, want: ErrDenied},
		"denied without a code": {change: func(v q) { v.Del("code"); v.Set("error", "access_denied") }, want: ErrDenied},
		"login required":        {change: func(v q) { v.Set("error", "login_required") }, want: ErrRefused},
		"provider broken":       {change: func(v q) { v.Set("error", "server_error") }, want: ErrUnavailable},
		"provider busy":         {change: func(v q) { v.Set("error", "temporarily_unavailable") }, want: ErrUnavailable},
		"empty error":           {change: func(v q) { v.Set("error", "") }, want: ErrRefused},
		"error with a line":     {change: func(v q) { v.Set("error", "x\nlevel=INFO msg=\"signed in\"") }, want: ErrRefused},
		"huge error":            {change: func(v q) { v.Set("error", strings.Repeat("x", 1<<20)) }, want: ErrRefused},
		"error with a text": {change: func(v q) {
			v.Set("error", "invalid_scope")
			v.Set("error_description", "call +1 555 0100, ann@example.com")
		}, want: ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := begin(t, p)
			f.issue(a, rs256(f.honest(a, c.Now())))
			query, binding := a.query(), a.Binding
			if tc.change != nil {
				tc.change(query)
			}
			if tc.binding != nil {
				binding = tc.binding(binding)
			}
			who, err := p.Finish(t.Context(), query, binding)
			a.holds(t, p, who, err, tc.want)
			// Whatever it was: who named the state has used it up.
			left := 0
			if s := query["state"]; len(s) != 1 || s[0] != a.sent.Get("state") {
				left = 1
			}
			var n int
			err = db.QueryRow(t.Context(), `select count(*) from annals_oidc.flows where state_hash = $1`, p.hashState(a.sent.Get("state"))).Scan(&n)
			if err != nil || n != left {
				t.Errorf("%d are left, not %d, %v", n, left, err)
			}
			if left == 0 {
				a.want(t, p, ErrState)
			}
		})
	}
}

// TestNotAsked: what cannot be a code is not brought to the provider.
func TestNotAsked(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	for _, code := range []string{"", strings.Repeat("x", maxCode+1)} {
		a := begin(t, p)
		a.code = code
		a.want(t, p, ErrCode)
	}
	if f.times(tokenPath) != 0 {
		t.Error("it was")
	}
}

// TestAnotherConfiguration: a flow is finished as it was begun.
func TestAnotherConfiguration(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	for _, change := range []func(*Config){
		func(c *Config) { c.Issuer += "/" }, func(c *Config) { c.ClientID += "x" }, func(c *Config) { c.RedirectURL += "/" },
	} {
		cfg := p.cfg
		change(&cfg)
		other, err := New(t.Context(), db, cfg)
		if err != nil {
			t.Fatal(err)
		}
		a := begin(t, p)
		a.want(t, other, ErrState)
		f.issue(a, rs256(f.honest(a, c.Now())))
		a.want(t, p, nil)
	}
}

// TestNamedIssuer: a provider that names itself in its answers does so in each (RFC 9207 §2.4).
func TestNamedIssuer(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	f.document["authorization_response_iss_parameter_supported"] = true
	p := open(t, db, f.URL, c)
	for iss, want := range map[string]*domain.Error{f.URL: nil, f.URL + "/": ErrState, "": ErrState} {
		a := begin(t, p)
		f.issue(a, rs256(f.honest(a, c.Now())))
		query := a.query()
		if iss != "" {
			query.Set("iss", iss)
		}
		who, err := p.Finish(t.Context(), query, a.Binding)
		a.holds(t, p, who, err, want)
	}
}

// TestOnce: of many who come at once with the same answer, one finishes.
func TestOnce(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	q := open(t, db, f.URL, c) // another process
	a := begin(t, p)
	f.issue(a, rs256(f.honest(a, c.Now())))
	var wg sync.WaitGroup
	var finished atomic.Int32
	for i := range 10 {
		at := []*Provider{p, q}[i%2]
		wg.Go(func() {
			switch _, err := at.Finish(t.Context(), a.query(), a.Binding); {
			case err == nil:
				finished.Add(1)
			case !errors.Is(err, ErrState):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := finished.Load(); n != 1 {
		t.Errorf("%d finished", n)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	slow, late := begin(t, p), begin(t, p)
	c.pass(Lifetime - time.Nanosecond)
	f.issue(slow, rs256(f.honest(slow, c.Now())))
	slow.want(t, p, nil)
	c.pass(time.Nanosecond)
	f.issue(late, rs256(f.honest(late, c.Now())))
	late.want(t, p, ErrState)

	for range 120 {
		begin(t, p)
	}
	c.pass(Lifetime)
	for i, want := range []int{21, 2, 3} { // a hundred at a time, after each that begins
		begin(t, p)
		if n := rows(t, p); n != want {
			t.Errorf("%d flows are kept after %d, not %d", n, i, want)
		}
	}
}

// TestFlood: there are never more flows than there may be, and the newest are kept.
func TestFlood(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	p.most = 4
	var all []attempt
	for range 10 {
		all = append(all, begin(t, p))
	}
	if n := rows(t, p); n != 4 {
		t.Errorf("%d flows", n)
	}
	for i, a := range all {
		var want *domain.Error
		if i < 6 {
			want = ErrState
		}
		f.issue(a, rs256(f.honest(a, c.Now())))
		a.want(t, p, want)
	}
	// At once, where everybody's place is somebody else's: no dead-locks.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := p.Begin(t.Context(), BeginOptions{}); err != nil {
					t.Error(err)
				}
				c.pass(Lifetime / 4)
			}
		})
	}
	wg.Wait()
	if n := rows(t, p); n > 4 {
		t.Errorf("%d flows", n)
	}
}

func rows(t *testing.T, p *Provider) (n int) {
	t.Helper()
	if err := p.db.QueryRow(t.Context(), `select count(*) from annals_oidc.flows`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOpenTogether: processes that start at once create the schema once.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	db := database(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := create(t.Context(), db); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// FuzzFinish: nothing that a browser comes back with signs anybody in, and all of it is refused in order.
func FuzzFinish(f *testing.F) {
	for _, s := range []string{
		"", "state=STATE", "state=STATE&code=x", "state=STATE&error=access_denied", "code=x", "state=&code=", "state=%00&code=%ff", "state=STATE&state=STATE",
		"state=STATE&code=x&iss=https://evil.example", "error=x", "STATE", "state=STATE;code=x", "state=STATE&code=%0d%0a&error_description=%3Cscript%3E",
	} {
		f.Add(s, "binding", false)
		f.Add(s, "", true)
	}
	db, c := database(f), newClock()
	provider := newForger(f)
	p := open(f, db, provider.URL, c)
	f.Fuzz(func(t *testing.T, raw, binding string, bound bool) {
		a := begin(t, p)
		query, _ := url.ParseQuery(strings.ReplaceAll(raw, "STATE", a.sent.Get("state")))
		if bound {
			binding = a.Binding
		}
		who, err := p.Finish(t.Context(), query, binding)
		all := domain.All(err)
		told := query.Get("error")
		down := told == "server_error" || told == "temporarily_unavailable"
		if who != (Identity{}) || len(all) != 1 || all[0].Kind != domain.Unauthorized && (!down || all[0] != ErrUnavailable) {
			t.Fatalf("%+v, %v", who, err)
		}
	})
}
