package oidc

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"annals/domain"
)

// What [Provider.Begin] and [Provider.Finish] answer, wrapped in a [*Refusal]. They
// tell nothing that would help a forger to do better.
var (
	ErrState       = domain.Errorf(domain.Unauthorized, "oidc_state", "this sign-in was not begun in this browser, has been used or took too long: begin again")
	ErrDenied      = domain.Errorf(domain.Unauthorized, "oidc_denied", "signing in was declined at the identity provider")
	ErrRefused     = domain.Errorf(domain.Unauthorized, "oidc_refused", "the identity provider refused the sign-in")
	ErrCode        = domain.Errorf(domain.Unauthorized, "oidc_code", "the identity provider did not accept the sign-in: begin again")
	ErrToken       = domain.Errorf(domain.Unauthorized, "oidc_token", "the answer of the identity provider could not be trusted")
	ErrEmail       = domain.Errorf(domain.Unauthorized, "oidc_email", "the identity provider tells no usable e-mail address")
	ErrUnverified  = domain.Errorf(domain.Unauthorized, "oidc_email_unverified", "the identity provider has not verified the e-mail address")
	ErrUnavailable = domain.Errorf(domain.Unavailable, "oidc_unavailable", "the identity provider does not answer as it should; try again later")
)

// Refusal is a [domain.Error] for the user with the reason for the log. Neither holds
// a code, token, secret or personal data.
type Refusal struct { //nolint:errname // what it is
	public *domain.Error
	reason string
}

func refuse(public *domain.Error, format string, args ...any) *Refusal {
	return &Refusal{public, fmt.Sprintf(format, args...)}
}

// Error is for the log.
func (r *Refusal) Error() string { return r.public.Code + ": " + r.reason }

// Unwrap is for the user.
func (r *Refusal) Unwrap() error { return r.public }

// Reason is why, for the log.
func (r *Refusal) Reason() string { return r.reason }

// plain is an error of a library as it may be logged: short, on one line, of a URL no
// more than its host.
func plain(err error) string {
	where := ""
	if e, ok := errors.AsType[*url.Error](err); ok {
		where, err = "provider: ", e.Err
		if u, parsed := url.Parse(e.URL); parsed == nil {
			where = u.Host + ": "
		}
	}
	s := where + err.Error()
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
