package httpapi

import (
	"net/http"
	"strings"
	"time"

	"annals/domain"
)

const (
	// cookieName makes browsers take the cookie only over TLS (or from localhost), for
	// this host and all of its paths (RFC 6265bis, 4.1.3.2), so that nobody else can
	// plant one: neither a neighbouring subdomain nor whoever sits on the line.
	cookieName = "__Host-annals"

	maxToken = 1024 // bytes, as a bearer token or in the cookie; ours have less than 100
)

// SetSession returns the cookie that signs a browser in with a session's token until
// it expires. Scripts cannot read it, and other sites cannot have it sent but by a
// link, which reads.
func SetSession(token string, expires time.Time) http.Cookie {
	return http.Cookie{
		Name: cookieName, Value: token, Path: "/", Expires: expires.UTC(),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// ClearSession returns the cookie that has a browser forget that of [SetSession].
func ClearSession() http.Cookie {
	return http.Cookie{
		Name: cookieName, Path: "/", MaxAge: -1,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

var errToken = domain.Errorf(domain.Unauthorized, "token", "what was sent to sign in with is no token: sign in again")

// shown is what a request shows to say who sent it.
type shown struct {
	token  string
	cookie bool // it is from the cookie
	bearer bool // it is from an Authorization header, which no browser adds to another site's request
}

// credentials are those of a request. With any Authorization header the cookie does
// not count. More than one of either is refused: who stands before us may have
// looked at the other.
func credentials(r *http.Request) (shown, error) {
	if headers, there := r.Header["Authorization"]; there {
		if len(headers) > 1 {
			return shown{}, errToken
		}
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "bearer") {
			return shown{}, nil
		}
		token = strings.TrimSpace(token)
		if len(token) > maxToken {
			return shown{}, errToken
		}
		return shown{token: token, bearer: token != ""}, nil
	}
	switch cookies := r.CookiesNamed(cookieName); {
	case len(cookies) == 0:
		return shown{}, nil
	case len(cookies) > 1, len(cookies[0].Value) > maxToken:
		return shown{cookie: true}, errToken
	default:
		return shown{token: cookies[0].Value, cookie: true}, nil
	}
}

// Origins returns the protection against requests that another site has a browser
// send, from which the given origins, as in https://crm.example.com, are exempt. It
// fails for what is no origin. The zero value exempts none.
func Origins(trusted ...string) (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	for _, origin := range trusted {
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return p, nil
}

var errCrossOrigin = domain.Errorf(domain.Forbidden, "cross_origin", "another site made this request: what changes something is taken from our own pages, or with an Authorization header")
