package npm

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/oidc"
	"annals/internal/postgres/pgtest"
)

const (
	redirect = "http://127.0.0.1:9/api/v1/session/oidc/callback" // nobody listens: the test looks at where it is sent
	secret   = "the client's secret: not%20escaped+"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	at := start(t, redirect, secret)
	db, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	provider := func(issuer, client, secret string) *oidc.Provider {
		p, err := oidc.New(t.Context(), db, oidc.Config{
			Issuer: issuer, ClientID: client, ClientSecret: secret, RedirectURL: redirect, Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	all := map[string]*oidc.Provider{
		"e-mail at userinfo, secret in the header": provider(at.Strict, "annals", secret),
		"e-mail in the token, secret in the body":  provider(at.Lax, "annals", secret),
		"public client": provider(at.Strict, "public", ""),
	}
	strict := all["e-mail at userinfo, secret in the header"]
	for name, p := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signsIn(t, p)
			unverified(t, p)
			denied(t, p)
		})
	}
	for name, attack := range map[string]func(*testing.T, *oidc.Provider){
		"replays": replays, "another browser": anotherBrowser, "another flow's code": anotherFlowsCode,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attack(t, strict)
		})
	}
	t.Run("another client's flow", func(t *testing.T) {
		t.Parallel()
		to, answer := signIn(t, strict, "ann", "/")
		refused(t, all["public client"], answer, to.Binding, oidc.ErrState)
	})
	t.Run("wrong secret", func(t *testing.T) {
		t.Parallel()
		p := provider(at.Strict, "annals", "guessed")
		to, answer := signIn(t, p, "ann", "/")
		refused(t, p, answer, to.Binding, oidc.ErrUnavailable)
	})
}

func signsIn(t *testing.T, p *oidc.Provider) {
	t.Helper()
	to, answer := signIn(t, p, "ann", "/clients?status=active#first")
	who, err := p.Finish(t.Context(), answer, to.Binding)
	want := oidc.Identity{Issuer: who.Issuer, Subject: "ann", Email: "ann@example.com", Name: "The one called ann", ReturnTo: "/clients?status=active#first"}
	if err != nil || who != want || !strings.HasPrefix(to.URL, who.Issuer+"/") {
		t.Fatalf("%+v, %v", who, err)
	}
}

func unverified(t *testing.T, p *oidc.Provider) {
	t.Helper()
	to, answer := signIn(t, p, "unverified-bob", "/")
	refused(t, p, answer, to.Binding, oidc.ErrUnverified)
}

func denied(t *testing.T, p *oidc.Provider) {
	t.Helper()
	to, b := begin(t, p, "/"), newBrowser(t)
	answer := answerOf(t, b.get(t, b.get(t, to.URL)+"/abort"))
	if answer.Get("error") != "access_denied" {
		t.Fatal(answer)
	}
	refused(t, p, answer, to.Binding, oidc.ErrDenied)
}

// replays: neither a state nor a code is good twice, not even for the browser that had it first.
func replays(t *testing.T, p *oidc.Provider) {
	t.Helper()
	to, answer := signIn(t, p, "ann", "/")
	if _, err := p.Finish(t.Context(), answer, to.Binding); err != nil {
		t.Fatal(err)
	}
	refused(t, p, answer, to.Binding, oidc.ErrState)

	// The code once more, in a flow of its thief's own: the provider has seen it.
	thief := begin(t, p, "/")
	refused(t, p, with(answer, "state", stateOf(t, thief)), thief.Binding, oidc.ErrCode)
}

// anotherBrowser: who is sent a link to finish what somebody else began is not signed in as them, and the link is of
// no use to anybody after that.
func anotherBrowser(t *testing.T, p *oidc.Provider) {
	t.Helper()
	for _, binding := range []string{"", "x", begin(t, p, "/").Binding} {
		attacker, answer := signIn(t, p, "mallory", "/")
		refused(t, p, answer, binding, oidc.ErrState)
		refused(t, p, answer, attacker.Binding, oidc.ErrState)
	}
}

// anotherFlowsCode: a code that was stolen before it was used is of no use without the verifier of its flow.
func anotherFlowsCode(t *testing.T, p *oidc.Provider) {
	t.Helper()
	_, stolen := signIn(t, p, "ann", "/")
	thief := begin(t, p, "/")
	refused(t, p, with(stolen, "state", stateOf(t, thief)), thief.Binding, oidc.ErrCode)
}

func begin(t *testing.T, p *oidc.Provider, returnTo string) oidc.Redirect {
	t.Helper()
	to, err := p.Begin(t.Context(), oidc.BeginOptions{ReturnTo: returnTo})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// signIn goes through the provider's pages as a browser of its own, and returns the query that it is sent back with.
func signIn(t *testing.T, p *oidc.Provider, login, returnTo string) (oidc.Redirect, url.Values) {
	t.Helper()
	to, b := begin(t, p, returnTo), newBrowser(t)
	page := b.get(t, to.URL)
	page = b.post(t, page, url.Values{"prompt": {"login"}, "login": {login}, "password": {"any"}})
	page = b.post(t, page, url.Values{"prompt": {"consent"}})
	return to, answerOf(t, page)
}

// browser keeps cookies, and follows redirects until it would leave the provider.
type browser struct{ http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(next.URL.String(), redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

func (b *browser) get(t *testing.T, to string) string {
	t.Helper()
	return b.do(t, http.MethodGet, to, nil)
}

func (b *browser) post(t *testing.T, to string, form url.Values) string {
	t.Helper()
	return b.do(t, http.MethodPost, to, form)
}

// do returns where the browser is in the end, or would go if it left.
func (b *browser) do(t *testing.T, method, to string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s, %v\n%s", method, to, resp.Status, err, body)
	}
	if away, err := resp.Location(); err == nil {
		return away.String()
	}
	return resp.Request.URL.String()
}

func answerOf(t *testing.T, page string) url.Values {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil || !strings.HasPrefix(page, redirect) {
		t.Fatalf("the provider does not send the browser back, but to %s", page)
	}
	return u.Query()
}

func stateOf(t *testing.T, to oidc.Redirect) string {
	t.Helper()
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}

func with(query url.Values, name, value string) url.Values {
	out := url.Values{name: {value}}
	for k, v := range query {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func refused(t *testing.T, p *oidc.Provider, answer url.Values, binding string, want error) {
	t.Helper()
	who, err := p.Finish(t.Context(), answer, binding)
	if !errors.Is(err, want) || who != (oidc.Identity{}) {
		t.Fatalf("%+v, %v, not %v", who, err, want)
	}
	for _, hidden := range []string{secret, answer.Get("code"), answer.Get("state"), "@example.com"} {
		if hidden != "" && strings.Contains(err.Error(), hidden) {
			t.Errorf("the error tells %q: %v", hidden, err)
		}
	}
}
