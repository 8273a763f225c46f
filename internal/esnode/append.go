package esnode

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"annals/internal/esnode/engine"
)

// streamsService answers the service Streams.
type streamsService struct {
	streams.UnimplementedStreamsServer
	node *Node
}

func (s *streamsService) log() *engine.Engine { return s.node.engine.Load() }

// write bounds a write by the node's own timeout.
func write(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, writeTimeout)
}

// Append takes the options and then the events of one append, and answers when they are committed.
func (s *streamsService) Append(call streams.Streams_AppendServer) error {
	stream, expected, events, err := s.receive(call)
	if err != nil {
		drain(call)
		return fail(call.Context(), err)
	}
	ctx, cancel := write(call.Context())
	defer cancel()
	result, err := s.log().Append(ctx, stream, expected, events)
	var wrong *engine.WrongRevisionError
	switch {
	case errors.As(err, &wrong):
		return call.SendAndClose(wrongVersion(wrong))
	case err != nil:
		return fail(call.Context(), err)
	}
	return call.SendMsg(appended(result))
}

// drain reads what a client is still sending, for a while: official clients take an answer that comes before they have
// finished for a broken connection.
func drain(call grpc.ServerStream) {
	const most, longest = 256 << 20, 5 * time.Second
	done := make(chan struct{})
	go func() {
		defer close(done)
		for size := 0; size < most; {
			var m appendMessage
			if call.RecvMsg(&m) != nil {
				return
			}
			size += len(m.event.data) + len(m.event.metadata) + 1
		}
	}()
	t := time.NewTimer(longest)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-call.Context().Done():
	}
}

func (s *streamsService) receive(call streams.Streams_AppendServer) (string, engine.Expected, []engine.Proposed, error) {
	var m appendMessage
	if err := call.RecvMsg(&m); err != nil {
		if errors.Is(err, io.EOF) {
			return "", 0, nil, invalid("the options of the append are missing")
		}
		return "", 0, nil, err
	}
	options := m.options
	if options == nil {
		return "", 0, nil, invalid("the first message of an append must be its options")
	}
	stream := string(options.GetStreamIdentifier().GetStreamName())
	if err := s.node.authorize(call.Context(), stream, opWrite); err != nil {
		return "", 0, nil, err
	}
	expected, err := appendExpected(options)
	if err != nil {
		return "", 0, nil, err
	}
	var events []engine.Proposed
	left := s.node.cfg.MaxAppendSize
	for {
		if err := call.RecvMsg(&m); errors.Is(err, io.EOF) {
			return stream, expected, events, nil
		} else if err != nil {
			return "", 0, nil, err
		}
		if !m.proposed {
			return "", 0, nil, invalid("only the first message of an append holds options")
		}
		p, size, err := m.event.proposed()
		if err != nil {
			return "", 0, nil, err
		}
		if left -= size; left < 0 {
			return "", 0, nil, &tooLargeError{s.node.cfg.MaxAppendSize}
		}
		events = append(events, p)
	}
}

// proposed checks an event, and tells what it counts towards the largest append.
func (p *proposal) proposed() (engine.Proposed, int, error) {
	switch {
	case !p.hasID:
		return engine.Proposed{}, 0, invalid("an event's id is missing")
	case p.idErr != nil:
		return engine.Proposed{}, 0, p.idErr
	case !p.hasType || !p.hasFormat:
		return engine.Proposed{}, 0, errMissingMetadata
	case p.typ == "" || p.id == uuid.Nil:
		return engine.Proposed{}, 0, errHandler
	}
	size := len(p.data) + len(p.metadata) + 2*utf16Len(p.typ)
	return engine.Proposed{ID: p.id, Type: p.typ, JSON: p.json, Data: p.data, Metadata: p.metadata}, size, nil
}

// utf16Len counts in UTF-16 units, in which the protocol's limit counts an event's type.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

func revision(r uint64) (engine.Expected, error) {
	if r > math.MaxInt64 {
		return 0, invalid("revision %d is out of range", r)
	}
	return engine.Expected(r), nil
}

func appendExpected(o *streams.AppendReq_Options) (engine.Expected, error) {
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		return revision(e.Revision)
	case *streams.AppendReq_Options_NoStream:
		return engine.NoStream, nil
	case *streams.AppendReq_Options_Any:
		return engine.Any, nil
	case *streams.AppendReq_Options_StreamExists:
		return engine.StreamExists, nil
	default:
		return 0, invalid("the expected revision is missing")
	}
}

// appended encodes an AppendResp of streams.proto by hand, as it is the answer to nearly every append.
func appended(r engine.Result) frame {
	position := appendUint(appendUint(make([]byte, 0, 24), 1, r.Position), 2, r.Position) // commit and prepare
	success := make([]byte, 0, 48)
	if r.Revision >= 0 {
		success = protowire.AppendVarint(appendTag(success, 1, protowire.VarintType), unsigned(r.Revision)) // current_revision
	} else {
		success = protowire.AppendBytes(appendTag(success, 2, protowire.BytesType), nil) // no_stream
	}
	success = protowire.AppendBytes(appendTag(success, 3, protowire.BytesType), position)
	return protowire.AppendBytes(appendTag(make([]byte, 0, 64), 1, protowire.BytesType), success)
}

// wrongVersion is an answer, not an error, and says everything twice for clients of before 20.6.1.
func wrongVersion(w *engine.WrongRevisionError) *streams.AppendResp {
	empty := &shared.Empty{}
	a := &streams.AppendResp_WrongExpectedVersion{
		CurrentRevisionOption:        &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
		CurrentRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty},
	}
	if w.Actual >= 0 {
		actual := unsigned(w.Actual)
		a.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: actual}
		a.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{
			CurrentRevision_20_6_0: actual,
		}
	}
	switch w.Expected {
	case engine.Any:
		a.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
		a.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty}
	case engine.StreamExists:
		a.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
		a.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{
			StreamExists_20_6_0: empty,
		}
	case engine.NoStream:
		a.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
		a.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{
			ExpectedRevision_20_6_0: math.MaxUint64, // the old form has no word for it
		}
	default:
		expected := unsigned(w.Expected)
		a.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: expected}
		a.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{
			ExpectedRevision_20_6_0: expected,
		}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: a}}
}
