package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/internal/esnode/engine"
)

// model is the log as simply as it can be said: all events in memory, in order.
type model struct {
	log   []row
	ended map[string]bool     // tombstoned streams
	last  map[string]int64    // revision of the last event; absent for none
	known map[uuid.UUID]where // where an id was written last
}

type row struct {
	stream   string
	revision int64
	id       uuid.UUID // zero for what the log writes by itself
	typ      string
	data     string
}

type where struct {
	stream   string
	revision int64
}

type answer struct {
	kind     string // "ok", "wrong", "gone"
	revision int64  // last event's; for wrong, the stream's
}

func (m *model) end(stream string) int64 {
	if r, ok := m.last[stream]; ok {
		return r
	}
	return -1
}

func (m *model) find(stream string, revision int64) (row, bool) {
	i := slices.IndexFunc(m.log, func(r row) bool { return r.stream == stream && r.revision == revision })
	if i < 0 {
		return row{}, false
	}
	return m.log[i], true
}

func (m *model) metadata(stream string) engine.Metadata {
	if strings.HasPrefix(stream, "$$") {
		return engine.Metadata{MaxCount: 1}
	}
	r, ok := m.find("$$"+stream, m.end("$$"+stream))
	if !ok {
		return engine.Metadata{}
	}
	return engine.ParseMetadata([]byte(r.data))
}

func (m *model) hiddenStream(stream string) bool {
	return m.metadata(stream).TruncateBefore == math.MaxInt64
}

func (m *model) put(stream string, id uuid.UUID, typ, data string) int64 {
	revision := m.end(stream) + 1
	m.log = append(m.log, row{stream, revision, id, typ, data})
	m.last[stream] = revision
	return revision
}

// judge is the table of the protocol in another order: by what the writer expects.
func (m *model) judge(stream string, expected engine.Expected, ids []uuid.UUID) (answer, bool) {
	end := m.end(stream)
	wrong := answer{"wrong", end}
	_, hasMeta := m.last["$$"+stream]
	isMeta := strings.HasPrefix(stream, "$$")
	deleted := m.hiddenStream(stream)
	if m.ended[strings.TrimPrefix(stream, "$$")] {
		return answer{kind: "gone"}, true
	}
	if expected == engine.StreamExists {
		if deleted {
			return answer{kind: "gone"}, true
		}
		if end < 0 && (isMeta || !hasMeta) {
			return wrong, true
		}
	}
	if expected == engine.Any || expected == engine.StreamExists {
		found := 0
		at := int64(0)
		for _, id := range ids {
			if w, ok := m.known[id]; ok && w.stream == stream {
				found++
				at = w.revision
			} else {
				break
			}
		}
		switch {
		case found == 0:
			return answer{}, false
		case found < len(ids):
			return wrong, true
		}
		return answer{"ok", at}, true
	}
	want := int64(expected)
	if want == end {
		return answer{}, false
	}
	if want > end || len(ids) == 0 {
		return wrong, true
	}
	for i, id := range ids {
		r, ok := m.find(stream, want+1+int64(i))
		if ok && r.id == id {
			continue
		}
		if i == 0 && want == -1 && deleted {
			return answer{}, false
		}
		return wrong, true
	}
	return answer{"ok", want + int64(len(ids))}, true
}

func (m *model) append(stream string, expected engine.Expected, events []engine.Proposed) answer {
	var ids []uuid.UUID
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	if a, done := m.judge(stream, expected, ids); done {
		return a
	}
	if len(events) == 0 {
		return answer{"ok", m.end(stream)}
	}
	original := strings.TrimPrefix(stream, "$$")
	wasHidden := m.hiddenStream(original)
	end := m.end(stream)
	a := answer{kind: "ok"}
	for _, e := range events {
		a.revision = m.put(stream, e.ID, e.Type, string(e.Data))
		m.known[e.ID] = where{stream, a.revision}
	}
	if wasHidden && stream == original {
		m.show(stream, end+1)
	} else if wasHidden && !m.hiddenStream(original) {
		m.show(original, m.end(original)+1)
	}
	return a
}

// show writes the metadata that lets a soft-deleted stream be seen from a revision on, with what else it said.
func (m *model) show(stream string, from int64) {
	keys := map[string]json.RawMessage{}
	if r, ok := m.find("$$"+stream, m.end("$$"+stream)); ok {
		_ = json.Unmarshal([]byte(r.data), &keys) // nonsense says nothing
	}
	keys["$tb"] = fmt.Append(nil, from)
	data, err := json.Marshal(keys)
	if err != nil {
		panic(err)
	}
	m.put("$$"+stream, uuid.Nil, engine.TypeMetadata, string(data))
}

func (m *model) delete(stream string, expected engine.Expected) answer {
	if a, done := m.judge(stream, expected, nil); done {
		return a
	}
	if _, hasMeta := m.last["$$"+stream]; m.end(stream) < 0 && !hasMeta {
		return answer{"wrong", -1}
	}
	return answer{"ok", m.put("$$"+stream, uuid.Nil, engine.TypeMetadata, `{"$tb":9223372036854775807}`)}
}

func (m *model) tombstone(stream string, expected engine.Expected) answer {
	if a, done := m.judge(stream, expected, nil); done {
		return a
	}
	m.log = slices.DeleteFunc(m.log, func(r row) bool { return r.stream == stream || r.stream == "$$"+stream })
	delete(m.last, "$$"+stream)
	m.last[stream] = math.MaxInt64
	m.ended[stream] = true
	m.log = append(m.log, row{stream, math.MaxInt64, uuid.Nil, engine.TypeDeleted, ""})
	return answer{"ok", math.MaxInt64}
}

// shown is what a reader of the stream sees.
func (m *model) shown(stream string) (list []row, err string) {
	switch {
	case m.ended[strings.TrimPrefix(stream, "$$")]:
		return nil, "gone"
	case m.end(stream) < 0 || m.hiddenStream(stream):
		return nil, "none"
	}
	meta := m.metadata(stream)
	first := meta.TruncateBefore
	if meta.MaxCount > 0 {
		first = max(first, m.end(stream)-meta.MaxCount+1)
	}
	for _, r := range m.log {
		if r.stream == stream && r.revision >= first {
			list = append(list, r)
		}
	}
	return list, ""
}

func answered(r engine.Result, err error) answer {
	var wrong *engine.WrongRevisionError
	var gone *engine.DeletedError
	switch {
	case errors.As(err, &wrong):
		return answer{"wrong", wrong.Actual}
	case errors.As(err, &gone):
		return answer{kind: "gone"}
	case err != nil:
		return answer{kind: err.Error()}
	}
	return answer{"ok", r.Revision}
}

// TestModel drives an engine and the model with the same random writes, and wants the same answers and the same log.
func TestModel(t *testing.T) {
	t.Parallel()
	// With a tail that small, subscriptions and reads are served by the table as well.
	e := open(t, engine.Options{TailEvents: 8})
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{ended: map[string]bool{}, last: map[string]int64{}, known: map[uuid.UUID]where{}}
		start := e.Head()
		names := []string{newStream(), newStream()}
		names = append(names, "$$"+names[0], "$$"+names[1])
		var earlier [][]engine.Proposed
		anyExpected := rapid.OneOf(
			rapid.SampledFrom([]engine.Expected{engine.Any, engine.NoStream, engine.StreamExists}),
			rapid.Map(rapid.IntRange(0, 6), func(n int) engine.Expected { return engine.Expected(n) }))
		check := func(rt *rapid.T, what string, got, want answer) {
			if got.kind == "wrong" && want.kind == "wrong" && got.revision == want.revision || got == want {
				return
			}
			rt.Fatalf("%s: answered %+v, the model says %+v", what, got, want)
		}
		rt.Repeat(map[string]func(*rapid.T){
			// Several at once are decided together, in one transaction, and must come out as one after the other.
			"append": func(rt *rapid.T) {
				type begun struct {
					what    string
					pending *engine.Pending
					want    answer
				}
				var list []begun
				for range rapid.IntRange(1, 5).Draw(rt, "at once") {
					stream := rapid.SampledFrom(names).Draw(rt, "stream")
					expected := anyExpected.Draw(rt, "expected")
					events := draw(rt, stream, &earlier)
					pending, err := e.Begin(t.Context(), stream, expected, events)
					if err != nil {
						rt.Fatalf("begin: %v", err)
					}
					what := fmt.Sprintf("append %d to %s at %s", len(events), stream, expected)
					list = append(list, begun{what, pending, m.append(stream, expected, events)})
				}
				for _, b := range list {
					check(rt, b.what, answered(b.pending.Wait()), b.want)
				}
			},
			"delete": func(rt *rapid.T) {
				stream, expected := rapid.SampledFrom(names[:2]).Draw(rt, "stream"), anyExpected.Draw(rt, "expected")
				got, want := answered(e.Delete(t.Context(), stream, expected)), m.delete(stream, expected)
				check(rt, fmt.Sprintf("delete %s at %s", stream, expected), got, want)
			},
			"tombstone": func(rt *rapid.T) {
				if rapid.IntRange(0, 4).Draw(rt, "seldom") > 0 {
					return
				}
				stream, expected := rapid.SampledFrom(names[:2]).Draw(rt, "stream"), anyExpected.Draw(rt, "expected")
				got, want := answered(e.Tombstone(t.Context(), stream, expected)), m.tombstone(stream, expected)
				check(rt, fmt.Sprintf("tombstone %s at %s", stream, expected), got, want)
			},
			"": func(rt *rapid.T) {
				for _, stream := range names {
					compareStream(t, rt, e, m, stream)
				}
				var all []*engine.Event
				for page, err := range e.ReadAll(t.Context(), start+1, false, engine.MaxPosition) {
					if err != nil {
						rt.Fatalf("read: %v", err)
					}
					all = append(all, page...)
				}
				compare(rt, "the log", all, m.log)
			},
		})
	})
}

// draw makes events for a stream: new ones, or an earlier append's, whole or with another end.
func draw(rt *rapid.T, stream string, earlier *[][]engine.Proposed) []engine.Proposed {
	events := proposed(rapid.IntRange(0, 3).Draw(rt, "events"))
	if strings.HasPrefix(stream, "$$") {
		for i := range events {
			events[i].Data = []byte(rapid.SampledFrom([]string{
				`{"$maxCount":2}`, `{"$tb":2}`, `{}`, `nonsense`, `{"$tb":9223372036854775807}`,
			}).Draw(rt, "metadata"))
		}
	}
	if len(*earlier) > 0 && rapid.IntRange(0, 2).Draw(rt, "repeat") == 0 {
		events = slices.Clone(rapid.SampledFrom(*earlier).Draw(rt, "earlier"))
		if len(events) > 1 && rapid.Bool().Draw(rt, "other end") {
			events[len(events)-1].ID = uuid.New()
		}
	}
	*earlier = append(*earlier, events)
	return events
}

func compareStream(t *testing.T, rt *rapid.T, e *engine.Engine, m *model, stream string) {
	t.Helper()
	want, wantErr := m.shown(stream)
	read, err := e.ReadStream(t.Context(), stream, 0, false, engine.MaxPosition)
	var deleted *engine.DeletedError
	gotErr := ""
	switch {
	case errors.Is(err, engine.ErrNoStream):
		gotErr = "none"
	case errors.As(err, &deleted):
		gotErr = "gone"
	case err != nil:
		rt.Fatalf("read %s: %v", stream, err)
	}
	if gotErr != wantErr {
		rt.Fatalf("read %s: %q, the model says %q", stream, gotErr, wantErr)
	}
	if err != nil {
		return
	}
	var got []*engine.Event
	for page, err := range read.Pages {
		if err != nil {
			rt.Fatalf("read %s: %v", stream, err)
		}
		got = append(got, page...)
	}
	compare(rt, stream, got, want)
}

func compare(rt *rapid.T, what string, got []*engine.Event, want []row) {
	same := slices.EqualFunc(got, want, func(e *engine.Event, r row) bool {
		return e.Stream == r.stream && e.Revision == r.revision && e.Type == r.typ && string(e.Data) == r.data &&
			(r.id == uuid.Nil || e.ID == r.id)
	})
	if !same {
		for _, e := range got {
			rt.Logf("have %s %d %s %s", e.Stream, e.Revision, e.Type, e.Data)
		}
		for _, r := range want {
			rt.Logf("want %s %d %s %s", r.stream, r.revision, r.typ, r.data)
		}
		rt.Fatalf("%s: %d events, the model has %d", what, len(got), len(want))
	}
}
