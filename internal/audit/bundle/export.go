package bundle

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
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
	"annals/internal/replay"
)

// Source is what a bundle is made from.
type Source struct {
	Log       *eventlog.Log
	Tree      *audit.Store
	Key       *audit.Key
	Witnesses []proof.Witness
	Now       func() time.Time
	App       string // version of the software
}

// Summary is what a bundle came to have.
type Summary struct {
	Events  int64
	Streams int
	Leaves  int64 // of the tree that was signed
	Cosigns int   // witnesses under the checkpoint
}

// ErrNothing means that the log has nothing of what the bundle would be about.
var ErrNothing = errors.New("there is nothing in the log to export")

// Export writes a bundle into a directory, which must not exist. On an error nothing is
// left behind. It reads the log twice, however little is exported, since only so it is
// known that nothing was left out; its memory is the names of the streams.
func (s *Source) Export(ctx context.Context, scope Scope, dir string) (sum Summary, err error) {
	if _, err := os.Lstat(dir); err == nil {
		return sum, fmt.Errorf("%s is there already", dir)
	}
	c, err := s.Tree.CheckpointFor(ctx, 0)
	if errors.Is(err, audit.ErrAbsent) {
		return sum, ErrNothing
	}
	if err != nil {
		return sum, fmt.Errorf("checkpoint: %w", err)
	}
	newest, err := s.Tree.Checkpoint(ctx)
	if err != nil {
		return sum, fmt.Errorf("checkpoint: %w", err)
	}
	sum, err = s.export(ctx, scope, dir, c, newest)
	if errors.Is(err, errYounger) { // than what a witness has signed
		sum, err = s.export(ctx, scope, dir, newest, newest)
	}
	return sum, err
}

var errYounger = errors.New("there are younger events than those of the checkpoint")

// export writes a bundle whose proofs lead to the checkpoint, if all that the newest has
// of the scope is in it.
func (s *Source) export(ctx context.Context, scope Scope, dir string, c, newest audit.Issued) (sum Summary, err error) {
	sel, err := s.choose(ctx, scope, newest.At)
	if err != nil {
		return sum, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".part-*")
	if err != nil {
		return sum, fmt.Errorf("bundle: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	w := &writer{dir: tmp, source: s, checkpoint: c, until: newest.At, scope: scope, counts: map[string]int64{}, types: map[string]bool{}}
	if err := w.write(ctx, sel); err != nil {
		return sum, err
	}
	if w.events == 0 {
		return sum, ErrNothing
	}
	if err := os.Rename(tmp, dir); err != nil {
		return sum, fmt.Errorf("bundle: %w", err)
	}
	return Summary{w.events, len(w.counts), c.Size, c.By}, nil
}

// writer writes one bundle.
type writer struct {
	dir        string
	source     *Source
	checkpoint audit.Issued
	until      eventlog.Position // nothing of the scope may be between the checkpoint and this
	scope      Scope

	events int64
	counts map[string]int64 // of each stream
	types  map[string]bool  // with their versions
	files  []file

	hashes         tlog.HashReader
	stored, opened *json.Encoder
	names          *replay.Names
	report         *report
}

func (w *writer) write(ctx context.Context, sel *selection) error {
	steps := []func() error{
		func() error { return w.all(ctx, sel) },
		w.streams,
		w.schemas,
		func() error { return w.text(checkpointFile, string(w.checkpoint.Note)) },
		w.keys,
		func() error { return w.text(readmeFile, readme) },
		w.manifest,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// output is a file of the bundle being written.
type output struct {
	*bufio.Writer
	f    *os.File
	name string
	sum  hash.Hash
	size int64
}

func (w *writer) create(name string) (*output, error) {
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // below a directory of our own
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	o := &output{f: f, name: name, sum: sha256.New()}
	o.Writer = bufio.NewWriterSize(io.MultiWriter(f, o.sum, (*counter)(&o.size)), 1<<16)
	return o, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// done ends a file, which is then listed.
func (w *writer) done(o *output, err error) error {
	err = errors.Join(err, o.Flush(), o.f.Sync(), o.f.Close())
	if err != nil {
		return fmt.Errorf("bundle: %s: %w", o.name, err)
	}
	w.files = append(w.files, file{o.name, o.size, [sha256.Size]byte(o.sum.Sum(nil))})
	return nil
}

func (w *writer) text(name, content string) error {
	o, err := w.create(name)
	if err != nil {
		return err
	}
	_, err = o.WriteString(content)
	return w.done(o, err)
}

// all writes the events, as they are stored and opened.
func (w *writer) all(ctx context.Context, sel *selection) (err error) {
	var outs [3]*output
	for i, name := range []string{eventsFile, historyFile, reportFile} {
		if outs[i], err = w.create(name); err != nil {
			return err
		}
		defer func() { err = w.done(outs[i], err) }()
	}
	w.report = newReport(outs[2], w.scope, w.source, w.checkpoint)
	if err := w.report.begin(); err != nil {
		return err
	}
	w.hashes = w.source.Tree.Hashes(ctx, w.checkpoint.Size)
	w.stored, w.opened = encoder(outs[0]), encoder(outs[1])
	w.names = replay.NewNames(w.source.Log)
	next, stop := iter.Pull2(w.source.Tree.All(ctx, 0))
	defer stop()
	n := int64(-1)
	for item, err := range w.source.Log.SubscribeStored(ctx, eventlog.Position{}, proof.CoveredPattern) {
		if err != nil {
			return err
		}
		if r := item.Record; r != nil && r.Position.Compare(w.checkpoint.At) > 0 {
			if r.Position.Compare(w.until) <= 0 && sel.has(r) {
				return errYounger
			}
		} else if r != nil && proof.Covered(r.Stream) {
			// Leaves whose events have left the log with an erased person's key.
			for leaf := (audit.Placed{}); leaf.At != r.Position; {
				var ok bool
				if leaf, err, ok = next(); err != nil {
					return err
				} else if !ok || leaf.At.Compare(r.Position) > 0 {
					return fmt.Errorf("the tree does not have the event at %s: see annals audit verify --live", r.Position)
				}
				n++
				if gone := sel.gone[leaf.At]; leaf.At != r.Position && gone != nil && sel.during(gone.Created) {
					if err := w.withheld(gone, n); err != nil {
						return err
					}
				}
			}
			if sel.has(r) {
				if err := w.event(ctx, r, n); err != nil {
					return err
				}
			}
		}
		if item.Position.Compare(w.until) >= 0 || item.Live {
			break
		}
	}
	return w.report.end(w.events)
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// lineOf is an event without its data, with its proof.
func (w *writer) lineOf(leaf *proof.Leaf, n int64) (line, error) {
	path, err := tlog.ProveRecord(w.checkpoint.Size, n, w.hashes)
	if err != nil {
		return line{}, fmt.Errorf("proof of leaf %d: %w", n, err)
	}
	l := line{
		Index: n, Commit: leaf.Commit, Prepare: leaf.Prepare, Stream: leaf.Stream, Revision: leaf.Revision, ID: leaf.ID.String(),
		Type: leaf.Type, Created: leaf.Created, JSON: leaf.JSON, Proof: make([][]byte, len(path)),
	}
	for i := range path {
		l.Proof[i] = path[i][:]
	}
	w.events++
	w.counts[leaf.Stream]++
	return l, nil
}

// withheld writes one event without its data, to the file that proves it.
func (w *writer) withheld(leaf *proof.Leaf, n int64) error {
	l, err := w.lineOf(leaf, n)
	if err != nil {
		return err
	}
	l.DataSHA256, l.MetadataSHA256 = hex.EncodeToString(leaf.Data[:]), hex.EncodeToString(leaf.Metadata[:])
	return w.stored.Encode(&l)
}

// event writes one event to all files.
func (w *writer) event(ctx context.Context, r *eventlog.Record, n int64) error {
	leaf := audit.LeafOf(r)
	if strings.HasPrefix(r.Stream, eventschema.Key+"-") && r.Type != deleted {
		if _, err := w.source.Log.Opened(ctx, r); err != nil { // so that the key is known when it is needed
			return err
		}
		return w.withheld(leaf, n) // who has a key, wrapped or not, has more than what is exported
	}
	l, err := w.lineOf(leaf, n)
	if err != nil {
		return err
	}
	data, metadata := nonNil(r.Stored.Data), nonNil(r.Stored.Metadata)
	l.Data, l.Metadata = &data, &metadata
	if err := w.stored.Encode(&l); err != nil {
		return err
	}
	t, err := w.tell(ctx, r, n)
	if err != nil {
		return err
	}
	if t.Schema > 0 {
		w.types[fmt.Sprintf("%s.v%d", r.Type, t.Schema)] = true
	}
	if err := w.opened.Encode(t); err != nil {
		return err
	}
	return w.report.event(t)
}

const deleted = "$streamDeleted"

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// streams writes how many events of each stream there are.
func (w *writer) streams() error {
	o, err := w.create(streamsFile)
	if err != nil {
		return err
	}
	for _, stream := range slices.Sorted(maps.Keys(w.counts)) {
		if _, err = fmt.Fprintf(o, "%d %s\n", w.counts[stream], stream); err != nil {
			break
		}
	}
	return w.done(o, err)
}

// schemas writes what the data of the events looks like.
func (w *writer) schemas() error {
	for _, name := range slices.Sorted(maps.Keys(w.types)) {
		schema, ok := eventschema.JSONSchema(name)
		if !ok {
			continue
		}
		if err := w.text(schemaDir+"/"+name+".json", string(schema)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) keys() error {
	var b strings.Builder
	fmt.Fprintln(&b, w.source.Key.Public)
	for _, k := range w.source.Witnesses {
		fmt.Fprintln(&b, k)
	}
	return w.text(KeysFile, b.String())
}

// manifest signs what the bundle has.
func (w *writer) manifest() error {
	slices.SortFunc(w.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	m := manifest{
		origin: w.source.Key.Name(), scope: w.scope.String(), made: w.source.Now().UTC().Format(time.RFC3339Nano),
		events: w.events, leaves: w.checkpoint.Size, files: w.files,
	}
	signed, err := note.Sign(&note.Note{Text: m.text()}, w.source.Key)
	if err != nil {
		return fmt.Errorf("sign the manifest: %w", err)
	}
	return w.text(manifestFile, string(signed))
}
