// Package pgtest gives a test an empty database on a real PostgreSQL.
//
// The server is started when a test process first asks, in a temporary folder, and lives as
// long as the process: a shell that holds the other end of a pipe stops it and removes
// the folder when the pipe closes, however the process ended. TestNoOrphans proves it.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/internal/postgres"
)

// Env names the variable with the postgres:// URL of a server to use instead of starting one. Its user must
// have the right to create databases.
const Env = "ANNALS_TEST_DATABASE"

// Database answers the postgres:// URL of a new, empty database, which is dropped when the test ends. The
// server does not flush to disk. The test fails, and is never skipped, when there is no server to be had.
func Database(t testing.TB) string {
	t.Helper()
	base := os.Getenv(Env)
	if base == "" {
		var err error
		if base, err = server(); err != nil {
			t.Fatalf("pgtest: %v", err)
		}
	}
	return create(t, base)
}

func create(t testing.TB, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		t.Fatalf("pgtest: %s is not a postgres:// URL", Env) // it may hold a password
	}
	name := databaseName(t.Name())
	// template0, because nobody can be connected to it.
	if err := execute(base, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: drop the database: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

func execute(base, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	_, err = conn.Exec(ctx, sql)
	return err
}

// databaseName tells in pg_stat_activity which test it is, and is unique.
func databaseName(test string) string {
	test = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, test)
	return fmt.Sprintf("t_%.40s_%s", test, strings.ToLower(rand.Text()[:12]))
}

// server is started once a process.
var server = sync.OnceValues(start)

// watch runs the server until its standard input closes, which the kernel does when the test process ends.
// A server that does not stop at once is killed; its folder goes with it.
const watch = `
dir=$1; shift
cd "$dir" || exit 1
"$@" </dev/null >"$dir/log" 2>&1 &
pid=$!
while read -r _; do :; done
kill -QUIT $pid 2>/dev/null
(sleep 10; kill -KILL $pid 2>/dev/null) & guard=$!
wait $pid
kill $guard 2>/dev/null
cd / && rm -rf "$dir"
`

func start() (base string, err error) {
	bindir, err := postgres.Find()
	if err != nil {
		return "", err
	}
	account, err := postgres.AccountFor("")
	if err != nil {
		return "", err
	}
	dir, err := tempDir(account)
	if err != nil {
		return "", err
	}
	watching := false
	defer func() {
		if !watching {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	data := filepath.Join(dir, "data")
	if err := postgres.InitDB(ctx, bindir, data, account, "--no-sync", "--no-instructions"); err != nil {
		return "", err
	}
	args := []string{"-c", watch, "pgtest", dir, filepath.Join(bindir, "postgres"), "-D", data}
	for _, set := range []string{
		"listen_addresses=", "unix_socket_directories=" + dir, "max_connections=300",
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off",
		"shared_buffers=64MB", "max_wal_size=512MB", "timezone=UTC", "log_timezone=UTC",
		"max_prepared_transactions=10", "autovacuum_naptime=10s",
	} {
		args = append(args, "-c", set)
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec // the operator's own PostgreSQL
	cmd.Env = postgres.Environ()
	cmd.Dir = "/"
	cmd.SysProcAttr = account.SysProcAttr()
	// Held, never closed: the end of the process closes it.
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	held, watching = pipe, true
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	base = "postgres:///postgres?" + url.Values{"host": {dir}, "user": {"postgres"}, "sslmode": {"disable"}}.Encode()
	for {
		err := execute(base, "SELECT 1")
		if err == nil {
			return base, nil
		}
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		select {
		case <-ctx.Done():
		case <-exited:
		case <-time.After(10 * time.Millisecond):
			if !strings.Contains(string(log), "FATAL") {
				continue
			}
		}
		_ = pipe.Close()
		return "", fmt.Errorf("start PostgreSQL: %w\n%s", err, log)
	}
}

// held keeps the pipe from the garbage collector, whose finalizer would close it.
var held any

// tempDir makes a folder that only the account and root can enter.
func tempDir(account postgres.Account) (string, error) {
	parent := os.TempDir()
	if st, err := os.Stat(parent); os.Geteuid() == 0 && (err != nil || st.Mode()&0o001 == 0) || len(parent) > 60 {
		parent = "/tmp" // the account cannot enter root's own, and the path of a socket is short
	}
	dir, err := os.MkdirTemp(parent, "annals-pgtest-")
	if err != nil {
		return "", err
	}
	return dir, account.Own(dir)
}
