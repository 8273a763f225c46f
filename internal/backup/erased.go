package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/eventlog"
)

// ErasedFile is the name of the list of who has been erased, below the data directory: a
// line with an id each, the keys of which have to be gone in whatever is restored. It
// belongs beside backups, not into one.
const ErasedFile = "erased.list"

// Erased is the list of who has been erased.
type Erased struct {
	path string
	mu   sync.Mutex
}

// OpenErased returns the list in a data directory.
func OpenErased(data string) *Erased { return &Erased{path: filepath.Join(data, ErasedFile)} }

// Follow is a handler of package process: it notes whose key has been destroyed, for good
// before the event counts as handled. Somebody may be noted twice.
func (l *Erased) Follow(_ context.Context, _ pgx.Tx, rec *eventlog.Record) error {
	if _, ok := rec.Event.(eventschema.KeyDestroyed); !ok {
		return nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	return l.Add(ref.ID)
}

// Add notes them for good.
func (l *Erased) Add(ids ...domain.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("list of the erased: %w", err)
	}
	var lines bytes.Buffer
	if torn, err := endsTorn(f); err != nil {
		return errors.Join(fmt.Errorf("list of the erased: %w", err), f.Close())
	} else if torn {
		lines.WriteByte('\n') // what a crash has left of a line, which comes again
	}
	for _, id := range ids {
		lines.WriteString(id.String() + "\n")
	}
	_, err = f.Write(lines.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		return fmt.Errorf("list of the erased: %w", err)
	}
	return nil
}

func endsTorn(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// ReadErased are those on a list, each once. Of a line that a crash has torn there is another,
// which is whole; anything else that is no id is an error.
func ReadErased(path string) ([]domain.ID, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the operator says where
	if err != nil {
		return nil, err
	}
	var out []domain.ID
	seen := map[domain.ID]bool{}
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		text := bytes.TrimSpace(line)
		id, err := uuid.ParseBytes(text)
		switch {
		case len(text) < 36 && isTorn(text):
		case err != nil || len(text) != 36:
			return nil, fmt.Errorf("%s, line %d: is not the id of a client", path, n)
		case !seen[id]:
			seen[id] = true
			out = append(out, id)
		}
	}
	return out, nil
}

// isTorn says whether that may be the beginning of an id.
func isTorn(text []byte) bool {
	return len(bytes.Trim(text, "0123456789abcdef-")) == 0
}
