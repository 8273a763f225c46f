package projections

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/eventlog"
	"annals/internal/feed"
	"annals/internal/lease"
)

// Log is where events come from: an [eventlog.Log].
type Log interface {
	Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
	SubscribeAll(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Head(ctx context.Context) (eventlog.Position, error)
}

// source is what a projector is given of a log.
func (p *Projector) source(log Log) feed.Source {
	if p.Looks {
		return everything{log}
	}
	return log
}

// sourceOf is that for the projector of a name, which may be one of another program.
func sourceOf(log Log, name string) feed.Source {
	if p, err := find(All, name); err == nil {
		return p.source(log)
	}
	return log
}

// everything is a log with the access log.
type everything struct{ Log }

// Subscribe implements [feed.Source].
func (e everything) Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error] {
	return e.SubscribeAll(ctx, after)
}

// Config is what the projectors need.
type Config struct {
	Database   string // postgres:// URL
	Log        Log
	Projectors []*Projector // [All] if nil
	Logger     *slog.Logger
	Grace      time.Duration // how long the tables of a replaced version are kept; a minute if zero
}

// engine is what the functions of this package share while one of them runs.
type engine struct {
	Config
	conf    *pgxpool.Config
	pool    *pgxpool.Pool // for the projectors' own state; finds no read model's tables
	trigram string        // the schema of the extension pg_trgm
	alone   bool          // readers are the user that writes
	failed  func(context.Context, *Projector, error)
}

//go:embed state.sql
var stateSQL string

// keepalive has PostgreSQL notice a process that vanished with its machine, and
// with it free what the process had locked, in half a minute.
var keepalive = map[string]string{"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}

// open connects and brings the projectors' own tables into being. The caller
// closes the pool.
func open(ctx context.Context, cfg Config) (*engine, error) {
	e := &engine{Config: cfg}
	e.Grace = cmp.Or(e.Grace, time.Minute)
	e.Logger = cmp.Or(e.Logger, slog.New(slog.DiscardHandler))
	if e.Projectors == nil {
		e.Projectors = All
	}
	e.failed = func(ctx context.Context, p *Projector, err error) {
		e.Logger.WarnContext(ctx, "projector failed", "projector", p.Name, "err", explain(err))
	}
	conf, err := pgxpool.ParseConfig(cfg.Database)
	if err != nil {
		return nil, errors.New("projections: the database URL is not valid") // err may quote the password
	}
	maps.Copy(conf.ConnConfig.RuntimeParams, keepalive)
	conf.MaxConns = 4
	conf.ConnConfig.RuntimeParams["application_name"] = "annals projectors"
	conf.ConnConfig.RuntimeParams[writer] = conf.ConnConfig.User
	e.conf = conf
	if e.pool, err = pgxpool.NewWithConfig(ctx, conf.Copy()); err != nil {
		return nil, fmt.Errorf("projections: %w", err)
	}
	if err := e.setUp(ctx); err != nil {
		e.pool.Close()
		return nil, err
	}
	return e, nil
}

// setUp may run in several processes at once: all but one wait.
func (e *engine) setUp(ctx context.Context) error {
	if err := e.findReader(ctx); err != nil {
		return fmt.Errorf("set up projections: %w", err)
	}
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('annals/projections/setup', 0))`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, stateSQL); err != nil {
			return err
		}
		if err := e.showAll(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, trigramSchema).Scan(&e.trigram)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if _, err := tx.Exec(ctx, `create extension pg_trgm schema annals_projections`); err != nil {
			return fmt.Errorf("the extension pg_trgm is needed and cannot be created; have an administrator of the database run: create extension pg_trgm; (%w)", err)
		}
		return tx.QueryRow(ctx, trigramSchema).Scan(&e.trigram)
	})
	if err != nil {
		return fmt.Errorf("set up projections: %w", err)
	}
	return nil
}

const trigramSchema = `select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_trgm'`

// searchPath finds the tables of a read model, and what their indexes need.
func (e *engine) searchPath(schema string) string {
	return pgx.Identifier{schema}.Sanitize() + ", " + pgx.Identifier{e.trigram}.Sanitize()
}

// connect returns a connection of its own, outside any pool.
func (e *engine) connect(ctx context.Context, name string, params map[string]string) (*pgx.Conn, error) {
	conf := e.conf.ConnConfig.Copy()
	conf.RuntimeParams["application_name"] = name
	maps.Copy(conf.RuntimeParams, params)
	return pgx.ConnectConfig(ctx, conf)
}

// lease takes the lease of that work of projections. It saves processes from doing the
// same; that they do no harm when both think they hold it is the checkpoint's part.
// Somebody else holding it is waited for with wait, and otherwise an ErrHeld. The
// context that is returned ends with the lease.
func (e *engine) lease(ctx context.Context, name string, wait bool) (held context.Context, release func(), err error) {
	take := lease.Try
	if wait {
		take = lease.Take
	}
	return take(ctx, e.conf.ConnConfig, "projections/"+name)
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost
}

// active is the version of a projector that readers see.
type active struct {
	Version int
	Schema  string
}

// active is the zero active when there is none.
func (e *engine) active(ctx context.Context, projector string) (a active, err error) {
	err = e.pool.QueryRow(ctx, `select version, schema from annals_projections.active where projector = $1`, projector).Scan(&a.Version, &a.Schema)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return a, fmt.Errorf("active version of %s: %w", projector, err)
	}
	return a, nil
}

// inUse is the active version's schema, when that is the version of the projector.
func (e *engine) inUse(ctx context.Context, p *Projector) (schema string, err error) {
	a, err := e.active(ctx, p.Name)
	switch {
	case err != nil:
		return "", err
	case a.Schema == "":
		return "", fmt.Errorf("read model %s has not been built yet", p.Name)
	case a.Version != p.Version:
		return "", fmt.Errorf("read model %s is in use in version %d, and this program has version %d", p.Name, a.Version, p.Version)
	}
	return a.Schema, nil
}

var (
	// ErrFenced means that somebody else has moved or replaced the tables: what was
	// about to be done must not be done.
	ErrFenced = errors.New("the read model has been moved on by another process")
	// ErrHeld means that another process is at the same work.
	ErrHeld = lease.ErrHeld

	errAway = errors.New("the database cannot be reached")
)

// transact runs f in a transaction. An error that is not about what f did, but
// about the connection, is an errAway.
func transact(ctx context.Context, db *pgxpool.Pool, f func(pgx.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return errors.Join(errAway, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit this does nothing
	}()
	if err := f(tx); err != nil {
		if tx.Conn().IsClosed() {
			err = errors.Join(errAway, err)
		}
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		if _, ok := errors.AsType[*pgconn.PgError](err); !ok {
			err = errors.Join(errAway, err)
		}
		return err
	}
	return nil
}

// transient says whether the same may well succeed when it is tried again, so
// that no event is to blame.
func transient(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errAway) {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(e.Code) != 5 {
		return false
	}
	switch e.Code[:2] {
	case "08", "25", "40", "53", "55", "57", "58":
		// connection, read-only or failed transaction, rollback, out of something,
		// lock, shutdown or cancelled, I/O
		return true
	}
	return false
}
