// Package auth knows who may sign in and who has: passwords, second factors,
// sessions and the secrets of API keys, in a schema of PostgreSQL of their own.
// None of it is ever in the log or derived from it; that it changed is.
//
// Whatever proves something is kept so that a copy of the tables proves nothing:
// passwords as argon2id, tokens and codes of random bits as SHA-256, and the
// secrets that have to be read again sealed under the master key.
// TestNothingInClear looks for them in every column.
package auth

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/coalesce"
)

// Store keeps credentials and sessions.
type Store struct {
	db    *pgxpool.Pool
	now   func() time.Time
	box   Box
	looks coalesce.Group[string, Session]
	uses  coalesce.Group[string, KeyUse]
}

// Open returns the store in db, and creates what it needs there. All times are
// those of now; secrets that have to be read again are kept in box.
func Open(ctx context.Context, db *pgxpool.Pool, now func() time.Time, box Box) (*Store, error) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_auth'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("auth schema: %w", err)
	}
	return &Store{db: db, now: now, box: box}, nil
}

// Reasons to refuse.
var (
	ErrSignIn = domain.Errorf(domain.Unauthorized, "sign_in", "e-mail or password is wrong")
	ErrToken  = domain.Errorf(domain.Unauthorized, "token", "the token is not valid, or no longer: sign in again")
	ErrTaken  = &domain.Error{Kind: domain.Conflict, Code: "taken", Field: "email", Msg: "belongs to another employee"}

	// ErrPending is for an address that is being registered by another request, or by
	// one that was cut off.
	ErrPending = &domain.Error{Kind: domain.Conflict, Code: "pending", Field: "email", Msg: "is being registered at this moment; try again in two minutes"}

	// ErrSession is for a session that is not the employee's, or not there any more.
	ErrSession = domain.Errorf(domain.NotFound, "session", "there is no such session")

	// ErrKey is for an API key that is mistyped, unknown, expired or revoked: it does not tell which.
	ErrKey = domain.Errorf(domain.Unauthorized, "key", "the API key is not valid, or no longer")

	// ErrKeyUsed is for a key that cannot be given another secret.
	ErrKeyUsed = domain.Errorf(domain.Conflict, "key_used", "the API key is in use or revoked: make another one")
)

// clock is the time as PostgreSQL keeps it, so that what is stored and what is
// answered are the same.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func emailKey(email string) string { return strings.ToLower(domain.Text(email)) }

// portion is how many rows that are over are removed at a time, by whoever adds one.
const portion = 100

// clip is what a client says about itself, fit to be kept: at most so many characters.
func clip(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most])
	}
	return text
}

// touch notes when something was used last. It is a detail that nobody is refused
// for, and not worth waiting until it is on disk.
func (s *Store) touch(ctx context.Context, sql string, args ...any) {
	var b pgx.Batch // is a transaction, hence a setting of its own
	b.Queue(`select set_config('synchronous_commit', 'off', true)`)
	b.Queue(sql, args...)
	if err := s.db.SendBatch(ctx, &b).Close(); err != nil {
		slog.WarnContext(ctx, "last use not noted", "error", err)
	}
}
