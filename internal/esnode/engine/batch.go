package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// request is one write that waits for the writer.
type request struct {
	ctx      context.Context //nolint:containedctx // the writer must see that a caller has gone
	kind     kind
	stream   string
	expected Expected
	events   []Proposed
	size     int
	state    atomic.Int32
	reply    chan outcome // holds one
}

type kind int

const (
	kindAppend kind = iota
	kindDelete
	kindTombstone
)

// A request is waiting until the writer takes it or its caller abandons it, whichever is first.
const (
	waiting int32 = iota
	taken
	abandoned
)

type outcome struct {
	result Result
	err    error
}

// slot names an event by its place.
type slot struct {
	stream   string
	revision int64
}

type stored struct {
	id  uuid.UUID
	pos uint64
}

// batch is a set of decisions that are committed together. It sees the log as it will be after its own rows.
type batch struct {
	w      *writer
	next   uint64 // position of the next row
	now    time.Time
	rows   []*Event
	heads  map[string]head
	ids    map[uuid.UUID]place
	purge  map[string]uint64
	xid    string          // of the transaction that erases what purge says
	logged map[slot]stored // events to compare with
	// indexed is how many of the rows are in logged: they are entered when one is asked for, which is rare.
	indexed int
	// presume lets streams be taken for new, and guessed tells that some were.
	presume, guessed bool
}

func newBatch(w *writer, presume bool) *batch {
	return &batch{
		w: w, next: w.next, now: w.e.opts.Now().UTC().Truncate(time.Microsecond),
		heads: map[string]head{}, ids: map[uuid.UUID]place{}, presume: presume,
	}
}

// load reads what the decisions need and memory does not hold: two queries at most.
func (b *batch) load(ctx context.Context, conn *pgx.Conn, reqs []*request) error {
	var missing []string
	presumed := b.presumed(reqs)
	want := func(name string) {
		if _, ok := b.heads[name]; ok {
			return
		}
		h, ok := b.w.e.heads.Get(name)
		if !ok {
			h = noHead
			switch {
			case IsMetastream(name) && b.w.metas.lacks(name):
			case presumed[name]:
				b.guessed = true
			default:
				missing = append(missing, name)
			}
		}
		b.heads[name] = h
	}
	for _, r := range reqs {
		want(r.stream)
		want(partner(r.stream))
	}
	if len(missing) > 0 {
		if err := loadHeads(ctx, conn, missing, b.heads); err != nil {
			return err
		}
	}
	return b.loadRepeated(ctx, conn, reqs)
}

const repeatedSQL = `
select e.stream, e.revision, e.id, e.position
from unnest($1::text[], $2::bigint[], $3::bigint[]) q(stream, lo, hi)
join annals_log.events e on e.stream = q.stream and e.revision between q.lo and q.hi`

// loadRepeated reads the events that stand where a write from behind the stream's end would put its own.
func (b *batch) loadRepeated(ctx context.Context, conn *pgx.Conn, reqs []*request) error {
	var streams []string
	var lo, hi []int64
	for _, r := range reqs {
		last := b.heads[r.stream].last
		if r.expected < NoStream || int64(r.expected) >= last || last == TombstoneRevision || len(r.events) == 0 {
			continue
		}
		streams = append(streams, r.stream)
		lo = append(lo, int64(r.expected)+1)
		hi = append(hi, int64(r.expected)+int64(len(r.events)))
	}
	if len(streams) == 0 {
		return nil
	}
	b.logged = map[slot]stored{}
	rows, err := conn.Query(ctx, repeatedSQL, streams, lo, hi)
	if err != nil {
		return fmt.Errorf("events to compare: %w", err)
	}
	var (
		at  slot
		id  uuid.UUID
		pos int64
	)
	_, err = pgx.ForEachRow(rows, []any{&at.stream, &at.revision, &id, &pos}, func() error {
		b.logged[at] = stored{id, toPosition(pos)}
		return nil
	})
	if err != nil {
		return fmt.Errorf("events to compare: %w", err)
	}
	return nil
}

func (b *batch) state(stream string) state {
	own, other := b.heads[stream], b.heads[partner(stream)]
	s := state{last: own.last, pos: own.pos}
	if IsMetastream(stream) {
		s.tombstoned = other.last == TombstoneRevision
		return s
	}
	s.tombstoned = own.last == TombstoneRevision
	s.meta = other.last >= 0
	s.deleted = other.meta.SoftDeleted()
	return s
}

func (b *batch) known(id uuid.UUID) (place, bool) {
	if p, ok := b.ids[id]; ok {
		return p, true
	}
	return b.w.ids.Get(id)
}

// stored finds an event of the log that load has read, or one staged in this batch.
func (b *batch) stored(at slot) (uuid.UUID, uint64, bool) {
	for ; b.indexed < len(b.rows); b.indexed++ {
		row := b.rows[b.indexed]
		if b.logged == nil {
			b.logged = map[slot]stored{}
		}
		b.logged[slot{row.Stream, row.Revision}] = stored{row.ID, row.Position}
	}
	there, ok := b.logged[at]
	return there.id, there.pos, ok
}

// decide settles one request, and stages its rows when it is accepted.
func (b *batch) decide(r *request) outcome {
	s := b.state(r.stream)
	var ids []uuid.UUID
	if len(r.events) > 0 {
		ids = make([]uuid.UUID, len(r.events))
		for i := range r.events {
			ids[i] = r.events[i].ID
		}
	}
	v, at := decide(r.stream, s, r.expected, ids, b.known, func(revision int64) (uuid.UUID, uint64, bool) {
		return b.stored(slot{r.stream, revision})
	})
	if v == accept && r.kind == kindDelete && s.last < 0 && !s.meta {
		v = wrong // there is nothing to delete
	}
	switch v {
	case gone:
		return outcome{err: &DeletedError{r.stream}}
	case wrong:
		return outcome{err: &WrongRevisionError{r.stream, r.expected, s.last}}
	case repeat:
		return outcome{result: Result{at.revision, at.pos}}
	case accept:
	}
	switch r.kind {
	case kindDelete:
		return outcome{result: b.delete(r.stream)}
	case kindTombstone:
		return outcome{result: b.tombstone(r.stream)}
	case kindAppend:
	}
	return outcome{result: b.append(r, s)}
}

func (b *batch) append(r *request, s state) Result {
	if len(r.events) == 0 {
		return Result{s.last, b.end()}
	}
	wasDeleted := IsMetastream(r.stream) && b.heads[r.stream].meta.SoftDeleted()
	var result Result
	for i := range r.events {
		row := b.add(r.stream, b.heads[r.stream].last+1, r.events[i])
		b.ids[row.ID] = place{r.stream, row.Revision, row.Position}
		result = Result{row.Revision, row.Position}
	}
	if s.deleted {
		// Appending to a soft-deleted stream shows it again, from the first of the new events.
		b.undelete(r.stream, s.last+1)
	} else if wasDeleted && !b.heads[r.stream].meta.SoftDeleted() {
		// And so does writing new metadata over the deletion.
		original := OriginalOf(r.stream)
		b.undelete(original, b.heads[original].last+1)
	}
	return result
}

// end is the position of the last event of the log as it will be.
func (b *batch) end() uint64 {
	if n := len(b.rows); n > 0 {
		return b.rows[n-1].Position
	}
	return b.w.e.tail.head()
}

func (b *batch) undelete(stream string, first int64) {
	name := MetastreamOf(stream)
	h := b.heads[name]
	b.add(name, h.last+1, Proposed{
		ID: uuid.New(), Type: TypeMetadata, JSON: true, Data: undeleted(h.json, first),
	})
}

func (b *batch) delete(stream string) Result {
	name := MetastreamOf(stream)
	row := b.add(name, b.heads[name].last+1, Proposed{
		ID: uuid.New(), Type: TypeMetadata, JSON: true, Data: softDeletedJSON,
	})
	return Result{row.Revision, row.Position}
}

// tombstone ends a stream. Its events and its metadata leave the table with the same commit, as if the log had been
// scavenged at once: what is tombstoned is erased, not hidden.
func (b *batch) tombstone(stream string) Result {
	row := b.add(stream, TombstoneRevision, Proposed{ID: uuid.New(), Type: TypeDeleted})
	if b.purge == nil {
		b.purge = map[string]uint64{}
	}
	b.purge[stream] = row.Position
	b.purge[MetastreamOf(stream)] = row.Position
	b.heads[MetastreamOf(stream)] = noHead
	b.rows, b.indexed = keep(b.rows, b.purge), 0
	return Result{row.Revision, row.Position}
}

// keep leaves out the events of purged streams that stand before their tombstone.
func keep(events []*Event, purge map[string]uint64) []*Event {
	kept := make([]*Event, 0, len(events))
	for _, e := range events {
		if e.Position >= purge[e.Stream] {
			kept = append(kept, e)
		}
	}
	return kept
}

func (b *batch) add(stream string, revision int64, p Proposed) *Event {
	row := &Event{
		Position: b.next, Revision: revision, Stream: stream, Type: p.Type, Created: b.now,
		Data: p.Data, Metadata: p.Metadata, ID: p.ID, JSON: p.JSON,
	}
	b.next++
	b.rows = append(b.rows, row)
	h := head{last: revision, pos: row.Position}
	if IsMetastream(stream) {
		h = metaHead(revision, row.Position, p.Data, p.JSON)
	}
	b.heads[stream] = h
	return row
}
