// Package auth knows who may sign in and who has: passwords and sessions, in a
// schema of PostgreSQL of their own. None of it is ever in the log or derived
// from it.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/coalesce"
)

// Lifetime is how long a session lasts.
const Lifetime = 12 * time.Hour

const schema = `
create schema if not exists annals_auth;
create table if not exists annals_auth.credentials (
	employee_id uuid primary key,
	email_key   text not null unique, -- the address in lower case
	password    text not null,        -- PHC string of argon2id; empty: cannot sign in by password
	updated_at  timestamptz not null default now()
);
create table if not exists annals_auth.sessions (
	token_hash  bytea primary key,    -- SHA-256 of the bearer token
	employee_id uuid not null,
	created_at  timestamptz not null default now(),
	expires_at  timestamptz not null
);
create index if not exists sessions_expiry on annals_auth.sessions (expires_at);`

// Store keeps credentials and sessions.
type Store struct {
	db    *pgxpool.Pool
	now   func() time.Time
	looks coalesce.Group[string, Session]
}

// Open returns the store in db, and creates what it needs there.
func Open(ctx context.Context, db *pgxpool.Pool, now func() time.Time) (*Store, error) {
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
	return &Store{db: db, now: now}, nil
}

// Reasons to refuse.
var (
	ErrSignIn = domain.Errorf(domain.Unauthorized, "sign_in", "e-mail or password is wrong")
	ErrToken  = domain.Errorf(domain.Unauthorized, "token", "the token is not valid, or no longer: sign in again")
	ErrTaken  = &domain.Error{Kind: domain.Conflict, Code: "taken", Field: "email", Msg: "belongs to another employee"}

	// ErrPending is for an address that is being registered by another request, or by
	// one that was cut off.
	ErrPending = &domain.Error{Kind: domain.Conflict, Code: "pending", Field: "email", Msg: "is being registered at this moment; try again in two minutes"}
)

func emailKey(email string) string { return strings.ToLower(domain.Text(email)) }

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
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_auth.email'), hashtext($1))`, key); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		var owner domain.ID
		var fresh bool
		err := tx.QueryRow(ctx, `select employee_id, updated_at > now() - make_interval(secs => $2) from annals_auth.credentials where email_key = $1`,
			key, pending.Seconds()).Scan(&owner, &fresh)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("claim: %w", err)
		}
		if err == nil && owner != id {
			there, err := exists(ctx, owner)
			switch {
			case err != nil:
				return err
			case there:
				return ErrTaken
			case fresh:
				return ErrPending
			}
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

// Session is a sign-in.
type Session struct {
	Token    string // what the bearer sends; known to nobody else
	Employee domain.ID
	Expires  time.Time
}

// SignIn starts a session. That an address is unknown shows in nothing, not even
// in how long the answer takes.
func (s *Store) SignIn(ctx context.Context, email, password string) (Session, error) {
	var id domain.ID
	var hash string
	if domain.CheckEmail("email", domain.Text(email)) != nil {
		email = "" // nobody's, and perhaps nothing that the database takes for text
	}
	err := s.db.QueryRow(ctx, `select employee_id, password from annals_auth.credentials where email_key = $1`, emailKey(email)).Scan(&id, &hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	ok, err := checkPassword(ctx, password, hash)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, ErrSignIn
	}
	return s.Start(ctx, id, Lifetime)
}

// Start begins a session for an employee who has proved who they are.
func (s *Store) Start(ctx context.Context, id domain.ID, lifetime time.Duration) (Session, error) {
	var secret [32]byte
	rand.Read(secret[:])
	out := Session{
		Token:    "annals_s_" + base64.RawURLEncoding.EncodeToString(secret[:]),
		Employee: id,
		Expires:  s.now().Add(lifetime).UTC().Truncate(time.Second),
	}
	var b pgx.Batch
	b.Queue(`delete from annals_auth.sessions where token_hash in (select token_hash from annals_auth.sessions where expires_at < $1 limit 100)`, s.now())
	b.Queue(`insert into annals_auth.sessions (token_hash, employee_id, created_at, expires_at) values ($1, $2, $3, $4)`, hashToken(out.Token), id, s.now(), out.Expires)
	if err := s.db.SendBatch(ctx, &b).Close(); err != nil {
		return Session{}, fmt.Errorf("start session: %w", err)
	}
	return out, nil
}

// Who is the employee that a token belongs to.
func (s *Store) Who(ctx context.Context, token string) (Session, error) {
	return s.looks.Do(ctx, token, func(ctx context.Context) (Session, error) { return s.look(ctx, token) })
}

func (s *Store) look(ctx context.Context, token string) (Session, error) {
	out := Session{Token: token}
	err := s.db.QueryRow(ctx, `select employee_id, expires_at from annals_auth.sessions where token_hash = $1 and expires_at > $2`, hashToken(token), s.now()).Scan(&out.Employee, &out.Expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, ErrToken
	}
	if err != nil {
		return out, fmt.Errorf("session: %w", err)
	}
	return out, nil
}

// End ends the session of a token.
func (s *Store) End(ctx context.Context, token string) error {
	if _, err := s.db.Exec(ctx, `delete from annals_auth.sessions where token_hash = $1`, hashToken(token)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// hashToken needs no salt: a token is 256 random bits. The database looks it up
// by the digest, so how long a comparison takes tells nothing about a token.
func hashToken(token string) []byte { h := sha256.Sum256([]byte(token)); return h[:] }
