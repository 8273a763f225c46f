package esnode

import (
	"encoding/binary"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
)

// parseUUID reads an id in either of its two forms.
func parseUUID(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], unsigned(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(b[8:], unsigned(v.Structured.GetLeastSignificantBits()))
		return b, nil
	case *shared.UUID_String_:
		return parseTextUUID(v.String_)
	default:
		return uuid.Nil, invalid("an id is missing")
	}
}

func parseTextUUID(s string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, invalid("an id: %v", err)
	}
	return parsed, nil
}

func structuredUUID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])), //nolint:gosec // bits, not a number
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])), //nolint:gosec // bits, not a number
	}}}
}

// ticks is a time as the protocol has it: 100 ns since the Unix epoch.
func ticks(t time.Time) int64 { return t.UnixNano() / 100 }

// unsigned is a number that is known not to be negative, or bits, as the wire has it.
func unsigned[N int | ~int64](n N) uint64 { return uint64(n) }
