package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"annals/eventschema"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

// Placed is a leaf as the tree has it: where its event is in the log, and its hash.
type Placed struct {
	At   eventlog.Position
	Hash tlog.Hash
}

// Log is the part of [eventlog.Log] that comparing needs.
type Log interface {
	SubscribeStored(ctx context.Context, after eventlog.Position, pattern string) iter.Seq2[eventlog.Item, error]
	Head(ctx context.Context) (eventlog.Position, error)
}

// Finding is something that is not as it was when it went into the tree.
type Finding struct {
	Index int64 // of the leaf, -1 where there is none
	At    eventlog.Position
	What  string
}

func (f Finding) String() string {
	if f.Index < 0 {
		return fmt.Sprintf("position %s: %s", f.At, f.What)
	}
	return fmt.Sprintf("leaf %d, position %s: %s", f.Index, f.At, f.What)
}

// Compared is what came of a comparison.
type Compared struct {
	Leaves int64 // that were compared
	Erased int64 // leaves of keys of erased people, which the log rightly does not have any more
	Later  int64 // events that are younger than the tree
	Root   tlog.Hash
	Codes  bool // some event has a code
}

// Comparison is of the log with the first leaves of the tree.
type Comparison struct {
	Log    Log
	Leaves iter.Seq2[Placed, error]
	Size   int64                         // how many leaves
	Until  eventlog.Position             // where the last of them is
	Report func(Finding)                 // is told of each event that was changed, removed or added
	Whole  func(proof.Tile, []tlog.Hash) // is given the tiles over the leaves; may be nil
	// Authenticity says what the code of an event says of it; nil where there is no key to
	// check codes with. It tells what was added at the log's end, where the tree is not yet.
	Authenticity func(*eventlog.Record) eventschema.Authenticity
}

// Run walks through the log and the leaves together. What it needs of memory does not
// grow with the log, but for keys of erased people.
func (cfg Comparison) Run(ctx context.Context) (out Compared, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	head, err := cfg.Log.Head(ctx)
	if err != nil {
		return out, err
	}
	size := cfg.Size
	c := comparison{missing: map[tlog.Hash]Finding{}, report: cfg.Report}
	next, stop := iter.Pull2(cfg.Leaves)
	defer stop()
	leaf, n := Placed{}, int64(-1)
	advance := func() error {
		if n++; n >= size {
			return nil
		}
		var ok bool
		var err error
		if leaf, err, ok = next(); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("the tree has only %d leaves of the %d that were signed", n, size)
		}
		c.tree.Append(leaf.Hash, cfg.Whole)
		return nil
	}
	if err := advance(); err != nil {
		return out, err
	}
	var last eventlog.Position
	for item, err := range cfg.Log.SubscribeStored(ctx, eventlog.Position{}, proof.CoveredPattern) {
		if err != nil {
			return out, err
		}
		if r := item.Record; r != nil && proof.Covered(r.Stream) {
			last = r.Position
			if cfg.Authenticity != nil {
				if what := foreign(r, cfg.Authenticity(r), &c.codes); what != "" {
					cfg.Report(Finding{-1, r.Position, fmt.Sprintf("%s %s", LeafOf(r), what)})
				}
			}
			for n < size && leaf.At.Compare(r.Position) < 0 {
				c.absent(n, leaf)
				if err := advance(); err != nil {
					return out, err
				}
			}
			switch {
			case n < size && leaf.At == r.Position:
				c.same(n, leaf, r)
				if err := advance(); err != nil {
					return out, err
				}
			case r.Position.Compare(cfg.Until) <= 0:
				cfg.Report(Finding{-1, r.Position, fmt.Sprintf("%s is not in the tree: it was added", LeafOf(r))})
			default:
				out.Later++
				c.learn(r)
			}
		} else if item.Position.Compare(last) > 0 {
			last = item.Position
		}
		if item.Live || last.Compare(head) >= 0 {
			break
		}
	}
	for n < size {
		c.absent(n, leaf)
		if err := advance(); err != nil {
			return out, err
		}
	}
	c.settle()
	out.Leaves, out.Erased, out.Root, out.Codes = size, c.erased, c.tree.Root(), c.codes
	return out, nil
}

// comparison is one under way.
type comparison struct {
	tree    proof.Tree
	missing map[tlog.Hash]Finding // leaves whose events the log does not have
	told    []*proof.Leaf         // of keys, by what the log tells of erasures
	gone    map[string]bool       // streams of keys that are deleted
	erased  int64
	codes   bool // there have been events with codes
	report  func(Finding)
}

// foreign says what is wrong with who has written an event, if anything. Events that are
// older than codes have none; once there are codes, every event of Annals' own has one.
func foreign(r *eventlog.Record, a eventschema.Authenticity, codes *bool) string {
	if _, err := r.Ref(); err != nil || !eventschema.Known(r.Type) {
		return "" // somebody else's, in the same log
	}
	switch {
	case a == eventschema.Authentic:
		*codes = true
	case a == eventschema.Unsigned && *codes:
		return "has no code: Annals has not written it, it was added"
	case a == eventschema.Forged:
		return "is not what Annals has written, or not where: it was changed or added"
	case a == eventschema.Retired:
		return "was written with a master key that had been retired: Annals has not written it, it was added"
	case a == eventschema.Foreign:
		return "was written with another master key"
	}
	return ""
}

func (c *comparison) absent(n int64, leaf Placed) {
	c.missing[leaf.Hash] = Finding{n, leaf.At, "its event is not in the log any more: it was removed"}
}

func (c *comparison) same(n int64, leaf Placed, r *eventlog.Record) {
	own := LeafOf(r)
	if own.Hash() != leaf.Hash {
		c.report(Finding{n, leaf.At, fmt.Sprintf("%s is not what it was: it was changed", own)})
		return
	}
	c.learn(r)
}

// learn notes what an event tells of keys that have left the log.
func (c *comparison) learn(r *eventlog.Record) {
	switch {
	case r.Type == deleted && strings.HasPrefix(r.Stream, eventschema.Key+"-"):
		if c.gone == nil {
			c.gone = map[string]bool{}
		}
		c.gone[r.Stream] = true
	case r.Type == ErasedType:
		c.told = append(c.told, Told(r.Stored.Data)...)
	}
}

const deleted = "$streamDeleted"

// ErasedType is the type of the event that tells of an erasure, and of the leaves of the
// key that left the log with it.
const ErasedType = "client.erased"

// Told is the leaves of a key that are told by the event of an erasure, whose data it is.
func Told(data []byte) (leaves []*proof.Leaf) {
	var e struct {
		Keys [][]byte `json:"key_leaves"`
	}
	if json.Unmarshal(data, &e) != nil {
		return nil
	}
	for _, raw := range e.Keys {
		if l, err := proof.ParseLeaf(raw); err == nil && strings.HasPrefix(l.Stream, eventschema.Key+"-") {
			leaves = append(leaves, l)
		}
	}
	return leaves
}

// settle reports what is missing without having been erased.
func (c *comparison) settle() {
	for _, l := range c.told {
		if _, ok := c.missing[l.Hash()]; ok && c.gone[l.Stream] {
			delete(c.missing, l.Hash())
			c.erased++
		}
	}
	left := slices.SortedFunc(maps.Values(c.missing), func(a, b Finding) int { return cmp.Compare(a.Index, b.Index) })
	for _, f := range left {
		c.report(f)
	}
}

// All is the leaves of the tree from the nth on, in order, as the store has them.
func (s *Store) All(ctx context.Context, n int64) iter.Seq2[Placed, error] {
	return func(yield func(Placed, error) bool) {
		stop := errors.New("enough")
		err := s.Leaves(ctx, n, func(at eventlog.Position, h tlog.Hash) error {
			if !yield(Placed{at, h}, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(Placed{}, err)
		}
	}
}
