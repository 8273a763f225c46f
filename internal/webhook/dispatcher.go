package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/semaphore"

	"annals/domain"
	"annals/domain/webhook"
	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/lease"
)

// Log is the part of [eventlog.Log] that is delivered.
type Log interface {
	Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Head(ctx context.Context) (eventlog.Position, error)
}

// Config is what a [Dispatcher] needs.
type Config struct {
	Store *Store
	Log   Log

	// Webhook is a webhook as the log has it now.
	Webhook func(ctx context.Context, id domain.ID) (webhook.State, error)
	// Authority is what an employee may do at this moment, or, with a key of theirs, what
	// that may: nothing where either is not active.
	Authority func(ctx context.Context, employee, key domain.ID) (domain.Authority, error)
	// Place is where a client belongs now; known is false for one that there is not.
	Place func(ctx context.Context, client domain.ID) (at domain.Place, known bool, err error)
	// Places are where clients belong, of those that there are, by everything up to a position,
	// for many at once; nil: each is asked for.
	Places func(ctx context.Context, clients []domain.ID, after eventlog.Position) (map[domain.ID]domain.Place, error)
	// Disable disables a webhook, once for each of the times that it goes back to.
	Disable func(ctx context.Context, id domain.ID, why webhook.Reason, since time.Time) error
	// Warn queues, in tx, a message to the owner that nothing has been delivered for a while.
	Warn func(ctx context.Context, tx pgx.Tx, id, owner domain.ID, since time.Time) error

	Source  string // the URL of this Annals
	Agent   string // what requests say they are from
	Private bool   // addresses of private networks may be delivered to: for development

	Resolver *net.Resolver // finds the addresses of names; the system's if nil

	Logger *slog.Logger
	Now    func() time.Time

	// Schedule is how long to wait before each attempt; the default is that of Standard
	// Webhooks, over three days. Each is longer or shorter by up to a fifth.
	Schedule []time.Duration
	Timeout  time.Duration // of a request in all; 15 seconds if zero
	Probe    time.Duration // between attempts at an endpoint that has only failed of late; 10 seconds if zero
	Warning  time.Duration // of only failures, after which the owner is told; a day if zero
	Most     time.Duration // of only failures, after which a webhook is disabled; five days if zero
	Shared   int64         // requests at once, beside one that each endpoint has for itself; 200 if zero
	Look     time.Duration // how often it is looked which webhooks there are; 300 ms if zero
}

// Schedule is that of Standard Webhooks.
var Schedule = []time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// Dispatcher delivers. Any number of processes may have one on the same database: one of
// them delivers at a time, and another takes over within seconds.
type Dispatcher struct {
	cfg     Config
	store   *Store
	client  *http.Client
	overall *semaphore.Weighted
}

// New returns a Dispatcher. Nothing is delivered before [Dispatcher.Run].
func New(cfg Config) (*Dispatcher, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, sending)
	cfg.Probe = cmp.Or(cfg.Probe, 10*time.Second)
	cfg.Warning = cmp.Or(cfg.Warning, 24*time.Hour)
	cfg.Most = cmp.Or(cfg.Most, 5*24*time.Hour)
	cfg.Shared = cmp.Or(cfg.Shared, 200)
	cfg.Look = cmp.Or(cfg.Look, 300*time.Millisecond)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Agent = cmp.Or(cfg.Agent, "Annals")
	if cfg.Schedule == nil {
		cfg.Schedule = Schedule
	}
	if cfg.Store == nil || cfg.Log == nil || cfg.Webhook == nil || cfg.Authority == nil || cfg.Place == nil || cfg.Disable == nil || cfg.Warn == nil || cfg.Now == nil || len(cfg.Schedule) == 0 {
		return nil, errors.New("webhooks: incomplete configuration")
	}
	return &Dispatcher{cfg, cfg.Store, newGuard(cfg.Private).client(perEndpoint, cfg.Resolver), semaphore.NewWeighted(cfg.Shared)}, nil
}

// Run delivers until ctx ends; then it returns nil. The log or the database being away is
// waited out.
func (d *Dispatcher) Run(ctx context.Context) error {
	failing := false
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		began := d.cfg.Now()
		err := d.lead(ctx)
		if ctx.Err() == nil && err != nil && !failing {
			d.cfg.Logger.WarnContext(ctx, "webhooks wait", "err", plain(err))
		}
		failing = err != nil
		if d.cfg.Now().Sub(began) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)): //nolint:gosec // jitter
		case <-ctx.Done():
		}
	}
	return nil
}

// lead is a Dispatcher while it is the one that delivers.
type lead struct {
	*Dispatcher
	epoch   int64
	cancel  context.CancelCauseFunc
	window  *feed.Window
	commits chan commit
	noting  context.Context //nolint:containedctx // ends when nothing is noted any more
	owners  memory[owner, domain.Authority]
	places  places

	endpoints map[domain.ID]*attended
}

// attended is an endpoint with the runs that lead to it.
type attended struct {
	*endpoint
	revision eventlog.Revision
	runs     map[domain.ID]*tour
	acting   bool // it is being disabled, or its owner told
	acted    time.Time
	mu       sync.Mutex // of acting and acted
}

// tour is a courier under way.
type tour struct {
	stop    chan struct{}
	stopped bool
	done    chan struct{}
	asked   chan *item
}

func (t *tour) end() {
	if !t.stopped {
		t.stopped = true
		close(t.stop)
	}
}

func (d *Dispatcher) lead(ctx context.Context) error {
	ctx, release, err := lease.Take(ctx, d.store.db.Config().ConnConfig, "webhooks")
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &lead{Dispatcher: d, cancel: cancel, commits: make(chan commit), endpoints: map[domain.ID]*attended{}}
	if err := d.store.db.QueryRow(ctx, `update annals_webhooks.holder set epoch = epoch + 1 returning epoch`).Scan(&l.epoch); err != nil {
		return fmt.Errorf("take over webhooks: %w", err)
	}
	head, err := d.cfg.Log.Head(ctx)
	if err != nil {
		return err
	}
	l.window = feed.NewWindow(head)
	l.places.begin(head)
	// What ends the couriers must not end the noting of what they did.
	noting, stopNoting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNoting()
	l.noting = noting
	var writers, readers sync.WaitGroup
	writers.Go(func() { l.committer(noting) })
	readers.Go(func() { cancel(l.follow(ctx)) })
	err = l.attend(ctx)
	cancel(err)
	stopped := time.AfterFunc(2*grace, stopNoting) // the database may be away
	for _, e := range l.endpoints {
		for _, t := range e.runs {
			<-t.done
		}
	}
	stopped.Stop()
	stopNoting()
	writers.Wait()
	readers.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// attend has each webhook that is active delivered, until ctx ends.
func (l *lead) attend(ctx context.Context) error {
	for {
		if err := l.look(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(l.cfg.Look):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

type endpointRow struct {
	ID              uuid.UUID
	OwnerID         uuid.UUID
	KeyID           *uuid.UUID
	Status          string
	Revision        int64
	LastDeliveredAt *time.Time
	FailingSince    *time.Time
	WarnedAt        *time.Time
}

// look brings what is under way in line with which webhooks there are.
func (l *lead) look(ctx context.Context) error {
	rows, err := l.store.db.Query(ctx, `select id, owner_id, key_id, status, revision, last_delivered_at, failing_since, warned_at from annals_webhooks.endpoints`)
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[endpointRow])
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	there := map[domain.ID]bool{}
	for _, row := range all {
		e := l.endpoints[row.ID]
		if row.Status != string(webhook.Active) {
			continue
		}
		there[row.ID] = true
		if e == nil || e.revision != eventlog.Revision(row.Revision) {
			if e, err = l.meet(ctx, e, row); err != nil {
				l.cfg.Logger.WarnContext(ctx, "webhook cannot be read", "webhook", row.ID.String(), "err", plain(err))
				continue
			}
		}
		l.judge(ctx, e, row)
	}
	for id, e := range l.endpoints {
		if !there[id] && e.end() {
			delete(l.endpoints, id)
		}
	}
	if err := l.tours(ctx); err != nil {
		return err
	}
	return l.askedFor(ctx)
}

// meet begins to attend an endpoint, or takes note that its webhook is another.
func (l *lead) meet(ctx context.Context, e *attended, row endpointRow) (*attended, error) {
	s, err := l.cfg.Webhook(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	if e == nil {
		e = &attended{endpoint: &endpoint{id: row.ID, owner: owner{employee: row.OwnerID}, store: l.store, probe: l.cfg.Probe, failing: row.FailingSince}, runs: map[domain.ID]*tour{}}
		if row.KeyID != nil {
			e.owner.key = *row.KeyID
		}
		if row.LastDeliveredAt != nil {
			e.accepted = *row.LastDeliveredAt
		}
		l.endpoints[row.ID] = e
	}
	if old := e.def.Load(); old != nil && old.Order != s.Order {
		for _, t := range e.runs { // they begin anew with the other order
			t.end()
		}
	}
	e.def.Store(&s.Definition)
	e.begin(row.FailingSince)
	e.revision = eventlog.Revision(row.Revision)
	return e, nil
}

// end has the runs of an endpoint end, and says whether they have.
func (e *attended) end() bool {
	for id, t := range e.runs {
		t.end()
		select {
		case <-t.done:
			delete(e.runs, id)
		default:
		}
	}
	return len(e.runs) == 0
}

// judge warns the owner of an endpoint that only fails, and disables it after that.
func (l *lead) judge(ctx context.Context, e *attended, row endpointRow) {
	gone, failing := e.verdict()
	now := l.cfg.Now()
	var act func(context.Context) error
	switch {
	case gone:
		act = func(ctx context.Context) error { return l.cfg.Disable(ctx, e.id, webhook.Gone, now) }
	case failing == nil:
		return
	case now.Sub(*failing) >= l.cfg.Most && row.WarnedAt != nil:
		act = func(ctx context.Context) error { return l.cfg.Disable(ctx, e.id, webhook.Failing, *failing) }
	case now.Sub(*failing) >= l.cfg.Warning && row.WarnedAt == nil:
		act = func(ctx context.Context) error { return l.warn(ctx, e, *failing) }
	default:
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.acting || now.Sub(e.acted) < time.Second {
		return
	}
	e.acting, e.acted = true, now
	go func() {
		err := act(ctx)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.WarnContext(ctx, "webhook that fails cannot be dealt with yet", "webhook", e.id.String(), "err", plain(err))
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.acting = false
	}()
}

// warn tells the owner, once.
func (l *lead) warn(ctx context.Context, e *attended, since time.Time) error {
	return pgx.BeginFunc(ctx, l.store.db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update annals_webhooks.endpoints set warned_at = $2 where id = $1 and warned_at is null and failing_since is not null`, e.id, l.cfg.Now())
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return l.cfg.Warn(ctx, tx, e.id, e.owner.employee, since)
	})
}
