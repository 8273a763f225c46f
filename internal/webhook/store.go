// Package webhook delivers events to the endpoints of webhooks: signed as Standard
// Webhooks has it, at least once, and in order.
//
// A webhook is a position in the log. What comes after it is delivered, and the position
// moves past what was: so nothing is lost, however long an endpoint or this process is
// away, and nothing has to be stored for it. Only what fails is set aside, by its place in
// the log and without what it says, together with what has to wait for it; what is sent
// is made of the log each time, for what the owner may see at that moment.
//
// One process delivers at a time. What it has delivered and could not note before it died
// is delivered again, under the same webhook-id. TestNothingIsLost kills it.
package webhook

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/webhook"
	"annals/eventschema"
	"annals/internal/auth"
	"annals/internal/eventlog"
)

//go:embed schema.sql
var schema string

// Store is what PostgreSQL keeps of webhooks: see schema.sql.
type Store struct {
	db  *pgxpool.Pool
	box auth.Box
	now func() time.Time
}

// Open returns the store in db, and creates what it needs there; several processes may do
// so at once. Secrets are kept in box.
func Open(ctx context.Context, db *pgxpool.Pool, box auth.Box, now func() time.Time) (*Store, error) {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_webhooks'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("schema of webhooks: %w", err)
	}
	return &Store{db, box, now}, nil
}

// Follow notes which webhooks there are, in the transaction tx, once however often it is
// called: a handler of package process. What endpoints answered is forgotten when the
// client is erased whom it may have been about.
func (s *Store) Follow(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	switch e := rec.Event.(type) {
	case webhook.Event:
		return follow(ctx, tx, ref.ID, rec, e)
	case eventschema.KeyDestroyed:
		// After what is being noted, and before what is noted next.
		if _, err := tx.Exec(ctx, `select 1 from annals_webhooks.holder for update`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `insert into annals_webhooks.erased (client_id) values ($1) on conflict do nothing`, ref.ID); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update annals_webhooks.attempts a set response = '' from annals_webhooks.deliveries d
			where a.delivery_id = d.id and d.client_id = $1 and a.response <> ''`, ref.ID)
	}
	return err
}

func follow(ctx context.Context, tx pgx.Tx, id domain.ID, rec *eventlog.Record, e webhook.Event) error {
	status := ""
	switch e := e.(type) {
	case webhook.Created:
		if _, err := tx.Exec(ctx, `insert into annals_webhooks.endpoints (id, owner_id, key_id, status, revision, created_at)
			values ($1, $2, $3, 'active', $4, $5) on conflict do nothing`, id, e.OwnerID, orNull(e.KeyID), rec.Revision, rec.Meta.At); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into annals_webhooks.runs (id, webhook_id, commit, prepare, created_at) values ($1, $1, $2, $3, $4) on conflict do nothing`,
			id, rec.Position.Commit, rec.Position.Prepare, rec.Meta.At)
		return err
	case webhook.Replayed:
		return replayed(ctx, tx, id, rec, e)
	case webhook.Paused:
		status = string(webhook.IsPaused)
	case webhook.Disabled:
		status = string(webhook.Off)
	case webhook.Resumed:
		// It has another five days, and what waits is tried at once.
		if _, err := tx.Exec(ctx, `update annals_webhooks.endpoints set failing_since = null, warned_at = null where id = $1`, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update annals_webhooks.deliveries set due_at = $2, tries = 0, first_at = null where webhook_id = $1 and state = 'waiting'`, id, rec.Meta.At); err != nil {
			return err
		}
		status = string(webhook.Active)
	case webhook.Deleted:
		if _, err := tx.Exec(ctx, `delete from annals_webhooks.keys where webhook_id = $1`, id); err != nil {
			return err
		}
		status = "deleted"
	case webhook.Changed, webhook.Rotated, webhook.Tested:
	}
	_, err := tx.Exec(ctx, `update annals_webhooks.endpoints set status = coalesce(nullif($2, ''), status), revision = $3 where id = $1`, id, status, rec.Revision)
	return err
}

func replayed(ctx context.Context, tx pgx.Tx, id domain.ID, rec *eventlog.Record, e webhook.Replayed) error {
	var from eventlog.Position
	until := rec.Position
	var err error
	if e.From.Position != "" {
		if from, err = eventlog.ParsePosition(e.From.Position); err != nil {
			return err
		}
	}
	if e.To.Position != "" {
		to, err := eventlog.ParsePosition(e.To.Position)
		if err != nil {
			return err
		}
		if to.Compare(until) < 0 {
			until = to
		}
	}
	_, err = tx.Exec(ctx, `insert into annals_webhooks.runs (id, webhook_id, commit, prepare, until_commit, until_prepare, since, before, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
		rec.ID, id, from.Commit, from.Prepare, until.Commit, until.Prepare, timeOrNull(e.From.Time), timeOrNull(e.To.Time), rec.Meta.At)
	return err
}

func orNull(id domain.ID) *domain.ID {
	if id == (domain.ID{}) {
		return nil
	}
	return &id
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// rotation is how long the key before signs along.
const rotation = 24 * time.Hour

// mostKeys is how many keys a webhook has at a time: each signs every delivery.
const mostKeys = 5

// ErrManyKeys is that a webhook has been given new secrets too often in a day.
var ErrManyKeys = domain.Errorf(domain.Conflict, "webhook.rotating", "the webhook has been given %d secrets within a day: wait until they end", mostKeys)

// CheckRotation refuses to give a webhook another key while too many sign.
func (s *Store) CheckRotation(ctx context.Context, id, command domain.ID) error {
	var n int
	if err := s.db.QueryRow(ctx, `select count(*) from annals_webhooks.keys where webhook_id = $1 and id <> $2 and (expires_at is null or expires_at > $3)`,
		id, command, s.now()).Scan(&n); err != nil {
		return fmt.Errorf("keys of webhook: %w", err)
	}
	if n >= mostKeys {
		return ErrManyKeys
	}
	return nil
}

// MakeKey gives a webhook a key, and lets those that it had sign along for a day. For the
// same command it answers the same key, as long as it is kept.
func (s *Store) MakeKey(ctx context.Context, id, command domain.ID) (Key, error) {
	key, now := NewKey(), s.now().UTC().Truncate(time.Microsecond)
	raw, err := key.encode()
	if err != nil {
		return Key{}, fmt.Errorf("key of webhook: %w", err)
	}
	sealed, err := s.box.Seal(ctx, raw, KeyPlace(id, command))
	if err != nil {
		return Key{}, fmt.Errorf("key of webhook: %w", err)
	}
	err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, "webhook key "+id.String()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `insert into annals_webhooks.keys (webhook_id, id, created_at, sealed) values ($1, $2, $3, $4) on conflict do nothing`, id, command, now, sealed)
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 {
			_, err = tx.Exec(ctx, `update annals_webhooks.keys set expires_at = $3 where webhook_id = $1 and id <> $2 and expires_at is null`, id, command, now.Add(rotation))
			return err
		}
		if err := tx.QueryRow(ctx, `select sealed from annals_webhooks.keys where webhook_id = $1 and id = $2`, id, command).Scan(&sealed); err != nil {
			return err
		}
		key, err = s.open(ctx, id, command, sealed)
		return err
	})
	if err != nil {
		return Key{}, fmt.Errorf("key of webhook: %w", err)
	}
	return key, nil
}

// keys are those that sign now, the newest first.
func (s *Store) keys(ctx context.Context, id domain.ID) (all []Key, err error) {
	rows, err := s.db.Query(ctx, `select id, sealed from annals_webhooks.keys where webhook_id = $1 and (expires_at is null or expires_at > $2)
		order by created_at desc`, id, s.now())
	if err != nil {
		return nil, fmt.Errorf("keys of webhook: %w", err)
	}
	var name uuid.UUID
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &sealed}, func() error {
		k, err := s.open(ctx, id, name, sealed)
		all = append(all, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keys of webhook: %w", err)
	}
	return all, nil
}

func (s *Store) open(ctx context.Context, id, name domain.ID, sealed []byte) (Key, error) {
	raw, err := s.box.Open(ctx, sealed, KeyPlace(id, name))
	if err != nil {
		return Key{}, err
	}
	return decodeKey(raw)
}

// KeyPlace is the place that a key of a webhook is sealed for.
func KeyPlace(id, name domain.ID) []byte { return fmt.Appendf(nil, "webhook\n%s\n%s", id, name) }
