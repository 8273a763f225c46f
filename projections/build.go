package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"annals/internal/eventlog"
	"annals/internal/feed"
)

// buildRecords is how many records a run of a build has: more rows a copy, fewer commits.
const buildRecords = 5000

// Rebuild builds the named read model from the start of the log, beside the one
// that is in use, and replaces that when it has caught up. It may run while other
// processes follow the log; they go on with the new tables.
func Rebuild(ctx context.Context, cfg Config, name string) error {
	e, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer e.pool.Close()
	p, err := find(e.Projectors, name)
	if err != nil {
		return err
	}
	return e.build(ctx, p)
}

// build makes new tables of the projector the ones that readers see. Ended anywhere
// by anything it leaves those that they saw before.
func (e *engine) build(ctx context.Context, p *Projector) error {
	ctx, release, err := e.lease(ctx, p.Name+"/build", false)
	if err != nil {
		return fmt.Errorf("build %s: %w", p.Name, err)
	}
	defer release()
	for _, leftover := range []string{building, retired} {
		if err := e.sweep(ctx, p, leftover); err != nil {
			return err
		}
	}
	schema, err := e.freeSchema(ctx, p)
	if err != nil {
		return err
	}
	t, err := e.create(ctx, p, schema, building)
	if err != nil {
		return err
	}
	defer t.db.Close()
	e.Logger.InfoContext(ctx, "read model is being built", "projector", p.Name, "schema", schema)
	if err := t.fill(ctx, nil); err != nil {
		return err
	}
	if err := t.derive(ctx); err != nil {
		return err
	}
	if err := t.index(ctx); err != nil {
		return err
	}
	if err := t.activate(ctx); err != nil {
		return err
	}
	e.Logger.InfoContext(ctx, "read model is in use", "projector", p.Name, "schema", schema, "position", t.at.String())
	return nil
}

// freeSchema is the projector's schema, or a variant of it while that is in use.
func (e *engine) freeSchema(ctx context.Context, p *Projector) (string, error) {
	schema := p.Schema()
	for next := 'b'; next <= 'z'; next++ {
		var taken bool
		if err := e.pool.QueryRow(ctx, `select to_regnamespace(quote_ident($1)) is not null`, schema).Scan(&taken); err != nil {
			return "", fmt.Errorf("build %s: %w", p.Name, err)
		}
		if !taken {
			return schema, nil
		}
		schema = p.Schema() + "_" + string(next)
	}
	return "", fmt.Errorf("build %s: too many replaced versions wait to be dropped: %w", p.Name, ErrHeld)
}

// create makes empty tables.
func (e *engine) create(ctx context.Context, p *Projector, schema, state string) (*tables, error) {
	name := pgx.Identifier{schema}.Sanitize()
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"create schema " + name,
			"set local search_path = " + e.searchPath(schema),
			p.Tables,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if err := e.guard(ctx, tx, schema); err != nil {
			return err
		}
		// What is filled is looked through again and again otherwise, beside being filled.
		if err := eachTable(ctx, tx, schema, "alter table %s set (autovacuum_enabled = off)"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into annals_projections.checkpoints (schema, projector, version, state) values ($1, $2, $3, $4)`,
			schema, p.Name, p.Version, state)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create the tables of %s: %w", schema, err)
	}
	return e.tables(ctx, p, schema, state)
}

// fill applies the log from where the tables are up to a position, or until they
// have caught up. What goes wrong is tried again until ctx ends.
func (t *tables) fill(ctx context.Context, to *eventlog.Position) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		from := t.at
		err := t.fillOnce(ctx, to)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrFenced) || errors.Is(err, errSystematic) {
			if ctx.Err() != nil {
				err = fmt.Errorf("fill %s: %w", t.schema, context.Cause(ctx))
			}
			return err
		}
		t.failed(ctx, t.p, fmt.Errorf("fill %s: %w", t.schema, err))
		if t.at != from {
			wait = 50 * time.Millisecond
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		if err := t.load(ctx); errors.Is(err, ErrFenced) {
			return err
		}
	}
}

func (t *tables) fillOnce(ctx context.Context, to *eventlog.Position) error {
	if to != nil && t.at.Compare(*to) >= 0 {
		return nil
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	epoch := t.epoch
	for p := range t.prepare(within, to) {
		switch {
		case p.err != nil:
			return p.err
		case t.epoch != epoch: // other streams are parked than it was prepared for
			if err := t.apply(ctx, p.run); err != nil {
				return err
			}
		default:
			if err := t.finish(ctx, p.run, p.work, p.failed); err != nil {
				return err
			}
		}
		if p.last {
			return nil
		}
	}
	return ctx.Err()
}

// prepared is a run with what it comes to while those streams are parked that were.
type prepared struct {
	run    feed.Run
	last   bool // it is the last one that was asked for
	work   *work
	failed error // why there is no work
	err    error // why there is no run
}

// prepare prepares the runs up to a position, or until they have caught up, each while the one
// before it is applied.
func (t *tables) prepare(ctx context.Context, to *eventlog.Position) <-chan prepared {
	out := make(chan prepared)
	at, parked := t.at, maps.Clone(t.parked)
	go func() {
		defer close(out)
		for run, err := range feed.Runs(ctx, t.p.source(t.Log), at, buildRecords) {
			p := prepared{run: run, last: run.Live, err: err}
			if to != nil && (run.Live || run.To.Compare(*to) >= 0) {
				p.run, p.last = upTo(run, *to), true
			}
			if err == nil {
				p.work, p.failed = t.p.work(p.run, parked)
			}
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if p.last {
				return
			}
		}
	}()
	return out
}

// upTo is the part of run up to a position. A run that is live and ends before it
// is followed by nothing that matters: it is taken to end there.
func upTo(run feed.Run, to eventlog.Position) feed.Run {
	for i := range run.Records {
		if run.Records[i].Position.Compare(to) > 0 {
			run.Records = run.Records[:i]
			break
		}
	}
	run.To = to
	return run
}

// derive derives what follows from the tables, all of it or nothing.
func (t *tables) derive(ctx context.Context) error {
	if t.p.Derive == "" {
		return nil
	}
	conn, err := t.builder(ctx)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	if _, err := conn.Exec(ctx, t.p.Derive); err != nil { // statements without parameters are one transaction
		return fmt.Errorf("derive in %s: %w", t.schema, err)
	}
	return nil
}

// builder is a connection for statements about whole tables.
func (t *tables) builder(ctx context.Context) (*pgx.Conn, error) {
	return t.connect(ctx, "annals projector "+t.schema, map[string]string{
		"search_path": t.searchPath(t.schema), "maintenance_work_mem": "256MB", "work_mem": "64MB", "max_parallel_maintenance_workers": "0", "synchronous_commit": "off",
	})
}

// index builds the secondary indexes, two at a time.
func (t *tables) index(ctx context.Context) error {
	statements := make(chan string)
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(statements)
		for _, sql := range split(t.p.Indexes) {
			select {
			case statements <- sql:
			case <-within.Done():
			}
		}
		return nil
	})
	for range 2 {
		g.Go(func() error {
			conn, err := t.builder(within)
			if err != nil {
				return err
			}
			defer closeConn(within, conn)
			for sql := range statements {
				if _, err := conn.Exec(within, sql); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("index %s: %w", t.schema, err)
	}
	if t.p.Name == clients.Name {
		if err := t.sortBuilt(ctx); err != nil {
			return err
		}
	}
	if err := eachTable(ctx, t.db, t.schema, "alter table %s reset (autovacuum_enabled)"); err != nil {
		return err
	}
	return eachTable(ctx, t.db, t.schema, "analyze %s")
}

// changer is a transaction, or a pool.
type changer interface {
	DB
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// eachTable runs a statement for each table of a schema, for whose name it has a %s.
func eachTable(ctx context.Context, db changer, schema, sql string) error {
	names, err := tableNames(ctx, db, schema)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.Exec(ctx, fmt.Sprintf(sql, pgx.Identifier{schema, name}.Sanitize())); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	return nil
}

// split takes SQL apart at its semicolons; an index needs none inside.
func split(sql string) []string {
	var out []string
	for s := range strings.SplitSeq(sql, ";") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
