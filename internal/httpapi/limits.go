package httpapi

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"annals/domain"
)

// Limit is how many requests are taken: Burst at once, and Rate a second from then
// on. The zero value stands for the default, a negative Rate for no limit.
type Limit struct {
	Rate  float64
	Burst int
}

// Limits are those of all requests. They are the process's own: two processes take
// twice as much.
type Limits struct {
	Actor     Limit // of an employee or an API key; 2,000 a second, 4,000 at once
	Address   Limit // of an address (IPv6: network of 64 bits), whoever asks; 4,000 a second, 8,000 at once
	Anonymous Limit // of an address, without who asks being known, as for signing in; 50 a second, 500 at once
}

// maxBuckets is how many of each kind are remembered. Who comes after as many others
// starts with a full bucket again.
const maxBuckets = 1 << 16

// buckets are token buckets of one kind, one for each key.
type buckets[K comparable] struct {
	name   string
	limit  rate.Limit
	burst  int
	policy string // the member of RateLimit-Policy
	byKey  *lru.Cache[K, *rate.Limiter]
}

// newBuckets returns nil, which limits nothing, for no limit.
func newBuckets[K comparable](name string, l, otherwise Limit) *buckets[K] {
	if l == (Limit{}) {
		l = otherwise
	}
	if l.Rate < 0 {
		return nil
	}
	l.Burst = max(l.Burst, 1)
	byKey, _ := lru.New[K, *rate.Limiter](maxBuckets) // fails for sizes below one only
	return &buckets[K]{
		name: name, limit: rate.Limit(l.Rate), burst: l.Burst, byKey: byKey,
		policy: fmt.Sprintf(`"%s";q=%d;w=%d`, name, l.Burst, seconds(float64(l.Burst)/l.Rate)),
	}
}

// seconds rounds up to what headers tell, which is at least one and at most a day.
func seconds(s float64) int { return int(math.Ceil(min(max(s, 1), 24*60*60))) }

func (b *buckets[K]) of(key K) *rate.Limiter {
	if l, ok := b.byKey.Get(key); ok {
		return l
	}
	l := rate.NewLimiter(b.limit, b.burst)
	if earlier, ok, _ := b.byKey.PeekOrAdd(key, l); ok {
		return earlier
	}
	return l
}

// take takes a request out of key's bucket, tells the client in h how much is left,
// and fails if there was nothing.
func (b *buckets[K]) take(h http.Header, key K, now time.Time) error {
	if b == nil {
		return nil
	}
	l := b.of(key)
	ok := l.AllowN(now, 1)
	left := max(l.TokensAt(now), 0)
	// draft-ietf-httpapi-ratelimit-headers-11: lists of policies, and of what is left of
	// them until when all of it is there again.
	state := make([]byte, 0, 48)
	state = append(strconv.AppendQuote(state, b.name), ";r="...)
	state = append(strconv.AppendInt(state, int64(left), 10), ";t="...)
	state = strconv.AppendInt(state, int64(seconds((float64(b.burst)-left)/float64(b.limit))), 10)
	more(h, "Ratelimit-Policy", b.policy)
	more(h, "Ratelimit", string(state))
	if ok {
		return nil
	}
	wait := seconds((1 - left) / float64(b.limit))
	p := newProblem(http.StatusTooManyRequests, "rate_limited", fmt.Sprintf("more requests than one %s may send; try again in %d s", b.name, wait))
	p.header = http.Header{"Retry-After": {strconv.Itoa(wait)}}
	return p
}

// dry says whether key's bucket is empty, and takes nothing.
func (b *buckets[K]) dry(key K, now time.Time) bool {
	if b == nil {
		return false
	}
	l, ok := b.byKey.Peek(key)
	return ok && l.TokensAt(now) < 1
}

// more adds a member to a list in h.
func more(h http.Header, name, member string) {
	if before := h[name]; len(before) == 1 {
		member = before[0] + ", " + member
	}
	h[name] = []string{member}
}

// limits are all buckets, and who has shown a good token lately: their requests are
// limited before anybody is asked whether it is still good.
type limits struct {
	actor              *buckets[domain.ID]
	address, anonymous *buckets[netip.Prefix]

	seed  maphash.Seed
	known *lru.Cache[uint64, bearer] // by digest of the token: nothing secret is kept, and no right depends on it
}

// bearer is whose token it was.
type bearer struct {
	id   domain.ID
	kind string
}

func newLimits(l Limits) *limits {
	known, _ := lru.New[uint64, bearer](maxBuckets)
	return &limits{
		actor:     newBuckets[domain.ID]("actor", l.Actor, Limit{2000, 4000}),
		address:   newBuckets[netip.Prefix]("address", l.Address, Limit{4000, 8000}),
		anonymous: newBuckets[netip.Prefix]("anonymous", l.Anonymous, Limit{50, 500}),
		seed:      maphash.MakeSeed(), known: known,
	}
}

func (l *limits) digest(token string) uint64 { return maphash.String(l.seed, token) }
