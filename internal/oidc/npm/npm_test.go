// Package npm proves that signing in works with oidc-provider, which the OpenID Foundation has certified:
// provider.mjs runs it.
package npm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

//go:embed package.json package-lock.json .npmrc provider.mjs
var files embed.FS

// providers are the issuers that provider.mjs runs.
type providers struct{ Strict, Lax string }

// start runs provider.mjs until the test ends. It also ends with this process, whose pipe closes.
func start(t *testing.T, redirect, secret string) providers {
	t.Helper()
	node := find(t, "node")
	modules := install(t, find(t, "npm"))
	// Node looks for packages beside the program.
	dir := t.TempDir()
	write(t, dir, "provider.mjs")
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), node, "provider.mjs", redirect, secret)
	command.Dir, command.Stderr = dir, &said
	alive, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = alive.Close()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the provider said:\n%s", said.Bytes())
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var p providers
	if err == nil {
		err = json.Unmarshal(line, &p)
	}
	if err != nil {
		t.Fatalf("start the provider: %v", err)
	}
	return p
}

// find answers where the program is. Without it there is nothing to test with, and that is a failure.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: get Node.js 18 or later, with npm, as by `apt-get install nodejs npm`, "+
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
	command := exec.CommandContext(ctx, npm, "ci", "--no-progress")
	command.Dir, command.WaitDelay = dir, 5*time.Second
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
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
