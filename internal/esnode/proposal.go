package esnode

import (
	"encoding/binary"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// appendMessage is a message AppendReq of streams.proto, read by hand: its generated type takes a map and a dozen
// allocations for every event. FuzzAppendMessage holds the two together.
type appendMessage struct {
	options  *streams.AppendReq_Options // nil unless the message holds options
	proposed bool                       // it holds an event
	event    proposal
}

// proposal is an event as a client sends it.
type proposal struct {
	id                 uuid.UUID
	idErr              error // what is wrong with the id
	hasID, structured  bool
	typ                string
	json               bool
	hasType, hasFormat bool
	metadata, data     []byte
}

var errWire = errors.New("the message is not in protobuf's form")

// unmarshal reads a message. What it keeps are parts of a copy.
func (m *appendMessage) unmarshal(data mem.BufferSlice) error {
	*m = appendMessage{}
	return fields(data.Materialize(), func(field protowire.Number, _ uint64, v []byte) error {
		// Of the two members of the oneof the last counts, and parts of the same one add up.
		switch {
		case v == nil:
		case field == 1:
			if m.options == nil {
				*m = appendMessage{options: &streams.AppendReq_Options{}}
			}
			return proto.UnmarshalOptions{Merge: true}.Unmarshal(v, m.options)
		case field == 2:
			if !m.proposed {
				*m = appendMessage{proposed: true}
			}
			return m.event.unmarshal(v)
		}
		return nil
	})
}

func (p *proposal) unmarshal(b []byte) error {
	return fields(b, func(field protowire.Number, _ uint64, v []byte) error {
		switch {
		case v == nil:
		case field == 1:
			return p.unmarshalID(v)
		case field == 2:
			return p.unmarshalEntry(v)
		case field == 3:
			p.metadata = v
		case field == 4:
			p.data = v
		}
		return nil
	})
}

func (p *proposal) unmarshalID(b []byte) error {
	return fields(b, func(field protowire.Number, _ uint64, v []byte) error {
		switch {
		case v == nil:
		case field == 1:
			if !p.structured {
				p.id = uuid.Nil
			}
			p.hasID, p.structured, p.idErr = true, true, nil
			return fields(v, func(field protowire.Number, n uint64, v []byte) error {
				switch {
				case v != nil:
				case field == 1:
					binary.BigEndian.PutUint64(p.id[:8], n)
				case field == 2:
					binary.BigEndian.PutUint64(p.id[8:], n)
				}
				return nil
			})
		case field == 2:
			p.id, p.idErr = parseTextUUID(string(v))
			p.hasID, p.structured = true, false
		}
		return nil
	})
}

// unmarshalEntry reads an entry of the event's system metadata; two of its keys count.
func (p *proposal) unmarshalEntry(b []byte) error {
	var key, value []byte
	err := fields(b, func(field protowire.Number, _ uint64, v []byte) error {
		switch {
		case v == nil:
		case field == 1:
			key = v
		case field == 2:
			value = v
		}
		return nil
	})
	switch string(key) {
	case "type":
		p.typ, p.hasType = string(value), true
	case "content-type":
		p.json, p.hasFormat = string(value) == contentJSON, true
	}
	return err
}

// fields calls f for each field of a message: with its number and no bytes, or with its bytes, which are never nil.
func fields(b []byte, f func(field protowire.Number, n uint64, v []byte) error) error {
	for len(b) > 0 {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		var number uint64
		var value []byte
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
			n = protowire.ConsumeFieldValue(field, typ, b)
			field = 0 // no field that is known has such a form
		default:
			return errWire
		}
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if err := f(field, number, value); err != nil {
			return err
		}
	}
	return nil
}
