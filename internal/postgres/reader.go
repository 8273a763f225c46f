package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Reader is the role under which reads are made: it owns nothing, may write nothing
// and bypasses no policy. It cannot log in: others take it on.
const Reader = "annals_reader"

// Finder is the role under which clients are found: it reads no more than what they are
// found by, and all rows of that, so that every index is of use; the rows that are shown
// are then read as [Reader].
const Finder = "annals_finder"

// roles are those that connections take on.
var roles = []string{Reader, Finder}

// NoReaderError is why the roles [Reader] and [Finder] cannot be used: an administrator of the
// database has to run what Statements says, once.
type NoReaderError struct {
	Statements string
	err        error
}

func (e *NoReaderError) Error() string {
	return fmt.Sprintf("the roles %s are needed, under which nothing can be written, and this user cannot make them; have an administrator of the database run: %s (%v)",
		strings.Join(roles, " and "), e.Statements, e.err)
}

// Unwrap is what the database said.
func (e *NoReaderError) Unwrap() error { return e.err }

// EnsureReader makes sure that the roles [Reader] and [Finder] are there and that conn's user can
// take them on, and makes it so if the user may. Any number of processes may do so at
// once, in any databases of the server. It fails with a [NoReaderError] where the user
// may not.
func EnsureReader(ctx context.Context, conn *pgx.Conn) error {
	var server int
	var user string
	if err := conn.QueryRow(ctx, `select current_setting('server_version_num')::int, quote_ident(current_user)`).Scan(&server, &user); err != nil {
		return fmt.Errorf("role %s: %w", Reader, err)
	}
	if server < oldest*10_000 {
		return fmt.Errorf("the database is PostgreSQL %d; %d or later is needed", server/10_000, oldest)
	}
	var err error
	for try := range 5 { // what fails because somebody else does the same at this moment is there a moment later
		if err = takeOn(ctx, conn); err == nil {
			return nil
		}
		if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
			return fmt.Errorf("role %s: %w", Reader, err)
		}
		if err = makeReader(ctx, conn); err != nil {
			if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42501" {
				break
			}
			select {
			case <-time.After(time.Duration(try+1) * 20 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("role %s: %w", Reader, context.Cause(ctx))
			}
		}
	}
	if err == nil {
		if err = takeOn(ctx, conn); err == nil {
			return nil
		}
	}
	return &NoReaderError{fmt.Sprintf("create role %s nologin; create role %s nologin; grant %[1]s, %[2]s to %s;", Reader, Finder, user), err}
}

// takeOn tries to take the roles on, for a moment.
func takeOn(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, role := range roles {
			if _, err := tx.Exec(ctx, "set local role "+role); err != nil {
				return err
			}
		}
		return nil
	})
}

func makeReader(ctx context.Context, conn *pgx.Conn) error {
	for _, role := range roles {
		var there bool
		if err := conn.QueryRow(ctx, `select exists (select from pg_roles where rolname = $1)`, role).Scan(&there); err != nil {
			return err
		}
		if !there {
			_, err := conn.Exec(ctx, "create role "+role+" nologin")
			if e, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || e.Code != "42710" && e.Code != "23505") { // made meanwhile
				return err
			}
		}
		if _, err := conn.Exec(ctx, "grant "+role+" to current_user"); err != nil {
			return err
		}
	}
	return nil
}
