package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// Attempt is what somebody gives to sign in, and where they do it.
type Attempt struct {
	Email, Password string
	Code            string     // of the second factor, or a recovery code; empty at first
	IP              netip.Addr // of the client, not of a proxy
	UserAgent       string

	// Active, if given, says whether an employee may sign in at all. It is asked only
	// when the password is right; whoever may not is told the same as for a wrong one.
	Active func(context.Context, domain.ID) (bool, error)
}

// credential is how an employee proves who they are.
type credential struct {
	employee domain.ID
	email    string // folded
	hash     string
	epoch    int64
}

const credentialColumns = `employee_id, email_key, password, epoch`

func readCredential(row pgx.Row) (credential, error) {
	var c credential
	if err := row.Scan(&c.employee, &c.email, &c.hash, &c.epoch); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("credentials: %w", err)
	}
	return c, nil
}

// credentialOf is [ErrNobody] for an employee without.
func (s *Store) credentialOf(ctx context.Context, employee domain.ID) (credential, error) {
	c, err := readCredential(s.db.QueryRow(ctx, `select `+credentialColumns+` from annals_auth.credentials where employee_id = $1`, employee))
	if err == nil && c.email == "" {
		err = ErrNobody
	}
	return c, err
}

// hold keeps the credential from changing until the transaction ends; false means
// that it has changed since it was read. All who lock several things begin here.
func (c credential) hold(ctx context.Context, tx pgx.Tx) (bool, error) {
	now, err := readCredential(tx.QueryRow(ctx, `select `+credentialColumns+` from annals_auth.credentials where employee_id = $1 for update`, c.employee))
	return err == nil && now == c, err
}

// SignIn starts a session. That an address is unknown shows in nothing, not even
// in how long the answer takes. It returns [ErrSignIn], [ErrCodeRequired] when the
// password is right but not enough, [ErrCode], or a [LockedError] when too many
// attempts have failed.
func (s *Store) SignIn(ctx context.Context, a Attempt) (Session, error) {
	email := folded(a.Email)
	var out Session
	err := s.try(ctx, guessFrom(email, a.IP), func(ctx context.Context, t *ticket) (err error) {
		out, err = s.signIn(ctx, email, a, t)
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return out, nil
}

func (s *Store) signIn(ctx context.Context, email string, a Attempt, t *ticket) (Session, error) {
	c, err := readCredential(s.db.QueryRow(ctx, `select `+credentialColumns+` from annals_auth.credentials where email_key = $1`, email))
	if err != nil {
		return Session{}, err
	}
	ok, err := checkPassword(ctx, a.Password, c.hash)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, ErrSignIn
	}
	if a.Active != nil {
		switch active, err := a.Active(ctx, c.employee); {
		case err != nil:
			return Session{}, err
		case !active:
			return Session{}, ErrSignIn
		}
	}
	var out Session
	err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		// What ended all sessions while the hash was computed ends this one too.
		if same, err := c.hold(ctx, tx); err != nil {
			return err
		} else if !same {
			return ErrSignIn
		}
		method, err := s.secondFactor(ctx, tx, c.employee, a.Code)
		if err != nil {
			return err
		}
		out = s.newSession(c.employee, StartOptions{method, a.IP, a.UserAgent})
		var b pgx.Batch
		queueStart(&b, out)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return fmt.Errorf("start session: %w", err)
		}
		return t.settle(ctx, tx, true)
	})
	return out, err
}

// secondFactor is asked for by those who have one.
func (s *Store) secondFactor(ctx context.Context, tx pgx.Tx, employee domain.ID, code string) (Method, error) {
	f, err := lockFactor(ctx, tx, employee)
	switch {
	case err != nil:
		return "", err
	case f.secret == nil:
		return ByPassword, nil
	case code == "":
		return "", ErrCodeRequired
	}
	method, err := s.useCode(ctx, tx, f, code)
	if err == nil && method == "" {
		err = ErrCode
	}
	return method, err
}

// ProvePassword asks somebody who is signed in for their password once more, before
// something that a stolen session must not be enough for. It returns [ErrPassword],
// or a [LockedError]: unlike with [Store.HasPassword] what is wrong counts as a failure.
func (s *Store) ProvePassword(ctx context.Context, employee domain.ID, password string) error {
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
		return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return t.settle(ctx, tx, true) })
	})
}
