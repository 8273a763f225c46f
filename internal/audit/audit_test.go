package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"annals/internal/audit"
	"annals/internal/audit/audittest"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

type world struct{ *audittest.World }

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return &world{audittest.New(t)}
}

// live is what holding the log against the tree reports.
func (w *world) live() []string {
	w.Helper()
	found := []string{}
	authenticity, err := w.Log.Authenticity(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	_, err = audit.Verification{Log: audit.Table{DB: w.DB}, Tree: audit.View(w.DB), Key: w.Key.Verifier, Authenticity: authenticity}.
		Live(w.Context(), func(f audit.Finding) { found = append(found, f.String()) })
	if err != nil {
		w.Fatal(err)
	}
	return found
}

// hashes are those of all events as they are in the log.
func (w *world) hashes() (all []tlog.Hash, at []eventlog.Position) {
	w.Helper()
	for item, err := range (audit.Table{DB: w.DB}).SubscribeStored(w.Context(), eventlog.Position{}, proof.CoveredPattern) {
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
		stop := w.Keep()
		other := w.Keep() // waits for the lease, or takes over
		w.Register(60)
		if n += 2 * 60; round%2 == 0 {
			stop()
		}
		w.Grown(n)
		stop()
		other()
	}
	c := w.Grown(n)
	signed, _, err := proof.Open(c.Note, w.Key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	hashes, positions := w.hashes()
	if int64(len(hashes)) != n || signed.Size != n {
		t.Fatalf("%d events, %d leaves", len(hashes), signed.Size)
	}
	for i, at := range positions {
		index, err := w.Tree.Index(t.Context(), at)
		if err != nil || index != int64(i) {
			t.Fatalf("%s is leaf %d, %v; want %d", at, index, err, i)
		}
		p, err := tlog.ProveRecord(n, index, w.Tree.Hashes(t.Context(), n))
		if err == nil {
			err = tlog.CheckRecord(p, n, signed.Root, index, hashes[i])
		}
		if err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	for _, at := range []eventlog.Position{{}, {Commit: 1 << 62, Prepare: 1 << 62}, {Commit: 1 << 63, Prepare: 1}} {
		if _, err := w.Tree.Index(t.Context(), at); !errors.Is(err, audit.ErrAbsent) {
			t.Errorf("at %s there is %v", at, err)
		}
	}
	// Every earlier checkpoint is of a beginning of the same tree.
	rows, err := w.DB.Query(t.Context(), `select note from annals_audit.checkpoints`)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for rows.Next() {
		var note string
		if err := rows.Scan(&note); err != nil {
			t.Fatal(err)
		}
		old, _, err := proof.Open([]byte(note), w.Key.Verifier)
		if err != nil {
			t.Fatal(err)
		}
		p, err := tlog.ProveTree(n, old.Size, w.Tree.Hashes(t.Context(), n))
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
	t.Parallel()
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
			stop := w.Keep()
			w.Register(150)
			w.Grown(300)
			stop()
			if found := w.live(); len(found) > 0 {
				t.Fatal(found)
			}
			w.Exec(c.sql)
			if found := w.live(); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// A tree that is not what was signed is not grown any more.
func TestKeeperRefuses(t *testing.T) {
	w := newWorld(t)
	stop := w.Keep()
	w.Register(200)
	w.Grown(400)
	stop()
	w.Exec(`update annals_audit.tiles set hashes = set_byte(hashes, 40, (get_byte(hashes, 40) + 1) % 256) where level = 0 and n = 1`)
	w.Register(1)
	refused := func(store *audit.Store, want error) {
		t.Helper()
		keeper := audit.NewKeeper(store, w.Log, w.Key, time.Now, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keeper.Run(ctx) }()
		w.Until("refusal", func() bool { return errors.Is(keeper.Err(), want) })
		cancel()
		<-done
	}
	refused(audit.View(w.DB), audit.ErrTampered)
	other, err := audit.LoadKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.Key = other
	refused(audit.View(w.DB), audit.ErrForeign)
}

// witness is one that works on the rows of the log.
func (w *world) witness(dir string) *audit.Witness {
	w.Helper()
	signer, err := proof.NewCosigner("witness.test", []byte(strings.Repeat("w", 32)), time.Now)
	if err != nil {
		w.Fatal(err)
	}
	out := &audit.Witness{
		Log: audit.Table{DB: w.DB}, Checkpoints: checkpoints{audit.View(w.DB), w.Key, signer}, Key: w.Key.Verifier, Signer: signer,
		File: filepath.Join(dir, "seen.json"), Patience: time.Second,
		Leaves: audit.View(w.DB).All,
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
func TestWitness(t *testing.T) { //nolint:tparallel // its parts share a log
	w := newWorld(t)
	dir := t.TempDir()
	if signed, err := w.witness(dir).Look(t.Context()); signed || err != nil {
		t.Fatalf("of nothing: %v, %v", signed, err)
	}
	stop := w.Keep()
	for n := int64(1); n <= 3; n++ {
		w.Register(100)
		w.Grown(200 * n)
		one := w.witness(dir)
		if signed, err := one.Look(t.Context()); !signed || err != nil {
			t.Fatal(signed, err)
		}
		if signed, err := one.Look(t.Context()); signed || err != nil {
			t.Fatalf("again: %v, %v", signed, err)
		}
		c := w.Grown(200 * n)
		if _, by, err := proof.Open(c.Note, w.Key.Verifier, one.Signer.Witness); err != nil || len(by) != 1 || c.By != 1 {
			t.Fatalf("signed by %v, %v", by, err)
		}
	}
	stop()
	// A signature that did not arrive is given again, though nothing is new.
	w.Exec(`delete from annals_audit.cosignatures where size = 600`)
	if signed, err := w.witness(dir).Look(t.Context()); !signed || err != nil || w.Grown(600).By != 1 {
		t.Errorf("once more: %v, %v", signed, err)
	}
	found := []string{}
	report := func(f audit.Finding) { found = append(found, f.String()) }
	out, err := w.witness(dir).Patrol(t.Context(), report)
	if err != nil || len(found) > 0 || out.Leaves != 600 {
		t.Fatal(out, err, found)
	}
	// Another log in place of the one that it knows: whole, and signed by the same key.
	backup := `create table before as table annals_audit.checkpoints`
	w.Exec(backup)
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
				w.Exec(sql)
			}
			one := w.witness(dir)
			_, err := one.Look(t.Context())
			found = []string{fmt.Sprint(err)}
			if err == nil {
				_, err = one.Patrol(t.Context(), report)
			} else if !errors.Is(err, audit.ErrBroken) {
				t.Error(err)
			}
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, %v, want %q", found, err, c.want)
			}
			w.Exec(`insert into annals_audit.checkpoints select * from before on conflict (size) do update set note = excluded.note`)
		})
	}
}

// A log whose last events were exchanged, and which was signed again, gets no signature.
func TestWitnessFork(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	stop := w.Keep()
	w.Register(10)
	w.Grown(20)
	stop()
	if signed, err := w.witness(dir).Look(t.Context()); !signed || err != nil {
		t.Fatal(signed, err)
	}
	w.Exec(`update annals_log.events set created = created - interval '1 second' where position = (select max(position) from annals_log.events)`)
	w.Restart() // the node remembers the latest events
	w.Exec(`delete from annals_audit.tree`)
	w.Exec(`delete from annals_audit.tiles`)
	w.Exec(`delete from annals_audit.checkpoints`)
	w.Register(10)
	w.Tree = audit.View(w.DB)
	stop = w.Keep()
	w.Grown(40)
	stop()
	if _, err := w.witness(dir).Look(t.Context()); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("it signed: %v", err)
	}
	_, err := w.witness(dir).Look(t.Context())
	if !errors.Is(err, audit.ErrBroken) {
		t.Errorf("it signed the second time: %v", err)
	}
}
