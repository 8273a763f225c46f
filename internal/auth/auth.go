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
	turns turns         // of those who guess at the same thing
	logs  chan struct{} // bounds the connections held while something is recorded
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
	return &Store{db: db, now: now, box: box, logs: make(chan struct{}, max(1, db.Config().MaxConns/4))}, nil
}

// clock is the time as PostgreSQL keeps it, so that what is stored and what is
// answered are the same.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func emailKey(email string) string { return strings.ToLower(domain.Text(email)) }

// folded is [emailKey] of what anybody may have sent; empty, which nobody has, for
// what is no address and perhaps nothing that the database takes for text.
func folded(email string) string {
	if domain.CheckEmail("email", domain.Text(email)) != nil {
		return ""
	}
	return emailKey(email)
}

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

// recorded runs change, which appends nothing, and then record, which appends to the
// log that it happened, in one transaction: when record fails nothing has changed.
// What is left is that the database goes away between record and commit; then the
// log tells of a change that was not made. A client that goes away does not lead
// there, and a log that hangs takes no more than a part of the connections along.
func (s *Store) recorded(ctx context.Context, change func(context.Context, pgx.Tx) error, record func(context.Context) error) error {
	select {
	case s.logs <- struct{}{}:
		defer func() { <-s.logs }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recording)
	defer cancel()
	return pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if err := change(ctx, tx); err != nil || record == nil {
			return err
		}
		return record(ctx)
	})
}

// recording bounds a change and its record.
const recording = 30 * time.Second
