// Package keyfile keeps secrets in files of their own, which are made once.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Load is what the file holds, without space around it. A file that is not there is
// made of what fresh returns, mode 0600; of several processes that make it at once, one
// is first, and its text is every one's. A file that others than its owner can read is
// an error.
func Load(path string, fresh func() (string, error)) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator says where the data is
	if errors.Is(err, fs.ErrNotExist) {
		if err := generate(path, fresh); err != nil {
			return "", err
		}
		text, err = os.ReadFile(path) //nolint:gosec // see above
	}
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others than its owner: chmod 600 it", path)
	}
	return strings.TrimSpace(string(text)), nil
}

// generate writes a new secret so that there is either all of it, on disk, or none:
// the link fails if another process was first, whose secret then counts.
func generate(path string, fresh func() (string, error)) error {
	secret, err := fresh()
	if err != nil {
		return err
	}
	return place(path, secret, func(from, to string) error {
		if err := os.Link(from, to); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// Replace has the file hold another text: it holds all of the one or of the other,
// whenever this ends.
func Replace(path, text string) error { return place(path, text, os.Rename) }

// place writes a file beside its place, and has it put there when it is on disk.
func place(path, text string, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := put(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
