package commands_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"annals/commands"
	"annals/internal/apitest"
	"annals/internal/oidc"
)

const (
	signOnPath     = "/api/v1/session/oidc"
	signOnClient   = "annals"
	signOnSecret   = "the secret of the client"
	signOnRedirect = "https://annals.example" + commands.SignOnCallback
	providersToken = "the provider's access token"
)

// provider is an OpenID provider that says of anybody what a test tells it to.
type provider struct {
	*httptest.Server
	key, forgers *rsa.PrivateKey
	mu           sync.Mutex
	codes        map[string][2]string // ID token and challenge, by code
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{codes: map[string][2]string{}}
	for _, k := range []**rsa.PrivateKey{&p.key, &p.forgers} {
		var err error
		if *k, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var out any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		out = Map{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		}
	case "/keys":
		out = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k", Use: "sig"}}}
	case "/token":
		p.mu.Lock()
		code, ok := p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		p.mu.Unlock()
		if !ok || oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != code[1] || r.PostFormValue("redirect_uri") != signOnRedirect {
			w.WriteHeader(http.StatusBadRequest)
			out = Map{"error": "invalid_grant"}
			break
		}
		out = Map{"access_token": providersToken, "token_type": "Bearer", "id_token": code[0]}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims Map) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// visit is what a browser does: it follows nobody by itself.
func visit(t *testing.T, s *apitest.System, path string, cookies ...*http.Cookie) *apitest.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site") // led there by the provider
	for _, c := range cookies {
		req.AddCookie(c)
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &apitest.Response{Request: "GET " + path, Status: res.StatusCode, Header: res.Header, Body: body}
}

// flow is a sign-in on its way.
type flow struct {
	sent    url.Values // to the provider
	binding *http.Cookie
	code    string
}

func begin(t *testing.T, s *apitest.System, p *provider, returnTo string) flow {
	t.Helper()
	r := visit(t, s, signOnPath+"?return_to="+url.QueryEscape(returnTo)).Want(t, 303)
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), p.URL+"/authorize?") || cookieOf(r) != nil {
		t.Fatalf("%v", r.Header)
	}
	set := (&http.Response{Header: r.Header}).Cookies()
	if len(set) != 1 || set[0].Name != "__Host-annals-oidc" || !set[0].HttpOnly || !set[0].Secure || set[0].SameSite != http.SameSiteLaxMode || set[0].Path != "/" {
		t.Fatalf("%v", set)
	}
	return flow{to.Query(), set[0], rand.Text()}
}

// claims are what an honest provider says of whoever has the address.
func (f flow) claims(p *provider, now time.Time, email string) Map {
	sum := sha256.Sum256([]byte(providersToken))
	return Map{
		"iss": p.URL, "sub": "somebody", "aud": signOnClient, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": f.sent.Get("nonce"),
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "email": email, "email_verified": true,
	}
}

// callback is where the provider leads back to, having given idToken for the code.
func (f flow) callback(p *provider, idToken string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[f.code] = [2]string{idToken, f.sent.Get("code_challenge")}
	return commands.SignOnCallback + "?" + url.Values{"state": {f.sent.Get("state")}, "code": {f.code}}.Encode()
}

// TestSignOn has a system of its own, with a provider.
func TestSignOn(t *testing.T) {
	t.Parallel()
	s, p := apitest.Start(t), newProvider(t)
	visit(t, s, signOnPath).Want(t, 404) // without a provider there is nothing
	var err error
	s.Commands.SignOn, err = oidc.New(t.Context(), s.DB, oidc.Config{Issuer: p.URL, ClientID: signOnClient, ClientSecret: signOnSecret, RedirectURL: signOnRedirect, Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(t)
	a := s.Admin(t)
	e := a.Employee(t, "Known", nil, nil)
	gone := a.Employee(t, "Gone", nil, nil)
	a.Post(t, employeesPath+"/"+gone.ID+"/deactivate", nil).Want(t, 200)

	for _, to := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"} {
		visit(t, s, signOnPath+"?return_to="+url.QueryEscape(to)).Problem(t, 422, "invalid", "return_to")
	}
	f := begin(t, s, p, "/clients?status=active")
	back := f.callback(p, sign(t, jose.RS256, p.key, f.claims(p, s.Clock.Now(), strings.ToUpper(e.Email))))
	planted := &http.Cookie{Name: "__Host-annals", Value: a.Token}
	r := visit(t, s, back, f.binding, planted).Want(t, 303)
	c := cookieOf(r)
	if r.Header.Get("Location") != "/clients?status=active" || len(r.Body) != 0 || c == nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Value == a.Token {
		t.Fatalf("%v", r.Header)
	}
	for _, c := range (&http.Response{Header: r.Header}).Cookies() {
		if c.Name == f.binding.Name && (c.Value != "" || c.MaxAge >= 0) {
			t.Errorf("%v stays", c)
		}
	}
	browser := &apitest.User{System: s, Token: c.Value}
	if r := browser.Get(t, "/api/v1/me").Want(t, 200); r.Text("id") != e.ID {
		t.Errorf("%s", r.Body)
	}
	if r := browser.Get(t, sessionsPath); r.Text("items.0.method") != "oidc" || r.Text("items.0.ip") != "127.0.0.1" {
		t.Errorf("%s", r.Body)
	}
	for _, again := range []string{back, f.callback(p, sign(t, jose.RS256, p.key, f.claims(p, s.Clock.Now(), e.Email)))} {
		if r := visit(t, s, again, f.binding).Problem(t, 401, "oidc_state"); cookieOf(r) != nil {
			t.Errorf("%v", r.Header)
		}
	}

	// change is a good token with other claims; nil removes one.
	change := func(change Map) func(Map) string {
		return func(claims Map) string {
			maps.Copy(claims, change)
			maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
			return sign(t, jose.RS256, p.key, claims)
		}
	}
	b64 := base64.RawURLEncoding.EncodeToString
	none := func(claims Map) string {
		raw, _ := json.Marshal(claims)
		return b64([]byte(`{"alg":"none","kid":"k"}`)) + "." + b64(raw) + "."
	}
	for name, x := range map[string]struct {
		token func(Map) string
		code  string
	}{
		"unknown":         {change(Map{"email": "unknown-" + e.Email}), "oidc_unknown"},
		"deactivated":     {change(Map{"email": gone.Email}), "oidc_unknown"},
		"not verified":    {change(Map{"email_verified": false}), "oidc_email_unverified"},
		"nothing said":    {change(Map{"email_verified": nil}), "oidc_email_unverified"},
		"no address":      {change(Map{"email": nil}), "oidc_email"},
		"wrong issuer":    {change(Map{"iss": "https://evil.example"}), "oidc_token"},
		"wrong audience":  {change(Map{"aud": "another client"}), "oidc_token"},
		"wrong nonce":     {change(Map{"nonce": "another"}), "oidc_token"},
		"no nonce":        {change(Map{"nonce": nil}), "oidc_token"},
		"expired":         {change(Map{"exp": s.Clock.Now().Add(-time.Hour).Unix()}), "oidc_token"},
		"alg none":        {none, "oidc_token"},
		"forger's key":    {func(c Map) string { return sign(t, jose.RS256, p.forgers, c) }, "oidc_token"},
		"client's secret": {func(c Map) string { return sign(t, jose.HS256, []byte(signOnSecret+strings.Repeat("x", 32)), c) }, "oidc_token"},
		"no token":        {func(Map) string { return "" }, "oidc_token"},
		"half a token":    {func(c Map) string { token, _, _ := strings.Cut(sign(t, jose.RS256, p.key, c), "."); return token }, "oidc_token"},
	} {
		f := begin(t, s, p, "/")
		r := visit(t, s, f.callback(p, x.token(f.claims(p, s.Clock.Now(), e.Email))), f.binding)
		if r.Status != 401 || r.Text("code") != x.code || cookieOf(r) != nil || r.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Body)
		}
	}

	// What leads back has to come to the browser that began, and to what it began.
	good := func(f flow) string { return sign(t, jose.RS256, p.key, f.claims(p, s.Clock.Now(), e.Email)) }
	one, two := begin(t, s, p, "/"), begin(t, s, p, "/")
	three := begin(t, s, p, "/")
	for name, x := range map[string]struct {
		path    string
		cookies []*http.Cookie
		code    string
	}{
		"no binding":        {one.callback(p, good(one)), nil, "oidc_state"},
		"another's binding": {two.callback(p, good(two)), []*http.Cookie{one.binding}, "oidc_state"},
		"declined":          {commands.SignOnCallback + "?error=access_denied&state=" + three.sent.Get("state"), []*http.Cookie{three.binding}, "oidc_denied"},
		"no state":          {commands.SignOnCallback + "?code=x", []*http.Cookie{three.binding}, "oidc_state"},
		"nothing":           {commands.SignOnCallback, nil, "oidc_state"},
	} {
		if r := visit(t, s, x.path, x.cookies...); r.Status != 401 || r.Text("code") != x.code || cookieOf(r) != nil {
			t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Body)
		}
	}
	late := begin(t, s, p, "/")
	s.Clock.Advance(oidc.Lifetime + time.Second)
	if r := visit(t, s, late.callback(p, good(late)), late.binding).Problem(t, 401, "oidc_state"); cookieOf(r) != nil {
		t.Errorf("%v", r.Header)
	}
	if logged := s.Logs.String(); strings.Contains(logged, providersToken) || strings.Contains(logged, c.Value) || strings.Contains(logged, f.code) || strings.Contains(logged, e.Email) {
		t.Error("a secret, or who it was, was logged")
	}
}
