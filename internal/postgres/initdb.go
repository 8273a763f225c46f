package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// InitDB makes a cluster in dir, which must be absent or empty, below a folder that the account can write.
// The superuser is "postgres" and needs no password on the socket; a server that others can reach sets pg_hba.conf.
//
// The locale is C.UTF-8 where the system has it: characters are classified as Unicode
// (lower('Ä') is 'ä'), and the order is by code point, which no update of the C library changes under an index.
func InitDB(ctx context.Context, bindir, dir string, account Account, args ...string) error {
	in, err := inspect(bindir)
	if err != nil {
		return err
	}
	var out []byte
	for _, locale := range locales(in.major) {
		all := append([]string{"-D", dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--data-checksums"}, locale...)
		out, err = account.command(ctx, filepath.Dir(dir), filepath.Join(bindir, "initdb"), append(all, args...)...).CombinedOutput()
		if err == nil {
			return nil
		}
		if !strings.Contains(string(out), "locale") {
			break
		}
		// initdb removes what it made, but keeps a folder that was there before.
	}
	return fmt.Errorf("initdb in %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
}

// locales lists initdb's arguments, best first.
func locales(major int) [][]string {
	var l [][]string
	if major >= 17 {
		l = append(l, []string{"--locale=C", "--lc-ctype=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"},
			[]string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"})
	}
	return append(l, []string{"--locale=C.UTF-8"}, []string{"--locale=C.utf8"}, []string{"--locale=en_US.UTF-8"}, []string{"--locale=C"})
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
