package auth

import (
	"context"
	"encoding/base32"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// TestTOTPVectors holds the codes to RFC 6238 appendix B, of which apps show the last six digits.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	secret := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got, err := codeAt(secret, at/step); got != want || err != nil {
			t.Errorf("at %d: %s, %v, not %s", at, got, err, want)
		}
	}
}

// code is what an app shows that many steps from now.
func (s *Store) code(t *testing.T, x TOTP, steps int64) string {
	t.Helper()
	code, err := codeAt(x.Secret, s.now().Unix()/step+steps)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enabled gives an employee a second factor, and moves the clock past the code that it took.
func enabled(t *testing.T, s *Store, now *time.Time, id domain.ID) (TOTP, []string) {
	t.Helper()
	x, err := s.BeginTOTP(t.Context(), id, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	codes, err := s.ConfirmTOTP(t.Context(), id, s.code(t, x, 0), nothing)
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(2 * step * time.Second)
	return x, codes
}

func TestTOTP(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	if _, err := s.ConfirmTOTP(ctx, id, "123456", nothing); !errors.Is(err, ErrTOTPNotEnabled) {
		t.Errorf("nothing to confirm: %v", err)
	}
	lost, err := s.BeginTOTP(ctx, id, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.BeginTOTP(ctx, id, "ann@example.com")
	if err != nil || x.Secret == lost.Secret {
		t.Fatal("begun again", err)
	}
	if u, err := url.Parse(x.URI); err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Annals:ann@example.com" || u.Query().Get("secret") != x.Secret || len(x.Secret) != 32 {
		t.Errorf("%v, %v", u, err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	sign := func(code string) (Session, error) {
		return s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password, Code: code, IP: here})
	}
	if _, err := sign(""); err != nil {
		t.Errorf("before it is confirmed: %v", err)
	}
	for _, code := range []string{"", "000000", s.code(t, lost, 0), s.code(t, x, -2), s.code(t, x, 2)} {
		if _, err := s.ConfirmTOTP(ctx, id, code, nothing); !errors.Is(err, ErrConfirm) {
			t.Errorf("%q: %v", code, err)
		}
	}
	broken := errors.New("the log is away")
	if _, err := s.ConfirmTOTP(ctx, id, s.code(t, x, 0), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	shown := s.code(t, x, 0)
	codes, err := s.ConfirmTOTP(ctx, id, shown[:3]+" "+shown[3:], nothing)
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{true, 10}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := s.BeginTOTP(ctx, id, "ann@example.com"); !errors.Is(err, ErrTOTPEnabled) {
		t.Errorf("begun when it is there: %v", err)
	}
	if _, err := sign(""); !errors.Is(err, ErrCodeRequired) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := sign(shown); !errors.Is(err, ErrCode) {
		t.Errorf("the code that confirmed it: %v", err)
	}
	*now = now.Add(2 * step * time.Second)
	code := s.code(t, x, -1)
	if got, err := sign(code); err != nil || got.Method != ByTOTP {
		t.Errorf("one step late: %+v, %v", got, err)
	}
	if _, err := sign(code); !errors.Is(err, ErrCode) {
		t.Errorf("replayed: %v", err)
	}
	if _, err := sign(s.code(t, x, 1)); err != nil {
		t.Errorf("one step early: %v", err)
	}
	if _, err := sign(s.code(t, x, 0)); !errors.Is(err, ErrCode) {
		t.Errorf("older than one that was taken: %v", err)
	}
	*now = now.Add(10 * step * time.Second)
	for _, steps := range []int64{-2, 2} {
		if _, err := sign(s.code(t, x, steps)); !errors.Is(err, ErrCode) {
			t.Errorf("%d steps away: %v", steps, err)
		}
	}
	// What is sealed does not open for somebody else.
	other := employed(t, s, "bob@example.com")
	if _, err := s.db.Exec(ctx, `insert into annals_auth.factors (employee_id, secret) select $1, secret from annals_auth.factors`, other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(ctx, Attempt{Email: "bob@example.com", Password: password, Code: s.code(t, x, 0), IP: here}); err == nil || domain.KindOf(err) != domain.Internal || strings.Contains(err.Error(), x.Secret) {
		t.Errorf("a secret moved to somebody else: %v", err)
	}
}

func TestConfirmLate(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	id := employed(t, s, "ann@example.com")
	x, err := s.BeginTOTP(t.Context(), id, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(confirmTime)
	if _, err := s.ConfirmTOTP(t.Context(), id, s.code(t, x, 0), nothing); !errors.Is(err, ErrTOTPNotEnabled) {
		t.Error(err)
	}
}

// TestGuessingCodes: with the right password, codes are guessed no faster than passwords,
// and asking for the code is no failure.
func TestGuessingCodes(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	x, _ := enabled(t, s, now, id)
	sign := func(code string) error {
		_, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password, Code: code, IP: here})
		return err
	}
	for i := range 5 {
		if err := sign("00000" + string(rune('0'+i))); !errors.Is(err, ErrCode) {
			t.Fatal(err)
		}
		if i < 4 {
			if err := sign(""); !errors.Is(err, ErrCodeRequired) {
				t.Fatal(err)
			}
		}
	}
	if got := wait(t, sign(s.code(t, x, 0))); got != time.Second {
		t.Errorf("wait %s", got)
	}
	// Signed in, they are not guessed any faster.
	for i := range 5 {
		if _, err := s.NewRecoveryCodes(ctx, id, "00000"+string(rune('0'+i)), nothing); !errors.Is(err, ErrConfirm) {
			t.Fatal(err)
		}
	}
	if got := wait(t, s.RemoveTOTP(ctx, id, password, s.code(t, x, 0), nothing)); got != time.Second {
		t.Errorf("wait %s", got)
	}
	*now = now.Add(time.Second)
	if err := sign(s.code(t, x, 0)); err != nil {
		t.Errorf("after waiting: %v", err)
	}
}

// TestCodeOnce: of many who use the same code at once, in two processes, one gets in.
func TestCodeOnce(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	id := employed(t, s, "ann@example.com")
	x, codes := enabled(t, s, now, id)
	other := second(t, s)
	for _, code := range []string{s.code(t, x, 0), codes[0]} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		in := 0
		for i := range 6 {
			wg.Go(func() {
				_, err := []*Store{s, other}[i%2].SignIn(t.Context(), Attempt{Email: "ann@example.com", Password: password, Code: code, IP: place4(i)})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in++
				} else if !errors.Is(err, ErrCode) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if in != 1 {
			t.Errorf("%d got in", in)
		}
	}
}

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	x, codes := enabled(t, s, now, id)
	sign := func(code string) (Session, error) {
		return s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password, Code: code, IP: here})
	}
	if got, err := sign(strings.ToUpper(codes[0])); err != nil || got.Method != ByRecoveryCode {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := sign(codes[0]); !errors.Is(err, ErrCode) {
		t.Errorf("twice: %v", err)
	}
	if got, err := sign(strings.ReplaceAll(codes[1], "-", "")); err != nil || got.Method != ByRecoveryCode {
		t.Errorf("without hyphens: %+v, %v", got, err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{true, 8}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	broken := errors.New("the log is away")
	if _, err := s.NewRecoveryCodes(ctx, id, codes[2], func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	// Somebody else's are of no use.
	bob := employed(t, s, "bob@example.com")
	enabled(t, s, now, bob)
	if _, err := s.SignIn(ctx, Attempt{Email: "bob@example.com", Password: password, Code: codes[2], IP: place4(1)}); !errors.Is(err, ErrCode) {
		t.Errorf("somebody else's: %v", err)
	}
	fresh, err := s.NewRecoveryCodes(ctx, id, s.code(t, x, 0), nothing)
	if err != nil || len(fresh) != 10 {
		t.Fatal(fresh, err)
	}
	if _, err := sign(codes[2]); !errors.Is(err, ErrCode) {
		t.Errorf("replaced: %v", err)
	}
	if _, err := sign(fresh[0]); err != nil {
		t.Error(err)
	}
	// A new password leaves the second factor.
	r, _, err := s.RequestReset(ctx, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResetPassword(ctx, r.Token, password, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sign(""); !errors.Is(err, ErrCodeRequired) {
		t.Errorf("after a reset: %v", err)
	}
}

func TestRemoveTOTP(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	if err := s.RemoveTOTP(ctx, id, password, "123456", nothing); !errors.Is(err, ErrTOTPNotEnabled) {
		t.Errorf("none there: %v", err)
	}
	if err := s.ClearTOTP(ctx, id, nothing); !errors.Is(err, ErrTOTPNotEnabled) {
		t.Errorf("none there: %v", err)
	}
	x, codes := enabled(t, s, now, id)
	code := s.code(t, x, 0)
	if err := s.RemoveTOTP(ctx, id, "wrong password", code, nothing); !errors.Is(err, ErrPassword) {
		t.Error(err)
	}
	if err := s.RemoveTOTP(ctx, id, password, "000000", nothing); !errors.Is(err, ErrConfirm) {
		t.Error(err)
	}
	broken := errors.New("the log is away")
	if err := s.RemoveTOTP(ctx, id, password, code, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{true, 10}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if err := s.RemoveTOTP(ctx, id, password, code, nothing); err != nil {
		t.Fatal(err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password, IP: here}); err != nil {
		t.Error(err)
	}
	enabled(t, s, now, id)
	if _, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password, Code: codes[0], IP: here}); !errors.Is(err, ErrCode) {
		t.Errorf("a recovery code of the factor before: %v", err)
	}
	if err := s.ClearTOTP(ctx, id, nothing); err != nil {
		t.Fatal(err)
	}
	if f, err := s.SecondFactor(ctx, id); f != (Factor{}) || err != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := s.BeginTOTP(ctx, uuid.New(), ""); domain.KindOf(err) != domain.Invalid {
		t.Errorf("without a name: %v", err)
	}
}

func TestBox(t *testing.T) {
	t.Parallel()
	ctx, box := t.Context(), testBox(t)
	sealed, err := box.Seal(ctx, []byte("secret"), []byte("place"))
	if err != nil || strings.Contains(string(sealed), "secret") {
		t.Fatal(err)
	}
	if again, err := box.Seal(ctx, []byte("secret"), []byte("place")); err != nil || string(again) == string(sealed) {
		t.Errorf("the same twice, %v", err)
	}
	if plain, err := box.Open(ctx, sealed, []byte("place")); string(plain) != "secret" || err != nil {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := box.Open(ctx, sealed, []byte("elsewhere")); err == nil {
		t.Error("opens elsewhere")
	}
	for i := range sealed {
		bad := []byte(string(sealed))
		bad[i] ^= 0x80
		if _, err := box.Open(ctx, bad, []byte("place")); err == nil {
			t.Errorf("altered at %d: opens", i)
		}
		if _, err := box.Open(ctx, sealed[:i], []byte("place")); err == nil {
			t.Errorf("cut at %d: opens", i)
		}
	}
}
