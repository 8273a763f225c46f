package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStartsKeepsDataAndStops(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "data", "postgres")
	s, log := start(t, Config{Dir: dir, Settings: map[string]string{"work_mem": "7MB"}})
	if err := s.Ping(t.Context()); err != nil || s.Err() != nil {
		t.Fatal(err, s.Err())
	}
	run(t, s.URL(), "CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gin; CREATE SCHEMA a; CREATE TABLE a.b AS SELECT 'Ä' c")
	for sql, want := range map[string]string{
		"SHOW fsync": "on", "SHOW work_mem": "7MB", "SHOW data_checksums": "on", "SHOW server_encoding": "UTF8",
		"SELECT lower(c) FROM a.b": "ä", "SELECT current_user": "annals", "SELECT current_database()": "annals",
		"SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user":   "false",
		"SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname='annals'": "SCRAM-SHA-256",
	} {
		url := s.URL()
		if strings.Contains(sql, "authid") {
			url = s.endpoint.url("postgres", superuserSecret(s.secret), "annals")
		}
		if got := query[string](t, url, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	if _, err := pgx.Connect(t.Context(), s.endpoint.url("annals", "wrong", "annals")); err == nil {
		t.Error("a wrong password lets in")
	}
	pid := s.proc.pid
	secret := s.secret
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the server lives on")
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed server answers")
	}
	// No secret in a log, and the right modes.
	said, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String()+string(said), secret) {
		t.Error("the password is in a log")
	}
	for _, name := range []string{"password", "endpoint", "log", "lock"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != 0o600 {
			t.Error(name, st.Mode())
		}
	}

	s, _ = start(t, Config{Dir: dir})
	if got := query[string](t, s.URL(), "SELECT c FROM a.b"); got != "Ä" {
		t.Error(got)
	}
	// A custom.conf wins at the next start, and a lost role comes back.
	if err := os.WriteFile(filepath.Join(dir, "custom.conf"), []byte("work_mem = 9MB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, s.endpoint.url("postgres", superuserSecret(s.secret), "annals"), "ALTER ROLE annals PASSWORD 'other'")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir})
	if got := query[string](t, s.URL(), "SHOW work_mem"); got != "9MB" {
		t.Error(got)
	}
	// A cluster of an earlier version has no role for readers.
	run(t, s.endpoint.url("postgres", superuserSecret(s.secret), "annals"), "DROP ROLE "+Reader+", "+Finder)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir})
	if got := query[string](t, s.URL(), "SELECT pg_has_role('annals', 'annals_finder', 'member')::text"); got != "true" {
		t.Error(got)
	}
}

func TestSecondProcessIsRefusedAndAttaches(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	if _, err := Attach(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "start annals serve") {
		t.Fatal(err)
	}
	url, _, _ := another(t, dir, nil)
	_, err := Start(t.Context(), Config{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "pid ") {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Errorf("attached to another: %s, %s", s.URL(), url)
	}
	if u, err := URLFor(dir); err != nil || u != url {
		t.Error(u, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error("closing an attached server stopped it:", err)
	}
}

func TestDeepPathsAndLoopback(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(temp(t), strings.Repeat("deep-", 20), strings.Repeat("er ", 20)+"Ähm, 'so'")
	s, _ := start(t, Config{Dir: deep})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	short := s.endpoint.Host
	if st, err := os.Stat(short); err != nil {
		t.Error(err)
	} else if st.Mode().Perm() != 0o700 {
		t.Error(short, st.Mode())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(short); err == nil {
		t.Error("the short folder is left behind")
	}
	// A stranger's folder in its place is not used.
	if err := os.Mkdir(short, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(short)
	if err := os.Chmod(short, 0o777); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: deep})
	if s.endpoint.socket() {
		t.Error("listens in a folder that others can write:", s.endpoint)
	}
	url := s.URL()
	if err := s.Ping(t.Context()); err != nil || !strings.Contains(url, "@127.0.0.1:") {
		t.Error(s.endpoint, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: deep, Loopback: true})
	if err := s.Ping(t.Context()); err != nil || s.URL() != url {
		t.Error("another port than last time:", s.endpoint, err)
	}
}

func TestWithoutPostgreSQLTheErrorSaysHow(t *testing.T) {
	t.Setenv("ANNALS_POSTGRES_HIDE", "1")
	t.Setenv("ANNALS_POSTGRES_BIN", "")
	t.Setenv("ANNALS_POSTGRES_CACHE", t.TempDir())
	_, err := Start(t.Context(), Config{Dir: filepath.Join(temp(t), "postgres")})
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Fatal(err)
	}
	t.Setenv("ANNALS_POSTGRES_BIN", t.TempDir())
	if _, err := Find(t.Context()); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "ANNALS_POSTGRES_BIN") {
		t.Fatal(err)
	}
}

func TestDataOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "no PG_VERSION") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "99") {
		t.Error(err)
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	_, err := Start(t.Context(), Config{Dir: dir, Settings: map[string]string{"shared_buffers": "much"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Fatal(err)
	}
	// And the folder is free again.
	s, _ := start(t, Config{Dir: dir})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The log is bounded while it is being written.
	if err := os.Truncate(s.place.logs(), largestLog+1); err != nil {
		t.Fatal(err)
	}
	if err := s.place.boundLog(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(s.place.logs()); err != nil {
		t.Error(err)
	} else if st.Size() != 0 {
		t.Error("it has", st.Size(), "bytes")
	}
}
