package esnode

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"annals/internal/esnode/engine"
)

// generated is an event as the generated types have it.
func generated(e *engine.Event, textIDs bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	if e == nil {
		return nil
	}
	id := structuredUUID(e.ID)
	if textIDs {
		id = &shared.UUID{Value: &shared.UUID_String_{String_: e.ID.String()}}
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id: id, StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(e.Stream)},
		StreamRevision: uint64(e.Revision), PreparePosition: e.Position, CommitPosition: e.Position,
		Metadata: map[string]string{
			"type": e.Type, "created": strconv.FormatInt(ticks(e.Created), 10), "content-type": contentType(e),
		},
		CustomMetadata: e.Metadata, Data: e.Data,
	}
}

// TestEncoding holds what is encoded by hand to what the generated types read.
func TestEncoding(t *testing.T) {
	t.Parallel()
	bytes := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 300), rapid.Just(make([]byte, 100_000)))
	event := rapid.Custom(func(rt *rapid.T) *engine.Event {
		return &engine.Event{
			Position: rapid.Uint64Range(1, 1<<63-1).Draw(rt, "position"),
			Revision: rapid.Int64Range(0, engine.TombstoneRevision).Draw(rt, "revision"),
			Stream:   rapid.String().Draw(rt, "stream"), Type: rapid.String().Draw(rt, "type"),
			Created: time.UnixMicro(rapid.Int64Range(-1<<50, 1<<53).Draw(rt, "created")),
			Data:    bytes.Draw(rt, "data"), Metadata: bytes.Draw(rt, "metadata"),
			ID:   uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "id")),
			JSON: rapid.Bool().Draw(rt, "json"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		c := encoder{textIDs: rapid.Bool().Draw(rt, "text ids")}
		for range rapid.IntRange(1, 5).Draw(rt, "events") { // several share a block
			e, link := event.Draw(rt, "event"), (*engine.Event)(nil)
			switch rapid.IntRange(0, 3).Draw(rt, "link") {
			case 0:
				link = event.Draw(rt, "link event")
			case 1:
				e, link = nil, e
			}
			outer := e
			if link != nil {
				outer = link
			}
			want := &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
				Event: generated(e, c.textIDs), Link: generated(link, c.textIDs),
				Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: outer.Position},
			}}}
			encoded := c.event(e, link)
			var got streams.ReadResp
			if err := proto.Unmarshal(encoded, &got); err != nil {
				rt.Fatalf("decode: %v", err)
			}
			if !proto.Equal(want, &got) {
				rt.Fatalf("(-generated +by hand)\n%s", cmp.Diff(want, &got, protocmp.Transform()))
			}
			if len(encoded) != proto.Size(want) {
				rt.Fatalf("%d bytes, the generated types take %d", len(encoded), proto.Size(want))
			}
		}
	})
}

func TestAppendedEncoding(t *testing.T) {
	t.Parallel()
	for _, r := range []engine.Result{{Revision: -1, Position: 7}, {Position: 1}, {Revision: 300, Position: 1 << 40}} {
		want := &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}},
			PositionOption: &streams.AppendResp_Success_Position{
				Position: &streams.AppendResp_Position{CommitPosition: r.Position, PreparePosition: r.Position},
			},
		}
		if r.Revision >= 0 {
			want.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: unsigned(r.Revision)}
		}
		var got streams.AppendResp
		if err := proto.Unmarshal(appended(r), &got); err != nil || !proto.Equal(want, got.GetSuccess()) {
			t.Errorf("%+v: %v, %v", r, &got, err)
		}
	}
}

// BenchmarkEncoding compares the two ways.
func BenchmarkEncoding(b *testing.B) {
	e := &engine.Event{
		Position: 1 << 30, Revision: 7, Stream: "client-" + uuid.NewString(), Type: "client.registered", ID: uuid.New(),
		Created: time.Unix(1.7e9, 0), JSON: true, Data: make([]byte, 256), Metadata: make([]byte, 52),
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		var c encoder
		for b.Loop() {
			c.event(e, nil)
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proto.Marshal(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
				Event:    generated(e, false),
				Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: e.Position},
			}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// FuzzAppendMessage holds what is read by hand to what the generated types read.
func FuzzAppendMessage(f *testing.F) {
	for _, m := range []*streams.AppendReq{
		{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
			StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("stream")},
			ExpectedStreamRevision: &streams.AppendReq_Options_Revision{Revision: 7},
		}}},
		{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: structuredUUID(uuid.New()), Metadata: map[string]string{"type": "t", "content-type": contentJSON, "x": "y"},
			CustomMetadata: []byte("meta"), Data: []byte("data"),
		}}},
		{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id: &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}, Metadata: map[string]string{"type": ""},
		}}},
	} {
		encoded, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got appendMessage
		err := got.unmarshal(mem.BufferSlice{mem.SliceBuffer(data)})
		var want streams.AppendReq
		if proto.Unmarshal(data, &want) != nil || err != nil {
			return // text that is no UTF-8, or an id that is none: one of the two refuses
		}
		if !proto.Equal(want.GetOptions(), got.options) && (want.GetOptions() != nil || got.options != nil) {
			t.Errorf("options %v, want %v", got.options, want.GetOptions())
		}
		m := want.GetProposedMessage()
		if got.proposed != (m != nil) {
			t.Fatalf("an event: %t, want %v", got.proposed, m)
		}
		typ, hasType := m.GetMetadata()["type"]
		format, hasFormat := m.GetMetadata()["content-type"]
		id, idErr := parseUUID(m.GetId())
		p := got.event
		if p.typ != typ || p.hasType != hasType || p.hasFormat != hasFormat || p.json != (format == contentJSON) ||
			string(p.data) != string(m.GetData()) || string(p.metadata) != string(m.GetCustomMetadata()) ||
			(p.hasID && p.idErr == nil) != (idErr == nil) || idErr == nil && p.id != id {
			t.Errorf("read %+v, want %v", p, m)
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, seed := range []string{"0@stream", "5@a@b", "@", "-1@x", "9223372036854775808@x", "1@", "+1@x", " 1@x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		ref, ok := parseLink(data)
		if !ok {
			return
		}
		number, stream, _ := strings.Cut(data, "@")
		if stream != ref.Stream || ref.Stream == "" || ref.Revision < 0 {
			t.Errorf("%q: %+v", data, ref)
		}
		if n, err := strconv.ParseInt(number, 10, 64); err != nil || n != ref.Revision {
			t.Errorf("%q: %+v", data, ref)
		}
	})
}

// FuzzPlan holds that no request to read panics, and that an accepted one is one of those that there are.
func FuzzPlan(f *testing.F) {
	seed := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
			AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption: &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		FilterOption: &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_EventType{
				EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: `^(?!\$)(a)\1`},
			},
			Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: 32},
			CheckpointIntervalMultiplier: 1,
		}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}
	encoded, err := proto.Marshal(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, data []byte) {
		var o streams.ReadReq_Options
		if proto.Unmarshal(data, &o) != nil {
			return
		}
		p, err := newPlan(&o)
		if err != nil {
			return
		}
		if p.follow && p.backwards || p.filter != nil && !p.all || p.stream == "" || p.revision < 0 ||
			p.filter != nil && p.follow && p.interval == 0 {
			t.Errorf("%v became %+v", &o, p)
		}
		if p.filter != nil {
			_, _ = p.filter.wants(&engine.Event{Stream: "stream", Type: "type"})
		}
	})
}
