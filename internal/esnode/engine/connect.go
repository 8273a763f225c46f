package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	connectTimeout = 5 * time.Second
	firstBackoff   = 50 * time.Millisecond
	lastBackoff    = time.Second
)

// open connects for the first time. It waits for a PostgreSQL that is starting until ctx ends, and for another
// holder of the lock as long as the options say.
func (w *writer) open(ctx context.Context) error {
	var lockUntil time.Time
	for {
		err := w.connect(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLocked):
			if lockUntil.IsZero() {
				lockUntil = w.e.opts.Now().Add(w.e.opts.LockWait)
			}
			if !w.e.opts.Now().Before(lockUntil) {
				return err
			}
		case !transient(err):
			return fmt.Errorf("open the log: %w", err)
		}
		if !pause(ctx, firstBackoff) {
			return fmt.Errorf("open the log: %w", errors.Join(err, ctx.Err()))
		}
	}
}

// reconnect tries until it is connected again or ctx ends. Meanwhile requests wait, as long as their callers do.
func (w *writer) reconnect(ctx context.Context) {
	for backoff := firstBackoff; ; backoff = min(backoff*3/2, lastBackoff) {
		err := w.connect(ctx)
		if err == nil {
			w.e.setHealth(nil)
			w.e.opts.Logger.InfoContext(ctx, "log: connected again", slog.Uint64("head", w.e.Head()))
			return
		}
		w.e.setHealth(fmt.Errorf("the log's connection to PostgreSQL: %w", err))
		if errors.Is(err, ErrLocked) {
			w.endLost(ctx)
		}
		if !pause(ctx, backoff) {
			return
		}
	}
}

// endLost ends the backend of the connection that was lost, should the server still believe in it: it holds the lock.
func (w *writer) endLost(ctx context.Context) {
	conn, err := pgx.ConnectConfig(ctx, w.cfg.Copy())
	if err != nil {
		return
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing depends on how it ends
	_, err = conn.Exec(ctx, `
		select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and application_name = $2`,
		int32(w.pid), w.name) //nolint:gosec // a process id fits
	if err != nil {
		w.e.opts.Logger.WarnContext(ctx, "log: end the lost connection's backend", slog.Any("error", err))
	}
}

// connect makes a connection that holds the lock, and reads from the log where it ends.
func (w *writer) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, w.cfg.Copy())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := w.adopt(ctx, conn); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // the first error is the one to tell
		return err
	}
	return nil
}

func (w *writer) adopt(ctx context.Context, conn *pgx.Conn) error {
	var locked bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, lockKey).Scan(&locked); err != nil {
		return fmt.Errorf("lock the log: %w", err)
	}
	if !locked {
		return fmt.Errorf("%w: %s", ErrLocked, holder(ctx, conn))
	}
	if err := CreateSchema(ctx, conn); err != nil {
		return err
	}
	// A server that does not flush at commit by default must do so for the log.
	_, err := conn.Exec(ctx, `
		select set_config('synchronous_commit', 'on', false)
		where current_setting('synchronous_commit') in ('off', 'local')`)
	if err != nil {
		return fmt.Errorf("synchronous_commit: %w", err)
	}
	var last int64
	if err := conn.QueryRow(ctx, `select coalesce(max(position), 0) from annals_log.events`).Scan(&last); err != nil {
		return fmt.Errorf("end of the log: %w", err)
	}
	if w.metas, err = loadNames(ctx, conn, metastreamsSQL); err != nil {
		return err
	}
	if w.ended, err = loadNames(ctx, conn, endedSQL); err != nil {
		return err
	}
	w.conn, w.pid, w.busy = conn, conn.PgConn().PID(), false
	w.next = max(w.next, toPosition(last)+1)
	w.e.pool.Reset()
	w.e.tail.reset(toPosition(last))
	return nil
}

// holder names who holds the lock.
func holder(ctx context.Context, conn *pgx.Conn) string {
	var name, client, since string
	var pid int32
	err := conn.QueryRow(ctx, `
		select a.pid, a.application_name, coalesce(host(a.client_addr), 'a local socket'),
			to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
		from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'advisory' and l.granted and l.objsubid = 1
			and l.database = (select oid from pg_database where datname = current_database())
			and (l.classid::bigint << 32) | l.objid::bigint = $1`, lockKey).Scan(&pid, &name, &client, &since)
	if err != nil {
		return "its holder could not be found: " + err.Error()
	}
	return fmt.Sprintf("%q, connected from %s since %s (PostgreSQL backend %d)", name, client, since, pid)
}

// transient tells an error that a PostgreSQL which is starting, stopping or away gives from one that will stay.
func transient(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03":
			return true // shutting down, crashed, starting, too many connections, try again
		}
		return len(pg.Code) == 5 && pg.Code[:2] == "08"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || brokenPipe(err)
}

// pause waits for d, and tells whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
