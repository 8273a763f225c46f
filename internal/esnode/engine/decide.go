package engine

import "github.com/google/uuid"

// state is what a decision knows of a stream.
type state struct {
	last       int64 // revision of the last event, -1 for none
	pos        uint64
	meta       bool // the metastream has an event, so the stream counts as existing
	deleted    bool // soft-deleted
	tombstoned bool
}

// place is where an event of a known id stands.
type place struct {
	stream   string
	revision int64
	pos      uint64
}

// verdict is the decision about one write.
type verdict int

const (
	accept verdict = iota
	repeat         // the same events are there already: answer as the first time did
	wrong          // not at the expected revision
	gone           // deleted
)

// decide applies the protocol's rules to a write of the events ids, expecting the stream to be at expected.
// known finds events by id in a bounded memory of recent ones; stored finds the event at a revision of this stream,
// in the log. For repeat the place is that of the last event of the first writing.
func decide(stream string, s state, expected Expected, ids []uuid.UUID,
	known func(uuid.UUID) (place, bool), stored func(revision int64) (uuid.UUID, uint64, bool),
) (verdict, place) {
	switch {
	case s.tombstoned:
		return gone, place{}
	case expected == StreamExists && s.deleted:
		return gone, place{}
	case expected == StreamExists && s.last < 0 && !s.meta:
		return wrong, place{}
	case expected == Any || expected == StreamExists:
		return decideKnown(stream, ids, known)
	case int64(expected) > s.last:
		return wrong, place{}
	case int64(expected) == s.last:
		return accept, place{}
	}
	var end place
	for i, id := range ids {
		revision := int64(expected) + 1 + int64(i)
		there, pos, ok := stored(revision)
		switch {
		case ok && there == id:
			end = place{stream, revision, pos}
		case i == 0 && expected == NoStream && s.deleted:
			return accept, place{}
		default:
			return wrong, place{}
		}
	}
	if len(ids) == 0 {
		return wrong, place{}
	}
	return repeat, end
}

// decideKnown is the part for a writer that names no revision: a repetition is found by id alone, as long as the
// bounded memory of ids reaches.
func decideKnown(stream string, ids []uuid.UUID, known func(uuid.UUID) (place, bool)) (verdict, place) {
	var end place
	for i, id := range ids {
		at, ok := known(id)
		ok = ok && at.stream == stream
		switch {
		case ok:
			end = at
		case i == 0:
			return accept, place{}
		default:
			return wrong, place{} // the first is there and a later one is not: no repetition
		}
	}
	if len(ids) == 0 {
		return accept, place{}
	}
	return repeat, end
}
