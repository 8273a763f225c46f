package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// A recovery code stands in for the second factor when that is lost: 80 random bits,
// each good for one time.
const (
	recoveryCodes = 10
	recoveryBytes = 10
	recoveryLen   = 16 // characters of base32, without the hyphens that it is shown with
)

func hashRecoveryCode(employee domain.ID, code string) []byte {
	return digest("recovery code", employee.String(), code)
}

func replaceRecoveryCodes(ctx context.Context, tx pgx.Tx, employee domain.ID) ([]string, error) {
	shown, hashes := make([]string, recoveryCodes), make([][]byte, recoveryCodes)
	for i := range shown {
		var secret [recoveryBytes]byte
		rand.Read(secret[:])
		code := lowerBase32.EncodeToString(secret[:])
		shown[i] = strings.Join([]string{code[:4], code[4:8], code[8:12], code[12:]}, "-")
		hashes[i] = hashRecoveryCode(employee, code)
	}
	var b pgx.Batch
	b.Queue(`delete from annals_auth.recovery_codes where employee_id = $1`, employee)
	b.Queue(`insert into annals_auth.recovery_codes (employee_id, code_hash) select $1, unnest($2::bytea[])`, employee, hashes)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("recovery codes: %w", err)
	}
	return shown, nil
}

func useRecoveryCode(ctx context.Context, tx pgx.Tx, employee domain.ID, code string) (bool, error) {
	tag, err := tx.Exec(ctx, `delete from annals_auth.recovery_codes where employee_id = $1 and code_hash = $2`, employee, hashRecoveryCode(employee, code))
	if err != nil {
		return false, fmt.Errorf("recovery codes: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// NewRecoveryCodes replaces the recovery codes of an employee who can tell a code of
// their second factor, or one that is left. record is told last, before it counts.
func (s *Store) NewRecoveryCodes(ctx context.Context, employee domain.ID, code string, record func(context.Context) error) ([]string, error) {
	c, err := s.credentialOf(ctx, employee)
	if err != nil {
		return nil, err
	}
	var codes []string
	err = s.try(ctx, guessWithin(c.email), func(ctx context.Context, t *ticket) error {
		return s.confirmed(ctx, c, code, t, func(ctx context.Context, tx pgx.Tx) (err error) {
			codes, err = replaceRecoveryCodes(ctx, tx, employee)
			return err
		}, record)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RemoveTOTP disables the second factor of an employee who has both. record is told
// last, before it counts.
func (s *Store) RemoveTOTP(ctx context.Context, employee domain.ID, password, code string, record func(context.Context) error) error {
	c, err := s.credentialOf(ctx, employee)
	if err != nil {
		return err
	}
	return s.try(ctx, guessWithin(c.email), func(ctx context.Context, t *ticket) error {
		if ok, err := checkPassword(ctx, password, c.hash); err != nil {
			return err
		} else if !ok {
			return ErrPassword
		}
		return s.confirmed(ctx, c, code, t, func(ctx context.Context, tx pgx.Tx) error { return removeFactor(ctx, tx, employee) }, record)
	})
}

// ClearTOTP disables the second factor of somebody who has lost it and all recovery
// codes: for an administrator, after asking them in person. record is told last,
// before it counts.
func (s *Store) ClearTOTP(ctx context.Context, employee domain.ID, record func(context.Context) error) error {
	c, err := s.credentialOf(ctx, employee)
	if err != nil {
		return err
	}
	return s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := c.hold(ctx, tx); err != nil {
			return err
		}
		if f, err := lockFactor(ctx, tx, employee); err != nil {
			return err
		} else if f.secret == nil {
			return ErrTOTPNotEnabled
		}
		return removeFactor(ctx, tx, employee)
	}, record)
}

func removeFactor(ctx context.Context, tx pgx.Tx, employee domain.ID) error {
	var b pgx.Batch
	b.Queue(`delete from annals_auth.factors where employee_id = $1`, employee)
	b.Queue(`delete from annals_auth.recovery_codes where employee_id = $1`, employee)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("remove second factor: %w", err)
	}
	return nil
}

// confirmed makes a change for who can tell a code.
func (s *Store) confirmed(ctx context.Context, c credential, code string, t *ticket, change func(context.Context, pgx.Tx) error, record func(context.Context) error) error {
	return s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if same, err := c.hold(ctx, tx); err != nil {
			return err
		} else if !same {
			return ErrChanged
		}
		f, err := lockFactor(ctx, tx, c.employee)
		switch {
		case err != nil:
			return err
		case f.secret == nil:
			return ErrTOTPNotEnabled
		}
		if method, err := s.useCode(ctx, tx, f, code); err != nil {
			return err
		} else if method == "" {
			return ErrConfirm
		}
		if err := change(ctx, tx); err != nil {
			return err
		}
		return t.settle(ctx, tx, true)
	}, record)
}
