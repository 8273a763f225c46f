package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"annals/domain"
	"annals/internal/audit"
	"annals/internal/backup"
	"annals/internal/masterkey"
	"annals/internal/version"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup PATH",
		Short: "Copy all that cannot be built again into a directory, beside a running server or without one",
		Args:  wantArgs(1),
	}
	load := configFlags(cmd)
	withoutKeys := cmd.Flags().Bool("without-keys", false, "leave out the generated keys, to be kept apart: without them nobody can read what is personal in the backup")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.eventStore != "" {
			return usage("backup copies the embedded log, and ANNALS_EVENTSTORE names another one: back that up by its own means")
		}
		if _, err := os.Stat(filepath.Join(cfg.data, masterkey.File)); err != nil && cfg.masterKey == "" {
			return fmt.Errorf("there is nothing to back up: %w", err)
		}
		b, err := openDatabase(cmd.Context(), cfg, quiet(cmd), false)
		if err != nil {
			return err
		}
		return errors.Join(writeBackup(cmd, b, args[0], !*withoutKeys), b.close())
	}
	return cmd
}

func quiet(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// openDatabase is openBackend without the log.
func openDatabase(ctx context.Context, cfg config, logger *slog.Logger, serving bool) (_ *backend, err error) {
	b := &backend{config: cfg, database: cfg.database}
	defer func() { //nolint:contextcheck // what ended ctx must not end the closing
		if err != nil {
			_ = b.close()
		}
	}()
	if _, err := os.Stat(filepath.Join(cfg.data, restoringFile)); err == nil && !cfg.restoring {
		return nil, errRestoring
	}
	if b.master, err = masterkey.Load(cfg.data, cfg.masterKey); err != nil {
		return nil, err
	}
	return b, b.startPostgres(ctx, logger, serving)
}

func (c config) keyFiles() []string {
	return []string{filepath.Join(c.data, masterkey.File), filepath.Join(c.data, audit.KeyFile)}
}

func writeBackup(cmd *cobra.Command, b *backend, dir string, withKeys bool) error {
	cfg := backup.Config{Database: b.database, Blobs: b.storage(), Master: b.master.ID(), App: version.String(), Now: now}
	for _, f := range b.master.Former() {
		cfg.Former = append(cfg.Former, f.ID())
	}
	if withKeys {
		cfg.Keys = b.keyFiles()
	}
	m, err := backup.Write(cmd.Context(), cfg, dir)
	if err != nil {
		return err
	}
	for _, t := range m.Tables {
		if t.Schema == "annals_log" && t.Name == "events" {
			fmt.Fprintf(cmd.OutOrStdout(), "%d events, up to position %d, as of %s\n", t.Rows, m.Head, m.At.Format("2006-01-02T15:04:05Z"))
		}
	}
	if len(m.Keys) > 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "the keys are in it: whoever has the backup can read it")
	}
	return nil
}

// restoringFile is there while a restore is under way, or was not finished.
const restoringFile = "restoring"

var errRestoring = errors.New("a restore into this data directory was not finished: run annals restore again, and what is there is replaced")

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore PATH",
		Short: "Put a backup back, into an empty data directory and database; read models are built at the next start",
		Args:  wantArgs(1),
	}
	load := configFlags(cmd)
	erased := cmd.Flags().String("erased", "", "list of those who have been erased, "+backup.ErasedFile+" of the data directory: they are erased again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.eventStore != "" {
			return usage("restore puts back the embedded log, and ANNALS_EVENTSTORE names another one")
		}
		cfg.restoring, cfg.eventStoreListen, cfg.oidcIssuer, cfg.roles = true, "127.0.0.1:0", "", "api,projector,worker"
		cfg.eventStoreCert, cfg.eventStoreKey, cfg.eventStorePass = "", "", ""
		r := restore{config: cfg, dir: args[0], logger: quiet(cmd), out: cmd.OutOrStdout()}
		if r.Manifest, err = backup.Read(r.dir); err != nil {
			return err
		}
		if *erased != "" {
			if r.erased, err = backup.ReadErased(*erased); err != nil {
				return fmt.Errorf("--erased: %w", err)
			}
		}
		return r.run(cmd.Context())
	}
	return cmd
}

// restore is one under way.
type restore struct {
	config
	*backup.Manifest
	dir    string
	erased []domain.ID
	logger *slog.Logger
	out    io.Writer
}

// run restores. Wherever it ends too soon, a mark says that nothing may be started on what
// there is, least of all before those who were erased are again.
func (r restore) run(ctx context.Context) error {
	if err := os.MkdirAll(r.data, 0o711); err != nil { //nolint:gosec // see openBackend
		return fmt.Errorf("data directory: %w", err)
	}
	if err := r.placeKeys(); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	b, err := openDatabase(ctx, r.config, r.logger, true)
	if err != nil {
		return err
	}
	n, err := r.fill(ctx, b)
	if err := errors.Join(err, b.close()); err != nil { //nolint:contextcheck // what ended ctx must not end the closing
		return err
	}
	if err := r.eraseAgain(ctx); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(r.mark()), syncDirectory(r.data)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "restored up to position %d, with %d documents; %d clients were erased again\n", r.Head, n, len(r.erased))
	return err
}

// placeKeys has the backup's keys in the data directory, or those that were put there.
func (r restore) placeKeys() error {
	if err := backup.RestoreKeys(r.Manifest, r.dir, r.data); err != nil {
		return err
	}
	configured := []string{r.masterKey, r.auditKey}
	for i, path := range r.keyFiles() {
		if _, err := os.Stat(path); err != nil && configured[i] == "" {
			return fmt.Errorf("the backup is without keys: put %s into %s first", filepath.Base(path), r.data)
		}
	}
	master, err := masterkey.Load(r.data, r.masterKey)
	if err != nil {
		return err
	}
	for _, needed := range append([]string{r.Master}, r.Former...) {
		if !master.Has(needed) {
			return fmt.Errorf("the master key is another one (%s) than that of the backup (%s)", master.ID(), needed)
		}
	}
	return nil
}

// prepare makes the tables that are filled, as a server does.
func (r restore) prepare(ctx context.Context) (err error) {
	b, err := openBackend(ctx, r.config, r.logger, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // what ended ctx must not end the closing
	if _, err := os.Stat(r.mark()); errors.Is(err, os.ErrNotExist) {
		empty, err := backup.Empty(ctx, b.database)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		if !empty {
			return errors.New("there is a log already: restore into an empty data directory and database")
		}
		if err := os.WriteFile(r.mark(), nil, 0o600); err != nil {
			return err
		}
		if err := syncDirectory(r.data); err != nil {
			return err
		}
	}
	s := &server{backend: b, logger: r.logger, metrics: prometheus.NewRegistry()}
	return s.assemble(ctx, "http://127.0.0.1")
}

func (r restore) mark() string { return filepath.Join(r.data, restoringFile) }

func syncDirectory(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator says where
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill puts back what the database had, and the documents; it answers how many those are.
func (r restore) fill(ctx context.Context, b *backend) (documents int, err error) {
	if err := backup.RestoreDatabase(ctx, r.Manifest, r.dir, b.database); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	n, err := backup.RestoreDocuments(ctx, r.Manifest, r.dir, r.storage())
	if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	return n, nil
}

// eraseAgain erases who was erased after the backup: it is in the log then, for whoever
// checks that.
func (r restore) eraseAgain(ctx context.Context) (err error) {
	if len(r.erased) == 0 {
		return nil
	}
	b, err := openBackend(ctx, r.config, r.logger, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // what ended ctx must not end the closing
	s := &server{backend: b, logger: r.logger, metrics: prometheus.NewRegistry()}
	if err := s.assemble(ctx, "http://127.0.0.1"); err != nil {
		return err
	}
	for _, id := range r.erased {
		if err := s.commands.EraseAgain(ctx, id); err != nil {
			return fmt.Errorf("erase %s: %w", id, err)
		}
	}
	return backup.OpenErased(r.data).Add(r.erased...)
}
