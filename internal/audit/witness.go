package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/eventschema"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

// Checkpoints is where a witness gets what the log signs, and gives back what it has
// signed itself.
type Checkpoints interface {
	// Latest is the latest checkpoint, [ErrAbsent] while there is none.
	Latest(ctx context.Context) ([]byte, error)
	// Cosign adds the witness's signature to the checkpoint of that size.
	Cosign(ctx context.Context, size int64, line []byte) error
}

// ErrBroken means that the log is not what it was: a witness signs nothing of it any more.
var ErrBroken = errors.New("the log is not what it was")

// Witness builds a tree of its own from the log, as it comes, and remembers it. It signs a
// checkpoint only if its own tree is the same, so that a log which was changed, cut off or
// forked gets no signature.
type Witness struct {
	Log         Log
	Checkpoints Checkpoints
	Key         note.Verifier // of the log
	Signer      *proof.Cosigner
	File        string        // where it remembers
	Patience    time.Duration // how long the log may lack what was signed before it is broken
	// Authenticity says what the code of an event says of it, see [Comparison].
	Authenticity func(*eventlog.Record) eventschema.Authenticity
	// Leaves are those of the log's own tree from the nth on. They tell what keys of erased
	// people were, which left the log before the witness had seen them; nil where nobody is
	// erased.
	Leaves func(ctx context.Context, n int64) iter.Seq2[Placed, error]

	memory memory
	tree   *proof.Tree
}

// memory is what a witness remembers.
type memory struct {
	Checkpoint string            `json:"checkpoint"` // the last that it has signed
	Size       int64             `json:"size"`
	At         eventlog.Position `json:"at"`    // of the last leaf
	Edge       map[int][]byte    `json:"edge"`  // of its tree, by level
	Codes      bool              `json:"codes"` // events have codes by now
}

// Open reads what the witness remembers; at first that is nothing.
func (w *Witness) Open() error {
	raw, err := os.ReadFile(w.File)
	if errors.Is(err, fs.ErrNotExist) {
		w.tree = &proof.Tree{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	if err := json.Unmarshal(raw, &w.memory); err != nil {
		return fmt.Errorf("witness: %s is damaged: %w", w.File, err)
	}
	w.tree, err = proof.Resume(w.memory.Size, func(t proof.Tile) ([]tlog.Hash, error) { return proof.Split(w.memory.Edge[t.L]) })
	if err != nil {
		return fmt.Errorf("witness: %s is damaged: %w", w.File, err)
	}
	c, _, err := proof.Open([]byte(w.memory.Checkpoint), w.Key)
	if err != nil || c.Size != w.memory.Size || c.Root != w.tree.Root() {
		return fmt.Errorf("witness: what %s remembers is not what the log has signed", w.File)
	}
	return nil
}

// Size is how many leaves the last checkpoint has that it has signed.
func (w *Witness) Size() int64 { return w.memory.Size }

// Look signs the latest checkpoint if the log is what it says. It is false when there is
// nothing new.
func (w *Witness) Look(ctx context.Context) (bool, error) {
	raw, err := w.Checkpoints.Latest(ctx)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, by, err := proof.Open(raw, w.Key, w.Signer.Witness)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if c.Size < w.memory.Size {
		return false, fmt.Errorf("%w: it shows a checkpoint of %d leaves, and has signed one of %d: it was rolled back", ErrBroken, c.Size, w.memory.Size)
	}
	if c.Size == w.memory.Size {
		if c.Root != w.tree.Root() {
			return false, fmt.Errorf("%w: it has signed another tree of %d leaves: it was forked", ErrBroken, c.Size)
		}
		if c.Size == 0 || len(by) > 0 {
			return false, nil
		}
		return true, w.cosign(ctx, c) // it remembers what it could not tell
	}
	grown, at, err := w.grow(ctx, c)
	if err != nil {
		return false, err // what it remembers stays what it has signed
	}
	w.tree = grown
	// It remembers before anybody can know that it has signed.
	if err := w.remember(raw, c, at); err != nil {
		return false, err
	}
	return true, w.cosign(ctx, c)
}

// cosign signs what the witness remembers.
func (w *Witness) cosign(ctx context.Context, c proof.Checkpoint) error {
	line, err := w.Signer.Cosign(c)
	if err != nil {
		return err
	}
	return w.Checkpoints.Cosign(ctx, c.Size, line)
}

// grow is the tree of the checkpoint, if what is in the log comes to that.
func (w *Witness) grow(ctx context.Context, c proof.Checkpoint) (grown *proof.Tree, at eventlog.Position, err error) {
	if w.memory.Size > 0 {
		codes := w.memory.Codes
		if grown, at, err = w.follow(ctx, c.Size); err == nil && grown.Root() != c.Root {
			err = fmt.Errorf("%w: between leaf %d and leaf %d its events are not those of the tree that it has signed: one was changed, removed or added", ErrBroken, w.memory.Size, c.Size)
		}
		if err == nil || !errors.Is(err, ErrBroken) {
			return grown, at, err
		}
		w.memory.Codes = codes
	}
	// Somebody may have been erased whose key it has not seen.
	again, last, failed := w.reread(ctx, c)
	if failed != nil {
		return nil, last, errors.Join(err, failed)
	}
	return again, last, nil
}

// reread is the tree of the checkpoint out of all of the log, and of the leaves of keys that
// the log rightly does not have any more.
func (w *Witness) reread(ctx context.Context, c proof.Checkpoint) (*proof.Tree, eventlog.Position, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var at eventlog.Position
	for last, err := range w.Leaves(ctx, c.Size-1) {
		if err != nil {
			return nil, at, err
		}
		at = last.At
		break
	}
	grown, forked := &proof.Tree{}, w.memory.Size > 0
	leaves := func(yield func(Placed, error) bool) {
		for leaf, err := range w.Leaves(ctx, 0) {
			if err == nil && grown.Size() < c.Size {
				grown.Append(leaf.Hash, nil)
				if grown.Size() == w.memory.Size {
					forked = grown.Root() != w.tree.Root()
				}
			}
			if !yield(leaf, err) {
				return
			}
		}
	}
	var first error
	out, err := Comparison{Log: w.Log, Leaves: leaves, Size: c.Size, Until: at, Authenticity: w.Authenticity, Report: func(f Finding) {
		if first == nil {
			first = fmt.Errorf("%w: %s", ErrBroken, f)
		}
	}}.Run(ctx)
	switch {
	case err != nil:
		return nil, at, err
	case first != nil:
		return nil, at, first
	case forked || out.Root != c.Root:
		return nil, at, fmt.Errorf("%w: the leaves of its tree are not those that it has signed", ErrBroken)
	}
	w.memory.Codes = w.memory.Codes || out.Codes
	return grown, at, nil
}

// follow grows the witness's tree to that size with what is in the log.
func (w *Witness) follow(ctx context.Context, size int64) (grown *proof.Tree, at eventlog.Position, err error) {
	if grown, err = proof.Resume(w.tree.Size(), w.edge); err != nil {
		return nil, at, err
	}
	short := func() error {
		return fmt.Errorf("%w: it has signed %d events, and the log has only %d", ErrBroken, size, grown.Size())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(w.Patience, func() { cancel(errSilent) })
	defer silence.Stop()
	for item, err := range w.Log.SubscribeStored(ctx, w.memory.At, proof.CoveredPattern) {
		if errors.Is(context.Cause(ctx), errSilent) {
			break
		}
		if err != nil {
			return nil, at, err
		}
		silence.Reset(w.Patience)
		if r := item.Record; r != nil && proof.Covered(r.Stream) {
			if w.Authenticity != nil {
				if what := foreign(r, w.Authenticity(r), &w.memory.Codes); what != "" {
					return nil, at, fmt.Errorf("%w: %s %s", ErrBroken, LeafOf(r), what)
				}
			}
			grown.Append(LeafOf(r).Hash(), nil)
			if at = r.Position; grown.Size() == size {
				return grown, at, nil
			}
		}
	}
	return nil, at, short()
}

var errSilent = errors.New("nothing comes any more")

// edge reads the tiles of the tree that are not whole.
func (w *Witness) edge(t proof.Tile) (hashes []tlog.Hash, err error) {
	for tile, h := range w.tree.Partial {
		if tile == t {
			return h, nil
		}
	}
	return nil, ErrAbsent
}

// remember writes what the witness has seen, so that there is either all of it or what
// was before.
func (w *Witness) remember(raw []byte, c proof.Checkpoint, at eventlog.Position) error {
	m := memory{Checkpoint: string(raw), Size: c.Size, At: at, Edge: map[int][]byte{}, Codes: w.memory.Codes}
	for tile, hashes := range w.tree.Partial {
		m.Edge[tile.L] = proof.Join(hashes)
	}
	if err := w.save(m); err != nil {
		return err
	}
	w.memory = m
	return nil
}

func (w *Witness) save(m memory) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(w.File), filepath.Base(w.File)+".*")
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), w.File)
	}
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	dir, err := os.Open(filepath.Dir(w.File))
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Patrol reads the whole log again and holds it against what the witness remembers: what
// was changed, removed or added among old events is reported. The leaves are those that
// the log's own tree has; that they are the ones which were signed is checked.
func (w *Witness) Patrol(ctx context.Context, report func(Finding)) (Compared, error) {
	if w.memory.Size == 0 {
		return Compared{}, nil
	}
	out, err := Comparison{Log: w.Log, Leaves: w.Leaves(ctx, 0), Size: w.memory.Size, Until: w.memory.At, Report: report, Authenticity: w.Authenticity}.Run(ctx)
	if err != nil {
		return out, err
	}
	if out.Root != w.tree.Root() {
		report(Finding{-1, w.memory.At, fmt.Sprintf("the tree's first %d leaves are not those that the witness has signed", w.memory.Size)})
	}
	return out, nil
}
