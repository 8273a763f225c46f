package projections

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// lease is an advisory lock of the database, held by a connection of its own. It
// saves processes from doing the same work; that they do no harm when both think
// they hold it is the checkpoint's part.
type lease struct {
	conn *pgx.Conn
	ctx  context.Context //nolint:containedctx // the lease is its lifetime
	end  context.CancelCauseFunc
	done chan struct{}
}

var errLeaseLost = errors.New("the connection that held the lease is gone")

// lease takes the lease of that name. Somebody else holding it is waited for with
// wait, and otherwise an ErrHeld. The lease's ctx ends with it.
func (e *engine) lease(ctx context.Context, name string, wait bool) (*lease, error) {
	conn, err := e.connect(ctx, "annals lease "+name, nil)
	if err != nil {
		return nil, fmt.Errorf("lease of %s: %w", name, err)
	}
	for {
		var held bool
		err := conn.QueryRow(ctx, `select pg_try_advisory_lock(hashtextextended('annals/projections/' || $1, 0))`, name).Scan(&held)
		switch {
		case err != nil:
		case held:
			l := &lease{conn: conn, done: make(chan struct{})}
			l.ctx, l.end = context.WithCancelCause(ctx)
			go l.watch()
			return l, nil
		case !wait:
			err = ErrHeld
		default:
			// Waiting inside PostgreSQL would hold back its vacuum.
			err = pause(ctx, 500*time.Millisecond)
		}
		if err != nil {
			closeConn(ctx, conn)
			return nil, fmt.Errorf("lease of %s: %w", name, err)
		}
	}
}

// watch ends the lease when its connection breaks.
func (l *lease) watch() {
	defer close(l.done)
	for l.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
		_, err := l.conn.WaitForNotification(ctx) // none will come: it notices a connection that is closed
		cancel()
		if l.ctx.Err() == nil && err != nil && !l.conn.IsClosed() {
			ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
			err = l.conn.Ping(ctx)
			cancel()
		}
		if err != nil {
			l.end(errLeaseLost)
		}
	}
}

// release gives the lease up.
func (l *lease) release() {
	l.end(nil)
	<-l.done
	closeConn(context.WithoutCancel(l.ctx), l.conn)
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
