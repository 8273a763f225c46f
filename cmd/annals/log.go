package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

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
	report, err := engine.Verify(cmd.Context(), b.pool, func(e engine.Event) error {
		return b.log.Check(cmd.Context(), e.Stream, e.Type, e.Data, e.Metadata)
	})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for _, p := range report.Problems {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%v\n", p); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), fmt.Sprintf("%d events in %d streams, %d problems\n", report.Events, report.Streams, len(report.Problems))); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return errors.New("the log is damaged")
	}
	return nil
}
