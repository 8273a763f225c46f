// Command get makes sure that PostgreSQL's binaries are on this machine, and does nothing when they are:
//
//	go run ./internal/postgres/get
//
// As root it installs the system's own package, without making or starting a cluster. Otherwise, or
// where that fails, it fetches a private copy with npm into [postgres.CacheDir], where annals finds it. It
// leaves with 1, and says what to do, when neither is possible.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"annals/internal/postgres"
)

// release is the private copy's version. The packages hold the server alone, with its contrib modules.
const release = "18.4.0-beta.17"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	bindir, missing := postgres.Find(ctx)
	if missing != nil {
		if os.Getenv("ANNALS_POSTGRES_BIN") != "" {
			return missing // the operator has said which
		}
		var failed []error
		for _, way := range ways() {
			say("getting PostgreSQL with " + way.name)
			err := way.get(ctx)
			if err == nil {
				if bindir, err = postgres.Find(ctx); err == nil {
					break
				}
			}
			failed = append(failed, fmt.Errorf("%s: %w", way.name, err))
		}
		if bindir == "" {
			return errors.Join(append(failed, missing)...)
		}
	}
	if !postgres.HasExtension(ctx, bindir, "pg_trgm") {
		return fmt.Errorf("PostgreSQL in %s has no contrib modules (pg_trgm), which searching needs.\n%s", bindir, postgres.HowToGet)
	}
	say("PostgreSQL is in " + bindir)
	return nil
}

type way struct {
	name string
	get  func(context.Context) error
}

// ways lists what can work here, best first.
func ways() []way {
	var l []way
	if os.Geteuid() == 0 {
		for _, w := range []way{
			{"apt-get", apt},
			{"dnf", command("dnf", "install", "-y", "postgresql-server", "postgresql-contrib")},
			{"apk", command("apk", "add", "--no-cache", "postgresql", "postgresql-contrib")},
		} {
			if _, err := exec.LookPath(w.name); err == nil {
				l = append(l, w)
			}
		}
	}
	if _, err := exec.LookPath("npm"); err == nil {
		l = append(l, way{"npm", npm})
	}
	return l
}

func say(what string) { fmt.Fprintln(os.Stderr, "postgres:", what) }

func command(name string, args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // constants and a folder of ours
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
		}
		return nil
	}
}

// apt installs the binaries alone: Debian's package would make a cluster, and start it.
func apt(ctx context.Context) error {
	const conf = "/etc/postgresql-common/createcluster.conf"
	if _, err := os.Stat(conf); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil { //nolint:gosec // as the package has it
			return err
		}
		if err := os.WriteFile(conf, []byte("# annals starts servers of its own\ncreate_main_cluster = false\n"), 0o644); err != nil { //nolint:gosec // as the package has it
			return err
		}
	}
	install := command("apt-get", "install", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql")
	if install(ctx) == nil {
		return nil
	}
	// The lists of a fresh image are empty, those of an old one name packages that are gone.
	if err := command("apt-get", "update")(ctx); err != nil {
		return err
	}
	return install(ctx)
}

// npm fetches a package of binaries. Its own script, which would put back the links that npm
// does not carry, is not run: we make them.
func npm(ctx context.Context) error {
	cpu, ok := map[string]string{"amd64": "x64", "arm64": "arm64", "arm": "arm", "386": "ia32", "ppc64le": "ppc64"}[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return fmt.Errorf("there is no package for %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	cache := postgres.CacheDir()
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil { //nolint:gosec // the server's user must read it
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(cache), ".get-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // rubbish in a cache
	name := "@embedded-postgres/" + runtime.GOOS + "-" + cpu
	if err := command("npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", name+"@"+release)(ctx); err != nil {
		return err
	}
	pkg := filepath.Join(dir, "node_modules", filepath.FromSlash(name))
	if err := link(pkg); err != nil {
		return err
	}
	if err := os.RemoveAll(cache); err != nil {
		return err
	}
	return os.Rename(filepath.Join(pkg, "native"), cache)
}

// link makes the symbolic links of the shared libraries. Root refuses those that would leave the package.
func link(pkg string) error {
	b, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json")) //nolint:gosec // as fetched
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(b, &links); err != nil {
		return fmt.Errorf("links of the package: %w", err)
	}
	root, err := os.OpenRoot(pkg)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	for _, l := range links {
		to, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
		if err := root.Symlink(to, l.Target); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
	}
	return nil
}
