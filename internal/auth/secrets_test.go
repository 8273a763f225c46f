package auth

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/postgres/pgtest"
)

// tables are those of the schema.
func tables(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.db.Query(t.Context(), `select tablename from pg_tables where schemaname = 'annals_auth' order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(out) < 7 {
		t.Fatal(out, err)
	}
	return out
}

// TestNothingInClear looks for everything that proves something in all columns of all
// tables, as text and as bytes.
func TestNothingInClear(t *testing.T) {
	t.Parallel()
	s, now := open(t)
	ctx, id := t.Context(), employed(t, s, "ann@example.com")
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	factor, codes := enabled(t, s, now, id)
	pendingFactor, err := s.BeginTOTP(ctx, employed(t, s, "bob@example.com"), "bob@example.com")
	fatal(err)
	fatal(s.ChangePassword(ctx, id, password, another, nothing))
	from := netip.MustParseAddr("2001:db8::7")
	session, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: another, Code: s.code(t, factor, 0), IP: here})
	fatal(err)
	key, err := s.NewKey(ctx, uuid.New(), id, time.Time{})
	fatal(err)
	_, err = s.Key(ctx, key)
	fatal(err)
	link, _, err := s.RequestReset(ctx, "ann@example.com")
	fatal(err)
	if _, err := s.SignIn(ctx, Attempt{Email: "guessed-at@example.com", Password: "a guess that failed", IP: from}); !errors.Is(err, ErrSignIn) {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range tables(t, s) {
		var text string
		fatal(s.db.QueryRow(ctx, `select coalesce(string_agg(x::text, E'\n'), '') from annals_auth.`+table+` x`).Scan(&text))
		if text == "" {
			t.Errorf("nothing in %s to look through", table)
		}
		all.WriteString(text)
	}
	dump := all.String()
	if !strings.Contains(dump, "ann@example.com") {
		t.Fatal("the dump misses what is there")
	}
	secrets := []string{
		password, another, "a guess that failed", "guessed-at@example.com", from.String(),
		session.Token, strings.TrimPrefix(session.Token, sessionPrefix), link.Token, strings.TrimPrefix(link.Token, resetPrefix),
		key, key[len(keyPrefix)+keyIDLen+1:], key[len(keyPrefix)+keyIDLen+1 : keyLen-keyChecksum],
		factor.Secret, pendingFactor.Secret,
	}
	for _, f := range []TOTP{factor, pendingFactor} {
		raw, err := base32.StdEncoding.DecodeString(f.Secret)
		fatal(err)
		secrets = append(secrets, string(raw))
	}
	for _, token := range []string{strings.TrimPrefix(session.Token, sessionPrefix), strings.TrimPrefix(link.Token, resetPrefix)} {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		fatal(err)
		secrets = append(secrets, string(raw))
	}
	for _, code := range codes {
		plain := plainCode(code)
		raw, err := lowerBase32.DecodeString(plain)
		fatal(err)
		secrets = append(secrets, code, plain, string(raw))
	}
	for _, secret := range secrets {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(strings.ToLower(dump), strings.ToLower(form)) {
				t.Errorf("%q is in the tables as %q", secret, form)
			}
		}
	}
}

// TestOtherRoles: a role that is given nothing here, as the one that readers have, gets at
// nothing, whatever the defaults of the database are.
func TestOtherRoles(t *testing.T) {
	t.Parallel()
	db, err := pgxpool.New(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The worst that an administrator may have set up.
	if _, err := db.Exec(t.Context(), `alter default privileges grant all on tables to public; alter default privileges grant all on schemas to public`); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), db, time.Now, testBox(t))
	if err != nil {
		t.Fatal(err)
	}
	role := "reader_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	tx, err := s.db.Begin(t.Context()) // rolled back: roles belong to the whole server
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), `create role `+role); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables(t, s) {
		var some bool
		if err := tx.QueryRow(t.Context(), `select has_table_privilege($1, oid, 'select, insert, update, delete, truncate, references, trigger')
			or has_any_column_privilege($1, oid, 'select, insert, update, references')
			from pg_class where oid = ('annals_auth.' || $2)::regclass`, role, table).Scan(&some); err != nil || some {
			t.Errorf("%s: rights %v, %v", table, some, err)
		}
	}
	if _, err := tx.Exec(t.Context(), `set local role `+role); err != nil {
		t.Fatal(err)
	}
	denied := func(sql string) {
		t.Helper()
		inner, err := tx.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer inner.Rollback(t.Context())
		_, err = inner.Exec(t.Context(), sql)
		if e, _ := errors.AsType[*pgconn.PgError](err); e == nil || e.Code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, table := range tables(t, s) {
		denied(`select from annals_auth.` + table)
		denied(`delete from annals_auth.` + table)
	}
	denied(`create table annals_auth.mine ()`)
}

// TestUpgrade: a database of the version before opens, and who was signed in stays so.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := pgxpool.New(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(ctx, `
create schema annals_auth;
create table annals_auth.credentials (
	employee_id uuid primary key,
	email_key   text not null unique,
	password    text not null,
	updated_at  timestamptz not null default now()
);
create table annals_auth.sessions (
	token_hash  bytea primary key,
	employee_id uuid not null,
	created_at  timestamptz not null default now(),
	expires_at  timestamptz not null
);
create index sessions_expiry on annals_auth.sessions (expires_at);`); err != nil {
		t.Fatal(err)
	}
	hash, err := hashPassword(ctx, password)
	if err != nil {
		t.Fatal(err)
	}
	id, token := uuid.New(), newSecret(sessionPrefix)
	if _, err := db.Exec(ctx, `insert into annals_auth.credentials (employee_id, email_key, password) values ($1, 'ann@example.com', $2)`, id, hash); err != nil {
		t.Fatal(err)
	}
	old := `insert into annals_auth.sessions (token_hash, employee_id, created_at, expires_at) values ($1, $2, now(), now() + interval '12 hours')`
	if _, err := db.Exec(ctx, old, hashToken(token), id); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := Open(ctx, db, time.Now, testBox(t))
		if err != nil {
			t.Fatal(err)
		}
		if x, err := s.Who(ctx, token); err != nil || x.Employee != id || x.ID == uuid.Nil {
			t.Errorf("%+v, %v", x, err)
		}
		if x, err := s.SignIn(ctx, Attempt{Email: "ann@example.com", Password: password}); err != nil || x.Employee != id {
			t.Errorf("%+v, %v", x, err)
		}
		// A process of the version before may still be running.
		if _, err := db.Exec(ctx, old, hashToken(newSecret(sessionPrefix)), id); err != nil {
			t.Error(err)
		}
	}
}
