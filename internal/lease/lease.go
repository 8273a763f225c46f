// Package lease lets one process at a time do a kind of work: by an advisory lock of
// PostgreSQL on a connection of its own, which ends with the process that holds it.
//
// A lease saves processes from doing the same work; that they do no harm when two
// think that they hold it, as after a broken connection, is for the work's own fence.
package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrHeld means that somebody else has the lease.
	ErrHeld = errors.New("another process is doing this")
	// ErrLost is the cause of a context that ended with its lease.
	ErrLost = errors.New("the connection that held the lease is gone")
)

// Take waits for the lease of that name and takes it. The context that it returns ends
// with the lease; release gives the lease back.
func Take(ctx context.Context, conf *pgx.ConnConfig, name string) (held context.Context, release func(), err error) {
	return take(ctx, conf, name, exclusive, true)
}

// Try is [Take] without the waiting: the error is [ErrHeld] when somebody else has the
// lease.
func Try(ctx context.Context, conf *pgx.ConnConfig, name string) (held context.Context, release func(), err error) {
	return take(ctx, conf, name, exclusive, false)
}

// Share is [Try] for those who may have the lease together, while nobody has it alone.
func Share(ctx context.Context, conf *pgx.ConnConfig, name string) (held context.Context, release func(), err error) {
	return take(ctx, conf, name, shared, false)
}

// How a lease is had.
const (
	exclusive = `select pg_try_advisory_lock(hashtextextended('annals/' || $1, 0))`
	shared    = `select pg_try_advisory_lock_shared(hashtextextended('annals/' || $1, 0))`
)

func take(ctx context.Context, conf *pgx.ConnConfig, name, how string, wait bool) (held context.Context, release func(), err error) {
	conf = conf.Copy()
	conf.RuntimeParams["application_name"] = "annals lease " + name
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	if err := acquire(ctx, conn, name, how, wait); err != nil {
		closeConn(ctx, conn)
		return nil, nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	held, end := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		end(watch(held, conn))
	}()
	return held, func() {
		end(nil)
		<-done
		closeConn(ctx, conn)
	}, nil
}

func acquire(ctx context.Context, conn *pgx.Conn, name, how string, wait bool) error {
	for {
		var got bool
		err := conn.QueryRow(ctx, how, name).Scan(&got)
		switch {
		case err != nil, got:
			return err
		case !wait:
			return ErrHeld
		}
		// Waiting inside PostgreSQL would hold back its vacuum.
		const pause = 500 * time.Millisecond
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // jitter
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Notice is within what time whoever had a lease knows that it is lost. Another process
// may have it before.
const Notice = 2 * silence

// silence is how long nothing is heard before it is asked, and of how long an answer is
// waited for.
const silence = 5 * time.Second

// watch returns when ctx ends or the connection breaks.
func watch(ctx context.Context, conn *pgx.Conn) error {
	for {
		within, cancel := context.WithTimeout(ctx, silence)
		_, err := conn.WaitForNotification(within) // none will come: it notices a connection that is closed
		cancel()
		if err != nil && ctx.Err() == nil && !conn.IsClosed() {
			within, cancel := context.WithTimeout(ctx, silence)
			err = conn.Ping(within)
			cancel()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return ErrLost
		}
	}
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost
}
