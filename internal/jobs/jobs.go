// Package jobs does work that must not be lost, and that nobody waits for: jobs
// are rows of PostgreSQL, in a schema of their own, inserted in the transaction
// that makes them necessary and worked on by any process that runs workers. It is
// River (riverqueue.com), with the settings that keep its promises.
//
// A job runs at least once: again after a failure, a process that was killed, or
// one that seemed so. What it writes to the same database it can write exactly
// once, by completing in the transaction that writes it: see [Job.Complete].
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// Schema is where the jobs are in PostgreSQL.
const Schema = "annals_jobs"

// Args is what a job is told, stored as JSON until a day after it completed: ids,
// rather than what is secret or about a person. Its Kind names the kind of job,
// and is never changed.
type Args interface{ Kind() string }

// Config is what [Open] needs.
type Config struct {
	Logger *slog.Logger
	Now    func() time.Time

	// Rescue is how long after it began a job is given to another worker, because the
	// process that ran it must be dead; a job whose kind has a timeout within 10
	// seconds of that, or longer, is given away 10 seconds after its timeout. The
	// default is 90 seconds. Half a minute may pass until somebody looks.
	Rescue time.Duration

	// Grace is how long Run lets jobs end when it is told to stop. Then their contexts
	// are cancelled, and they run again later. The default is 10 seconds.
	Grace time.Duration
}

// Jobs is the queue.
type Jobs struct {
	cfg     Config
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx] // inserts only
	workers *river.Workers

	mu       sync.RWMutex // of what follows
	running  bool
	insert   map[string]river.InsertOpts // by kind
	queues   map[string]river.QueueConfig
	periodic []*river.PeriodicJob
}

// Open returns the queue in pool's database, and creates or migrates what it needs
// there; several processes may do so at once. It runs no workers.
func Open(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Jobs, error) {
	if cfg.Rescue == 0 {
		cfg.Rescue = 90 * time.Second
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Rescue < 0 || cfg.Grace < 0 || cfg.Now == nil || cfg.Logger == nil {
		return nil, errors.New("jobs: incomplete configuration")
	}
	if err := migrate(ctx, pool, cfg.Logger); err != nil {
		return nil, fmt.Errorf("schema of jobs: %w", err)
	}
	j := &Jobs{
		cfg: cfg, pool: pool, workers: river.NewWorkers(),
		insert: map[string]river.InsertOpts{}, queues: map[string]river.QueueConfig{},
	}
	var err error
	j.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: Schema, Logger: quiet(cfg.Logger), FetchCooldown: fetch})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return j, nil
}

// Kind is one kind of job, and how it is worked on.
type Kind[A Args] struct {
	// Work does the job. An error has it tried again, see [Again] and [Never]; it is
	// stored and logged, so it holds nothing secret. It must end soon after ctx, which
	// ends with the timeout, and when Run is told to stop and the time of grace is over.
	Work func(ctx context.Context, job *Job[A]) error

	// Workers is how many run at once in a process. Each kind has its own, so that one
	// that is slow keeps no other waiting. The default is 4.
	Workers int

	// Timeout ends the context of Work; the default is a minute.
	Timeout time.Duration

	// Attempts is how often a job is tried before it is given up and logged as such; the
	// default is 25.
	Attempts int

	// Retry says how long to wait after the n-th failure, from 1 on; the default is
	// Backoff(time.Second, time.Hour).
	Retry func(n int) time.Duration

	// Unique has an insert do nothing while a job with the same arguments waits or runs.
	Unique bool

	// Every inserts a job without arguments again and again, one for all processes. It is
	// of whole seconds; zero inserts none.
	Every time.Duration
}

// Add makes a kind of job known. It belongs before the first Insert of that kind
// and before Run, in processes that only insert as well.
func Add[A Args](j *Jobs, k Kind[A]) error {
	var none A
	name := none.Kind()
	if k.Workers == 0 {
		k.Workers = 4
	}
	if k.Timeout == 0 {
		k.Timeout = time.Minute
	}
	if k.Attempts == 0 {
		k.Attempts = river.MaxAttemptsDefault
	}
	if k.Retry == nil {
		k.Retry = Backoff(time.Second, time.Hour)
	}
	if k.Work == nil || k.Workers < 0 || k.Timeout < 0 || k.Attempts < 0 || k.Every%time.Second != 0 || k.Every < 0 {
		return fmt.Errorf("jobs: kind %s: not a configuration", name)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running {
		return fmt.Errorf("jobs: kind %s: added while jobs are running", name)
	}
	if err := river.AddWorkerSafely(j.workers, &worker[A]{Kind: k, now: j.cfg.Now}); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	opts := river.InsertOpts{Queue: name, MaxAttempts: k.Attempts}
	if k.Unique {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}}
	}
	j.insert[name] = opts
	j.queues[name] = river.QueueConfig{MaxWorkers: k.Workers}
	if k.Every > 0 {
		opts.UniqueOpts = river.UniqueOpts{ByPeriod: k.Every} // a new leader starts to count anew
		j.periodic = append(j.periodic, river.NewPeriodicJob(river.PeriodicInterval(k.Every),
			func() (river.JobArgs, *river.InsertOpts) { return none, &opts },
			&river.PeriodicJobOpts{ID: name, RunOnStart: true}))
	}
	return nil
}

// Insert queues a job in the caller's transaction: it exists when that commits.
func (j *Jobs) Insert(ctx context.Context, tx pgx.Tx, args Args) error {
	return j.InsertAt(ctx, tx, args, time.Time{})
}

// InsertNow is [Jobs.Insert] in a transaction of its own.
func (j *Jobs) InsertNow(ctx context.Context, args Args) error {
	return pgx.BeginFunc(ctx, j.pool, func(tx pgx.Tx) error { return j.Insert(ctx, tx, args) })
}

// InsertAt is [Jobs.Insert] for a job that runs at a time, or within seconds after it.
func (j *Jobs) InsertAt(ctx context.Context, tx pgx.Tx, args Args, at time.Time) error {
	j.mu.RLock()
	opts, ok := j.insert[args.Kind()]
	j.mu.RUnlock()
	if !ok {
		return fmt.Errorf("jobs: kind %s is not known", args.Kind())
	}
	opts.ScheduledAt = at
	if _, err := j.client.InsertTx(ctx, tx, args, &opts); err != nil {
		return fmt.Errorf("insert a job of kind %s: %w", args.Kind(), err)
	}
	return nil
}

// Backoff is a schedule of retries: first, then twice as long each time, at most
// most, and each longer or shorter by up to a fifth, so that what failed together
// does not come back together.
func Backoff(first, most time.Duration) func(n int) time.Duration {
	return func(n int) time.Duration {
		wait := most
		if n = max(n, 1); n < 32 && first<<(n-1) < most && first<<(n-1)>>(n-1) == first {
			wait = first << (n - 1)
		}
		return wait*4/5 + rand.N(wait*2/5+1) //nolint:gosec // nobody gains by guessing it
	}
}
