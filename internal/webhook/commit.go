package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/internal/eventlog"
)

// The states of a delivery.
const (
	stateWaiting   = "waiting"
	stateDelivered = "delivered"
	stateFailed    = "failed"
	stateWithheld  = "withheld"
)

var errFenced = errors.New("another process delivers")

// changes are what one commit notes of a run, all of it or nothing.
type changes struct {
	run      domain.ID
	from, to eventlog.Position
	over     bool // it has read what it was to
	ended    bool // and nothing of it waits
	requests int  // that this is about
	rows     map[uuid.UUID]row
	attempts []attempt
	lanes    map[laneKey]eventlog.Position
	health   *health
}

type laneKey struct{ run, lane domain.ID }

type row struct {
	webhook domain.ID
	run     domain.ID
	item    item
	state   string
	status  int
	due     *time.Time
	at      time.Time
}

type attempt struct {
	delivery uuid.UUID
	n        int
	outcome
}

func newChanges() changes {
	return changes{rows: map[uuid.UUID]row{}, lanes: map[laneKey]eventlog.Position{}}
}

func (c *changes) some() bool { return len(c.rows)+len(c.attempts) > 0 || c.requests > 0 }

// put notes how a delivery stands.
func (c *changes) put(by *courier, it *item, state string, status int, due time.Time) {
	r := row{by.ep.id, by.run.id, *it, state, status, timeOrNull(due), by.cfg.Now()}
	r.item.rec = nil
	c.rows[it.id] = r
}

func (c *changes) attempted(it *item, o outcome) {
	c.attempts = append(c.attempts, attempt{it.id, it.attempts, o})
}

type commit struct {
	*changes
	done chan<- error
}

// committer notes what has happened, of all runs that have something in one transaction.
// While the database is away it tries again.
func (l *lead) committer(ctx context.Context) {
	for {
		var all []commit
		select {
		case c := <-l.commits:
			all = append(all, c)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(all) < 64; {
			select {
			case c := <-l.commits:
				all = append(all, c)
			default:
				more = false
			}
		}
		err := l.commitAll(ctx, all)
		for wait := 50 * time.Millisecond; err != nil && !errors.Is(err, errFenced) && ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
			l.cfg.Logger.WarnContext(ctx, "deliveries cannot be noted", "err", plain(err))
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			err = l.commitAll(ctx, all)
		}
		if errors.Is(err, errFenced) {
			l.cancel(errFenced)
		}
		for _, c := range all {
			c.done <- err
		}
	}
}

func (l *lead) commitAll(ctx context.Context, all []commit) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var b pgx.Batch
	// What a crash of the database loses of this is lost together, and delivered again.
	b.Queue(`set local synchronous_commit = off`)
	// First, so that nobody else notes anything meanwhile.
	b.Queue(`select 1 from annals_webhooks.holder where epoch = $1 for share`, l.epoch).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return errFenced
		}
		return nil
	})
	rows, attempts, lanes := &table{}, &table{}, &table{}
	for _, c := range all {
		for _, r := range c.rows {
			it := &r.item
			rows.add(it.id, r.webhook, r.run, it.lane, int64(it.position.Commit), int64(it.position.Prepare), it.stream, int64(it.revision), it.event, it.typ, //nolint:gosec // servers count to 2^63-1
				orNull(it.client), it.at, r.state, it.attempts, it.tries, intOrNull(r.status), timeOrNull(it.first), r.due, r.at)
		}
		for _, a := range c.attempts {
			attempts.add(a.delivery, a.n, a.at, a.took.Milliseconds(), intOrNull(a.status), a.error, a.response)
		}
		for k, at := range c.lanes {
			lanes.add(k.run, k.lane, int64(at.Commit), int64(at.Prepare)) //nolint:gosec // servers count to 2^63-1
		}
		if c.to != c.from || c.over {
			b.Queue(`update annals_webhooks.runs set commit = $2, prepare = $3, ended_at = case when $4 then coalesce(ended_at, $5) else ended_at end where id = $1`,
				c.run, c.to.Commit, c.to.Prepare, c.over, l.cfg.Now())
		}
		if h := c.health; h != nil {
			b.Queue(`update annals_webhooks.endpoints set last_delivered_at = coalesce($2, last_delivered_at), failing_since = $3,
				warned_at = case when $3::timestamptz is null then null else warned_at end where id = $1`, h.id, h.accepted, h.failing)
		}
	}
	rows.queue(&b, `insert into annals_webhooks.deliveries as d
			(id, webhook_id, run_id, lane, commit, prepare, stream, revision, event_id, type, client_id, event_at, state, attempts, tries, status, first_at, due_at, updated_at)
		select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::uuid[], $10::text[], $11::uuid[],
			$12::timestamptz[], $13::text[], $14::int[], $15::int[], $16::int[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[])
		on conflict (id) do update set lane = excluded.lane, state = excluded.state, attempts = excluded.attempts, tries = excluded.tries,
			status = excluded.status, first_at = excluded.first_at, due_at = excluded.due_at, updated_at = excluded.updated_at`)
	attempts.queue(&b, `insert into annals_webhooks.attempts (delivery_id, n, at, took_ms, status, error, response)
		select * from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::int[], $5::int[], $6::text[], $7::text[])
		on conflict (delivery_id, n) do update set at = excluded.at, took_ms = excluded.took_ms, status = excluded.status, error = excluded.error, response = excluded.response`)
	if attempts.columns != nil {
		b.Queue(`update annals_webhooks.attempts a set response = '' from annals_webhooks.deliveries d join annals_webhooks.erased e on e.client_id = d.client_id
			where d.id = a.delivery_id and a.delivery_id = any($1::uuid[]) and a.response <> ''`, attempts.columns[0])
	}
	lanes.queue(&b, `insert into annals_webhooks.lanes (run_id, lane, commit, prepare) select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
		on conflict (run_id, lane) do update set commit = excluded.commit, prepare = excluded.prepare`)
	return pgx.BeginFunc(ctx, l.store.db, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
}

func intOrNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// table is rows by column, as unnest takes them.
type table struct{ columns []any }

func (t *table) add(values ...any) {
	if t.columns == nil {
		t.columns = make([]any, len(values))
		for i := range t.columns {
			t.columns[i] = []any{}
		}
	}
	for i, v := range values {
		switch id := v.(type) { // which the driver encodes by way of text
		case uuid.UUID:
			v = pgtype.UUID{Bytes: id, Valid: true}
		case *uuid.UUID:
			if v = (pgtype.UUID{}); id != nil {
				v = pgtype.UUID{Bytes: *id, Valid: true}
			}
		}
		t.columns[i] = append(t.columns[i].([]any), v)
	}
}

func (t *table) queue(b *pgx.Batch, sql string) {
	if t.columns != nil {
		b.Queue(sql, t.columns...)
	}
}
