package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many proxies may stand between a client and us.
const maxHops = 16

// proxies are the networks whose word is taken for where a request comes from.
type proxies []netip.Prefix

func (p proxies) trust(ip netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// client is the address that a request comes from: the nearest to us of those it
// passed through that is no trusted proxy. Each proxy vouches for the one before it
// only, so that what a client writes into X-Forwarded-For itself is never reached.
// The zero Addr where the connection has none.
func (p proxies) client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip := at.Addr().Unmap().WithZone("")
	if len(p) == 0 || !p.trust(ip) {
		return ip
	}
	headers := r.Header["X-Forwarded-For"]
	hops := 0
	for _, header := range slices.Backward(headers) {
		for header != "" {
			before, last := "", header
			if comma := strings.LastIndexByte(header, ','); comma >= 0 {
				before, last = header[:comma], header[comma+1:]
			}
			header = before
			from, ok := hop(strings.TrimSpace(last))
			if hops++; !ok || hops > maxHops {
				return ip // the last that is known for sure
			}
			if ip = from; !p.trust(ip) {
				return ip
			}
		}
	}
	return ip
}

// hop is an entry of X-Forwarded-For: an address, some write a port after it.
func hop(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = at.Addr()
	}
	return ip.Unmap().WithZone(""), true
}

// encrypted says whether the client's connection is TLS, here or at a trusted proxy.
func (p proxies) encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	said := r.Header["X-Forwarded-Proto"]
	if len(p) == 0 || len(said) == 0 {
		return false
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trust(at.Addr().Unmap().WithZone("")) {
		return false
	}
	last := said[len(said)-1] // the nearest proxy's
	return strings.EqualFold(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "https")
}
