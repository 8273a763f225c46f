// Package reader is PostgreSQL for those who only read: every question goes there
// together with who asks it.
//
// The connections are under a role that cannot write and is under row-level
// security, and the policies go by access.Settings, which are sent in the same round
// trip and end with it. So a query that forgets to say what its caller may see
// returns nothing that they may not; and there is no way to ask without a caller.
package reader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/access"
	"annals/internal/postgres"
)

// DB answers questions. It is safe for concurrent use.
type DB struct {
	pool  *pgxpool.Pool
	alone bool // there are no roles of readers
}

// params are those of every connection. A read that takes longer than 25 s has lost
// its caller. To plan takes longer than to read a page, so that a plan is made once
// and not for the values of each request; and the compiler never pays.
var params = map[string]string{
	"role": postgres.Reader, "default_transaction_read_only": "on", "statement_timeout": "25000",
	"idle_in_transaction_session_timeout": "25000", "plan_cache_mode": "force_generic_plan", "jit": "off", "application_name": "annals reader",
}

// Open connects to the database, with at most so many connections at a time. If need
// be, and if the URL's user may, it creates the role. Where that user may not, reads
// are made as the user: read-only, and under the same policies, which the projectors
// then force on the tables' owner as well.
func Open(ctx context.Context, url string, connections int32) (*DB, error) {
	conf, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's URL is not valid") // err may quote the password
	}
	conf.MaxConns = connections
	maps.Copy(conf.ConnConfig.RuntimeParams, params)
	alone := false
	if err := ensure(ctx, conf.ConnConfig); err != nil {
		if _, alone := errors.AsType[*postgres.NoReaderError](err); !alone {
			return nil, err
		}
		delete(conf.ConnConfig.RuntimeParams, "role")
		alone = true
	}
	// A database that was away has taken its connections along, and is back sooner than
	// the second after which the pool would look.
	conf.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 100*time.Millisecond }
	conf.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		ids(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return &DB{pool, alone}, nil
}

func ensure(ctx context.Context, conf *pgx.ConnConfig) error {
	conf = conf.Copy()
	maps.DeleteFunc(conf.RuntimeParams, func(name, _ string) bool { _, ours := params[name]; return ours })
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return postgres.EnsureReader(ctx, conn)
}

// Close closes all connections.
func (d *DB) Close() { d.pool.Close() }

// Ping asks for an answer.
func (d *DB) Ping(ctx context.Context) error { return d.pool.Ping(ctx) }

// set is the statement that says who asks, in the order of access.Settings.
var set = func() string {
	var calls []string
	for i, s := range access.Settings(nil) {
		calls = append(calls, fmt.Sprintf("set_config('%s', $%d, true)", s.Name, i+1))
	}
	return "select " + strings.Join(calls, ", ")
}()

// Find runs what is queued in one round trip and one transaction, over all that clients
// are found by, whoever may see it: the statements have to say what their caller may, and
// to ask for nothing but ids and numbers. Ids are then shown by [DB.Ask]. A statement that
// takes longer than that is ended, unless it is zero. Plans are made for the values.
func (d *DB) Find(ctx context.Context, b *pgx.Batch, most time.Duration) error {
	var all pgx.Batch
	role, name := "role", postgres.Finder
	if d.alone {
		role, name = "annals.writer", d.pool.Config().ConnConfig.User // by which policies let the owner read
	}
	timeout := params["statement_timeout"]
	if most > 0 {
		timeout = strconv.FormatInt(most.Milliseconds(), 10)
	}
	all.Queue(`select set_config($1, $2, true), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('statement_timeout', $3, true)`, role, name, timeout)
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	return d.pool.SendBatch(ctx, &all).Close()
}

// Ask runs what is queued in one round trip and one transaction, on behalf of the
// caller in ctx: of nobody, who sees nothing, where there is none.
func (d *DB) Ask(ctx context.Context, b *pgx.Batch) error {
	var who pgx.Batch
	settings := access.Settings(access.From(ctx).Actor)
	values := make([]any, len(settings))
	for i, s := range settings {
		values[i] = s.Value
	}
	who.Queue(set, values...)
	who.QueuedQueries = append(who.QueuedQueries, b.QueuedQueries...)
	return d.pool.SendBatch(ctx, &who).Close()
}
