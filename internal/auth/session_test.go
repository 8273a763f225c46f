package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "Ann@Example.com")
	from := netip.MustParseAddr("192.0.2.7")
	first, err := s.SignIn(ctx, Attempt{Email: "aNN@example.com ", Password: password, IP: from, UserAgent: "Firefox\x00\n\xff 1"})
	if err != nil || first.Employee != id || first.Method != ByPassword || !first.Expires.Equal(now.Add(AbsoluteLifetime).UTC().Truncate(time.Second)) {
		t.Fatalf("%+v, %v", first, err)
	}
	*now = now.Add(time.Second)
	second, err := s.Start(ctx, id, StartOptions{Method: ByOIDC, UserAgent: strings.Repeat("ü", 1000)})
	if err != nil || second.Token == first.Token || second.ID == first.ID {
		t.Fatalf("%+v, %v", second, err)
	}
	for _, want := range []Session{first, second} {
		if who, err := s.Who(ctx, want.Token); err != nil || who != want {
			t.Errorf("%+v, %v, not %+v", who, err, want)
		}
		if !strings.HasPrefix(want.Token, "annals_s_") || len(want.Token) != len("annals_s_")+43 {
			t.Errorf("token %s", want.Token)
		}
	}
	list, err := s.Sessions(ctx, id)
	if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != first.ID {
		t.Fatalf("newest first: %+v, %v", list, err)
	}
	for _, x := range list {
		if x.Token != "" {
			t.Errorf("a listed session has its token")
		}
	}
	if list[1].IP != from || list[1].UserAgent != "Firefox 1" || len([]rune(list[0].UserAgent)) != 256 || list[0].IP.IsValid() {
		t.Errorf("%+v", list)
	}
	if err := s.End(ctx, first.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Who(ctx, first.Token); !errors.Is(err, ErrToken) {
		t.Errorf("stolen before signing out, used after it: %v", err)
	}
	if err := s.End(ctx, first.Token); err != nil {
		t.Errorf("signing out twice: %v", err)
	}
	for _, token := range []string{"", "x", second.Token + "x", second.Token[:len(second.Token)-1], strings.ToUpper(second.Token), strings.Repeat("x", 1<<16), "\x00", sessionPrefix + strings.Repeat("\x00", 43)} {
		if _, err := s.Who(ctx, token); !errors.Is(err, ErrToken) {
			t.Errorf("%.20q: %v", token, err)
		}
		if err := s.End(ctx, token); err != nil {
			t.Errorf("end of %.20q: %v", token, err)
		}
	}
}

// TestLifetimes: a session ends when it was not used for a while, and in the end however
// much it is used; what is over is removed.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), uuid.New()
	idle, err := s.Start(ctx, id, StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	used, err := s.Start(ctx, id, StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(IdleLifetime - time.Minute)
	if x, err := s.Who(ctx, used.Token); err != nil || !x.LastSeen.Equal(s.clock()) {
		t.Fatalf("%+v, %v", x, err)
	}
	*now = now.Add(time.Minute - time.Microsecond)
	if list, err := s.Sessions(ctx, id); len(list) != 2 || err != nil {
		t.Errorf("just before one is over: %+v, %v", list, err)
	}
	*now = now.Add(time.Microsecond)
	if _, err := s.Who(ctx, idle.Token); !errors.Is(err, ErrToken) {
		t.Errorf("not used for as long as it may be: %v", err)
	}
	if list, err := s.Sessions(ctx, id); len(list) != 1 || list[0].ID != used.ID || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.Who(ctx, used.Token); err != nil {
		t.Fatal(err)
	}
	for now.Add(IdleLifetime - time.Second).Before(used.Expires) {
		*now = now.Add(IdleLifetime - time.Second)
		if _, err := s.Who(ctx, used.Token); err != nil {
			t.Fatalf("used %s before its end: %v", used.Expires.Sub(*now), err)
		}
	}
	*now = used.Expires.Add(-time.Microsecond)
	if _, err := s.Who(ctx, used.Token); err != nil {
		t.Errorf("just before it expires: %v", err)
	}
	*now = used.Expires
	if _, err := s.Who(ctx, used.Token); !errors.Is(err, ErrToken) {
		t.Errorf("as it expires: %v", err)
	}
	*now = now.Add(time.Second)
	if _, err := s.Start(ctx, id, StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := count(t, s, `select count(*) from annals_auth.sessions`); left != 1 {
		t.Errorf("%d sessions are kept", left)
	}
}

// TestSeen: it is noted once a minute that a session is in use, however often it is.
func TestSeen(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx := t.Context()
	x, err := s.Start(ctx, uuid.New(), StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	// How often the row was written shows in its place.
	place := func() (at string) {
		if err := s.db.QueryRow(ctx, `select ctid::text || last_seen_at from annals_auth.sessions`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	before := place()
	*now = now.Add(seenEvery - time.Microsecond)
	if _, err := s.Who(ctx, x.Token); err != nil || place() != before {
		t.Errorf("within the minute: %s, was %s, %v", place(), before, err)
	}
	*now = now.Add(time.Microsecond)
	other := second(t, s)
	start, done := make(chan struct{}), make(chan error)
	for i := range 64 {
		go func() {
			<-start
			store := []*Store{s, other}[i%2]
			who, err := store.Who(ctx, x.Token)
			if err == nil && who.Employee != x.Employee {
				err = errors.New("somebody else")
			}
			done <- err
		}()
	}
	close(start)
	for range 64 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	after := place()
	if after == before {
		t.Error("use was not noted")
	}
	for range 10 {
		if _, err := s.Who(ctx, x.Token); err != nil || place() != after {
			t.Errorf("within the next minute: %s, was %s, %v", place(), after, err)
		}
	}
	if n := count(t, s, `select count(*) from annals_auth.sessions where last_seen_at = $1`, s.clock()); n != 1 {
		t.Error("noted with another time")
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, ann, bob := t.Context(), uuid.New(), uuid.New()
	start := func(id domain.ID) Session {
		x, err := s.Start(ctx, id, StartOptions{Method: ByPassword})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	here, there, other, bobs := start(ann), start(ann), start(ann), start(bob)
	if err := s.Revoke(ctx, bob, there.ID); !errors.Is(err, ErrSession) || domain.KindOf(err) != domain.NotFound {
		t.Errorf("of somebody else: %v", err)
	}
	if err := s.Revoke(ctx, ann, uuid.New()); !errors.Is(err, ErrSession) {
		t.Errorf("nobody's: %v", err)
	}
	if err := s.Revoke(ctx, ann, there.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(ctx, ann, there.ID); !errors.Is(err, ErrSession) {
		t.Errorf("twice: %v", err)
	}
	in := func(want map[string]bool) {
		t.Helper()
		for token, ok := range want {
			if _, err := s.Who(ctx, token); (err == nil) != ok {
				t.Errorf("%v, not %v", err, ok)
			}
		}
	}
	in(map[string]bool{here.Token: true, there.Token: false, other.Token: true, bobs.Token: true})
	if err := s.EndAll(ctx, ann, here.ID); err != nil {
		t.Fatal(err)
	}
	in(map[string]bool{here.Token: true, other.Token: false, bobs.Token: true})
	if err := s.EndAll(ctx, ann, uuid.Nil); err != nil {
		t.Fatal(err)
	}
	in(map[string]bool{here.Token: false, bobs.Token: true})
}

// TestFixation: what a client brings along never becomes a session of somebody.
func TestFixation(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	planted := newSecret(sessionPrefix)
	if _, err := s.Who(ctx, planted); !errors.Is(err, ErrToken) {
		t.Fatal(err)
	}
	attackers, err := s.Start(ctx, uuid.New(), StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	victim, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password})
	if err != nil || victim.Token == planted || victim.Token == attackers.Token || victim.ID == attackers.ID {
		t.Fatalf("%+v, %v", victim, err)
	}
	if _, err := s.Who(ctx, planted); !errors.Is(err, ErrToken) {
		t.Errorf("planted before: %v", err)
	}
	if who, err := s.Who(ctx, attackers.Token); err != nil || who.Employee == id {
		t.Errorf("%+v, %v", who, err)
	}
	for _, token := range []string{victim.ID.String(), sessionPrefix + victim.ID.String()} {
		if _, err := s.Who(ctx, token); !errors.Is(err, ErrToken) {
			t.Errorf("the id for a token: %v", err)
		}
	}
}

// TestManySessions: one too many ends the oldest, and nobody else's.
func TestManySessions(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), uuid.New()
	others, err := s.Start(ctx, uuid.New(), StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []Session
	for range MaxSessions + 2 {
		*now = now.Add(time.Millisecond)
		x, err := s.Start(ctx, id, StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	list, err := s.Sessions(ctx, id)
	if err != nil || len(list) != MaxSessions || list[0].ID != all[len(all)-1].ID || list[len(list)-1].ID != all[2].ID {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	if _, err := s.Who(ctx, all[1].Token); !errors.Is(err, ErrToken) {
		t.Errorf("the second oldest: %v", err)
	}
	if _, err := s.Who(ctx, others.Token); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
}

// TestEndEverything: of a deactivated employee nothing is left that lets them in.
func TestEndEverything(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	x, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := s.NewKey(ctx, uuid.New(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	others, err := s.NewKey(ctx, uuid.New(), uuid.New(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	link, ok, err := s.RequestReset(ctx, "ann@example.com")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var wg sync.WaitGroup // deactivated twice at once
	for range 2 {
		wg.Go(func() {
			if err := s.EndEverything(ctx, id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := s.Who(ctx, x.Token); !errors.Is(err, ErrToken) {
		t.Errorf("session: %v", err)
	}
	if _, err := s.Key(ctx, mine); !errors.Is(err, ErrKey) {
		t.Errorf("key: %v", err)
	}
	if _, err := s.Key(ctx, others); err != nil {
		t.Errorf("somebody else's key: %v", err)
	}
	if _, err := s.ResetPassword(ctx, link.Token, "another password", nil); !errors.Is(err, ErrReset) {
		t.Errorf("link: %v", err)
	}
	// In the middle of signing in, after the password was found right.
	a := Attempt{Email: "ann@example.com", Password: password, Active: func(ctx context.Context, who domain.ID) (bool, error) { return true, s.EndEverything(ctx, who) }}
	if _, err := s.SignIn(ctx, a); !errors.Is(err, ErrSignIn) {
		t.Errorf("in the middle: %v", err)
	}
	if list, err := s.Sessions(ctx, id); len(list) > 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
}
