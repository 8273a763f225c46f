// Package pgtest gives a test an empty database on a real PostgreSQL.
//
// The server is started when a test process first asks, in a temporary folder, and lives as
// long as the process: a shell that holds the other end of a pipe stops it and removes
// the folder when the pipe closes, however the process ended. TestNothingIsLeftBehind proves it.
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
func Database(tb testing.TB) string {
	tb.Helper()
	return database(tb, quick)
}

// Durable is [Database] on a second server, which flushes to disk like one in production: for benchmarks.
func Durable(tb testing.TB) string {
	tb.Helper()
	return database(tb, durable)
}

func database(tb testing.TB, server func() (string, error)) string {
	tb.Helper()
	base := os.Getenv(Env)
	if base == "" {
		var err error
		if base, err = server(); err != nil {
			tb.Fatalf("pgtest: %v", err)
		}
	}
	return create(tb, base)
}

func create(tb testing.TB, base string) string {
	tb.Helper()
	u, err := url.Parse(base)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		tb.Fatalf("pgtest: %s is not a postgres:// URL", Env) // it may hold a password
	}
	name := databaseName(tb.Name())
	// template0, because nobody can be connected to it.
	if err := execute(base, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		tb.Fatalf("pgtest: create a database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("pgtest: drop the database: %v", err)
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

// The servers are started once a process, each when it is first asked for.
var (
	quick   = sync.OnceValues(func() (string, error) { return start("off") })
	durable = sync.OnceValues(func() (string, error) { return start("on") })
)

// watch runs the server, once it is told that the cluster is made, until its standard input closes, which the kernel
// does when the test process ends. A server that does not stop at once is killed; its folder goes with it.
const watch = `
dir=$1; shift
cd "$dir" || exit 1
if read -r _; then
	"$@" </dev/null >log 2>&1 &
	pid=$!
	while read -r _; do :; done
	kill -QUIT $pid 2>/dev/null
	(sleep 10; kill -KILL $pid) >/dev/null 2>&1 &
	guard=$!
	wait $pid
	kill $guard 2>/dev/null
fi
cd /
for try in 1 2 3 4 5 6 7 8 9; do
	rm -rf "$dir" 2>/dev/null && break
	sleep 1 # an initdb that lost its parent is writing yet
done
`

func start(fsync string) (base string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	bindir, err := postgres.Find(ctx)
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
	data := filepath.Join(dir, "data")
	args := []string{"-c", watch, "pgtest", dir, filepath.Join(bindir, "postgres"), "-D", data}
	for _, set := range []string{
		"listen_addresses=", "unix_socket_directories=" + dir, "max_connections=300",
		"fsync=" + fsync, "synchronous_commit=" + fsync, "full_page_writes=" + fsync, "jit=off",
		"shared_buffers=128MB", "max_wal_size=512MB", "timezone=UTC", "log_timezone=UTC",
	} {
		args = append(args, "-c", set)
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec,noctx // the operator's own PostgreSQL; it ends with the process
	cmd.Env = postgres.Environ()
	cmd.Dir = "/"
	cmd.SysProcAttr = account.SysProcAttr()
	// Never closed while it works: the end of the process closes it.
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if err := cmd.Start(); err != nil {
		return "", errors.Join(fmt.Errorf("start PostgreSQL as user %s: %w", account.Name, err), os.RemoveAll(dir))
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log says why
		close(exited)
	}()
	defer func() {
		if err != nil {
			_ = pipe.Close()
		}
	}()
	if err := postgres.InitDB(ctx, bindir, data, account, "--no-sync", "--no-instructions"); err != nil {
		return "", err
	}
	if _, err := pipe.Write([]byte("go\n")); err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	base = "postgres:///postgres?" + url.Values{"host": {dir}, "port": {"5432"}, "user": {"postgres"}, "sslmode": {"disable"}}.Encode()
	for {
		err := execute(base, "SELECT 1")
		if err == nil {
			return base, nil
		}
		log, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:gosec // ours
		select {
		case <-ctx.Done():
		case <-exited:
		case <-time.After(10 * time.Millisecond):
			if ended, _ := filepath.Glob(data + "/postmaster.pid"); len(ended) > 0 || len(log) == 0 {
				continue
			}
		}
		return "", fmt.Errorf("start PostgreSQL: %w\n%s", err, log)
	}
}

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
