package jobs

import (
	"context"
	"fmt"

	"annals/domain"
)

// Forget removes the jobs that name somebody under a key of their arguments: those that
// wait, and those that have ended and are only remembered. It answers how many waited.
// One that is being worked on goes on.
func (j *Jobs) Forget(ctx context.Context, key string, id domain.ID) (waited int, err error) {
	err = j.pool.QueryRow(ctx, `with gone as (
			delete from `+Schema+`.river_job where args ->> $1 = $2 and state <> 'running' returning finalized_at)
		select count(*) from gone where finalized_at is null`, key, id.String()).Scan(&waited)
	if err != nil {
		return 0, fmt.Errorf("forget jobs: %w", err)
	}
	return waited, nil
}
