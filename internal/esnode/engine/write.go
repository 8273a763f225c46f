package engine

import (
	"context"
	"fmt"
)

// Append writes events to the end of a stream, all or none, next to each other. A repetition of an earlier append
// answers as the first did. It fails with a WrongRevisionError or a DeletedError when the stream is not as
// expected, and with ErrInvalid, ErrUnavailable, ErrTimeout or ErrClosed.
func (e *Engine) Append(ctx context.Context, stream string, expected Expected, events []Proposed) (Result, error) {
	p, err := e.Begin(ctx, stream, expected, events)
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}

// Begin is the first half of Append: writes are decided in the order in which they were begun. Wait is the second.
func (e *Engine) Begin(ctx context.Context, stream string, expected Expected, events []Proposed) (*Pending, error) {
	if err := CheckStream(stream); err != nil {
		return nil, err
	}
	size := 0
	for i := range events {
		if err := events[i].check(); err != nil {
			return nil, err
		}
		size += len(events[i].Data) + len(events[i].Metadata)
	}
	return e.submit(&request{
		ctx: ctx, kind: kindAppend, stream: stream, expected: expected, events: events, size: size,
	})
}

// Delete hides a stream until something is appended to it again. Its events stay in the log.
func (e *Engine) Delete(ctx context.Context, stream string, expected Expected) (Result, error) {
	return e.end(ctx, kindDelete, stream, expected)
}

// Tombstone ends a stream for ever. Its events and metadata are erased with the same commit; what remains is the
// event that says so.
func (e *Engine) Tombstone(ctx context.Context, stream string, expected Expected) (Result, error) {
	return e.end(ctx, kindTombstone, stream, expected)
}

func (e *Engine) end(ctx context.Context, k kind, stream string, expected Expected) (Result, error) {
	if err := CheckStream(stream); err != nil {
		return Result{}, err
	}
	if IsMetastream(stream) {
		return Result{}, fmt.Errorf("%w: a metastream is deleted with its stream", ErrInvalid)
	}
	p, err := e.submit(&request{ctx: ctx, kind: k, stream: stream, expected: expected})
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}
