package projections

import (
	"context"
	"fmt"

	"annals/internal/eventlog"
)

// Passed says whether all tables, those that are being built, compared or about to be
// dropped as well, show everything up to the position: what an erasure before it has
// taken away is in none of them.
func Passed(ctx context.Context, db DB, at eventlog.Position) (passed bool, err error) {
	err = db.QueryRow(ctx, `select not exists (select from annals_projections.checkpoints where (commit, prepare) < ($1::bigint, $2::bigint))`, at.Commit, at.Prepare).Scan(&passed)
	if err != nil {
		return false, fmt.Errorf("how far the read models are: %w", err)
	}
	return passed, nil
}
