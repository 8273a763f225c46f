package oidc

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	good := Config{Issuer: "https://id.example.com/realm", ClientID: client, RedirectURL: callback, Now: time.Now}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // what the error begins with; empty: none
	}{
		"good":                     {func(*Config) {}, ""},
		"issuer with a slash":      {func(c *Config) { c.Issuer += "/" }, ""},
		"issuer on this machine":   {func(c *Config) { c.Issuer = "http://localhost:8080" }, ""},
		"by address":               {func(c *Config) { c.Issuer = "http://127.3.2.1:8080" }, ""},
		"by address of IPv6":       {func(c *Config) { c.Issuer = "http://[::1]:8080" }, ""},
		"redirect on this machine": {func(c *Config) { c.RedirectURL = "http://localhost:8080/callback" }, ""},
		"no issuer":                {func(c *Config) { c.Issuer = "" }, "issuer: is required"},
		"issuer of no URL":         {func(c *Config) { c.Issuer = "https://user:pass word@[" }, "issuer: is not a URL"},
		"relative issuer":          {func(c *Config) { c.Issuer = "id.example.com" }, "issuer: has to be absolute"},
		"issuer without a host":    {func(c *Config) { c.Issuer = "https://:443/" }, "issuer: has to be absolute"},
		"issuer over plain HTTP":   {func(c *Config) { c.Issuer = "http://id.example.com" }, "issuer: has to be https"},
		"as if on this machine":    {func(c *Config) { c.Issuer = "http://localhost.example.com" }, "issuer: has to be https"},
		"issuer by another way":    {func(c *Config) { c.Issuer = "ftp://localhost" }, "issuer: has to be https"},
		"issuer with a query":      {func(c *Config) { c.Issuer += "?" }, "issuer: has no query"},
		"issuer with a fragment":   {func(c *Config) { c.Issuer += "#x" }, "issuer: has no fragment"},
		"issuer with a password":   {func(c *Config) { c.Issuer = "https://user:password@id.example.com" }, "issuer: has no user"},
		"no client":                {func(c *Config) { c.ClientID = "" }, "client ID: is required"},
		"no redirect":              {func(c *Config) { c.RedirectURL = "" }, "redirect URL: is required"},
		"relative redirect":        {func(c *Config) { c.RedirectURL = "/api/v1/session/oidc/callback" }, "redirect URL: has to be absolute"},
		"redirect over plain HTTP": {func(c *Config) { c.RedirectURL = "http://crm.example.com/" }, "redirect URL: has to be https"},
		"redirect with a fragment": {func(c *Config) { c.RedirectURL += "#" }, "redirect URL: has no fragment"},
		"no clock":                 {func(c *Config) { c.Now = nil }, "now: a clock is required"},
		"negative time":            {func(c *Config) { c.Timeout = -1 }, "timeout: cannot be negative"},
		"all of it":                {func(c *Config) { *c = Config{} }, "issuer: is required\nclient ID: is required, and has at most 1000 bytes\nredirect URL: is required\nnow: a clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good
			tc.change(&c)
			err := c.Check()
			if (err == nil) != (tc.want == "") || err != nil && (!strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "pass word") || err != nil && strings.Contains(err.Error(), "password@")) {
				t.Errorf("%v, not %s", err, tc.want)
			}
			if err != nil {
				if _, err := New(t.Context(), nil, c); err == nil {
					t.Error("it is taken all the same")
				}
			}
		})
	}
}

// TestSecretIsKept: however a configuration is printed.
func TestSecretIsKept(t *testing.T) {
	t.Parallel()
	c := Config{Issuer: "https://id.example.com", ClientID: client, ClientSecret: secret, RedirectURL: callback}
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("configured", "oidc", c, "oidc_pointer", &c)
	}
	fmt.Fprintf(&b, "%v %+v %#v %s %q %v %+v", c, c, c, c, c, &c, &c)
	if strings.Contains(b.String(), secret) || !strings.Contains(b.String(), "id.example.com") {
		t.Error(b.String())
	}
}

var (
	local = []string{
		"/", "/clients", "/clients/", "/clients?status=active&sort=-name#first", "/clients?next=https://example.com/", "/clients?a=//b", "/#//x",
		"/a:b", "/@x", "/%C3%A4", "/a..b", "/...", "/clients?x=%5C%09", "/?",
	}
	foreign = []string{
		"", "clients", "?x", "#x", ".", "https://evil.example", "https:/evil.example", "https:evil.example", "//evil.example", "///evil.example", "////evil.example",
		`/\evil.example`, `\/evil.example`, `\\evil.example`, `/clients\..\..\evil`, `/clients?x=\evil`, "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/ /evil.example",
		"/\x00", "/\x7f", "/ä", "/\xff", "javascript:alert(1)", "/a//b", "/..//evil.example", "/.//evil.example", "/a/../..//evil.example", "/.", "/..", "/a/./b", "/a/..",
		"/%2F", "/%2Fevil.example", "/%2f%2fevil.example", "/%5Cevil.example", "/%2e%2e//evil.example", "/%2e%2e", "/%09/evil.example", "/%0d%0aSet-Cookie:x", "/%", "/%zz",
		"//", "/clients//", "data:text/html,x", "mailto:x@example.com", "http:///evil.example", "//user@evil.example", "/" + strings.Repeat("x", maxReturnTo),
	}
)

func TestReturnTo(t *testing.T) {
	t.Parallel()
	for _, s := range local {
		if err := CheckReturnTo("return_to", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range foreign {
		if err := CheckReturnTo("return_to", s); err == nil {
			t.Errorf("%q is let through", s)
		}
	}
}

// FuzzReturnTo: whatever is let through stays on the server, for Go's reading of URLs and for a browser's.
func FuzzReturnTo(f *testing.F) {
	for _, s := range append(local, foreign...) {
		f.Add(s)
	}
	base, _ := url.Parse("https://crm.example.com/api/v1/session/oidc/callback")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckReturnTo("return_to", s) != nil {
			return
		}
		u, err := base.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host != "crm.example.com" || u.User != nil {
			t.Errorf("%q leads to %v, %v", s, u, err)
		}
		// Once as it is, and once as if somebody on the way had unescaped it.
		for _, s := range []string{s, u.Path} {
			// WHATWG URL Standard: what is stripped, and "\" as "/" in special schemes.
			seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.Trim(s, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "))
			if !strings.HasPrefix(seen, "/") || strings.HasPrefix(seen, "//") {
				t.Errorf("%q leads away", s)
			}
		}
	})
}
