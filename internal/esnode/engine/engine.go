// Package engine keeps an event log in one PostgreSQL table.
//
// One goroutine writes: it takes the appends that wait, decides each against the state of its stream, inserts the
// accepted ones in one transaction and answers after the commit. So an acknowledged event is as durable as PostgreSQL
// makes a commit, positions are in commit order, and a reader never meets a gap that is filled later. The connection
// that writes holds a session-level advisory lock, so that no two processes write one log.
//
// The rules of idempotency, expected revisions, metadata and deletion are those of the EventStoreDB gRPC protocol;
// the package itself knows nothing of gRPC. TestDecisionTable and TestLinearizable hold the rules,
// TestNothingAcknowledgedIsLost the durability.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say where the log is and how the engine behaves. Only Database is required.
type Options struct {
	// Database is a postgres:// URL. The log lives in its schema annals_log.
	Database string
	// Logger takes what an operator should know. The default discards it.
	Logger *slog.Logger
	// LockWait is how long Open waits for another holder of the log to leave. The default is 3 s.
	LockWait time.Duration
	// TailBytes and TailEvents bound the latest events kept in memory for live subscribers.
	// The defaults are 32 MiB and 16,384.
	TailBytes, TailEvents int
	// Heads is how many streams' last revisions are kept in memory. The default is 200,000.
	Heads int
	// VacuumDelay is how long after a tombstone its rows' space is given back. The default is 1 s.
	VacuumDelay time.Duration
	// Now is the clock that dates events. The default is time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LockWait == 0 {
		o.LockWait = 3 * time.Second
	}
	if o.TailBytes == 0 {
		o.TailBytes = 32 << 20
	}
	if o.TailEvents == 0 {
		o.TailEvents = 16384
	}
	if o.Heads == 0 {
		o.Heads = 200_000
	}
	if o.VacuumDelay == 0 {
		o.VacuumDelay = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the log's clock enters here
	}
}

// Engine is an open log. Its methods may be called from any number of goroutines.
type Engine struct {
	opts  Options
	pool  *pgxpool.Pool
	heads *lru.Cache[string, head]
	tail  *tail
	w     *writer

	stop    context.CancelFunc // ends every background goroutine
	done    sync.WaitGroup
	closed  chan struct{}
	closing sync.Once
	health  atomic.Pointer[error]
	vacuum  chan string // the transaction that erased something last
}

// Open opens the log in o.Database, creating its table when there is none, and takes the writer's lock. While
// PostgreSQL is starting it tries again until ctx ends. It fails with ErrLocked when another process holds the log.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o.setDefaults()
	cfg, err := pgxpool.ParseConfig(o.Database)
	if err != nil {
		return nil, fmt.Errorf("parse the log's database URL: %w", err)
	}
	writerCfg := cfg.ConnConfig.Copy()
	cfg.MaxConns = max(cfg.MaxConns, 8)
	cfg.MaxConnIdleTime = time.Minute
	setParam(cfg.ConnConfig, "application_name", "annals log reader")
	setParam(cfg.ConnConfig, "jit", "off") // compiling a page's plan costs more than running it

	e := &Engine{opts: o, closed: make(chan struct{}), vacuum: make(chan string, 1)}
	e.tail = newTail(o.TailEvents, o.TailBytes)
	if e.heads, err = lru.New[string, head](o.Heads); err != nil {
		return nil, fmt.Errorf("head cache: %w", err)
	}
	if e.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("reader pool: %w", err)
	}
	e.w = newWriter(e, writerCfg)
	if err := e.w.open(ctx); err != nil {
		e.pool.Close()
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx)) // the engine outlives its opening
	e.stop = stop
	e.done.Go(func() { e.w.run(run) })
	e.done.Go(func() { e.vacuumLoop(run) })
	return e, nil
}

func setParam(c *pgx.ConnConfig, key, value string) {
	if c.RuntimeParams == nil {
		c.RuntimeParams = map[string]string{}
	}
	c.RuntimeParams[key] = value
}

// Close stops writing, ends every subscription and releases the lock. Appends already taken are finished first,
// bounded by ctx.
func (e *Engine) Close(ctx context.Context) error {
	e.closing.Do(func() {
		close(e.closed)
		e.stop()
	})
	finished := make(chan struct{})
	go func() {
		e.done.Wait()
		e.pool.Close()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the log: %w", ctx.Err())
	}
}

// Err is nil while the log can be written, and says why not otherwise.
func (e *Engine) Err() error {
	if p := e.health.Load(); p != nil {
		return *p
	}
	return nil
}

func (e *Engine) setHealth(err error) {
	if err == nil {
		e.health.Store(nil)
		return
	}
	e.health.Store(&err)
}

// Head is the position of the last committed event, 0 when there is none.
func (e *Engine) Head() uint64 { return e.tail.head() }

// Pending is a write that the engine has accepted for decision.
type Pending struct {
	e *Engine
	r *request
}

// submit queues a request. It waits for room in the queue as long as the request's context lives.
func (e *Engine) submit(r *request) (*Pending, error) {
	if e.isClosed() {
		return nil, ErrClosed
	}
	r.reply = make(chan outcome, 1)
	select {
	case e.w.in <- r:
		return &Pending{e, r}, nil
	case <-r.ctx.Done():
		return nil, e.notTaken(r.ctx)
	case <-e.closed:
		return nil, ErrClosed
	}
}

// Wait waits for the outcome. When the write's context ends before the writer has taken it, nothing is written, and the
// error is ErrUnavailable (the log cannot be written) or ErrTimeout. When it ends later the outcome is unknown, and the
// error is ErrTimeout.
func (p *Pending) Wait() (Result, error) {
	select {
	case o := <-p.r.reply:
		return o.result, o.err
	case <-p.r.ctx.Done():
		if p.r.state.CompareAndSwap(waiting, abandoned) {
			return Result{}, p.e.notTaken(p.r.ctx)
		}
		return Result{}, fmt.Errorf("%w: the outcome is unknown: %w", ErrTimeout, context.Cause(p.r.ctx))
	case <-p.e.w.stopped:
		select {
		case o := <-p.r.reply:
			return o.result, o.err
		default:
			return Result{}, ErrClosed
		}
	}
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

func (e *Engine) notTaken(ctx context.Context) error {
	if err := e.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: not written: %w", ErrTimeout, context.Cause(ctx))
}

// Kinds of error, for errors.Is. WrongRevisionError and DeletedError are found with errors.As.
var (
	// ErrClosed reports a call on an engine that is closed or closing.
	ErrClosed = errors.New("the log is closed")
	// ErrUnavailable reports that PostgreSQL cannot be reached. Nothing was written.
	ErrUnavailable = errors.New("the log is unavailable")
	// ErrTimeout reports that no answer came in time. The event may have been written or not, and may still be.
	ErrTimeout = errors.New("the log did not answer in time")
	// ErrInvalid reports an argument that no log can take.
	ErrInvalid = errors.New("invalid argument")
	// ErrLocked reports that another process holds the log.
	ErrLocked = errors.New("the log is held by another process")
)

// WrongRevisionError reports that a stream was not at the expected revision. Nothing was written.
type WrongRevisionError struct {
	Stream   string
	Expected Expected
	Actual   int64 // last revision, -1 for none
}

func (e *WrongRevisionError) Error() string {
	return fmt.Sprintf("stream %s is at revision %d, expected %s", e.Stream, e.Actual, e.Expected)
}

// DeletedError reports a stream that is tombstoned, or soft-deleted where the caller demanded that it exists.
type DeletedError struct{ Stream string }

func (e *DeletedError) Error() string { return "stream " + e.Stream + " is deleted" }
