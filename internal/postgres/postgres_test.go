package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

func (j *journal) await(what string) {
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

func TestTakesOverFromAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	url, cmd, _ := another(t, dir, nil)
	pid := postmaster(dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s, log := start(t, Config{Dir: dir})
	if s.URL() != url || s.proc.pid != pid || !strings.Contains(log.String(), "adopted=true") {
		t.Fatalf("not adopted: %d, was %d\n%s", s.proc.pid, pid, log)
	}
	// An adopted server is watched too.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	log.await("ready again")
	if err := s.Ping(t.Context()); err != nil || s.URL() != url {
		t.Fatal(err)
	}
	pid = s.proc.pid
	if err := s.Close(t.Context()); err != nil || alive(pid) {
		t.Fatal("an adopted server is not stopped:", err)
	}
}

func TestRestartsAKilledServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, log := start(t, Config{Dir: dir})
	url := s.URL()
	run(t, url, "CREATE TABLE a (b int); INSERT INTO a VALUES (1)")
	for range 3 {
		// A backend that is busy outlives its postmaster, and holds its shared memory.
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1e12)")
			ended <- err
		}()
		for query[int64](t, url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 1e12)' AND state = 'active'") == 0 {
		}
		log.mu.Lock()
		log.buf.Reset()
		log.mu.Unlock()
		killed := time.Now()
		if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		log.await("ready again")
		if took := time.Since(killed); took > 5*time.Second {
			t.Errorf("down for %v", took)
		} else {
			t.Logf("down for %v", took)
		}
		if err := <-ended; err == nil {
			t.Error("the orphan went on")
		}
		if n := query[int64](t, url, "SELECT count(*) FROM a"); n != 1 {
			t.Error("lost a row")
		}
	}
	if !strings.Contains(log.String(), "killed") {
		t.Error("no reason logged:", log)
	}
}

func TestStartsAfterBothWereKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	_, cmd, _ := another(t, dir, nil)
	pid := postmaster(dir)
	_ = cmd.Process.Kill()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	_ = cmd.Wait()
	began := time.Now()
	s, log := start(t, Config{Dir: dir})
	if strings.Contains(log.String(), "adopted=true") || s.proc.pid == pid {
		t.Error("adopted a dead one")
	}
	t.Logf("ready after %v", time.Since(began))
}

func TestAPidFileOfSomebodyElseIsNoServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, _ := start(t, Config{Dir: dir})
	file := filepath.Join(s.place.data(), "postmaster.pid")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After a reboot the pid may be another program's of the same user, and PostgreSQL would not start.
	sleeper := s.place.account.command(t.Context(), "/", "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	_, rest, _ := strings.Cut(string(b), "\n")
	if err := os.WriteFile(file, []byte(strconv.Itoa(sleeper.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.place.account.Own(file); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !alive(sleeper.Process.Pid) {
		t.Error("the other program was killed")
	}
}

func TestAnInterruptedInitdbIsThrownAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "TEST_POSTGRES_HELPER="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	helper := child(cmd)
	for { // until initdb is at work
		if half, _ := filepath.Glob(filepath.Join(dir, "init-*", "data", "base")); len(half) > 0 {
			break
		}
		select {
		case <-helper.ended:
			t.Fatal("the helper ended too soon:", helper.reason())
		case <-time.After(time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	<-helper.ended
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Fatal("the cluster is there before it is whole")
	}
	s, _ := start(t, Config{Dir: dir})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "init-*")); len(left) != 0 {
		t.Error("left behind:", left)
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
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
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
