package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

const another = "battery staple"

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	is := func(want string) {
		t.Helper()
		if ok, err := s.HasPassword(ctx, id, want); !ok || err != nil {
			t.Errorf("the password is not %q: %v", want, err)
		}
	}
	link, _, err := s.RequestReset(ctx, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the log is away")
	if err := s.ChangePassword(ctx, id, password, another, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	is(password)
	for bad, code := range map[string]string{"short": "length", "password1": "common", "ann@example.com": "own_email"} {
		err := s.ChangePassword(ctx, id, password, bad, nothing)
		if e, _ := errors.AsType[*domain.Error](err); e == nil || e.Field != "new_password" || e.Code != code {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := s.ChangePassword(ctx, uuid.New(), password, another, nothing); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
	recorded := 0
	if err := s.ChangePassword(ctx, id, password, another, func(ctx context.Context) error {
		recorded++
		// It does not count yet.
		if ok, err := s.HasPassword(ctx, id, password); !ok || err != nil {
			t.Errorf("before it is recorded: %v, %v", ok, err)
		}
		return nil
	}); err != nil || recorded != 1 {
		t.Errorf("recorded %d times, %v", recorded, err)
	}
	is(another)
	if _, err := s.ResetPassword(ctx, link.Token, password, nil); !errors.Is(err, ErrReset) {
		t.Errorf("a link from before: %v", err)
	}
	// Who has taken over a session does not get to guess at will.
	for range 5 {
		if err := s.ChangePassword(ctx, id, password, "yet another one", nothing); !errors.Is(err, ErrOldPassword) {
			t.Error(err)
		}
	}
	if got := wait(t, s.ChangePassword(ctx, id, another, "yet another one", nothing)); got != time.Second {
		t.Errorf("wait %s", got)
	}
	is(another)
	if _, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: another, IP: here}); err != nil {
		t.Errorf("meanwhile they sign in: %v", err)
	}
}

// TestProvePassword: a stolen session is no way to guess the password at will.
func TestProvePassword(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	if err := s.ProvePassword(ctx, uuid.New(), password); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
	prove := func(p string, want error) {
		t.Helper()
		if err := s.ProvePassword(ctx, id, p); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	for range 4 {
		prove("wrong password", ErrPassword)
	}
	prove(password, nil) // clears what was counted
	for range 5 {
		prove("wrong password", ErrPassword)
	}
	prove(password, ErrLocked)
	if got := wait(t, s.ChangePassword(ctx, id, password, another, nothing)); got != time.Second {
		t.Errorf("by another way: wait %s", got)
	}
	*now = now.Add(time.Second)
	prove(password, nil)
}

func TestReset(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	stolen, err := s.Start(ctx, id, StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	others, err := s.Start(ctx, uuid.New(), StartOptions{Method: ByPassword})
	if err != nil {
		t.Fatal(err)
	}
	request := func() Reset {
		t.Helper()
		r, ok, err := s.RequestReset(ctx, " Ann@Example.com")
		if err != nil || !ok || r.Employee != id || !isSecret("annals_r_", r.Token) || !r.Expires.Equal(s.clock().Add(time.Hour)) {
			t.Fatalf("%+v, %v, %v", r, ok, err)
		}
		return r
	}
	first, second := request(), request()
	for i := range 50 {
		if err := s.wrong(t, guessFrom("ann@example.com", place4(i))); !errors.Is(err, ErrSignIn) {
			t.Fatal(err)
		}
	}
	broken := errors.New("the log is away")
	if _, err := s.ResetPassword(ctx, first.Token, another, func(context.Context, domain.ID) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := s.ResetPassword(ctx, first.Token, "short", nil); domain.KindOf(err) != domain.Invalid || errors.Is(err, ErrReset) {
		t.Error(err)
	}
	if _, err := s.Who(ctx, stolen.Token); err != nil {
		t.Errorf("what failed has ended sessions: %v", err)
	}
	if got, err := s.ResetPassword(ctx, first.Token, another, func(_ context.Context, who domain.ID) error {
		if who != id {
			t.Errorf("recorded for %s", who)
		}
		return nil
	}); err != nil || got != id {
		t.Fatalf("%s, %v", got, err)
	}
	for name, token := range map[string]string{"replayed": first.Token, "another one": second.Token, "made up": newSecret(resetPrefix), "a session": stolen.Token, "": ""} {
		if _, err := s.ResetPassword(ctx, token, "a third password", nil); !errors.Is(err, ErrReset) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Who(ctx, stolen.Token); !errors.Is(err, ErrToken) {
		t.Errorf("stolen before: %v", err)
	}
	if _, err := s.Who(ctx, others.Token); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
	if _, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: another, IP: place4(1)}); err != nil {
		t.Errorf("no longer locked out: %v", err)
	}
	late := request()
	*now = late.Expires
	if _, err := s.ResetPassword(ctx, late.Token, password, nil); !errors.Is(err, ErrReset) {
		t.Errorf("as it expires: %v", err)
	}
	// A sign-in with the password before, in the middle of which it is reset.
	link := request()
	_, err = s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: another, IP: here, Active: func(ctx context.Context, _ domain.ID) (bool, error) {
		_, err := s.ResetPassword(ctx, link.Token, password, nil)
		return true, err
	}})
	if list, _ := s.Sessions(ctx, id); !errors.Is(err, ErrSignIn) || len(list) > 0 {
		t.Errorf("%v, %d sessions", err, len(list))
	}
}

// TestResetOnce: of two who use a link at once one gets through.
func TestResetOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	employed(t, s, "ann@example.com")
	r, _, err := s.RequestReset(t.Context(), "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	records, through := 0, 0
	for range 6 {
		wg.Go(func() {
			_, err := s.ResetPassword(t.Context(), r.Token, another, func(context.Context, domain.ID) error {
				mu.Lock()
				defer mu.Unlock()
				records++
				return nil
			})
			if err != nil && !errors.Is(err, ErrReset) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				through++
			}
		})
	}
	wg.Wait()
	if records != 1 || through != 1 {
		t.Errorf("%d got through, %d records", through, records)
	}
}

// TestResetLimits: three links at a time and five an hour, and for an address that
// nobody has the same rows are written, which are of no use.
func TestResetLimits(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx := t.Context()
	employed(t, s, "ann@example.com")
	rows := func() int { return count(t, s, `select count(*) from annals_auth.resets`) }
	for _, email := range []string{"ann@example.com", "nobody@example.com", "no address"} {
		known, before := strings.HasPrefix(email, "ann"), rows()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var links []Reset
		for range 8 {
			wg.Go(func() {
				r, ok, err := s.RequestReset(ctx, email)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || ok != (r.Token != "") {
					t.Errorf("%v, %v", ok, err)
				}
				if ok {
					links = append(links, r)
				}
			})
		}
		wg.Wait()
		if n := rows() - before; n != 3 || known && len(links) != 3 || !known && len(links) > 0 {
			t.Errorf("%s: %d rows, %d links", email, n, len(links))
		}
		if !known {
			continue
		}
		for _, want := range []int{2, 0} {
			if _, err := s.ResetPassword(ctx, links[0].Token, another, nil); err != nil {
				t.Fatal(err)
			}
			links = nil
			for range 4 {
				if r, ok, err := s.RequestReset(ctx, email); err != nil {
					t.Error(err)
				} else if ok {
					links = append(links, r)
				}
			}
			if len(links) != want {
				t.Errorf("%d more links, not %d", len(links), want)
			}
		}
	}
	// At once, over connections that are there.
	for round := range 10 {
		before := rows()
		start, done := make(chan struct{}), make(chan error)
		for range 8 {
			go func() {
				<-start
				_, _, err := s.RequestReset(ctx, fmt.Sprintf("nobody%d@example.com", round))
				done <- err
			}()
		}
		close(start)
		for range 8 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := rows() - before; n != 3 {
			t.Errorf("at once: %d rows", n)
		}
	}
	*now = now.Add(time.Hour)
	if _, ok, err := s.RequestReset(ctx, "ann@example.com"); !ok || err != nil {
		t.Errorf("an hour later: %v, %v", ok, err)
	}
	if n := rows(); n != 1 {
		t.Errorf("%d rows are kept", n)
	}
}

func TestChangeEmail(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, ann, bob := t.Context(), employed(t, s, "ann@example.com"), employed(t, s, "bob@example.com")
	link, _, err := s.RequestReset(ctx, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	change := func(id domain.ID, email string, there bool) error {
		return s.ChangeEmail(ctx, id, email, exists(there), nothing)
	}
	if err := change(ann, "Bob@example.com", true); !errors.Is(err, ErrTaken) {
		t.Errorf("of an employee: %v", err)
	}
	if err := change(ann, "bob@example.com", false); !errors.Is(err, ErrPending) {
		t.Errorf("of one who is coming to be: %v", err)
	}
	if err := change(ann, "no address", true); domain.KindOf(err) != domain.Invalid {
		t.Error(err)
	}
	if err := change(uuid.New(), "new@example.com", true); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
	broken := errors.New("the log is away")
	if err := s.ChangeEmail(ctx, ann, "new@example.com", exists(true), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	for email, want := range map[string]domain.ID{" ANN@example.com": ann, "bob@example.com": bob, "new@example.com": {}, "\x00": {}, "": {}} {
		if id, ok, err := s.ByEmail(ctx, email); id != want || ok != (want != domain.ID{}) || err != nil {
			t.Errorf("%q: %s, %v, %v", email, id, ok, err)
		}
	}
	for range 2 { // the second changes nothing
		if err := change(ann, "New@example.com", true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ResetPassword(ctx, link.Token, another, nil); !errors.Is(err, ErrReset) {
		t.Errorf("mailed to the address before: %v", err)
	}
	if x, err := s.SignIn(ctx, Attempt{Email: "new@example.com", Password: password}); err != nil || x.Employee != ann {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password}); !errors.Is(err, ErrSignIn) {
		t.Error(err)
	}
	if err := change(bob, "ann@example.com", true); err != nil {
		t.Errorf("given up by another: %v", err)
	}
}
