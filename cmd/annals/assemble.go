package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"annals/commands"
	"annals/eventschema"
	"annals/internal/accesslog"
	"annals/internal/audit"
	"annals/internal/auth"
	"annals/internal/backup"
	"annals/internal/blobs"
	_ "annals/internal/blobs/providers" // s3, gs, azblob
	"annals/internal/follow"
	"annals/internal/httpapi"
	"annals/internal/jobs"
	"annals/internal/mail"
	"annals/internal/oidc"
	processes "annals/internal/process"
	"annals/internal/reader"
	"annals/internal/recent"
	"annals/internal/refusals"
	"annals/internal/replay"
	"annals/internal/version"
	"annals/internal/webhook"
	"annals/projections"
	"annals/readapi"
)

// readers is how many connections the read side has.
const readers = 16

// assemble makes the parts of the process and tells each which others it needs.
func (s *server) assemble(ctx context.Context, public string) (err error) {
	s.runner = projections.NewRunner(s.projections(s.logger))
	s.metrics.MustRegister(s.runner.Collector())
	if s.refusals, err = refusals.Open(ctx, s.pool, now, s.logger); err != nil {
		return err
	}
	if err := s.refusals.Register(s.metrics); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if s.recent, err = recent.Open(ctx, s.pool, s.logger); err != nil {
		return err
	}
	if s.jobs, err = jobs.Open(ctx, s.pool, jobs.Config{Logger: s.logger, Now: now}); err != nil {
		return err
	}
	mailer, err := mail.Open(ctx, s.pool, s.jobs, mail.Config{SMTP: s.smtp, From: s.mailFrom, Master: s.master, Logger: s.logger, Now: now})
	if err != nil {
		return err
	}
	credentials, err := auth.Open(ctx, s.pool, now, auth.MasterBox(s.master))
	if err != nil {
		return err
	}
	hooks, err := webhook.Open(ctx, s.pool, auth.MasterBox(s.master), now)
	if err != nil {
		return err
	}
	db, err := reader.Open(ctx, s.database, readers)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) error { db.Close(); return nil })
	documents, err := blobs.Open(ctx, s.storage(), blobs.Config{Secret: s.log.Secret, DB: s.pool, Now: now, Logger: s.logger})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) error { return documents.Close() })
	s.reads = &readapi.API{DB: db, Blobs: documents, Uses: credentials.KeyUses, Refusals: s.refusals, Recent: s.recent, Events: eventschema.Types(), Now: now}
	s.reads.AccessLog = accesslog.New(accesslog.Config{Log: s.log, Now: now, App: version.String(), Logger: s.logger})
	s.reads.Want = func(ctx context.Context, name, expression string) error {
		return projections.Want(ctx, s.pool, name, expression)
	}
	s.live = s.reads.Follow(s.log, s.logger)
	store := commands.NewStore(s.log)
	store.Logger = s.logger
	s.commands = &commands.API{
		Store: store, Credentials: credentials, Directory: s.reads.Directory(), AccessLog: s.reads.AccessLog, Mail: s.post(mailer),
		Documents: commands.Documents{Blobs: documents, MostBytes: s.documentBytes()},
		Webhooks:  commands.Webhooks{Keys: hooks, Private: s.webhooksAnywhere()},
		Public:    public, Now: now, App: version.String(), Logger: s.logger,
	}
	if err := s.commands.ScheduleDocuments(s.jobs); err != nil {
		return err
	}
	messages, err := commands.NewMessages(commands.MessagesConfig{
		Store: store, Mailer: mailer, Jobs: s.jobs, Documents: documents, Now: now, App: version.String(), Logger: s.logger,
	})
	if err != nil {
		return err
	}
	rules, err := commands.NewRules(ctx, commands.RulesConfig{API: s.commands, Jobs: s.jobs, DB: s.pool, Mailer: mailer})
	if err != nil {
		return err
	}
	erasures, err := commands.NewErasures(commands.ErasuresConfig{API: s.commands, Jobs: s.jobs, Messages: messages, Clean: s.clean})
	if err != nil {
		return err
	}
	if _, err := commands.NewRetention(s.commands, s.jobs); err != nil {
		return err
	}
	if s.rules, err = processes.Open(ctx, s.pool, processes.Config{
		Log: s.log, Logger: s.logger, Now: now,
		Handlers: append(rules.Handlers(), processes.Handler{Name: "messages", Handle: messages.Follow}, erasures.Handler(), processes.Handler{Name: webhook.Handler, Handle: hooks.Follow}, processes.Handler{Name: "erased_list", Handle: backup.OpenErased(s.data).Follow}),
	}); err != nil {
		return err
	}
	s.metrics.MustRegister(s.rules.Collector())
	if err := hooks.Schedule(s.jobs); err != nil {
		return err
	}
	s.follow = &follow.API{
		Log: s.log, Hub: s.live, Shown: s.reads.Shown, Places: s.reads.Directory().Places, Place: s.commands.ClientPlace,
		AccessLog: s.reads.AccessLog, Enter: s.reads.Live.Enter, Source: public, App: version.Number,
	}
	s.hooks = &webhook.API{Store: hooks, Webhook: s.commands.Webhook}
	if s.deliveries, err = webhook.New(webhook.Config{
		Store: hooks, Log: s.log, Webhook: s.commands.Webhook, Authority: s.commands.WebhookAuthority, Place: s.commands.ClientPlace, Places: s.reads.Directory().PlacesAfter,
		Disable: s.commands.DisableWebhook, Warn: s.commands.WebhookWarning(mailer), Source: public, Agent: "Annals/" + version.Number,
		Private: s.webhooksAnywhere(), Logger: s.logger, Now: now,
	}); err != nil {
		return err
	}
	if s.tree, err = audit.Open(ctx, s.pool); err != nil {
		return err
	}
	if s.role("worker") {
		key, err := audit.LoadKey(s.data, s.auditKey)
		if err != nil {
			return err
		}
		s.keeper = audit.NewKeeper(s.tree, s.log, key, now, s.logger)
	}
	if s.oidcIssuer == "" {
		return nil
	}
	s.commands.SignOn, err = oidc.New(ctx, s.pool, s.provider(public))
	return err
}

// routes is everything that is answered over HTTP.
func (s *server) routes() (http.Handler, error) {
	router := mux.NewRouter()
	router.Use(instrument(s.metrics))
	cfg := httpapi.Config{Version: version.Number, Logger: s.logger, Authenticate: s.commands.Authenticate, Now: now, Refused: s.refused}
	var err error
	if cfg.Origins, err = s.protection(); err != nil {
		return nil, err
	}
	if cfg.TrustedProxies, err = s.trusted(); err != nil {
		return nil, err
	}
	if cfg.Limits, err = s.limits(); err != nil {
		return nil, err
	}
	api := httpapi.New(router, cfg)
	if s.role("api") {
		s.commands.Routes(api)
		s.reads.Routes(api)
		replay.Routes(api, s.log, s.reads.AccessLog)
		s.hooks.Routes(api)
		s.follow.Routes(api)
		witnesses, err := s.witnessKeys()
		if err != nil {
			return nil, err
		}
		(&audit.API{Store: s.tree, Witnesses: witnesses}).Routes(api)
	}
	router.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }).Methods(http.MethodGet)
	router.HandleFunc("/readyz", s.readyz).Methods(http.MethodGet)
	router.Handle("/metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})).Methods(http.MethodGet)
	return router, nil
}

func (s *server) refused(_ context.Context, r httpapi.Refusal) { s.refusals.Add(r) }

func (s *server) post(m *mail.Mailer) commands.Mail {
	return func(ctx context.Context, msg mail.Message) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			_, err := m.Send(ctx, tx, msg)
			return err
		})
	}
}
