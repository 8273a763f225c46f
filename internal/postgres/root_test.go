package postgres

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The tests in this file are about root. An ordinary user, for whom they cannot be, runs the same
// steps as itself: its own folders, mode 0700, and itself as the server's user.

// TestBelowAClosedFolder is a clone in /root, or in a folder of mktemp.
func TestBelowAClosedFolder(t *testing.T) {
	t.Parallel()
	closed := temp(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	s, log := start(t, Config{Dir: filepath.Join(closed, "clone", "data", "postgres"), refuge: temp(t)})
	if moved := s.place.base != s.place.dir; moved != (os.Geteuid() == 0 && !mayPass(t)) {
		t.Fatalf("the data went elsewhere: %v\n%s", moved, log)
	}
	run(t, s.URL(), "CREATE TABLE a (b int); INSERT INTO a VALUES (1)")
	uid, _, err := owner(s.place.data())
	if err != nil || uid == 0 || uid != s.place.account.UID {
		t.Errorf("runs as %d: %v", uid, err)
	}
}

// mayPass tells whether root has the capability at all: in many containers it has not.
func mayPass(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), "CapEff:\t")
	bits, err := strconv.ParseUint(strings.TrimSpace(rest[:16]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bits&(1<<2) != 0
}

// TestWithoutTheCapability is a container that lets root hand down nothing.
func TestWithoutTheCapability(t *testing.T) {
	t.Parallel()
	closed, refuge := temp(t), temp(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(closed, "postgres"), refuge: refuge, noCapability: true}
	s, log := start(t, cfg)
	if moved := s.place.base != s.place.dir; moved != (os.Geteuid() == 0) {
		t.Fatalf("moved: %v\n%s", moved, log)
	}
	if os.Geteuid() == 0 && !strings.Contains(log.String(), "its data goes elsewhere") {
		t.Error("moved in silence")
	}
	query[string](t, s.URL(), "SELECT 'ok'")
	base := s.place.base
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It stays there, also where the capability is to be had.
	cfg.noCapability = false
	s, _ = start(t, cfg)
	if s.place.base != base {
		t.Error("a second cluster in", s.place.base)
	}
}

// TestAsAnOrdinaryUser starts as one, then as root on the same folder, and again as the user.
func TestAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	dir := temp(t)
	account, err := AccountFor("")
	if err != nil {
		t.Fatal(err)
	}
	if err := account.Own(dir); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "annals") // go test's own copy is in a closed folder
	copyFile(t, exe)
	asUser := func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = exe, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if account.other {
			cmd.SysProcAttr.Credential = account.SysProcAttr().Credential
		}
	}
	data := filepath.Join(dir, "data", "postgres")
	for _, change := range []func(*exec.Cmd){asUser, nil, asUser} {
		url, cmd, stdin := another(t, data, change)
		query[string](t, url, "SELECT 'ok'")
		uid, _, err := owner(filepath.Join("/proc", strconv.Itoa(postmaster(data))))
		if err == nil && uid != account.UID {
			t.Errorf("runs as %d: %v", uid, err)
		}
		if err := stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, to string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
