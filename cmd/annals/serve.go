package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"annals/commands"
	"annals/internal/audit"
	"annals/internal/follow"
	"annals/internal/jobs"
	"annals/internal/live"
	processes "annals/internal/process"
	"annals/internal/recent"
	"annals/internal/refusals"
	"annals/internal/webhook"
	"annals/projections"
	"annals/readapi"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Run everything: API, projectors and, unless configured otherwise, the log and the database", Args: wantArgs(0)}
	load := configFlags(cmd)
	demo := cmd.Flags().Bool("demo", false, "fill an empty system with sample data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		return serve(cmd.Context(), cfg, *demo, logger, cmd.OutOrStdout())
	}
	return cmd
}

// server is a running process.
type server struct {
	*backend
	logger   *slog.Logger
	commands *commands.API
	reads    *readapi.API
	refusals *refusals.Store
	recent   *recent.Store
	jobs     *jobs.Jobs
	runner   *projections.Runner
	rules    *processes.Runner
	live     *live.Hub
	tree     *audit.Store
	keeper   *audit.Keeper
	metrics  *prometheus.Registry

	hooks      *webhook.API
	follow     *follow.API
	deliveries *webhook.Dispatcher

	ready atomic.Bool
}

// serve runs until ctx ends, and then stops cleanly. It prints one line to out
// when everything answers.
func serve(ctx context.Context, cfg config, demo bool, logger *slog.Logger, out io.Writer) (err error) {
	// First of all, so that an address in use is told before anything is started.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close() //nolint:errcheck // the server closes it as a rule
	b, err := openBackend(ctx, cfg, logger, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // what ended ctx must not end the closing
	if err := b.log.CheckMaster(ctx); err != nil {
		return err
	}
	s := &server{backend: b, logger: logger, metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	public := cfg.public
	if public == "" {
		public = "http://" + listener.Addr().String()
	}
	if err := s.assemble(ctx, public); err != nil {
		return err
	}
	if err := s.firstAdministrator(ctx, out); err != nil {
		return err
	}
	if demo {
		if err := s.demo(ctx, out); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	g, running := errgroup.WithContext(ctx)
	if cfg.role("projector") {
		g.Go(func() error { return s.runner.Run(running) })
	}
	if cfg.role("worker") {
		g.Go(func() error { return s.jobs.Run(running) })
		g.Go(func() error { return s.rules.Run(running) })
		g.Go(func() error { return s.keeper.Run(running) })
		g.Go(func() error { return s.deliveries.Run(running) })
	}
	if cfg.role("api") {
		g.Go(func() error { return s.live.Run(running) })
		g.Go(func() error { return s.recent.Run(running) })
	}
	g.Go(func() error { return b.keepMaster(running) })
	g.Go(func() error { return s.refusals.Run(running) })
	routes, err := s.routes() //nolint:contextcheck // requests have one of their own
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute, // requests that take longer say so to their connection
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	g.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-running.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return web.Shutdown(stopping)
	})
	g.Go(func() error {
		url := "http://" + listener.Addr().String()
		if err := s.untilReady(running); err != nil {
			return nil //nolint:nilerr // stopped before it was ready
		}
		retract, err := b.announce(url)
		if err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		s.ready.Store(true)
		if _, err := fmt.Fprintln(out, "ready", url); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		<-running.Done()
		retract()
		return nil
	})
	err = g.Wait()
	s.commands.Wait()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.refusals.Flush(stopping); err != nil { // of the last requests
		logger.ErrorContext(ctx, "refusals could not be written", "err", err)
	}
	if err := s.recent.Flush(stopping); err != nil {
		logger.ErrorContext(ctx, "which clients were opened last could not be written", "err", err)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	logger.InfoContext(ctx, "stopped")
	return nil
}

// untilReady returns when the read models have caught up with the log.
func (s *server) untilReady(ctx context.Context) error {
	for {
		if err := s.check(ctx); err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check says what is not in order.
func (s *server) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if s.node != nil {
		if err := s.node.Err(); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	if _, err := s.log.Head(ctx); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := s.runner.Ready(ctx); err != nil {
		return fmt.Errorf("read models: %w", err)
	}
	if s.role("worker") {
		return s.rules.Ready(ctx)
	}
	return nil
}

// instrument counts requests and how long they took, by route, never by path:
// paths hold ids.
func instrument(reg prometheus.Registerer) mux.MiddlewareFunc {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "annals_http_request_seconds", Help: "How long requests took, by route.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})
	reg.MustRegister(took)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			route := "?"
			if cur := mux.CurrentRoute(r); cur != nil {
				if t, err := cur.GetPathTemplate(); err == nil {
					route = t
				}
			}
			start, seen := now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
			next.ServeHTTP(seen, r)
			took.WithLabelValues(r.Method, route, strconv.Itoa(seen.status)).Observe(now().Sub(start).Seconds())
		})
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush keeps streamed answers streaming.
func (w *statusWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
