package esnodetest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

// testLimits finds out what the server allows in one append, and then goes right up to it.
func testLimits(t *testing.T, s *suite) {
	t.Helper()

	sized := func(eventType string, data, meta int) esdb.EventData {
		return esdb.EventData{
			EventID: uuid.New(), EventType: eventType, ContentType: esdb.ContentTypeBinary,
			Data: bytes.Repeat([]byte{0xda}, data), Metadata: bytes.Repeat([]byte{0xe7}, meta),
		}
	}
	// limit is the server's own, as it tells it when it refuses.
	limit := func(t *testing.T) int {
		t.Helper()
		stream := newStream()
		big := func() *streams.AppendReq {
			m := proposal("")
			m.Data = make([]byte, 1<<20)
			return proposing(m)
		}
		messages := []*streams.AppendReq{opening(to(stream))}
		for range 17 {
			messages = append(messages, big())
		}
		_, trailer, err := s.raw.append(t, messages...)
		wantStatus(t, err, codes.InvalidArgument)
		wantTrailer(t, trailer, "exception", "maximum-append-size-exceeded")
		values := trailer.Get("maximum-append-size")
		if len(values) != 1 {
			t.Fatalf("the refusal names no limit: %v", trailer)
		}
		n, err := strconv.Atoi(values[0])
		if err != nil {
			t.Fatalf("the limit is no number: %v", err)
		}
		if n < 1<<20 {
			t.Errorf("limit %d, want at least 1 MiB", n)
		}
		if _, err := s.tryRead(t, stream, esdb.ReadStreamOptions{}, 1); err == nil {
			t.Error("a part of the refused append was written")
		}
		return n
	}

	t.Run("the limit counts data, metadata and twice the type", func(t *testing.T) {
		t.Parallel()
		most := limit(t)
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, sized("0123456789", most-20-100, 100))
		s.append(t, stream, esdb.Revision(0), sized("0123456789", 1000, 0), sized("0123456789", 0, most-1000-40))
		// A letter outside ASCII counts two, however many bytes it takes; one outside the basic plane counts four.
		s.append(t, stream, esdb.Revision(2), sized("üüüüü🙂", most-14, 0))
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1 2 3")

		for name, list := range map[string][]esdb.EventData{
			"one event":   {sized("0123456789", most-20-100, 101)},
			"two events":  {sized("0123456789", 1000, 0), sized("0123456789", 0, most-1000-39)},
			"by its type": {sized("üüüüü🙂🙂", most-14, 0)},
		} {
			messages := []*streams.AppendReq{opening(to(stream))}
			for _, e := range list {
				messages = append(messages, proposing(&streams.AppendReq_ProposedMessage{
					Id: structured(e.EventID), Data: e.Data, CustomMetadata: e.Metadata,
					Metadata: map[string]string{"type": e.EventType, "content-type": "application/octet-stream"},
				}))
			}
			_, trailer, err := s.raw.append(t, messages...)
			if err == nil {
				t.Errorf("%s over the limit was written", name)
				continue
			}
			wantStatus(t, err, codes.InvalidArgument)
			wantTrailer(t, trailer, "exception", "maximum-append-size-exceeded")
			wantTrailer(t, trailer, "maximum-append-size", strconv.Itoa(most))
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1 2 3")
	})

	t.Run("a long type and long metadata", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		e := sized(strings.Repeat("type", 250), 10, 300_000)
		s.append(t, stream, esdb.NoStream{}, e)
		list := s.read(t, stream, esdb.ReadStreamOptions{}, 1)
		if len(list) != 1 || list[0].Event.EventType != e.EventType || !bytes.Equal(list[0].Event.UserMetadata, e.Metadata) {
			t.Error("it is not read as it was written")
		}
	})
}
