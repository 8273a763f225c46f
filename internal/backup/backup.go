// Package backup copies all that cannot be built again from anything else: the log, the
// tables beside it, documents, and keys; and puts it back. Read models are built from the
// log by whoever starts on what was put back.
//
// All tables are of one snapshot of the database: what was acknowledged before the backup
// began is in it, and whatever refers to something else finds it there. Documents are
// copied after that: they never change, and those that the snapshot knows are there unless
// somebody deletes them meanwhile. The manifest is written last; a directory without one is
// no backup. TestUnderLoad holds that.
package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/internal/blobs"
)

// Saved are the schemas that are in a backup.
var Saved = []string{
	"annals_audit",     // what was refused; the Merkle tree and its signatures, which others hold as well
	"annals_auth",      // credentials, sessions, second factors
	"annals_documents", // which bytes may be left behind in storage
	"annals_jobs",      // queued work
	"annals_log",       // the log
	"annals_mail",      // messages that wait, or are kept
	"annals_notices",   // notices that wait to be mailed
	"annals_process",   // how far process managers are, and what they have set aside
	"annals_recent",    // which clients employees have opened last
	"annals_webhooks",  // how far deliveries are, what waits, and what they are signed with
}

// Rebuilt are the schemas that are not, beside those of read models.
var Rebuilt = []string{
	"annals_oidc",        // sign-ins under way, for minutes
	"annals_projections", // how far the read models are
	"annals_read",        // views of read models
}

// format is that of a backup's files.
const format = 1

// Names below the directory of a backup.
const (
	manifestFile  = "manifest.json"
	documentsFile = "documents.list" // a line of sum, size and key for each
	tablesDir     = "tables"
	documentsDir  = "documents"
	keysDir       = "keys"
)

// Manifest is what is in a backup.
type Manifest struct {
	Format    int        `json:"format"`
	App       string     `json:"app"` // the version of the software that made it
	At        time.Time  `json:"at"`  // of the snapshot
	Master    string     `json:"master"`
	Former    []string   `json:"former,omitempty"` // master keys that some of it may be wrapped by still
	Head      int64      `json:"head"`             // position of the last event
	Tables    []Table    `json:"tables"`
	Sequences []Sequence `json:"sequences"`
	Documents File       `json:"documents"` // the list of them
	Keys      []File     `json:"keys"`
}

// File is one of a backup's.
type File struct {
	Name   string `json:"name"` // below the directory
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Table is one of the database.
type Table struct {
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
	Rows    int64    `json:"rows"`
	File    File     `json:"file"`
}

// Column is one of a table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Sequence is one of the database, and what it has last given.
type Sequence struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Last   int64  `json:"last"`
}

// Config is what is copied, and where it is put back.
type Config struct {
	Database string   // postgres:// URL
	Blobs    string   // URL of documents
	Keys     []string // files with generated keys, those of them that there are
	Master   string   // what the master key is called
	Former   []string // what those are called that some keys may be wrapped by still
	App      string
	Now      func() time.Time
}

// Write makes a backup in a directory, which must not be there yet, or be empty. It may run
// beside a server, and takes no more memory for a larger log.
func Write(ctx context.Context, cfg Config, dir string) (*Manifest, error) {
	if err := emptyDir(dir); err != nil {
		return nil, err
	}
	w := &writer{Config: cfg, dir: dir, m: Manifest{Format: format, App: cfg.App, Master: cfg.Master, Former: cfg.Former, Tables: []Table{}, Sequences: []Sequence{}, Keys: []File{}}}
	for _, step := range []func(context.Context) error{w.database, w.documents, w.keys, w.manifest} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("backup: %w", err)
		}
	}
	return &w.m, nil
}

func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("backup: %s is not empty", dir)
	}
	return nil
}

type writer struct {
	Config
	dir string
	m   Manifest
}

// connect returns a connection for statements that take as long as they take.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's URL is not valid") // err may quote the password
	}
	conf.RuntimeParams["application_name"] = "annals backup"
	conf.RuntimeParams["statement_timeout"] = "0"
	conf.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return conn, nil
}

func (w *writer) database(ctx context.Context) error {
	conn, err := connect(ctx, w.Database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		w.m.At = w.Now().UTC().Truncate(time.Microsecond)
		if err := tx.QueryRow(ctx, `select coalesce(max(position), 0) from annals_log.events`).Scan(&w.m.Head); err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		tables, err := tablesOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			err := w.file(filepath.Join(tablesDir, t.Schema+"."+t.Name), &t.File, func(out io.Writer) error {
				ct, err := conn.PgConn().CopyTo(ctx, out, "copy "+t.sql()+" to stdout (format binary)")
				t.Rows = ct.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("table %s.%s: %w", t.Schema, t.Name, err)
			}
			w.m.Tables = append(w.m.Tables, t)
		}
		w.m.Sequences, err = sequencesOf(ctx, tx)
		return err
	})
}

// sql is the table with its columns.
func (t Table) sql() string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	return pgx.Identifier{t.Schema, t.Name}.Sanitize() + " (" + strings.Join(names, ", ") + ")"
}

// tablesOf are the saved tables with their columns, each after those that it refers to.
// What is lost in a crash anyway is left out.
func tablesOf(ctx context.Context, tx pgx.Tx) ([]Table, error) {
	rows, err := tx.Query(ctx, `select n.nspname, c.relname,
			(select jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attname)
				from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''),
			array(select distinct rn.nspname || '.' || r.relname from pg_constraint k join pg_class r on r.oid = k.confrelid join pg_namespace rn on rn.oid = r.relnamespace
				where k.conrelid = c.oid and k.contype = 'f' and r.oid <> c.oid)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = any($1) and c.relkind = 'r' and c.relpersistence = 'p' order by 1, 2`, Saved)
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	type found struct {
		Table
		after []string
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		return f, row.Scan(&f.Schema, &f.Name, &f.Columns, &f.after)
	})
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	var out []Table
	for len(all) > 0 {
		i := slices.IndexFunc(all, func(f found) bool {
			return !slices.ContainsFunc(f.after, func(name string) bool {
				return slices.ContainsFunc(all, func(o found) bool { return o.Schema+"."+o.Name == name })
			})
		})
		if i < 0 {
			return nil, errors.New("tables refer to each other in a circle")
		}
		out, all = append(out, all[i].Table), slices.Delete(all, i, i+1)
	}
	return out, nil
}

func sequencesOf(ctx context.Context, tx pgx.Tx) ([]Sequence, error) {
	rows, err := tx.Query(ctx, `select schemaname, sequencename, last_value from pg_sequences
		where schemaname = any($1) and last_value is not null order by 1, 2`, Saved)
	if err != nil {
		return nil, fmt.Errorf("sequences: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Sequence])
	if err != nil {
		return nil, fmt.Errorf("sequences: %w", err)
	}
	return out, nil
}

// file writes one of the backup's files for good, and what its sum is.
func (w *writer) file(name string, into *File, fill func(io.Writer) error) (err error) {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator says where
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err == nil {
			err = syncDir(filepath.Dir(path))
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<20)
	s := &sum{to: buffered, hash: sha256.New()}
	if err := fill(s); err != nil {
		return err
	}
	*into = File{filepath.ToSlash(name), s.n, s.String()}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator says where
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sum counts and hashes what is written through it.
type sum struct {
	to   io.Writer
	hash hash.Hash
	n    int64
}

func (s *sum) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	s.hash.Write(b[:n])
	s.n += int64(n)
	return n, err
}

func (s *sum) String() string { return hex.EncodeToString(s.hash.Sum(nil)) }

func (w *writer) documents(ctx context.Context) error {
	store, err := blobs.OpenRaw(ctx, w.Blobs)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it has only read
	return w.file(documentsFile, &w.m.Documents, func(list io.Writer) error {
		for key, err := range store.Keys(ctx) {
			if err != nil {
				return err
			}
			in, err := store.Open(ctx, key)
			if errors.Is(err, blobs.ErrGone) {
				continue // deleted since it was listed
			}
			if err != nil {
				return err
			}
			var f File
			err = w.file(filepath.Join(documentsDir, filepath.FromSlash(key)), &f, func(out io.Writer) error {
				_, err := io.Copy(out, in)
				return err
			})
			if err = errors.Join(err, in.Close()); err != nil {
				return fmt.Errorf("document %s: %w", key, err)
			}
			if _, err := fmt.Fprintf(list, "%s %d %s\n", f.SHA256, f.Bytes, key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) keys(context.Context) error {
	for _, path := range w.Keys {
		in, err := os.Open(path) //nolint:gosec // the operator says where the data is
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var f File
		err = w.file(filepath.Join(keysDir, filepath.Base(path)), &f, func(out io.Writer) error {
			_, err := io.Copy(out, in)
			return err
		})
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		w.m.Keys = append(w.m.Keys, f)
	}
	return nil
}

func (w *writer) manifest(context.Context) error {
	raw, err := json.MarshalIndent(w.m, "", "\t")
	if err != nil {
		return err
	}
	var f File
	err = w.file(manifestFile+".new", &f, func(out io.Writer) error {
		_, err := out.Write(append(raw, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, manifestFile)
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(w.dir)
}
