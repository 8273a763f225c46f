// Package rotation has everything that a former master key has wrapped be wrapped by the one
// of now, so that the former one can be destroyed: the data keys in the log, and in the
// database the secrets of second factors, those of webhooks, and mails that wait.
//
// Nothing is decrypted but keys, and nothing but keys is written anew. What it did stays
// done: whatever it ends of, it is called again and does the rest. It ends when it has gone
// through all of it without finding anything that needs a former key, since that is about to
// be destroyed. Nobody may wrap by a former key meanwhile: see [Alone]. TestRotation holds it.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/auth"
	"annals/internal/eventlog"
	"annals/internal/lease"
	"annals/internal/webhook"
)

// Config is what is rotated.
type Config struct {
	Log      *eventlog.Log
	DB       *pgxpool.Pool
	Master   *eventschema.Masters // that of Log
	Now      func() time.Time
	App      string
	Progress func(eventlog.Rewrapped) // of the data keys; may be nil
}

// Summary is what was wrapped anew.
type Summary struct {
	Keys    int64 // of clients and employees, in the log
	Factors int64
	Hooks   int64
	Mails   int64
}

// name of the lease that each process shares that wraps by a master key.
func name(master string) string { return "master key " + master }

// ErrInUse means that a process still wraps by a former key.
var ErrInUse = errors.New("a process of Annals still works with a former master key")

// Use says that this process wraps by a master key, until it is released: while somebody
// does, that key is not retired, and while it is being retired, nobody does.
func Use(ctx context.Context, db *pgxpool.Pool, master string) (held context.Context, release func(), err error) {
	held, release, err = lease.Share(ctx, db.Config().ConnConfig, name(master))
	if errors.Is(err, lease.ErrHeld) {
		return nil, nil, fmt.Errorf("%s is being retired: %w", name(master), eventlog.ErrRetired)
	}
	return held, release, err
}

// ending is how long a process may go on with what is under way, once it knows that it has
// lost its master key.
const ending = 5 * time.Second

// Alone has former keys be nobody's until it is released: [ErrInUse] while they are. It
// takes its time: a process whose connection broke has its key taken from it before it
// knows, and what it wraps by then has to be found by [Run].
func Alone(ctx context.Context, db *pgxpool.Pool, m *eventschema.Masters) (held context.Context, release func(), err error) {
	held, release, err = alone(ctx, db.Config().ConnConfig, m.Former())
	if err != nil || len(m.Former()) == 0 {
		return held, release, err
	}
	select {
	case <-time.After(lease.Notice + ending):
		return held, release, nil
	case <-held.Done():
		release()
		return nil, nil, context.Cause(held)
	}
}

func alone(ctx context.Context, conf *pgx.ConnConfig, former []*eventschema.LocalMaster) (held context.Context, release func(), err error) {
	if len(former) == 0 {
		return ctx, func() {}, nil
	}
	first, end, err := lease.Try(ctx, conf, name(former[0].ID()))
	if errors.Is(err, lease.ErrHeld) {
		return nil, nil, fmt.Errorf("%w, %s", ErrInUse, former[0].ID())
	}
	if err != nil {
		return nil, nil, err
	}
	held, others, err := alone(first, conf, former[1:])
	if err != nil {
		end()
		return nil, nil, err
	}
	return held, func() { others(); end() }, nil
}

// Run wraps everything anew. Its context has to be that of [Alone].
func Run(ctx context.Context, cfg Config) (sum Summary, err error) {
	command := uuid.New()
	m := domain.Meta{
		Actor: domain.System, Command: command, Correlation: command, Causation: command,
		At: cfg.Now().UTC().Truncate(time.Microsecond), App: cfg.App,
	}
	if err := cfg.Log.Retire(ctx, m, cfg.Master.Former()...); err != nil {
		return sum, err
	}
	for {
		before := sum
		done, err := cfg.Log.Rewrap(ctx, m, cfg.Progress)
		sum.Keys += done.Keys
		if err != nil {
			return sum, err
		}
		for _, t := range tables {
			n, err := t.rewrap(ctx, cfg.DB, cfg.Master)
			*t.count(&sum) += n
			if err != nil {
				return sum, fmt.Errorf("wrap %s anew: %w", t.name, err)
			}
		}
		if sum == before {
			return sum, context.Cause(ctx)
		}
	}
}

// tables are where wrapped keys are in the database.
var tables = []table{
	sealed("annals_auth.factors", "secret", "employee_id", "employee_id", ofFactor, func(s *Summary) *int64 { return &s.Factors }),
	sealed("annals_auth.factors", "pending", "employee_id", "employee_id", ofFactor, func(s *Summary) *int64 { return &s.Factors }),
	sealed("annals_webhooks.keys", "sealed", "webhook_id", "id", ofWebhook, func(s *Summary) *int64 { return &s.Hooks }),
	{
		name: "annals_mail.messages", count: func(s *Summary) *int64 { return &s.Mails },
		page:   `select id as owner, id, wrapped, master from annals_mail.messages where wrapped is not null and id > $1 and id > $2 order by id limit $3`,
		update: `update annals_mail.messages set wrapped = $4, master = $5 where id = $1 and id = $2 and wrapped = $3`,
		again: func(ctx context.Context, m eventschema.Master, r row) ([]byte, error) {
			key, err := m.Unwrap(ctx, r.Master, r.ID, r.Bytes)
			if err != nil || r.Master == m.ID() {
				return nil, err
			}
			return m.Wrap(ctx, r.ID, key)
		},
	},
}

func ofFactor(r row) []byte { return auth.FactorPlace(r.ID) }

func ofWebhook(r row) []byte { return webhook.KeyPlace(r.Owner, r.ID) }

// sealed is a column of what a box of package auth has sealed.
func sealed(name, column, owner, id string, place func(row) []byte, count func(*Summary) *int64) table {
	return table{
		name: name, count: count,
		page: fmt.Sprintf(`select %[2]s, %[3]s, %[4]s, '' from %[1]s where %[4]s is not null and (%[2]s, %[3]s) > ($1, $2) order by %[2]s, %[3]s limit $3`,
			name, owner, id, column),
		update: fmt.Sprintf(`update %[1]s set %[4]s = $4 where %[2]s = $1 and %[3]s = $2 and %[4]s = $3 and $5 <> ''`, name, owner, id, column),
		again: func(ctx context.Context, m eventschema.Master, r row) ([]byte, error) {
			return auth.Rewrap(ctx, m, r.Bytes, place(r))
		},
	}
}
