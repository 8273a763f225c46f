// Package npm proves that the npm clients of the protocol work against the node: drive.mjs does the talking.
package npm

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"testing"
	"time"

	"annals/internal/esnode/esnodetest"
	"annals/internal/npmtest"
)

//go:embed package.json package-lock.json .npmrc drive.mjs
var files embed.FS

// TestClients runs the program once with each client.
func TestClients(t *testing.T) {
	t.Parallel()
	node, dir := npmtest.Node(t), npmtest.Folder(t, files, "drive.mjs")
	address := os.Getenv("ANNALS_TEST_EVENTSTORE")
	if address == "" {
		address = esnodetest.Start(t)
	}
	for _, client := range []string{"@eventstore/db-client", "@kurrent/kurrentdb-client"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			npmtest.Run(t, exec.CommandContext(ctx, node, "drive.mjs", client, address), dir)
		})
	}
}
