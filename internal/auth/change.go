package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// ChangePassword gives an employee who knows their password another one. record is
// told last, before it counts; when it fails nothing changes. Sessions stay: see
// [Store.EndAll].
func (s *Store) ChangePassword(ctx context.Context, employee domain.ID, old, replacement string, record func(context.Context) error) error {
	c, err := s.credentialOf(ctx, employee)
	if err != nil {
		return err
	}
	if err := CheckNewPassword("new_password", replacement, c.email); err != nil {
		return err
	}
	return s.try(ctx, guessWithin(c.email), func(ctx context.Context, t *ticket) error {
		if ok, err := checkPassword(ctx, old, c.hash); err != nil {
			return err
		} else if !ok {
			return ErrOldPassword
		}
		hash, err := hashPassword(ctx, replacement)
		if err != nil {
			return err
		}
		return s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if same, err := c.hold(ctx, tx); err != nil {
				return err
			} else if !same {
				return ErrChanged
			}
			if err := s.setPassword(ctx, tx, employee, hash); err != nil {
				return err
			}
			return t.settle(ctx, tx, true)
		}, record)
	})
}

// setPassword also makes the links to reset it useless.
func (s *Store) setPassword(ctx context.Context, tx pgx.Tx, employee domain.ID, hash string) error {
	var b pgx.Batch
	b.Queue(`update annals_auth.credentials set password = $2, epoch = epoch + 1 where employee_id = $1`, employee, hash)
	queueNoResets(&b, employee, s.clock())
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

func queueNoResets(b *pgx.Batch, employee domain.ID, now time.Time) {
	b.Queue(`update annals_auth.resets set used_at = $2 where employee_id = $1 and used_at is null`, employee, now)
}

// ResetLifetime is how long a link to reset a password lasts. An employee has at
// most maxResets that can be used, and gets no more than resetsAnHour.
const (
	ResetLifetime = time.Hour
	maxResets     = 3
	resetsAnHour  = 5 // within ResetLifetime: a row is kept as long as that
)

const resetPrefix = "annals_r_"

// Reset is the right to set a password without knowing the one before it.
type Reset struct {
	Employee domain.ID
	Token    string // for the link that is mailed, and nothing else
	Expires  time.Time
}

// RequestReset makes a token to reset the password of whoever has the address. It
// returns false, after the same work, when nobody has, or when they were given too
// many; what the asker is told must not depend on it, nor when.
func (s *Store) RequestReset(ctx context.Context, email string) (Reset, bool, error) {
	address := folded(email)
	now := s.clock()
	out := Reset{Token: newSecret(resetPrefix), Expires: now.Add(ResetLifetime)}
	var known, made bool
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		// One at a time, or the limits would not hold.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_auth.reset'), hashtext($1))`, address); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `select employee_id from annals_auth.credentials where email_key = $1`, address).Scan(&out.Employee)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if known = err == nil; !known {
			out.Employee = uuid.NewSHA1(domain.System, append([]byte("nobody\n"), address...))
		}
		var b pgx.Batch
		b.Queue(`delete from annals_auth.resets where token_hash in (
			select token_hash from annals_auth.resets where expires_at <= $1 limit $2 for update skip locked)`, now, portion)
		b.Queue(`insert into annals_auth.resets (token_hash, employee_id, created_at, expires_at) select $1, $2, $3, $4
			where (select count(*) < $5 and count(*) filter (where used_at is null) < $6 from annals_auth.resets where employee_id = $2 and expires_at > $3)`,
			hashToken(out.Token), out.Employee, now, out.Expires, resetsAnHour, maxResets)
		r := tx.SendBatch(ctx, &b)
		defer r.Close() //nolint:errcheck // the next one tells
		if _, err := r.Exec(); err != nil {
			return err
		}
		tag, err := r.Exec()
		made = tag.RowsAffected() == 1
		return errors.Join(err, r.Close())
	})
	if err != nil {
		return Reset{}, false, fmt.Errorf("request reset: %w", err)
	}
	if !known || !made {
		return Reset{}, false, nil
	}
	return out, true, nil
}

// ResetPassword sets the password of whoever a token was mailed to, or returns
// [ErrReset]. It ends all their sessions and lock-outs, and makes their other tokens
// useless; a second factor stays. record is told last, before it counts; when it
// fails nothing changes, and the token can be used again.
func (s *Store) ResetPassword(ctx context.Context, token, replacement string, record func(context.Context, domain.ID) error) (domain.ID, error) {
	if !isSecret(resetPrefix, token) {
		return domain.ID{}, ErrReset
	}
	c, err := readCredential(s.db.QueryRow(ctx, `select `+credentialColumns+` from annals_auth.resets join annals_auth.credentials using (employee_id)
		where token_hash = $1 and used_at is null and expires_at > $2`, hashToken(token), s.clock()))
	if err != nil {
		return domain.ID{}, err
	}
	if c.email == "" {
		return domain.ID{}, ErrReset
	}
	if err := CheckNewPassword("new_password", replacement, c.email); err != nil {
		return domain.ID{}, err
	}
	hash, err := hashPassword(ctx, replacement)
	if err != nil {
		return domain.ID{}, err
	}
	err = s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.reset(ctx, tx, c, token, hash) },
		func(ctx context.Context) error {
			if record == nil {
				return nil
			}
			return record(ctx, c.employee)
		})
	if err != nil {
		return domain.ID{}, err
	}
	return c.employee, nil
}

func (s *Store) reset(ctx context.Context, tx pgx.Tx, c credential, token, hash string) error {
	if same, err := c.hold(ctx, tx); err != nil {
		return err
	} else if !same { // another reset, or they were deactivated
		return ErrReset
	}
	now := s.clock()
	tag, err := tx.Exec(ctx, `update annals_auth.resets set used_at = $2 where token_hash = $1 and used_at is null and expires_at > $2`, hashToken(token), now)
	if err != nil {
		return fmt.Errorf("reset password: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrReset
	}
	if err := s.setPassword(ctx, tx, c.employee, hash); err != nil {
		return err
	}
	var b pgx.Batch
	b.Queue(`delete from annals_auth.sessions where employee_id = $1`, c.employee)
	b.Queue(`delete from annals_auth.guesses where key in (select key from annals_auth.guesses where account = $1 order by key for update)`, digest("account", c.email))
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("reset password: %w", err)
	}
	return nil
}
