// Package masterkey finds the key that wraps all data keys.
package masterkey

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"annals/eventschema"
	"annals/internal/keyfile"
)

// File is the name of a generated key below the data directory: 64 hexadecimal
// digits, readable by its owner only.
const File = "master.key"

// Load returns the configured key, 64 hexadecimal digits. Where none is
// configured it returns the one in the data directory, which it makes on the
// first call. Without its master key a log's personal data is lost for good, so
// a damaged file is an error, never replaced.
func Load(dir, configured string) (*eventschema.LocalMaster, error) {
	if configured != "" {
		return parse("ANNALS_MASTER_KEY", configured)
	}
	path := filepath.Join(dir, File)
	text, err := keyfile.Load(path, func() (string, error) {
		var secret [32]byte
		rand.Read(secret[:])
		return hex.EncodeToString(secret[:]), nil
	})
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return parse(path, text)
}

func parse(from, text string) (*eventschema.LocalMaster, error) {
	secret, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("master key: %s does not hold 64 hexadecimal digits", from)
	}
	return eventschema.NewLocalMaster(secret)
}
