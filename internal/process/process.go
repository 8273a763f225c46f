// Package process runs process managers: what follows by a rule from what happened.
// Each is a handler that is given every event of the log, in order, and queues the
// jobs that it makes necessary.
//
// Jobs are inserted in the transaction that moves the handler's checkpoint past their
// events, so that each event leads to its jobs once, whatever dies in between: of two
// processes that handle the same events only one commits, since moving the checkpoint
// from where it was is the first statement. TestCrash holds it.
package process

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/eventlog"
)

// Handler is a rule: what follows from events.
type Handler struct {
	// Name is that of the checkpoint. It is never changed: under another name the
	// handler would be given all events again.
	Name string

	// FromNow has a handler that is new begin with what happens from then on. Without
	// it, it begins with the beginning of the log.
	FromNow bool

	// Begin is called before the first event after a while in which another process may
	// have been at work: what Handle remembers is to be forgotten. May be nil.
	Begin func()

	// Handle does what follows from an event, in tx alone: it queues jobs. It may be
	// called again for an event whose transaction did not commit. An error that is not
	// about the moment, as an outage of the database or the log is, sets the event aside,
	// to be handled later; a panic does too. What others wrote into tx is not undone by that.
	// It is given events whose personal fields have been erased, and
	// eventschema.KeyDestroyed.
	Handle func(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error
}

// Log is the part of [eventlog.Log] that is followed.
type Log interface {
	Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Head(ctx context.Context) (eventlog.Position, error)
}

// Config is what [Open] needs.
type Config struct {
	Log      Log
	Handlers []Handler
	Logger   *slog.Logger
	Now      func() time.Time

	Retry   time.Duration // how often events that were set aside are tried again, beside at start; an hour if zero
	Records int           // at most so many events are handled in a transaction; those of package feed if zero
}

// Runner runs handlers. Any number of processes may have one on the same database:
// the handlers work in one of them at a time, and another takes over within seconds.
type Runner struct {
	cfg     Config
	pool    *pgxpool.Pool
	metrics *metrics

	mu    sync.Mutex
	moved int   // runs handled
	err   error // why the last attempt failed; nil once a run has been handled
}

//go:embed schema.sql
var schema string

// Open returns a Runner, and creates what it needs in the pool's database; several
// processes may do so at once. Nothing is handled before [Runner.Run].
func Open(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Runner, error) {
	cfg.Retry = cmp.Or(cfg.Retry, time.Hour)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Log == nil || cfg.Now == nil || cfg.Retry < 0 {
		return nil, errors.New("process managers: incomplete configuration")
	}
	known := map[string]bool{}
	for _, h := range cfg.Handlers {
		if h.Name == "" || h.Handle == nil || known[h.Name] {
			return nil, fmt.Errorf("process manager %q: not a configuration, or there are two", h.Name)
		}
		known[h.Name] = true
	}
	r := &Runner{cfg: cfg, pool: pool}
	r.metrics = newMetrics(r)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_process'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("schema of process managers: %w", err)
	}
	return r, nil
}

// Run follows the log until ctx ends; then it returns nil. The log or the database
// being away is waited out.
func (r *Runner) Run(ctx context.Context) error {
	if len(r.cfg.Handlers) == 0 {
		<-ctx.Done()
		return nil
	}
	const short = 100 * time.Millisecond
	for wait := short; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		before := r.progress()
		err := r.lead(ctx)
		r.failed(ctx, err)
		if r.progress() != before || errors.Is(err, ErrFenced) {
			wait = short
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)): //nolint:gosec // jitter
		case <-ctx.Done():
		}
	}
	return nil
}

func (r *Runner) progress() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// failed tells of what went wrong. What only goes on is told once.
func (r *Runner) failed(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	text := explain(err)
	r.mu.Lock()
	again := r.err != nil && explain(r.err) == text
	r.err = err
	r.mu.Unlock()
	switch {
	case errors.Is(err, ErrFenced):
		r.cfg.Logger.InfoContext(ctx, "process managers step down", "err", text)
	case again:
		r.cfg.Logger.DebugContext(ctx, "process managers failed again", "err", text)
	default:
		r.cfg.Logger.WarnContext(ctx, "process managers failed", "err", text)
	}
}

// Ready is nil once every handler has a place in the log from which it follows it,
// here or in another process, and while they are not failing here. How far behind
// they are is in the metrics.
func (r *Runner) Ready(ctx context.Context) error {
	r.mu.Lock()
	failing := r.err
	r.mu.Unlock()
	if failing != nil {
		return fmt.Errorf("process managers: %w", failing)
	}
	rows, err := r.pool.Query(ctx, `select name from unnest($1::text[]) h (name)
		where not exists (select from annals_process.checkpoints c where c.handler = h.name)`, r.names())
	if err != nil {
		return fmt.Errorf("process managers: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%q have not begun", missing)
	}
	if err != nil {
		return fmt.Errorf("process managers: %w", err)
	}
	return nil
}

func (r *Runner) names() []string {
	names := make([]string, len(r.cfg.Handlers))
	for i, h := range r.cfg.Handlers {
		names[i] = h.Name
	}
	return names
}
