package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// pending is how long an address is kept for an employee who is not in the log yet:
// longer than any attempt to get them there lasts.
const pending = 2 * time.Minute

// Claim gives an address to an employee, with the password that signs them in, or
// none. It is for the time before the employee is in the log, which exists tells.
// Until they are, nobody else gets the address before the time that it can take has
// passed.
func (s *Store) Claim(ctx context.Context, id domain.ID, email, password string, exists func(context.Context, domain.ID) (bool, error)) error {
	hash, err := hashPassword(ctx, password)
	if err != nil {
		return err
	}
	key := emailKey(email)
	return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if err := free(ctx, tx, id, key, exists); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from annals_auth.credentials where email_key = $1 or employee_id = $2`, key, id); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		_, err = tx.Exec(ctx, `insert into annals_auth.credentials (employee_id, email_key, password) values ($1, $2, $3)`, id, key, hash)
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		return nil
	})
}

// free faults an address that is somebody else's, and keeps it free until the
// transaction ends.
func free(ctx context.Context, tx pgx.Tx, id domain.ID, key string, exists func(context.Context, domain.ID) (bool, error)) error {
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_auth.email'), hashtext($1))`, key); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	var owner domain.ID
	var fresh bool
	err := tx.QueryRow(ctx, `select employee_id, updated_at > now() - make_interval(secs => $2) from annals_auth.credentials where email_key = $1`,
		key, pending.Seconds()).Scan(&owner, &fresh)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && owner == id {
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	there, err := exists(ctx, owner)
	switch {
	case err != nil:
		return err
	case there:
		return ErrTaken
	case fresh:
		return ErrPending
	}
	return nil
}

// ChangeEmail gives an employee another address to sign in with, under the same
// conditions as [Store.Claim], and makes the links mailed to the one before useless.
// record is told last, before it counts; when it fails nothing changes.
func (s *Store) ChangeEmail(ctx context.Context, employee domain.ID, email string, exists func(context.Context, domain.ID) (bool, error), record func(context.Context) error) error {
	if err := domain.CheckEmail("email", domain.Text(email)); err != nil {
		return err
	}
	key := emailKey(email)
	return s.recorded(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := free(ctx, tx, employee, key, exists); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `delete from annals_auth.credentials where email_key = $1 and employee_id <> $2`, key, employee); err != nil {
			return fmt.Errorf("change e-mail: %w", err)
		}
		tag, err := tx.Exec(ctx, `update annals_auth.credentials set email_key = $2, updated_at = now() where employee_id = $1`, employee, key)
		if err != nil {
			return fmt.Errorf("change e-mail: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return ErrNobody
		}
		var b pgx.Batch
		queueNoResets(&b, employee, s.clock())
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return fmt.Errorf("change e-mail: %w", err)
		}
		return nil
	}, record)
}

// HasPassword says whether the password signs the employee in.
func (s *Store) HasPassword(ctx context.Context, id domain.ID, password string) (bool, error) {
	var hash string
	err := s.db.QueryRow(ctx, `select password from annals_auth.credentials where employee_id = $1`, id).Scan(&hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("credentials: %w", err)
	}
	return checkPassword(ctx, password, hash)
}

// Claimed says whether the employee has credentials.
func (s *Store) Claimed(ctx context.Context, id domain.ID) (bool, error) {
	var there bool
	err := s.db.QueryRow(ctx, `select exists (select from annals_auth.credentials where employee_id = $1)`, id).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("credentials: %w", err)
	}
	return there, nil
}

// ByEmail is the employee who has an address.
func (s *Store) ByEmail(ctx context.Context, email string) (domain.ID, bool, error) {
	var id domain.ID
	err := s.db.QueryRow(ctx, `select employee_id from annals_auth.credentials where email_key = $1`, folded(email)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("credentials: %w", err)
	}
	return id, true, nil
}
