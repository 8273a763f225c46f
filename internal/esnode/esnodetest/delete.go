package esnodetest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func testDelete(t *testing.T, s *suite) {
	t.Helper()

	t.Run("is an event in the metadata", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.setMetadata(t, stream, `{"$maxCount":7,"custom":true}`)
		position := s.delete(t, stream, esdb.Revision(2))
		if position.Commit == 0 || position.Commit != position.Prepare {
			t.Errorf("position %v", position)
		}
		list := s.readAll(t, esdb.ReadAllOptions{From: position}, 1)
		if len(list) != 1 {
			t.Fatalf("nothing stands at %v", position)
		}
		e := list[0].OriginalEvent()
		if e.StreamID != "$$"+stream || e.EventType != "$metadata" {
			t.Errorf("at the position stands %q of %s", e.EventType, e.StreamID)
		}
		if got := decode(t, e.Data); len(got) != 1 || got["$tb"] != "9223372036854775807" {
			t.Errorf("the metadata is %s", e.Data)
		}
	})

	t.Run("at a revision", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		for _, expected := range []esdb.ExpectedRevision{esdb.Revision(1), esdb.Revision(5), esdb.NoStream{}} {
			if _, err := s.client.DeleteStream(bounded(t), stream, esdb.DeleteStreamOptions{ExpectedRevision: expected}); err == nil {
				t.Errorf("deleted at %v", expected)
			}
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1 2")
		s.delete(t, stream, esdb.StreamExists{})
		s.wantLast(t, stream, -1)
	})

	t.Run("a conflict is told in the trailers", func(t *testing.T) {
		t.Parallel()
		stream, missing := newStream(), newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		request := &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier:       identifier(stream),
			ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 7},
		}}
		s.wantConflict(t, request, stream, "7", "2")
		request.Options.ExpectedStreamRevision = &streams.DeleteReq_Options_NoStream{NoStream: &shared.Empty{}}
		s.wantConflict(t, request, stream, "-1", "2")
		request.Options.StreamIdentifier = identifier(missing)
		request.Options.ExpectedStreamRevision = &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}
		s.wantConflict(t, request, missing, "-2", "-1")
		request.Options.ExpectedStreamRevision = &streams.DeleteReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		s.wantConflict(t, request, missing, "-4", "-1")
	})

	t.Run("a new life continues the numbers", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.delete(t, stream, esdb.Any{})
		wantRevision(t, s.append(t, stream, esdb.NoStream{}, events(2)...), 4)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "3 4")
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{From: esdb.Revision(1)}, all), "3 4")
		wantNumbers(t, s.read(t, stream, back(esdb.End{}), all), "4 3")
		if got := s.metadata(t, stream); got["$tb"] != "3" {
			t.Errorf("the metadata is %v, want $tb 3", got)
		}
		// And again.
		s.delete(t, stream, esdb.Revision(4))
		s.wantLast(t, stream, -1)
		wantRevision(t, s.append(t, stream, esdb.Revision(4), event(`1`)), 5)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "5")
		if got := s.metadata(t, stream); got["$tb"] != "5" {
			t.Errorf("the metadata is %v, want $tb 5", got)
		}
	})

	t.Run("a new life keeps the other keys", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.setMetadata(t, stream, `{"$tb":9223372036854775807,"$maxCount":2,"custom":{"a":[1,"b"]}}`)
		s.wantLast(t, stream, -1)
		wantRevision(t, s.append(t, stream, esdb.Any{}, events(3)...), 5)
		got := s.metadata(t, stream)
		if got["$tb"] != "3" || got["$maxCount"] != "2" || got["custom"] != `{"a":[1,"b"]}` {
			t.Errorf("the metadata is %v", got)
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "4 5")
	})

	t.Run("metadata over a deleted stream brings it back", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.delete(t, stream, esdb.Any{})
		s.setMetadata(t, stream, `{"custom":"x"}`)
		got := s.metadata(t, stream)
		if got["$tb"] != "3" || got["custom"] != `"x"` {
			t.Errorf("the metadata is %v, want $tb 3 and the custom key", got)
		}
		if list := s.read(t, stream, esdb.ReadStreamOptions{}, all); len(list) != 0 {
			t.Errorf("read %s", numbers(list))
		}
		wantRevision(t, s.append(t, stream, esdb.StreamExists{}, event(`1`)), 3)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "3")
	})

	t.Run("a new life of many writers", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.delete(t, stream, esdb.Any{})
		parallel(6, func(int) bool {
			s.append(t, stream, esdb.Any{}, event(`1`))
			return true
		})
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), span(3, 8))
	})
}

func testTombstone(t *testing.T, s *suite) {
	t.Helper()

	t.Run("is the last event of the stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		position := s.tombstone(t, stream, esdb.Revision(2))
		list := s.readAll(t, esdb.ReadAllOptions{From: position}, 1)
		if len(list) != 1 {
			t.Fatalf("nothing stands at %v", position)
		}
		e := list[0].OriginalEvent()
		if e.StreamID != stream || e.EventType != "$streamDeleted" || e.EventNumber != 1<<63-1 {
			t.Errorf("at the position stands %q, %d of %s", e.EventType, e.EventNumber, e.StreamID)
		}
	})

	t.Run("at a revision", func(t *testing.T) {
		t.Parallel()
		stream, missing := newStream(), newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		request := &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
			StreamIdentifier:       identifier(stream),
			ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: 7},
		}}
		s.wantTombstoneConflict(t, request, stream, "7", "2")
		request.Options.ExpectedStreamRevision = &streams.TombstoneReq_Options_NoStream{NoStream: &shared.Empty{}}
		s.wantTombstoneConflict(t, request, stream, "-1", "2")
		request.Options.StreamIdentifier = identifier(missing)
		request.Options.ExpectedStreamRevision = &streams.TombstoneReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		s.wantTombstoneConflict(t, request, missing, "-4", "-1")
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1 2")
	})

	t.Run("of a stream that never was", func(t *testing.T) {
		t.Parallel()
		for _, expected := range []esdb.ExpectedRevision{esdb.Any{}, esdb.NoStream{}} {
			stream := newStream()
			s.tombstone(t, stream, expected)
			s.wantLast(t, stream, -2)
		}
	})

	t.Run("of a deleted stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.delete(t, stream, esdb.Any{})
		s.tombstone(t, stream, esdb.Any{})
		s.wantLast(t, stream, -2)
	})

	t.Run("is final", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.setMetadata(t, stream, `{"custom":1}`)
		s.tombstone(t, stream, esdb.Any{})
		refused := func(what string, err error) {
			t.Helper()
			if err == nil {
				t.Errorf("%s: done", what)
				return
			}
			wantCode(t, err, esdb.ErrorCodeStreamDeleted)
		}
		_, err := s.tryAppend(t, stream, esdb.Any{}, event(`1`))
		refused("append", err)
		_, err = s.client.DeleteStream(bounded(t), stream, esdb.DeleteStreamOptions{})
		refused("delete", err)
		_, err = s.client.TombstoneStream(bounded(t), stream, esdb.TombstoneStreamOptions{})
		refused("tombstone", err)
		_, err = s.client.SetStreamMetadata(bounded(t), stream, esdb.AppendToStreamOptions{}, esdb.StreamMetadata{})
		refused("set metadata", err)
		_, err = s.tryRead(t, "$$"+stream, esdb.ReadStreamOptions{}, 1)
		refused("read metadata", err)
		_, err = s.tryRead(t, stream, esdb.ReadStreamOptions{}, 1)
		refused("read", err)
	})
}

func (s *suite) wantConflict(t *testing.T, request *streams.DeleteReq, stream, expected, actual string) {
	t.Helper()
	var trailer metadata.MD
	_, err := s.raw.streams.Delete(bounded(t), request, grpc.Trailer(&trailer))
	wantStatus(t, err, codes.FailedPrecondition)
	wantConflictTrailer(t, trailer, stream, expected, actual)
}

func (s *suite) wantTombstoneConflict(t *testing.T, request *streams.TombstoneReq, stream, expected, actual string) {
	t.Helper()
	var trailer metadata.MD
	_, err := s.raw.streams.Tombstone(bounded(t), request, grpc.Trailer(&trailer))
	wantStatus(t, err, codes.FailedPrecondition)
	wantConflictTrailer(t, trailer, stream, expected, actual)
}

func wantConflictTrailer(t *testing.T, trailer metadata.MD, stream, expected, actual string) {
	t.Helper()
	wantTrailer(t, trailer, "exception", "wrong-expected-version")
	wantTrailer(t, trailer, "stream-name", stream)
	wantTrailer(t, trailer, "expected-version", expected)
	wantTrailer(t, trailer, "actual-version", actual)
}
