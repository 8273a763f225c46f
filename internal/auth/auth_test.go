package auth

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/postgres/pgtest"
)

const password = "correct horse"

// open returns a store whose clock stands where the test puts it.
func open(t *testing.T) (*Store, *time.Time) {
	t.Helper()
	db, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	now := time.Now()
	s, err := Open(t.Context(), db, func() time.Time { return now }, testBox(t))
	if err != nil {
		t.Fatal(err)
	}
	return s, &now
}

func testBox(tb testing.TB) Box {
	tb.Helper()
	master, err := eventschema.NewLocalMaster([]byte(strings.Repeat("k", 32)))
	if err != nil {
		tb.Fatal(err)
	}
	return MasterBox(master)
}

// employed returns an employee who signs in with the password.
func employed(t *testing.T, s *Store, email string) domain.ID {
	t.Helper()
	id := uuid.New()
	if err := s.Claim(t.Context(), id, email, password, exists(false)); err != nil {
		t.Fatal(err)
	}
	return id
}

// second returns a store on the same database, as another process has it.
func second(t *testing.T, s *Store) *Store {
	t.Helper()
	other, err := Open(t.Context(), s.db, s.now, s.box)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// count runs a query for one number.
func count(t *testing.T, s *Store, sql string, args ...any) (n int) {
	t.Helper()
	if err := s.db.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// nothing is a record that takes whatever happened.
func nothing(context.Context) error { return nil }

func exists(v bool) func(context.Context, domain.ID) (bool, error) {
	return func(context.Context, domain.ID) (bool, error) { return v, nil }
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	for email, p := range map[string]string{"ann@example.com": password, "silent@example.com": ""} {
		if err := s.Claim(ctx, uuid.New(), email, p, exists(false)); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range [][2]string{
		{"ann@example.com", ""},
		{"ann@example.com", "Correct horse"},
		{"ann@example.com", password + " "},
		{"ann@example.com", strings.Repeat("x", 1000)},
		{"bob@example.com", password},
		{"", password},
		{"", ""},
		{"silent@example.com", ""},
		{"silent@example.com", password},
		{"a\x00@b.c", password},
		{"\xff@b.c", "\xff"},
	} {
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if got, err := s.SignIn(ctx, Attempt{Email: c[0], Password: c[1], IP: from}); !errors.Is(err, ErrSignIn) || got != (Session{}) {
			t.Errorf("%q: %+v, %v", c, got, err)
		}
	}
}

// TestComparableWork: an unknown address is refused after the same work as a wrong
// password. What argon2 works on tells it, where the clock of a busy machine would not;
// it is not run beside other tests.
func TestComparableWork(t *testing.T) {
	s, _ := open(t)
	employed(t, s, "ann@example.com")
	for name, c := range map[string][2]string{
		"wrong":      {"ann@example.com", "wrong password"},
		"unknown":    {"bob@example.com", "wrong password"},
		"no address": {"bob", "wrong password"},
		"too long":   {"ann@example.com", strings.Repeat("x", 1000)},
		"empty":      {"ann@example.com", ""},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.SignIn(t.Context(), Attempt{Email: c[0], Password: c[1]}); !errors.Is(err, ErrSignIn) {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / 1024; took < memory || took > memory+memory/10 {
			t.Errorf("%s takes %d KiB of work", name, took)
		}
	}
}

func TestPasswords(t *testing.T) {
	for p, ok := range map[string]bool{
		"": false, "1234567": false, "12345678": false, "1234567x": true, "äöüßäöü": false, "äöüßäöüß": true,
		strings.Repeat("x", 256): true, strings.Repeat("x", 257): false, strings.Repeat("ä", 129): false,
	} {
		if err := CheckNewPassword("password", p); (err == nil) != ok {
			t.Errorf("%q: %v", p, err)
		}
	}
	for p, code := range map[string]string{
		"Password1": "common", "qwertyuiop": "common", " SUNSHINE ": "common", "Ann.Smith@example.com": "own_email", "ann.smith": "own_email", "ann.smith's": "",
	} {
		err := CheckNewPassword("password", p, "", "Ann.Smith@Example.com")
		if e, _ := errors.AsType[*domain.Error](err); (code == "") != (err == nil) || e != nil && e.Code != code {
			t.Errorf("%q: %v", p, err)
		}
	}
	for line := range strings.Lines(commonText) {
		if p := strings.TrimSuffix(line, "\n"); len(p) < MinPassword || p != emailKey(p) {
			t.Errorf("common.txt: %q is never looked up", p)
		}
	}
	ctx := t.Context()
	a, err := hashPassword(ctx, password)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hashPassword(ctx, password)
	if a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s %s", a, b)
	}
	if ok, err := checkPassword(ctx, password, a); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	// Made with other parameters, by the reference implementation (phc-winner-argon2's README).
	if ok, err := checkPassword(ctx, "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"); !ok || err != nil {
		t.Errorf("parameters of another hash: %v %v", ok, err)
	}
	for _, bad := range []string{"x", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA", "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$AAAA", "$argon2id$v=19$m=8,t=1,p=1$!$!"} {
		if ok, err := checkPassword(ctx, password, bad); ok || err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v %v", bad, ok, err)
		}
	}
}

// TestBusy: no more hashes are computed at once than there are processors, a few
// wait, and the rest is told to come back.
func TestBusy(t *testing.T) {
	for range cap(work) {
		work <- struct{}{} // as if that many were being computed
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	waited := make(chan error, cap(queue))
	for range cap(queue) {
		wg.Go(func() {
			_, err := hashPassword(ctx, password)
			waited <- err
		})
	}
	for len(queue) < cap(queue) {
		runtime.Gosched()
	}
	if _, err := hashPassword(ctx, password); domain.KindOf(err) != domain.TooMany {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	wg.Wait()
	for range cap(queue) {
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited: %v", err)
		}
	}
	for range cap(work) {
		<-work
	}
	if _, err := hashPassword(t.Context(), password); err != nil || len(queue) > 0 || len(work) > 0 {
		t.Errorf("afterwards: %v, %d wait, %d work", err, len(queue), len(work))
	}
}

func TestClaims(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := uuid.New(), uuid.New()
	claim := func(id domain.ID, email, password string, there bool) error {
		return s.Claim(ctx, id, email, password, exists(there))
	}
	if err := claim(a, "x@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	if err := claim(b, "X@Example.com", password, true); !errors.Is(err, ErrTaken) {
		t.Errorf("of an employee: %v", err)
	}
	if err := claim(b, "X@Example.com", password, false); !errors.Is(err, ErrPending) {
		t.Errorf("of one who is coming to be: %v", err)
	}
	if err := claim(a, "y@example.com", password, true); err != nil {
		t.Errorf("another address: %v", err)
	}
	if err := claim(b, "x@example.com", "", true); err != nil {
		t.Errorf("the address given up: %v", err)
	}
	if ok, err := s.HasPassword(ctx, a, password); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if ok, err := s.HasPassword(ctx, a, password+"x"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	for _, id := range []domain.ID{b, uuid.New()} {
		if ok, err := s.HasPassword(ctx, id, ""); ok || err != nil {
			t.Errorf("%v %v", ok, err)
		}
	}
	if _, err := s.db.Exec(ctx, `update annals_auth.credentials set updated_at = now() - make_interval(secs => $1)`, pending.Seconds()+1); err != nil {
		t.Fatal(err)
	}
	if err := claim(b, "y@example.com", password, true); !errors.Is(err, ErrTaken) {
		t.Errorf("of an employee, long ago: %v", err)
	}
	broken := errors.New("the log is away")
	if err := s.Claim(ctx, b, "y@example.com", password, func(context.Context, domain.ID) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("who knows: %v", err)
	}
	if err := claim(b, "y@example.com", password, false); err != nil {
		t.Errorf("cut off long ago: %v", err)
	}
	for id, want := range map[domain.ID]bool{a: false, b: true} {
		if got, err := s.Claimed(ctx, id); got != want || err != nil {
			t.Errorf("claimed: %v, %v", got, err)
		}
	}
	// Opening it again changes nothing.
	again, err := Open(ctx, s.db, time.Now, s.box)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.SignIn(ctx, Attempt{Email: "y@example.com", Password: password}); err != nil {
		t.Error(err)
	}
}

func TestOpenTogether(t *testing.T) {
	db, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := Open(t.Context(), db, time.Now, testBox(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
