package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"annals/domain"
	"annals/eventschema"
)

// Read yields a stream's records in order, from revision from on. A stream that
// does not exist yields none. It stops at the first event that it cannot read.
func (l *Log) Read(ctx context.Context, stream string, from Revision) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for e, err := range l.raw(ctx, stream, from) {
			var rec Record
			if err == nil {
				rec = l.decode(ctx, e)
				err = rec.Err
			}
			if err != nil {
				yield(rec, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// page is how many events one trip to the client fetches.
const page = 512

// raw pages through a stream. Each page is one call, bounded by ctx, and repeated
// while the log cannot be reached.
func (l *Log) raw(ctx context.Context, stream string, from Revision) iter.Seq2[*esdb.RecordedEvent, error] {
	return func(yield func(*esdb.RecordedEvent, error) bool) {
		for next := max(from, 0); ; {
			events, err := l.readPage(ctx, stream, next)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range events {
				next = Revision(e.EventNumber) + 1
				if !yield(e, nil) {
					return
				}
			}
			if len(events) < page {
				return
			}
		}
	}
}

func (l *Log) readPage(ctx context.Context, stream string, from Revision) ([]*esdb.RecordedEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for wait := pause(0); ; wait = wait.next() {
		events, err := call(ctx, l.clients, func(ctx context.Context, c *esdb.Client) ([]*esdb.RecordedEvent, error) {
			rs, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{From: esdb.Revision(uint64(from))}, page)
			if err != nil {
				return nil, err
			}
			defer rs.Close()
			var events []*esdb.RecordedEvent
			for {
				e, err := rs.Recv()
				if errors.Is(err, io.EOF) {
					return events, nil
				}
				if err != nil {
					return nil, err
				}
				events = append(events, e.OriginalEvent())
			}
		})
		if err == nil {
			return events, nil
		}
		if e, ok := errors.AsType[*esdb.Error](err); ok && e.Code() == esdb.ErrorCodeResourceNotFound {
			return nil, nil
		}
		err = classify(err)
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknown) || !wait.sleep(ctx) {
			return nil, err
		}
	}
}

// decode never fails: what is wrong with the event is in the record.
func (l *Log) decode(ctx context.Context, e *esdb.RecordedEvent) Record {
	rec := Record{
		Stream: e.StreamID, Revision: Revision(e.EventNumber), Position: Position(e.Position),
		ID: e.EventID, Type: e.EventType,
	}
	fail := func(err error) Record {
		rec.Err = fmt.Errorf("event %d of %s: %w", rec.Revision, rec.Stream, err)
		return rec
	}
	ref, err := rec.Ref()
	if err != nil {
		return fail(err)
	}
	md, err := eventschema.DecodeMetadata(e.UserMetadata)
	if err != nil {
		return fail(err)
	}
	rec.Meta, rec.Schema = md.Meta, md.Version
	var key *eventschema.DataKey
	if eventschema.HasKey(ref.Category) {
		if key, err = l.keys.find(ctx, ref.ID); err != nil {
			return fail(err)
		}
	}
	if rec.Event, rec.Erased, err = eventschema.Decode(rec.Type, rec.Schema, e.Data, rec.Stream, key); err != nil {
		return fail(err)
	}
	if k, ok := rec.Event.(eventschema.KeyCreated); ok {
		l.keys.learn(ctx, ref.ID, k)
	}
	return rec
}

// Stream is the name of an aggregate's stream.
func Stream(category string, id domain.ID) string {
	return domain.Ref{Category: category, ID: id}.Stream()
}

// Check says whether an event, as stored, can be read: what is wrong with it
// otherwise. The log's own events, whose types begin with $, always can.
func (l *Log) Check(ctx context.Context, stream, eventType string, data, metadata []byte) error {
	if strings.HasPrefix(eventType, "$") || strings.HasPrefix(stream, "$") {
		return nil
	}
	rec := l.decode(ctx, &esdb.RecordedEvent{StreamID: stream, EventType: eventType, Data: data, UserMetadata: metadata})
	return rec.Err
}
