package oidc

import (
	"net/url"
	"path"
	"strings"

	"annals/domain"
)

// maxReturnTo is the longest path to return to, in bytes.
const maxReturnTo = 1024

// CheckReturnTo faults what is not a path on this server, with or without a query and
// a fragment: an open redirect begins with what looks like one. Browsers take "\" for
// "/", drop tabs and line ends before they look, and read "//host" as another server
// (WHATWG URL Standard §4.4), so only printable ASCII without "\" passes, as a browser
// itself writes it, and a path without empty, "." and ".." segments, however they are
// escaped.
func CheckReturnTo(field, s string) error {
	u, err := url.Parse(s)
	odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' })
	if err != nil || odd || len(s) > maxReturnTo || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") ||
		u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !clean(u.Path) {
		return domain.Fault(field, "return_to", "is not a path on this server, as in /clients?status=active")
	}
	return nil
}

// clean is for the unescaped path.
func clean(p string) bool {
	odd := strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
	return !odd && (p == "/" || !strings.HasPrefix(p, "//") && path.Clean(p) == strings.TrimSuffix(p, "/"))
}
