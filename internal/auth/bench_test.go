package auth

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/postgres/pgtest"
)

// BenchmarkWho and BenchmarkKey measure what every request pays, on a server that
// flushes to disk, with as many sessions and keys as 10,000 employees have.
func BenchmarkWho(b *testing.B) {
	s, ids := full(b)
	x, err := s.Start(b.Context(), ids[0], StartOptions{Method: ByPassword})
	if err != nil {
		b.Fatal(err)
	}
	for name, token := range map[string]string{"known": x.Token, "unknown": newSecret(sessionPrefix)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Who(b.Context(), token); (err == nil) != (name == "known") {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	s, ids := full(b)
	token, err := s.NewKey(b.Context(), uuid.New(), ids[0], time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	mistyped := token[:30] + "-" + token[31:]
	for name, token := range map[string]string{"known": token, "mistyped": mistyped} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Key(b.Context(), token); (err == nil) != (name == "known") {
					b.Fatal(err)
				}
			}
		})
	}
}

func full(b *testing.B) (*Store, []domain.ID) {
	b.Helper()
	db, err := pgxpool.New(b.Context(), pgtest.Durable(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	s, err := Open(b.Context(), db, time.Now, testBox(b))
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]domain.ID, 10_000)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for _, sql := range []string{
		`insert into annals_auth.sessions (token_hash, employee_id, expires_at) select sha256((e::text || n)::bytea), e, now() + interval '1 day' from unnest($1::uuid[]) e, generate_series(1, 3) n`,
		`insert into annals_auth.keys (id, key_id, owner_id, secret_hash, created_at) select gen_random_uuid(), 'k' || row_number() over (), e, '\x00', now() from unnest($1::uuid[]) e`,
	} {
		if _, err := db.Exec(b.Context(), sql, ids); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := db.Exec(b.Context(), `analyze annals_auth.sessions, annals_auth.keys`); err != nil {
		b.Fatal(err)
	}
	return s, ids
}
