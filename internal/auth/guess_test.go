package auth

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

var here = netip.MustParseAddr("192.0.2.1")

// place4 is the nth address of the test.
func place4(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a000000+uint32(n))
	return netip.AddrFrom4(b)
}

// wait is how long an error tells to wait, 0 if it does not.
func wait(t *testing.T, err error) time.Duration {
	t.Helper()
	locked, ok := errors.AsType[*LockedError](err)
	if !ok {
		return 0
	}
	if !errors.Is(err, ErrLocked) || domain.KindOf(err) != domain.TooMany || locked.Wait <= 0 {
		t.Errorf("%v after %s", err, locked.Wait)
	}
	return locked.Wait
}

// wrong is an attempt that fails, without the work of a hash.
func (s *Store) wrong(t *testing.T, g guess) error {
	t.Helper()
	return s.wrongly(t.Context(), g)
}

func (s *Store) wrongly(ctx context.Context, g guess) error {
	return s.try(ctx, g, func(context.Context, *ticket) error { return ErrSignIn })
}

// TestGuessing: after five failures each further one makes the next wait twice as long,
// for an account that there is and for one that there is not.
func TestGuessing(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx := t.Context()
	employed(t, s, "ann@example.com")
	for _, email := range []string{"ann@example.com", "nobody@example.com"} {
		try := func(p string, from netip.Addr) error {
			_, err := s.SignIn(ctx, Attempt{Email: email, Password: p, IP: from})
			return err
		}
		for range 5 {
			if err := try("wrong password", here); !errors.Is(err, ErrSignIn) {
				t.Fatal(err)
			}
		}
		for want := time.Second; want <= 8*time.Second; want *= 2 {
			for range 3 { // who does not wait gains nothing, and does not make it worse
				if got := wait(t, try(password, here)); got != want {
					t.Errorf("%s: wait %s, not %s", email, got, want)
				}
			}
			*now = now.Add(want - time.Millisecond)
			if got := wait(t, try(password, here)); got != time.Millisecond {
				t.Errorf("%s: wait %s", email, got)
			}
			*now = now.Add(time.Millisecond)
			if err := try("wrong password", here); !errors.Is(err, ErrSignIn) {
				t.Errorf("%s: after waiting: %v", email, err)
			}
		}
		if err := try("wrong password", place4(1)); !errors.Is(err, ErrSignIn) {
			t.Errorf("%s: from somewhere else: %v", email, err)
		}
	}
	*now = now.Add(16 * time.Second)
	sign := func(p string) error {
		_, err := s.SignIn(ctx, Attempt{Email: "Ann@example.com", Password: p, IP: here})
		return err
	}
	if err := sign(password); err != nil {
		t.Fatalf("the right one, after waiting: %v", err)
	}
	for range 4 {
		if err := sign("wrong password"); !errors.Is(err, ErrSignIn) {
			t.Errorf("the right one has cleared what was counted: %v", err)
		}
	}
	if err := sign(password); err != nil {
		t.Error(err)
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{5: time.Second, 6: 2 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 1000: 15 * time.Minute} {
		if got := waitAfter(failures); got != want {
			t.Errorf("%d failures: %s", failures, got)
		}
	}
}

// TestGuessingAtOnce: in two processes, forty at a time get no more tries than one after another.
func TestGuessingAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	employed(t, s, "ann@example.com")
	other := second(t, s)
	for _, email := range []string{"ann@example.com", "nobody@example.com"} {
		start, done := make(chan struct{}), make(chan error)
		for i := range 40 {
			go func() {
				<-start
				_, err := []*Store{s, other}[i%2].SignIn(t.Context(), Attempt{Email: email, Password: "wrong password", IP: here})
				done <- err
			}()
		}
		close(start)
		tries := 0
		for range 40 {
			err := <-done
			switch {
			case errors.Is(err, ErrSignIn):
				tries++
			case wait(t, err) == 0:
				t.Error(err)
			}
		}
		if tries != 5 {
			t.Errorf("%s: %d tries", email, tries)
		}
	}
}

// TestRightAtOnce: who signs in many times at once, with the right password, is let in.
func TestRightAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	employed(t, s, "ann@example.com")
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := s.SignIn(t.Context(), Attempt{Email: "ann@example.com", Password: password, IP: here}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, s, `select count(*) from annals_auth.guesses`); n > 0 {
		t.Errorf("%d counters are left", n)
	}
	if len(s.turns.holders) > 0 || s.turns.waiting > 0 {
		t.Errorf("%+v", s.turns.holders)
	}
}

// TestGuessingFromEverywhere: fifty failures at one account within an hour lock it, from
// however many addresses, in row or not.
func TestGuessingFromEverywhere(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	employed(t, s, "ann@example.com")
	for _, email := range []string{"ann@example.com", "nobody@example.com"} {
		for i := range 50 {
			*now = now.Add(time.Minute)
			if err := s.wrong(t, guessFrom(email, place4(i))); !errors.Is(err, ErrSignIn) {
				t.Fatalf("%d: %v", i, err)
			}
		}
		_, err := s.SignIn(t.Context(), Attempt{Email: email, Password: password, IP: here})
		if got := wait(t, err); got != lockOut {
			t.Errorf("%s: wait %s", email, got)
		}
		if err := s.wrong(t, guessFrom("cid@example.com", place4(1))); !errors.Is(err, ErrSignIn) {
			t.Errorf("another account: %v", err)
		}
		*now = now.Add(lockOut)
		// Of the fifty, those of the last hour still count: 45 of them.
		for i := range 5 {
			if err := s.wrong(t, guessFrom(email, place4(100+i))); !errors.Is(err, ErrSignIn) {
				t.Errorf("%s: %v", email, err)
			}
		}
		if got := wait(t, s.wrong(t, guessFrom(email, here))); got != lockOut {
			t.Errorf("%s: wait %s", email, got)
		}
		*now = now.Add(2 * guessWindow)
	}
	if _, err := s.SignIn(t.Context(), Attempt{Email: "ann@example.com", Password: password, IP: here}); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

// TestGuessingAtEverybody: two hundred failures from one address within an hour lock it
// out, whatever account they are at.
func TestGuessingAtEverybody(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	employed(t, s, "ann@example.com")
	g := func(i int, from string) guess {
		return guessFrom(string(rune('a'+i%26))+string(rune('a'+i/26))+"@example.com", netip.MustParseAddr(from))
	}
	for i := range 200 {
		if err := s.wrong(t, g(i, "2001:db8:1:2::1")); !errors.Is(err, ErrSignIn) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	rows := count(t, s, `select count(*) from annals_auth.guesses`)
	for i, from := range []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::1", "2001:db8:1:2::1%eth0"} {
		if got := wait(t, s.wrong(t, g(300+i, from))); got != lockOut {
			t.Errorf("%s: wait %s", from, got)
		}
	}
	if n := count(t, s, `select count(*) from annals_auth.guesses`); n != rows {
		t.Errorf("who has to wait leaves %d rows", n-rows)
	}
	if err := s.wrong(t, g(0, "2001:db8:1:3::1")); !errors.Is(err, ErrSignIn) {
		t.Errorf("from another network: %v", err)
	}
	if network(netip.MustParseAddr("::ffff:192.0.2.1")) != "192.0.2.1" {
		t.Error("IPv4 in IPv6 is another place")
	}
	// What is over is removed, a portion at a time.
	*now = now.Add(guessWindow + lockOut)
	for i := range 5 {
		if err := s.wrong(t, g(i, "192.0.2.1")); !errors.Is(err, ErrSignIn) {
			t.Error(err)
		}
	}
	if n := count(t, s, `select count(*) from annals_auth.guesses where expires_at < $1`, s.clock()); n > 0 {
		t.Errorf("%d rows are over and kept", n)
	}
}

// TestNotJudged: what is no failure is not counted as one, nor does it clear any.
func TestNotJudged(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	g := func() guess { return guessFrom("ann@example.com", here) }
	broken := errors.New("the log is away")
	for range 4 {
		if err := s.wrong(t, g()); !errors.Is(err, ErrSignIn) {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, reason := range []error{broken, errBusy, ErrCodeRequired, context.Canceled} {
		for range 3 {
			if err := s.try(gone, g(), func(context.Context, *ticket) error {
				if reason == context.Canceled { //nolint:errorlint // it is that one
					cancel()
				}
				return reason
			}); !errors.Is(err, reason) {
				t.Fatal(err)
			}
		}
	}
	if err := s.wrong(t, g()); !errors.Is(err, ErrSignIn) {
		t.Errorf("the fifth: %v", err)
	}
	if got := wait(t, s.wrong(t, g())); got != time.Second {
		t.Errorf("the sixth: wait %s", got)
	}
	// One that was let in, and has right on its side, when many have failed.
	*now = now.Add(time.Second)
	if err := s.try(t.Context(), g(), func(context.Context, *ticket) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := s.wrong(t, g()); !errors.Is(err, ErrSignIn) {
		t.Errorf("after one that was not judged: %v", err)
	}
	if got := wait(t, s.wrong(t, g())); got != 2*time.Second {
		t.Errorf("wait %s", got)
	}
	// A success leaves the failures of others at the account, and those of the address.
	*now = now.Add(2 * time.Second)
	err := s.try(t.Context(), g(), func(ctx context.Context, k *ticket) error {
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return k.settle(ctx, tx, true) })
	})
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	rows, err := s.db.Query(t.Context(), `select cardinality(recent) from annals_auth.guesses`)
	if err == nil {
		left, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if err != nil || !slices.Equal(left, []int{6, 6}) {
		t.Errorf("%v, %v", left, err)
	}
}
