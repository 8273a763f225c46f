package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"annals/domain"
	"annals/eventschema"
)

// ReadStored yields the records of a stream as they are stored: with [Record.Stored], and
// nothing that would have to be decoded. A stream that does not exist yields none.
func (l *Log) ReadStored(ctx context.Context, stream string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for e, err := range l.raw(ctx, stream, 0) {
			if err != nil {
				yield(Record{}, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !yield(storedRecord(e), nil) {
				return
			}
		}
	}
}

func storedRecord(e *esdb.RecordedEvent) Record {
	rec := record(e)
	rec.Stored = &Stored{Created: e.CreatedDate, JSON: e.ContentType == "application/json", Data: e.Data, Metadata: e.UserMetadata}
	return rec
}

// DestroyKey ends the stream of an aggregate's data key for good, whose last event is at
// revision last: nobody reads any more what was sealed under it, and there will be no
// other key. That it is destroyed already is no error. It answers ErrConflict where the
// stream has got another event, and then nothing has happened.
func (l *Log) DestroyKey(ctx context.Context, id domain.ID, last Revision) error {
	stream := Stream(eventschema.Key, id)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for wait := pause(0); ; wait = wait.next() {
		_, err := call(ctx, l.clients, func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
			return c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(uint64(last))}) //nolint:gosec // not negative
		})
		err = classify(err)
		if s, told := statusOf(err); told && s.Code() == codes.FailedPrecondition && !errors.Is(err, ErrDeleted) {
			err = errors.Join(ErrConflict, err) // of deletions the client has no code for it
		}
		switch {
		case err == nil, errors.Is(err, ErrDeleted):
			l.keys.forget(id)
			return nil
		case !transient(err) && !errors.Is(err, errUnsent), errors.Is(err, errClosed), !wait.sleep(ctx):
			return fmt.Errorf("destroy %s: %w", stream, err)
		}
	}
}
