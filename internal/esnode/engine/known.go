package engine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// nameSet is all streams of a kind, while they are few; nil means that they are too many to know. Most streams have no
// metastream and no tombstone, and knowing that saves the writer most of what it would have to look up.
type nameSet map[string]struct{}

const namesKnown = 50_000

const (
	// In the collation C, the names that begin with $$ are those from "$$" to before "$%".
	metastreamsSQL = `select distinct stream from annals_log.events where stream >= '$$' and stream < '$%' limit $1`
	endedSQL       = `select stream from annals_log.events where revision = 9223372036854775807 limit $1`
)

func loadNames(ctx context.Context, db querier, sql string) (nameSet, error) {
	rows, err := db.Query(ctx, sql, namesKnown+1)
	if err != nil {
		return nil, fmt.Errorf("names of streams: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("names of streams: %w", err)
	}
	if len(names) > namesKnown {
		return nil, nil
	}
	known := make(nameSet, len(names))
	for _, name := range names {
		known[name] = struct{}{}
	}
	return known, nil
}

// lacks tells that a name is certainly not in the set.
func (s nameSet) lacks(name string) bool {
	if s == nil {
		return false
	}
	_, ok := s[name]
	return !ok
}

func (s *nameSet) add(name string) {
	if *s == nil {
		return
	}
	if len(*s) >= namesKnown {
		*s = nil
		return
	}
	(*s)[name] = struct{}{}
}

// presumed chooses the streams that may be taken for new without looking: a writer expects no stream, and should there
// be one, its first revision is taken and the insertion fails. That holds as long as the stream has neither metadata
// nor a tombstone, and nobody in the batch asks anything else of it.
func (b *batch) presumed(reqs []*request) map[string]bool {
	if !b.presume {
		return nil
	}
	names := make(map[string]bool, len(reqs))
	for _, r := range reqs {
		if r.kind != kindAppend || r.expected != NoStream || len(r.events) == 0 || IsMetastream(r.stream) ||
			!b.w.metas.lacks(MetastreamOf(r.stream)) || !b.w.ended.lacks(r.stream) {
			names[r.stream], names[partner(r.stream)] = false, false
			continue
		}
		if _, seen := names[r.stream]; !seen {
			names[r.stream] = true
		}
	}
	return names
}

// doubtful is for how many batches nothing is presumed after a presumption was wrong: a failed insertion costs more
// than many lookups.
const doubtful = 64
