package httpapi

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	cfg := Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	const proxy = "Remote: 10.0.0.1:80"
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"direct":                     {nil, "192.0.2.1"},
		"direct, spoofed":            {[]string{"X-Forwarded-For: 10.0.0.9, 198.51.100.1"}, "192.0.2.1"},
		"by proxy":                   {[]string{proxy, "X-Forwarded-For: 198.51.100.1"}, "198.51.100.1"},
		"by proxy, spoofed":          {[]string{proxy, "X-Forwarded-For: 1.2.3.4, 198.51.100.1"}, "198.51.100.1"},
		"spoofed as proxy":           {[]string{proxy, "X-Forwarded-For: 1.2.3.4, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"in several headers":         {[]string{proxy, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 198.51.100.1,10.0.0.2", "X-Forwarded-For: 10.0.0.3"}, "198.51.100.1"},
		"by two kinds of proxies":    {[]string{"Remote: [fd00::1]:80", "X-Forwarded-For: 198.51.100.1, ::ffff:10.0.0.1"}, "198.51.100.1"},
		"with ports":                 {[]string{proxy, "X-Forwarded-For: [2001:db8::1]:99, 10.0.0.2:443"}, "2001:db8::1"},
		"mapped":                     {[]string{"Remote: [::ffff:10.0.0.1]:80", "X-Forwarded-For: ::ffff:198.51.100.1"}, "198.51.100.1"},
		"with a zone":                {[]string{proxy, "X-Forwarded-For: fe80::1%eth0"}, "fe80::1"},
		"proxies only":               {[]string{proxy, "X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a proxy that says nothing":  {[]string{proxy}, "10.0.0.1"},
		"a proxy that says nonsense": {[]string{proxy, "X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.2"}, "10.0.0.2"},
		"an empty entry":             {[]string{proxy, "X-Forwarded-For: 1.2.3.4,"}, "10.0.0.1"},
		"other headers":              {[]string{proxy, "X-Real-Ip: 1.2.3.4", "Forwarded: for=1.2.3.4", "True-Client-Ip: 1.2.3.4"}, "10.0.0.1"},
		"too many":                   {[]string{proxy, "X-Forwarded-For: 1.2.3.4" + strings.Repeat(", 10.0.0.2", maxHops)}, "10.0.0.2"},
		"no address":                 {[]string{"Remote: @"}, "invalid IP"},
	} {
		s := newSite(t, cfg)
		s.send("POST /api/v1/session", c.headers...)
		if got := s.caller.IP.String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		s = newSite(t, Config{})
		s.send("POST /api/v1/session", c.headers...)
		peer := netip.MustParseAddr("192.0.2.1")
		if len(c.headers) > 0 && strings.HasPrefix(c.headers[0], "Remote: ") {
			at, _ := netip.ParseAddrPort(strings.TrimPrefix(c.headers[0], "Remote: "))
			peer = at.Addr().Unmap()
		}
		if s.caller.IP != peer {
			t.Errorf("%s: %s without trusted proxies", name, s.caller.IP)
		}
	}
}
