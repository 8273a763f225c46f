package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"annals/internal/postgres"
	"annals/internal/raced"
)

// patience is how long anything may take before a test gives up on it. It is no measure: what is measured says so.
const patience = 2 * time.Minute

// workDir is a new folder that the user of a private PostgreSQL can reach, and whose path leaves room for a socket.
func workDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "annals-test-") //nolint:usetesting // that one is for our user alone
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// build makes the program as its users have it, but with the race detector where the test has it.
func build(tb testing.TB) string {
	tb.Helper()
	bin := filepath.Join(workDir(tb), "annals")
	args := []string{"build", "-o", bin}
	if raced.On {
		args = append(args, "-race")
	}
	out, err := exec.CommandContext(tb.Context(), "go", append(args, ".")...).CombinedOutput()
	if err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// hermetic is the environment without any setting of ours, and with those given.
func hermetic(set ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANNALS_") {
			env = append(env, v)
		}
	}
	return append(env, set...)
}

// process is a running annals serve.
type process struct {
	cmd   *exec.Cmd
	begun time.Time
	url   string        // once ready
	took  time.Duration // until ready
	ready chan struct{} // closed when it is
	ended chan struct{} // closed when it has ended
	err   error         // how it ended

	out, logs record
}

// launch starts annals serve, and waits for nothing.
func launch(bin string, env []string, args ...string) (*process, error) {
	p := &process{begun: time.Now(), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(bin, append([]string{"serve"}, args...)...)
	p.cmd.Env = env
	p.cmd.Stderr = &p.logs
	p.cmd.WaitDelay = time.Second
	// A pipe of our own, which a PostgreSQL that is left behind does not hold open.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = w
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		lines := bufio.NewScanner(io.TeeReader(r, &p.out))
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok && p.url == "" {
				p.url, p.took = url, time.Since(p.begun)
				close(p.ready)
			}
		}
	}()
	go func() {
		p.err = p.cmd.Wait()
		<-read
		close(p.ended)
	}()
	return p, nil
}

// untilReady waits until it says that it is ready.
func (p *process) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		select {
		case <-p.ready:
			return nil // and ended at once
		default:
		}
		return fmt.Errorf("annals serve ended before it was ready: %w\n%s", p.err, p.logs.tail())
	case <-ctx.Done():
		return fmt.Errorf("annals serve is not ready: %w\n%s", ctx.Err(), p.logs.tail())
	}
}

// untilLogged waits until it has written something on standard error.
func (p *process) untilLogged(ctx context.Context, words string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !strings.Contains(p.logs.String(), words) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-p.ended:
			return fmt.Errorf("annals serve ended before it said %q: %w\n%s", words, p.err, p.logs.tail())
		case <-ctx.Done():
			return fmt.Errorf("annals serve does not say %q\n%s", words, p.logs.tail())
		}
	}
	return nil
}

// stop sends a signal and waits for the end.
func (p *process) stop(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("annals serve does not end by %v\n%s", sig, p.logs.tail())
	}
}

// postmaster is the pid of the private PostgreSQL of a data directory, 0 if there is none.
func postmaster(data string) int {
	b, err := os.ReadFile(filepath.Join(data, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 2 {
		return 0
	}
	// The file of a server that was killed may name another's process by now.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !bytes.Contains(cmdline, []byte(data)) {
		return 0
	}
	return pid
}

// stopLeftBehind ends the PostgreSQL that a killed annals has left behind, as the next annals would take it over.
func stopLeftBehind(data string) error {
	if postmaster(data) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(data, "postgres")})
	if err != nil {
		return err
	}
	return s.Close(ctx)
}

// cleanUp has nothing of a process and its data directory left behind when the test ends.
func (p *process) cleanUp(data string) error {
	return errors.Join(p.stop(syscall.SIGKILL), stopLeftBehind(data))
}

// record is what a process has written, whole; it is safe for concurrent use.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *record) tail() string {
	s := r.String()
	return s[max(0, len(s)-8<<10):]
}
