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
				next = Revision(e.EventNumber) + 1 //nolint:gosec // servers count to 2^63-1
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
	return retry(ctx, l, func(ctx context.Context, c *esdb.Client) ([]*esdb.RecordedEvent, error) {
		opts := esdb.ReadStreamOptions{From: esdb.Revision(uint64(from))} //nolint:gosec // not negative
		rs, err := c.ReadStream(ctx, stream, opts, page)
		if err != nil {
			return nil, err
		}
		defer rs.Close()
		var events []*esdb.RecordedEvent
		for {
			e, err := rs.Recv()
			if errors.Is(err, io.EOF) || absent(err) {
				return events, nil
			}
			if err != nil {
				return nil, err
			}
			events = append(events, e.OriginalEvent())
		}
	})
}

// record is what an event tells without being decoded.
func record(e *esdb.RecordedEvent) Record {
	return Record{
		Stream: e.StreamID, Revision: Revision(e.EventNumber), Position: Position(e.Position), //nolint:gosec // servers count to 2^63-1
		ID: e.EventID, Type: e.EventType,
	}
}

// decode never fails: what is wrong with the event is in the record.
func (l *Log) decode(ctx context.Context, e *esdb.RecordedEvent) Record {
	rec := record(e)
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
		if key, err = l.keys.find(ctx, subject(ref, rec.Meta.Subject)); err != nil {
			return fail(err)
		}
	}
	if rec.Event, rec.Erased, err = eventschema.Decode(rec.Type, rec.Schema, e.Data, rec.Stream, key); err != nil {
		return fail(err)
	}
	if w, ok := wrapping(rec.Event); ok {
		l.keys.learn(ctx, ref.ID, w)
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
