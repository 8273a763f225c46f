package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// holding are the files below a directory that hold the words.
func holding(t *testing.T, dir string, words ...string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of a server at work
			}
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, w := range words {
			if bytes.Contains(raw, []byte(w)) {
				files = append(files, strings.TrimPrefix(path, dir)+": "+w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestClean: what was deleted, changed or only ever looked at by statistics is in no file
// of the server any more, in the write-ahead log neither; what is there stays.
func TestClean(t *testing.T) {
	t.Parallel()
	dir := temp(t)
	s, _ := start(t, Config{Dir: dir})
	db, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`create table people (id int primary key, name text, long text); alter table people alter column long set storage external;
		create index on people (name); create schema spared; create table spared.people (name text)`)
	for i := range 200 {
		exec(fmt.Sprintf(`insert into people values (%d, 'Quasimodo%d', repeat('Esmeralda%[1]d', 500))`, i, i%7))
	}
	exec(`insert into spared.people values ('Frollo'); analyze people`)
	exec(`insert into people select i, 'Phoebus' || i, '' from generate_series(1000, 200000) i`) // so that files of the log are kept for later
	exec(`update people set name = 'nobody', long = '' where id < 100`)
	exec(`delete from people where id between 100 and 199 or id > 1000`)
	exec(`delete from spared.people`)
	words := []string{"Quasimodo", "Esmeralda", "Phoebus150000"}
	if got := holding(t, dir, words...); len(got) == 0 {
		t.Fatal("PostgreSQL has become tidy, and this test proves nothing")
	}
	done, err := CleanTables(t.Context(), s.URL(), "spared")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(done.Rewritten, "public.people") || slices.Contains(done.Rewritten, "spared.people") || len(done.Freed) > 0 {
		t.Errorf("%+v", done)
	}
	if err := s.CleanWAL(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, at := range holding(t, dir, words...) {
		t.Error(at)
	}
	var n int
	var recycle string
	if err := db.QueryRow(t.Context(), `select count(*), current_setting('wal_recycle') from people where name = 'nobody' or name = 'Phoebus1000'`).Scan(&n, &recycle); err != nil || n != 101 || recycle != "on" {
		t.Errorf("%d people are left, files are kept for later: %s (%v)", n, recycle, err)
	}
	if err := s.CleanWAL(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}
