package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server on loopback that answers with addresses: those of a name in turn.
func names(t *testing.T, addresses map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	asked := map[string]int{}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			all := addresses[q.Name.String()]
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			if len(all) == 0 {
				m.RCode = dnsmessage.RCodeNameError
			}
			if len(all) > 0 {
				ip := net.ParseIP(all[min(asked[q.Name.String()], len(all)-1)])
				if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte(v4)}})
					asked[q.Name.String()]++
				} else if v4 == nil && q.Type == dnsmessage.TypeAAAA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}})
					asked[q.Name.String()]++
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// special are addresses that nobody else may have us connect to, in every form.
var special = map[string][]string{
	"this machine":                   {"127.0.0.1", "127.255.255.254", "[::1]", "0.0.0.0", "[::]", "0.1.2.3"},
	"this machine, written oddly":    {"2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "1.0.0.0.127", "127.0.0.1.", "①②⑦.⓪.⓪.①"},
	"private networks":               {"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "[fd00::1]", "[fc00::1]"},
	"shared and link-local":          {"100.64.0.1", "169.254.1.1", "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]"},
	"providers' metadata":            {"169.254.169.254", "168.63.129.16", "100.100.100.200", "[fd00:ec2::254]"},
	"set aside":                      {"192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1", "240.0.0.1", "255.255.255.255", "224.0.0.1", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]", "[5f00::1]"},
	"an IPv4 address within an IPv6": {"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001::1]"},
	"names":                          {"localhost", "private.example", "metadata.example", "six.example", "mapped.example", "azure.example"},
}

// TestSpecialAddresses: no request leaves for an address that is not of the public
// internet, however it is written, and whatever a name resolves to when it counts.
func TestSpecialAddresses(t *testing.T) {
	t.Parallel()
	resolver := names(t, map[string][]string{
		"private.example.": {"10.1.2.3"}, "metadata.example.": {"169.254.169.254"}, "six.example.": {"fd00::5"}, "mapped.example.": {"::ffff:10.0.0.1"}, "azure.example.": {"168.63.129.16"},
		"public.example.": {"93.184.215.14"}, "localhost.": {"127.0.0.1"},
	})
	g := newGuard(false)
	client := g.client(1, resolver)
	n := 0
	for kind, hosts := range special {
		for _, host := range hosts {
			for _, port := range []string{"", ":2113"} {
				res, err := client.Get("http://" + host + port + "/")
				if err == nil {
					_ = res.Body.Close()
					t.Errorf("%s: %s was asked", kind, host)
				}
				if _, unknown := errors.AsType[*net.DNSError](err); err != nil && !errors.Is(err, errPrivate) && !unknown && port == "" {
					if _, refused := errors.AsType[*net.OpError](err); refused {
						t.Errorf("%s: %s: %v", kind, host, err)
					}
				}
			}
			n++
		}
	}
	if n < 39 {
		t.Errorf("%d forms were tried", n)
	}
	for _, public := range []string{"8.8.8.8:443", "[2606:4700::1111]:443", "93.184.215.14:8443"} {
		network := "tcp4"
		if public[0] == '[' {
			network = "tcp6"
		}
		if err := g.check(network, public); err != nil {
			t.Errorf("%s: %v", public, err)
		}
	}
}

// TestRebinding: a name that led to an address that is admitted leads to another one by
// the time it is connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	reached := atomic.Int64{}
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inner.Close)
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	resolver := names(t, map[string][]string{"rebind.example.": {"93.184.215.14", "127.0.0.1"}})
	if got, err := resolver.LookupHost(t.Context(), "rebind.example"); err != nil || got[0] != "93.184.215.14" {
		t.Fatalf("%v, %v", got, err) // as who checks before connecting would see it
	}
	res, err := newGuard(false).client(1, resolver).Get("http://rebind.example:" + port + "/")
	if err == nil {
		_ = res.Body.Close()
	}
	if !errors.Is(err, errPrivate) || reached.Load() != 0 {
		t.Errorf("%v, reached %d times", err, reached.Load())
	}
}

// TestRedirectsAreNotFollowed, to private addresses or elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	reached := atomic.Int64{}
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inner.Close)
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	t.Cleanup(outer.Close)
	res, err := newGuard(true).client(1, nil).Post(outer.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || reached.Load() != 0 {
		t.Errorf("%d, and the other was reached %d times", res.StatusCode, reached.Load())
	}
}
