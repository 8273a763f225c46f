// Package masterkey finds the key that wraps all data keys.
//
// A new one takes the place of the one of now by being put before it: the first wraps, and
// those behind it are former ones, which unwrap what is not wrapped anew yet, see package
// rotation.
package masterkey

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"annals/eventschema"
	"annals/internal/keyfile"
)

// File is the name of a generated key below the data directory: 64 hexadecimal
// digits, readable by its owner only, and a line with as many for each former key.
const File = "master.key"

// Load returns the configured keys, 64 hexadecimal digits each, separated by commas.
// Where none is configured it returns those in the data directory, of which it makes one
// on the first call. Without its master key a log's personal data is lost for good, so
// a damaged file is an error, never replaced.
func Load(dir, configured string) (*eventschema.Masters, error) {
	if configured != "" {
		return parse("ANNALS_MASTER_KEY", configured)
	}
	path := filepath.Join(dir, File)
	text, err := keyfile.Load(path, func() (string, error) { return generate(), nil })
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return parse(path, text)
}

func generate() string {
	var secret [32]byte
	rand.Read(secret[:])
	return hex.EncodeToString(secret[:])
}

func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

func parse(from, text string) (*eventschema.Masters, error) {
	var keys []*eventschema.LocalMaster
	for _, one := range split(text) {
		secret, err := hex.DecodeString(one)
		if err != nil || len(secret) != 32 {
			return nil, fmt.Errorf("master key: %s does not hold 64 hexadecimal digits", from)
		}
		key, err := eventschema.NewLocalMaster(secret)
		if err != nil {
			return nil, err
		}
		for _, other := range keys {
			if other.ID() == key.ID() {
				return nil, fmt.Errorf("master key: %s holds the same key twice", from)
			}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("master key: %s does not hold 64 hexadecimal digits", from)
	}
	return eventschema.NewMasters(keys[0], keys[1:]...), nil
}

// Renew puts a new key before the one in the data directory, for good, unless there is a
// former one in it already: then the new one has been made before.
func Renew(dir string) error {
	return replace(dir, func(keys []string) []string {
		if len(keys) > 1 {
			return keys
		}
		return append([]string{generate()}, keys...)
	})
}

// Retire leaves only the first key in the data directory, for good.
func Retire(dir string) error {
	return replace(dir, func(keys []string) []string { return keys[:1] })
}

func replace(dir string, with func(keys []string) []string) error {
	path := filepath.Join(dir, File)
	text, err := keyfile.Load(path, func() (string, error) { return "", errors.New("there is none") })
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	if _, err := parse(path, text); err != nil {
		return err
	}
	before := split(text)
	after := with(before)
	if len(before) == len(after) {
		return nil
	}
	if err := keyfile.Replace(path, strings.Join(after, "\n")); err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	return nil
}
