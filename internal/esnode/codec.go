package esnode

import (
	"encoding/binary"
	"strconv"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"annals/internal/esnode/engine"
)

// frame is a message that is encoded already.
type frame []byte

// codec passes frames as they are, and everything else through protobuf. Encoding the events of a read by hand costs an
// eighth of building and marshalling the generated types (BenchmarkEncoding); TestEncoding holds the two together.
type codec struct{}

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f)}, nil
	}
	return encoding.GetCodecV2(proto.Name).Marshal(v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*appendMessage); ok {
		return m.unmarshal(data)
	}
	return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
}

func (codec) Name() string { return proto.Name }

// encoder writes events as messages ReadResp of streams.proto. Field numbers are those of that file.
type encoder struct {
	textIDs bool   // ids as text, otherwise structured
	block   []byte // frames are cut from blocks: one allocation for many
	ticks   [20]byte
}

const (
	encoderBlock = 64 << 10

	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

// event encodes an event that was resolved from a link, or stands for itself when link is nil. A link whose target is
// gone has a nil event.
func (c *encoder) event(event, link *engine.Event) frame {
	outer := event
	if link != nil {
		outer = link
	}
	var eventSize, linkSize, body int
	if event != nil {
		eventSize = c.recordedSize(event)
		body += protowire.SizeTag(1) + protowire.SizeBytes(eventSize)
	}
	if link != nil {
		linkSize = c.recordedSize(link)
		body += protowire.SizeTag(2) + protowire.SizeBytes(linkSize)
	}
	body += protowire.SizeTag(3) + protowire.SizeVarint(outer.Position)

	b := c.room(protowire.SizeTag(1) + protowire.SizeBytes(body))
	start := len(b)
	b = appendTag(b, 1, protowire.BytesType) // ReadResp.event
	b = protowire.AppendVarint(b, unsigned(body))
	if event != nil {
		b = appendTag(b, 1, protowire.BytesType) // ReadEvent.event
		b = protowire.AppendVarint(b, unsigned(eventSize))
		b = c.recorded(b, event)
	}
	if link != nil {
		b = appendTag(b, 2, protowire.BytesType) // ReadEvent.link
		b = protowire.AppendVarint(b, unsigned(linkSize))
		b = c.recorded(b, link)
	}
	b = appendTag(b, 3, protowire.VarintType) // ReadEvent.commit_position
	b = protowire.AppendVarint(b, outer.Position)
	c.block = b
	return frame(b[start:len(b):len(b)])
}

// room returns the block to append n bytes to without moving it.
func (c *encoder) room(n int) []byte {
	if cap(c.block)-len(c.block) < n {
		c.block = make([]byte, 0, max(n, encoderBlock))
	}
	return c.block
}

func (c *encoder) idSize(e *engine.Event) int {
	if c.textIDs {
		return protowire.SizeTag(2) + protowire.SizeBytes(36)
	}
	return protowire.SizeTag(1) + protowire.SizeBytes(structuredSize(e))
}

func structuredSize(e *engine.Event) int {
	return sizeUint(binary.BigEndian.Uint64(e.ID[:8])) + sizeUint(binary.BigEndian.Uint64(e.ID[8:]))
}

// sizeUint is the size of a number in a field below 16; a zero is not written.
func sizeUint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// sizeLen is the size of a field below 16 that holds n bytes; an empty one is not written.
func sizeLen(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

func entrySize(key, value int) int {
	return 1 + protowire.SizeBytes(sizeLen(key)+1+protowire.SizeBytes(value))
}

func (c *encoder) recordedSize(e *engine.Event) int {
	created := len(strconv.AppendInt(c.ticks[:0], ticks(e.Created), 10))
	return 1 + protowire.SizeBytes(c.idSize(e)) +
		1 + protowire.SizeBytes(sizeLen(len(e.Stream))) +
		sizeUint(unsigned(e.Revision)) + 2*sizeUint(e.Position) +
		entrySize(len("type"), len(e.Type)) + entrySize(len("created"), created) +
		entrySize(len("content-type"), len(contentType(e))) +
		sizeLen(len(e.Metadata)) + sizeLen(len(e.Data))
}

func contentType(e *engine.Event) string {
	if e.JSON {
		return contentJSON
	}
	return contentBinary
}

// recorded appends a RecordedEvent.
func (c *encoder) recorded(b []byte, e *engine.Event) []byte {
	b = appendTag(b, 1, protowire.BytesType) // id
	b = protowire.AppendVarint(b, unsigned(c.idSize(e)))
	if c.textIDs {
		b = appendTag(b, 2, protowire.BytesType)
		b = append(b, 36)
		b = append(b, e.ID.String()...)
	} else {
		b = appendTag(b, 1, protowire.BytesType)
		b = protowire.AppendVarint(b, unsigned(structuredSize(e)))
		b = appendUint(b, 1, binary.BigEndian.Uint64(e.ID[:8]))
		b = appendUint(b, 2, binary.BigEndian.Uint64(e.ID[8:]))
	}
	b = appendTag(b, 2, protowire.BytesType) // stream_identifier
	b = protowire.AppendVarint(b, unsigned(sizeLen(len(e.Stream))))
	if e.Stream != "" {
		b = appendTag(b, 3, protowire.BytesType)
		b = protowire.AppendString(b, e.Stream)
	}
	b = appendUint(b, 3, unsigned(e.Revision))
	b = appendUint(b, 4, e.Position) // prepare
	b = appendUint(b, 5, e.Position) // commit
	b = appendEntry(b, "type", e.Type)
	b = appendEntry(b, "created", string(strconv.AppendInt(c.ticks[:0], ticks(e.Created), 10)))
	b = appendEntry(b, "content-type", contentType(e))
	b = appendBytes(b, 7, e.Metadata) // custom_metadata
	return appendBytes(b, 8, e.Data)
}

func appendTag(b []byte, field protowire.Number, t protowire.Type) []byte {
	return append(b, byte(field)<<3|byte(t)) //nolint:gosec // all fields here are below 16
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(appendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(appendTag(b, field, protowire.BytesType), v)
}

// appendEntry appends an entry of RecordedEvent.metadata.
func appendEntry(b []byte, key, value string) []byte {
	b = appendTag(b, 6, protowire.BytesType)
	b = protowire.AppendVarint(b, unsigned(sizeLen(len(key))+1+protowire.SizeBytes(len(value))))
	b = protowire.AppendString(appendTag(b, 1, protowire.BytesType), key)
	return protowire.AppendString(appendTag(b, 2, protowire.BytesType), value)
}
