package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"annals/domain"
)

// Identity is who somebody is, by the word of the provider.
type Identity struct {
	Issuer   string
	Subject  string // never given to anybody else by this issuer
	Email    string // verified by the provider
	Name     string // for people; may be empty
	ReturnTo string // the local path that the flow was begun with
}

const (
	maxCode = 8 << 10 // bytes; some providers put a whole session into a code
	maxName = 200     // bytes
)

// Finish ends a flow with what the provider sent the browser back with, and the
// binding from the browser's cookie. A flow is used up by that, whatever comes of it.
// Its errors are a [*Refusal], or internal.
func (p *Provider) Finish(ctx context.Context, query url.Values, binding string) (Identity, error) {
	state, code := query["state"], query["code"]
	if len(state) != 1 || state[0] == "" || len(state[0]) > 128 {
		return Identity{}, refuse(ErrState, "the answer has no state that could be ours")
	}
	if len(binding) > 128 {
		binding = ""
	}
	f, err := p.take(ctx, state[0], binding)
	if err != nil {
		return Identity{}, err
	}
	r, err := p.remote(ctx)
	if err != nil {
		return Identity{}, err
	}
	// RFC 9207: an answer of another provider is not mistaken for one of this.
	if iss := query["iss"]; r.names && len(iss) != 1 || len(iss) > 1 || len(iss) == 1 && iss[0] != p.cfg.Issuer {
		return Identity{}, refuse(ErrState, "the answer is not the issuer's")
	}
	if query.Has("error") {
		return Identity{}, told(query.Get("error"))
	}
	if len(code) != 1 || code[0] == "" || len(code[0]) > maxCode {
		return Identity{}, refuse(ErrCode, "the answer has no code that could be the provider's")
	}
	return p.identify(ctx, r, f, code[0])
}

func (p *Provider) identify(ctx context.Context, r *remote, f flow, code string) (Identity, error) {
	token, err := p.exchange(ctx, r, code, f.Verifier)
	if err != nil {
		return Identity{}, err
	}
	raw, _ := token.Extra("id_token").(string)
	c, err := p.verify(ctx, r, raw, f.Nonce, token.AccessToken)
	if err != nil {
		return Identity{}, err
	}
	out := Identity{Issuer: p.cfg.Issuer, ReturnTo: f.ReturnTo}
	if out.Subject, err = c.text("sub"); err != nil || out.Subject == "" || len(out.Subject) > 255 {
		return Identity{}, refuse(ErrToken, "no subject")
	}
	// A provider may tell the e-mail address in the token, or only when it is asked
	// (OpenID Connect Core 1.0 §5.4). Both claims are taken from the same answer.
	if _, there := c["email"]; !there && r.userInfo != "" {
		if c, err = p.askUserInfo(ctx, r, token.AccessToken, out.Subject); err != nil {
			return Identity{}, err
		}
	}
	if out.Email, err = c.text("email"); err != nil || domain.CheckEmail("email", out.Email) != nil {
		return Identity{}, refuse(ErrEmail, "no e-mail address, or none that is valid")
	}
	if v := string(c["email_verified"]); v != `true` && v != `"true"` {
		return Identity{}, refuse(ErrUnverified, "email_verified is not true")
	}
	if name, err := c.text("name"); err == nil {
		out.Name = short(domain.Text(name))
	}
	return out, nil
}

// told is what the provider's error means. Its description may come from anybody, and
// is neither shown nor logged.
func told(code string) error {
	if code == "" || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		code = "something unreadable"
	}
	switch code {
	case "access_denied":
		return refuse(ErrDenied, "the provider answers %s", code)
	case "server_error", "temporarily_unavailable":
		return refuse(ErrUnavailable, "the provider answers %s", code)
	}
	return refuse(ErrRefused, "the provider answers %s", code)
}

// exchange gives the code for tokens (OpenID Connect Core 1.0 §3.1.3).
func (p *Provider) exchange(ctx context.Context, r *remote, code, verifier string) (*oauth2.Token, error) {
	token, err := r.oauth.Exchange(goidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(verifier))
	if err == nil {
		return token, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The error itself would print the whole response.
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if e.ErrorCode == "invalid_grant" {
			return nil, refuse(ErrCode, "token endpoint: invalid_grant")
		}
		switch e.ErrorCode {
		case "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		default:
			e.ErrorCode = "no error of RFC 6749"
		}
		return nil, refuse(ErrUnavailable, "token endpoint: status %d, %s", e.Response.StatusCode, e.ErrorCode)
	}
	return nil, refuse(ErrUnavailable, "token endpoint: %s", plain(err))
}

// askUserInfo asks for the claims of the subject (OpenID Connect Core 1.0 §5.3).
func (p *Provider) askUserInfo(ctx context.Context, r *remote, accessToken, subject string) (claims, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.userInfo, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := p.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refuse(ErrUnavailable, "userinfo: %s", plain(err))
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is lost
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, refuse(ErrUnavailable, "userinfo: status %d, or its body was cut off", resp.StatusCode)
	}
	var c claims
	if json.Unmarshal(body, &c) != nil {
		return nil, refuse(ErrUnavailable, "userinfo: is not a JSON object")
	}
	if sub, err := c.text("sub"); err != nil || sub != subject {
		return nil, refuse(ErrToken, "userinfo: is about another subject")
	}
	return c, nil
}

// short cuts a name where a character ends.
func short(s string) string {
	if !utf8.ValidString(s) {
		return ""
	}
	if len(s) <= maxName {
		return s
	}
	s = s[:maxName]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
