package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
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

func listProjections(cmd *cobra.Command, b *backend, _ projections.Config, _ []string) error {
	all, err := projections.StatusOf(cmd.Context(), b.pool, b.log)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVERSION\tSTATE\tPOSITION\tEVENTS\tLAG\tPARKED\tLAST ERROR")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%v\t%d\t%s\n", s.Name, s.Version, s.State, s.Position, s.Events, s.Lag.Round(time.Millisecond), len(s.Parked), s.Error)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		for _, p := range s.Parked {
			fmt.Fprintf(cmd.OutOrStdout(), "parked in %s: %s from revision %d (%s) on, after %d attempts: %s\n", s.Name, p.Stream, p.Revision, p.Type, p.Attempts, p.Error)
		}
	}
	return nil
}

func verifyProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	var differ error
	for _, name := range names {
		report, err := projections.Verify(cmd.Context(), cfg, name)
		if err != nil && !errors.Is(err, projections.ErrDiffers) {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		tellReport(cmd.OutOrStdout(), report)
		if err != nil {
			differ = err
		}
	}
	return differ
}

func tellReport(w io.Writer, r projections.Report) {
	for _, t := range r.Tables {
		for _, d := range t.First {
			fmt.Fprintf(w, "%s.%s %s: %s %s\n", r.Schema, t.Table, d.Key, d.Kind, strings.Join(d.Columns, ", "))
		}
		fmt.Fprintf(w, "%s.%s: %d rows, %d differ\n", r.Schema, t.Table, t.Rows, t.Differences)
	}
	for _, stream := range r.Parked {
		fmt.Fprintf(w, "%s: parked: %s\n", r.Schema, stream)
	}
}

func rebuildProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	for _, name := range names {
		start := now()
		if err := projections.Rebuild(cmd.Context(), cfg, name); err != nil {
			return fmt.Errorf("rebuild %s: %w", name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: rebuilt in %v\n", name, now().Sub(start).Round(time.Millisecond))
	}
	return nil
}

func resumeProjections(cmd *cobra.Command, _ *backend, cfg projections.Config, names []string) error {
	var failed error
	for _, name := range names {
		all, err := projections.Resume(cmd.Context(), cfg, name)
		if err != nil {
			return fmt.Errorf("resume %s: %w", name, err)
		}
		for _, r := range all {
			if r.Err != nil {
				failed = errors.New("some streams stay parked")
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s stays parked: %v\n", name, r.Stream, r.Err)
				continue
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s resumed, %d events applied\n", name, r.Stream, r.Events)
		}
		if len(all) == 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing is parked\n", name)
		}
	}
	return failed
}
