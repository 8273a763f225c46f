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

// run is a way through the log, as it was when it was last noted.
type run struct {
	id    domain.ID
	at    eventlog.Position
	until *eventlog.Position
	since *time.Time
	end   *time.Time
	over  bool // it has been read to its end

	items []*item            // that wait
	known map[uuid.UUID]bool // deliveries of what comes after the position, which are not to be begun again
	dues  map[uuid.UUID]time.Time
	lasts map[domain.ID]eventlog.Position
	asked chan *item
}

// tours starts couriers for the runs that have none.
func (l *lead) tours(ctx context.Context) error {
	rows, err := l.store.db.Query(ctx, `select r.id, r.webhook_id, r.commit, r.prepare, r.until_commit, r.until_prepare, r.since, r.before, r.ended_at is not null
		from annals_webhooks.runs r join annals_webhooks.endpoints e on e.id = r.webhook_id
		where e.status = 'active' and (r.ended_at is null
			or exists (select from annals_webhooks.deliveries d where d.run_id = r.id and d.state = 'waiting' and d.lane <> d.id))`)
	if err != nil {
		return fmt.Errorf("runs of webhooks: %w", err)
	}
	type found struct {
		run
		webhook domain.ID
	}
	var all []found
	var one found
	var commit, prepare *uint64
	_, err = pgx.ForEachRow(rows, []any{&one.id, &one.webhook, &one.at.Commit, &one.at.Prepare, &commit, &prepare, &one.since, &one.end, &one.over}, func() error {
		r := one
		if r.until = nil; commit != nil && prepare != nil {
			r.until = &eventlog.Position{Commit: *commit, Prepare: *prepare}
		}
		all = append(all, r)
		one = found{}
		return nil
	})
	if err != nil {
		return fmt.Errorf("runs of webhooks: %w", err)
	}
	for _, r := range all {
		e := l.endpoints[r.webhook]
		if e == nil {
			continue
		}
		if t := e.runs[r.id]; t != nil {
			select {
			case <-t.done: // it has ended, and the next look starts what is left
				delete(e.runs, r.id)
			default:
			}
			continue
		}
		if err := l.depart(ctx, e, r.run); err != nil {
			return err
		}
	}
	return nil
}

// depart starts a courier.
func (l *lead) depart(ctx context.Context, e *attended, r run) error {
	if err := l.waiting(ctx, e.id, &r); err != nil {
		return err
	}
	t := &tour{stop: make(chan struct{}), done: make(chan struct{}), asked: make(chan *item, 64)}
	r.asked = t.asked
	c := &courier{lead: l, ep: e.endpoint, run: r, dirty: newChanges(), ended: r.over}
	e.runs[r.id] = t
	go func() {
		defer close(t.done)
		c.deliver(ctx, t.stop)
	}()
	return nil
}

const itemColumns = `id, lane, commit, prepare, stream, revision, event_id, type, client_id, event_at, attempts, tries, first_at, due_at`

// waiting loads what waits of a run; what somebody wants to have again goes with the
// webhook's own.
func (l *lead) waiting(ctx context.Context, webhook domain.ID, r *run) error {
	rows, err := l.store.db.Query(ctx, `select `+itemColumns+` from annals_webhooks.deliveries where webhook_id = $1 and state = 'waiting'
		and (run_id = $2 and lane <> id or $1 = $2 and lane = id) order by commit, prepare`, webhook, r.id)
	if err != nil {
		return fmt.Errorf("waiting deliveries: %w", err)
	}
	if r.items, r.dues, err = scanItems(rows, webhook); err != nil {
		return fmt.Errorf("waiting deliveries: %w", err)
	}
	var lanes []domain.ID
	for _, it := range r.items {
		if it.asked = it.lane == it.id; !it.asked {
			lanes = append(lanes, it.lane)
		}
	}
	if r.lasts, err = l.lastOf(ctx, r.id, lanes); err != nil {
		return err
	}
	rows, err = l.store.db.Query(ctx, `select id from annals_webhooks.deliveries where run_id = $1 and (commit, prepare) > ($2, $3)`, r.id, r.at.Commit, r.at.Prepare)
	if err != nil {
		return fmt.Errorf("known deliveries: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("known deliveries: %w", err)
	}
	r.known = map[uuid.UUID]bool{}
	for _, id := range ids {
		r.known[id] = true
	}
	return nil
}

func scanItems(rows pgx.Rows, webhook domain.ID) (all []*item, dues map[uuid.UUID]time.Time, err error) {
	dues = map[uuid.UUID]time.Time{}
	var it item
	var client *uuid.UUID
	var first, due *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&it.id, &it.lane, &it.position.Commit, &it.position.Prepare, &it.stream, &it.revision, &it.event, &it.typ, &client, &it.at,
		&it.attempts, &it.tries, &first, &due,
	}, func() error {
		one := it
		one.aside, one.message = true, deliveryID(webhook, it.event)
		if client != nil {
			one.client = *client
		}
		if first != nil {
			one.first = *first
		}
		if due != nil {
			dues[it.id] = *due
		}
		all = append(all, &one)
		return nil
	})
	return all, dues, err
}

// lastOf is where lanes have got to.
func (l *lead) lastOf(ctx context.Context, run domain.ID, lanes []domain.ID) (map[domain.ID]eventlog.Position, error) {
	out := map[domain.ID]eventlog.Position{}
	if len(lanes) == 0 {
		return out, nil
	}
	rows, err := l.store.db.Query(ctx, `select lane, commit, prepare from annals_webhooks.lanes where run_id = $1 and lane = any($2)`, run, lanes)
	if err != nil {
		return nil, fmt.Errorf("lanes of webhooks: %w", err)
	}
	var id domain.ID
	var at eventlog.Position
	if _, err := pgx.ForEachRow(rows, []any{&id, &at.Commit, &at.Prepare}, func() error { out[id] = at; return nil }); err != nil {
		return nil, fmt.Errorf("lanes of webhooks: %w", err)
	}
	return out, nil
}

// askedFor has sent what somebody wants to be sent now.
func (l *lead) askedFor(ctx context.Context) error {
	for id, e := range l.endpoints {
		if len(e.runs) == 0 {
			continue
		}
		rows, err := l.store.db.Query(ctx, `with asked as (
				update annals_webhooks.deliveries set asked = false where webhook_id = $1 and asked and state = 'waiting' returning run_id, `+itemColumns+`)
			select `+itemColumns+`, run_id from asked`, id)
		if err != nil {
			return fmt.Errorf("deliveries asked for: %w", err)
		}
		if err := l.hand(e, rows); err != nil {
			return err
		}
	}
	return nil
}

// hand gives what was asked for to the courier that has it.
func (l *lead) hand(e *attended, rows pgx.Rows) error {
	var it item
	var run domain.ID
	var client *uuid.UUID
	var first, due *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&it.id, &it.lane, &it.position.Commit, &it.position.Prepare, &it.stream, &it.revision, &it.event, &it.typ, &client, &it.at,
		&it.attempts, &it.tries, &first, &due, &run,
	}, func() error {
		one := it
		one.aside, one.message = true, deliveryID(e.id, it.event)
		if client != nil {
			one.client = *client
		}
		if one.lane == one.id {
			run = e.id
		}
		if t := e.runs[run]; t != nil {
			select {
			case t.asked <- &one:
			default: // so many at once: those are due, and sent when the run begins anew
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deliveries asked for: %w", err)
	}
	return nil
}
