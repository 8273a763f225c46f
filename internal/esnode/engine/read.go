package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	firstPage = 128     // events of the first page of a read
	lastPage  = 4096    // events of a page, at most
	pageBytes = 4 << 20 // bytes of a page, about, at most
	// pageTimeout bounds a query for one page on a server that hangs.
	pageTimeout = 30 * time.Second
	// patience is how long a read tries again while PostgreSQL is away, before it fails with ErrUnavailable.
	patience = 5 * time.Second
)

// ErrNoStream reports a stream that has no events, or is soft-deleted.
var ErrNoStream = errors.New("no such stream")

// Pages are runs of events in order; an error ends them.
type Pages = iter.Seq2[[]*Event, error]

// ReadAll yields up to limit events of the whole log: forwards from a position on, including it, or backwards from
// before it. It holds at most two pages in memory. MaxPosition is the end.
func (e *Engine) ReadAll(ctx context.Context, from uint64, backwards bool, limit uint64) Pages {
	if backwards {
		return e.pages(ctx, limit, e.allBefore(from))
	}
	if from > 0 {
		from-- // allAfter excludes it
	}
	return e.pages(ctx, limit, e.allAfter(from))
}

// fetcher reads the next page of up to limit rows. more is false when there was nothing beyond it.
type fetcher func(ctx context.Context, limit int) (events []*Event, more bool, err error)

const (
	allAfterSQL  = `select ` + columns + ` from annals_log.events where position > $1 order by position limit $2`
	allBeforeSQL = `select ` + columns + ` from annals_log.events where position < $1 order by position desc limit $2`
	streamSQL    = `select ` + columns + ` from annals_log.events
		where stream = $1 and revision >= $2 and revision <= $3 order by revision limit $4`
	streamBackSQL = `select ` + columns + ` from annals_log.events
		where stream = $1 and revision >= $2 and revision <= $3 order by revision desc limit $4`
)

func (e *Engine) allAfter(pos uint64) fetcher {
	return func(ctx context.Context, limit int) ([]*Event, bool, error) {
		if pos >= math.MaxInt64 {
			return nil, false, nil
		}
		events, more, err := e.query(ctx, limit, allAfterSQL, int64(pos), limit)
		if n := len(events); n > 0 {
			pos = events[n-1].Position
		}
		return events, more, err
	}
}

func (e *Engine) allBefore(pos uint64) fetcher {
	return func(ctx context.Context, limit int) ([]*Event, bool, error) {
		events, more, err := e.query(ctx, limit, allBeforeSQL, int64(min(pos, math.MaxInt64)), limit)
		if n := len(events); n > 0 {
			pos = events[n-1].Position
		}
		return events, more, err
	}
}

// StreamRead is a read of one stream.
type StreamRead struct {
	// First and Last are the revisions that the stream shows, as of the beginning of the read. First is beyond Last
	// when it shows none.
	First, Last int64
	Pages       Pages
}

// ReadStream yields up to limit events of a stream: forwards from a revision on, or backwards from it down, both
// including it. It fails with ErrNoStream or a DeletedError when there is nothing to read, and an event that
// metadata hides is not shown.
func (e *Engine) ReadStream(ctx context.Context, stream string, from int64, backwards bool, limit uint64) (*StreamRead, error) {
	info, err := e.info(ctx, stream)
	switch {
	case err != nil:
		return nil, err
	case info.tombstoned:
		return nil, &DeletedError{stream}
	case info.missing():
		return nil, ErrNoStream
	}
	r := &StreamRead{First: info.first(), Last: info.last}
	if !backwards && from > info.last || backwards && from < r.First {
		r.Pages = func(func([]*Event, error) bool) {}
		return r, nil
	}
	r.Pages = e.pages(ctx, limit, e.stream(stream, &info, from, backwards))
	return r, nil
}

// stream reads a stream's pages from a revision on, forwards or backwards, as far as info lets them show.
func (e *Engine) stream(stream string, info *streamInfo, from int64, backwards bool) fetcher {
	lo, hi, sql := max(from, info.first()), int64(math.MaxInt64), streamSQL
	if backwards {
		lo, hi, sql = info.first(), from, streamBackSQL
	}
	var oldest time.Time
	if info.meta.MaxAge > 0 {
		oldest = e.opts.Now().Add(-info.meta.MaxAge)
	}
	return func(ctx context.Context, limit int) ([]*Event, bool, error) {
		events, more, err := e.query(ctx, limit, sql, stream, lo, hi, limit)
		if err != nil || len(events) == 0 {
			return nil, false, err
		}
		if events[0].Revision == TombstoneRevision {
			return nil, false, &DeletedError{stream}
		}
		if last := events[len(events)-1].Revision; backwards {
			hi = last - 1
		} else {
			lo = last + 1
		}
		if !oldest.IsZero() {
			events = younger(events, oldest)
		}
		return events, more, nil
	}
}

func younger(events []*Event, oldest time.Time) []*Event {
	kept := events[:0]
	for _, e := range events {
		if !e.Created.Before(oldest) {
			kept = append(kept, e)
		}
	}
	return kept
}

// query reads one page, trying again while PostgreSQL is away. It tells whether there may be more.
func (e *Engine) query(ctx context.Context, limit int, sql string, args ...any) (events []*Event, more bool, err error) {
	err = e.retry(ctx, func() error {
		rows, err := e.pool.Query(ctx, sql, append([]any{pgx.QueryResultFormats{1}}, args...)...)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		var cut bool
		events, cut, err = collect(rows, pageBytes)
		more = cut || len(events) == limit
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, e.settled(ctx, events)
}

// settled waits until the writer has published all of these events. The table shows a commit a moment before memory
// does; whoever sees an event must not be told afterwards, from memory, that it is not there.
func (e *Engine) settled(ctx context.Context, events []*Event) error {
	var last uint64
	for _, event := range events {
		last = max(last, event.Position)
	}
	if last == 0 {
		return nil
	}
	return e.tail.wait(ctx, e.closed, last-1)
}

// pages yields what a pager reads.
func (e *Engine) pages(ctx context.Context, limit uint64, fetch fetcher) Pages {
	return func(yield func([]*Event, error) bool) {
		p := newPager(fetch, limit)
		for {
			events, err := p.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if events == nil || !yield(events, nil) {
				return
			}
		}
	}
}

// pager runs a fetcher one page ahead of who reads, with pages that grow while events are small.
type pager struct {
	fetch fetcher
	left  uint64
	size  int
	ready chan fetched // nil when there is no more

	started bool
}

type fetched struct {
	events []*Event
	more   bool
	err    error
}

func newPager(fetch fetcher, limit uint64) *pager {
	p := &pager{fetch: fetch, left: limit, size: firstPage}
	p.ready = make(chan fetched, 1)
	if limit == 0 {
		p.ready = nil
	}
	return p
}

// next returns a page, or nil at the end.
func (p *pager) next(ctx context.Context) ([]*Event, error) {
	for p.ready != nil {
		if !p.started {
			p.started = true
			p.start(ctx)
		}
		var f fetched
		select {
		case f = <-p.ready:
		case <-ctx.Done():
			p.ready = nil
			return nil, ctx.Err()
		}
		if f.err != nil {
			p.ready = nil
			return nil, f.err
		}
		p.left -= uint64(len(f.events))
		p.size = nextSize(p.size, f.events)
		if f.more && p.left > 0 {
			p.start(ctx)
		} else {
			p.ready = nil
		}
		if len(f.events) > 0 {
			return f.events, nil
		}
	}
	return nil, nil
}

// more tells whether a page beyond the last one returned is being read.
func (p *pager) more() bool { return p.ready != nil }

func (p *pager) start(ctx context.Context) {
	ready, n := p.ready, int(min(uint64(p.size), p.left)) //nolint:gosec // a page
	go func() {
		// A read that is given up must not cost the connection: the query of one page may end by itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pageTimeout)
		defer cancel()
		var f fetched
		f.events, f.more, f.err = p.fetch(ctx, n)
		ready <- f
	}()
}

// nextSize grows pages fourfold, up to what events of the same size leave room for.
func nextSize(size int, events []*Event) int {
	size *= 4
	bytes := 1
	for _, e := range events {
		bytes += e.size()
	}
	if n := len(events); n > 0 {
		size = min(size, max(1, pageBytes/(bytes/n+1)))
	}
	return min(size, lastPage)
}

// retry runs do again while PostgreSQL is away, up to patience, and then fails with ErrUnavailable.
func (e *Engine) retry(ctx context.Context, do func() error) error {
	deadline := e.opts.Now().Add(patience)
	for backoff := time.Duration(0); ; backoff = min(backoff*2+10*time.Millisecond, 200*time.Millisecond) {
		err := do()
		switch {
		case err == nil:
			return nil
		case e.isClosed():
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case !transient(err):
			return err
		case e.opts.Now().After(deadline):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !pause(ctx, backoff) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// brokenPipe tells the errors of a connection whose other end has gone.
func brokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF)
}

// Ref points to an event.
type Ref struct {
	Stream   string
	Revision int64
}

const getSQL = `
select ` + columns + ` from annals_log.events
where (stream, revision) in (select * from unnest($1::text[], $2::bigint[]))`

// Get reads events by what points to them. One that is not there, or that its stream does not show, is not in the
// answer.
func (e *Engine) Get(ctx context.Context, refs []Ref) (map[Ref]*Event, error) {
	var streams []string
	var revisions []int64
	for _, r := range refs {
		if len(r.Stream) <= MaxStreamName && isText(r.Stream) {
			streams = append(streams, r.Stream)
			revisions = append(revisions, r.Revision)
		}
	}
	if len(streams) == 0 {
		return map[Ref]*Event{}, nil
	}
	infos, err := e.infos(ctx, streams)
	if err != nil {
		return nil, err
	}
	events, cut, err := e.query(ctx, len(streams)+1, getSQL, streams, revisions)
	if err != nil {
		return nil, err
	}
	found := make(map[Ref]*Event, len(events))
	for _, event := range events {
		info := infos[event.Stream]
		expired := info.meta.MaxAge > 0 && event.Created.Before(e.opts.Now().Add(-info.meta.MaxAge))
		if info.tombstoned || info.missing() || event.Revision < info.first() || expired {
			continue
		}
		found[Ref{event.Stream, event.Revision}] = event
	}
	if !cut || len(refs) == 1 {
		return found, nil
	}
	// Too much for one page: in halves.
	for _, half := range [][]Ref{refs[:len(refs)/2], refs[len(refs)/2:]} {
		part, err := e.Get(ctx, half)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, part)
	}
	return found, nil
}
