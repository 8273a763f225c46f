package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// What guessing is held to. All processes count together.
const (
	freeTries       = 5                // of one address at one account in a row, before it has to wait
	firstWait       = time.Second      // doubles with each further failure
	longestWait     = 15 * time.Minute // and never gets longer than this
	accountFailures = 50               // at one account within guessWindow, from wherever
	addressFailures = 200              // from one address within guessWindow, at whatever account
	lockOut         = 15 * time.Minute // after either of them
	guessWindow     = time.Hour        // also: how long failures are remembered
)

// settling bounds taking back what was counted in advance.
const settling = 5 * time.Second

// guess is what an attempt is counted by.
type guess struct {
	account []byte // digest of the e-mail address, whether somebody has it or not
	keys    []key
}

// key is one thing that is counted; limit 0 counts failures in a row.
type key struct {
	hash  []byte
	limit int
}

func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return h.Sum(nil)
}

// guessFrom is an attempt at the account of an address, folded, by somebody at ip.
func guessFrom(email string, ip netip.Addr) guess {
	from := network(ip)
	g := newGuess(email, "from "+from)
	if from != "" {
		g.keys = append(g.keys, key{digest("address", from), addressFailures})
	}
	return g
}

// guessWithin is an attempt by somebody who is signed in: who took over a session
// does not get any further tries by it.
func guessWithin(email string) guess { return newGuess(email, "signed in") }

func newGuess(email, where string) guess {
	return guess{digest("account", email), []key{
		{digest("pair", email, where), 0},
		{digest("all of account", email), accountFailures},
	}}
}

// network is what is taken for one place: an address of IPv4, or 2^64 of IPv6, as
// many as any customer gets.
func network(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid():
		return ""
	case ip.Is4():
		return ip.String()
	}
	p, _ := ip.Prefix(64) // it has as many bits
	return p.String()
}

// counter is a row of guesses.
type counter struct {
	failures int
	recent   []time.Time
	until    time.Time
}

// fail counts one more failure.
func (c *counter) fail(limit int, now time.Time) {
	if limit == 0 {
		c.failures++
		if c.failures >= freeTries {
			c.until = now.Add(waitAfter(c.failures))
		}
		return
	}
	c.recent = slices.DeleteFunc(c.recent, func(t time.Time) bool { return !t.After(now.Add(-guessWindow)) })
	c.recent = append(c.recent, now)
	if len(c.recent) >= limit {
		c.until = now.Add(lockOut)
	}
}

// undo takes back the failure counted at, which may have set until.
func (c *counter) undo(limit int, at, until time.Time) {
	if limit == 0 {
		c.failures = max(0, c.failures-1)
	} else if i := slices.IndexFunc(c.recent, at.Equal); i >= 0 {
		c.recent = slices.Delete(c.recent, i, i+1)
	}
	if c.until.Equal(until) {
		c.until = time.Time{}
	}
}

// waitAfter is how long to wait after so many failures in a row.
func waitAfter(failures int) time.Duration {
	wait := firstWait
	for range failures - freeTries {
		if wait *= 2; wait >= longestWait {
			return longestWait
		}
	}
	return wait
}

// ticket lets one attempt in. It is counted as a failure, until it is settled.
type ticket struct {
	guess
	at    time.Time
	until []time.Time // that each counter was set to
}

// try has judge look at an attempt, unless it has to wait: then it returns a
// [LockedError]. It is counted as a failure before anything is computed, so that
// many attempts at once get no more tries than one after another would. When it
// succeeds judge has to settle the ticket; when it fails for another reason than
// being wrong the failure is taken back.
func (s *Store) try(ctx context.Context, g guess, judge func(context.Context, *ticket) error) error {
	// Those who sign in twice at once, with the right password, are not told to wait:
	// within one process they come one after another.
	done, err := s.turns.take(ctx, string(g.keys[0].hash))
	if err != nil {
		return err
	}
	defer done()
	t, err := s.admit(ctx, g)
	if err != nil {
		return err
	}
	err = judge(ctx, t)
	if err == nil || isWrong(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	if undone := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return t.settle(ctx, tx, false) }); undone != nil {
		slog.WarnContext(ctx, "attempt stays counted as a failure", "error", undone)
	}
	return err
}

func isWrong(err error) bool {
	for _, wrong := range []error{ErrSignIn, ErrCode, ErrOldPassword, ErrPassword, ErrConfirm} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}

// admit counts a failure in advance. Attempts that have to wait leave no trace: they
// neither prolong the wait nor fill the table.
func (s *Store) admit(ctx context.Context, g guess) (*ticket, error) {
	// Everybody locks rows in the same order.
	slices.SortFunc(g.keys, func(a, b key) int { return slices.Compare(a.hash, b.hash) })
	t := &ticket{guess: g, at: s.clock()}
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		counters, err := lockCounters(ctx, tx, t)
		if err != nil {
			return err
		}
		var until time.Time
		for _, c := range counters {
			if c.until.After(until) {
				until = c.until
			}
		}
		if until.After(t.at) {
			return &LockedError{Wait: until.Sub(t.at)}
		}
		var b pgx.Batch
		for i, k := range g.keys {
			c := counters[string(k.hash)]
			c.fail(k.limit, t.at)
			t.until = append(t.until, c.until)
			forget := t.at
			if c.until.After(forget) {
				forget = c.until
			}
			queueCounter(&b, g.keys[i].hash, c, forget.Add(guessWindow))
		}
		b.Queue(`delete from annals_auth.guesses where key in (
			select key from annals_auth.guesses where expires_at < $1 limit $2 for update skip locked)`, t.at, portion)
		return tx.SendBatch(ctx, &b).Close()
	})
	if locked, ok := errors.AsType[*LockedError](err); ok {
		return nil, locked
	}
	if err != nil {
		return nil, fmt.Errorf("count attempt: %w", err)
	}
	return t, nil
}

// lockCounters makes the rows that are not there, and locks all of them.
func lockCounters(ctx context.Context, tx pgx.Tx, t *ticket) (map[string]*counter, error) {
	hashes, accounts := make([][]byte, len(t.keys)), make([][]byte, len(t.keys))
	for i, k := range t.keys {
		hashes[i], accounts[i] = k.hash, t.account
		if k.limit == addressFailures {
			accounts[i] = []byte{}
		}
	}
	rows, err := tx.Query(ctx, `insert into annals_auth.guesses as g (key, account, expires_at)
		select k, a, $3 from unnest($1::bytea[], $2::bytea[]) with ordinality as u (k, a, n) order by n
		on conflict (key) do update set key = g.key
		returning key, failures, recent, until, expires_at`, hashes, accounts, t.at.Add(guessWindow))
	if err != nil {
		return nil, err
	}
	return collectCounters(rows, t.at)
}

func collectCounters(rows pgx.Rows, now time.Time) (map[string]*counter, error) {
	out := map[string]*counter{}
	var hash []byte
	var failures int
	var recent []time.Time
	var until *time.Time
	var expires time.Time
	_, err := pgx.ForEachRow(rows, []any{&hash, &failures, &recent, &until, &expires}, func() error {
		c := &counter{}
		if expires.After(now) { // else it is forgotten, though still there
			c.failures, c.recent = failures, slices.Clone(recent)
			if until != nil {
				c.until = *until
			}
		}
		out[string(hash)] = c
		return nil
	})
	return out, err
}

func queueCounter(b *pgx.Batch, hash []byte, c *counter, expires time.Time) {
	var until *time.Time
	if !c.until.IsZero() {
		until = &c.until
	}
	if c.recent == nil {
		c.recent = []time.Time{}
	}
	b.Queue(`update annals_auth.guesses set failures = $2, recent = $3, until = $4, expires_at = greatest(expires_at, $5) where key = $1`,
		hash, c.failures, c.recent, until, expires)
}

// settle takes back the failure that was counted in advance. A success also clears
// what was counted in a row.
func (t *ticket) settle(ctx context.Context, tx pgx.Tx, success bool) error {
	var hashes [][]byte
	for _, k := range t.keys {
		hashes = append(hashes, k.hash)
	}
	rows, err := tx.Query(ctx, `select key, failures, recent, until, expires_at from annals_auth.guesses where key = any($1) order by key for update`, hashes)
	if err != nil {
		return fmt.Errorf("settle attempt: %w", err)
	}
	counters, err := collectCounters(rows, t.at)
	if err != nil {
		return fmt.Errorf("settle attempt: %w", err)
	}
	var b pgx.Batch
	for i, k := range t.keys {
		c, ok := counters[string(k.hash)]
		if !ok {
			continue // cleared meanwhile
		}
		c.undo(k.limit, t.at, t.until[i])
		if success && k.limit == 0 {
			*c = counter{}
		}
		if c.failures == 0 && len(c.recent) == 0 && c.until.IsZero() {
			b.Queue(`delete from annals_auth.guesses where key = $1`, k.hash)
		} else {
			queueCounter(&b, k.hash, c, t.at)
		}
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("settle attempt: %w", err)
	}
	return nil
}
