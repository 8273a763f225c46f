package backup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
)

func config(s *apitest.System) Config {
	return Config{Database: s.Database, Blobs: "file://" + s.Storage(), Master: "m", App: "test", Now: s.Clock.Now}
}

// query is what a statement answers.
func query(t *testing.T, url, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// node runs the embedded node on a database.
func node(t *testing.T, url string) (l *eventlog.Log, stop func()) {
	t.Helper()
	n, err := esnode.Start(t.Context(), esnode.Config{Listen: "127.0.0.1:0", Database: url})
	if err != nil {
		t.Fatal(err)
	}
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if l, err = eventlog.Open(eventlog.Config{ConnectionString: n.ConnectionString(), Master: master}); err != nil {
		t.Fatal(err)
	}
	return l, sync.OnceFunc(func() {
		l.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func meta() domain.Meta {
	return domain.Meta{Actor: uuid.New(), Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond)}
}

func register(ctx context.Context, l *eventlog.Log, id uuid.UUID) (eventlog.Result, error) {
	return l.Append(ctx, eventlog.Stream(domain.Client, id), eventlog.NoStream, meta(), client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Nunez"}, Assignment: client.Assignment{ProjectID: uuid.New()}, Status: client.Lead,
	})
}

// eraseAgain erases clients in what was restored.
func eraseAgain(t *testing.T, l *eventlog.Log, ids ...uuid.UUID) {
	t.Helper()
	api := &commands.API{Store: commands.NewStore(l), Now: time.Now}
	for _, id := range ids {
		if err := api.EraseAgain(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

const everything = `select concat_ws(' ', position, stream, revision, id, type, created, encode(data, 'hex'), encode(metadata, 'hex')) from annals_log.events order by position`

// While others write, a backup has all that was acknowledged before it began, and nothing of
// which a part is missing: what is put back is the beginning of the log, byte for byte.
func TestUnderLoad(t *testing.T) {
	t.Parallel()
	url, dir := pgtest.Database(t), filepath.Join(t.TempDir(), "backup")
	l, stop := node(t, url)
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	var acknowledged atomic.Int64
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := register(context.WithoutCancel(ctx), l, uuid.New()); err != nil {
					t.Error(err)
					return
				}
				if acknowledged.Add(1) == 200 {
					close(enough)
				}
			}
		})
	}
	failed := make(chan struct{})
	go func() { wg.Wait(); close(failed) }()
	select {
	case <-enough:
	case <-failed:
		t.Fatal("nobody writes any more")
	}
	before := acknowledged.Load()
	m, err := Write(t.Context(), Config{Database: url, Blobs: "file://" + t.TempDir(), Now: time.Now}, dir)
	cancel()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	to := pgtest.Database(t)
	_, done := node(t, to)
	done()
	if err := RestoreDatabase(t.Context(), m, dir, to); err != nil {
		t.Fatal(err)
	}
	was, is := query(t, url, everything), query(t, to, everything)
	if len(is) > len(was) || !slices.Equal(is, was[:len(is)]) {
		t.Errorf("%d events of %d, and not the first ones", len(is), len(was))
	}
	registered := 0
	for _, e := range is {
		if strings.Contains(e, "client.registered") {
			registered++
		}
	}
	if int64(registered) < before {
		t.Errorf("%d clients had been acknowledged, and %d are there", before, registered)
	}
	again, done := node(t, to)
	defer done()
	if res, err := register(t.Context(), again, uuid.New()); err != nil || res.Position.Commit <= uint64(m.Head) {
		t.Errorf("it goes on at %v, %v", res, err)
	}
}

// Whoever was erased after the backup is erased again, before anybody reads what was put
// back; a list with a line that a crash has torn serves, one that somebody has garbled does not.
func TestErasedStayErased(t *testing.T) {
	t.Parallel()
	url, dir := pgtest.Database(t), filepath.Join(t.TempDir(), "backup")
	l, stop := node(t, url)
	stays, gone := uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{stays, gone} {
		if _, err := register(t.Context(), l, id); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Write(t.Context(), Config{Database: url, Blobs: "file://" + t.TempDir(), Now: time.Now}, dir)
	stop()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	list := filepath.Join(data, ErasedFile)
	if err := os.WriteFile(list, []byte(gone.String()[:20]), 0o600); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	erased := OpenErased(data)
	for range 2 {
		if err := erased.Follow(t.Context(), nil, &eventlog.Record{Stream: "key-" + gone.String(), Event: eventschema.KeyDestroyed{}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := erased.Follow(t.Context(), nil, &eventlog.Record{Stream: "key-" + stays.String(), Event: eventschema.KeyCreated{}}); err != nil {
		t.Fatal(err)
	}
	ids, err := ReadErased(list)
	if err != nil || !slices.Equal(ids, []domain.ID{gone}) {
		t.Fatal(ids, err)
	}
	to := pgtest.Database(t)
	_, done := node(t, to)
	done()
	if err := RestoreDatabase(t.Context(), m, dir, to); err != nil {
		t.Fatal(err)
	}
	again, done := node(t, to)
	defer done()
	for range 2 { // as a restore does that is run again
		eraseAgain(t, again, append(ids, uuid.New())...) // who came after the backup too
	}
	if keys := query(t, to, `select stream from annals_log.events where type = 'key.created' order by position`); !slices.Equal(keys, []string{"key-" + stays.String()}) {
		t.Errorf("keys that are left: %v", keys)
	}
	for id, want := range map[uuid.UUID]string{stays: "Nunez", gone: ""} {
		for rec, err := range again.Read(t.Context(), eventlog.Stream(domain.Client, id), 0) {
			if err != nil {
				t.Fatal(err)
			}
			switch e := rec.Event.(type) {
			case client.Registered:
				if e.LastName != want {
					t.Errorf("%s reads %q, want %q", id, e.LastName, want)
				}
			case client.Erased:
				if id != gone || len(e.KeyLeaves) != 1 || rec.Meta.Actor != domain.System {
					t.Errorf("%s is erased by %s: %+v", id, rec.Meta.Actor, e)
				}
			default:
				t.Errorf("%s: %T", id, e)
			}
		}
	}
	if err := os.WriteFile(list, []byte("somebody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadErased(list); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a garbled list: %v", err)
	}
}

// Whatever one byte of a backup is changed, cut off or added, nothing is put back.
func TestDamage(t *testing.T) {
	t.Parallel()
	url, dir := pgtest.Database(t), filepath.Join(t.TempDir(), "backup")
	l, stop := node(t, url)
	if _, err := register(t.Context(), l, uuid.New()); err != nil {
		t.Fatal(err)
	}
	stop()
	m, err := Write(t.Context(), Config{Database: url, Blobs: "file://" + t.TempDir(), Now: time.Now}, dir)
	if err != nil {
		t.Fatal(err)
	}
	to := pgtest.Database(t)
	_, done := node(t, to)
	done()
	empty := query(t, to, everything)
	file := filepath.Join(dir, tablesDir, "annals_log.events")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut off":  func(b []byte) []byte { return b[:len(b)-30] },
		"added to": func(b []byte) []byte { return append(b, 0) },
		"changed":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"emptied":  func([]byte) []byte { return nil },
	} {
		if err := os.WriteFile(file, change(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := RestoreDatabase(t.Context(), m, dir, to); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(empty, query(t, to, everything)); d != "" {
			t.Errorf("%s: something has been put back: %s", name, d)
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Tables[0].Columns = append(slices.Clone(m.Tables[0].Columns), Column{"new", "text"})
	if err := RestoreDatabase(t.Context(), m, dir, to); err == nil || !strings.Contains(err.Error(), "another shape") {
		t.Errorf("of another shape: %v", err)
	}
	if _, err := Write(t.Context(), Config{Database: url, Blobs: "file://" + t.TempDir(), Now: time.Now}, dir); err == nil {
		t.Error("a backup over another one")
	}
	if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("without a manifest: %v", err)
	}
}

// Documents are put back as they were stored, and a damaged one is not.
func TestDocuments(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	a := s.Admin(t)
	one := a.Client(t, a.Project(t, "Filed"), "Filed")
	path := "/api/v1/clients/" + one + "/documents"
	for _, text := range []string{"first", strings.Repeat("second", 100_000)} {
		a.Post(t, path+"?name=a.txt", apitest.Raw(text), "Content-Type", "text/plain").Want(t, 201)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	w := &writer{Config: config(s), dir: dir}
	if err := w.documents(t.Context()); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	n, err := RestoreDocuments(t.Context(), &w.m, dir, "file://"+to)
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	files := func(root string) map[string]string {
		out := map[string]string{}
		_ = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				raw, _ := os.ReadFile(path)
				name, _ := filepath.Rel(root, path)
				out[name] = string(raw)
			}
			return err
		})
		return out
	}
	if d := cmp.Diff(files(s.Storage()), files(to)); d != "" {
		t.Error(d)
	}
	for name := range files(to) {
		file := filepath.Join(dir, documentsDir, name)
		if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	third := t.TempDir()
	if _, err := RestoreDocuments(t.Context(), &w.m, dir, "file://"+third); err == nil || len(files(third)) > 0 {
		t.Errorf("damaged documents are put back: %v %v", err, files(third))
	}
}

// No schema of ours is forgotten: each is in a backup, or is known to be built again.
func TestEverySchemaIsKnown(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	known := append(slices.Clone(Saved), Rebuilt...)
	for _, schema := range query(t, s.Database, `select nspname::text from pg_namespace where nspname like 'annals\_%'`) {
		if !slices.Contains(known, schema) {
			t.Errorf("%s is neither in a backup nor among what is built again", schema)
		}
	}
	for _, table := range query(t, s.Database, `select table_schema || '.' || table_name from information_schema.tables where table_schema = 'public'`) {
		t.Errorf("%s is in no schema of ours", table)
	}
	if fmt.Sprint(slices.Sorted(slices.Values(Saved))) != fmt.Sprint(Saved) {
		t.Error("not sorted")
	}
}
