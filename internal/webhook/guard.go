package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"annals/domain"
)

// Bounds of a request.
const (
	connecting = 5 * time.Second
	sending    = 15 * time.Second // in all
)

// errPrivate is that an address is nobody's but the machine's, the network's or a
// provider's own. It does not say which: it is shown to whoever asked.
var errPrivate = errors.New("the address is not one of the public internet: Annals does not connect to it")

// wire is where Azure's machines find their host, which is in no registry of special
// addresses.
var wire = netip.MustParsePrefix("168.63.129.16/32")

// guard keeps requests from addresses that a stranger must not have us reach.
type guard struct{ guardian *ssrf.Guardian } // nil: everything may be reached

func newGuard(private bool) guard {
	if private {
		return guard{}
	}
	return guard{ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(wire))}
}

// check judges an address as it is about to be connected to: what its name resolved to
// before does not count.
func (g guard) check(network, address string) error {
	if g.guardian == nil {
		return nil
	}
	if err := g.guardian.Safe(network, address, nil); err != nil {
		return errPrivate
	}
	return nil
}

// CheckURL faults a URL whose host is an address that would be refused, and http for
// anything but development where the payload is full. Names are looked at when they are
// dialled.
func CheckURL(field, text string, full, private bool) error {
	u, err := url.Parse(text)
	if err != nil || private {
		return nil //nolint:nilerr // which the domain faults
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if newGuard(false).check(network(addr), netip.AddrPortFrom(addr, 443).String()) != nil {
			return domain.Fault(field, "private", "names an address that is not one of the public internet")
		}
	}
	if full && u.Scheme != "https" {
		return domain.Fault(field, "https", "has to be https: a full payload may hold personal data")
	}
	return nil
}

func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// client makes the requests of deliveries: to the addresses that the guard admits, past
// any proxy, for which the guard would see the proxy only, and without following
// redirects.
func (g guard) client(perHost int, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{
		Timeout: connecting, Resolver: resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return g.check(network, address)
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSHandshakeTimeout: connecting, ResponseHeaderTimeout: sending, MaxIdleConnsPerHost: perHost, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
