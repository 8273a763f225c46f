package auth

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// TestTogether does everything to the same two employees at once, in two processes: what
// gets in the way of each other is told as such, and nobody waits for each other in a circle.
func TestTogether(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	stores := []*Store{s, second(t, s)}
	emails := []string{"ann@example.com", "bob@example.com"}
	ids := []domain.ID{employed(t, s, emails[0]), employed(t, s, emails[1])}
	key := uuid.New()
	ops := []func(s *Store, n int) error{
		func(s *Store, n int) error { return s.wrongly(ctx, guessFrom(emails[n%2], place4(n%3))) },
		func(s *Store, n int) error { return s.wrongly(ctx, guessWithin(emails[n%2])) },
		func(s *Store, n int) error {
			_, err := s.SignIn(ctx, Attempt{Email: emails[n%2], Password: password, IP: place4(n % 3)})
			return err
		},
		func(s *Store, n int) error {
			_, err := s.Start(ctx, ids[n%2], StartOptions{Method: ByOIDC})
			return err
		},
		func(s *Store, n int) error { return s.EndAll(ctx, ids[n%2], uuid.Nil) },
		func(s *Store, n int) error { return s.EndEverything(ctx, ids[n%2]) },
		func(s *Store, n int) error {
			r, ok, err := s.RequestReset(ctx, emails[n%2])
			if ok && n%3 == 0 {
				_, err = s.ResetPassword(ctx, r.Token, password, func(context.Context, domain.ID) error { return nil })
			}
			return err
		},
		func(s *Store, n int) error {
			token, err := s.NewKey(ctx, key, ids[0], time.Time{})
			if err == nil && n%2 == 0 {
				_, err = s.Key(ctx, token)
			}
			return err
		},
		func(s *Store, n int) error {
			if x, err := s.BeginTOTP(ctx, ids[n%2], emails[n%2]); err == nil {
				if _, err := s.ConfirmTOTP(ctx, ids[n%2], s.code(t, x, 0), nothing); err != nil {
					return err
				}
			}
			return s.ClearTOTP(ctx, ids[n%2], nothing)
		},
		func(s *Store, n int) error { return s.ChangeEmail(ctx, ids[n%2], emails[n%2], exists(true), nothing) },
	}
	var wg sync.WaitGroup
	for i, op := range ops {
		for j, s := range stores {
			wg.Go(func() {
				for n := range 12 {
					if err := op(s, n+j); err != nil && domain.KindOf(err) == domain.Internal {
						t.Errorf("operation %d: %v", i, err)
					}
				}
			})
		}
	}
	wg.Wait()
}
