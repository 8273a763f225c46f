package esnode

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"annals/internal/esnode/engine"
)

// A client may have this much under way in one call; past it the node reads no further until something is answered.
const (
	maxBatchAppends = 1024
	maxBatchBytes   = 64 << 20
)

// BatchAppend takes many appends in one call. Messages of one append are joined by their correlation id until the final
// one; appends are decided in the order in which they are final, and answered as they are committed. What is wrong with
// one append is said in its answer.
func (s *streamsService) BatchAppend(call streams.Streams_BatchAppendServer) error {
	ctx, cancel := context.WithCancelCause(call.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.node.run, func() { cancel(engine.ErrClosed) })()
	b := &batchCall{service: s, call: call, ctx: ctx, cancel: cancel, open: map[uuid.UUID]*batchAppend{}}
	b.slots = make(chan struct{}, maxBatchAppends)
	err := b.receive()
	b.pending.Wait() // on half-close, what was begun is answered; after an error, what could be
	if cause := context.Cause(ctx); err == nil && cause != nil && call.Context().Err() == nil {
		err = cause
	}
	return fail(call.Context(), err)
}

// batchCall is one call of BatchAppend.
type batchCall struct {
	service *streamsService
	call    streams.Streams_BatchAppendServer
	ctx     context.Context //nolint:containedctx // that of the call
	cancel  context.CancelCauseFunc
	open    map[uuid.UUID]*batchAppend // not final yet
	bytes   int                        // in open
	slots   chan struct{}              // appends begun and not answered
	pending sync.WaitGroup
	sending sync.Mutex
}

// batchAppend is one append in the making.
type batchAppend struct {
	id       *shared.UUID
	options  *streams.BatchAppendReq_Options
	stream   string
	expected engine.Expected
	deadline time.Time
	events   []engine.Proposed
	size     int
	fault    error // known before the last message has come
}

// received is what Recv returned.
type received struct {
	req *streams.BatchAppendReq
	err error
}

// listen receives on a goroutine of its own: a call that must end cannot wait for what its client says next. It ends
// with the call.
func (b *batchCall) listen() <-chan received {
	heard := make(chan received)
	go func() {
		for {
			var r received
			r.req, r.err = b.call.Recv()
			select {
			case heard <- r:
			case <-b.ctx.Done():
				return
			}
			if r.err != nil {
				return
			}
		}
	}()
	return heard
}

func (b *batchCall) receive() error {
	heard := b.listen()
	for {
		var r received
		select {
		case r = <-heard:
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
		req, err := r.req, r.err
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := parseUUID(req.GetCorrelationId())
		if err != nil {
			return err
		}
		a, ok := b.open[id]
		if !ok {
			if req.GetOptions() == nil {
				return invalid("the options of an append are missing")
			}
			if len(b.open) >= maxBatchAppends {
				return status.Errorf(codes.ResourceExhausted, "more than %d appends are open", maxBatchAppends)
			}
			a = b.begin(req)
			b.open[id] = a
		}
		b.add(a, req.GetProposedMessages())
		if b.bytes > maxBatchBytes {
			return status.Errorf(codes.ResourceExhausted, "the open appends hold more than %d bytes", maxBatchBytes)
		}
		if !req.GetIsFinal() {
			continue
		}
		delete(b.open, id)
		b.bytes -= a.size
		if err := b.submit(a); err != nil {
			return err
		}
	}
}

func (b *batchCall) begin(req *streams.BatchAppendReq) *batchAppend {
	o := req.GetOptions()
	a := &batchAppend{
		id: req.GetCorrelationId(), options: o, stream: string(o.GetStreamIdentifier().GetStreamName()),
		deadline: time.Now().Add(writeTimeout), //nolint:forbidigo // the node's own timeout
	}
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		a.until(time.Unix(d.Deadline_21_10_0.GetSeconds(), int64(d.Deadline_21_10_0.GetNanos())))
	case *streams.BatchAppendReq_Options_Deadline:
		if seconds := d.Deadline.GetSeconds(); seconds < int64(math.MaxInt64/time.Second) {
			a.until(time.Now().Add(time.Duration(seconds)*time.Second + //nolint:forbidigo // a deadline from now on
				time.Duration(d.Deadline.GetNanos())))
		}
	}
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		a.expected, a.fault = revision(e.StreamPosition)
	case *streams.BatchAppendReq_Options_NoStream:
		a.expected = engine.NoStream
	case *streams.BatchAppendReq_Options_Any:
		a.expected = engine.Any
	case *streams.BatchAppendReq_Options_StreamExists:
		a.expected = engine.StreamExists
	default:
		a.fault = invalid("the expected position is missing")
	}
	if err := b.service.node.authorize(b.ctx, a.stream, opWrite); err != nil {
		a.fault = err
	}
	return a
}

func (a *batchAppend) until(t time.Time) {
	if t.Before(a.deadline) {
		a.deadline = t
	}
}

func (b *batchCall) add(a *batchAppend, messages []*streams.BatchAppendReq_ProposedMessage) {
	for _, m := range messages {
		if a.fault != nil {
			return
		}
		p, size, err := batchProposed(m)
		if err != nil {
			a.fault = err
			return
		}
		a.size += size
		b.bytes += size
		a.events = append(a.events, p)
		if limit := b.service.node.cfg.MaxAppendSize; a.size > limit {
			b.bytes -= a.size
			a.events, a.size = nil, 0
			a.fault = &tooLargeError{limit}
		}
	}
}

func batchProposed(m *streams.BatchAppendReq_ProposedMessage) (engine.Proposed, int, error) {
	id, err := parseUUID(m.GetId())
	if err != nil {
		return engine.Proposed{}, 0, err
	}
	typ, hasType := m.GetMetadata()["type"]
	format, hasFormat := m.GetMetadata()["content-type"]
	p := proposal{
		id: id, hasID: true, typ: typ, hasType: hasType, json: format == contentJSON, hasFormat: hasFormat,
		metadata: m.GetCustomMetadata(), data: m.GetData(),
	}
	return p.proposed()
}

// submit begins an append here, so that the order of the call is the order of the log, and answers it elsewhere.
func (b *batchCall) submit(a *batchAppend) error {
	select {
	case b.slots <- struct{}{}:
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	ctx, cancel := context.WithDeadline(b.ctx, a.deadline)
	var pending *engine.Pending
	err := a.fault
	if err == nil {
		pending, err = b.service.log().Begin(ctx, a.stream, a.expected, a.events)
	}
	b.pending.Go(func() {
		defer func() { <-b.slots }()
		defer cancel()
		var result engine.Result
		if err == nil {
			result, err = pending.Wait()
		}
		if err := b.answer(a, result, err); err != nil {
			b.cancel(err)
		}
	})
	return nil
}

// answer tells how an append went. What is no fault of the append itself ends the call instead.
func (b *batchCall) answer(a *batchAppend, result engine.Result, err error) error {
	resp := &streams.BatchAppendResp{
		CorrelationId: a.id, StreamIdentifier: a.options.GetStreamIdentifier(),
	}
	switch e := a.options.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: e.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: e.NoStream}
	case *streams.BatchAppendReq_Options_Any:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: e.Any}
	case *streams.BatchAppendReq_Options_StreamExists:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: e.StreamExists}
	}
	if err != nil {
		fault, detailErr := batchFault(err)
		if detailErr != nil {
			return detailErr
		}
		if fault == nil {
			return err
		}
		resp.Result = &streams.BatchAppendResp_Error{Error: fault}
	} else {
		resp.Result = &streams.BatchAppendResp_Success_{Success: batchSuccess(result)}
	}
	b.sending.Lock()
	defer b.sending.Unlock()
	return b.call.Send(resp)
}

func batchSuccess(r engine.Result) *streams.BatchAppendResp_Success {
	success := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}},
		PositionOption: &streams.BatchAppendResp_Success_Position{
			Position: &shared.AllStreamPosition{CommitPosition: r.Position, PreparePosition: r.Position},
		},
	}
	if r.Revision >= 0 {
		success.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{
			CurrentRevision: unsigned(r.Revision),
		}
	}
	return success
}

// batchFault is what an answer says of an error, or nil when it says nothing about the append. Clients look at the
// detail, so there always is one.
func batchFault(err error) (*rpcstatus.Status, error) {
	var wrong *engine.WrongRevisionError
	var deleted *engine.DeletedError
	var denied *deniedError
	var large *tooLargeError
	var code codes.Code
	var detail proto.Message
	switch {
	case errors.As(err, &wrong):
		code, detail = codes.AlreadyExists, batchWrong(wrong)
	case errors.As(err, &deleted):
		code, detail = codes.NotFound, &shared.StreamDeleted{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(deleted.Stream)},
		}
	case errors.As(err, &denied):
		code, detail = codes.PermissionDenied, &shared.AccessDenied{}
	case errors.As(err, &large):
		code, detail = codes.InvalidArgument, &shared.MaximumAppendSizeExceeded{
			MaxAppendSize: uint32(large.limit), //nolint:gosec // checked when the node starts
		}
	case errors.Is(err, engine.ErrTimeout):
		code, detail = codes.DeadlineExceeded, &shared.Timeout{}
	case errors.Is(err, errHandler):
		code, detail = codes.Unknown, &shared.Unknown{}
	case errors.Is(err, engine.ErrInvalid), errors.Is(err, errMissingMetadata), status.Code(err) == codes.InvalidArgument:
		code, detail = codes.InvalidArgument, &shared.BadRequest{Message: err.Error()}
	default:
		return nil, nil //nolint:nilnil // by contract
	}
	packed, err := anypb.New(detail)
	if err != nil {
		return nil, err
	}
	name := string(detail.ProtoReflect().Descriptor().Name())
	return &rpcstatus.Status{Code: int32(code), Message: name, Details: []*anypb.Any{packed}}, nil
}

func batchWrong(w *engine.WrongRevisionError) *shared.WrongExpectedVersion {
	empty := &emptypb.Empty{}
	d := &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty},
	}
	if w.Actual >= 0 {
		d.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{
			CurrentStreamRevision: unsigned(w.Actual),
		}
	}
	switch w.Expected {
	case engine.Any:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
	case engine.StreamExists:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
	case engine.NoStream:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
	default:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{
			ExpectedStreamPosition: unsigned(w.Expected),
		}
	}
	return d
}
