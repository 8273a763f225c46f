package blobs

import (
	"context"
	"time"

	"annals/domain"
	"annals/internal/jobs"
)

// sweeping is the job that calls [Store.Sweep].
type sweeping struct{}

func (sweeping) Kind() string { return "documents_sweep" }

// Schedule has what is left behind looked for every minute, by one process at a time.
func (s *Store) Schedule(j *jobs.Jobs, contents func(ctx context.Context, client, document domain.ID) (Contents, error)) error {
	return jobs.Add(j, jobs.Kind[sweeping]{
		Workers: 1, Attempts: 1, Timeout: 10 * time.Minute, Every: time.Minute, // the next one is the retry
		Work: func(ctx context.Context, _ *jobs.Job[sweeping]) error {
			_, err := s.Sweep(ctx, contents)
			return err
		},
	})
}
