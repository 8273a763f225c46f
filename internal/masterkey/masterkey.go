// Package masterkey finds the key that wraps all data keys.
package masterkey

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"annals/eventschema"
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
	text, err := os.ReadFile(path) //nolint:gosec // the operator says where the data is
	if errors.Is(err, fs.ErrNotExist) {
		if err := generate(path); err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		text, err = os.ReadFile(path) //nolint:gosec // see above
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key: %s can be read by others than its owner: chmod 600 it", path)
	}
	return parse(path, string(text))
}

func parse(from, text string) (*eventschema.LocalMaster, error) {
	secret, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("master key: %s does not hold 64 hexadecimal digits", from)
	}
	return eventschema.NewLocalMaster(secret)
}

// generate writes a new key so that there is either all of it, on disk, or none:
// the link fails if another process was first, whose key then counts.
func generate(path string) error {
	var secret [32]byte
	rand.Read(secret[:])
	f, err := os.CreateTemp(filepath.Dir(path), File+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(hex.EncodeToString(secret[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
