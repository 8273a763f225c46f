// Package proof is what the proof of the log rests on, and needs neither the log nor a
// database: what of a stored event goes into the Merkle tree, how the tree grows, and
// how its state is signed. The hashes are those of RFC 6962 and golang.org/x/mod/sumdb/tlog,
// tiles those of C2SP tlog-tiles, checkpoints those of C2SP tlog-checkpoint and signed-note.
package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"
)

// version begins every leaf.
const version = "annals-event-v1\n"

// Leaf is what the tree holds of a stored event: all that the log has of it, its data
// and metadata by their digests, so that a leaf can be shown without them: where they
// are gone with an erased person's key, or nobody's business.
type Leaf struct {
	Commit, Prepare uint64
	Stream          string
	Revision        uint64
	ID              uuid.UUID
	Type            string
	Created         int64 // by the server's clock, in units of 100 ns since 1970
	JSON            bool
	Data, Metadata  [sha256.Size]byte // SHA-256
}

// Ticks is a time as [Leaf.Created] has it.
func Ticks(t time.Time) int64 { return t.Unix()*1e7 + int64(t.Nanosecond())/100 }

// Time is the opposite of [Ticks].
func Time(ticks int64) time.Time { return time.Unix(ticks/1e7, ticks%1e7*100).UTC() }

// Sum is the digest of data or metadata.
func Sum(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

// maxText is the most bytes that a stream's or a type's name may have in a leaf.
const maxText = 1<<16 - 1

// Append adds the leaf's bytes to b: integers big-endian, names after their length in
// two bytes. No two leaves have the same bytes.
func (l *Leaf) Append(b []byte) []byte {
	b = append(b, version...)
	b = binary.BigEndian.AppendUint64(b, l.Commit)
	b = binary.BigEndian.AppendUint64(b, l.Prepare)
	b = binary.BigEndian.AppendUint64(b, l.Revision)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Created)) //nolint:gosec // two's complement
	b = append(b, l.ID[:]...)
	if l.JSON {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, text := range []string{l.Stream, l.Type} {
		n := min(len(text), maxText)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, text[:n]...)
	}
	b = append(b, l.Data[:]...)
	return append(b, l.Metadata[:]...)
}

// Hash is the leaf's hash in the tree.
func (l *Leaf) Hash() tlog.Hash {
	var room [512]byte
	return tlog.RecordHash(l.Append(room[:0]))
}

var errLeaf = errors.New("these are not the bytes of a leaf")

// ParseLeaf is the opposite of [Leaf.Append].
func ParseLeaf(b []byte) (*Leaf, error) {
	rest, ok := strings.CutPrefix(string(b), version)
	const fixed = 4*8 + 16 + 1
	if !ok || len(rest) < fixed {
		return nil, errLeaf
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64([]byte(rest[8*i:])) }
	l := &Leaf{Commit: u(0), Prepare: u(1), Revision: u(2), Created: int64(u(3)), ID: uuid.UUID([]byte(rest[32:48])), JSON: rest[48] == 1} //nolint:gosec // two's complement
	if rest[48] > 1 {
		return nil, errLeaf
	}
	rest = rest[fixed:]
	for _, text := range []*string{&l.Stream, &l.Type} {
		if len(rest) < 2 {
			return nil, errLeaf
		}
		n := int(binary.BigEndian.Uint16([]byte(rest)))
		if len(rest) < 2+n {
			return nil, errLeaf
		}
		*text, rest = rest[2:2+n], rest[2+n:]
	}
	if len(rest) != 2*sha256.Size {
		return nil, errLeaf
	}
	copy(l.Data[:], rest)
	copy(l.Metadata[:], rest[sha256.Size:])
	return l, nil
}

// Covered says whether events of a stream are leaves: all are but those that the server
// writes for itself and removes as it likes, such as its statistics.
func Covered(stream string) bool {
	return !strings.HasPrefix(stream, "$") || strings.HasPrefix(stream, "$$") && !strings.HasPrefix(stream, "$$$")
}

// CoveredPattern is [Covered] as a regular expression on a stream's name.
const CoveredPattern = `^([^$]|\$\$[^$])`

// String names a leaf for people.
func (l *Leaf) String() string {
	return fmt.Sprintf("%s revision %d (%s, position %d)", l.Stream, l.Revision, l.Type, l.Commit)
}
