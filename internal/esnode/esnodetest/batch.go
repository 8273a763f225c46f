package esnodetest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func testBatch(t *testing.T, s *suite) {
	t.Helper()

	t.Run("many appends in one call", func(t *testing.T) {
		t.Parallel()
		whole, parts, existing, buried, big := newStream(), newStream(), newStream(), newStream(), newStream()
		s.append(t, existing, esdb.NoStream{}, events(3)...)
		s.tombstone(t, buried, esdb.Any{})

		requests := map[string]*streams.BatchAppendReq{}
		var order []*streams.BatchAppendReq
		add := func(stream string, set func(*streams.BatchAppendReq)) {
			request := &streams.BatchAppendReq{
				CorrelationId:    structured(uuid.New()),
				Options:          batchTo(stream),
				ProposedMessages: batchOf(1),
				IsFinal:          true,
			}
			set(request)
			requests[stream] = request
			order = append(order, request)
		}
		add(whole, func(r *streams.BatchAppendReq) {
			r.ProposedMessages = batchOf(4)
			r.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
			r.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(10 * time.Second)}
		})
		add(existing, func(r *streams.BatchAppendReq) {
			r.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: 7}
		})
		add(buried, func(*streams.BatchAppendReq) {})
		add(big, func(r *streams.BatchAppendReq) {
			for range 20 {
				m := batchOf(1)
				m[0].Data = make([]byte, 700<<10)
				r.ProposedMessages = append(r.ProposedMessages, m...)
			}
		})
		// Three messages joined by their correlation: only the first has options, only the last is final.
		add(parts, func(r *streams.BatchAppendReq) {
			r.CorrelationId = textual(uuid.NewString())
			r.IsFinal = false
		})
		order = append(order,
			&streams.BatchAppendReq{CorrelationId: requests[parts].GetCorrelationId(), ProposedMessages: batchOf(2)},
			&streams.BatchAppendReq{CorrelationId: requests[parts].GetCorrelationId(), ProposedMessages: batchOf(1), IsFinal: true})

		answers := s.batch(t, order)
		if len(answers) != len(requests) {
			t.Errorf("%d answers to %d appends", len(answers), len(requests))
		}
		for stream, last := range map[string]uint64{whole: 3, parts: 3} {
			answer := answers[stream]
			if answer.GetSuccess().GetCurrentRevision() != last || answer.GetSuccess().GetPosition().GetCommitPosition() == 0 {
				t.Errorf("answer %v, want revision %d and a position", answer, last)
			}
			if correlation(answer.GetCorrelationId()) != correlation(requests[stream].GetCorrelationId()) {
				t.Errorf("correlation %v, want %v", answer.GetCorrelationId(), requests[stream].GetCorrelationId())
			}
			wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), span(0, 3))
		}
		if answers[whole].GetNoStream() == nil {
			t.Errorf("the expected position is answered as %v", answers[whole].GetExpectedStreamPosition())
		}

		wrong := &shared.WrongExpectedVersion{}
		wantFault(t, answers[existing], codes.AlreadyExists, wrong)
		if wrong.GetCurrentStreamRevision() != 2 || wrong.GetExpectedStreamPosition() != 7 {
			t.Errorf("the conflict is told as %v", wrong)
		}
		deleted := &shared.StreamDeleted{}
		wantFault(t, answers[buried], codes.NotFound, deleted)
		if string(deleted.GetStreamIdentifier().GetStreamName()) != buried {
			t.Errorf("the deleted stream is told as %v", deleted)
		}
		size := &shared.MaximumAppendSizeExceeded{}
		wantFault(t, answers[big], codes.InvalidArgument, size)
		if size.GetMaxAppendSize() == 0 {
			t.Error("the limit is not told")
		}
		if _, err := s.tryRead(t, big, esdb.ReadStreamOptions{}, 1); err == nil {
			t.Error("the append that is too big was written")
		}
	})

	t.Run("half-closing finishes what is pending", func(t *testing.T) {
		t.Parallel()
		const appends = 50
		stream := newStream()
		var order []*streams.BatchAppendReq
		for range appends {
			options := batchTo(stream)
			options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{
				Deadline_21_10_0: &timestamppb.Timestamp{Seconds: 1 << 35}, // an instant far off, as clients of 21.10 say it
			}
			order = append(order, &streams.BatchAppendReq{
				CorrelationId: structured(uuid.New()), Options: options, ProposedMessages: batchOf(2), IsFinal: true,
			})
		}
		call, err := s.raw.streams.BatchAppend(bounded(t))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		for _, request := range order {
			if err := call.Send(request); err != nil {
				t.Fatalf("send: %v", err)
			}
		}
		if err := call.CloseSend(); err != nil {
			t.Fatalf("half-close: %v", err)
		}
		seen := map[string]bool{}
		for {
			answer, err := call.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("receive: %v", err)
			}
			if answer.GetSuccess() == nil {
				t.Errorf("answer %v", answer)
			}
			seen[correlation(answer.GetCorrelationId())] = true
		}
		if len(seen) != appends {
			t.Errorf("%d of %d appends are answered", len(seen), appends)
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), span(0, 2*appends-1))
	})

	t.Run("again", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		request := &streams.BatchAppendReq{
			CorrelationId: structured(uuid.New()), Options: batchTo(stream), ProposedMessages: batchOf(2), IsFinal: true,
		}
		request.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		first := s.batch(t, []*streams.BatchAppendReq{request})[stream]
		again := s.batch(t, []*streams.BatchAppendReq{request})[stream]
		if first.GetSuccess() == nil || first.GetSuccess().GetPosition().GetCommitPosition() != again.GetSuccess().GetPosition().GetCommitPosition() {
			t.Errorf("answered %v, and again %v", first, again)
		}
	})
}

// batch sends the requests in one call and waits for an answer to each stream they name.
func (s *suite) batch(t *testing.T, requests []*streams.BatchAppendReq) map[string]*streams.BatchAppendResp {
	t.Helper()
	call, err := s.raw.streams.BatchAppend(bounded(t))
	if err != nil {
		t.Fatalf("open a batch: %v", err)
	}
	expected := map[string]string{}
	for _, request := range requests {
		if request.GetOptions() != nil {
			expected[correlation(request.GetCorrelationId())] = string(request.GetOptions().GetStreamIdentifier().GetStreamName())
		}
		if err := call.Send(request); err != nil {
			t.Fatalf("send: %v", err)
		}
	}
	answers := map[string]*streams.BatchAppendResp{}
	for len(answers) < len(expected) {
		answer, err := call.Recv()
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		stream, known := expected[correlation(answer.GetCorrelationId())]
		if !known {
			t.Fatalf("answer to a stranger: %v", answer)
		}
		answers[stream] = answer
	}
	if err := call.CloseSend(); err != nil {
		t.Errorf("half-close: %v", err)
	}
	return answers
}

func batchTo(stream string) *streams.BatchAppendReq_Options {
	return &streams.BatchAppendReq_Options{
		StreamIdentifier:       identifier(stream),
		ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
		DeadlineOption:         &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(30 * time.Second)},
	}
}

func batchOf(n int) []*streams.BatchAppendReq_ProposedMessage {
	var list []*streams.BatchAppendReq_ProposedMessage
	for range n {
		m := proposal(`"batch"`)
		list = append(list, &streams.BatchAppendReq_ProposedMessage{Id: m.GetId(), Metadata: m.GetMetadata(), Data: m.GetData()})
	}
	return list
}

// correlation is an id's text in whichever form it came.
func correlation(id *shared.UUID) string {
	if s := id.GetStructured(); s != nil {
		parsed, err := esdb.ParseUUIDFromInt64(s.GetMostSignificantBits(), s.GetLeastSignificantBits())
		if err != nil {
			return err.Error()
		}
		return parsed.String()
	}
	return strings.ToLower(id.GetString_())
}

func wantFault(t *testing.T, answer *streams.BatchAppendResp, code codes.Code, details proto.Message) {
	t.Helper()
	fault := answer.GetError()
	if codes.Code(fault.GetCode()) != code { //nolint:gosec // a small number
		t.Errorf("answer %v, want %s", answer, code)
		return
	}
	if len(fault.GetDetails()) != 1 {
		t.Errorf("%d details, want one: %v", len(fault.GetDetails()), fault)
		return
	}
	if err := fault.GetDetails()[0].UnmarshalTo(details); err != nil {
		t.Errorf("details: %v", err)
	}
}
