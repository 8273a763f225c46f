package esnode

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"annals/internal/esnode/engine"
)

// Read answers reads and subscriptions: of a stream or the whole log, forwards or backwards, with a filter or without.
func (s *streamsService) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	p, err := newPlan(req.GetOptions())
	if err != nil {
		return fail(call.Context(), err)
	}
	ctx, cancel := context.WithCancelCause(call.Context())
	defer cancel(nil)
	// A node that closes ends what is being read, rather than wait for a subscriber to leave.
	defer context.AfterFunc(s.node.run, func() { cancel(engine.ErrClosed) })()
	if err := s.node.authorize(ctx, p.stream, opRead); err != nil {
		return fail(ctx, err)
	}
	r := &reader{
		service: s, plan: p, call: call, encoder: encoder{textIDs: p.textIDs},
	}
	switch {
	case p.follow && p.all:
		err = r.followAll(ctx)
	case p.follow:
		err = r.followStream(ctx)
	case p.all:
		err = r.readAll(ctx)
	default:
		err = r.readStream(ctx)
	}
	if err != nil && s.node.run.Err() != nil && call.Context().Err() == nil {
		return status.Error(codes.Unavailable, "the node is shutting down")
	}
	return fail(call.Context(), err)
}

// reader answers one call.
type reader struct {
	service *streamsService
	plan    *plan
	call    streams.Streams_ReadServer
	encoder encoder
}

func (r *reader) readAll(ctx context.Context) error {
	p := r.plan
	if p.end && !p.backwards {
		return nil
	}
	limit := p.count
	if p.filter != nil {
		limit = engine.MaxPosition // the count is of what passes the filter
	}
	left := p.count
	for page, err := range r.service.log().ReadAll(ctx, p.position, p.backwards, limit) {
		if err != nil {
			return err
		}
		chosen, err := r.choose(page)
		if err != nil {
			return err
		}
		if uint64(len(chosen)) > left {
			chosen = chosen[:left]
		}
		if err := r.send(ctx, chosen); err != nil {
			return err
		}
		if left -= uint64(len(chosen)); left == 0 {
			return nil
		}
	}
	return nil
}

// choose returns the events of a page that the reader of $all sees, sharing the page when those are all.
func (r *reader) choose(page []*engine.Event) ([]*engine.Event, error) {
	for i, e := range page {
		wanted, err := r.plan.filter.wants(e)
		if err != nil {
			return nil, err
		}
		if wanted {
			continue
		}
		chosen := append([]*engine.Event(nil), page[:i]...)
		for _, e := range page[i+1:] {
			wanted, err := r.plan.filter.wants(e)
			if err != nil {
				return nil, err
			}
			if wanted {
				chosen = append(chosen, e)
			}
		}
		return chosen, nil
	}
	return page, nil
}

func (r *reader) readStream(ctx context.Context) error {
	p := r.plan
	from := p.revision
	if p.end {
		from = engine.MaxRevision
	}
	if p.start && p.backwards {
		from = 0
	}
	read, err := r.service.log().ReadStream(ctx, p.stream, from, p.backwards, p.count)
	if errors.Is(err, engine.ErrNoStream) {
		return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
			StreamNotFound: &streams.ReadResp_StreamNotFound{
				StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(p.stream)},
			},
		}})
	}
	if err != nil {
		return err
	}
	var sent uint64
	for page, err := range read.Pages {
		if err != nil {
			return err
		}
		if sent == 0 {
			if err := r.first(page[0].Revision, from); err != nil {
				return err
			}
		}
		if err := r.send(ctx, page); err != nil {
			return err
		}
		sent += uint64(len(page))
	}
	if p.tellEnds && (sent < p.count || p.count == 0) {
		return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{
			LastStreamPosition: unsigned(read.Last),
		}})
	}
	return nil
}

// first tells a client that understands it where the stream begins, when that is not where it asked to.
func (r *reader) first(revision, from int64) error {
	if !r.plan.tellEnds || r.plan.backwards || revision <= max(from, 0) {
		return nil
	}
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{
		FirstStreamPosition: unsigned(revision),
	}})
}

// send encodes events and sends them, with links resolved when that was asked for.
func (r *reader) send(ctx context.Context, events []*engine.Event) error {
	targets, err := r.targets(ctx, events)
	if err != nil {
		return err
	}
	for _, e := range events {
		var f frame
		if ref, ok := linked(e); ok && targets != nil {
			f = r.encoder.event(targets[ref], e)
		} else {
			f = r.encoder.event(e, nil)
		}
		if err := r.call.SendMsg(f); err != nil {
			return err
		}
	}
	return nil
}

// targets reads the events that links among these point to. It is nil when links are not to be resolved, or none are
// there.
func (r *reader) targets(ctx context.Context, events []*engine.Event) (map[engine.Ref]*engine.Event, error) {
	if !r.plan.resolve {
		return nil, nil
	}
	var refs []engine.Ref
	for _, e := range events {
		if ref, ok := linked(e); ok {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	targets, err := r.service.log().Get(ctx, refs)
	if err != nil {
		return nil, err
	}
	for ref := range targets {
		if err := r.service.node.authorize(ctx, ref.Stream, opRead); err != nil {
			if _, denied := errors.AsType[*deniedError](err); !denied {
				return nil, err
			}
			delete(targets, ref)
		}
	}
	return targets, nil
}

// linked reads where a link points to: "revision@stream".
func linked(e *engine.Event) (engine.Ref, bool) {
	if e.Type != engine.TypeLink {
		return engine.Ref{}, false
	}
	return parseLink(string(e.Data))
}

func parseLink(data string) (engine.Ref, bool) {
	number, stream, ok := strings.Cut(data, "@")
	revision, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || revision < 0 || stream == "" {
		return engine.Ref{}, false
	}
	return engine.Ref{Stream: stream, Revision: revision}, true
}
