package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

const (
	// completed is how long a job's row stays after its end; whoever needs to know
	// longer has a table of their own.
	completed = 24 * time.Hour
	failed    = 7 * 24 * time.Hour

	// fetch is how often a queue is looked at while there is something in it: the number
	// of workers by this is the most that a process does. River's default is ten times as
	// long, which would hold quick jobs up.
	fetch = 10 * time.Millisecond

	firstWait, lastWait = time.Second, 30 * time.Second
)

// Run works on jobs until ctx ends, and then lets those that run end, for as long as
// the configured grace: after at most that and five seconds it returns. It is called
// once. What ends it earlier is a bug, not an outage: those it waits out.
func (j *Jobs) Run(ctx context.Context) error {
	j.mu.Lock()
	again, queues, periodic := j.running, maps.Clone(j.queues), slices.Clone(j.periodic)
	j.running = true
	j.mu.Unlock()
	if again || len(queues) == 0 {
		return errors.New("jobs: run twice, or without a kind of job")
	}
	// Connections of its own: jobs that wait must not keep requests waiting.
	conf := j.pool.Config()
	conf.MinConns, conf.MinIdleConns = 0, 0
	conf.MaxConns = int32(min(4+len(queues), 16))
	conf.ConnConfig.RuntimeParams["application_name"] = "annals jobs"
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), conf) // it is needed until after ctx
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	client, err := j.start(ctx, pool, queues, periodic)
	if err != nil || client == nil {
		pool.Close()
		return err
	}
	<-ctx.Done()
	select {
	case <-client.Stopped():
		pool.Close()
		return nil
	case <-time.After(j.cfg.Grace + 5*time.Second):
		return errors.New("jobs: some did not end in time") // and hold on to the pool
	}
}

// start answers nil when ctx ended before PostgreSQL could be reached.
func (j *Jobs) start(ctx context.Context, pool *pgxpool.Pool, queues map[string]river.QueueConfig, periodic []*river.PeriodicJob) (*river.Client[pgx.Tx], error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
			Schema: Schema, Logger: quiet(j.cfg.Logger), ErrorHandler: failures{j.cfg.Logger},
			Workers: j.workers, Queues: queues, PeriodicJobs: periodic,
			JobTimeout: min(time.Minute, j.cfg.Rescue), // every kind has its own
			// Kinds with a longer timeout are left alone until that.
			RescueStuckJobsAfter:        j.cfg.Rescue,
			SoftStopTimeout:             j.cfg.Grace,
			CompletedJobRetentionPeriod: completed, CancelledJobRetentionPeriod: failed, DiscardedJobRetentionPeriod: failed,
			FetchCooldown:       fetch,
			FetchOnlyKnownKinds: true, // a newer process may have inserted others
		})
		if err != nil {
			return nil, fmt.Errorf("jobs: %w", err)
		}
		if err = client.Start(ctx); err == nil {
			return client, nil
		}
		if ctx.Err() == nil {
			j.cfg.Logger.WarnContext(ctx, "jobs: cannot start yet", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(wait):
		}
	}
}

// failures logs what jobs answered.
type failures struct{ log *slog.Logger }

func (f failures) HandleError(ctx context.Context, row *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	if p, ok := errors.AsType[*panicked](err); ok {
		f.log.ErrorContext(ctx, "job: panicked", about(row), slog.Any("error", err), slog.String("trace", string(p.trace)))
		return nil
	}
	if row.Attempt >= row.MaxAttempts {
		f.log.ErrorContext(ctx, "job: given up", about(row), slog.Any("error", err))
	} else {
		f.log.WarnContext(ctx, "job: failed, will be tried again", about(row), slog.Any("error", err))
	}
	return nil
}

func (f failures) HandlePanic(ctx context.Context, row *rivertype.JobRow, _ any, trace string) *river.ErrorHandlerResult {
	f.log.ErrorContext(ctx, "job: panicked", about(row), slog.String("trace", trace))
	return nil
}

func about(row *rivertype.JobRow) slog.Attr {
	return slog.Group("job", slog.String("kind", row.Kind), slog.Int64("id", row.ID), slog.Int("attempt", row.Attempt))
}

// quiet keeps River's own log to what somebody has to know.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(attrs)}
}
func (h warnings) WithGroup(name string) slog.Handler { return warnings{h.Handler.WithGroup(name)} }
