package httpapi

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/internal/access"
)

const cookie = "Cookie: __Host-annals="

func TestCookie(t *testing.T) {
	long := strings.Repeat("m", maxToken+1)
	for name, c := range map[string]struct {
		headers []string
		who     string // who it is taken to come from; empty: nobody, for the reason code
		code    string
		cookie  bool
	}{
		"none":                         {nil, "", "unauthorized", false},
		"cookie":                       {[]string{cookie + "mira"}, "mira", "", true},
		"among others":                 {[]string{"Cookie: a=b; __Host-annals=mira; c=d"}, "mira", "", true},
		"bearer":                       {[]string{"Authorization: Bearer joan"}, "joan", "", false},
		"bearer over cookie":           {[]string{"Authorization: bearer joan", cookie + "mira"}, "joan", "", false},
		"bad bearer over cookie":       {[]string{"Authorization: Bearer bad", cookie + "mira"}, "", "token", false},
		"no bearer over cookie":        {[]string{"Authorization: Basic am9hbjpwdw==", cookie + "mira"}, "", "unauthorized", false},
		"empty header over cookie":     {[]string{"Authorization: ", cookie + "mira"}, "", "unauthorized", false},
		"two headers":                  {[]string{"Authorization: Bearer joan", "Authorization: Bearer mira"}, "", "token", false},
		"two cookies":                  {[]string{"Cookie: __Host-annals=mira; __Host-annals=joan"}, "", "token", true},
		"two cookies, the same":        {[]string{cookie + "mira", cookie + "mira"}, "", "token", true},
		"long cookie":                  {[]string{cookie + long}, "", "token", true},
		"long bearer":                  {[]string{"Authorization: Bearer " + long}, "", "token", false},
		"a cookie without the prefix":  {[]string{"Cookie: annals=mira"}, "", "unauthorized", false},
		"a cookie in another spelling": {[]string{"Cookie: __host-annals=mira"}, "", "unauthorized", false},
		"an empty cookie":              {[]string{cookie}, "", "unauthorized", true},
		"an invalid cookie":            {[]string{cookie + "bad"}, "", "token", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Config{})
			status := 401
			if c.who != "" {
				status = 204
			}
			want(t, "read", s.send("GET /api/v1/things", c.headers...), status, c.code)
			if c.who != "" && (s.caller.Actor.Who != whose(c.who) || s.caller.Cookie != c.cookie) {
				t.Errorf("caller %+v", s.caller)
			}
			// Whatever was sent, signing in again is possible.
			want(t, "sign in", s.send("POST /api/v1/session", c.headers...), 204, "")
			if s.caller.Cookie != c.cookie || (s.caller.Actor == nil) != (c.who == "") {
				t.Errorf("caller %+v", s.caller)
			}
		})
	}
}

func TestSetCookie(t *testing.T) {
	s := newSite(t, Config{})
	got := s.send("POST /api/v1/session").Header().Values("Set-Cookie")
	if !slices.Equal(got, []string{"__Host-annals=mira; Path=/; Expires=Sun, 22 Nov 2026 13:00:00 GMT; HttpOnly; Secure; SameSite=Lax"}) {
		t.Errorf("%q", got)
	}
	gone := ClearSession()
	if gone.String() != "__Host-annals=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("%q", gone.String())
	}
}

// TestCrossOrigin sends what browsers send for another site's form, script or link.
func TestCrossOrigin(t *testing.T) {
	origins, err := Origins("https://intranet.example")
	if err != nil {
		t.Fatal(err)
	}
	const from = "Origin: https://evil.example"
	for name, c := range map[string]struct {
		headers []string
		passes  bool
	}{
		"a form of another site":         {[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", from}, false},
		"a script of another site":       {[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty", from}, false},
		"a sandboxed frame":              {[]string{"Sec-Fetch-Site: cross-site", "Origin: null"}, false},
		"a neighbouring subdomain":       {[]string{"Sec-Fetch-Site: same-site", "Origin: https://shop.crm.example"}, false},
		"an unknown relation":            {[]string{"Sec-Fetch-Site: anywhere"}, false},
		"an old browser, another site":   {[]string{from}, false},
		"an old browser, a sandbox":      {[]string{"Origin: null"}, false},
		"an old browser, another port":   {[]string{"Origin: https://crm.example:8443"}, false},
		"another site, lying of Origin":  {[]string{"Sec-Fetch-Site: cross-site", "Origin: https://crm.example"}, false},
		"nearly a trusted origin":        {[]string{"Sec-Fetch-Site: cross-site", "Origin: http://intranet.example"}, false},
		"credentials in another's link":  {[]string{"Sec-Fetch-Site: cross-site", from, "Authorization: Basic am9hbjpwdw=="}, false},
		"an empty bearer":                {[]string{"Sec-Fetch-Site: cross-site", from, "Authorization: Bearer "}, false},
		"our own page":                   {[]string{"Sec-Fetch-Site: same-origin", "Origin: https://crm.example"}, true},
		"typed by the user":              {[]string{"Sec-Fetch-Site: none"}, true},
		"our own page in an old browser": {[]string{"Origin: https://crm.example"}, true},
		"no browser":                     {nil, true},
		"a trusted origin":               {[]string{"Sec-Fetch-Site: cross-site", "Origin: https://intranet.example"}, true},
		"a trusted origin, old browser":  {[]string{"Origin: https://intranet.example"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Config{Origins: origins})
			status, code := 403, "cross_origin"
			if c.passes {
				status, code = 204, ""
			}
			if !slices.ContainsFunc(c.headers, func(h string) bool { return strings.HasPrefix(h, "Authorization") }) {
				want(t, "by cookie", s.send("POST "+rename, append([]string{cookie + "mira"}, c.headers...)...), status, code)
				want(t, "reading", s.send("GET "+thing, append([]string{cookie + "mira"}, c.headers...)...), 204, "")
				want(t, "by bearer", s.send("POST "+rename, append([]string{"Authorization: Bearer mira"}, c.headers...)...), 204, "")
			}
			s.caller = access.Caller{}
			want(t, "signing in", s.send("POST /api/v1/session", c.headers...), status, code)
			if !c.passes {
				if s.caller.Request != uuid.Nil {
					t.Error("it was carried out")
				}
				if last := s.refused[len(s.refused)-1]; last.Code != "cross_origin" || last.Route != "/api/v1/session" {
					t.Errorf("refused: %+v", last)
				}
			}
		})
	}
	s := newSite(t, Config{})
	want(t, "without trusted origins", s.send("POST /api/v1/session", "Sec-Fetch-Site: cross-site", "Origin: https://intranet.example"), 403, "cross_origin")
	if s.send("POST "+rename, "Sec-Fetch-Site: cross-site", cookie+"mira"); s.asked > 0 {
		t.Error("the database was asked for a request that another site made")
	}
	// CORS is not offered: no other site's script may ask, or read what it is answered.
	for _, w := range []*httptest.ResponseRecorder{
		s.send("OPTIONS "+rename, from, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"),
		s.send("GET "+thing, from, "Authorization: Bearer mira"),
	} {
		for header := range w.Header() {
			if strings.HasPrefix(header, "Access-Control-") {
				t.Errorf("%s is answered", header)
			}
		}
	}
	for _, bad := range []string{"", "intranet.example", "https://", "https://a.example/path", "https://a.example?q"} {
		if _, err := Origins(bad); err == nil {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
}
