package webhook

import (
	"context"
	"fmt"
	"time"

	"annals/internal/jobs"
)

// kept is how long it is known what became of a delivery.
const kept = 30 * 24 * time.Hour

// portion is how much is removed in a transaction.
const portion = 5000

type cleanUp struct{}

func (cleanUp) Kind() string { return "webhooks_clean_up" }

// Schedule has what is not needed any more removed, every hour, by the jobs.
func (s *Store) Schedule(j *jobs.Jobs) error {
	return jobs.Add(j, jobs.Kind[cleanUp]{
		Workers: 1, Every: time.Hour, Attempts: 1, Timeout: 10 * time.Minute,
		Work: func(ctx context.Context, _ *jobs.Job[cleanUp]) error { return s.CleanUp(ctx) },
	})
}

// CleanUp removes deliveries that ended a month ago, everything of webhooks that were
// deleted, and keys that sign no more.
func (s *Store) CleanUp(ctx context.Context) error {
	now := s.now()
	for _, sql := range []string{
		`with old as (select id from annals_webhooks.deliveries where state <> 'waiting' and updated_at < $1 limit $2),
			gone as (delete from annals_webhooks.attempts where delivery_id in (select id from old))
		delete from annals_webhooks.deliveries where id in (select id from old)`,
		`with old as (select d.id from annals_webhooks.endpoints e join annals_webhooks.deliveries d on d.webhook_id = e.id where e.status = 'deleted' and $1::timestamptz is not null limit $2),
			gone as (delete from annals_webhooks.attempts where delivery_id in (select id from old))
		delete from annals_webhooks.deliveries where id in (select id from old)`,
		`delete from annals_webhooks.lanes where ctid = any(array(select l.ctid from annals_webhooks.lanes l left join annals_webhooks.runs r on r.id = l.run_id
			left join annals_webhooks.endpoints e on e.id = r.webhook_id where (e.id is null or e.status = 'deleted' or r.ended_at < $1) limit $2))`,
		`delete from annals_webhooks.endpoints where ctid = any(array(select ctid from annals_webhooks.endpoints e where status = 'deleted' and $1::timestamptz is not null
			and not exists (select from annals_webhooks.deliveries d where d.webhook_id = e.id) limit $2))`,
	} {
		for {
			tag, err := s.db.Exec(ctx, sql, now.Add(-kept), portion)
			if err != nil {
				return fmt.Errorf("clean up webhooks: %w", err)
			}
			if tag.RowsAffected() < portion {
				break
			}
		}
	}
	if _, err := s.db.Exec(ctx, `delete from annals_webhooks.keys where expires_at < $1`, now); err != nil {
		return fmt.Errorf("clean up webhooks: %w", err)
	}
	return nil
}
