// Package npmtest runs programs of Node.js in tests, with the npm packages that a lock
// file names, at exactly the versions and hashes there.
package npmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Node is where Node.js is. Without it there is nothing to test with, and that is a
// failure.
func Node(tb testing.TB) string {
	tb.Helper()
	return find(tb, "node")
}

func find(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatalf("%s is not installed: get Node.js 18 or later, with npm, as by `apt-get install nodejs npm`, "+
			"`brew install node` or from the project's own site, and run the test again (%v)", program, err)
	}
	return path
}

// Folder is a new one with a program of files in it, beside the packages of their
// package.json, package-lock.json and .npmrc. Those are installed once per lock file,
// into the user's cache.
func Folder(tb testing.TB, files fs.FS, program string) string {
	tb.Helper()
	modules := install(tb, files)
	dir := tb.TempDir()
	write(tb, files, dir, program)
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// install answers the node_modules folder of the lock file, made if it is not there yet.
func install(tb testing.TB, files fs.FS) string {
	tb.Helper()
	lock, err := fs.ReadFile(files, "package-lock.json")
	if err != nil {
		tb.Fatal(err)
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
		tb.Fatal(err)
	}
	// Whole or not at all: built beside its place, then renamed into it.
	dir, err := os.MkdirTemp(cache, "npm-new-") //nolint:usetesting // a rename stays on one file system
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		write(tb, files, dir, name)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	Run(tb, exec.CommandContext(ctx, find(tb, "npm"), "ci", "--no-progress"), dir) //nolint:gosec // the npm of this machine
	if err := os.Rename(dir, final); err != nil {
		if _, there := os.Stat(modules); there != nil { // another test process was not faster
			tb.Fatalf("keep the installed packages: %v", err)
		}
	}
	return modules
}

func write(tb testing.TB, files fs.FS, dir, name string) {
	tb.Helper()
	data, err := fs.ReadFile(files, name)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
	}
	if err != nil {
		tb.Fatalf("write %s: %v", name, err)
	}
}

// Run runs a command in a folder; it has to succeed.
func Run(tb testing.TB, command *exec.Cmd, dir string) {
	tb.Helper()
	var out bytes.Buffer
	command.Dir, command.Stdout, command.Stderr = dir, &out, &out
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		if errors.Is(err, exec.ErrWaitDelay) || command.ProcessState == nil || command.ProcessState.ExitCode() < 0 {
			tb.Logf("%s was stopped", command)
		}
		tb.Fatalf("%s: %v\n%s", command, err, out.Bytes())
	}
	tb.Logf("%s\n%s", command, out.Bytes())
}
