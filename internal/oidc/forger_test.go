package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/oauth2"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

const (
	client      = "annals"
	secret      = "the-clients-secret/which is long enough for HMAC"
	accessToken = "the-access-token"
	callback    = "https://crm.example.com/api/v1/session/oidc/callback"
)

// Keys are costly to make, and the same ones do for all tests.
var keys = sync.OnceValue(func() (k struct {
	rsa, rsa2, forgers *rsa.PrivateKey
	ec                 *ecdsa.PrivateKey
},
) {
	for _, to := range []**rsa.PrivateKey{&k.rsa, &k.rsa2, &k.forgers} {
		*to, _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return k
})

// forger is a provider that is honest until a test tells it what to do.
type forger struct {
	*httptest.Server

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // instead of the honest ones, by path
	asked    map[string]int              // by path
	document map[string]any              // of discovery
	keys     []jose.JSONWebKey
	codes    map[string]issued
	userInfo map[string]any
	stop     chan struct{} // closed when the test ends
	drained  atomic.Bool   // somebody read all that floods has to say
}

// issued is what a code is good for.
type issued struct {
	idToken   any
	challenge string
}

func newForger(tb testing.TB) *forger {
	tb.Helper()
	f := &forger{
		handlers: map[string]http.HandlerFunc{}, asked: map[string]int{}, codes: map[string]issued{},
		keys: []jose.JSONWebKey{
			{Key: keys().rsa.Public(), KeyID: "rsa", Use: "sig"},
			{Key: keys().rsa2.Public(), KeyID: "rsa2", Use: "sig"},
			{Key: keys().ec.Public(), KeyID: "ec", Use: "sig"},
		},
		stop: make(chan struct{}),
	}
	f.Server = httptest.NewServer(f)
	tb.Cleanup(func() {
		close(f.stop)
		f.Close()
		if f.drained.Load() {
			tb.Error("a response was read to its end, however large")
		}
	})
	f.document = map[string]any{
		"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/keys",
		"userinfo_endpoint": f.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256", "ES256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
	}
	return f
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	tokenPath     = "/token"
	keysPath      = "/keys"
	userInfoPath  = "/userinfo"
)

func (f *forger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path]++
	handler := f.handlers[r.URL.Path]
	f.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.URL.Path {
	case discoveryPath:
		answer(w, http.StatusOK, f.document)
	case keysPath:
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: f.keys})
	case userInfoPath:
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			answer(w, http.StatusUnauthorized, nil)
			return
		}
		answer(w, http.StatusOK, f.userInfo)
	case tokenPath:
		user, password, _ := r.BasicAuth()
		password, _ = url.QueryUnescape(password) // RFC 6749 §2.3.1
		code := r.PostFormValue("code")
		c, known := f.codes[code]
		delete(f.codes, code)
		switch {
		case user != client || password != secret:
			answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		case !known, oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != c.challenge, r.PostFormValue("redirect_uri") != callback:
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "the code was " + code})
		default:
			answer(w, http.StatusOK, map[string]any{"access_token": accessToken, "token_type": "Bearer", "id_token": c.idToken})
		}
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// on has a handler answer a path; nil brings the honest one back.
func (f *forger) on(path string, handler http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[path] = handler
}

func (f *forger) times(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// hangs answers nothing until the client has gone.
func (f *forger) hangs(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.stop:
	}
}

// drips answers for ever, and slowly.
func (f *forger) drips(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-f.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// floods is JSON that does not end before 64 MiB.
func (f *forger) floods(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"access_token":"`))
	for range 1024 {
		if _, err := w.Write([]byte(strings.Repeat("x", 64<<10))); err != nil {
			return
		}
	}
	f.drained.Store(true)
}

// clock stands where the test puts it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func database(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	db, err := pgxpool.New(tb.Context(), pgtest.Database(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(db.Close)
	return db
}

func open(tb testing.TB, db *pgxpool.Pool, issuer string, c *clock) *Provider {
	tb.Helper()
	p, err := New(tb.Context(), db, Config{Issuer: issuer, ClientID: client, ClientSecret: secret, RedirectURL: callback, Now: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// attempt is a flow on its way.
type attempt struct {
	Redirect

	sent url.Values // to the provider
	code string
}

func (a attempt) query() url.Values {
	return url.Values{"state": {a.sent.Get("state")}, "code": {a.code}}
}

func (a attempt) nonce() string { return a.sent.Get("nonce") }

func begin(tb testing.TB, p *Provider) attempt {
	tb.Helper()
	to, err := p.Begin(tb.Context(), BeginOptions{ReturnTo: "/clients"})
	if err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		tb.Fatal(err)
	}
	return attempt{to, u.Query(), rand.Text()}
}

// honest are the claims of a good token.
func (f *forger) honest(a attempt, now time.Time) map[string]any {
	return map[string]any{
		"iss": f.URL, "sub": "248289761001", "aud": client, "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "nonce": a.nonce(),
		"at_hash": atHash(accessToken), "email": "ann@example.com", "email_verified": true, "name": "Ann  Example",
	}
}

// issue has the provider give a token for the attempt's code.
func (f *forger) issue(a attempt, idToken any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.codes[a.code] = issued{idToken, a.sent.Get("code_challenge")}
}

func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// sign makes a token. The header is added to what the algorithm and the key's name need.
func sign(alg jose.SignatureAlgorithm, key any, kid string, header map[string]any, claims any) string {
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	for name, v := range header {
		opts.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		panic(err)
	}
	payload, raw := claims.([]byte)
	if !raw {
		payload, _ = json.Marshal(claims)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}

func rs256(claims any) string { return sign(jose.RS256, keys().rsa, "rsa", nil, claims) }

func without(m map[string]any, name string) map[string]any {
	m = maps.Clone(m)
	delete(m, name)
	return m
}

// want holds what Finish says against a refusal, or, with none, against the honest identity.
func (a attempt) want(t *testing.T, p *Provider, want *domain.Error) {
	t.Helper()
	who, err := p.Finish(t.Context(), a.query(), a.Binding)
	a.holds(t, p, who, err, want)
}

func (a attempt) holds(t *testing.T, p *Provider, who Identity, err error, want *domain.Error) {
	t.Helper()
	if want == nil {
		honest := Identity{Issuer: p.cfg.Issuer, Subject: "248289761001", Email: "ann@example.com", Name: "Ann Example", ReturnTo: "/clients"}
		if err != nil || who != honest {
			t.Fatalf("%+v, %v", who, err)
		}
		return
	}
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || !errors.Is(err, want) || who != (Identity{}) || refusal.Reason() == "" {
		t.Fatalf("%+v, %v, not %s", who, err, want.Code)
	}
	if all := domain.All(err); len(all) != 1 || all[0] != want || want.Kind != domain.Unauthorized && want.Kind != domain.Unavailable {
		t.Errorf("the user is told %v", all)
	}
	said := err.Error()
	for name, hidden := range map[string]string{
		"state": a.sent.Get("state"), "nonce": a.nonce(), "code": a.code, "binding": a.Binding, "secret": secret, "access token": accessToken, "e-mail": "@example.com",
	} {
		if hidden != "" && strings.Contains(said, hidden) {
			t.Errorf("the error tells the %s: %s", name, said)
		}
	}
	if len(said) > 400 || strings.ContainsAny(said, "\n\r") {
		t.Errorf("not fit for a log: %q", said)
	}
}
