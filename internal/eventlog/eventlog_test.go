package eventlog

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
)

func TestAppendAndRead(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	id := uuid.New()
	stream := Stream(domain.Client, id)
	m := by()
	m.IP, m.Request = "127.0.0.1", []byte("what was asked")
	first, err := l.Append(t.Context(), stream, NoStream, m, kim(), client.Retagged{Added: []string{"vip"}})
	if err != nil {
		t.Fatal(err)
	}
	second := mustAppend(t, l, stream, first.Revision, client.Deactivated{Reason: "moved away"})
	if first.Revision != 1 || second.Revision != 2 || second.Position.Compare(first.Position) <= 0 {
		t.Errorf("results %+v, %+v", first, second)
	}
	got := all(t, l, stream)
	if len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	want := []any{kim(), client.Retagged{Added: []string{"vip"}}, client.Deactivated{Reason: "moved away"}}
	for i, rec := range got {
		if diff := cmp.Diff(want[i], rec.Event); diff != "" || rec.Erased != nil || rec.Err != nil {
			t.Errorf("event %d: erased %v, %v\n%s", i, rec.Erased, rec.Err, diff)
		}
		if rec.Stream != stream || rec.Revision != Revision(i) || rec.Schema < 1 || rec.ID == uuid.Nil || rec.Type != eventschema.Name(want[i]) {
			t.Errorf("record %+v", rec)
		}
		if ref, err := rec.Ref(); err != nil || ref.ID != id || ref.Category != domain.Client {
			t.Errorf("ref %v, %v", ref, err)
		}
		if i > 0 && rec.Position.Compare(got[i-1].Position) <= 0 {
			t.Errorf("position %v after %v", rec.Position, got[i-1].Position)
		}
	}
	if got[1].Position != first.Position || got[2].Position != second.Position {
		t.Error("a result's position is that of its last event")
	}
	fingerprint, err := l.Fingerprint(t.Context(), stream, m)
	m.Request, m.Fingerprint = nil, fingerprint
	if diff := cmp.Diff(m, got[0].Meta); err != nil || fingerprint == "" || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if head, err := l.Head(t.Context()); err != nil || head != second.Position {
		t.Errorf("head %v, %v, want %v", head, err, second.Position)
	}
	var tail []Revision
	for rec, err := range l.Read(t.Context(), stream, 1) {
		if err != nil {
			t.Fatal(err)
		}
		tail = append(tail, rec.Revision)
	}
	if fmt.Sprint(tail) != "[1 2]" {
		t.Errorf("from revision 1: %v", tail)
	}
	if none := all(t, l, Stream(domain.Client, uuid.New())); none != nil {
		t.Errorf("a stream that is not there: %v", none)
	}
	for rec, err := range l.Read(t.Context(), stream, 0) {
		if err != nil || rec.Revision > 0 {
			t.Fatalf("after the reader has left: %v, %v", rec, err)
		}
		break
	}
}

func TestLongStream(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	stream := Stream(domain.Client, uuid.New())
	last := mustAppend(t, l, stream, NoStream, kim()).Revision
	for range 4 {
		batch := make([]any, page/3)
		for i := range batch {
			batch[i] = client.StatusChanged{From: client.Lead, To: client.Active}
		}
		last = mustAppend(t, l, stream, last, batch...).Revision
	}
	got := all(t, l, stream)
	if len(got) != int(last)+1 || len(got) <= page {
		t.Fatalf("%d records, last is %d", len(got), last)
	}
	for i, rec := range got {
		if rec.Revision != Revision(i) {
			t.Fatalf("record %d has revision %d", i, rec.Revision)
		}
	}
}

func TestConflict(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	stream := Stream(domain.Desk, uuid.New())
	if _, err := l.Append(t.Context(), stream, 0, by(), north); !errors.Is(err, ErrConflict) {
		t.Errorf("after what is not there: %v", err)
	}
	mustAppend(t, l, stream, NoStream, north)
	for _, last := range []Revision{NoStream, 1, 7} {
		if _, err := l.Append(t.Context(), stream, last, by(), north); !errors.Is(err, ErrConflict) {
			t.Errorf("after %d: %v", last, err)
		}
	}
	// Of many at once one wins, whichever.
	var won, lost int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := l.Append(t.Context(), stream, 0, by(), north)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, ErrConflict):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 7 || len(all(t, l, stream)) != 2 {
		t.Errorf("%d won, %d lost, %d events", won, lost, len(all(t, l, stream)))
	}
}

func TestSameCommandAgain(t *testing.T) {
	connection := esnodetest.Start(t)
	l, other := openLog(t, connection), openLog(t, connection)
	stream, m := Stream(domain.Client, uuid.New()), by()
	first, err := l.Append(t.Context(), stream, NoStream, m, kim(), client.Retagged{Added: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, stream, first.Revision, client.Deactivated{Reason: "x"}) // what came later does not matter
	for _, l := range []*Log{l, other} {
		if again, err := l.Append(t.Context(), stream, NoStream, m, kim(), client.Retagged{Added: []string{"a"}}); err != nil || again != first {
			t.Errorf("again: %+v, %v, want %+v", again, err, first)
		}
	}
	if n := len(all(t, l, stream)); n != 3 {
		t.Errorf("%d events", n)
	}
}

// TestAppendAll: what several commands led to is there with each one's circumstances, and once.
func TestAppendAll(t *testing.T) {
	l := openLog(t, esnodetest.Start(t), func(c *Config) { c.Keys = 1 })
	stream, first, second := Stream(domain.Client, uuid.New()), by(), by()
	second.At = first.At.Add(time.Hour)
	commits := []Commit{{first, []any{kim()}}, {second, []any{client.Retagged{Added: []string{"a"}}, client.Deactivated{Reason: "x"}}}}
	done, err := l.AppendAll(t.Context(), stream, NoStream, commits...)
	if err != nil || done.Revision != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	mustAppend(t, l, Stream(domain.Client, uuid.New()), NoStream, kim()) // whose key is remembered instead
	if again, err := l.AppendAll(t.Context(), stream, NoStream, commits...); err != nil || again != done {
		t.Errorf("again: %+v, %v, want %+v", again, err, done)
	}
	// The events are those that appending one after the other would have made.
	if alone, err := l.Append(t.Context(), stream, 0, second, commits[1].Events...); err != nil || alone != done {
		t.Errorf("the second alone: %+v, %v, want %+v", alone, err, done)
	}
	got := all(t, l, stream)
	if len(got) != 3 {
		t.Fatalf("%d events", len(got))
	}
	for i, m := range []domain.Meta{first, second, second} {
		if got[i].Meta.Command != m.Command || !got[i].Meta.At.Equal(m.At) {
			t.Errorf("event %d is of %s at %v", i, got[i].Meta.Command, got[i].Meta.At)
		}
	}
	commits[1].Meta.Subject = uuid.New()
	for name, commits := range map[string][]Commit{"nothing": nil, "of two subjects": commits} {
		if res, err := l.AppendAll(t.Context(), Stream(domain.Client, uuid.New()), NoStream, commits...); err == nil {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func TestRefused(t *testing.T) {
	l := openLog(t, esnodetest.Start(t))
	stream := Stream(domain.Client, uuid.New())
	if _, err := l.Append(t.Context(), "client", NoStream, by(), kim()); err == nil {
		t.Error("a stream that is not named after an aggregate is taken")
	}
	if _, err := l.Append(t.Context(), stream, NoStream, by(), "no event"); !errors.Is(err, eventschema.ErrUnknown) {
		t.Errorf("what is no event: %v", err)
	}
	large := desk.Created{ProjectID: uuid.UUID{1}, Name: strings.Repeat("x", most)}
	if _, err := l.Append(t.Context(), Stream(domain.Desk, uuid.New()), NoStream, by(), large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than fits: %v", err)
	}
	almost := desk.Created{ProjectID: uuid.UUID{1}, Name: strings.Repeat("x", most-1000)}
	mustAppend(t, l, Stream(domain.Desk, uuid.New()), NoStream, almost)
}

func TestDeletedStream(t *testing.T) {
	connection := esnodetest.Start(t)
	l := openLog(t, connection)
	stream := Stream(domain.Desk, uuid.New())
	mustAppend(t, l, stream, NoStream, north)
	if _, err := vendor(t, connection).TombstoneStream(t.Context(), stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), stream, 0, by(), north); !errors.Is(err, ErrDeleted) {
		t.Errorf("append: %v", err)
	}
	for rec, err := range l.Read(t.Context(), stream, 0) {
		if !errors.Is(err, ErrDeleted) {
			t.Errorf("read %+v, %v", rec, err)
		}
	}
}

// TestUnreadable: an event that cannot be read stops a reader, with the reason.
func TestUnreadable(t *testing.T) {
	connection := esnodetest.Start(t)
	l, raw := openLog(t, connection), vendor(t, connection)
	for name, data := range map[string]esdb.EventData{
		"unknown event":   {EventType: "client.vanished", Data: []byte(`{}`), Metadata: []byte(`{"schema":1}`)},
		"of a later time": {EventType: "client.deactivated", Data: []byte(`{}`), Metadata: []byte(`{"schema":9}`)},
		"no metadata":     {EventType: "client.deactivated", Data: []byte(`{}`)},
		"no JSON":         {EventType: "client.deactivated", Data: []byte(`x`), Metadata: []byte(`{"schema":1}`)},
		"another's box":   {EventType: "client.deactivated", Data: []byte(`{"reason":{"$sealed":"AAAA"}}`), Metadata: []byte(`{"schema":1}`)},
	} {
		stream := Stream(domain.Client, uuid.New())
		res := mustAppend(t, l, stream, NoStream, kim())
		data.EventID, data.ContentType = uuid.New(), esdb.ContentTypeJson
		if _, err := raw.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, data); err != nil {
			t.Fatal(err)
		}
		var failed error
		read := 0
		for _, err := range l.Read(t.Context(), stream, 0) {
			if failed = err; err == nil {
				read++
			}
		}
		if read != 1 || failed == nil || !strings.Contains(failed.Error(), stream) || errors.Is(failed, ErrUnavailable) {
			t.Errorf("%s: %d read, then %v", name, read, failed)
		}
		if err := l.Check(t.Context(), stream, data.EventType, data.Data, data.Metadata); err == nil {
			t.Errorf("%s: in order", name)
		}
		// A subscription goes on, and leaves it to its reader.
		for item, err := range l.Subscribe(t.Context(), res.Position) {
			if err != nil {
				t.Fatal(err)
			}
			if item.Record != nil {
				if item.Record.Err == nil || item.Record.Event != nil || item.Record.Stream != stream {
					t.Errorf("%s: delivered %+v", name, item.Record)
				}
				break
			}
		}
	}
}

func TestPosition(t *testing.T) {
	for _, p := range []Position{{}, {1, 1}, {5, 3}, {1<<63 - 1, 1<<63 - 1}} {
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "1/", "/1", "1/2/3", "18446744073709551615", " 1", "1.5"} {
		if p, err := ParsePosition(s); err == nil {
			t.Errorf("%q is read as %v", s, p)
		}
	}
	if (Position{1, 2}).Compare(Position{1, 3}) >= 0 || (Position{2, 0}).Compare(Position{1, 9}) <= 0 || (Position{1, 1}).Compare(Position{1, 1}) != 0 {
		t.Error("order")
	}
}
