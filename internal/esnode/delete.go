package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"annals/internal/esnode/engine"
)

// Delete hides a stream until something is appended to it.
func (s *streamsService) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	var expected engine.Expected
	var err error
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		expected, err = revision(e.Revision)
	case *streams.DeleteReq_Options_NoStream:
		expected = engine.NoStream
	case *streams.DeleteReq_Options_Any:
		expected = engine.Any
	case *streams.DeleteReq_Options_StreamExists:
		expected = engine.StreamExists
	default:
		err = invalid("the expected revision is missing")
	}
	if err != nil {
		return nil, fail(ctx, err)
	}
	r, err := s.end(ctx, string(o.GetStreamIdentifier().GetStreamName()), expected, (*engine.Engine).Delete)
	if err != nil {
		return nil, fail(ctx, err)
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{Position: &streams.DeleteResp_Position{
		CommitPosition: r.Position, PreparePosition: r.Position,
	}}}, nil
}

// Tombstone ends a stream for ever.
func (s *streamsService) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	var expected engine.Expected
	var err error
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		expected, err = revision(e.Revision)
	case *streams.TombstoneReq_Options_NoStream:
		expected = engine.NoStream
	case *streams.TombstoneReq_Options_Any:
		expected = engine.Any
	case *streams.TombstoneReq_Options_StreamExists:
		expected = engine.StreamExists
	default:
		err = invalid("the expected revision is missing")
	}
	if err != nil {
		return nil, fail(ctx, err)
	}
	r, err := s.end(ctx, string(o.GetStreamIdentifier().GetStreamName()), expected, (*engine.Engine).Tombstone)
	if err != nil {
		return nil, fail(ctx, err)
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: r.Position, PreparePosition: r.Position},
	}}, nil
}

func (s *streamsService) end(ctx context.Context, stream string, expected engine.Expected,
	how func(*engine.Engine, context.Context, string, engine.Expected) (engine.Result, error),
) (engine.Result, error) {
	if err := s.node.authorize(ctx, stream, opDelete); err != nil {
		return engine.Result{}, err
	}
	bounded, cancel := write(ctx)
	defer cancel()
	return how(s.log(), bounded, stream, expected)
}
