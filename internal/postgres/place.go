package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// place is the layout of the folder.
//
//	dir/lock            flock'ed by the process that runs the server
//	dir/password        0600
//	dir/endpoint        where the server listens, for other local processes
//	dir/location        the other folder that is the base, if the server's user cannot reach dir
//	base/data           the cluster, of the server's user
//	base/run            the socket, of the server's user
//	base/log, log.old   what the server says
//	base/postgresql.conf, custom.conf
//
// Configuration and log are not inside data: as root we write them, and must not follow a link that the
// server's user could put there.
type place struct {
	dir, base string
	account   Account
}

func (p place) data() string { return filepath.Join(p.base, "data") }
func (p place) run() string  { return filepath.Join(p.base, "run") }
func (p place) logs() string { return filepath.Join(p.base, "log") }

// id is a short name for the place that is the same in every process.
func (p place) id() string { return pathID(p.base) }

func pathID(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:6])
}

// makeDir creates the folder and answers its real, absolute path.
func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// Others may pass through, not look: the server's user is another when we are root.
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// acquire takes the lock of the folder, which the kernel releases when the process ends.
func acquire(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // ours
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	// One who only asks (held) has it for a moment.
	for try := 0; try < 20 && errors.Is(err, syscall.EWOULDBLOCK); try++ {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		holder := make([]byte, 20)
		n, _ := f.Read(holder)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (pid %s)", ErrInUse, bytes.TrimSpace(holder[:n]))
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // only for the message above
	}
	return f, inherit(dir, f.Name())
}

// held tells whether some process has the lock.
func held(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "lock")) //nolint:gosec // ours
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	// Shared: two who ask at once do not see each other.
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// inherit gives a file that root made to the owner of the folder, who may run annals as well.
func inherit(dir, file string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := owner(dir)
	if err != nil {
		return err
	}
	return os.Lchown(file, uid, gid)
}

func owner(path string) (uid, gid int, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("owner of %s: unknown", path)
	}
	return int(sys.Uid), int(sys.Gid), nil
}

// settle finds the user and the base, and makes sure that the one can work in the other.
func (p *place) settle(ctx context.Context, cfg Config, log *slog.Logger) error {
	p.base = p.dir
	moved, err := os.ReadFile(filepath.Join(p.dir, "location"))
	if err == nil {
		p.base = strings.TrimSpace(string(moved))
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if p.account, err = AccountFor(cfg.User); err != nil {
		return err
	}
	uid, gid, err := owner(p.data())
	fresh := errors.Is(err, os.ErrNotExist)
	switch {
	case fresh:
	case err != nil:
		return err
	case uid == p.account.UID:
	case os.Geteuid() != 0:
		return fmt.Errorf("the data belongs to the user with id %d, and this is user %s: start annals as that user or as root", uid, p.account.Name)
	case uid != 0 && cfg.User == "":
		p.account = Account{Name: strconv.Itoa(uid), UID: uid, GID: gid, other: true}
	default: // root's (copied, restored), or another user is wished
		if err := ownAll(p.account, p.data()); err != nil {
			return err
		}
	}
	err = p.reach(ctx, !cfg.noCapability)
	if err == nil {
		return nil
	}
	if !p.account.other || p.base != p.dir {
		return err
	}
	if !fresh {
		return fmt.Errorf("%w: there is data already, so it must stay: let that user pass the folders above (chmod o+x), or run annals as an ordinary user", err)
	}
	refuge := filepath.Join(cfg.refuge, pathID(p.dir))
	log.WarnContext(ctx, "the user that runs PostgreSQL cannot work in the data folder: its data goes elsewhere",
		"user", p.account.Name, "dir", p.dir, "instead", refuge, "error", err)
	p.base = refuge
	if err := os.MkdirAll(refuge, 0o755); err != nil { //nolint:gosec // what is secret in it has modes of its own
		return err
	}
	if err := p.reach(ctx, false); err != nil {
		return err
	}
	return writeFile(filepath.Join(p.dir, "location"), []byte(refuge+"\n"), 0o600)
}

// reach lets the account try to write where it must.
func (p *place) reach(ctx context.Context, capability bool) error {
	if err := os.MkdirAll(p.run(), 0o700); err != nil {
		return err
	}
	try := func() error {
		out, err := p.account.command(ctx, p.run(), "/bin/sh", "-c", ": >.try && rm .try").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("user %s cannot write in %s: %w: %s", p.account.Name, p.run(), err, bytes.TrimSpace(out))
		}
		return err
	}
	err := p.account.Own(p.run())
	if err == nil {
		err = try()
	}
	if err != nil && capability && p.account.other {
		p.account.passage = true
		if again := try(); again == nil {
			return nil
		}
		p.account.passage = false
	}
	return err
}

// ownAll gives a tree to the account, links as links.
func ownAll(a Account, tree string) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // read only
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, a.UID, a.GID)
	})
}

// major is the version that made the data, or 0 when there is none yet.
func (p place) major() (int, error) {
	b, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(p.data()); err == nil {
			return 0, fmt.Errorf("%s is not a PostgreSQL data folder (no PG_VERSION): move it away", p.data())
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("version of %s: %w", p.data(), err)
	}
	return major, nil
}

// password reads the secret of the place, or makes it when it need not exist yet.
func (p place) password(mustExist bool) (string, error) {
	file := filepath.Join(p.dir, "password")
	b, err := os.ReadFile(file) //nolint:gosec // ours
	if err == nil && len(bytes.TrimSpace(b)) >= 16 {
		return string(bytes.TrimSpace(b)), nil
	}
	if mustExist {
		if err == nil {
			err = errors.New("it is too short")
		}
		return "", fmt.Errorf("password of the private PostgreSQL in %s: %w", file, err)
	}
	secret := rand.Text()
	if err := writeFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return "", err
	}
	return secret, inherit(p.dir, file)
}

// writeFile replaces a file so that a crash leaves the old one or the new one.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // ours
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
