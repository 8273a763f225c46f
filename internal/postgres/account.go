package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Account is the ordinary user of the operating system that PostgreSQL runs as: it refuses to run as root.
type Account struct {
	Name     string
	UID, GID int
	// other: it is not the user of this process, which is root and can become it.
	other bool
	// passage: its processes may pass folders that are closed to it (see passThrough).
	passage bool
}

// AccountFor answers the current user, or, when that is root, the first that exists of
// name (if given), "postgres" and "nobody".
func AccountFor(name string) (Account, error) {
	if os.Geteuid() != 0 {
		a := Account{UID: os.Geteuid(), GID: os.Getegid(), Name: strconv.Itoa(os.Geteuid())}
		if u, err := user.LookupId(a.Name); err == nil {
			a.Name = u.Username
		}
		return a, nil
	}
	names := []string{"postgres", "nobody"}
	if name != "" {
		names = []string{name}
	}
	var errs []error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return Account{}, fmt.Errorf("user %s: %w", name, err)
		}
		if uid == 0 {
			return Account{}, fmt.Errorf("user %s is root, which PostgreSQL refuses", name)
		}
		return Account{Name: name, UID: uid, GID: gid, other: true}, nil
	}
	return Account{}, fmt.Errorf("a user to run PostgreSQL as, because it refuses root: %w", errors.Join(errs...))
}

// Own gives the file or folder to the account.
func (a Account) Own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, a.UID, a.GID)
}

// SysProcAttr starts a process as the account, in a session of its own, so that a signal to our
// process group (Ctrl-C) does not reach it.
func (a Account) SysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.other {
		attr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)} //nolint:gosec // ids fit
		if a.passage {
			passThrough(attr)
		}
	}
	return attr
}

// Environ is our environment without the variables that would steer PostgreSQL, and with messages in
// English, which we read.
func Environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG") ||
			strings.HasPrefix(kv, "ANNALS_") { // secrets have no business there
			continue
		}
		env = append(env, kv)
	}
	return append(env, "LC_ALL=C", "TZ=UTC")
}

// command runs a program as the account. It goes through the shell so that it can start in a folder, and
// execute a file, that only the capability given to the child lets it reach: the kernel makes an ambient
// capability effective at exec, hence after the first change of folder.
func (a Account) command(ctx context.Context, folder, program string, args ...string) *exec.Cmd {
	all := append([]string{"-c", `cd "$0" && exec "$@"`, folder, program}, args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", all...) //nolint:gosec // the operator's own PostgreSQL
	cmd.Env = Environ()
	cmd.Dir = string(os.PathSeparator)
	cmd.SysProcAttr = a.SysProcAttr()
	return cmd
}
