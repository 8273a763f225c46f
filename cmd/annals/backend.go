package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"annals/eventschema"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/masterkey"
	"annals/internal/postgres"
	"annals/internal/rotation"
)

// backend is what everything stands on: PostgreSQL and the log. Each is ours or
// somebody else's, as configured; nothing above can tell.
type backend struct {
	config
	database   string // URL
	pool       *pgxpool.Pool
	master     *eventschema.Masters
	using      context.Context //nolint:containedctx // ends with the right to wrap by the master key, see package rotation
	eventStore string          // connection string
	log        *eventlog.Log
	node       *esnode.Node     // nil unless it runs in this process
	private    *postgres.Server // nil unless the database is private
	closers    []func(context.Context) error
}

// openBackend starts what is configured to be ours. A subcommand that works
// beside a running server shares what that one has started.
func openBackend(ctx context.Context, cfg config, logger *slog.Logger, serving bool) (_ *backend, err error) {
	b := &backend{config: cfg, database: cfg.database, eventStore: cfg.eventStore}
	defer func() { //nolint:contextcheck // what ended ctx must not end the closing
		if err != nil {
			_ = b.close()
		}
	}()
	// Others may pass through, not look in: the private PostgreSQL runs as another
	// user when root starts it. Each secret in there is its owner's alone.
	if err := os.MkdirAll(cfg.data, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.data, restoringFile)); err == nil && !cfg.restoring {
		return nil, errRestoring
	}
	if b.master, err = masterkey.Load(cfg.data, cfg.masterKey); err != nil {
		return nil, err
	}
	if err := b.startPostgres(ctx, logger, serving); err != nil {
		return nil, err
	}
	if err := b.openLog(ctx, logger, serving); err != nil {
		return nil, err
	}
	return b, nil
}

// openLog is the rest of openBackend: from here on the process may wrap by the master key.
func (b *backend) openLog(ctx context.Context, logger *slog.Logger, serving bool) (err error) {
	if err := b.useMaster(ctx); err != nil {
		return err
	}
	if err := b.startNode(ctx, logger, serving); err != nil {
		return err
	}
	settings := eventlog.Config{ConnectionString: b.eventStore, Master: b.master, Logger: logger}
	if b.forgetful {
		settings.Keys, settings.WriteTimeout = 4096, time.Minute // nobody waits for a single one
	}
	if b.log, err = eventlog.Open(settings); err != nil {
		return err
	}
	b.closers = append(b.closers, func(context.Context) error { b.log.Close(); return nil })
	return nil
}

// useMaster says to others that this process wraps by its master key.
func (b *backend) useMaster(ctx context.Context) error {
	using, release, err := rotation.Use(context.WithoutCancel(ctx), b.pool, b.master.ID())
	if err != nil {
		return err
	}
	b.using = using
	b.closers = append(b.closers, func(context.Context) error { release(); return nil })
	return nil
}

// keepMaster goes on saying so for as long as ctx lasts, whatever becomes of connections. It
// fails when the master key is being retired, or was: nothing may be wrapped by it any more.
func (b *backend) keepMaster(ctx context.Context) error {
	for {
		select {
		case <-b.using.Done():
		case <-ctx.Done():
			return nil
		}
		for {
			err := b.useMaster(ctx)
			if err == nil {
				err = b.log.CheckMaster(ctx)
			}
			if err == nil {
				break
			}
			if errors.Is(err, eventlog.ErrRetired) {
				return err
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (b *backend) startPostgres(ctx context.Context, logger *slog.Logger, serving bool) (err error) {
	if b.database == "" {
		start := postgres.Open
		if serving {
			start = postgres.Start
		}
		b.private, err = start(ctx, postgres.Config{Dir: filepath.Join(b.data, "postgres"), Logger: logger})
		if errors.Is(err, postgres.ErrInUse) {
			return fmt.Errorf("data directory: %w", err)
		}
		if err != nil {
			return fmt.Errorf("private PostgreSQL: %w", err)
		}
		b.closers = append(b.closers, b.private.Close)
		b.database = b.private.URL()
	}
	conf, err := pgxpool.ParseConfig(b.database)
	if err != nil {
		return errors.New("ANNALS_DATABASE is not a postgres:// URL") // err may quote the password
	}
	conf.MaxConns = max(conf.MaxConns, 16)
	conf.ConnConfig.RuntimeParams["application_name"] = "annals"
	conf.ConnConfig.RuntimeParams["statement_timeout"] = "20000"
	if b.pool, err = pgxpool.NewWithConfig(ctx, conf); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	b.closers = append(b.closers, func(context.Context) error { b.pool.Close(); return nil })
	if err := b.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

func (b *backend) startNode(ctx context.Context, logger *slog.Logger, serving bool) (err error) {
	if b.eventStore != "" {
		return nil
	}
	listen := b.eventStoreListen
	if !serving {
		if b.eventStore = b.runningNode(ctx); b.eventStore != "" {
			return nil
		}
		listen = "127.0.0.1:0"
	}
	b.node, err = esnode.Start(ctx, esnode.Config{
		Listen: listen, Database: b.database, Logger: logger,
		CertFile: b.eventStoreCert, KeyFile: b.eventStoreKey, AdminPassword: b.eventStorePass, Forgetful: b.forgetful,
	})
	if err != nil {
		return fmt.Errorf("embedded node: %w", err)
	}
	b.closers = append(b.closers, b.node.Close)
	b.eventStore = b.node.ConnectionString()
	return nil
}

// close undoes what openBackend did, last first, within the time that a service
// manager gives.
func (b *backend) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var all []error
	for _, c := range slices.Backward(b.closers) {
		all = append(all, c(ctx))
	}
	return errors.Join(all...)
}

// running is what a server tells the subcommands that work beside it.
type running struct {
	URL        string `json:"url"`
	NodeAddr   string `json:"node_addr,omitempty"`
	EventStore string `json:"eventstore,omitempty"`
}

func (c config) runningFile() string { return filepath.Join(c.data, "running.json") }

// announce writes the file that subcommands look for; the returned function
// removes it.
func (b *backend) announce(url string) (func(), error) {
	r := running{URL: url}
	if b.node != nil {
		r.NodeAddr, r.EventStore = b.node.Addr(), b.eventStore
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	tmp := b.runningFile() + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil { // the connection string may hold a password
		return nil, err
	}
	if err := os.Rename(tmp, b.runningFile()); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(b.runningFile()) }, nil
}

// runningNode is how to reach the embedded node of a server that runs, or "". A
// file left behind by a killed server names an address where nobody answers.
func (c config) runningNode(ctx context.Context) string {
	raw, err := os.ReadFile(c.runningFile())
	var r running
	if err != nil || json.Unmarshal(raw, &r) != nil || r.NodeAddr == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.NodeAddr+"/health/live", nil)
	if err != nil {
		return ""
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	_ = res.Body.Close()
	return r.EventStore
}
