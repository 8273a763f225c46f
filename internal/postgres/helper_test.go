package postgres

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain lets the test binary be the process that a test kills, or runs as another user.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_POSTGRES_HELPER"); dir != "" {
		os.Exit(helper(dir))
	}
	os.Exit(m.Run())
}

// helper runs a server, prints its URL, and closes it at the end of its input.
func helper(dir string) int {
	s, err := Start(context.Background(), Config{Dir: dir})
	if err != nil {
		os.Stdout.WriteString("error: " + err.Error() + "\n")
		return 1
	}
	os.Stdout.WriteString(s.URL() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Close(context.Background()); err != nil {
		os.Stdout.WriteString("error: " + err.Error() + "\n")
		return 1
	}
	return 0
}

// another starts a helper, and answers the URL of its server. Whatever happens, its server is gone when the test ends.
func another(t *testing.T, dir string, change func(*exec.Cmd)) (url string, cmd *exec.Cmd, stdin io.Closer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe)
	cmd.Env = append(os.Environ(), "TEST_POSTGRES_HELPER="+dir)
	if change != nil {
		change(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		if pid := postmaster(dir); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("helper: %v: %s", err, line)
	}
	return strings.TrimSpace(line), cmd, in
}

// temp is a folder like an operator's: the Go test's own is closed to other users.
func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "annals-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs a server for the test, with whatever it logs at hand.
func start(t *testing.T, cfg Config) (*Server, *journal) {
	t.Helper()
	j := &journal{t: t, news: make(chan struct{}, 1)}
	cfg.Logger = slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, j
}

// journal is a log that a test can wait on.
type journal struct {
	t    *testing.T
	mu   sync.Mutex
	buf  bytes.Buffer
	news chan struct{}
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default:
	}
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// awaitRestart waits until PostgreSQL is back that had died.
func (j *journal) awaitRestart() {
	const what = "ready again"
	j.t.Helper()
	for !strings.Contains(j.String(), what) {
		select {
		case <-j.news:
		case <-time.After(20 * time.Second):
			j.t.Fatalf("never logged %q:\n%s", what, j)
		}
	}
}

func query[T any](t *testing.T, url, sql string, args ...any) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func run(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// postmaster is the process that serves dir, or 0.
func postmaster(dir string) int {
	pids := processes(place{base: dir}.isPostmaster)
	if len(pids) == 0 {
		return 0
	}
	return pids[0]
}
