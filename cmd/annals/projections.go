package main

import (
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"annals/projections"
)

func (b *backend) projections(logger *slog.Logger) projections.Config {
	return projections.Config{Database: b.database, Log: b.log, Logger: logger}
}

func projectionsCommand() *cobra.Command {
	return group("projections", "Look after the read models",
		onProjections("list", "Show each read model: version, how far behind, parked streams", 0, listProjections),
		onProjections("verify", "Build each read model anew, beside the one in use, and compare them row by row", 1, verifyProjections),
		onProjections("rebuild", "Build a read model anew and replace the one in use", 1, rebuildProjections),
		onProjections("resume", "Apply parked streams again, in order", 1, resumeProjections),
	)
}

// onProjections is a subcommand that works on the read models, beside a running
// server or without one.
func onProjections(use, short string, args int, f func(*cobra.Command, *backend, projections.Config, []string) error) *cobra.Command {
	if args > 0 {
		use += " [NAME]"
	}
	cmd := &cobra.Command{Use: use, Short: short, Args: wantBetween(0, args)}
	load := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		names, err := projectionNames(args)
		if err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		b, err := openBackend(cmd.Context(), cfg, logger, false)
		if err != nil {
			return err
		}
		return errors.Join(f(cmd, b, b.projections(logger), names), b.close())
	}
	return cmd
}

// projectionNames are the one that was asked for, or all.
func projectionNames(args []string) (names []string, err error) {
	for _, p := range projections.All {
		if len(args) == 0 || args[0] == p.Name {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return nil, usage("there is no read model %q", args[0])
	}
	return names, nil
}

func listProjections(cmd *cobra.Command, b *backend, cfg projections.Config, _ []string) error {
	all, err := projections.List(cmd.Context(), b.pool, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVERSION\tSTATE\tPOSITION\tLAG\tPARKED\tLAST ERROR")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%s\n", s.Name, s.Version, s.State, s.Position, s.Lag.Round(time.Millisecond), len(s.Parked), s.LastError)
	}
	for _, s := range all {
		for _, p := range s.Parked {
			fmt.Fprintf(w, "parked in %s: %s from revision %d (%s), %d attempts: %s\n", s.Name, p.Stream, p.Revision, p.Type, p.Attempts, p.Error)
		}
	}
	return w.Flush()
}

func verifyProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	differ := 0
	for _, name := range names {
		report, err := projections.Verify(cmd.Context(), cfg, name)
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, report)
		if !report.OK() {
			differ++
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d read models differ from what the log says: rebuild them", differ)
	}
	return nil
}

func rebuildProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	for _, name := range names {
		start := time.Now()
		if err := projections.Rebuild(cmd.Context(), cfg, name); err != nil {
			return fmt.Errorf("rebuild %s: %w", name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: rebuilt in %v\n", name, time.Since(start).Round(time.Millisecond))
	}
	return nil
}

func resumeProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	for _, name := range names {
		resumed, err := projections.Resume(cmd.Context(), cfg, name)
		if err != nil {
			return fmt.Errorf("resume %s: %w", name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d streams resumed\n", name, resumed)
	}
	return nil
}
