package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"annals/internal/esnode/engine"
)

func logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check revisions, positions and decodability of every event of the embedded log",
		Args:  wantArgs(0),
	}
	load := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.eventStore != "" {
			return usage("log verify checks the embedded log, and ANNALS_EVENTSTORE names another one")
		}
		b, err := openBackend(cmd.Context(), cfg, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})), false)
		if err != nil {
			return err
		}
		return errors.Join(verifyLog(cmd, b), b.close())
	}
	return group("log", "Work with the log itself", cmd)
}

func verifyLog(cmd *cobra.Command, b *backend) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	db, err := pgx.Connect(ctx, b.database) // of its own: reading a whole log may take longer than a request
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	report, err := engine.Verify(ctx, db, func(e *engine.Event) error {
		return b.log.Check(ctx, e.Stream, e.Type, e.Data, e.Metadata)
	})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for _, p := range report.Problems {
		fmt.Fprintln(out, p)
	}
	if more := report.Faults - int64(len(report.Problems)); more > 0 {
		fmt.Fprintf(out, "… and %d more\n", more)
	}
	fmt.Fprintf(out, "%d events in %d streams, %d faults\n", report.Events, report.Streams, report.Faults)
	if report.Faults > 0 {
		return errors.New("the log is damaged")
	}
	return nil
}
