package engine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// head is the end of a stream.
type head struct {
	last int64 // revision of the last event, -1 for none, TombstoneRevision for a tombstone
	pos  uint64
	json []byte   // of a metastream: what its last event says
	meta Metadata // the same, read
}

var noHead = head{last: -1}

func metaHead(revision int64, pos uint64, data []byte, isJSON bool) head {
	h := head{last: revision, pos: pos}
	if isJSON {
		h.json, h.meta = data, ParseMetadata(data)
	}
	return h
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const headsSQL = `
select n.name, e.revision, e.position, e.is_json, e.data
from unnest($1::text[]) n(name)
cross join lateral (
	select revision, position, is_json, case when starts_with(n.name, '$$') then data end as data
	from annals_log.events where stream = n.name order by revision desc limit 1) e`

// loadHeads reads the ends of streams from the log; one without events is not in the answer.
func loadHeads(ctx context.Context, db querier, names []string, into map[string]head) error {
	rows, err := db.Query(ctx, headsSQL, names)
	if err != nil {
		return fmt.Errorf("ends of streams: %w", err)
	}
	var (
		name     string
		revision int64
		pos      int64
		isJSON   bool
		data     []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &revision, &pos, &isJSON, &data}, func() error {
		h := head{last: revision, pos: toPosition(pos)}
		if IsMetastream(name) {
			h = metaHead(revision, toPosition(pos), data, isJSON)
		}
		into[name] = h
		return nil
	})
	if err != nil {
		return fmt.Errorf("ends of streams: %w", err)
	}
	return nil
}

// streamInfo is what a reader must know of a stream.
type streamInfo struct {
	last       int64
	meta       Metadata
	tombstoned bool
}

func (s *streamInfo) missing() bool { return s.last < 0 || s.meta.SoftDeleted() }

// first is the first revision that metadata leaves visible.
func (s *streamInfo) first() int64 {
	first := max(s.meta.TruncateBefore, 0)
	if s.meta.MaxCount > 0 {
		first = max(first, s.last-s.meta.MaxCount+1)
	}
	return first
}

// info finds the end and metadata of a stream, in memory when the writer knows it. The writer alone fills that
// memory: a reader's older view must never replace it.
func (e *Engine) info(ctx context.Context, stream string) (streamInfo, error) {
	infos, err := e.infos(ctx, []string{stream})
	if err != nil {
		return streamInfo{}, err
	}
	return infos[stream], nil
}

func (e *Engine) infos(ctx context.Context, streams []string) (map[string]streamInfo, error) {
	heads := make(map[string]head, 2*len(streams))
	var missing []string
	want := func(name string) {
		if _, ok := heads[name]; ok {
			return
		}
		if h, ok := e.heads.Get(name); ok {
			heads[name] = h
			return
		}
		heads[name] = noHead
		missing = append(missing, name)
	}
	for _, s := range streams {
		want(s)
		want(partner(s))
	}
	if len(missing) > 0 {
		err := e.retry(ctx, func() error { return loadHeads(ctx, e.pool, missing, heads) })
		if err != nil {
			return nil, err
		}
	}
	infos := make(map[string]streamInfo, len(streams))
	for _, s := range streams {
		infos[s] = infoOf(s, heads[s], heads[partner(s)])
	}
	return infos, nil
}

// partner is the other stream that a decision about a stream needs: its metastream, or a metastream's original.
func partner(stream string) string {
	if IsMetastream(stream) {
		return OriginalOf(stream)
	}
	return MetastreamOf(stream)
}

func infoOf(stream string, own, other head) streamInfo {
	if IsMetastream(stream) {
		// A metastream shows its last event only, and dies with its stream.
		return streamInfo{last: own.last, meta: Metadata{MaxCount: 1}, tombstoned: other.last == TombstoneRevision}
	}
	return streamInfo{last: own.last, meta: other.meta, tombstoned: own.last == TombstoneRevision}
}

// Metadata is what the log says about a stream. It fails with a DeletedError when the stream is tombstoned.
func (e *Engine) Metadata(ctx context.Context, stream string) (Metadata, error) {
	info, err := e.info(ctx, stream)
	if err != nil {
		return Metadata{}, err
	}
	if info.tombstoned {
		return Metadata{}, &DeletedError{stream}
	}
	return info.meta, nil
}
