package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"annals/domain"
)

// elsewhere is another host that a provider may redirect to. It tells the test when anybody comes.
func elsewhere(t *testing.T) http.HandlerFunc {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(s.Close)
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusTemporaryRedirect) }
}

func status(code int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, code, body) }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// TestBrokenProvider: each thing that is asked of the provider may fail in any way, and none takes for ever, fills
// the memory or is followed elsewhere.
func TestBrokenProvider(t *testing.T) {
	t.Parallel()
	db := database(t)
	large := text(`"` + strings.Repeat("x", maxResponse) + `"`)
	type set = map[string]any
	honest := func(f *forger, change set) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			document := maps.Clone(f.document)
			maps.Copy(document, change)
			answer(w, http.StatusOK, document)
		}
	}
	says := func(change set) func(*forger) http.HandlerFunc {
		return func(f *forger) http.HandlerFunc { return honest(f, change) }
	}
	does := func(h http.HandlerFunc) func(*forger) http.HandlerFunc {
		return func(*forger) http.HandlerFunc { return h }
	}
	hangs := func(f *forger) http.HandlerFunc { return f.hangs }
	drips := func(f *forger) http.HandlerFunc { return f.drips }
	floods := func(f *forger) http.HandlerFunc { return f.floods }
	echoes := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "%s did not like %s", r.Header.Get("Authorization"), r.FormValue("code"))
	}
	blames := func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusUnauthorized, set{"error": "invalid_client", "error_description": "x\ny " + r.FormValue("code"), "error_uri": "x:" + secret})
	}
	for path, cases := range map[string]map[string]struct {
		does func(*forger) http.HandlerFunc
		want *domain.Error
	}{
		discoveryPath: {
			"hangs":                       {hangs, ErrUnavailable},
			"drips":                       {drips, ErrUnavailable},
			"floods":                      {floods, ErrUnavailable},
			"redirects":                   {does(elsewhere(t)), ErrUnavailable},
			"breaks off":                  {does(breaks), ErrUnavailable},
			"is not there":                {does(http.NotFound), ErrUnavailable},
			"answers lines":               {does(status(http.StatusBadGateway, "a\nb\nc")), ErrUnavailable},
			"is no JSON":                  {does(text("<html>")), ErrUnavailable},
			"is another's":                {says(set{"issuer": "https://evil.example"}), ErrUnavailable},
			"is of no issuer":             {says(set{"issuer": nil}), ErrUnavailable},
			"has an issuer with a slash":  {func(f *forger) http.HandlerFunc { return honest(f, set{"issuer": f.URL + "/"}) }, ErrUnavailable},
			"has no authorization":        {says(set{"authorization_endpoint": nil}), ErrUnavailable},
			"has a relative token":        {says(set{"token_endpoint": "/token"}), ErrUnavailable},
			"has no keys":                 {says(set{"jwks_uri": ""}), ErrUnavailable},
			"has keys over plain HTTP":    {says(set{"jwks_uri": "http://evil.example/keys"}), ErrUnavailable},
			"has userinfo in a file":      {says(set{"userinfo_endpoint": "file:///etc/passwd"}), ErrUnavailable},
			"wants a signature of ours":   {says(set{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}), ErrUnavailable},
			"does not tell how to say so": {says(set{"token_endpoint_auth_methods_supported": nil}), nil},
		},
		tokenPath: {
			"hangs":                   {hangs, ErrUnavailable},
			"drips":                   {drips, ErrUnavailable},
			"floods":                  {floods, ErrUnavailable},
			"redirects":               {does(elsewhere(t)), ErrUnavailable},
			"breaks off":              {does(breaks), ErrUnavailable},
			"is overloaded":           {does(status(http.StatusServiceUnavailable, nil)), ErrUnavailable},
			"is large":                {does(large), ErrUnavailable},
			"is no JSON":              {does(text("<html>")), ErrUnavailable},
			"does not know us":        {does(blames), ErrUnavailable},
			"echoes":                  {does(echoes), ErrUnavailable},
			"has an error of its own": {does(status(http.StatusBadRequest, set{"error": "x\ny ann@example.com"})), ErrUnavailable},
			"does not know the code":  {does(status(http.StatusBadRequest, set{"error": "invalid_grant"})), ErrCode},
			"says so with 200":        {does(status(http.StatusOK, set{"error": "invalid_grant"})), ErrCode},
			"has no access token":     {does(status(http.StatusOK, set{"id_token": "a.b.c"})), ErrUnavailable},
			"has no ID token":         {does(status(http.StatusOK, set{"access_token": accessToken})), ErrToken},
		},
		keysPath: {
			"hangs":        {hangs, ErrUnavailable},
			"drips":        {drips, ErrUnavailable},
			"floods":       {floods, ErrUnavailable},
			"redirects":    {does(elsewhere(t)), ErrUnavailable},
			"breaks off":   {does(breaks), ErrUnavailable},
			"is not there": {does(http.NotFound), ErrUnavailable},
			"is large":     {does(large), ErrUnavailable},
			"is no JSON":   {does(text(strings.Repeat("<html>\n", 100))), ErrUnavailable},
			"is empty":     {does(status(http.StatusOK, jose.JSONWebKeySet{})), ErrToken},
			"is null":      {does(text("null")), ErrToken},
			"has a shared key by that name": {does(status(http.StatusOK, jose.JSONWebKeySet{
				Keys: []jose.JSONWebKey{{Key: []byte(secret), KeyID: "rsa", Algorithm: "HS256"}},
			})), ErrToken},
			"has another key by that name": {does(status(http.StatusOK, jose.JSONWebKeySet{
				Keys: []jose.JSONWebKey{{Key: keys().ec.Public(), KeyID: "rsa"}},
			})), ErrToken},
		},
		userInfoPath: {
			"hangs":            {hangs, ErrUnavailable},
			"drips":            {drips, ErrUnavailable},
			"floods":           {floods, ErrUnavailable},
			"redirects":        {does(elsewhere(t)), ErrUnavailable},
			"breaks off":       {does(breaks), ErrUnavailable},
			"does not let us":  {does(status(http.StatusUnauthorized, set{"sub": "248289761001", "email": "ann@example.com", "email_verified": true})), ErrUnavailable},
			"is no JSON":       {does(text("a.b.c")), ErrUnavailable},
			"is no object":     {does(text("[]")), ErrUnavailable},
			"is null":          {does(text("null")), ErrToken},
			"is about another": {does(status(http.StatusOK, set{"sub": "1", "email": "ann@example.com", "email_verified": true})), ErrToken},
			"is about nobody":  {does(status(http.StatusOK, set{"email": "ann@example.com", "email_verified": true})), ErrToken},
			"has no e-mail":    {does(status(http.StatusOK, set{"sub": "248289761001", "email_verified": true})), ErrEmail},
			"has not verified": {does(status(http.StatusOK, set{"sub": "248289761001", "email": "ann@example.com"})), ErrUnverified},
			"is good":          {does(status(http.StatusOK, set{"sub": "248289761001", "email": "ann@example.com", "email_verified": true, "name": "Ann Example"})), nil},
		},
	} {
		for name, tc := range cases {
			t.Run(path[1:]+" "+name, func(t *testing.T) {
				t.Parallel()
				f, c, slow := newForger(t), newClock(), name == "hangs" || name == "drips"
				p := open(t, db, f.URL, c)
				if path != discoveryPath {
					a := begin(t, p) // while it works
					claims := f.honest(a, c.Now())
					if path == userInfoPath {
						claims = without(without(without(claims, "email"), "email_verified"), "name")
					}
					f.issue(a, rs256(claims))
					f.on(path, tc.does(f))
					if slow {
						p.client.Timeout = 200 * time.Millisecond
					}
					a.want(t, p, tc.want)
					return
				}
				f.on(path, tc.does(f))
				if slow {
					p.client.Timeout = 200 * time.Millisecond
				}
				_, err := p.Begin(t.Context(), BeginOptions{})
				if tc.want == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				attempt{}.holds(t, p, Identity{}, err, tc.want)
			})
		}
	}
}

// TestVerifiedWhereTold: what the provider says of another address at userinfo does not count for the one in the token.
func TestVerifiedWhereTold(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	f.userInfo = map[string]any{"sub": "248289761001", "email": "mallory@example.com", "email_verified": true}
	a := begin(t, p)
	f.issue(a, rs256(without(f.honest(a, c.Now()), "email_verified")))
	a.want(t, p, ErrUnverified)
	if f.times(userInfoPath) != 0 {
		t.Error("userinfo was asked")
	}
}

// TestOutage: a provider that is down is asked once for all who wait, then left alone for a second, then asked again.
func TestOutage(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	f.on(discoveryPath, status(http.StatusBadGateway, nil))
	p := open(t, db, f.URL, c)
	if f.times(discoveryPath) != 0 {
		t.Error("it was asked before anybody needed it")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := p.Begin(t.Context(), BeginOptions{}); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.times(discoveryPath); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	f.on(discoveryPath, nil)
	if _, err := p.Begin(t.Context(), BeginOptions{}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	c.pass(pause)
	a := begin(t, p)
	f.issue(a, rs256(f.honest(a, c.Now())))
	a.want(t, p, nil)
	if n := f.times(discoveryPath); n != 2 {
		t.Errorf("asked %d times", n)
	}

	// Away again while somebody is signing in.
	a = begin(t, p)
	c.pass(Lifetime - time.Second)
	f.Close()
	a.want(t, p, ErrUnavailable)
}

// TestImpatience: who goes away while the provider is asked takes nobody with them.
func TestImpatience(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	arrived := make(chan struct{})
	f.on(discoveryPath, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		f.hangs(w, r)
	})
	p := open(t, db, f.URL, c)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := p.Begin(ctx, BeginOptions{})
		left <- err
	}()
	<-arrived
	f.on(discoveryPath, nil)
	stays := make(chan error)
	go func() {
		_, err := p.Begin(t.Context(), BeginOptions{})
		stays <- err
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-stays; err != nil {
		t.Error(err)
	}
}

// TestRotation: a new key is trusted at once, an old one until the provider is asked again.
func TestRotation(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	signsIn := func(by string, want *domain.Error) {
		t.Helper()
		a := begin(t, p)
		claims, key := f.honest(a, c.Now()), keys().rsa
		if by == "rsa2" {
			key = keys().rsa2
		}
		f.issue(a, sign(jose.RS256, key, by, nil, claims))
		a.want(t, p, want)
	}
	both := f.keys
	publish := func(k ...jose.JSONWebKey) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.keys = k
	}
	publish(both[0])
	for range 3 {
		signsIn("rsa", nil)
	}
	if n := f.times(keysPath); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	publish(both[0], both[1])
	signsIn("rsa2", nil)
	signsIn("rsa", nil)
	if n := f.times(keysPath); n != 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
	publish(both[1])
	c.pass(freshness - time.Second)
	signsIn("rsa", nil)
	c.pass(time.Second)
	signsIn("rsa", ErrToken)
	signsIn("rsa2", nil)
	// A clock that is set back makes nothing last longer.
	asked := f.times(discoveryPath)
	c.pass(-2 * freshness)
	signsIn("rsa2", nil)
	if f.times(discoveryPath) != asked+1 {
		t.Error("what was learnt in the future is believed")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	db, c := database(t), newClock()
	for given, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Second: time.Second} {
		p, err := New(t.Context(), db, Config{Issuer: "https://id.example.com", ClientID: client, RedirectURL: callback, Now: c.Now, Timeout: given})
		if err != nil || p.client.Timeout != want || p.cfg.Timeout != want {
			t.Errorf("%v: %v, %v", given, p.client.Timeout, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		issuer, endpoint string
		ok               bool
	}{
		{"https://id.example.com", "https://id.example.com/token", true},
		{"https://id.example.com", "https://keys.example.net/", true},
		{"https://id.example.com", "http://id.example.com/token", false},
		{"https://id.example.com", "http://127.0.0.1/token", false},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/token", true},
		{"http://127.0.0.1:1", "http://id.example.com/token", false},
		{"https://id.example.com", "https://user:password@id.example.com/", false},
	} {
		p := &Provider{cfg: Config{Issuer: tc.issuer}}
		if err := p.endpoint("token_endpoint", tc.endpoint); (err == nil) != tc.ok || err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
