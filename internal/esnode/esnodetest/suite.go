package esnodetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// patience bounds every single test but the idle one: long enough for a loaded machine, short enough to say what hangs.
const patience = 45 * time.Second

// all asks for every event there is.
const all = ^uint64(0)

// suite is what the tests share: one official client and one raw connection to the same server.
type suite struct {
	config esdb.Configuration
	client *esdb.Client
	raw    rawClient
}

func newSuite(t *testing.T, connectionString string) *suite {
	t.Helper()
	config, err := esdb.ParseConnectionString(connectionString)
	if err != nil {
		t.Fatalf("parse the connection string: %v", err)
	}
	config.Logger = nil
	s := &suite{config: *config}
	s.client = s.newClient(t)
	s.raw = dialRaw(t, config)
	return s
}

// newClient answers a client with a connection of its own.
func (s *suite) newClient(t *testing.T) *esdb.Client {
	t.Helper()
	config := s.config
	client, err := esdb.NewClient(&config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close a client: %v", err)
		}
	})
	return client
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fresh answers a name nobody else uses.
func fresh(kind string) string { return kind + "-" + uuid.NewString() }

func newStream() string { return fresh("conformance") }

func event(data string) esdb.EventData {
	return esdb.EventData{
		EventID:     uuid.New(),
		EventType:   "happened",
		ContentType: esdb.ContentTypeJson,
		Data:        []byte(data),
		Metadata:    []byte(`{"by":"conformance"}`),
	}
}

// events answers n events whose data is their number.
func events(n int) []esdb.EventData {
	list := make([]esdb.EventData, n)
	for i := range list {
		list[i] = event(strconv.Itoa(i))
	}
	return list
}

func typed(eventType string, list []esdb.EventData) []esdb.EventData {
	for i := range list {
		list[i].EventType = eventType
	}
	return list
}

func (s *suite) tryAppend(t *testing.T, stream string, expected esdb.ExpectedRevision, list ...esdb.EventData) (*esdb.WriteResult, error) {
	t.Helper()
	return s.client.AppendToStream(bounded(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, list...)
}

func (s *suite) append(t *testing.T, stream string, expected esdb.ExpectedRevision, list ...esdb.EventData) *esdb.WriteResult {
	t.Helper()
	result, err := s.tryAppend(t, stream, expected, list...)
	if err != nil {
		t.Fatalf("append %d events to %s: %v", len(list), stream, err)
	}
	return result
}

func (s *suite) delete(t *testing.T, stream string, expected esdb.ExpectedRevision) esdb.Position {
	t.Helper()
	result, err := s.client.DeleteStream(bounded(t), stream, esdb.DeleteStreamOptions{ExpectedRevision: expected})
	if err != nil {
		t.Fatalf("delete %s: %v", stream, err)
	}
	return result.Position
}

func (s *suite) tombstone(t *testing.T, stream string, expected esdb.ExpectedRevision) esdb.Position {
	t.Helper()
	result, err := s.client.TombstoneStream(bounded(t), stream, esdb.TombstoneStreamOptions{ExpectedRevision: expected})
	if err != nil {
		t.Fatalf("tombstone %s: %v", stream, err)
	}
	return result.Position
}

// setMetadata writes the stream's metadata as it stands, bytes and all.
func (s *suite) setMetadata(t *testing.T, stream, json string) *esdb.WriteResult {
	t.Helper()
	return s.append(t, "$$"+stream, esdb.Any{}, esdb.EventData{
		EventID:     uuid.New(),
		EventType:   "$metadata",
		ContentType: esdb.ContentTypeJson,
		Data:        []byte(json),
	})
}

func (s *suite) tryRead(t *testing.T, stream string, options esdb.ReadStreamOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	t.Helper()
	reading, err := s.client.ReadStream(bounded(t), stream, options, count)
	if err != nil {
		return nil, err
	}
	return drain(reading)
}

func (s *suite) read(t *testing.T, stream string, options esdb.ReadStreamOptions, count uint64) []*esdb.ResolvedEvent {
	t.Helper()
	list, err := s.tryRead(t, stream, options, count)
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	return list
}

func (s *suite) readAll(t *testing.T, options esdb.ReadAllOptions, count uint64) []*esdb.ResolvedEvent {
	t.Helper()
	reading, err := s.client.ReadAll(bounded(t), options, count)
	if err != nil {
		t.Fatalf("read $all: %v", err)
	}
	list, err := drain(reading)
	if err != nil {
		t.Fatalf("read $all: %v", err)
	}
	return list
}

func drain(reading *esdb.ReadStream) ([]*esdb.ResolvedEvent, error) {
	defer reading.Close()
	var list []*esdb.ResolvedEvent
	for {
		next, err := reading.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, next)
	}
}

// end answers a position at or after every event acknowledged so far, and an event of its own at it.
func (s *suite) end(t *testing.T) esdb.Position {
	t.Helper()
	result := s.append(t, newStream(), esdb.NoStream{}, event(`"mark"`))
	return esdb.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition}
}

func numbers(list []*esdb.ResolvedEvent) string {
	var b strings.Builder
	for i, e := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, e.OriginalEvent().EventNumber)
	}
	return b.String()
}

// span is the text of numbers from one to the other, either way.
func span(from, to int) string {
	step := 1
	if to < from {
		step = -1
	}
	text := []string{strconv.Itoa(from)}
	for from != to {
		from += step
		text = append(text, strconv.Itoa(from))
	}
	return strings.Join(text, " ")
}

func wantNumbers(t *testing.T, list []*esdb.ResolvedEvent, want string) {
	t.Helper()
	if got := numbers(list); got != want {
		t.Errorf("revisions %q, want %q", got, want)
	}
}

func wantRevision(t *testing.T, result *esdb.WriteResult, want uint64) {
	t.Helper()
	if result.NextExpectedVersion != want {
		t.Errorf("revision %d, want %d", result.NextExpectedVersion, want)
	}
}

func wantCode(t *testing.T, err error, want esdb.ErrorCode) {
	t.Helper()
	fault, ok := errors.AsType[*esdb.Error](err)
	if !ok {
		t.Errorf("error %v, want code %d", err, want)
		return
	}
	if fault.Code() != want {
		t.Errorf("error code %d (%v), want %d", fault.Code(), err, want)
	}
}
