package main

import (
	"context"
	"errors"

	"annals/domain/erasure"
	"annals/internal/eventlog"
	"annals/internal/postgres"
	"annals/projections"
)

// Schemas that hold nothing personal in the clear: the log seals it, and rewrites itself
// where that is a matter of moments; the audit tree has digests, and refusals ids.
const (
	logSchema   = "annals_log"
	auditSchema = "annals_audit"
)

var errStillBuilt = errors.New("a read model that is being built or about to be dropped has not come that far")

// clean has the files of the database hold nothing any more of what was erased up to a
// position.
func (s *server) clean(ctx context.Context, upTo eventlog.Position) (out erasure.Cleaning, err error) {
	passed, err := projections.Passed(ctx, s.pool, upTo)
	if err == nil && !passed {
		err = errStillBuilt
	}
	if err != nil {
		return out, err
	}
	tables, err := postgres.CleanTables(ctx, s.database, logSchema, auditSchema)
	if err != nil {
		return out, err
	}
	out.Rewritten, out.Freed = tables.Rewritten, tables.Freed
	if s.private == nil {
		return out, nil // its write-ahead log, its replicas and backups are somebody else's
	}
	out.WAL = true
	return out, s.private.CleanWAL(ctx)
}
