// Package npm proves that the npm clients of the protocol work against the node: drive.mjs does the talking.
package npm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"annals/internal/esnode/esnodetest"
)

//go:embed package.json package-lock.json .npmrc drive.mjs
var files embed.FS

// TestClients runs the program once with each client. The packages are installed once per lock file, into the user's
// cache, at exactly the versions and hashes the lock file names.
func TestClients(t *testing.T) {
	t.Parallel()
	node := find(t, "node")
	modules := install(t, find(t, "npm"))
	address := os.Getenv("ANNALS_TEST_EVENTSTORE")
	if address == "" {
		address = esnodetest.Start(t)
	}
	for _, client := range []string{"@eventstore/db-client", "@kurrent/kurrentdb-client"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			// Node looks for packages beside the program.
			dir := t.TempDir()
			write(t, dir, "drive.mjs")
			if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			run(t, exec.CommandContext(ctx, node, "drive.mjs", client, address), dir)
		})
	}
}

// find answers where the program is. Without it there is nothing to test with, and that is a failure.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: get Node.js 20 or later, with npm, as by `apt-get install nodejs npm`, "+
			"`brew install node` or from the project's own site, and run the test again (%v)", program, err)
	}
	return path
}

// install answers the node_modules folder of the lock file, made if it is not there yet.
func install(t *testing.T, npm string) string {
	t.Helper()
	lock, err := files.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home
	}
	cache = filepath.Join(cache, "annals")
	final := filepath.Join(cache, fmt.Sprintf("npm-%x", sha256.Sum256(lock)))
	modules := filepath.Join(final, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		t.Fatal(err)
	}
	// Whole or not at all: built beside its place, then renamed into it.
	dir, err := os.MkdirTemp(cache, "npm-new-") //nolint:usetesting // a rename stays on one file system
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		write(t, dir, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run(t, exec.CommandContext(ctx, npm, "ci", "--no-progress"), dir)
	if err := os.Rename(dir, final); err != nil {
		if _, there := os.Stat(modules); there != nil { // another test process was not faster
			t.Fatalf("keep the installed packages: %v", err)
		}
	}
	return modules
}

func write(t *testing.T, dir, name string) {
	t.Helper()
	data, err := fs.ReadFile(files, name)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
	}
	if err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

func run(t *testing.T, command *exec.Cmd, dir string) {
	t.Helper()
	var out bytes.Buffer
	command.Dir, command.Stdout, command.Stderr = dir, &out, &out
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		if errors.Is(err, exec.ErrWaitDelay) || command.ProcessState == nil || command.ProcessState.ExitCode() < 0 {
			t.Logf("%s was stopped", command)
		}
		t.Fatalf("%s: %v\n%s", command, err, out.Bytes())
	}
	t.Logf("%s\n%s", command, out.Bytes())
}
