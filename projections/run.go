package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/internal/eventlog"
	"annals/internal/feed"
)

// Runner keeps the read models up to date. Any number of processes may run one on
// the same database: each projector works in one of them at a time, and another
// takes over within seconds.
type Runner struct {
	cfg     Config
	metrics *metrics

	mu     sync.Mutex
	engine *engine
	states map[string]*state // by projector
	start  *eventlog.Position
}

// state is what a Runner knows of a projector.
type state struct {
	caughtUp bool  // since the start
	runs     int   // applied
	err      error // why the last attempt at something failed
}

// NewRunner returns a Runner; nothing happens before [Runner.Run].
func NewRunner(cfg Config) *Runner {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Projectors == nil {
		cfg.Projectors = All
	}
	r := &Runner{cfg: cfg, states: map[string]*state{}}
	r.metrics = newMetrics(r)
	for _, p := range cfg.Projectors {
		r.states[p.Name] = &state{}
	}
	return r
}

// Run follows the log until ctx ends; then it returns nil. The log or the database
// being away is waited out. An error is one that waiting does not mend: a database
// that must not be used like this.
func (r *Runner) Run(ctx context.Context) error {
	e, err := r.connect(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer e.pool.Close()
	var wg sync.WaitGroup
	wg.Go(func() { r.readStart(ctx) })
	for _, p := range r.cfg.Projectors {
		wg.Go(func() { r.keep(ctx, e, p) })
		if p.Name == clients.Name {
			wg.Go(func() { r.keepSorts(ctx, e) })
		}
	}
	wg.Wait()
	return nil
}

func (r *Runner) connect(ctx context.Context) (*engine, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		e, err := open(ctx, r.cfg)
		if err == nil {
			e.failed = r.failed
			r.mu.Lock()
			r.engine = e
			r.mu.Unlock()
			return e, nil
		}
		// Only PostgreSQL's own refusals, of what was asked and not of the moment, are final.
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && !transient(ctx, pg) || r.cfg.Database == "" {
			return nil, err
		}
		r.cfg.Logger.WarnContext(ctx, "projections wait for the database", "err", err)
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// readStart notes where the log ends as the Runner starts.
func (r *Runner) readStart(ctx context.Context) {
	for {
		head, err := r.cfg.Log.Head(ctx)
		if err == nil {
			r.mu.Lock()
			r.start = &head
			r.mu.Unlock()
			return
		}
		if pause(ctx, time.Second) != nil {
			return
		}
	}
}

// keep has the projector work whenever nobody else has it work.
func (r *Runner) keep(ctx context.Context, e *engine, p *Projector) {
	const short = 100 * time.Millisecond
	for wait := short; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		before := r.progress(p)
		err := r.lead(ctx, e, p)
		if ctx.Err() != nil {
			return
		}
		r.failed(ctx, p, err)
		if r.progress(p) != before || errors.Is(err, ErrFenced) {
			wait = short
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

func (r *Runner) progress(p *Projector) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[p.Name].runs
}

var errSuperseded = errors.New("a later version is in use: this program must be updated, or rebuild the read model to go back")

// lead takes the projector's lease, brings its version about if need be, and
// follows the log until something breaks.
func (r *Runner) lead(ctx context.Context, e *engine, p *Projector) error {
	a, err := e.active(ctx, p.Name)
	if err != nil {
		return err
	}
	if a.Version > p.Version {
		return fmt.Errorf("%s: version %d is wanted and %d in use: %w", p.Name, p.Version, a.Version, errSuperseded)
	}
	ctx, release, err := e.lease(ctx, p.Schema(), true)
	if err != nil {
		return err
	}
	defer release()
	if a, err = e.active(ctx, p.Name); err != nil {
		return err
	}
	if a.Version < p.Version {
		if err := e.build(ctx, p); err != nil {
			return err
		}
		if a, err = e.active(ctx, p.Name); err != nil {
			return err
		}
	}
	if a.Version != p.Version {
		return errSuperseded
	}
	return r.follow(ctx, e, p, a.Schema)
}

// follow applies what is new in the log as it comes, as a handler of a Watermill
// router: one of its own, since a router outlives handlers whose channel closed.
func (r *Runner) follow(ctx context.Context, e *engine, p *Projector, schema string) error {
	t, err := e.tables(ctx, p, schema, live)
	if err != nil {
		return err
	}
	defer t.db.Close()
	ctx, step := context.WithCancelCause(ctx)
	defer step(nil)
	sub := feed.New(feed.Config{
		Source: p.source(e.Log),
		Failed: func(ctx context.Context, err error) { r.failed(ctx, p, err) },
		Start: func(ctx context.Context, _ string) (eventlog.Position, error) {
			err := t.load(ctx)
			if errors.Is(err, ErrFenced) {
				step(err)
			}
			if err != nil {
				return t.at, err
			}
			foreign, err := e.foreign(ctx, e.pool, schema)
			if foreign {
				err = errForeign
			}
			return t.at, err
		},
	})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	router.AddConsumerHandler(p.Name, p.Name, sub, func(msg *message.Message) error {
		run := feed.RunOf(msg)
		err := t.apply(msg.Context(), run) //nolint:contextcheck // a message brings its own
		switch {
		case err == nil:
			r.applied(p, run)
		case errors.Is(err, ErrFenced):
			step(err)
		case msg.Context().Err() == nil:
			r.failed(ctx, p, err)
		}
		return err
	})
	var janitor sync.WaitGroup
	janitor.Go(func() { e.clean(ctx, p) })
	err = router.Run(ctx)
	step(errors.New("the router stopped"))
	janitor.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// clean drops what was replaced or left behind, while ctx lasts.
func (e *engine) clean(ctx context.Context, p *Projector) {
	for {
		if err := errors.Join(e.sweep(ctx, p, retired), e.leftovers(ctx, p)); err != nil && ctx.Err() == nil {
			e.Logger.WarnContext(ctx, "old read models stay", "projector", p.Name, "err", err)
		}
		if pause(ctx, e.Grace) != nil {
			return
		}
	}
}

func (r *Runner) applied(p *Projector, run feed.Run) {
	r.metrics.events.WithLabelValues(p.Name).Add(float64(len(run.Records)))
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[p.Name]
	s.runs++
	s.err, s.caughtUp = nil, s.caughtUp || run.Live
}

// failed tells of what went wrong: here, in the log and, where others see it, in
// the database. What only goes on is told once.
func (r *Runner) failed(ctx context.Context, p *Projector, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	text := explain(err)
	r.mu.Lock()
	s := r.states[p.Name]
	again := s.err != nil && explain(s.err) == text
	s.err = err
	e := r.engine
	r.mu.Unlock()
	switch {
	case errors.Is(err, ErrFenced):
		r.cfg.Logger.InfoContext(ctx, "projector steps down", "projector", p.Name, "err", text)
		return
	case again:
		r.cfg.Logger.DebugContext(ctx, "projector failed again", "projector", p.Name, "err", text)
	default:
		r.cfg.Logger.WarnContext(ctx, "projector failed", "projector", p.Name, "err", text)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, _ = e.pool.Exec(ctx, `insert into annals_projections.failures (projector, error) values ($1, $2)
		on conflict (projector) do update set error = $2, at = now()`, p.Name, text) // the log has it too
}

// Ready is nil once every read model has caught up with what was in the log as the
// Runner started, here or in another process, and while none is failing. Otherwise
// it says what is missing.
func (r *Runner) Ready(ctx context.Context) error {
	r.mu.Lock()
	e, start := r.engine, r.start
	var behind []string
	var errs []error
	for name, s := range r.states {
		if !s.caughtUp {
			behind = append(behind, name)
		}
		if s.err != nil && !errors.Is(s.err, errSuperseded) { // then another process sees to it
			errs = append(errs, fmt.Errorf("projector %s: %w", name, s.err))
		}
	}
	r.mu.Unlock()
	slices.Sort(behind)
	for _, name := range behind {
		reached, err := r.reached(ctx, e, name, start)
		if err == nil && !reached {
			err = fmt.Errorf("projector %s has not caught up", name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.mu.Lock()
		r.states[name].caughtUp = true
		r.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (r *Runner) reached(ctx context.Context, e *engine, name string, start *eventlog.Position) (bool, error) {
	if e == nil || start == nil {
		return false, nil
	}
	p, err := find(r.cfg.Projectors, name)
	if err != nil {
		return false, err
	}
	var reached bool
	err = e.pool.QueryRow(ctx, `select count(*) > 0 from annals_projections.active a join annals_projections.checkpoints c using (schema)
		where a.projector = $1 and a.version >= $2 and (c.commit, c.prepare) >= ($3, $4)`, name, p.Version, start.Commit, start.Prepare).Scan(&reached)
	if err != nil {
		return false, fmt.Errorf("projector %s: %w", name, err)
	}
	return reached, nil
}

// pause waits for between half of d and all of it.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1)) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
