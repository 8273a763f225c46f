package proof_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"annals/internal/audit/proof"
)

// tiles are where a test keeps them.
type tiles map[string][]tlog.Hash

func key(t proof.Tile) string { return fmt.Sprintf("%d/%d", t.L, t.N) }

func (all tiles) keep(t proof.Tile, h []tlog.Hash) bool {
	all[key(t)] = append([]tlog.Hash{}, h...)
	return true
}

func (all tiles) read(t proof.Tile) ([]tlog.Hash, error) {
	h, ok := all[key(t)]
	if !ok || len(h) < t.W {
		return nil, fmt.Errorf("there is no tile %s", t.Path())
	}
	return h, nil
}

func leaf(n int64) tlog.Hash { return tlog.RecordHash(binary.AppendVarint(nil, n)) }

// A tree that is grown in any portions, each by a process of its own, is the tree of
// RFC 6962 as golang.org/x/mod has it, and proves the same.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		portions := rapid.SliceOfN(rapid.Int64Range(0, 700), 1, 5).Draw(t, "portions")
		if rapid.IntRange(0, 20).Draw(t, "large") == 0 {
			portions = append(portions, 66_000) // into the third level of tiles
		}
		stored, want := tiles{}, []tlog.Hash{}
		reference := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(indexes))
			for i, x := range indexes {
				out[i] = want[x]
			}
			return out, nil
		})
		size := int64(0)
		var sizes []int64
		for _, n := range portions {
			tree, err := proof.Resume(size, stored.read)
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				h := leaf(size)
				all, err := tlog.StoredHashesForRecordHash(size, h, reference)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, all...)
				tree.Append(h, func(tile proof.Tile, h []tlog.Hash) { stored.keep(tile, h) })
				size++
			}
			tree.Partial(stored.keep)
			root, err := tlog.TreeHash(size, reference)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Size() != size || tree.Root() != root {
				t.Fatalf("of %d leaves: %v, want %v", size, tree.Root(), root)
			}
			sizes = append(sizes, size)
		}
		if size == 0 {
			return
		}
		root, _ := tlog.TreeHash(size, reference)
		reader := proof.Reader(size, stored.read)
		n := rapid.Int64Range(0, size-1).Draw(t, "leaf")
		p, err := tlog.ProveRecord(size, n, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, size, root, n, leaf(n)); err != nil {
			t.Fatal(err)
		}
		for _, old := range sizes {
			if old == 0 {
				continue
			}
			before, err := tlog.TreeHash(old, proof.Reader(old, stored.read))
			if err != nil {
				t.Fatal(err)
			}
			p, err := tlog.ProveTree(size, old, reader)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(p, size, root, old, before); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTilePath(t *testing.T) {
	for path, tile := range map[string]proof.Tile{
		"0/000":                 {L: 0, N: 0, W: 256},
		"0/x001/067":            {L: 0, N: 1067, W: 256},
		"2/x001/x234/067.p/112": {L: 2, N: 1234067, W: 112},
	} {
		if got := tile.Path(); got != path {
			t.Errorf("%v: %s, want %s", tile, got, path)
		}
	}
}

func draw(t *rapid.T) *proof.Leaf {
	text := rapid.StringN(0, 40, 100)
	return &proof.Leaf{
		Commit: rapid.Uint64().Draw(t, "commit"), Prepare: rapid.Uint64().Draw(t, "prepare"),
		Stream: text.Draw(t, "stream"), Revision: rapid.Uint64().Draw(t, "revision"),
		ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Type: text.Draw(t, "type"),
		Created: rapid.Int64().Draw(t, "created"), JSON: rapid.Bool().Draw(t, "json"),
		Data:     proof.Sum(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data")),
		Metadata: proof.Sum(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "metadata")),
	}
}

func TestLeaf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		got, err := proof.ParseLeaf(a.Append(nil))
		if err != nil || *got != *a {
			t.Fatalf("%+v, %v; want %+v", got, err, a)
		}
		if (*a == *b) != (a.Hash() == b.Hash()) || (*a == *b) != bytes.Equal(a.Append(nil), b.Append(nil)) {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
	at := time.Date(1969, 2, 3, 4, 5, 6, 123456700, time.UTC)
	if got := proof.Time(proof.Ticks(at)); !got.Equal(at) {
		t.Error(got)
	}
}

func FuzzParseLeaf(f *testing.F) {
	f.Add((&proof.Leaf{Stream: "client-x", Type: "client.registered"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := proof.ParseLeaf(b); err == nil && !bytes.Equal(l.Append(nil), b) {
			t.Errorf("%+v has other bytes", l)
		}
	})
}

func TestCheckpoint(t *testing.T) {
	secret, public, err := note.GenerateKey(rand.Reader, "annals.test/1")
	if err != nil {
		t.Fatal(err)
	}
	signer, _ := note.NewSigner(secret)
	log, _ := note.NewVerifier(public)
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	witness, err := proof.NewCosigner("witness.test", bytes.Repeat([]byte{7}, 32), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	w, err := proof.ParseWitness(witness.String())
	if err != nil {
		t.Fatal(err)
	}
	want := proof.Checkpoint{Origin: "annals.test/1", Size: 12, Root: leaf(3)}
	msg, err := want.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, by, err := proof.Open(msg, log, w); err != nil || got != want || len(by) != 0 {
		t.Fatalf("%+v, %v, %v", got, by, err)
	}
	line, err := witness.Cosign(want)
	if err != nil {
		t.Fatal(err)
	}
	msg = append(msg, line...)
	got, by, err := proof.Open(msg, log, w)
	if diff := cmp.Diff([]proof.Cosigned{{Witness: "witness.test", At: now}}, by); err != nil || got != want || diff != "" {
		t.Fatalf("%+v, %v\n%s", got, err, diff)
	}
	if _, by, err := proof.Open(msg, log); err != nil || len(by) != 0 {
		t.Errorf("to somebody who does not know the witness: %v, %v", by, err)
	}
	for name, bad := range map[string]string{
		"another size":     strings.Replace(string(msg), "\n12\n", "\n13\n", 1),
		"only the witness": want.Text() + "\n" + string(line),
		"a size with zero": strings.Replace(string(msg), "\n12\n", "\n012\n", 1),
		"nothing":          "",
	} {
		if _, _, err := proof.Open([]byte(bad), log, w); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	other := proof.Checkpoint{Origin: "annals.test/2", Size: 12, Root: leaf(3)}
	msg, _ = other.Sign(signer)
	if _, _, err := proof.Open(msg, log); err == nil {
		t.Error("the checkpoint of another log passes")
	}
	for _, bad := range []string{"", "a+b", "witness.test+00000000+" + strings.Repeat("A", 44), strings.Replace(witness.String(), "witness", "wetness", 1)} {
		if _, err := proof.ParseWitness(bad); err == nil {
			t.Errorf("%q is no key", bad)
		}
	}
}
