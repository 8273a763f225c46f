package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/internal/esnode/engine"
	"annals/internal/postgres/pgtest"
)

// heard passes the messages that are logged to a channel.
type heard struct {
	slog.Handler
	messages chan string
}

func listen() (*slog.Logger, <-chan string) {
	h := heard{slog.NewTextHandler(bytes.NewBuffer(nil), &slog.HandlerOptions{Level: slog.LevelDebug}), make(chan string, 100)}
	return slog.New(h), h.messages
}

func (h heard) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.messages <- r.Message:
	default:
	}
	return nil
}

func await(t *testing.T, messages <-chan string, want string) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case got := <-messages:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("%q was never said", want)
		}
	}
}

func TestTombstoneErases(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	logger, messages := listen()
	e := open(t, engine.Options{Database: url, Logger: logger, VacuumDelay: time.Millisecond})
	seen, wait := follow(t, e)
	gone, kept := newStream(), newStream()
	marker := "erase-me-" + uuid.NewString()
	secret := func(n int) []engine.Proposed {
		events := proposed(n)
		for i := range events {
			events[i].Data = []byte(`"` + marker + `"`)
			events[i].Metadata = []byte(`{"by":"` + marker + `"}`)
		}
		return events
	}
	mustAppend(t, e, gone, engine.NoStream, secret(50))
	mustAppend(t, e, kept, engine.NoStream, proposed(3))
	meta := proposed(1)
	meta[0].Data = []byte(`{"x":"` + marker + `"}`)
	mustAppend(t, e, engine.MetastreamOf(gone), engine.NoStream, meta)
	mustAppend(t, e, gone, 49, secret(5))
	before := e.Head()

	// What stands before the tombstone in the same transaction goes as well.
	last, err := e.Begin(t.Context(), gone, 54, secret(1))
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Tombstone(t.Context(), gone, engine.Any)
	if err != nil || r.Revision != engine.TombstoneRevision || r.Position <= before {
		t.Fatalf("tombstone: %+v, %v", r, err)
	}
	if _, err := last.Wait(); err != nil {
		t.Fatal(err)
	}
	await(t, messages, "log: vacuumed")

	var deleted *engine.DeletedError
	for name, do := range map[string]func() error{
		"read":        func() error { _, err := e.ReadStream(t.Context(), gone, 0, false, 1); return err },
		"read meta":   func() error { _, err := e.ReadStream(t.Context(), "$$"+gone, 0, false, 1); return err },
		"append":      func() error { _, err := e.Append(t.Context(), gone, engine.Any, proposed(1)); return err },
		"append meta": func() error { _, err := e.Append(t.Context(), "$$"+gone, engine.Any, meta); return err },
		"delete":      func() error { _, err := e.Delete(t.Context(), gone, engine.Any); return err },
		"again":       func() error { _, err := e.Tombstone(t.Context(), gone, engine.Any); return err },
		"metadata":    func() error { _, err := e.Metadata(t.Context(), gone); return err },
	} {
		if err := do(); !errors.As(err, &deleted) || deleted.Stream != gone && deleted.Stream != "$$"+gone {
			t.Errorf("%s: %v", name, err)
		}
	}
	all := collect(t, e.ReadAll(t.Context(), 0, false, engine.MaxPosition))
	ofGone := slices.DeleteFunc(slices.Clone(all), func(e *engine.Event) bool { return e.Stream == kept })
	if len(all) != 4 || len(ofGone) != 1 || ofGone[0].Type != engine.TypeDeleted || ofGone[0].Position != r.Position {
		t.Errorf("left in the log: %d events", len(all))
	}
	wait(r.Position)
	if list := seen(); list[len(list)-1].Type != engine.TypeDeleted {
		t.Error("a subscriber is not told of the tombstone")
	}

	conn := connect(t, url)
	var there bool
	err = conn.QueryRow(t.Context(), `select position(convert_to($1, 'UTF8') in
		pg_read_binary_file(pg_relation_filepath('annals_log.events'))) > 0`, marker).Scan(&there)
	if err != nil {
		t.Fatalf("look into the table's file: %v", err)
	}
	if there {
		t.Error("the bytes are still in the table's file")
	}
	if report := verify(t, url); report.Events != 4 || report.Streams != 2 {
		t.Errorf("verified %+v", report)
	}

	// A position is not given twice, even when the last rows are gone.
	if next := mustAppend(t, e, kept, 2, proposed(1)); next.Position <= r.Position {
		t.Errorf("position %d after the tombstone's %d", next.Position, r.Position)
	}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := open(t, engine.Options{Now: func() time.Time { return now }})
	stream := newStream()
	mustAppend(t, e, stream, engine.NoStream, proposed(2))
	now = now.Add(time.Hour)
	mustAppend(t, e, stream, 1, proposed(1))
	meta := proposed(1)
	meta[0].Data = []byte(`{"$maxAge":60}`)
	mustAppend(t, e, engine.MetastreamOf(stream), engine.NoStream, meta)
	if list := readStream(t, e, stream); len(list) != 1 || list[0].Revision != 2 {
		t.Errorf("%d events are young enough", len(list))
	}
	ref := func(r int64) engine.Ref { return engine.Ref{Stream: stream, Revision: r} }
	found, err := e.Get(t.Context(), []engine.Ref{ref(0), ref(2), ref(3), {Stream: "\xff"}})
	if err != nil || len(found) != 1 || found[ref(2)] == nil {
		t.Errorf("found %v, %v", found, err)
	}
	now = now.Add(time.Hour)
	if list := readStream(t, e, stream); len(list) != 0 {
		t.Errorf("%d events are young enough", len(list))
	}
}
