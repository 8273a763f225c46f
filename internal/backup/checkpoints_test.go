package backup

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"annals/domain"
	"annals/internal/audit"
	"annals/internal/audit/audittest"
	"annals/internal/audit/proof"
	"annals/internal/postgres/pgtest"
)

// What is put back is the same tree, checkpoint by checkpoint: each that was signed before the
// backup is of a beginning of what grows on afterwards, although somebody was erased in between,
// and is so again.
func TestCheckpointByCheckpoint(t *testing.T) {
	t.Parallel()
	w, dir := audittest.New(t), filepath.Join(t.TempDir(), "backup")
	stop := w.Keep()
	var issued []audit.Issued
	var ids []domain.ID
	leaves := int64(0)
	for n := range 8 {
		ids = append(ids, w.Register(n+1)...)
		leaves += 2 * int64(n+1)
		issued = append(issued, w.Grown(leaves))
	}
	m, err := Write(t.Context(), Config{Database: w.URL, Blobs: "file://" + t.TempDir(), Now: time.Now}, dir)
	stop()
	if err != nil {
		t.Fatal(err)
	}

	to := pgtest.Database(t)
	_, done := node(t, to)
	done()
	db, err := pgxpool.New(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tree, err := audit.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if err := RestoreDatabase(t.Context(), m, dir, to); err != nil {
		t.Fatal(err)
	}
	log, done := node(t, to)
	defer done()
	eraseAgain(t, log, ids[:3]...)
	again := &audittest.World{T: t, URL: to, DB: db, Log: log, Tree: tree, Key: w.Key}
	again.Keep()
	again.Register(5)
	now := again.Grown(leaves + 3*2 + 10)
	signed, _, err := proof.Open(now.Note, w.Key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	for _, was := range issued {
		old, _, err := proof.Open(was.Note, w.Key.Verifier)
		if err != nil {
			t.Fatal(err)
		}
		p, err := tlog.ProveTree(signed.Size, old.Size, tree.Hashes(t.Context(), signed.Size))
		if err == nil {
			err = tlog.CheckTree(p, signed.Size, signed.Root, old.Size, old.Root)
		}
		if err != nil {
			t.Errorf("checkpoint of %d leaves: %v", old.Size, err)
		}
	}
	authenticity, err := log.Authenticity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live, err := audit.Verification{Log: audit.Table{DB: db}, Tree: tree, Key: w.Key.Verifier, Authenticity: authenticity}.Live(t.Context(), func(f audit.Finding) { t.Error(f) })
	if err != nil || live.Checkpoint.Size != now.Size {
		t.Errorf("%d leaves checked, %v", live.Checkpoint.Size, err)
	}
}
