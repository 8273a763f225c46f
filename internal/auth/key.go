package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// A key's token is annals_<id>_<secret><checksum>: 12 characters of base32 that
// are looked up, 256 random bits and their CRC-32, both in base62. So a mistyped
// one is refused without asking anybody, and scanners for leaked secrets have
// something to go by.
const (
	keyPrefix   = "annals_"
	keyIDLen    = 12
	keySecret   = 43
	keyChecksum = 6
	keyLen      = len(keyPrefix) + keyIDLen + 1 + keySecret + keyChecksum
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// KeyUse is an API key that was just used.
type KeyUse struct {
	ID    domain.ID // of the key
	Owner domain.ID // the employee
}

// IsKey says whether a token has the form of an API key's, mistyped or not, rather
// than a session's.
func IsKey(token string) bool {
	return len(token) == keyLen && strings.HasPrefix(token, keyPrefix) && token[len(keyPrefix)+keyIDLen] == '_'
}

func encode62(n *big.Int, width int) string {
	out := make([]byte, width)
	n, digit, base := new(big.Int).Set(n), new(big.Int), big.NewInt(int64(len(base62)))
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

func checksum(s string) string {
	return encode62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(s)))), keyChecksum)
}

// newKey makes a token and returns what is kept of it.
func newKey() (token, id string, hash []byte) {
	var name [8]byte
	var secret [32]byte
	rand.Read(name[:])
	rand.Read(secret[:])
	id = lowerBase32.EncodeToString(name[:])[:keyIDLen]
	text := encode62(new(big.Int).SetBytes(secret[:]), keySecret)
	token = keyPrefix + id + "_" + text
	return token + checksum(token), id, hashToken(text)
}

// parseKey takes a token apart, and refuses a mistyped one.
func parseKey(token string) (id string, hash []byte, ok bool) {
	if !IsKey(token) {
		return "", nil, false
	}
	body := token[:keyLen-keyChecksum]
	if token[len(body):] != checksum(body) { // no secret: anybody can compute it
		return "", nil, false
	}
	id = body[len(keyPrefix) : len(keyPrefix)+keyIDLen]
	if strings.ContainsFunc(id, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }) {
		return "", nil, false
	}
	return id, hashToken(body[len(body)-keySecret:]), true
}

// NewKey makes the secret of the API key id and returns the token, which is never
// to be had again. The zero expiry is never. Once more for the same id replaces
// the token as long as it was not used, so that a crash before anybody saw it does
// no harm; after that it is [ErrKeyUsed].
func (s *Store) NewKey(ctx context.Context, id, owner domain.ID, expires time.Time) (string, error) {
	token, name, hash := newKey()
	var until *time.Time
	if !expires.IsZero() {
		until = &expires
	}
	tag, err := s.db.Exec(ctx, `insert into annals_auth.keys as k (id, key_id, owner_id, secret_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)
		on conflict (id) do update set key_id = excluded.key_id, secret_hash = excluded.secret_hash, created_at = excluded.created_at, expires_at = excluded.expires_at
		where k.owner_id = excluded.owner_id and k.last_used_at is null and k.revoked_at is null`, id, name, owner, hash, s.clock(), until)
	if err != nil {
		return "", fmt.Errorf("new key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return "", ErrKeyUsed
	}
	return token, nil
}

// Key is the API key that a token belongs to, else [ErrKey]. That it was used is
// noted once a minute. What revokes a key shows in every call made since.
func (s *Store) Key(ctx context.Context, token string) (KeyUse, error) {
	name, hash, ok := parseKey(token)
	if !ok {
		return KeyUse{}, ErrKey
	}
	return s.uses.Do(ctx, token, func(ctx context.Context) (KeyUse, error) { return s.use(ctx, name, hash) })
}

func (s *Store) use(ctx context.Context, name string, hash []byte) (KeyUse, error) {
	now := s.clock()
	var out KeyUse
	var owner *domain.ID
	var want []byte
	var used *time.Time
	err := s.db.QueryRow(ctx, `select id, owner_id, secret_hash, last_used_at from annals_auth.keys
		where key_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)`, name, now).Scan(&out.ID, &owner, &want, &used)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return KeyUse{}, fmt.Errorf("key: %w", err)
	}
	if err != nil || owner == nil || subtle.ConstantTimeCompare(hash, want) != 1 {
		return KeyUse{}, ErrKey
	}
	out.Owner = *owner
	switch {
	case used == nil:
		// From here on the secret is not replaced: whoever got there first counts.
		tag, err := s.db.Exec(ctx, `update annals_auth.keys set last_used_at = greatest(last_used_at, $3) where key_id = $1 and secret_hash = $2`, name, hash, now)
		if err != nil {
			return KeyUse{}, fmt.Errorf("key: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return KeyUse{}, ErrKey
		}
	case now.Sub(*used) >= seenEvery:
		s.touch(ctx, `update annals_auth.keys set last_used_at = $2 where id = (
			select id from annals_auth.keys where id = $1 and last_used_at <= $3 for update skip locked)`, out.ID, now, now.Add(-seenEvery))
	}
	return out, nil
}

// RevokeKey ends an API key for good, even one that has no secret yet.
func (s *Store) RevokeKey(ctx context.Context, id domain.ID) error {
	_, name, _ := newKey()
	_, err := s.db.Exec(ctx, `insert into annals_auth.keys as k (id, key_id, created_at, revoked_at) values ($1, $2, $3, $3)
		on conflict (id) do update set secret_hash = null, revoked_at = coalesce(k.revoked_at, excluded.revoked_at)`, id, name, s.clock())
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}

// KeyUses tells when keys were used last, to a minute. Keys that never were are
// not in it.
func (s *Store) KeyUses(ctx context.Context, ids []domain.ID) (map[domain.ID]time.Time, error) {
	rows, err := s.db.Query(ctx, `select id, last_used_at from annals_auth.keys where id = any($1) and last_used_at is not null`, ids)
	if err != nil {
		return nil, fmt.Errorf("key uses: %w", err)
	}
	out := map[domain.ID]time.Time{}
	var id domain.ID
	var used time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &used}, func() error { out[id] = used.UTC(); return nil }); err != nil {
		return nil, fmt.Errorf("key uses: %w", err)
	}
	return out, nil
}
