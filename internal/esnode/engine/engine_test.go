package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/esnode/engine"
	"annals/internal/postgres/pgtest"
)

// open opens a log until the test ends.
func open(tb testing.TB, o engine.Options) *engine.Engine {
	tb.Helper()
	if o.Database == "" {
		o.Database = pgtest.Database(tb)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	e, err := engine.Open(ctx, o)
	if err != nil {
		tb.Fatalf("open the log: %v", err)
	}
	tb.Cleanup(func() { closeLog(tb, e) })
	return e
}

func closeLog(tb testing.TB, e *engine.Engine) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		tb.Errorf("close the log: %v", err)
	}
}

func connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	return conn
}

func proposed(n int) []engine.Proposed {
	list := make([]engine.Proposed, n)
	for i := range list {
		list[i] = engine.Proposed{ID: uuid.New(), Type: "happened", JSON: true, Data: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return list
}

func newStream() string { return "stream-" + uuid.NewString() }

func mustAppend(tb testing.TB, e *engine.Engine, stream string, expected engine.Expected, events []engine.Proposed) engine.Result {
	tb.Helper()
	r, err := e.Append(tb.Context(), stream, expected, events)
	if err != nil {
		tb.Fatalf("append to %s: %v", stream, err)
	}
	return r
}

func collect(tb testing.TB, pages engine.Pages) []*engine.Event {
	tb.Helper()
	var list []*engine.Event
	for page, err := range pages {
		if err != nil {
			tb.Fatalf("read: %v", err)
		}
		list = append(list, page...)
	}
	return list
}

func readStream(tb testing.TB, e *engine.Engine, stream string) []*engine.Event {
	tb.Helper()
	r, err := e.ReadStream(tb.Context(), stream, 0, false, engine.MaxPosition)
	if errors.Is(err, engine.ErrNoStream) {
		return nil
	}
	if err != nil {
		tb.Fatalf("read %s: %v", stream, err)
	}
	return collect(tb, r.Pages)
}

func verify(tb testing.TB, url string) engine.Report {
	tb.Helper()
	r, err := engine.Verify(tb.Context(), connect(tb, url), nil)
	if err != nil {
		tb.Fatalf("verify: %v", err)
	}
	for _, p := range r.Problems {
		tb.Errorf("verify: %s", p)
	}
	return r
}

func TestRestart(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, err := engine.Open(t.Context(), engine.Options{Database: url})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	stream := newStream()
	before := mustAppend(t, first, stream, engine.NoStream, proposed(3))
	closeLog(t, first)
	if _, err := first.Append(t.Context(), stream, engine.Any, proposed(1)); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}

	second := open(t, engine.Options{Database: url})
	if second.Head() != before.Position {
		t.Errorf("head %d, want %d", second.Head(), before.Position)
	}
	after := mustAppend(t, second, stream, 2, proposed(1))
	if after.Position <= before.Position || after.Revision != 3 {
		t.Errorf("after the restart %+v follows %+v", after, before)
	}
	list := readStream(t, second, stream)
	if len(list) != 4 || list[3].Revision != 3 || string(list[1].Data) != `{"n":1}` || !list[0].JSON {
		t.Errorf("read %d events, last %+v", len(list), list[len(list)-1])
	}
	if r := verify(t, url); r.Events != 4 || r.Streams != 1 {
		t.Errorf("verified %+v", r)
	}
}

// TestPresumedNew starts with an empty memory, where a stream that is expected not to be there is written without
// looking, and wants the same answers as with a full one.
func TestPresumedNew(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, err := engine.Open(t.Context(), engine.Options{Database: url})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	again, other, deleted, ended := newStream(), newStream(), newStream(), newStream()
	events := proposed(2)
	before := mustAppend(t, first, again, engine.NoStream, events)
	for _, stream := range []string{other, deleted, ended} {
		mustAppend(t, first, stream, engine.NoStream, proposed(3))
	}
	if _, err := first.Delete(t.Context(), deleted, engine.Any); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Tombstone(t.Context(), ended, engine.Any); err != nil {
		t.Fatal(err)
	}
	closeLog(t, first)

	second := open(t, engine.Options{Database: url})
	fresh, twice := newStream(), newStream()
	type write struct {
		stream   string
		expected engine.Expected
		events   []engine.Proposed
		want     answer
	}
	writes := []write{
		{fresh, engine.NoStream, proposed(1), answer{"ok", 0}},
		{again, engine.NoStream, events, answer{"ok", 1}},
		{other, engine.NoStream, proposed(1), answer{"wrong", 2}},
		{deleted, engine.NoStream, proposed(1), answer{"ok", 3}},
		{ended, engine.NoStream, proposed(1), answer{kind: "gone"}},
		{twice, engine.NoStream, events, answer{"ok", 1}},
		{twice, engine.NoStream, events, answer{"ok", 1}},
		{twice, engine.NoStream, proposed(1), answer{"wrong", 1}},
		{twice, engine.StreamExists, proposed(1), answer{"ok", 2}},
		{"$$" + fresh, engine.NoStream, proposed(1), answer{"ok", 0}},
		{newStream(), engine.StreamExists, proposed(1), answer{"wrong", -1}},
	}
	var pending []*engine.Pending
	for _, w := range writes { // all at once, so that some share a batch
		p, err := second.Begin(t.Context(), w.stream, w.expected, w.events)
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	for i, p := range pending {
		r, err := p.Wait()
		if got := answered(r, err); got != writes[i].want {
			t.Errorf("write %d: %+v, want %+v", i, got, writes[i].want)
		}
		if writes[i].stream == again && r.Position != before.Position {
			t.Errorf("the repetition is answered with %+v, at first with %+v", r, before)
		}
	}
	verify(t, url)
}

func TestSecondOpenerIsToldWho(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	open(t, engine.Options{Database: url})
	_, err := engine.Open(t.Context(), engine.Options{Database: url, LockWait: time.Millisecond})
	if !errors.Is(err, engine.ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	if !strings.Contains(err.Error(), "annals log, pid ") || !strings.Contains(err.Error(), "connected from ") {
		t.Errorf("the error does not name the holder: %v", err)
	}
}

func TestAnotherDatabaseIsAnotherLog(t *testing.T) {
	t.Parallel()
	a, b := open(t, engine.Options{}), open(t, engine.Options{})
	stream := newStream()
	mustAppend(t, a, stream, engine.NoStream, proposed(1))
	if len(readStream(t, b, stream)) != 0 {
		t.Error("an event of one log shows in the other")
	}
}

func TestALaterLayoutIsRefused(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	if err := engine.CreateSchema(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `insert into annals_log.schema (version) values (1000)`); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(t.Context(), engine.Options{Database: url}); err == nil || !strings.Contains(err.Error(), "layout 1000") {
		t.Errorf("opened a log of a later layout: %v", err)
	}
}

func TestNotWrittenWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stream := newStream()
	if _, err := e.Append(ctx, stream, engine.NoStream, proposed(1)); !errors.Is(err, engine.ErrTimeout) {
		t.Errorf("append by a caller that has gone: %v", err)
	}
	mustAppend(t, e, newStream(), engine.NoStream, proposed(1)) // whatever was queued before is settled now
	if list := readStream(t, e, stream); len(list) != 0 {
		t.Errorf("%d events were written", len(list))
	}
}

func TestWhatNoLogTakes(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	one := proposed(1)
	for name, do := range map[string]func() error{
		"no name":      func() error { _, err := e.Append(t.Context(), "", engine.Any, one); return err },
		"meta of none": func() error { _, err := e.Append(t.Context(), "$$", engine.Any, one); return err },
		"all":          func() error { _, err := e.Append(t.Context(), "$all", engine.Any, one); return err },
		"a zero byte":  func() error { _, err := e.Append(t.Context(), "a\x00b", engine.Any, one); return err },
		"no UTF-8":     func() error { _, err := e.Append(t.Context(), "a\xff", engine.Any, one); return err },
		"a long name":  func() error { _, err := e.Append(t.Context(), strings.Repeat("x", 2049), engine.Any, one); return err },
		"a bad type": func() error {
			_, err := e.Append(t.Context(), "x", engine.Any, []engine.Proposed{{ID: uuid.New(), Type: "\x00"}})
			return err
		},
		"no id": func() error {
			_, err := e.Append(t.Context(), "x", engine.Any, []engine.Proposed{{Type: "t"}})
			return err
		},
		"no type": func() error {
			_, err := e.Append(t.Context(), "x", engine.Any, []engine.Proposed{{ID: uuid.New()}})
			return err
		},
		"delete meta":    func() error { _, err := e.Delete(t.Context(), "$$x", engine.Any); return err },
		"tombstone meta": func() error { _, err := e.Tombstone(t.Context(), "$$x", engine.Any); return err },
	} {
		if err := do(); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// And the writer goes on. The longest name is one that compresses badly.
	name := strings.Repeat(uuid.NewString(), 64)[:engine.MaxStreamName]
	mustAppend(t, e, name, engine.NoStream, proposed(1))
	if len(readStream(t, e, name)) != 1 {
		t.Error("the longest name is not read back")
	}
}

func TestReadPages(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	stream := newStream()
	const events = 10_000
	for i := 0; i < events; i += 1000 {
		mustAppend(t, e, stream, engine.Any, proposed(1000))
	}
	all := collect(t, e.ReadAll(t.Context(), 0, false, engine.MaxPosition))
	if len(all) != events {
		t.Fatalf("read %d events", len(all))
	}
	for i, event := range all {
		if event.Revision != int64(i) || i > 0 && event.Position <= all[i-1].Position {
			t.Fatalf("event %d is revision %d at %d", i, event.Revision, event.Position)
		}
	}
	back := collect(t, e.ReadAll(t.Context(), engine.MaxPosition, true, engine.MaxPosition))
	if len(back) != events || back[0].Revision != events-1 || back[events-1].Revision != 0 {
		t.Fatalf("backwards: %d events", len(back))
	}
	middle := all[5000].Position
	if got := collect(t, e.ReadAll(t.Context(), middle, false, 1)); len(got) != 1 || got[0].Revision != 5000 {
		t.Errorf("forwards from a position does not include it: %+v", got)
	}
	if got := collect(t, e.ReadAll(t.Context(), middle, true, 1)); len(got) != 1 || got[0].Revision != 4999 {
		t.Errorf("backwards from a position includes it: %+v", got)
	}
	for _, c := range []struct {
		from           int64
		backwards      bool
		limit          uint64
		first, last, n int64
	}{
		{0, false, 1 << 60, 0, events - 1, events},
		{9990, false, 1 << 60, 9990, events - 1, 10},
		{5, false, 3000, 5, 3004, 3000},
		{events + 5, false, 10, 0, 0, 0},
		{engine.MaxRevision, true, 3000, events - 1, 7000, 3000},
		{10, true, 1 << 60, 10, 0, 11},
		{events + 5, true, 1, events - 1, events - 1, 1},
		{0, false, 0, 0, 0, 0},
	} {
		r, err := e.ReadStream(t.Context(), stream, c.from, c.backwards, c.limit)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		got := collect(t, r.Pages)
		if int64(len(got)) != c.n || c.n > 0 && (got[0].Revision != c.first || got[c.n-1].Revision != c.last) {
			t.Errorf("%+v: %d events", c, len(got))
		}
	}
}

// TestLargeEvents reads events that are too large for a page of their number.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{TailBytes: 1})
	stream := newStream()
	small := proposed(300)
	mustAppend(t, e, stream, engine.Any, small)
	for range 40 {
		large := proposed(1)
		large[0].Data = make([]byte, 900<<10)
		mustAppend(t, e, stream, engine.Any, large)
	}
	list := readStream(t, e, stream)
	for i, event := range list {
		if event.Revision != int64(i) || i >= 300 && len(event.Data) != 900<<10 {
			t.Fatalf("event %d is revision %d of %d bytes", i, event.Revision, len(event.Data))
		}
	}
	if len(list) != 340 {
		t.Errorf("read %d events", len(list))
	}
}
