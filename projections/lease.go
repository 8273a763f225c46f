package projections

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

var errLeaseLost = errors.New("the connection that held the lease is gone")

// lease takes the lease of that name: an advisory lock of the database, held by a
// connection of its own. It saves processes from doing the same work; that they do
// no harm when both think they hold it is the checkpoint's part. Somebody else
// holding it is waited for with wait, and otherwise an ErrHeld. The context that is
// returned ends with the lease.
func (e *engine) lease(ctx context.Context, name string, wait bool) (held context.Context, release func(), err error) {
	conn, err := e.connect(ctx, "annals lease "+name, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	if err := acquire(ctx, conn, name, wait); err != nil {
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

func acquire(ctx context.Context, conn *pgx.Conn, name string, wait bool) error {
	for {
		var got bool
		err := conn.QueryRow(ctx, `select pg_try_advisory_lock(hashtextextended('annals/projections/' || $1, 0))`, name).Scan(&got)
		switch {
		case err != nil, got:
			return err
		case !wait:
			return ErrHeld
		}
		// Waiting inside PostgreSQL would hold back its vacuum.
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// watch returns when ctx ends or the connection breaks.
func watch(ctx context.Context, conn *pgx.Conn) error {
	for {
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := conn.WaitForNotification(within) // none will come: it notices a connection that is closed
		cancel()
		if err != nil && ctx.Err() == nil && !conn.IsClosed() {
			within, cancel := context.WithTimeout(ctx, 5*time.Second)
			err = conn.Ping(within)
			cancel()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return errLeaseLost
		}
	}
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost
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
