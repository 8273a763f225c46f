package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// freshness is how long what the provider told about itself is believed, and its
	// keys with it: one that it has withdrawn is trusted no longer than that. A key
	// that is new is fetched when it is first seen.
	freshness = time.Hour
	// pause is how long the provider is left alone after it has failed, so that those
	// who want to sign in do not queue up for its time-outs.
	pause = time.Second
	// maxResponse bounds what the provider answers, in bytes.
	maxResponse = 512 << 10
)

// remote is what the provider told about itself.
type remote struct {
	fetched  time.Time
	oauth    oauth2.Config
	keys     goidc.KeySet
	userInfo string // empty: it has none
	names    bool   // it says in each answer who gives it (RFC 9207)
}

// remote returns what the provider tells about itself, asking it when that is not
// known or old. All who need it wait for one request, and share a failure.
func (p *Provider) remote(ctx context.Context) (*remote, error) {
	if r := p.fresh(); r != nil {
		return r, nil
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r := p.fresh(); r != nil {
		return r, nil
	}
	if since := p.cfg.Now().Sub(p.failed); p.failure != nil && since >= 0 && since < pause {
		return nil, p.failure
	}
	bounded, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	r, err := p.discover(bounded)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err() // this caller went away, which says nothing of the provider
		}
		p.failure, p.failed = refuse(ErrUnavailable, "discovery: %s", plain(err)), p.cfg.Now()
		return nil, p.failure
	}
	p.failure = nil
	p.known.Store(r)
	return r, nil
}

func (p *Provider) fresh() *remote {
	r := p.known.Load()
	if r == nil {
		return nil
	}
	if age := p.cfg.Now().Sub(r.fetched); age < 0 || age >= freshness {
		return nil
	}
	return r
}

// discover is OpenID Connect Discovery 1.0 §4. That the document is the issuer's own is
// checked by the library.
func (p *Provider) discover(ctx context.Context) (*remote, error) {
	provider, err := goidc.NewProvider(goidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys     string   `json:"jwks_uri"`
		UserInfo string   `json:"userinfo_endpoint"`
		Auth     []string `json:"token_endpoint_auth_methods_supported"`
		Names    bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	r := &remote{fetched: p.cfg.Now(), userInfo: more.UserInfo, names: more.Names}
	r.oauth = oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, RedirectURL: p.cfg.RedirectURL,
		Endpoint: provider.Endpoint(), Scopes: []string{goidc.ScopeOpenID, "email", "profile"},
	}
	var wrong []error
	for name, s := range map[string]string{
		"authorization_endpoint": r.oauth.Endpoint.AuthURL, "token_endpoint": r.oauth.Endpoint.TokenURL, "jwks_uri": more.Keys,
	} {
		wrong = append(wrong, p.endpoint(name, s))
	}
	if more.UserInfo != "" {
		wrong = append(wrong, p.endpoint("userinfo_endpoint", more.UserInfo))
	}
	// To let the library find out would send the code, which is good once, up to twice.
	switch {
	case p.cfg.ClientSecret == "", !slices.Contains(more.Auth, "client_secret_basic") && slices.Contains(more.Auth, "client_secret_post"):
		r.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	case len(more.Auth) == 0, slices.Contains(more.Auth, "client_secret_basic"):
		r.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	default:
		wrong = append(wrong, fmt.Errorf("token_endpoint takes no client secret, only %q", more.Auth))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	r.keys = goidc.NewRemoteKeySet(goidc.ClientContext(ctx, p.client), more.Keys)
	return r, nil
}

// endpoint wants https of every address that a provider with an https address gives.
func (p *Provider) endpoint(name, s string) error {
	u, err := absolute(name, s)
	if err != nil {
		return err
	}
	if issuer, err := url.Parse(p.cfg.Issuer); err != nil || issuer.Scheme == "https" && u.Scheme != "https" {
		return fmt.Errorf("%s: has to be https, as the issuer is", name)
	}
	return nil
}

// newClient returns a client that takes no more time than it is given, reads no more
// than maxResponse, and goes nowhere but where it is told: a redirect could take
// codes, secrets and the trust in keys to another host, and no provider needs one.
func newClient(timeout time.Duration) *http.Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        32,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{
		Timeout:   timeout,
		Transport: limited{transport},
		CheckRedirect: func(next *http.Request, _ []*http.Request) error {
			return fmt.Errorf("redirects to %s, where it is not followed", next.URL.Host)
		},
	}
}

// limited bounds the bodies of responses, after they are decompressed.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{resp.Body, maxResponse}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

var errLarge = errors.New("response is too large")

func (b *limitedBody) Read(buf []byte) (int, error) {
	if b.left < 0 {
		return 0, errLarge
	}
	if int64(len(buf)) > b.left+1 {
		buf = buf[:b.left+1] // one more than allowed tells that there is more
	}
	n, err := b.ReadCloser.Read(buf)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, errLarge
	}
	return n, err
}
