package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"annals/domain"
)

// The second factor is TOTP as RFC 6238 has it and every app knows it: SHA-1, six
// digits, 30 seconds. A code is taken one step early or late, and once.
const (
	step        = 30 // seconds
	codeDigits  = 6
	totpSecret  = 20 // bytes: RFC 4226 §4 asks for 160 bits
	confirmTime = 15 * time.Minute
	issuer      = "Annals"
)

// TOTP is what an app is told to make codes.
type TOTP struct {
	Secret string // base32
	URI    string // otpauth://totp/…, for a QR code
}

// Factor is the state of somebody's second factor.
type Factor struct {
	Enabled           bool
	RecoveryCodesLeft int
}

// factor is a row of factors, locked.
type factor struct {
	employee domain.ID
	secret   []byte // sealed; nil: not enabled
	lastStep int64
	pending  []byte // sealed; nil: nothing to be confirmed
}

func lockFactor(ctx context.Context, tx pgx.Tx, employee domain.ID) (factor, error) {
	f := factor{employee: employee}
	err := tx.QueryRow(ctx, `select secret, last_step, pending from annals_auth.factors where employee_id = $1 for update`, employee).Scan(&f.secret, &f.lastStep, &f.pending)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return f, fmt.Errorf("second factor: %w", err)
	}
	return f, nil
}

// FactorPlace is what the sealed secret of somebody's second factor is bound to.
func FactorPlace(employee domain.ID) []byte { return []byte("totp\n" + employee.String()) }

// BeginTOTP makes a secret, which counts when it is confirmed, within 15 minutes.
// account is what the app shows, as a rule the e-mail address.
func (s *Store) BeginTOTP(ctx context.Context, employee domain.ID, account string) (TOTP, error) {
	if err := domain.CheckName("account", account, 254); err != nil {
		return TOTP{}, err
	}
	secret := make([]byte, totpSecret)
	rand.Read(secret)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Secret: secret, Period: step, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return TOTP{}, errors.New("begin TOTP: no key for that account") // what failed may hold the secret
	}
	sealed, err := s.box.Seal(ctx, []byte(key.Secret()), FactorPlace(employee))
	if err != nil {
		return TOTP{}, fmt.Errorf("begin TOTP: %w", err)
	}
	tag, err := s.db.Exec(ctx, `insert into annals_auth.factors as f (employee_id, pending, pending_at) values ($1, $2, $3)
		on conflict (employee_id) do update set pending = excluded.pending, pending_at = excluded.pending_at where f.secret is null`, employee, sealed, s.clock())
	if err != nil {
		return TOTP{}, fmt.Errorf("begin TOTP: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return TOTP{}, ErrTOTPEnabled
	}
	return TOTP{key.Secret(), key.URL()}, nil
}

// ConfirmTOTP enables the second factor for who can tell a code of the secret that
// was begun last, and returns the recovery codes, which are never to be had again.
func (s *Store) ConfirmTOTP(ctx context.Context, employee domain.ID, code string, record func(context.Context) error) ([]string, error) {
	c, err := s.credentialOf(ctx, employee)
	if err != nil {
		return nil, err
	}
	var codes []string
	err = s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := c.hold(ctx, tx); err != nil { // a sign-in either sees it enabled or was before
			return err
		}
		f, err := lockFactor(ctx, tx, employee)
		switch {
		case err != nil:
			return err
		case f.secret != nil:
			return ErrTOTPEnabled
		case f.pending == nil:
			return ErrTOTPNotEnabled
		}
		at, err := s.stepOf(ctx, employee, f.pending, plainCode(code), f.lastStep)
		if err != nil {
			return err
		}
		if at == 0 {
			return ErrConfirm
		}
		tag, err := tx.Exec(ctx, `update annals_auth.factors set secret = pending, pending = null, pending_at = null, last_step = $2, enabled_at = $3
			where employee_id = $1 and pending_at > $4`, employee, at, s.clock(), s.clock().Add(-confirmTime))
		if err != nil {
			return fmt.Errorf("confirm TOTP: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return ErrTOTPNotEnabled
		}
		codes, err = replaceRecoveryCodes(ctx, tx, employee)
		return err
	}, record)
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// stepOf is the time step after last that a code is for, or 0.
func (s *Store) stepOf(ctx context.Context, employee domain.ID, sealed []byte, code string, last int64) (int64, error) {
	secret, err := s.box.Open(ctx, sealed, FactorPlace(employee))
	if err != nil {
		return 0, fmt.Errorf("second factor: %w", err)
	}
	var found int64
	now := s.now().Unix() / step
	for at := now - 1; at <= now+1; at++ {
		want, err := codeAt(string(secret), at)
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && at > last {
			found = at
		}
	}
	return found, nil
}

func codeAt(secret string, at int64) (string, error) {
	code, err := hotp.GenerateCodeCustom(secret, uint64(at), hotp.ValidateOpts{Digits: codeDigits, Algorithm: otp.AlgorithmSHA1}) //nolint:gosec // after 1970
	if err != nil {
		return "", errors.New("second factor: the secret makes no codes")
	}
	return code, nil
}

// plainCode is a code without what people put into it to read it.
func plainCode(code string) string {
	if len(code) > 64 {
		return ""
	}
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// useCode takes a code of the second factor or a recovery code, each once. It
// returns the method of signing in, none for a wrong code.
func (s *Store) useCode(ctx context.Context, tx pgx.Tx, f factor, code string) (Method, error) {
	code = plainCode(code)
	if len(code) == recoveryLen {
		ok, err := useRecoveryCode(ctx, tx, f.employee, code)
		if err != nil || !ok {
			return "", err
		}
		return ByRecoveryCode, nil
	}
	at, err := s.stepOf(ctx, f.employee, f.secret, code, f.lastStep)
	if err != nil || at == 0 {
		return "", err
	}
	if _, err := tx.Exec(ctx, `update annals_auth.factors set last_step = $2 where employee_id = $1`, f.employee, at); err != nil {
		return "", fmt.Errorf("second factor: %w", err)
	}
	return ByTOTP, nil
}

// SecondFactor tells whether an employee has one.
func (s *Store) SecondFactor(ctx context.Context, employee domain.ID) (Factor, error) {
	var out Factor
	err := s.db.QueryRow(ctx, `select
		exists (select from annals_auth.factors where employee_id = $1 and secret is not null),
		(select count(*) from annals_auth.recovery_codes where employee_id = $1)`, employee).Scan(&out.Enabled, &out.RecoveryCodesLeft)
	if err != nil {
		return Factor{}, fmt.Errorf("second factor: %w", err)
	}
	return out, nil
}
