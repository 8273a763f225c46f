package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HowToGet says, for each system we know, how to get PostgreSQL's binaries.
const HowToGet = `PostgreSQL 15 or later (the server, with its contrib modules) gets onto this machine with one of
  Debian, Ubuntu   sudo apt-get install postgresql
  Fedora, RHEL     sudo dnf install postgresql-server postgresql-contrib
  Alpine           sudo apk add postgresql postgresql-contrib
  macOS            brew install postgresql@17
  anywhere         make postgres   (installs it, or fetches a private copy; needs root or npm)
Nothing has to be configured or started. Or set ANNALS_POSTGRES_BIN to the folder that holds initdb and
postgres, or ANNALS_DATABASE to the postgres:// URL of a server that runs already.`

// ErrNotFound is what [Find] answers when no usable PostgreSQL is on the machine.
var ErrNotFound = errors.New("no PostgreSQL found")

// oldest is the first major version with everything we use (views with their reader's rights, for row-level security).
const oldest = 15

// installation is a folder with initdb and postgres in it.
type installation struct {
	dir     string
	major   int
	fetched bool
}

// Find answers the folder that holds initdb and postgres. ANNALS_POSTGRES_BIN decides when it is set; else
// the newest of PATH, pg_config and the places where distributions and Homebrew put it is taken, or
// the copy that the command get fetched. The error wraps [ErrNotFound] and says how to get it.
func Find(ctx context.Context) (bindir string, err error) {
	in, err := find(ctx, 0)
	if err != nil {
		return "", err
	}
	return in.dir, nil
}

// find prefers the given major version; with 0 it takes the newest.
func find(ctx context.Context, major int) (installation, error) {
	if dir := os.Getenv("ANNALS_POSTGRES_BIN"); dir != "" {
		in, err := inspect(ctx, dir)
		if err != nil {
			return in, fmt.Errorf("%w: ANNALS_POSTGRES_BIN: %w\n%s", ErrNotFound, err, HowToGet)
		}
		if major != 0 && in.major != major {
			return in, fmt.Errorf("ANNALS_POSTGRES_BIN=%s is PostgreSQL %d, the data was made by PostgreSQL %d", dir, in.major, major)
		}
		return in, nil
	}
	var usable []installation
	seen := map[string]bool{}
	dirs := candidates(ctx)
	system := len(dirs)
	dirs = append(dirs, filepath.Join(CacheDir(), "bin"))
	if system > 0 {
		dirs = append(dirs, filepath.Join(rootsCache, "bin"))
	}
	for i, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue // a relative PATH is no place to run programs from
		}
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb")); err == nil {
			dir = filepath.Dir(real)
		}
		if seen[dir] {
			continue
		}
		seen[dir] = true
		if in, err := inspect(ctx, dir); err == nil && in.major >= oldest {
			in.fetched = i >= system
			usable = append(usable, in)
		}
	}
	if major != 0 {
		i := slices.IndexFunc(usable, func(in installation) bool { return in.major == major })
		if i < 0 {
			return installation{}, fmt.Errorf("%w of version %d, which made this data (found: %s): install PostgreSQL %d as well, "+
				"or move the data to another version with pg_dump and pg_restore\n%s", ErrNotFound, major, versions(usable), major, HowToGet)
		}
		return usable[i], nil
	}
	if len(usable) == 0 {
		return installation{}, fmt.Errorf("%w on this machine.\n%s", ErrNotFound, HowToGet)
	}
	// The sort is stable: of the same version, the earlier candidate stays first. A fetched copy is a stopgap, which
	// nobody updates: it is taken when there is nothing else.
	slices.SortStableFunc(usable, func(a, b installation) int {
		if a.fetched {
			return 1
		}
		if b.fetched {
			return -1
		}
		return cmp.Compare(b.major, a.major)
	})
	return usable[0], nil
}

func versions(found []installation) string {
	if len(found) == 0 {
		return "none"
	}
	var s []string
	for _, in := range found {
		s = append(s, fmt.Sprintf("%d in %s", in.major, in.dir))
	}
	return strings.Join(s, ", ")
}

// candidates lists folders that may hold the binaries, in order of preference among equals.
func candidates(ctx context.Context) []string {
	// A test of the ways to get PostgreSQL must be able to act as if the machine had none.
	if os.Getenv("ANNALS_POSTGRES_HIDE") != "" {
		return nil
	}
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // RHEL, Fedora from postgresql.org
		"/usr/libexec/postgresql*",          // Alpine
		"/usr/local/pgsql/bin",              // built from source
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/Library/PostgreSQL/*/bin", // EDB's installer
	} {
		found, _ := filepath.Glob(pattern) // the pattern is well formed
		dirs = append(dirs, found...)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return dirs
}

// rootsCache is where root fetches a copy to, for every user of the machine.
const rootsCache = "/var/cache/annals/postgres"

// CacheDir is where the command get puts a private copy of PostgreSQL: ANNALS_POSTGRES_CACHE, else a folder that any
// user can read when root fetched it (the server never runs as root), else the user's cache.
func CacheDir() string {
	if dir := os.Getenv("ANNALS_POSTGRES_CACHE"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return rootsCache
	}
	dir, err := os.UserCacheDir()
	if err != nil { // no HOME
		dir = filepath.Join(os.TempDir(), "annals-cache-"+strconv.Itoa(os.Geteuid()))
	}
	return filepath.Join(dir, "annals", "postgres")
}

// inspect runs "postgres --version" of the folder.
func inspect(ctx context.Context, dir string) (installation, error) {
	in := installation{dir: dir}
	for _, name := range []string{"initdb", "postgres"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil { //nolint:gosec // the operator says where it is
			return in, err
		} else if st.IsDir() || st.Mode()&0o111 == 0 {
			return in, fmt.Errorf("%s is not a program", filepath.Join(dir, name))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").CombinedOutput() //nolint:gosec // the operator's own PostgreSQL
	if err != nil {
		return in, fmt.Errorf("%s --version: %w: %s", filepath.Join(dir, "postgres"), err, strings.TrimSpace(string(out)))
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "… 18beta1"
	_, rest, ok := strings.Cut(string(out), "(PostgreSQL) ")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !ok || digits <= 0 {
		return in, fmt.Errorf("%s --version says %q", filepath.Join(dir, "postgres"), strings.TrimSpace(string(out)))
	}
	in.major, err = strconv.Atoi(rest[:digits])
	if in.major < oldest && err == nil {
		err = fmt.Errorf("PostgreSQL %d in %s is too old, %d or later is needed", in.major, dir, oldest)
	}
	return in, err
}

// HasExtension tells whether the server of bindir carries the contrib module (say, pg_trgm).
func HasExtension(ctx context.Context, bindir, name string) bool {
	base := filepath.Base(bindir) // Alpine: /usr/libexec/postgresql17
	if base == "bin" {
		base = filepath.Base(filepath.Dir(bindir)) // Debian: /usr/lib/postgresql/17/bin
	}
	shares := []string{
		filepath.Join(bindir, "../share/postgresql"), // Homebrew, a fetched copy
		filepath.Join(bindir, "../share"),
		filepath.Join(bindir, "../share/pgsql"), // Fedora
		filepath.Join("/usr/share/postgresql", base),
		filepath.Join("/usr/share", base),
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, filepath.Join(bindir, "pg_config"), "--sharedir").Output(); err == nil { //nolint:gosec // the operator's own PostgreSQL
		shares = append(shares, strings.TrimSpace(string(out)))
	}
	return slices.ContainsFunc(shares, func(share string) bool {
		_, err := os.Stat(filepath.Join(share, "extension", name+".control"))
		return err == nil
	})
}
