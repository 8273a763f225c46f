// Package eventlog reads, appends and follows typed events on an EventStoreDB
// node or cluster. It is the one place that touches the official client, and it
// is where that client's known hazards end: a call never outlives its context, a
// client that has died is replaced, its panics become errors, and an append whose
// outcome is unknown is repeated with the same ids until it is known.
package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/domain"
	"annals/eventschema"
)

// Position orders all events of the log. The zero Position is before the first.
type Position struct{ Commit, Prepare uint64 }

// Compare orders positions.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Prepare, q.Prepare))
}

// String is one number, or two where they differ (only in logs written by very
// old servers).
func (p Position) String() string {
	if p.Commit == p.Prepare {
		return strconv.FormatUint(p.Commit, 10)
	}
	return strconv.FormatUint(p.Commit, 10) + "/" + strconv.FormatUint(p.Prepare, 10)
}

// ParsePosition reads what [Position.String] wrote.
func ParsePosition(s string) (Position, error) {
	c, p, two := strings.Cut(s, "/")
	if !two {
		p = c
	}
	commit, err := strconv.ParseUint(c, 10, 63)
	prepare, err2 := strconv.ParseUint(p, 10, 63)
	if err != nil || err2 != nil {
		return Position{}, fmt.Errorf("%q is not a position of the log", s)
	}
	return Position{commit, prepare}, nil
}

// Revision is the number of an event in its stream, from 0.
type Revision int64

// NoStream is the revision of a stream without events.
const NoStream Revision = -1

// Record is one event as stored.
type Record struct {
	Stream   string
	Revision Revision
	Position Position
	ID       uuid.UUID
	Type     string
	Meta     domain.Meta
	Schema   int      // version of Type that is stored
	Event    any      // in today's shape, see package eventschema
	Erased   []string // personal fields whose key is gone
	Err      error    // why Event is nil: it cannot be read
	Stored   *Stored  // only from where it is asked for
}

// Stored is an event as the log has it.
type Stored struct {
	Created        time.Time // by the server's clock
	JSON           bool
	Data, Metadata []byte
}

// Ref is the aggregate that the record belongs to.
func (r *Record) Ref() (domain.Ref, error) { return parseStream(r.Stream) }

// Subject is the aggregate whose data key seals the record: of what belongs to a
// client, the client.
func (r *Record) Subject() (domain.ID, error) {
	ref, err := r.Ref()
	return subject(ref, r.Meta.Subject), err
}

func subject(ref domain.Ref, other domain.ID) domain.ID {
	if other != (domain.ID{}) {
		return other
	}
	return ref.ID
}

func parseStream(stream string) (domain.Ref, error) {
	category, id, ok := strings.Cut(stream, "-")
	parsed, err := uuid.Parse(id)
	if !ok || err != nil {
		return domain.Ref{}, fmt.Errorf("stream %q is not named after an aggregate", stream)
	}
	return domain.Ref{Category: category, ID: parsed}, nil
}

// Config is what a [Log] needs.
type Config struct {
	ConnectionString string // esdb://…
	Master           eventschema.Master
	Logger           *slog.Logger
	WriteTimeout     time.Duration // how long an append, or the read of a page, may take in all; 10 s if zero
	Keys             int           // how many data keys are remembered, 150 bytes each; 1 << 20 if zero
}

// Log is a connection to one node or cluster. It is safe for concurrent use.
type Log struct {
	clients *clients
	keys    *keyring
	timeout time.Duration
	idle    time.Duration // see [Log.Subscribe]
	logger  *slog.Logger
}

// Open returns a Log. It does not connect yet.
func Open(cfg Config) (*Log, error) {
	l := &Log{timeout: cmp.Or(cfg.WriteTimeout, 10*time.Second), idle: idle, logger: cfg.Logger}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	conf, err := esdb.ParseConnectionString(cfg.ConnectionString)
	if err != nil {
		return nil, errors.New("event store: the connection string is not valid") // err may quote the password
	}
	// A client that fails to connect is dead for good, and until it knows so its
	// callers hang. One attempt, then a new client, keeps that short.
	conf.MaxDiscoverAttempts, conf.DiscoveryInterval = 1, 50
	conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
		l.logger.Debug("event store client", "level", level, "message", fmt.Sprintf(format, args...))
	}
	l.clients = newClients(conf)
	l.keys = newKeyring(l, cfg.Master, cmp.Or(cfg.Keys, keysCached))
	return l, nil
}

// Close ends the connection; calls under way fail.
func (l *Log) Close() { l.clients.close() }

// Result is where an append ended.
type Result struct {
	Revision Revision
	Position Position
}

// Commit is what one command led to.
type Commit struct {
	Meta   domain.Meta
	Events []any
}

// Append adds events to a stream whose last event is at revision last, all or
// none. Their ids derive from the command, so that appending them again after a
// lost answer answers as the first time did.
func (l *Log) Append(ctx context.Context, stream string, last Revision, m domain.Meta, events ...any) (Result, error) {
	return l.AppendAll(ctx, stream, last, Commit{m, events})
}

// AppendAll is [Log.Append] for what several commands led to one after the other, all
// of it or nothing. All of it is of one subject.
func (l *Log) AppendAll(ctx context.Context, stream string, last Revision, commits ...Commit) (Result, error) {
	ref, err := parseStream(stream)
	if err != nil {
		return Result{}, err
	}
	if len(commits) == 0 {
		return Result{}, fmt.Errorf("append %s: there is nothing to append", stream)
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	var key *eventschema.DataKey
	if first := commits[0].Meta; eventschema.HasKey(ref.Category) {
		owner := subject(ref, first.Subject)
		if key, err = l.keys.ensure(ctx, owner, first, last == NoStream && owner == ref.ID); err != nil {
			return Result{}, fmt.Errorf("append %s: %w", stream, err)
		}
		if key == nil {
			return Result{}, fmt.Errorf("append %s: %w", stream, ErrErased)
		}
	}
	var batch []esdb.EventData
	for _, c := range commits {
		if c.Meta.Subject != commits[0].Meta.Subject {
			return Result{}, fmt.Errorf("append %s: its events are of several subjects", stream)
		}
		c.Meta.Fingerprint = key.MAC(c.Meta.Request)
		for i, e := range c.Events {
			encoded, err := encode(stream, uuid.NewSHA1(c.Meta.Command, fmt.Appendf(nil, "%s\n%d", stream, i)), c.Meta, e, key)
			if err != nil {
				return Result{}, err
			}
			batch = append(batch, encoded)
		}
	}
	res, err := l.append(ctx, stream, last, batch)
	if err != nil {
		return res, fmt.Errorf("append %s after %d: %w", stream, last, err)
	}
	return res, nil
}

func encode(stream string, id uuid.UUID, m domain.Meta, e any, key *eventschema.DataKey) (esdb.EventData, error) {
	name, v, data, err := eventschema.Encode(e, stream, key)
	if err != nil {
		return esdb.EventData{}, err
	}
	md, err := eventschema.EncodeMetadata(m, v)
	if err != nil {
		return esdb.EventData{}, err
	}
	return esdb.EventData{EventID: id, EventType: name, ContentType: esdb.ContentTypeJson, Data: data, Metadata: md}, nil
}

// most is how large an append may be, which is what servers allow unless told
// otherwise. Theirs is not to be relied on: a server that refuses while the client
// is still sending looks like one that was lost.
const most = 1 << 20

// sign adds to each event the code that only who holds the master key can make.
func (l *Log) sign(stream string, last Revision, batch []esdb.EventData) {
	if l.keys.master == nil {
		return // a log without anybody's data, as tests have it
	}
	for i := range batch {
		e := &batch[i]
		e.Metadata = l.keys.master.Authenticator().Sign(stream, uint64(last)+1+uint64(i), e.EventID, e.EventType, e.Data, e.Metadata) //nolint:gosec // the first is 0
	}
}

// append repeats until the outcome is known: the same ids at the same expected
// revision are written once, however often they arrive.
func (l *Log) append(ctx context.Context, stream string, last Revision, batch []esdb.EventData) (Result, error) {
	l.sign(stream, last, batch)
	size := 0
	for _, e := range batch {
		size += len(e.Data) + len(e.Metadata) + 2*len(e.EventType)
	}
	if size > most {
		return Result{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, size, most)
	}
	var expected esdb.ExpectedRevision = esdb.NoStream{}
	if last != NoStream {
		expected = esdb.Revision(uint64(last)) //nolint:gosec // not negative
	}
	doubt := ErrUnavailable // what there is to say if it never succeeds
	for wait := pause(0); ; wait = wait.next() {
		res, err := call(ctx, l.clients, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
			return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, batch...)
		})
		if err == nil {
			return Result{Revision(res.NextExpectedVersion), Position{res.CommitPosition, res.PreparePosition}}, nil //nolint:gosec // servers count to 2^63-1
		}
		if err = classify(err); !transient(err) && !errors.Is(err, errUnsent) {
			return Result{}, err
		}
		if !errors.Is(err, errUnsent) {
			doubt = ErrUnknown
		}
		if errors.Is(err, errClosed) || !wait.sleep(ctx) {
			return Result{}, errors.Join(doubt, err)
		}
	}
}

// Fingerprint is what Append stores for m's request to a stream, see [domain.Meta], and
// ErrErased where the key that makes it is gone: two requests cannot be told apart then.
func (l *Log) Fingerprint(ctx context.Context, stream string, m domain.Meta) (string, error) {
	ref, err := parseStream(stream)
	if err != nil {
		return "", err
	}
	var key *eventschema.DataKey
	if eventschema.HasKey(ref.Category) {
		if key, err = l.keys.find(ctx, subject(ref, m.Subject)); err != nil {
			return "", err
		}
		if key == nil && len(m.Request) > 0 {
			return "", fmt.Errorf("%s: %w", stream, ErrErased)
		}
	}
	return key.MAC(m.Request), nil
}

// Head is the position of the last event in the whole log, zero if there is none.
func (l *Log) Head(ctx context.Context) (Position, error) {
	head, err := retry(ctx, l, func(ctx context.Context, c *esdb.Client) (Position, error) {
		rs, err := c.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
		if err != nil {
			return Position{}, err
		}
		defer rs.Close()
		e, err := rs.Recv()
		if errors.Is(err, io.EOF) {
			return Position{}, nil
		}
		if err != nil {
			return Position{}, err
		}
		return Position(e.OriginalEvent().Position), nil
	})
	if err != nil {
		return Position{}, fmt.Errorf("head of the log: %w", err)
	}
	return head, nil
}

// retry repeats a read while the log cannot be reached, for as long as ctx and the
// timeout last.
func retry[T any](ctx context.Context, l *Log, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for wait := pause(0); ; wait = wait.next() {
		v, err := call(ctx, l.clients, f)
		if err == nil {
			return v, nil
		}
		if err = classify(err); !transient(err) || !wait.sleep(ctx) {
			return v, unread(err)
		}
	}
}
