package esnodetest

import (
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

func testReadWire(t *testing.T, s *suite) {
	t.Helper()

	t.Run("a missing stream is an answer, and the only one", func(t *testing.T) {
		t.Parallel()
		missing, deleted := newStream(), newStream()
		s.append(t, deleted, esdb.NoStream{}, events(2)...)
		s.delete(t, deleted, esdb.Any{})
		for _, stream := range []string{missing, deleted} {
			for _, request := range []*streams.ReadReq{reading(stream), backwards(reading(stream))} {
				answers, _, err := s.raw.read(t, request)
				if err != nil || len(answers) != 1 {
					t.Fatalf("answered %v, %v", answers, err)
				}
				if got := answers[0].GetStreamNotFound().GetStreamIdentifier().GetStreamName(); string(got) != stream {
					t.Errorf("answered %v", answers[0])
				}
			}
		}
	})

	t.Run("a tombstoned stream is named in the trailers", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.tombstone(t, stream, esdb.Any{})
		for _, request := range []*streams.ReadReq{reading(stream), backwards(reading(stream)), reading("$$" + stream)} {
			_, trailer, err := s.raw.read(t, request)
			wantStatus(t, err, codes.FailedPrecondition)
			wantTrailer(t, trailer, "exception", "stream-deleted")
			if len(trailer.Get("stream-name")) != 1 {
				t.Errorf("the trailers name no stream: %v", trailer)
			}
		}
	})

	t.Run("positions on a stream's events", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		answers, _, err := s.raw.read(t, reading(stream))
		if err != nil || len(answers) != 3 {
			t.Fatalf("answered %d messages, %v", len(answers), err)
		}
		for i, answer := range answers {
			e := answer.GetEvent()
			if _, ok := e.GetPosition().(*streams.ReadResp_ReadEvent_CommitPosition); !ok || e.GetCommitPosition() == 0 {
				t.Errorf("event %d: position %v", i, e.GetPosition())
			}
			if r := e.GetEvent(); r.GetCommitPosition() != e.GetCommitPosition() || r.GetPreparePosition() != e.GetCommitPosition() {
				t.Errorf("event %d: commit %d, prepare %d, of %d", i, r.GetCommitPosition(), r.GetPreparePosition(), e.GetCommitPosition())
			}
			if e.GetLink() != nil {
				t.Errorf("event %d is a link", i)
			}
		}
	})

	t.Run("the last position only for those who ask", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		answers, _, err := s.raw.read(t, compatible(reading(stream)))
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		told := slices.ContainsFunc(answers, func(r *streams.ReadResp) bool {
			_, ok := r.GetContent().(*streams.ReadResp_LastStreamPosition)
			return ok && r.GetLastStreamPosition() == 2
		})
		if !told {
			t.Errorf("compatibility 1: no last position 2 in %v", answers)
		}
		for _, request := range []*streams.ReadReq{
			reading(stream), backwards(reading(stream)), readingFrom(stream, 3), readingFrom(stream, 1),
		} {
			answers, _, err := s.raw.read(t, request)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			for _, answer := range answers {
				if answer.GetEvent() == nil {
					t.Errorf("compatibility 0: answered %v", answer)
				}
			}
		}
	})

	t.Run("the first position of a truncated stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(100)...)
		s.setMetadata(t, stream, `{"$tb":90}`)
		answers, _, err := s.raw.read(t, compatible(reading(stream)))
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		count := 0
		for _, answer := range answers {
			switch content := answer.GetContent().(type) {
			case *streams.ReadResp_Event:
				count++
			case *streams.ReadResp_FirstStreamPosition:
				if content.FirstStreamPosition != 90 || count > 0 {
					t.Errorf("first position %d after %d events", content.FirstStreamPosition, count)
				}
			case *streams.ReadResp_LastStreamPosition:
				if content.LastStreamPosition != 99 {
					t.Errorf("last position %d", content.LastStreamPosition)
				}
			default:
				t.Errorf("answered %v", answer)
			}
		}
		if count != 10 {
			t.Errorf("%d events, want 10", count)
		}
	})

	t.Run("combinations there are not", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		from := s.end(t)
		unset := func(change func(*streams.ReadReq_Options)) *streams.ReadReq {
			request := reading(stream)
			change(request.GetOptions())
			return request
		}
		for name, request := range map[string]*streams.ReadReq{
			"a filter on a stream":                   filtering(reading(stream), byType(prefix("x")), 32),
			"a filter on a subscription to a stream": filtering(subscribing(reading(stream)), byType(prefix("x")), 32),
			"a subscription to a stream backwards":   backwards(subscribing(reading(stream))),
			"a subscription to $all backwards":       backwards(subscribing(readingAll(from, 1))),
			"a subscription with a filter backwards": backwards(filtering(subscribing(readingAll(from, 1)), byType(prefix("x")), 32)),
			"no stream":                              unset(func(o *streams.ReadReq_Options) { o.StreamOption = nil }),
			"no count":                               unset(func(o *streams.ReadReq_Options) { o.CountOption = nil }),
			"no filter option":                       unset(func(o *streams.ReadReq_Options) { o.FilterOption = nil }),
			"no form of ids":                         unset(func(o *streams.ReadReq_Options) { o.UuidOption = nil }),
			"no form of ids in the option":           unset(func(o *streams.ReadReq_Options) { o.UuidOption.Content = nil }),
			"no options":                             {},
		} {
			answers, _, err := s.raw.read(t, request)
			if err == nil {
				t.Errorf("%s: answered %v", name, answers)
				continue
			}
			wantStatus(t, err, codes.InvalidArgument, codes.Unknown)
		}
	})

	t.Run("the empty members of the official client", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		request := reading(stream)
		request.Options.FilterOption = &streams.ReadReq_Options_NoFilter{}
		request.Options.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_Structured{}
		request.Options.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{}
		answers, _, err := s.raw.read(t, request)
		if err != nil || len(answers) != 1 {
			t.Errorf("answered %v, %v", answers, err)
		}
	})

	t.Run("$all from the end and the start", func(t *testing.T) {
		t.Parallel()
		request := backwards(readingAll(esdb.Position{}, 1))
		request.Options.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_End{End: &shared.Empty{}}
		answers, _, err := s.raw.read(t, request)
		if err != nil || len(answers) == 0 || answers[0].GetEvent().GetCommitPosition() == 0 {
			t.Errorf("the last event: %v, %v", answers, err)
		}
	})
}

func readingFrom(stream string, revision uint64) *streams.ReadReq {
	request := reading(stream)
	request.Options.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: revision}
	return request
}
