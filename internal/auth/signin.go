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
	Code            string // of the second factor, or a recovery code; empty at first
	IP              netip.Addr
	UserAgent       string

	// Active, if given, says whether an employee may sign in at all. It is asked only
	// when the password is right; whoever may not is told the same as for a wrong one.
	Active func(context.Context, domain.ID) (bool, error)
}

// SignIn starts a session. That an address is unknown shows in nothing, not even
// in how long the answer takes.
func (s *Store) SignIn(ctx context.Context, a Attempt) (Session, error) {
	var id domain.ID
	var hash string
	if domain.CheckEmail("email", domain.Text(a.Email)) != nil {
		a.Email = "" // nobody's, and perhaps nothing that the database takes for text
	}
	err := s.db.QueryRow(ctx, `select employee_id, password from annals_auth.credentials where email_key = $1`, emailKey(a.Email)).Scan(&id, &hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	ok, err := checkPassword(ctx, a.Password, hash)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, ErrSignIn
	}
	return s.Start(ctx, id, StartOptions{ByPassword, a.IP, a.UserAgent})
}
