package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// The states of tables.
const (
	building = "building" // being filled, not seen by anybody
	live     = "live"     // followed, and what readers see
	retired  = "retired"  // replaced, dropped soon
	shadow   = "shadow"   // filled to be compared with live ones
)

// tables are those of one version of a projector. They are used by one goroutine.
type tables struct {
	*engine
	p      *Projector
	schema string
	state  string // that they have to be in
	db     *pgxpool.Pool

	at     eventlog.Position            // everything up to here is in them
	epoch  int64                        // of the parked streams
	parked map[string]eventlog.Revision // nothing is applied from there on

	staged map[uint32]bool // connections, by process, that have the tables for updates
	streak int             // events parked since one was applied
	filled int             // events applied through this
	erased bool            // some event came whose personal fields are gone
}

// tables opens the tables in the schema, which have to be in the state. The caller
// closes db.
func (e *engine) tables(ctx context.Context, p *Projector, schema, state string) (*tables, error) {
	conf := e.conf.Copy()
	conf.MaxConns = 2
	// The search path belongs to the connection, and so does this pool to the
	// schema: a batch is prepared before any of it runs. The commit need not reach
	// the disk: checkpoint and rows are lost together, and applied again.
	maps.Copy(conf.ConnConfig.RuntimeParams, byKey)
	maps.Copy(conf.ConnConfig.RuntimeParams, map[string]string{
		"search_path": e.searchPath(schema), "synchronous_commit": "off", "application_name": "annals projector " + schema,
	})
	db, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("tables of %s: %w", schema, err)
	}
	t := &tables{engine: e, p: p, schema: schema, state: state, db: db}
	if err := t.load(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return t, nil
}

// load reads how far the tables are and which streams are parked.
func (t *tables) load(ctx context.Context) error {
	parked := map[string]eventlog.Revision{}
	err := pgx.BeginTxFunc(ctx, t.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `select commit, prepare, parked from annals_projections.checkpoints where schema = $1 and state = $2`,
			t.schema, t.state).Scan(&t.at.Commit, &t.at.Prepare, &t.epoch)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrFenced
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select stream, revision from annals_projections.parked where schema = $1`, t.schema)
		if err != nil {
			return err
		}
		var stream string
		var revision eventlog.Revision
		_, err = pgx.ForEachRow(rows, []any{&stream, &revision}, func() error {
			parked[stream] = revision
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("checkpoint of %s: %w", t.schema, err)
	}
	t.parked = parked
	return nil
}

// streakMost is how many events may fail one after the other before it is held to
// be no fault of theirs.
const streakMost = 100

var (
	errSystematic = errors.New("every event fails, so that the fault is not in the events")
	errForeign    = errors.New("the log ends before what the read model shows: it was built from another log, or from what the log has lost; rebuild it")
)

// foreign says whether the tables show events that the log does not have.
func (e *engine) foreign(ctx context.Context, db DB, schema string) (bool, error) {
	var last uint64
	if err := db.QueryRow(ctx, `select last_event from annals_projections.checkpoints where schema = $1`, schema).Scan(&last); err != nil {
		return false, fmt.Errorf("last event of %s: %w", schema, err)
	}
	head, err := e.Log.Head(ctx)
	if err != nil {
		return false, err
	}
	return last > head.Commit, nil
}

var errParkedElsewhere = errors.New("the parked streams have changed")

// apply commits the run with the checkpoint past it. An event that cannot be
// applied parks its stream, and everything else goes on; what else goes wrong is
// returned, and then nothing has changed that a repetition would not repair.
func (t *tables) apply(ctx context.Context, run feed.Run) error {
	if len(run.Records) == 0 && run.From == run.To {
		return nil
	}
	w, err := t.p.work(run, t.parked)
	return t.finish(ctx, run, w, err)
}

// finish commits the work that a run comes to; err is why it comes to none.
func (t *tables) finish(ctx context.Context, run feed.Run, w *work, err error) error {
	if err == nil {
		err = t.commit(ctx, run.From, run.To, w)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errParkedElsewhere):
		if err := t.load(ctx); err != nil {
			return err
		}
		return t.apply(ctx, run)
	case errors.Is(err, ErrFenced), transient(ctx, err), len(run.Records) == 0:
		return fmt.Errorf("%s at %s: %w", t.schema, run.From, err)
	case len(run.Records) == 1:
		if t.streak >= streakMost {
			return fmt.Errorf("%w: %s", errSystematic, explain(err))
		}
		rec := &run.Records[0]
		w := work{parks: []parking{{rec, err}}, last: rec.Position.Commit}
		if err := t.commit(ctx, run.From, run.To, &w); err != nil {
			return fmt.Errorf("park %s of %s: %w", rec.Stream, t.schema, err)
		}
		t.streak++
		return nil
	}
	half := len(run.Records) / 2
	middle := run.Records[half-1].Position
	if err := t.apply(ctx, feed.Run{From: run.From, To: middle, Records: run.Records[:half]}); err != nil {
		return err
	}
	return t.apply(ctx, feed.Run{From: middle, To: run.To, Records: run.Records[half:], Live: run.Live})
}

// work is what a run comes to.
type work struct {
	batch   pgx.Batch
	parks   []parking
	applied int
	erased  bool   // some event came whose personal fields are gone
	last    uint64 // commit position of the last event, applied or not
}

type parking struct {
	rec *eventlog.Record
	err error
}

// work queues the statements of the run's events, but for those of parked streams. An event
// that could not even be read parks its stream.
func (p *Projector) work(run feed.Run, parked map[string]eventlog.Revision) (*work, error) {
	w := &work{}
	for i := range run.Records {
		rec := &run.Records[i]
		w.last = rec.Position.Commit
		// What erases a person waits for nothing.
		_, erasure := rec.Event.(eventschema.KeyDestroyed)
		if from, ok := parked[rec.Stream]; ok && rec.Revision >= from && !erasure {
			continue
		}
		if rec.Err != nil {
			if len(w.parks) == 0 {
				parked = maps.Clone(parked)
			}
			parked[rec.Stream] = rec.Revision
			w.parks = append(w.parks, parking{rec, rec.Err})
			continue
		}
		if err := p.queue(&w.batch, rec); err != nil {
			return nil, err
		}
		w.applied++
		w.erased = w.erased || erasure || len(rec.Erased) > 0
	}
	return w, nil
}

// queue is Apply, with a panic made an error.
func (p *Projector) queue(b *pgx.Batch, rec *eventlog.Record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("event %d of %s: panic: %v", rec.Revision, rec.Stream, v)
		}
	}()
	p.Apply(b, rec)
	return nil
}

const (
	advance = `update annals_projections.checkpoints
		set commit = $2, prepare = $3, parked = parked + $4, events = events + $5, last_event = greatest(last_event, $10), updated_at = clock_timestamp()
		where schema = $1 and state = $6 and commit = $7 and prepare = $8 and parked = $9`
	park = `insert into annals_projections.parked (schema, stream, revision, commit, prepare, event_id, type, error)
		values ($1, $2, $3, $4, $5, $6, $7, $8)`
)

// commit does the work and moves the checkpoint, or neither.
func (t *tables) commit(ctx context.Context, from, to eventlog.Position, w *work) error {
	fenced := false
	fence := func(b *pgx.Batch) {
		b.Queue(advance, t.schema, to.Commit, to.Prepare, len(w.parks), w.applied, t.state, from.Commit, from.Prepare, t.epoch, w.last).
			Exec(func(ct pgconn.CommandTag) error {
				if fenced = ct.RowsAffected() != 1; fenced {
					return ErrFenced
				}
				return nil
			})
	}
	err := transact(ctx, t.db, func(tx pgx.Tx) error {
		var b pgx.Batch
		fence(&b)
		if len(w.batch.QueuedQueries) >= many {
			if err := tx.SendBatch(ctx, &b).Close(); err != nil {
				return err
			}
			b = pgx.Batch{}
			if err := t.inBulk(ctx, tx, w.batch.QueuedQueries); err != nil {
				return err
			}
		} else {
			b.QueuedQueries = append(b.QueuedQueries, w.batch.QueuedQueries...)
		}
		for _, p := range w.parks {
			b.Queue(park, t.schema, p.rec.Stream, p.rec.Revision, p.rec.Position.Commit, p.rec.Position.Prepare, p.rec.ID, p.rec.Type, explain(p.err))
		}
		if len(b.QueuedQueries) == 0 {
			return nil
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		t.staged = nil // they went with the transaction
	}
	if fenced {
		return t.whyFenced(ctx, from)
	}
	if err != nil {
		return err
	}
	if len(w.batch.QueuedQueries) > 0 {
		t.streak = 0
	}
	t.at, t.epoch, t.filled, t.erased = to, t.epoch+int64(len(w.parks)), t.filled+w.applied, t.erased || w.erased
	for _, p := range w.parks {
		t.parked[p.rec.Stream] = p.rec.Revision
		t.Logger.ErrorContext(ctx, "stream parked", "projector", t.p.Name, "stream", p.rec.Stream, "revision", p.rec.Revision, "err", explain(p.err))
	}
	return nil
}

// whyFenced tells streams parked or resumed meanwhile from a checkpoint moved.
func (t *tables) whyFenced(ctx context.Context, from eventlog.Position) error {
	var epoch int64
	err := t.db.QueryRow(ctx, `select parked from annals_projections.checkpoints where schema = $1 and state = $2 and commit = $3 and prepare = $4`,
		t.schema, t.state, from.Commit, from.Prepare).Scan(&epoch)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && epoch == t.epoch:
		return ErrFenced
	case err != nil:
		return errors.Join(errAway, err)
	}
	return errParkedElsewhere
}

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// explain is err for people, without values of personal fields: PostgreSQL quotes
// them where it faults the data (class 22), and the driver where it cannot send them.
func explain(err error) string {
	e, ok := errors.AsType[*pgconn.PgError](err)
	text := err.Error()
	if ok {
		text = fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	}
	if !ok || len(e.Code) == 5 && e.Code[:2] == "22" {
		text = quoted.ReplaceAllString(text, "…")
	}
	if r := []rune(text); len(r) > 1000 {
		text = string(r[:1000]) + "…"
	}
	return text
}
