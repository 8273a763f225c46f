package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// InitDB makes a cluster in dir, which must be absent or empty, below a folder that the account can write.
// The superuser is "postgres" and needs no password on the socket; a server that others can reach sets pg_hba.conf.
//
// The locale is C.UTF-8 where the system has it: characters are classified as Unicode
// (lower('Ä') is 'ä'), and the order is by code point, which no update of the C library changes under an index.
func InitDB(ctx context.Context, bindir, dir string, account Account, args ...string) error {
	in, err := inspect(ctx, bindir)
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

// initialise makes the cluster beside its final place and renames it, so that an interrupted one is recognised
// and thrown away.
func (s *Server) initialise(ctx context.Context) error {
	rubbish, err := filepath.Glob(filepath.Join(s.place.base, "init-*"))
	if err != nil {
		return err
	}
	for _, dir := range rubbish {
		// An initdb whose parent was killed may still be writing.
		for _, pid := range processes(func(cmdline string) bool { return strings.Contains(cmdline, dir+"/") }) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			<-gone(ctx, pid)
		}
		if err := removeWritten(ctx, dir); err != nil {
			return fmt.Errorf("remove an interrupted initdb: %w", err)
		}
	}
	dir, err := os.MkdirTemp(s.place.base, "init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the next start tries again
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(superuserSecret(s.secret)+"\n"), 0o600); err != nil {
		return err
	}
	if err := errors.Join(s.place.account.Own(secret), s.place.account.Own(dir)); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := InitDB(ctx, s.bin.dir, data, s.place.account, "-A", "scram-sha-256", "--pwfile="+secret); err != nil {
		return err
	}
	if err := os.Rename(data, s.place.data()); err != nil {
		return err
	}
	return syncDir(s.place.base)
}

// removeWritten removes a folder that somebody may still be writing to: the servers that an initdb runs do not name it,
// and end only when they miss who started them.
func removeWritten(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := os.RemoveAll(dir)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// superuserSecret is the password of the database's superuser, who is used only here. Ours, the application's, does not
// reveal it.
func superuserSecret(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("superuser"))
	return hex.EncodeToString(mac.Sum(nil))
}
