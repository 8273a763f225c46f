package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// margin is what a job whose context ended has for ending before somebody else may
// get it.
const margin = 10 * time.Second

// Job is a job that is being worked on.
type Job[A Args] struct {
	Args    A
	Attempt int // the first is 1; times after [Again] or a stop are not counted
	row     *river.Job[A]
}

// ErrOvertaken means that the job is no longer this worker's: it took so long that
// it was given to another.
var ErrOvertaken = errors.New("the job was given to another worker")

// Complete completes the job in the transaction: when that commits, the job is done
// together with what else the transaction wrote, and when it does not commit,
// neither is. It answers [ErrOvertaken] when another worker may be at it; the
// transaction can still be committed then, for what it wrote and without the
// job's completion.
func (j *Job[A]) Complete(ctx context.Context, tx pgx.Tx) error {
	// Otherwise the attempt of another worker would be completed.
	var attempt int
	var state rivertype.JobState
	err := tx.QueryRow(ctx, `select attempt, state::text from `+Schema+`.river_job where id = $1 for update`, j.row.ID).Scan(&attempt, &state)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrOvertaken // and its worker is done since long
	case err != nil:
		return fmt.Errorf("complete a job: %w", err)
	case attempt != j.row.Attempt || state != rivertype.JobStateRunning:
		return ErrOvertaken
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, j.row); err != nil {
		return fmt.Errorf("complete a job: %w", err)
	}
	return nil
}

// Again is what Work answers to be called again after the time, without that being
// a failure: neither counted as an attempt nor logged.
func Again(after time.Duration) error { return river.JobSnooze(max(after, 0)) }

// Never is what Work answers to give the job up at once, because of err.
func Never(err error) error { return river.JobCancel(err) }

// worker is a kind as River wants it.
type worker[A Args] struct {
	river.WorkerDefaults[A]
	Kind[A]
	now func() time.Time
}

func (w *worker[A]) Work(ctx context.Context, row *river.Job[A]) (err error) {
	defer func() {
		// Before River, which would log and store the value, whatever it holds.
		if v := recover(); v != nil {
			bug, _ := v.(runtime.Error)
			err = &panicked{bug: bug, trace: debug.Stack()}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, w.Kind.Timeout)
	defer cancel()
	return w.Kind.Work(ctx, &Job[A]{Args: row.Args, Attempt: row.Attempt, row: row})
}

// panicked is what a panic becomes.
type panicked struct {
	bug   runtime.Error // nil when the value was something else
	trace []byte
}

func (p *panicked) Error() string {
	if p.bug != nil {
		return "panicked: " + p.bug.Error()
	}
	return "panicked"
}

// Timeout is also what a job's age is compared with before it is given to another
// worker.
func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return w.Kind.Timeout + margin }

func (w *worker[A]) NextRetry(row *river.Job[A]) time.Time {
	return w.now().Add(max(w.Retry(row.Attempt), time.Millisecond))
}
