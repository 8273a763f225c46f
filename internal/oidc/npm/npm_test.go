// Package npm proves that signing in works with oidc-provider, which the OpenID Foundation has certified:
// provider.mjs runs it.
package npm

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"os/exec"
	"testing"

	"annals/internal/npmtest"
)

//go:embed package.json package-lock.json .npmrc provider.mjs
var files embed.FS

// providers are the issuers that provider.mjs runs.
type providers struct{ Strict, Lax string }

// start runs provider.mjs until the test ends. It also ends with this process, whose pipe closes.
func start(t *testing.T, redirect, secret string) providers {
	t.Helper()
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), npmtest.Node(t), "provider.mjs", redirect, secret)
	command.Dir, command.Stderr = npmtest.Folder(t, files, "provider.mjs"), &said
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
