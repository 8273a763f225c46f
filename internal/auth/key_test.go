package auth

import (
	"errors"
	"hash/crc32"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id, owner := t.Context(), uuid.New(), uuid.New()
	lost, err := s.NewKey(ctx, id, owner, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.NewKey(ctx, id, owner, time.Time{})
	if err != nil {
		t.Fatalf("again, before anybody used it: %v", err)
	}
	if _, err := s.Key(ctx, lost); !errors.Is(err, ErrKey) {
		t.Errorf("the one replaced: %v", err)
	}
	if got, err := s.Key(ctx, token); err != nil || got != (KeyUse{id, owner}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.NewKey(ctx, id, owner, time.Time{}); !errors.Is(err, ErrKeyUsed) {
		t.Errorf("again, after it was used: %v", err)
	}
	never := uuid.New()
	if _, err := s.NewKey(ctx, never, owner, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewKey(ctx, never, uuid.New(), time.Time{}); !errors.Is(err, ErrKeyUsed) {
		t.Errorf("by somebody else: %v", err)
	}
	first := s.clock()
	uses := func(want time.Time) {
		t.Helper()
		got, err := s.KeyUses(ctx, []domain.ID{id, never, uuid.New()})
		if err != nil || !maps.Equal(got, map[domain.ID]time.Time{id: want}) {
			t.Errorf("%v, %v, not %s", got, err, want)
		}
	}
	for _, c := range []struct {
		later time.Duration
		want  time.Time
	}{{seenEvery - time.Second, first}, {time.Second, first.Add(seenEvery)}} {
		*now = now.Add(c.later)
		if _, err := s.Key(ctx, token); err != nil {
			t.Error(err)
		}
		uses(c.want)
	}
	if err := s.RevokeKey(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeKey(ctx, id); err != nil {
		t.Errorf("twice: %v", err)
	}
	if _, err := s.Key(ctx, token); !errors.Is(err, ErrKey) {
		t.Errorf("revoked: %v", err)
	}
	uses(first.Add(seenEvery))
	early := uuid.New()
	if err := s.RevokeKey(ctx, early); err != nil {
		t.Fatal(err)
	}
	for _, id := range []domain.ID{id, early} {
		if _, err := s.NewKey(ctx, id, owner, time.Time{}); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("revived: %v", err)
		}
	}
}

func TestKeyExpiry(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ends := now.Add(time.Hour)
	token, err := s.NewKey(t.Context(), uuid.New(), uuid.New(), ends)
	if err != nil {
		t.Fatal(err)
	}
	*now = ends.Add(-time.Millisecond)
	if _, err := s.Key(t.Context(), token); err != nil {
		t.Errorf("just before it expires: %v", err)
	}
	*now = ends
	if _, err := s.Key(t.Context(), token); !errors.Is(err, ErrKey) {
		t.Errorf("as it expires: %v", err)
	}
}

// TestMistypedKeys: a token with a slip is refused without asking the database, and one
// with a right checksum and a wrong secret by it.
func TestMistypedKeys(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	token, err := s.NewKey(ctx, uuid.New(), uuid.New(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != 69 || !IsKey(token) || IsKey(newSecret(sessionPrefix)) || strings.Trim(token, base62+"_") != "" {
		t.Fatalf("form of %s", token)
	}
	closed, err := pgxpool.New(ctx, s.db.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	offline := &Store{db: closed, now: s.now}
	if _, err := offline.Key(ctx, token); err == nil || errors.Is(err, ErrKey) {
		t.Fatalf("the right one needs the database: %v", err)
	}
	for i := range token {
		for _, c := range []byte{'0', 'z', '_', 0, 0xff} {
			slip := token[:i] + string([]byte{c}) + token[i+1:]
			if slip == token {
				continue
			}
			if _, err := offline.Key(ctx, slip); !errors.Is(err, ErrKey) {
				t.Errorf("%q: %v", slip, err)
			}
		}
		if i > 0 && token[i] != token[i-1] {
			swapped := token[:i-1] + token[i:i+1] + token[i-1:i] + token[i+1:]
			if _, err := offline.Key(ctx, swapped); !errors.Is(err, ErrKey) {
				t.Errorf("%q: %v", swapped, err)
			}
		}
	}
	for _, x := range []string{"", "annals_", token[:68], token + "x", " " + token, strings.Repeat("x", 1<<16)} {
		if _, err := offline.Key(ctx, x); !errors.Is(err, ErrKey) {
			t.Errorf("%.80q: %v", x, err)
		}
	}
	if _, err := s.Key(ctx, token); err != nil {
		t.Fatal(err)
	}
	forge := func(body string) string { return body + checksum(body) }
	other, _, _ := newKey()
	mixed := token[:len(keyPrefix)+keyIDLen] + other[len(keyPrefix)+keyIDLen:keyLen-keyChecksum]
	for _, x := range []string{other, forge(mixed), forge(keyPrefix + "0189ABCDEFGH" + token[19:63])} {
		if _, err := s.Key(ctx, x); !errors.Is(err, ErrKey) {
			t.Errorf("forged %q: %v", x, err)
		}
	}
}

// TestEncode62 holds the encoding to what math/big does in that base.
func TestEncode62(t *testing.T) {
	t.Parallel()
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for _, n := range []*big.Int{big.NewInt(0), big.NewInt(61), big.NewInt(62), most} {
		got := encode62(n, keySecret)
		// math/big's digits are 0-9a-zA-Z, ours 0-9A-Za-z.
		swapped := strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z':
				return r - 'a' + 'A'
			case r >= 'A' && r <= 'Z':
				return r - 'A' + 'a'
			}
			return r
		}, got)
		back, ok := new(big.Int).SetString(swapped, 62)
		if !ok || back.Cmp(n) != 0 || len(got) != keySecret {
			t.Errorf("%s became %s", n, got)
		}
	}
	if sum := checksum("123456789"); crc32.ChecksumIEEE([]byte("123456789")) != 0xcbf43926 || len(sum) != keyChecksum {
		t.Errorf("checksum %s", sum)
	}
}

// TestKeyRace: a secret is either used or replaced: who replaces it when it was used is
// told so.
func TestKeyRace(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx, owner := t.Context(), uuid.New()
	for range 20 {
		id := uuid.New()
		token, err := s.NewKey(ctx, id, owner, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var used, replaced error
		wg.Go(func() { _, used = s.Key(ctx, token) })
		wg.Go(func() { _, replaced = s.NewKey(ctx, id, owner, time.Time{}) })
		wg.Wait()
		if (used == nil) == (replaced == nil) || used != nil && !errors.Is(used, ErrKey) || replaced != nil && !errors.Is(replaced, ErrKeyUsed) {
			t.Errorf("used: %v, replaced: %v", used, replaced)
		}
	}
}
