package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Event is one event as stored. It is shared between readers and never changed.
type Event struct {
	Position uint64
	Revision int64 // TombstoneRevision for the event that ends a stream
	Stream   string
	Type     string
	Created  time.Time // UTC, in microseconds
	Data     []byte
	Metadata []byte
	ID       uuid.UUID
	JSON     bool
}

// size is what the event costs in memory, about.
func (e *Event) size() int {
	return len(e.Data) + len(e.Metadata) + len(e.Stream) + len(e.Type) + 160
}

// Names and numbers of the protocol.
const (
	// TombstoneRevision is the revision of the event that ends a stream for ever.
	TombstoneRevision = math.MaxInt64
	// TypeMetadata is the type of the events of a metastream.
	TypeMetadata = "$metadata"
	// TypeDeleted is the type of a tombstone.
	TypeDeleted = "$streamDeleted"
	// TypeLink is the type of an event that points to another.
	TypeLink = "$>"
	// MaxPosition stands for the end of the log where a position is asked for.
	MaxPosition = math.MaxUint64
	metaPrefix  = "$$"
)

// IsMetastream tells whether a stream holds the metadata of another.
func IsMetastream(stream string) bool { return strings.HasPrefix(stream, metaPrefix) }

// MetastreamOf names the stream that holds a stream's metadata.
func MetastreamOf(stream string) string { return metaPrefix + stream }

// OriginalOf names the stream whose metadata a metastream holds.
func OriginalOf(metastream string) string { return strings.TrimPrefix(metastream, metaPrefix) }

// toPosition and fromPosition turn positions from and into PostgreSQL's bigint. They are positive, and far from its end.
func toPosition(v int64) uint64   { return uint64(v) } //nolint:gosec // see above
func fromPosition(p uint64) int64 { return int64(p) }  //nolint:gosec // see above

// Expected is the revision that a writer expects a stream to be at: a number from 0, or one of the constants.
type Expected int64

// What a writer may expect other than a revision.
const (
	NoStream     Expected = -1
	Any          Expected = -2
	StreamExists Expected = -4
)

func (e Expected) String() string {
	switch e {
	case NoStream:
		return "no stream"
	case Any:
		return "any"
	case StreamExists:
		return "stream exists"
	default:
		return strconv.FormatInt(int64(e), 10)
	}
}

// Proposed is an event to be written.
type Proposed struct {
	ID       uuid.UUID
	Type     string
	JSON     bool
	Data     []byte
	Metadata []byte
}

// Result is what a write led to.
type Result struct {
	// Revision is that of the last event written, or of the stream when nothing was; -1 is none.
	Revision int64
	// Position is that of the last event written.
	Position uint64
}

// MaxStreamName is the longest name of a stream in bytes: PostgreSQL's B-tree holds no longer keys.
const MaxStreamName = 2048

// CheckStream tells why a name cannot be that of a stream, with ErrInvalid.
func CheckStream(name string) error {
	switch {
	case name == "" || name == metaPrefix:
		return fmt.Errorf("%w: the stream's name is empty", ErrInvalid)
	case name == "$all":
		return fmt.Errorf("%w: $all is no stream to write to", ErrInvalid)
	case len(name) > MaxStreamName:
		return fmt.Errorf("%w: the stream's name is longer than %d bytes", ErrInvalid, MaxStreamName)
	case !isText(name):
		return fmt.Errorf("%w: the stream's name is not UTF-8 text", ErrInvalid)
	}
	return nil
}

func (p *Proposed) check() error {
	switch {
	case p.ID == uuid.Nil:
		return fmt.Errorf("%w: an event without id", ErrInvalid)
	case p.Type == "":
		return fmt.Errorf("%w: an event without type", ErrInvalid)
	case !isText(p.Type):
		return fmt.Errorf("%w: the event's type is not UTF-8 text", ErrInvalid)
	}
	return nil
}

// isText tells what a PostgreSQL text can hold.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
