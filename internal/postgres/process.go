package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running postmaster: our child, or one that we found.
type process struct {
	pid    int
	ended  <-chan struct{}
	reason func() string // once ended
}

// child reaps the started command.
func child(cmd *exec.Cmd) *process {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the state says it all
	}()
	return &process{pid: cmd.Process.Pid, ended: ended, reason: func() string { return cmd.ProcessState.String() }}
}

// found watches a process that is not our child.
func found(ctx context.Context, pid int) *process {
	return &process{pid: pid, ended: gone(ctx, pid), reason: func() string { return "unknown: it was started by an earlier process" }}
}

// gone closes the channel when the process has ended, or ctx.
func gone(ctx context.Context, pid int) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for alive(pid) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return ended
}

// stop ends a postmaster: sessions are cut and everything is written (SIGINT), or, when that takes too
// long, at once (SIGQUIT, then SIGKILL).
func (p *process) stop(ctx context.Context) error {
	for _, stage := range []struct {
		sig   syscall.Signal
		grace time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		cut := ctx.Done()
		if stage.sig != syscall.SIGINT {
			cut = nil
		}
		select {
		case <-p.ended:
			return nil
		default:
		}
		if err := syscall.Kill(p.pid, stage.sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop PostgreSQL, pid %d: %w", p.pid, err)
		}
		select {
		case <-p.ended:
			return nil
		case <-cut:
		case <-time.After(stage.grace):
		}
	}
	return fmt.Errorf("stop PostgreSQL: pid %d does not end", p.pid)
}

// pidFile is what a postmaster writes into postmaster.pid in its data folder.
type pidFile struct {
	pid      int
	endpoint endpoint
	status   string // "starting", "ready", "stopping"
}

func readPidFile(data string) (pidFile, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid")) //nolint:gosec // ours
	if err != nil {
		return pidFile{}, err
	}
	lines := strings.Split(string(b), "\n")
	for len(lines) < 8 { // it is written in steps
		lines = append(lines, "")
	}
	var f pidFile
	if f.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil {
		return f, fmt.Errorf("postmaster.pid: %w", err)
	}
	if f.pid < 2 { // negative: a server in single-user mode; no pid to send signals to
		return f, fmt.Errorf("postmaster.pid: pid %d", f.pid)
	}
	f.endpoint.Port, _ = strconv.Atoi(strings.TrimSpace(lines[3]))
	if f.endpoint.Host = strings.TrimSpace(lines[4]); f.endpoint.Host == "" {
		f.endpoint.Host = strings.TrimSpace(lines[5])
	}
	f.status = strings.TrimSpace(lines[7])
	return f, nil
}

// isPostmaster recognises the command line of the place's postmaster.
func (p place) isPostmaster(cmdline string) bool {
	args := strings.Split(cmdline, "\x00")
	return strings.HasSuffix(args[0], "postgres") && strings.Contains(cmdline+"\x00", "\x00-D\x00"+p.data()+"\x00")
}

// isBackend recognises a process that the place's postmaster forked, by the cluster's name in its title.
func (p place) isBackend(cmdline string) bool {
	return strings.HasPrefix(cmdline, "postgres: "+p.clusterName()+":")
}

func (p place) clusterName() string { return "annals-" + p.id() }

// clearOrphans ends the backends of a postmaster that was killed: each works until it next looks up, and until then
// its shared memory keeps a new postmaster from starting. A postmaster that could not be adopted goes too.
func (p place) clearOrphans(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		pids := slices.DeleteFunc(processes(func(cmdline string) bool { return p.isBackend(cmdline) || p.isPostmaster(cmdline) }),
			func(pid int) bool { return !alive(pid) })
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end an orphan of the last PostgreSQL, pid %d: %w", pid, err)
			}
		}
		for _, pid := range pids {
			<-gone(ctx, pid)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("orphans of the last PostgreSQL do not end, pids %v", pids)
		}
	}
}

// tail is the last of what the server said since the given size of its log.
func (p place) tail(since int64) string {
	const most = 4096
	f, err := os.Open(p.logs())
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	if st, err := f.Stat(); err == nil {
		since = max(since, st.Size()-most)
	}
	b := make([]byte, most)
	n, _ := f.ReadAt(b, since)
	return string(bytes.TrimSpace(b[:n]))
}

// largestLog bounds the server's log; as much again is kept in log.old.
const largestLog = 8 << 20

// boundLog copies a log that has grown to log.old and empties it, since the server holds it open.
func (p place) boundLog() error {
	st, err := os.Stat(p.logs())
	if err != nil || st.Size() <= largestLog {
		return nil //nolint:nilerr // no log is a small one
	}
	b, err := os.ReadFile(p.logs())
	if err != nil {
		return err
	}
	if err := writeFile(p.logs()+".old", b[max(0, len(b)-largestLog):], 0o600); err != nil {
		return err
	}
	return os.Truncate(p.logs(), 0)
}
