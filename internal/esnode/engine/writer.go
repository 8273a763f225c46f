package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// lockKey is the advisory lock that the writer of a log holds ("annals").
	lockKey int64 = 0x616e6e616c73
	// idsCached bounds the ids by which a repeated append without a revision is recognised.
	idsCached = 65_536
	// A batch ends at whichever of these it reaches first; past them a larger batch commits no faster.
	maxBatchRequests = 2048
	maxBatchEvents   = 8192
	maxBatchBytes    = 16 << 20
	// commitTimeout bounds a commit on a server that hangs.
	commitTimeout = 30 * time.Second
	// idleCheck is how often an idle connection is looked at, so that a lost one is found before it is needed.
	idleCheck = 100 * time.Millisecond
)

// writer owns the one connection that writes. All of its fields but in and stopped belong to its goroutine.
type writer struct {
	e       *Engine
	cfg     *pgx.ConnConfig
	in      chan *request
	stopped chan struct{}

	conn *pgx.Conn
	name string // application_name of the connection, unique to this engine
	pid  uint32 // backend of the connection, or of the lost one
	next uint64
	ids  *simplelru.LRU[uuid.UUID, place]
	// metas are the metastreams that there are, ended the tombstoned streams.
	metas, ended nameSet
	doubt        int        // batches until streams are presumed to be new again
	held         []*request // taken while the connection broke, before anything was sent
	busy         bool       // something was committed since the last look at the connection
}

func newWriter(e *Engine, cfg *pgx.ConnConfig) *writer {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if len(host) > 16 {
		host = host[:16]
	}
	w := &writer{e: e, cfg: cfg, in: make(chan *request, maxBatchRequests), stopped: make(chan struct{}), next: 1}
	w.name = fmt.Sprintf("annals log, pid %d on %s, %s", os.Getpid(), host, uuid.NewString()[:8])
	setParam(w.cfg, "application_name", w.name)
	w.ids = newIDs()
	return w
}

func newIDs() *simplelru.LRU[uuid.UUID, place] {
	ids, err := simplelru.NewLRU[uuid.UUID, place](idsCached, nil)
	if err != nil {
		panic(err) // only a size below 1 fails
	}
	return ids
}

// run commits what arrives until ctx ends, and reconnects when the connection is lost.
func (w *writer) run(ctx context.Context) {
	defer close(w.stopped)
	defer w.disconnect(context.WithoutCancel(ctx))
	idle := time.NewTicker(idleCheck)
	defer idle.Stop()
	for ctx.Err() == nil {
		if w.conn == nil {
			w.reconnect(ctx)
			continue
		}
		if reqs := w.take(ctx, idle.C); len(reqs) > 0 {
			w.busy = true
			w.commit(context.WithoutCancel(ctx), reqs) // what was taken is finished
		}
	}
}

// take waits for requests, and returns all that wait, up to a batch.
func (w *writer) take(ctx context.Context, idle <-chan time.Time) []*request {
	var reqs []*request
	events, size := 0, 0
	add := func(r *request) {
		if r.ctx.Err() == nil && r.state.CompareAndSwap(waiting, taken) {
			reqs = append(reqs, r)
			events += len(r.events)
			size += r.size
		}
	}
	held := w.held
	w.held = nil
	for _, r := range held {
		add(r)
	}
	if len(reqs) == 0 {
		select {
		case r := <-w.in:
			add(r)
		case <-idle:
			w.check(ctx)
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	gather(w.in)
	for len(reqs) < maxBatchRequests && events < maxBatchEvents && size < maxBatchBytes {
		select {
		case r := <-w.in:
			add(r)
		default:
			return reqs
		}
	}
	return reqs
}

// gather lets callers that are about to ask do so, as long as they keep coming: a
// commit costs the same for one as for many. It waits for nobody, so that one
// caller alone loses nothing by it.
func gather(in <-chan *request) {
	for quiet, n := 0, len(in); quiet < 4 && n < cap(in); quiet++ {
		runtime.Gosched()
		if now := len(in); now != n {
			n, quiet = now, 0
		}
	}
}

// check looks whether an idle connection still stands.
func (w *writer) check(ctx context.Context) {
	if w.busy {
		w.busy = false
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	if err := w.conn.Ping(ctx); err != nil {
		w.lose(ctx, err)
	}
}

// commit decides requests, writes what they lead to, and answers them.
func (w *writer) commit(ctx context.Context, reqs []*request) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	b := newBatch(w, w.doubt == 0)
	w.doubt = max(0, w.doubt-1)
	if err := b.load(ctx, w.conn, reqs); err != nil {
		w.notLoaded(ctx, reqs, err)
		return
	}
	outcomes := make([]outcome, len(reqs))
	for i, r := range reqs {
		outcomes[i] = b.decide(r)
	}
	w.next = b.next // also when it fails: a position is never given twice
	if len(b.rows) > 0 {
		err := w.insert(ctx, b)
		if b.guessed && w.conflicts(err) {
			w.doubt = doubtful
			w.commit(ctx, reqs)
			return
		}
		if err != nil {
			w.notCommitted(ctx, reqs, err)
			return
		}
		w.apply(b)
	}
	for i, r := range reqs {
		r.reply <- outcomes[i]
	}
}

func (w *writer) insert(ctx context.Context, b *batch) error {
	if b.purge == nil {
		return insertRows(ctx, w.conn, b.rows)
	}
	return pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `select pg_current_xact_id()::xid::text`).Scan(&b.xid); err != nil {
			return fmt.Errorf("erase a tombstoned stream: %w", err)
		}
		for stream, pos := range b.purge {
			_, err := tx.Exec(ctx, `delete from annals_log.events where stream = $1 and position < $2`, stream, fromPosition(pos))
			if err != nil {
				return fmt.Errorf("erase a tombstoned stream: %w", err)
			}
		}
		return insertRows(ctx, tx, b.rows)
	})
}

// conflicts tells that an event stands where one was to be inserted.
func (w *writer) conflicts(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == "23505" && !w.conn.IsClosed()
}

// apply makes a committed batch visible: to decisions, to readers of recent events, and to whoever waits.
func (w *writer) apply(b *batch) {
	for name, h := range b.heads {
		w.e.heads.Add(name, h)
	}
	for _, row := range b.rows {
		switch {
		case row.Revision == TombstoneRevision:
			w.ended.add(row.Stream)
		case IsMetastream(row.Stream):
			w.metas.add(row.Stream)
		}
	}
	for id, p := range b.ids {
		w.ids.Add(id, p)
	}
	w.e.tail.publish(b.rows, b.purge)
	if b.purge != nil {
		w.e.wantVacuum(b.xid)
	}
}

// notLoaded handles a failure before anything was written: the requests wait for the next connection.
func (w *writer) notLoaded(ctx context.Context, reqs []*request, err error) {
	if !w.conn.IsClosed() {
		w.answer(reqs, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	for _, r := range reqs {
		r.state.Store(waiting)
	}
	w.held = reqs
	w.lose(ctx, err)
}

// notCommitted handles a failed write. When the server itself refused it, nothing was written. When the connection
// broke, nobody can tell; the next one begins by reading what the log really holds.
func (w *writer) notCommitted(ctx context.Context, reqs []*request, err error) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !w.conn.IsClosed() {
		w.answer(reqs, fmt.Errorf("%w: %w", ErrUnavailable, err))
	} else {
		w.answer(reqs, fmt.Errorf("%w: the outcome is unknown: %w", ErrTimeout, err))
	}
	w.lose(ctx, err)
}

func (w *writer) answer(reqs []*request, err error) {
	for _, r := range reqs {
		r.reply <- outcome{err: err}
	}
}

// lose gives up the connection, and with it the lock and all that memory believes.
func (w *writer) lose(ctx context.Context, err error) {
	w.e.setHealth(fmt.Errorf("the log's connection to PostgreSQL is lost: %w", err))
	w.e.opts.Logger.WarnContext(ctx, "log: connection lost", slog.Any("error", err))
	w.disconnect(ctx)
	w.e.heads.Purge()
	w.ids = newIDs()
}

func (w *writer) disconnect(ctx context.Context) {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx) // it may be broken already, and nothing depends on how it ends
	w.conn = nil
}
