package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"annals/internal/blobs"
)

// Read returns what is in the backup of a directory.
func Read(dir string) (*Manifest, error) {
	raw, err := os.ReadFile(filepath.Join(dir, manifestFile)) //nolint:gosec // the operator says where
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no backup, or one that was not finished: it has no %s", dir, manifestFile)
	}
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", manifestFile, err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("the backup has format %d, and this program knows %d: restore it with the program that made it, annals %s", m.Format, format, m.App)
	}
	return m, nil
}

// Empty says whether nothing has happened yet in a database: there is no log, or no event
// of anybody's in it.
func Empty(ctx context.Context, database string) (bool, error) {
	conn, err := connect(ctx, database)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	var there, some bool
	if err := conn.QueryRow(ctx, `select to_regclass('annals_log.events') is not null`).Scan(&there); err != nil || !there {
		return !there, err
	}
	err = conn.QueryRow(ctx, `select exists (select from annals_log.events where stream not like '$%')`).Scan(&some)
	return !some, err
}

// RestoreKeys puts the backup's key files into a directory, unless they are there.
func RestoreKeys(m *Manifest, dir, data string) error {
	for _, f := range m.Keys {
		text, err := content(dir, f)
		if err != nil {
			return err
		}
		path := filepath.Join(data, filepath.Base(f.Name))
		if there, err := os.ReadFile(path); err == nil { //nolint:gosec // the operator says where the data is
			if string(there) != string(text) {
				return fmt.Errorf("%s is another key than the backup's: remove it first", path)
			}
			continue
		}
		if err := write(path, text); err != nil {
			return err
		}
	}
	return nil
}

// content is a small file of the backup.
func content(dir string, f File) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name))) //nolint:gosec // the operator says where
	if err != nil {
		return nil, err
	}
	if s := sha256.Sum256(raw); hex.EncodeToString(s[:]) != f.SHA256 {
		return nil, damaged(f.Name)
	}
	return raw, nil
}

func damaged(name string) error {
	return fmt.Errorf("%s is not what was written: the backup is damaged", name)
}

// write makes a file for good, readable by its owner alone.
func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // see content
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// RestoreDatabase puts the backup's tables into a database that has them, of the same shape
// and with nothing in them that counts: all of it or nothing.
func RestoreDatabase(ctx context.Context, m *Manifest, dir, database string) error {
	conn, err := connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // all is committed, or is not to be
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := m.fits(ctx, tx); err != nil {
			return err
		}
		names := make([]string, len(m.Tables))
		for i, t := range m.Tables {
			names[i] = pgx.Identifier{t.Schema, t.Name}.Sanitize()
		}
		if _, err := tx.Exec(ctx, "truncate "+strings.Join(names, ", ")); err != nil {
			return err
		}
		for _, t := range m.Tables {
			if err := t.restore(ctx, conn, dir); err != nil {
				return fmt.Errorf("table %s.%s: %w", t.Schema, t.Name, err)
			}
		}
		for _, s := range m.Sequences {
			if _, err := tx.Exec(ctx, `select setval(format('%I.%I', $1::text, $2::text)::regclass, $3)`, s.Schema, s.Name, s.Last); err != nil {
				return fmt.Errorf("sequence %s.%s: %w", s.Schema, s.Name, err)
			}
		}
		return nil
	})
}

// fits says what of the tables is other than it was.
func (m *Manifest) fits(ctx context.Context, tx pgx.Tx) error {
	here, err := tablesOf(ctx, tx)
	if err != nil {
		return err
	}
	shape := func(all []Table) (out []string) {
		for _, t := range all {
			out = append(out, fmt.Sprintf("%s.%s %v", t.Schema, t.Name, t.Columns))
		}
		slices.Sort(out)
		return out
	}
	was, is := shape(m.Tables), shape(here)
	for _, t := range was {
		if !slices.Contains(is, t) {
			return fmt.Errorf("the backup was made by annals %s, whose tables have another shape (%s): restore it with that program, and start this one then", m.App, t)
		}
	}
	for _, t := range is {
		if !slices.Contains(was, t) {
			return fmt.Errorf("the backup was made by annals %s, which did not have this table (%s): restore it with that program, and start this one then", m.App, t)
		}
	}
	return nil
}

func (t Table) restore(ctx context.Context, conn *pgx.Conn, dir string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(t.File.Name))) //nolint:gosec // the operator says where
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	s := &sum{to: io.Discard, hash: sha256.New()}
	ct, err := conn.PgConn().CopyFrom(ctx, io.TeeReader(bufio.NewReaderSize(f, 1<<20), s), "copy "+t.sql()+" from stdin (format binary)")
	if err == nil {
		_, err = io.Copy(s, f) // what comes after the end of the copy
	}
	if s.n != t.File.Bytes || s.String() != t.File.SHA256 || err == nil && ct.RowsAffected() != t.Rows {
		return errors.Join(damaged(t.File.Name), err)
	}
	return err
}

// RestoreDocuments puts the backup's documents into storage.
func RestoreDocuments(ctx context.Context, m *Manifest, dir, location string) (n int, err error) {
	store, err := blobs.OpenRaw(ctx, location)
	if err != nil {
		return 0, err
	}
	defer store.Close()                                     //nolint:errcheck // what is stored is stored
	list, err := os.Open(filepath.Join(dir, documentsFile)) //nolint:gosec // the operator says where
	if err != nil {
		return 0, err
	}
	defer list.Close() //nolint:errcheck // it is only read
	s := &sum{to: io.Discard, hash: sha256.New()}
	lines := bufio.NewScanner(io.TeeReader(list, s))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || !blobs.IsKey(fields[2]) {
			return n, damaged(documentsFile)
		}
		if err := restoreDocument(ctx, store, dir, fields); err != nil {
			return n, err
		}
		n++
	}
	if err := lines.Err(); err != nil {
		return n, err
	}
	if s.String() != m.Documents.SHA256 {
		return n, damaged(documentsFile)
	}
	return n, nil
}

// restoreDocument puts one into storage that is called by its sum, its size and its key.
func restoreDocument(ctx context.Context, store *blobs.Raw, dir string, fields []string) error {
	name := documentsDir + "/" + fields[2]
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name))) //nolint:gosec // the operator says where
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	s := &sum{to: io.Discard, hash: sha256.New()}
	if err := store.Put(ctx, fields[2], &verified{r: io.TeeReader(f, s), ends: func() error {
		if s.String() != fields[0] || strconv.FormatInt(s.n, 10) != fields[1] {
			return damaged(name)
		}
		return nil
	}}); err != nil {
		return err
	}
	return nil
}

// verified is a reader whose end is one only if that is in order.
type verified struct {
	r    io.Reader
	ends func() error
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	if errors.Is(err, io.EOF) {
		if bad := v.ends(); bad != nil {
			return n, bad
		}
	}
	return n, err
}
