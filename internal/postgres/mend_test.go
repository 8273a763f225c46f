package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestStartsAfterALostRollback: PostgreSQL by itself never starts again after this.
func TestStartsAfterALostRollback(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, log := start(t, Config{Dir: dir, Settings: map[string]string{"wal_writer_delay": "10s"}})
	run(t, s.URL(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1); CREATE UNLOGGED TABLE scratch (n int); INSERT INTO scratch VALUES (1)")
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; CREATE UNLOGGED TABLE gone (n int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	run(t, s.URL(), "CREATE TABLE other (n int)") // its commit has what was made so far be in the log
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	log.awaitRestart()
	if !strings.Contains(log.String(), "removed what is left of an unlogged table") {
		t.Errorf("nothing was in the way:\n%s", log)
	}
	if n := query[int64](t, s.URL(), "SELECT count(*) FROM kept"); n != 1 {
		t.Error("a row was lost")
	}
	if n := query[int64](t, s.URL(), "SELECT count(*) FROM scratch"); n != 0 {
		t.Error("what was unlogged is not empty")
	}
}

// TestMendsNothingElse: only the main file of what is unlogged is ever removed.
func TestMendsNothingElse(t *testing.T) {
	t.Parallel()
	p := place{dir: temp(t), base: temp(t)}
	if err := os.MkdirAll(filepath.Join(p.data(), "base/1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"base/1/2", "base/1/3", "base/1/3_init", "base/1/4_init"} {
		if err := os.WriteFile(filepath.Join(p.data(), name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for said, want := range map[string]string{
		"":                         "",
		"FATAL:  the disk is full": "",
		`FATAL:  could not create file "base/1/2": File exists`:              "",
		`FATAL:  could not create file "base/1/../1/3": File exists`:         "",
		`FATAL:  could not create file "pg_wal/000000010000": File exists`:   "",
		`FATAL:  could not create file "base/1/3": Permission denied`:        "",
		`FATAL:  could not create file "base/1/3": File exists` + "\nLOG: x": "base/1/3",
	} {
		got, err := p.mend(said)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", said, got, err)
		}
		for _, name := range []string{"base/1/2", "base/1/3", "base/1/3_init", "base/1/4_init"} {
			if _, err := os.Stat(filepath.Join(p.data(), name)); (err != nil) != (name == want) {
				t.Errorf("%s: %s: %v", said, name, err)
			}
		}
		if want != "" {
			if err := os.WriteFile(filepath.Join(p.data(), want), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestNumbersAreNotGivenOutAgain: what PostgreSQL does after a crash with wal_level minimal, when the first number of
// a sequence was taken in the transaction that made it, as River's migrations do.
func TestNumbersAreNotGivenOutAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, log := start(t, Config{Dir: dir})
	run(t, s.URL(), "BEGIN; CREATE TABLE numbered (id bigserial PRIMARY KEY); INSERT INTO numbered DEFAULT VALUES; COMMIT")
	run(t, s.URL(), "INSERT INTO numbered DEFAULT VALUES")
	if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	log.awaitRestart()
	run(t, s.URL(), "INSERT INTO numbered DEFAULT VALUES")
	if n := query[int64](t, s.URL(), "SELECT count(*) FROM numbered"); n != 3 {
		t.Errorf("%d rows", n)
	}
}
