package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"annals/cmd/annals/internal/bench"
	"annals/internal/postgres"
	"annals/internal/version"
)

func benchCommand() *cobra.Command {
	var names strings.Builder
	for _, n := range bench.Names() {
		fmt.Fprintf(&names, "\n  %-10s %s", n[0], n[1])
	}
	cmd := &cobra.Command{
		Use:   "bench [NAME…]",
		Short: "Measure how fast this is here, each figure beside the limit of the machine",
		Long: "Measure how fast this is here, each figure beside the limit of the machine, measured in the same run.\n" +
			"A PostgreSQL of its own is started in a temporary folder (TMPDIR says where: it should be on a real disk),\n" +
			"and everything is removed again. A target that is missed is no failure: the report says where the time went.\n" +
			"The measurements:\n" + names.String(),
	}
	f := cmd.Flags()
	database := f.String("database", "", "postgres:// URL of a server to measure on; databases are created there and dropped (default: a private one)")
	events := f.Int("events", 1_000_000, "events in the log that a read model is rebuilt from")
	clients := f.Int("clients", 1_000_000, "clients in the lists that are read")
	seconds := f.Int("seconds", 8, "how long to repeat what is repeated")
	lists := f.String("lists", "", "a regular expression: of which lists are measured, as in 'agent.*: filter: mine' (default: all)")
	quick := f.Bool("quick", false, "a moment of everything: shows that it works, not how fast it is")
	asJSON := f.Bool("json", false, "print the report as JSON")
	profile := f.String("profile", "", "folder to write CPU profiles to; the report says what is in them")
	verbose := f.Bool("verbose", false, "tell on standard error what is being done")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := bench.Check(args); err != nil {
			return exit{exitUsage, err}
		}
		if *events < 1000 || *events > 20_000_000 || *seconds < 1 || *seconds > 60 {
			return usage("--events takes 1000 to 20000000, --seconds 1 to 60")
		}
		if *clients < 10_000 || *clients > 10_000_000 {
			return usage("--clients takes 10000 to 10000000")
		}
		if u, err := url.Parse(*database); err != nil || *database != "" && !strings.HasPrefix(u.Scheme, "postgres") {
			return usage("--database: is not a URL as in postgres://…") // and not quoted: it may hold a password
		}
		only, err := regexp.Compile(*lists)
		if err != nil {
			return usage("--lists: %v", err)
		}
		cfg := bench.Config{
			Lists: only,
			Names: args, Events: *events, Clients: *clients, Activities: 100_000, Duration: time.Duration(*seconds) * time.Second, Profile: *profile, App: version.String(),
			Logger: slog.New(slog.DiscardHandler),
		}
		if *quick {
			cfg.Events, cfg.Clients, cfg.Activities, cfg.Duration = min(cfg.Events, 10_000), min(cfg.Clients, 10_000), 2000, 500*time.Millisecond
		}
		if *verbose {
			cfg.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		}
		report, err := measure(cmd.Context(), cfg, *database)
		switch {
		case len(report.Figures) == 0:
			return err
		case *asJSON:
			err = errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(report))
		default:
			err = errors.Join(err, report.Print(cmd.OutOrStdout()))
		}
		return err
	}
	return cmd
}

// measure runs the measurements in a folder of their own, on a PostgreSQL of
// their own unless one is named.
func measure(ctx context.Context, cfg bench.Config, database string) (_ bench.Report, err error) {
	dir, err := os.MkdirTemp("", "annals-bench-")
	if err != nil {
		return bench.Report{}, fmt.Errorf("temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// PostgreSQL does not run as root, and its user has to get in.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // what is inside has its own mode
		return bench.Report{}, fmt.Errorf("temporary folder: %w", err)
	}
	cfg.Database = createdDatabases(database)
	if database == "" {
		private, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(dir, "postgres")})
		if err != nil {
			return bench.Report{}, fmt.Errorf("private PostgreSQL: %w", err)
		}
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, private.Close(closing))
		}()
		cfg.Database = emptied(private.URL())
	}
	cfg.Serve = func(ctx context.Context, database string) (*bench.Server, error) {
		return serveBench(ctx, filepath.Join(dir, "annals"), database, cfg.Logger)
	}
	return bench.Run(ctx, cfg)
}

// emptied hands out one database, which is nobody else's, again and again. Its
// owner may not create others.
func emptied(database string) bench.Database {
	empty := func(ctx context.Context) error {
		return execute(ctx, database, `do $$ declare s text; begin
			for s in select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public') loop
				execute format('drop schema %I cascade', s);
			end loop; end $$`)
	}
	return func(ctx context.Context) (string, func(context.Context) error, error) {
		return database, empty, empty(ctx)
	}
}

// createdDatabases hands out new databases on a server.
func createdDatabases(server string) bench.Database {
	return func(ctx context.Context) (string, func(context.Context) error, error) {
		u, err := url.Parse(server)
		if err != nil {
			return "", nil, errors.New("the database's URL is not valid") // err may quote the password
		}
		var id [6]byte
		rand.Read(id[:])
		name := "annals_bench_" + hex.EncodeToString(id[:])
		if err := execute(ctx, server, "create database "+name+" template template0 encoding 'UTF8'"); err != nil {
			return "", nil, fmt.Errorf("create a database to measure on: %w", err)
		}
		u.Path = "/" + name
		return u.String(), func(ctx context.Context) error {
			return execute(ctx, server, "drop database if exists "+name+" with (force)")
		}, nil
	}
}

func execute(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// serveBench runs what `annals serve` runs, and signs in.
func serveBench(ctx context.Context, data, database string, logger *slog.Logger) (*bench.Server, error) {
	if err := os.RemoveAll(data); err != nil { // of the last time
		return nil, fmt.Errorf("data directory: %w", err)
	}
	cfg := config{
		listen: "127.0.0.1:0", data: data, eventStoreListen: "127.0.0.1:0", database: database,
		adminEmail: "bench@annals.localhost", adminPassword: rand.Text(), roles: "api,projector,worker", rate: "0",
		masterKey: bench.MasterKey, privateWebhooks: "true",
	}
	running, cancel := context.WithCancel(ctx)
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serve(running, cfg, false, logger, in)
		_ = in.Close()
		ended <- err
	}()
	stop := func() error { cancel(); return <-ended }
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		address, _ = strings.CutPrefix(lines.Text(), "ready ")
		if address == lines.Text() {
			address = ""
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if address == "" {
		return nil, errors.Join(errors.New("the server did not get ready"), stop())
	}
	r := remote{url: address}
	res, err := r.do(ctx, http.MethodPost, "/api/v1/session", map[string]string{"email": cfg.adminEmail, "password": cfg.adminPassword})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	defer func() { _ = res.Body.Close() }()
	var s struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return nil, errors.Join(fmt.Errorf("session: %w", err), stop())
	}
	return &bench.Server{URL: address, Token: s.Token, Stop: stop}, nil
}
