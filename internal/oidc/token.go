package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

// skew is how far the provider's clock may be from ours.
const skew = time.Minute

// maxToken bounds an ID token, in bytes.
const maxToken = 64 << 10

// algorithms that an ID token may be signed with: with a key that only the provider
// has. Without this list a forger would choose, as in RFC 8725 §2.1: none, or HMAC with
// a key that everybody has.
var algorithms = []string{
	goidc.RS256, goidc.RS384, goidc.RS512, goidc.PS256, goidc.PS384, goidc.PS512,
	goidc.ES256, goidc.ES384, goidc.ES512, goidc.EdDSA,
}

// verify is OpenID Connect Core 1.0 §3.1.3.7 and §3.1.3.8, and returns the claims of a
// token that passes. The library looks at the signature, issuer, audience and
// expiry; what it reads of a claim with the case of its name ignored is looked at
// again here, under the name to the letter.
func (p *Provider) verify(ctx context.Context, r *remote, raw, nonce, accessToken string) (claims, error) {
	if raw == "" || len(raw) > maxToken || strings.Count(raw, ".") != 2 || strings.Contains(raw, "{") {
		return nil, refuse(ErrToken, "no ID token, or not in compact form")
	}
	now := p.cfg.Now()
	keys := &watched{KeySet: r.keys}
	id, err := goidc.NewVerifier(p.cfg.Issuer, keys, &goidc.Config{
		ClientID: p.cfg.ClientID, SupportedSigningAlgs: algorithms,
		Now: func() time.Time { return now.Add(-skew) },
	}).Verify(ctx, raw)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && keys.away:
		return nil, refuse(ErrUnavailable, "%s", plain(err))
	case err != nil:
		return nil, refuse(ErrToken, "%s", plain(err))
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, refuse(ErrToken, "claims: %s", plain(err))
	}
	if err := c.check(p.cfg.ClientID, id.Issuer, nonce, now); err != nil {
		return nil, refuse(ErrToken, "%s", plain(err))
	}
	if _, there := c["at_hash"]; there || id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(accessToken); err != nil {
			return nil, refuse(ErrToken, "%s", plain(err))
		}
	}
	return c, nil
}

// watched remembers whether the keys could not be had, which says nothing of the token.
type watched struct {
	goidc.KeySet

	away bool
}

func (w *watched) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, jwt)
	w.away = err != nil && strings.HasPrefix(err.Error(), "fetching keys") // the library has no type for it
	return payload, err
}

// claims are what a provider says, by the names it says it under.
type claims map[string]json.RawMessage

func (c claims) check(client, issuer, nonce string, now time.Time) error {
	if iss, err := c.text("iss"); err != nil || iss != issuer {
		return errors.New("iss is not the issuer")
	}
	audience, err := c.texts("aud")
	if err != nil || !slices.Contains(audience, client) {
		return errors.New("aud is not this client")
	}
	azp, err := c.text("azp")
	if _, there := c["azp"]; err != nil || (there || len(audience) > 1) && azp != client {
		return errors.New("azp is not this client")
	}
	if exp, ok := c.time("exp"); !ok || !now.Add(-skew).Before(exp) {
		return errors.New("exp is missing, or past")
	}
	if iat, ok := c.time("iat"); !ok || iat.After(now.Add(skew)) {
		return errors.New("iat is missing, or yet to come")
	}
	if _, there := c["nbf"]; there {
		if nbf, ok := c.time("nbf"); !ok || nbf.After(now.Add(skew)) {
			return errors.New("nbf is yet to come")
		}
	}
	got, err := c.text("nonce")
	if err != nil || got == "" || subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
		return errors.New("nonce is missing, or another flow's")
	}
	return nil
}

var errClaim = errors.New("a claim has the wrong type")

// text is a claim that is a string, or empty when it is not there.
func (c claims) text(name string) (string, error) {
	raw, there := c[name]
	if !there {
		return "", nil
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", errClaim
	}
	return *s, nil
}

// texts is a claim that is a string or a list of strings.
func (c claims) texts(name string) ([]string, error) {
	if s, err := c.text(name); err == nil {
		return []string{s}, nil
	}
	var list []string
	if json.Unmarshal(c[name], &list) != nil {
		return nil, errClaim
	}
	return list, nil
}

// time is a claim that is a NumericDate (RFC 7519 §2), which may have a fraction.
func (c claims) time(name string) (time.Time, bool) {
	var seconds *float64
	if json.Unmarshal(c[name], &seconds) != nil || seconds == nil || *seconds < 0 || *seconds > 1e11 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(*seconds * 1e6)), true
}
