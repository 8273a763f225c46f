// Package oidc signs people in by OpenID Connect: the authorization code flow
// (OpenID Connect Core 1.0 §3.1) with PKCE (RFC 7636), state, nonce and a value that
// binds the flow to the browser that began it. It tells who somebody is for the
// provider, never whether they may enter: that is for the caller to decide.
//
// What a flow needs to finish is kept in PostgreSQL for ten minutes, so that any
// process can finish what another began, and none of it in the browser. The provider
// is asked when it is first needed; that it is down stops nobody from starting.
//
// TestForgeries tries what a forger would, and package npm the whole flow against a
// provider that the OpenID Foundation has certified.
package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/oauth2"
)

// Config says which provider is trusted, and as whom it knows us.
type Config struct {
	// Issuer is the provider's name for itself, to the letter: an https URL, or an
	// http one on this machine.
	Issuer string
	// ClientID is how the provider knows us.
	ClientID string
	// ClientSecret proves to the provider that it is us. A public client has none.
	ClientSecret string
	// RedirectURL is where the provider sends the browser back to. It has to be
	// registered there.
	RedirectURL string
	// Now is the clock.
	Now func() time.Time
	// Timeout bounds each request to the provider; 0 means ten seconds.
	Timeout time.Duration
}

// String tells everything but the secret.
func (c Config) String() string {
	return fmt.Sprintf("issuer %q, client %q, redirect %q", c.Issuer, c.ClientID, c.RedirectURL)
}

// GoString is [Config.String].
func (c Config) GoString() string { return c.String() }

// LogValue keeps the secret out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Check says all that is wrong with the configuration, in the words of whoever wrote it.
func (c Config) Check() error {
	var wrong []error
	issuer, err := absolute("issuer", c.Issuer)
	wrong = append(wrong, err)
	// OpenID Connect Discovery 1.0 §3: "with no query or fragment component".
	if err == nil && (issuer.RawQuery != "" || issuer.ForceQuery) {
		wrong = append(wrong, errors.New("issuer: has no query"))
	}
	if c.ClientID == "" || len(c.ClientID) > 1000 {
		wrong = append(wrong, errors.New("client ID: is required, and has at most 1000 bytes"))
	}
	_, err = absolute("redirect URL", c.RedirectURL)
	wrong = append(wrong, err)
	if c.Now == nil {
		wrong = append(wrong, errors.New("now: a clock is required"))
	}
	if c.Timeout < 0 {
		wrong = append(wrong, errors.New("timeout: cannot be negative"))
	}
	return errors.Join(wrong...)
}

// absolute is for a URL that secrets go to: it is https, unless it never leaves this
// machine. RFC 6749 §3.1.2 wants the redirect URL without a fragment.
func absolute(name, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, fmt.Errorf("%s: is required", name)
	case err != nil || len(s) > 2000:
		return nil, fmt.Errorf("%s: is not a URL", name) // whatever it is, it may hold a password
	case u.Scheme == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%s: has to be absolute, as in https://example.com/path", name)
	case u.User != nil:
		return nil, fmt.Errorf("%s: has no user or password", name)
	case strings.Contains(s, "#"):
		return nil, fmt.Errorf("%s: has no fragment", name)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, fmt.Errorf("%s: has to be https, unless it is on this machine", name)
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Provider is an OpenID provider that people sign in with. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	db     *pgxpool.Pool
	client *http.Client
	most   int64 // flows

	known   atomic.Pointer[remote]
	asking  chan struct{} // held by whoever asks the provider
	failure error         // of the last who asked; for the holder of asking
	failed  time.Time     // when that was
}

// New returns the provider, and creates what it needs in db. It does not ask the
// provider anything yet: an error is about the configuration or the database.
func New(ctx context.Context, db *pgxpool.Pool, cfg Config) (*Provider, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("OpenID Connect: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if err := create(ctx, db); err != nil {
		return nil, err
	}
	return &Provider{
		cfg: cfg, db: db, client: newClient(cfg.Timeout), most: maxFlows,
		asking: make(chan struct{}, 1),
	}, nil
}

// BeginOptions is how somebody wants to sign in.
type BeginOptions struct {
	ReturnTo string // the local path to go to when signed in; empty means "/"
}

// Redirect is where to send the browser.
type Redirect struct {
	// URL is the provider's page.
	URL string
	// Binding is for a cookie that only this browser has, with HttpOnly, Secure,
	// SameSite=Lax and [Lifetime]: without it nobody finishes what it began, so that
	// nobody is signed in as somebody else by a link.
	Binding string
}

// Begin starts a flow. It is [ErrUnavailable] when the provider does not answer, and
// [domain.Invalid] when the path to return to is not a local one.
func (p *Provider) Begin(ctx context.Context, o BeginOptions) (Redirect, error) {
	if o.ReturnTo == "" {
		o.ReturnTo = "/"
	}
	if err := CheckReturnTo("return_to", o.ReturnTo); err != nil {
		return Redirect{}, err
	}
	r, err := p.remote(ctx)
	if err != nil {
		return Redirect{}, err
	}
	state, binding := rand.Text(), rand.Text() // 130 random bits each
	f := flow{Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), ReturnTo: o.ReturnTo}
	if err := p.put(ctx, state, binding, f); err != nil {
		return Redirect{}, err
	}
	return Redirect{
		URL:     r.oauth.AuthCodeURL(state, goidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)),
		Binding: binding,
	}, nil
}
