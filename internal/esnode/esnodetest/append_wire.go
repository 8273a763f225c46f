package esnodetest

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

func testAppendWire(t *testing.T, s *suite) {
	t.Helper()

	t.Run("an answer names the last event", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		answer, _, err := s.raw.append(t, opening(to(stream)), proposing(proposal("1")), proposing(proposal("2")))
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		success := answer.GetSuccess()
		if _, ok := success.GetCurrentRevisionOption().(*streams.AppendResp_Success_CurrentRevision); !ok || success.GetCurrentRevision() != 1 {
			t.Errorf("current revision %v, want 1", success.GetCurrentRevisionOption())
		}
		position := success.GetPosition()
		if position.GetCommitPosition() == 0 || position.GetCommitPosition() != position.GetPreparePosition() {
			t.Errorf("position %v", position)
		}
	})

	t.Run("nothing appended to nothing", func(t *testing.T) {
		t.Parallel()
		answer, _, err := s.raw.append(t, opening(to(newStream())))
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		success := answer.GetSuccess()
		if success.GetNoStream() == nil {
			t.Errorf("current revision %v, want no stream", success.GetCurrentRevisionOption())
		}
		if success.GetPosition() == nil {
			t.Error("no position")
		}
	})

	t.Run("wrong expected version is an answer", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		missing := newStream()

		ask := func(name, stream string, set func(*streams.AppendReq_Options)) *streams.AppendResp_WrongExpectedVersion {
			options := to(stream)
			set(options)
			answer, _, err := s.raw.append(t, opening(options), proposing(proposal("1")))
			if err != nil || answer.GetWrongExpectedVersion() == nil {
				t.Fatalf("%s: answered %v, %v", name, answer, err)
			}
			return answer.GetWrongExpectedVersion()
		}
		wrong := ask("no stream", stream, func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		})
		wantCurrent(t, wrong, 2)
		if wrong.GetExpectedNoStream() == nil || wrong.GetExpectedRevision_20_6_0() != math.MaxUint64 {
			t.Errorf("no stream: expected is told as %v", wrong)
		}
		wrong = ask("a revision", stream, func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 1}
		})
		wantCurrent(t, wrong, 2)
		if wrong.GetExpectedRevision() != 1 || wrong.GetExpectedRevision_20_6_0() != 1 {
			t.Errorf("a revision: expected is told as %v", wrong)
		}
		wrong = ask("a revision of no stream", missing, func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 5}
		})
		wantNoCurrent(t, wrong)
		if wrong.GetExpectedRevision() != 5 || wrong.GetExpectedRevision_20_6_0() != 5 {
			t.Errorf("a revision of no stream: expected is told as %v", wrong)
		}
		wrong = ask("stream exists", missing, func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		})
		wantNoCurrent(t, wrong)
		if wrong.GetExpectedStreamExists() == nil || wrong.GetStreamExists_20_6_0() == nil {
			t.Errorf("stream exists: expected is told as %v", wrong)
		}
	})

	t.Run("a tombstoned stream is named in the trailers", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.tombstone(t, stream, esdb.Any{})
		_, trailer, err := s.raw.append(t, opening(to(stream)), proposing(proposal("1")))
		wantStatus(t, err, codes.FailedPrecondition)
		wantTrailer(t, trailer, "exception", "stream-deleted")
		wantTrailer(t, trailer, "stream-name", stream)
	})

	t.Run("ids in both forms", func(t *testing.T) {
		t.Parallel()
		stream, id, other := newStream(), uuid.New(), uuid.New()
		written := proposal("1")
		written.Id = textual(id.String())
		mixed := proposal("2")
		mixed.Id = structured(other)
		if _, _, err := s.raw.append(t, opening(to(stream)), proposing(written), proposing(mixed)); err != nil {
			t.Fatalf("append: %v", err)
		}
		list := s.read(t, stream, esdb.ReadStreamOptions{}, all)
		if len(list) != 2 || list[0].Event.EventID != id || list[1].Event.EventID != other {
			t.Fatalf("the official client reads other ids")
		}
		request := reading(stream)
		request.Options.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
		answers, _, err := s.raw.read(t, request)
		if err != nil || len(answers) < 2 {
			t.Fatalf("read: %v, %v", answers, err)
		}
		if got := answers[0].GetEvent().GetEvent().GetId(); got.GetString_() != id.String() {
			t.Errorf("id as text is %v, want %s", got, id)
		}
		if got := answers[1].GetEvent().GetEvent().GetId(); got.GetString_() != other.String() {
			t.Errorf("id as text is %v, want %s", got, other)
		}
		// The same event under the other form of its id is the same event.
		options := to(stream)
		options.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		written.Id = structured(id)
		answer, _, err := s.raw.append(t, opening(options), proposing(written))
		if err != nil || answer.GetSuccess() == nil || answer.GetSuccess().GetCurrentRevision() != 0 {
			t.Errorf("an append again, its id in the other form: %v, %v", answer, err)
		}
	})

	t.Run("system metadata", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		more := proposal("1")
		more.Metadata["colour"] = "blue"
		messages := []*streams.AppendReq{opening(to(stream)), proposing(more)}
		contentTypes := []string{"application/octet-stream", "application/json; charset=utf-8", "text/plain", "Application/JSON"}
		for _, contentType := range contentTypes {
			m := proposal("1")
			m.Metadata["content-type"] = contentType
			messages = append(messages, proposing(m))
		}
		if _, _, err := s.raw.append(t, messages...); err != nil {
			t.Fatalf("append: %v", err)
		}
		answers, _, err := s.raw.read(t, reading(stream))
		if err != nil || len(answers) < len(contentTypes)+1 {
			t.Fatalf("read: %d answers, %v", len(answers), err)
		}
		for i, want := range append([]string{"application/json"}, slices.Repeat([]string{"application/octet-stream"}, len(contentTypes))...) {
			got := answers[i].GetEvent().GetEvent().GetMetadata()
			if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"content-type", "created", "type"}) {
				t.Errorf("event %d has the keys %v", i, keys)
			}
			if got["content-type"] != want || got["type"] != "happened" {
				t.Errorf("event %d is a %q of %q, want %q", i, got["type"], got["content-type"], want)
			}
			ticks, err := strconv.ParseInt(got["created"], 10, 64)
			if err != nil {
				t.Errorf("created %q is no number of ticks", got["created"])
			} else if off := time.Since(time.UnixMicro(ticks / 10)); off > time.Hour || off < -time.Hour {
				t.Errorf("created %s ago", off)
			}
		}
	})

	t.Run("requests that are refused", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		without := func(key string) *streams.AppendReq {
			m := proposal("1")
			delete(m.Metadata, key)
			return proposing(m)
		}
		for _, key := range []string{"type", "content-type"} {
			_, trailer, err := s.raw.append(t, opening(to(stream)), without(key))
			wantStatus(t, err, codes.InvalidArgument)
			wantTrailer(t, trailer, "exception", "missing-required-metadata-property")
			wantTrailer(t, trailer, "required-metadata-properties", "type,content-type")
		}
		untyped, nameless, unread := proposal("1"), proposal("1"), proposal("1")
		untyped.Metadata["type"] = ""
		nameless.Id = structured(uuid.Nil)
		unread.Id = textual("not an id")
		unset, huge := to(stream), to(stream)
		unset.ExpectedStreamRevision = nil
		huge.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 1 << 63}
		for name, messages := range map[string][]*streams.AppendReq{
			"no options":                {proposing(proposal("1"))},
			"an empty type":             {opening(to(stream)), proposing(untyped)},
			"an id of zeros":            {opening(to(stream)), proposing(nameless)},
			"an id that cannot be read": {opening(to(stream)), proposing(unread)},
			"no expected revision":      {opening(unset), proposing(proposal("1"))},
			"a revision beyond 2^63":    {opening(huge), proposing(proposal("1"))},
			"the second one is wrong":   {opening(to(stream)), proposing(proposal("1")), without("type")},
		} {
			_, _, err := s.raw.append(t, messages...)
			if err == nil {
				t.Errorf("%s: taken", name)
				continue
			}
			wantStatus(t, err, codes.InvalidArgument, codes.Unknown)
		}
		if _, err := s.tryRead(t, stream, esdb.ReadStreamOptions{}, 1); err == nil {
			t.Error("a refused append was written")
		}
	})
}

func wantCurrent(t *testing.T, wrong *streams.AppendResp_WrongExpectedVersion, want uint64) {
	t.Helper()
	if wrong.GetCurrentNoStream() != nil || wrong.GetCurrentRevision() != want || wrong.GetCurrentRevision_20_6_0() != want {
		t.Errorf("current is told as %v, want %d", wrong, want)
	}
}

func wantNoCurrent(t *testing.T, wrong *streams.AppendResp_WrongExpectedVersion) {
	t.Helper()
	if wrong.GetCurrentNoStream() == nil || wrong.GetNoStream_20_6_0() == nil {
		t.Errorf("current is told as %v, want no stream", wrong)
	}
}
