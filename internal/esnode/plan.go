package esnode

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"annals/internal/esnode/engine"
)

// plan is a request to read, checked.
type plan struct {
	stream    string // "$all" for the whole log
	all       bool
	follow    bool // a subscription
	backwards bool
	count     uint64
	resolve   bool // resolve links
	textIDs   bool
	tellEnds  bool // the client understands first and last stream positions

	// Where to begin. A position or revision counts only when neither start nor end is set.
	start, end bool
	position   uint64
	revision   int64

	filter   *filter // nil for all events
	interval uint64  // considered events between checkpoints of a filtered subscription
}

// maxInterval is the largest window between checkpoints that makes sense to keep.
const maxInterval = math.MaxInt64

// newPlan accepts the nine combinations that there are of stream or $all, count or subscription, direction and filter.
func newPlan(o *streams.ReadReq_Options) (*plan, error) {
	if o == nil {
		return nil, invalid("the options of the read are missing")
	}
	p := &plan{
		backwards: o.GetReadDirection() == streams.ReadReq_Options_Backwards,
		resolve:   o.GetResolveLinks(),
		tellEnds:  o.GetControlOption().GetCompatibility() >= 1,
	}
	switch o.GetUuidOption().GetContent().(type) {
	case *streams.ReadReq_Options_UUIDOption_Structured:
	case *streams.ReadReq_Options_UUIDOption_String_:
		p.textIDs = true
	default:
		return nil, invalid("the form of ids is missing")
	}
	switch c := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		p.count = c.Count
	case *streams.ReadReq_Options_Subscription:
		p.follow = true
	default:
		return nil, invalid("the count is missing")
	}
	if p.follow && p.backwards {
		return nil, invalid("a subscription does not run backwards")
	}
	if err := p.readFilter(o); err != nil {
		return nil, err
	}
	return p, p.readFrom(o)
}

func (p *plan) readFilter(o *streams.ReadReq_Options) error {
	switch f := o.GetFilterOption().(type) {
	case *streams.ReadReq_Options_NoFilter:
		return nil
	case *streams.ReadReq_Options_Filter:
		if o.GetAll() == nil {
			return invalid("a filter is for $all only")
		}
		var err error
		if p.filter, err = newFilter(f.Filter); err != nil || !p.follow {
			return err
		}
		p.interval, err = interval(f.Filter)
		return err
	default:
		return invalid("the filter is missing")
	}
}

func interval(f *streams.ReadReq_Options_FilterOptions) (uint64, error) {
	const defaultWindow = 32
	var window uint64
	switch w := f.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Max:
		window = uint64(w.Max)
	case *streams.ReadReq_Options_FilterOptions_Count:
		window = defaultWindow
	default:
		return 0, invalid("the filter's window is missing")
	}
	multiplier := uint64(f.GetCheckpointIntervalMultiplier())
	if window == 0 || multiplier == 0 {
		return 0, invalid("the filter's window and checkpoint interval must be positive")
	}
	return min(window*multiplier, maxInterval), nil
}

func (p *plan) readFrom(o *streams.ReadReq_Options) error {
	switch s := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		p.stream = string(s.Stream.GetStreamIdentifier().GetStreamName())
		if err := engine.CheckStream(p.stream); err != nil {
			return err
		}
		switch r := s.Stream.GetRevisionOption().(type) {
		case *streams.ReadReq_Options_StreamOptions_Revision:
			if r.Revision > math.MaxInt64 {
				return invalid("revision %d is out of range", r.Revision)
			}
			p.revision = int64(r.Revision)
		case *streams.ReadReq_Options_StreamOptions_Start:
			p.start = true
		case *streams.ReadReq_Options_StreamOptions_End:
			p.end = true
			if !p.follow && !p.backwards {
				return invalid("a stream is not read forwards from its end")
			}
		default:
			return invalid("the revision to read from is missing")
		}
	case *streams.ReadReq_Options_All:
		p.stream, p.all = "$all", true
		switch a := s.All.GetAllOption().(type) {
		case *streams.ReadReq_Options_AllOptions_Position:
			p.position = a.Position.GetCommitPosition()
			if a.Position.GetPreparePosition() > p.position {
				return invalid("the prepare position is beyond the commit position")
			}
			p.start, p.end = p.position == 0, p.position == engine.MaxPosition
		case *streams.ReadReq_Options_AllOptions_Start:
			p.start = true
		case *streams.ReadReq_Options_AllOptions_End:
			p.end, p.position = true, engine.MaxPosition
		default:
			return invalid("the position to read from is missing")
		}
	default:
		return invalid("the stream to read is missing")
	}
	return nil
}
