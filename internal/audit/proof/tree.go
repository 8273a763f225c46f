package proof

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Height is that of a tile: it holds up to [Width] hashes of one level, and the hash
// over a whole one is a hash of the level above.
const (
	Height = 8
	Width  = 1 << Height
)

// levels is how many levels of tiles there can be at most.
const levels = 8

// Tile names a tile: of level L, the Nth, with W hashes.
type Tile struct {
	L int
	N int64
	W int
}

// Path is where C2SP tlog-tiles has the tile.
func (t Tile) Path() string {
	n := fmt.Sprintf("%03d", t.N%1000)
	for rest := t.N / 1000; rest > 0; rest /= 1000 {
		n = fmt.Sprintf("x%03d/", rest%1000) + n
	}
	if t.W < Width {
		n += fmt.Sprintf(".p/%d", t.W)
	}
	return fmt.Sprintf("%d/%s", t.L, n)
}

// Tree grows a Merkle tree. Its memory is the edge: the tiles that are not whole. The
// zero Tree is empty.
type Tree struct {
	size int64
	edge [levels][]tlog.Hash
}

// Size is how many leaves the tree has.
func (t *Tree) Size() int64 { return t.size }

// Edge is the names of the tiles that are not whole.
func Edge(size int64) []Tile {
	var tiles []Tile
	for l := 0; size > 0; l++ {
		if w := int(size % Width); w > 0 {
			tiles = append(tiles, Tile{l, size / Width, w})
		}
		size /= Width
	}
	return tiles
}

// Resume is a tree of that size, whose edge is read tile by tile.
func Resume(size int64, read func(Tile) ([]tlog.Hash, error)) (*Tree, error) {
	t := &Tree{size: size}
	for _, tile := range Edge(size) {
		hashes, err := read(tile)
		if err != nil {
			return nil, err
		}
		if len(hashes) < tile.W {
			return nil, fmt.Errorf("tile %s has %d hashes", tile.Path(), len(hashes))
		}
		t.edge[tile.L] = append(make([]tlog.Hash, 0, Width), hashes[:tile.W]...)
	}
	return t, nil
}

// Append adds a leaf. Whole is given each tile that became whole by it; it must not
// keep the hashes. It may be nil.
func (t *Tree) Append(h tlog.Hash, whole func(Tile, []tlog.Hash)) {
	t.size++
	n := t.size
	for l := range t.edge {
		if t.edge[l] == nil {
			t.edge[l] = make([]tlog.Hash, 0, Width)
		}
		t.edge[l] = append(t.edge[l], h)
		if len(t.edge[l]) < Width {
			return
		}
		n /= Width
		if whole != nil {
			whole(Tile{l, n - 1, Width}, t.edge[l])
		}
		h = fold(t.edge[l])
		t.edge[l] = t.edge[l][:0]
	}
}

// Partial yields the tiles that are not whole.
func (t *Tree) Partial(yield func(Tile, []tlog.Hash) bool) {
	for _, tile := range Edge(t.size) {
		if !yield(tile, t.edge[tile.L]) {
			return
		}
	}
}

// Root is the hash over all leaves.
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		root, _ := tlog.TreeHash(0, nil)
		return root
	}
	var root tlog.Hash
	have := false
	for l := range t.edge {
		// From the right: the smallest whole subtree first.
		hashes := t.edge[l]
		for len(hashes) > 0 {
			n := 1 << bits.TrailingZeros(uint(len(hashes)))
			sub := fold(hashes[len(hashes)-n:])
			hashes = hashes[:len(hashes)-n]
			if !have {
				root, have = sub, true
			} else {
				root = tlog.NodeHash(sub, root)
			}
		}
	}
	return root
}

// fold is the hash over a number of hashes that is a power of two.
func fold(hashes []tlog.Hash) tlog.Hash {
	var room [Width]tlog.Hash
	level := room[:copy(room[:], hashes)]
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

// Join is a tile as it is stored and served.
func Join(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

var errTile = errors.New("a tile's size is no multiple of a hash's")

// Split is the opposite of [Join].
func Split(b []byte) ([]tlog.Hash, error) {
	if len(b)%tlog.HashSize != 0 {
		return nil, errTile
	}
	hashes := make([]tlog.Hash, len(b)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[i*tlog.HashSize:])
	}
	return hashes, nil
}

// Reader reads hashes of a tree of that size out of its tiles, for [tlog.ProveRecord],
// [tlog.ProveTree] and [tlog.TreeHash]. What is in a tile is taken as it is; the same
// tile is read often. One goroutine may use it.
func Reader(size int64, read func(Tile) ([]tlog.Hash, error)) tlog.HashReader {
	var last [levels]struct {
		tile  Tile
		above above
	}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			first, count := n<<(level%Height), 1<<(level%Height) // hashes of the tiles' level under it
			tile := Tile{level / Height, first / Width, Width}
			if all := size >> (Height * tile.L); tile.N == all/Width {
				tile.W = int(all % Width)
			}
			known := &last[tile.L]
			if known.above == nil || known.tile != tile {
				hashes, err := read(tile)
				if err != nil {
					return nil, err
				}
				known.tile, known.above = tile, newAbove(hashes[:min(len(hashes), tile.W)])
			}
			from := int(first % Width)
			if from+count > len(known.above[0]) {
				return nil, fmt.Errorf("tile %s has %d hashes", tile.Path(), len(known.above[0]))
			}
			out[i] = known.above[level%Height][from/count]
		}
		return out, nil
	})
}

// above is the hashes of a tile and those over them, level by level, as far as they are
// over whole subtrees.
type above [][]tlog.Hash

func newAbove(hashes []tlog.Hash) above {
	a := above{hashes}
	for range Height - 1 {
		below := a[len(a)-1]
		level := make([]tlog.Hash, len(below)/2)
		for i := range level {
			level[i] = tlog.NodeHash(below[2*i], below[2*i+1])
		}
		a = append(a, level)
	}
	return a
}
