package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/audit/proof"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
)

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// world is a log on a real node, and the tree over it in the node's database.
type world struct {
	*testing.T
	url  string
	stop func() // ends the node
	db   *pgxpool.Pool
	log  *eventlog.Log
	tree *audit.Store
	key  *audit.Key
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	w := &world{T: t, url: pgtest.Database(t)}
	w.start()
	var err error
	if w.db, err = pgxpool.New(ctx, w.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	if w.tree, err = audit.Open(ctx, w.db); err != nil {
		t.Fatal(err)
	}
	if w.key, err = audit.LoadKey(t.TempDir(), ""); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts the node.
func (w *world) start() {
	w.Helper()
	ctx := context.WithoutCancel(w.Context())
	node, err := esnode.Start(ctx, esnode.Config{Listen: "127.0.0.1:0", Database: w.url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		w.Fatal(err)
	}
	if w.log, err = eventlog.Open(eventlog.Config{ConnectionString: node.ConnectionString(), Master: master}); err != nil {
		w.Fatal(err)
	}
	log := w.log
	w.stop = sync.OnceFunc(func() {
		log.Close()
		_ = node.Close(ctx)
	})
	w.Cleanup(w.stop)
}

func (w *world) restart() {
	w.stop()
	w.start()
}

func (w *world) meta() domain.Meta {
	return domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: time.Now().UTC()}
}

// register appends n clients: their keys, and their first events.
func (w *world) register(n int) (ids []uuid.UUID) {
	w.Helper()
	var wg sync.WaitGroup
	for range n {
		id := uuid.New()
		ids = append(ids, id)
		wg.Go(func() {
			if _, err := w.log.Append(w.Context(), eventlog.Stream(domain.Client, id), eventlog.NoStream, w.meta(), client.Registered{Status: client.Lead}); err != nil {
				w.Error(err)
			}
		})
	}
	wg.Wait()
	return ids
}

// keep runs a keeper; what it returns ends it.
func (w *world) keep() (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	keeper := audit.NewKeeper(w.tree, w.log, w.key, time.Now, slog.New(slog.NewTextHandler(w.Output(), nil)))
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) until(what string, f func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !f(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// grown waits until the tree has n leaves, and they are signed.
func (w *world) grown(n int64) audit.Issued {
	w.Helper()
	var c audit.Issued
	w.until(fmt.Sprintf("%d leaves", n), func() bool {
		var err error
		c, err = w.tree.Checkpoint(w.Context())
		return err == nil && c.Size >= n
	})
	if c.Size != n {
		w.Fatalf("the tree has %d leaves, want %d", c.Size, n)
	}
	return c
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	ct, err := w.db.Exec(w.Context(), sql, args...)
	if err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	if ct.RowsAffected() == 0 {
		w.Fatalf("%s: nothing was changed", sql)
	}
}

// live is what holding the log against the tree reports.
func (w *world) live() []string {
	w.Helper()
	found := []string{}
	_, err := audit.Verification{Log: audit.Table{DB: w.db}, Tree: audit.View(w.db), Key: w.key.Verifier, Authenticity: w.log.Authenticity}.
		Live(w.Context(), func(f audit.Finding) { found = append(found, f.String()) })
	if err != nil {
		w.Fatal(err)
	}
	return found
}

// hashes are those of all events as they are in the log.
func (w *world) hashes() (all []tlog.Hash, at []eventlog.Position) {
	w.Helper()
	for item, err := range (audit.Table{DB: w.db}).SubscribeStored(w.Context(), eventlog.Position{}, proof.CoveredPattern) {
		if err != nil {
			w.Fatal(err)
		}
		if item.Live {
			break
		}
		all, at = append(all, audit.LeafOf(item.Record).Hash()), append(at, item.Record.Position)
	}
	return all, at
}

// The tree has every event in the log's order, whoever grows it, and however often they
// are ended; each of its checkpoints is signed, and each event can be proven.
func TestKeeper(t *testing.T) {
	w := newWorld(t)
	n := int64(0)
	for round := range 5 {
		stop := w.keep()
		other := w.keep() // waits for the lease, or takes over
		w.register(60)
		if n += 2 * 60; round%2 == 0 {
			stop()
		}
		w.grown(n)
		stop()
		other()
	}
	c := w.grown(n)
	signed, _, err := proof.Open(c.Note, w.key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	hashes, positions := w.hashes()
	if int64(len(hashes)) != n || signed.Size != n {
		t.Fatalf("%d events, %d leaves", len(hashes), signed.Size)
	}
	for i, at := range positions {
		index, err := w.tree.Index(t.Context(), at)
		if err != nil || index != int64(i) {
			t.Fatalf("%s is leaf %d, %v; want %d", at, index, err, i)
		}
		p, err := tlog.ProveRecord(n, index, w.tree.Hashes(t.Context(), n))
		if err == nil {
			err = tlog.CheckRecord(p, n, signed.Root, index, hashes[i])
		}
		if err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	for _, at := range []eventlog.Position{{}, {Commit: 1 << 62, Prepare: 1 << 62}, {Commit: 1 << 63, Prepare: 1}} {
		if _, err := w.tree.Index(t.Context(), at); !errors.Is(err, audit.ErrAbsent) {
			t.Errorf("at %s there is %v", at, err)
		}
	}
	// Every earlier checkpoint is of a beginning of the same tree.
	rows, err := w.db.Query(t.Context(), `select note from annals_audit.checkpoints`)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for rows.Next() {
		var note string
		if err := rows.Scan(&note); err != nil {
			t.Fatal(err)
		}
		old, _, err := proof.Open([]byte(note), w.key.Verifier)
		if err != nil {
			t.Fatal(err)
		}
		p, err := tlog.ProveTree(n, old.Size, w.tree.Hashes(t.Context(), n))
		if err == nil {
			err = tlog.CheckTree(p, n, signed.Root, old.Size, old.Root)
		}
		if err != nil {
			t.Fatalf("checkpoint of %d: %v", old.Size, err)
		}
		count++
	}
	if count < 5 || rows.Err() != nil {
		t.Errorf("%d checkpoints, %v", count, rows.Err())
	}
	if found := w.live(); len(found) > 0 {
		t.Error(found)
	}
}

// A row that was changed, removed or added in the log's table, or in those of the tree, is
// found and named.
func TestTampering(t *testing.T) {
	const some = `(select position from annals_log.events where type = 'client.registered' order by position offset 7 limit 1)`
	for name, c := range map[string]struct{ sql, want string }{
		"data":             {`update annals_log.events set data = convert_to(replace(convert_from(data, 'utf8'), 'lead', 'active'), 'utf8') where position = ` + some, "it was changed"},
		"metadata":         {`update annals_log.events set metadata = metadata || ' '::bytea where position = ` + some, "it was changed"},
		"time":             {`update annals_log.events set created = created - interval '1 microsecond' where position = ` + some, "it was changed"},
		"type":             {`update annals_log.events set type = 'client.deactivated' where position = ` + some, "it was changed"},
		"stream":           {`update annals_log.events set stream = 'client-' || gen_random_uuid() where position = ` + some, "it was changed"},
		"id":               {`update annals_log.events set id = gen_random_uuid() where position = ` + some, "it was changed"},
		"kind":             {`update annals_log.events set is_json = not is_json where position = ` + some, "it was changed"},
		"removed":          {`delete from annals_log.events where position = ` + some, "it was removed"},
		"removed from end": {`delete from annals_log.events where position > ` + some, "it was removed"},
		"a key":            {`delete from annals_log.events where position = (select min(position) from annals_log.events where type = 'key.created')`, "it was removed"},
		"moved":            {`update annals_log.events set position = 1000000 where position = ` + some, "it was removed"},
		"added at the end": {`insert into annals_log.events select 1000000, stream, 1, gen_random_uuid(), type, created, is_json, data, metadata
			from annals_log.events where position = ` + some, "it was changed or added"},
		"added without a code": {`insert into annals_log.events select 1000000, stream, 1, gen_random_uuid(), type, created, is_json, data, '{"schema":1}'
			from annals_log.events where position = ` + some, "it was added"},
		"leaf":              {`update annals_audit.tiles set hashes = set_byte(hashes, 40, (get_byte(hashes, 40) + 1) % 256) where level = 0 and n = 0`, "it was changed"},
		"inner hash":        {`update annals_audit.tiles set hashes = set_byte(hashes, 3, (get_byte(hashes, 3) + 1) % 256) where level = 1`, "tile"},
		"tile gone":         {`delete from annals_audit.tiles where level = 1`, "tile"},
		"checkpoint":        {`update annals_audit.checkpoints set note = replace(note, E'\n300\n', E'\n299\n') where size = 300`, "has signed"},
		"another signature": {`update annals_audit.checkpoints set note = overlay(note placing 'AAAAAAAA' from length(note) - 20) where size = 300`, "has signed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stop := w.keep()
			w.register(150)
			w.grown(300)
			stop()
			if found := w.live(); len(found) > 0 {
				t.Fatal(found)
			}
			w.exec(c.sql)
			if found := w.live(); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// A tree that is not what was signed is not grown any more.
func TestKeeperRefuses(t *testing.T) {
	w := newWorld(t)
	stop := w.keep()
	w.register(200)
	w.grown(400)
	stop()
	w.exec(`update annals_audit.tiles set hashes = set_byte(hashes, 40, (get_byte(hashes, 40) + 1) % 256) where level = 0 and n = 1`)
	w.register(1)
	refused := func(store *audit.Store, want error) {
		t.Helper()
		keeper := audit.NewKeeper(store, w.log, w.key, time.Now, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keeper.Run(ctx) }()
		w.until("refusal", func() bool { return errors.Is(keeper.Err(), want) })
		cancel()
		<-done
	}
	refused(audit.View(w.db), audit.ErrTampered)
	other, err := audit.LoadKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.key = other
	refused(audit.View(w.db), audit.ErrForeign)
}

// witness is one that works on the rows of the log.
func (w *world) witness(dir string) *audit.Witness {
	w.Helper()
	signer, err := proof.NewCosigner("witness.test", []byte(strings.Repeat("w", 32)), time.Now)
	if err != nil {
		w.Fatal(err)
	}
	out := &audit.Witness{
		Log: audit.Table{DB: w.db}, Checkpoints: checkpoints{audit.View(w.db), w.key, signer}, Key: w.key.Verifier, Signer: signer,
		File: filepath.Join(dir, "seen.json"), Patience: time.Second,
	}
	if err := out.Open(); err != nil {
		w.Fatal(err)
	}
	return out
}

type checkpoints struct {
	*audit.Store
	key    *audit.Key
	signer *proof.Cosigner
}

func (c checkpoints) Latest(ctx context.Context) ([]byte, error) {
	p, err := c.Checkpoint(ctx)
	return p.Note, err
}

func (c checkpoints) Cosign(ctx context.Context, size int64, line []byte) error {
	return c.Store.Cosign(ctx, size, c.key.Verifier, c.signer.Witness, line)
}

// A witness signs what the log has signed, as long as the log is what it was.
func TestWitness(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if signed, err := w.witness(dir).Look(t.Context()); signed || err != nil {
		t.Fatalf("of nothing: %v, %v", signed, err)
	}
	stop := w.keep()
	for n := int64(1); n <= 3; n++ {
		w.register(100)
		w.grown(200 * n)
		one := w.witness(dir)
		if signed, err := one.Look(t.Context()); !signed || err != nil {
			t.Fatal(signed, err)
		}
		if signed, err := one.Look(t.Context()); signed || err != nil {
			t.Fatalf("again: %v, %v", signed, err)
		}
		c := w.grown(200 * n)
		if _, by, err := proof.Open(c.Note, w.key.Verifier, one.Signer.Witness); err != nil || len(by) != 1 || c.By != 1 {
			t.Fatalf("signed by %v, %v", by, err)
		}
	}
	stop()
	found := []string{}
	report := func(f audit.Finding) { found = append(found, f.String()) }
	out, err := w.witness(dir).Patrol(t.Context(), audit.View(w.db).All(t.Context()), report)
	if err != nil || len(found) > 0 || out.Leaves != 600 {
		t.Fatal(out, err, found)
	}
	// Another log in place of the one that it knows: whole, and signed by the same key.
	backup := `create table before as table annals_audit.checkpoints`
	w.exec(backup)
	for name, c := range map[string]struct {
		sql  []string
		want string
	}{
		"rolled back":         {[]string{`delete from annals_audit.checkpoints where size > 400`}, "rolled back"},
		"changed before":      {[]string{`update annals_log.events set created = created - interval '1 second' where position = (select min(position) from annals_log.events where type = 'key.created')`}, "it was changed"},
		"changed with leaves": {[]string{`update annals_audit.tiles set hashes = set_byte(hashes, 0, (get_byte(hashes, 0) + 1) % 256) where level = 0 and n = 0`}, "it was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sql := range c.sql {
				w.exec(sql)
			}
			one := w.witness(dir)
			_, err := one.Look(t.Context())
			found = []string{fmt.Sprint(err)}
			if err == nil {
				_, err = one.Patrol(t.Context(), audit.View(w.db).All(t.Context()), report)
			} else if !errors.Is(err, audit.ErrBroken) {
				t.Error(err)
			}
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, %v, want %q", found, err, c.want)
			}
			w.exec(`insert into annals_audit.checkpoints select * from before on conflict (size) do update set note = excluded.note`)
		})
	}
}

// A log whose last events were exchanged, and which was signed again, gets no signature.
func TestWitnessFork(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	stop := w.keep()
	w.register(10)
	w.grown(20)
	stop()
	if signed, err := w.witness(dir).Look(t.Context()); !signed || err != nil {
		t.Fatal(signed, err)
	}
	w.exec(`update annals_log.events set created = created - interval '1 second' where position = (select max(position) from annals_log.events)`)
	w.restart() // the node remembers the latest events
	w.exec(`delete from annals_audit.tree`)
	w.exec(`delete from annals_audit.tiles`)
	w.exec(`delete from annals_audit.checkpoints`)
	w.register(10)
	w.tree = audit.View(w.db)
	stop = w.keep()
	w.grown(40)
	stop()
	if _, err := w.witness(dir).Look(t.Context()); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("it signed: %v", err)
	}
	_, err := w.witness(dir).Look(t.Context())
	if !errors.Is(err, audit.ErrBroken) {
		t.Errorf("it signed the second time: %v", err)
	}
}
