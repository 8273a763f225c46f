package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// How long a session lasts: IdleLifetime after it was last used, and never longer
// than AbsoluteLifetime.
const (
	IdleLifetime     = 8 * time.Hour
	AbsoluteLifetime = 7 * 24 * time.Hour
)

// seenEvery is how often it is noted that a session or key is in use.
const seenEvery = time.Minute

// MaxSessions is how many sessions an employee has at most: one more ends the oldest.
const MaxSessions = 100

// Method says how somebody proved who they are.
type Method string

// The methods of signing in.
const (
	ByPassword     Method = "password"
	ByTOTP         Method = "password+totp"
	ByRecoveryCode Method = "password+recovery_code"
	ByOIDC         Method = "oidc"
)

// Session is a sign-in.
type Session struct {
	ID        uuid.UUID // names it; of no use as a token
	Token     string    // what the bearer sends; known to nobody else, and never listed
	Employee  domain.ID
	Created   time.Time
	LastSeen  time.Time // to a minute
	Expires   time.Time // however much it is used; unused it ends at LastSeen + IdleLifetime
	Method    Method
	IP        netip.Addr // where it was started; invalid if unknown
	UserAgent string     // what it was started with, cut to 256 characters
}

// StartOptions is what is known about a sign-in.
type StartOptions struct {
	Method    Method
	IP        netip.Addr
	UserAgent string
}

const (
	sessionPrefix = "annals_s_"
	secretLen     = 43 // characters of 256 bits in base64url
)

// newSecret returns 256 random bits behind a prefix that tells what they are for.
func newSecret(prefix string) string {
	var secret [32]byte
	rand.Read(secret[:])
	return prefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

// isSecret says whether a token has the form that newSecret gives it.
func isSecret(prefix, token string) bool {
	secret, ok := strings.CutPrefix(token, prefix)
	return ok && len(secret) == secretLen && !strings.ContainsFunc(secret, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

// hashToken needs no salt: a token is 256 random bits. The database looks it up
// by the digest, so how long a comparison takes tells nothing about a token.
func hashToken(token string) []byte { h := sha256.Sum256([]byte(token)); return h[:] }

// Start begins a session for an employee who has proved who they are. Its id and
// token are always new ones.
func (s *Store) Start(ctx context.Context, employee domain.ID, o StartOptions) (Session, error) {
	out := s.newSession(employee, o)
	var b pgx.Batch
	queueStart(&b, out)
	if err := s.db.SendBatch(ctx, &b).Close(); err != nil {
		return Session{}, fmt.Errorf("start session: %w", err)
	}
	return out, nil
}

func (s *Store) newSession(employee domain.ID, o StartOptions) Session {
	now := s.clock()
	return Session{
		ID: uuid.New(), Token: newSecret(sessionPrefix), Employee: employee,
		Created: now, LastSeen: now, Expires: now.Add(AbsoluteLifetime).Truncate(time.Second),
		Method: Method(clip(string(o.Method), 40)), IP: o.IP.Unmap().WithZone(""), UserAgent: clip(o.UserAgent, 256),
	}
}

func queueStart(b *pgx.Batch, x Session) {
	b.Queue(`delete from annals_auth.sessions where token_hash in (
		select token_hash from annals_auth.sessions where expires_at < $1 limit $2 for update skip locked)`, x.Created, portion)
	b.Queue(`delete from annals_auth.sessions where id in (
		select id from annals_auth.sessions where id in (
			select id from annals_auth.sessions where employee_id = $1 order by created_at desc, id offset $2) for update skip locked)`, x.Employee, MaxSessions-1)
	b.Queue(`insert into annals_auth.sessions (token_hash, id, employee_id, created_at, last_seen_at, expires_at, method, ip, user_agent)
		values ($1, $2, $3, $4, $4, $5, $6, $7, $8)`,
		hashToken(x.Token), x.ID, x.Employee, x.Created, x.Expires, string(x.Method), addrText(x.IP), x.UserAgent)
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

const sessionColumns = `id, employee_id, created_at, last_seen_at, expires_at, method, ip, user_agent`

func scanSession(row pgx.CollectableRow) (Session, error) {
	var out Session
	var ip string
	err := row.Scan(&out.ID, &out.Employee, &out.Created, &out.LastSeen, &out.Expires, &out.Method, &ip, &out.UserAgent)
	out.IP, _ = netip.ParseAddr(ip) // empty: unknown
	out.Created, out.LastSeen, out.Expires = out.Created.UTC(), out.LastSeen.UTC(), out.Expires.UTC()
	return out, err
}

// Who is the session that a token belongs to, else [ErrToken]. That it was used is
// noted once a minute. What ends a session shows in every call made since.
func (s *Store) Who(ctx context.Context, token string) (Session, error) {
	if !isSecret(sessionPrefix, token) {
		return Session{}, ErrToken
	}
	return s.looks.Do(ctx, token, func(ctx context.Context) (Session, error) { return s.look(ctx, token) })
}

func (s *Store) look(ctx context.Context, token string) (Session, error) {
	now := s.clock()
	rows, err := s.db.Query(ctx, `select `+sessionColumns+` from annals_auth.sessions
		where token_hash = $1 and expires_at > $2 and last_seen_at > $3`, hashToken(token), now, now.Add(-IdleLifetime))
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanSession)
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, ErrToken
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	out.Token = token
	if now.Sub(out.LastSeen) >= seenEvery {
		// Another process that is at it does it for both.
		s.touch(ctx, `update annals_auth.sessions set last_seen_at = $2 where id = (
			select id from annals_auth.sessions where id = $1 and last_seen_at <= $3 for update skip locked)`, out.ID, now, now.Add(-seenEvery))
		out.LastSeen = now
	}
	return out, nil
}

// Sessions lists the sessions of an employee that are not over, newest first, and
// without their tokens.
func (s *Store) Sessions(ctx context.Context, employee domain.ID) ([]Session, error) {
	now := s.clock()
	rows, err := s.db.Query(ctx, `select `+sessionColumns+` from annals_auth.sessions
		where employee_id = $1 and expires_at > $2 and last_seen_at > $3 order by created_at desc, id limit $4`,
		employee, now, now.Add(-IdleLifetime), MaxSessions)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanSession)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return out, nil
}

// Revoke ends one session of an employee; [ErrSession] when it is not theirs.
func (s *Store) Revoke(ctx context.Context, employee domain.ID, session uuid.UUID) error {
	tag, err := s.db.Exec(ctx, `delete from annals_auth.sessions where employee_id = $1 and id = $2`, employee, session)
	if err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrSession
	}
	return nil
}

// End ends the session of a token, if there is one.
func (s *Store) End(ctx context.Context, token string) error {
	if !isSecret(sessionPrefix, token) {
		return nil
	}
	if _, err := s.db.Exec(ctx, `delete from annals_auth.sessions where token_hash = $1`, hashToken(token)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndAll ends all sessions of an employee but one; [uuid.Nil] for none.
func (s *Store) EndAll(ctx context.Context, employee domain.ID, except uuid.UUID) error {
	if _, err := s.db.Exec(ctx, `delete from annals_auth.sessions where employee_id = $1 and id <> $2`, employee, except); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

// EndEverything ends all sessions of an employee, revokes the API keys they own, and
// makes links to reset their password useless: for somebody who is deactivated. A
// sign-in that is under way does not outlive it.
func (s *Store) EndEverything(ctx context.Context, employee domain.ID) error {
	now := s.clock()
	var b pgx.Batch
	b.Queue(`update annals_auth.credentials set epoch = epoch + 1 where employee_id = $1`, employee)
	b.Queue(`delete from annals_auth.sessions where employee_id = $1`, employee)
	b.Queue(`update annals_auth.keys set secret_hash = null, revoked_at = $2 where owner_id = $1 and revoked_at is null`, employee, now)
	queueNoResets(&b, employee, now)
	if err := s.db.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("end everything: %w", err)
	}
	return nil
}
