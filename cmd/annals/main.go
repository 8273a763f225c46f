// Command annals is the CRM that remembers: one binary that serves everything,
// and the subcommands that work with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"annals/internal/version"
)

// How a subcommand leaves, unless all went well.
const (
	exitFailed   = 1 // it did not work
	exitUsage    = 2 // it was used wrongly
	exitRejected = 3 // it worked, but for some of the input
)

// exit is an error with a status of its own.
type exit struct {
	status int
	error
}

func (e exit) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return exit{exitUsage, fmt.Errorf(format, args...)} }

// now is where the clock comes in: everything below is told the time.
var now = time.Now //nolint:forbidigo // see above

func main() {
	collectGarbage()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// collectGarbage spends memory to save time: what is live is small and what is
// allocated, by gRPC above all, is much. Near the limit it collects as eagerly as
// it has to. GOGC and GOMEMLIMIT say otherwise where they are set.
func collectGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(2 << 30)
	}
}

func run(ctx context.Context, args []string) int {
	cmd := root() //nolint:contextcheck // cobra hands ctx to the commands
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "annals:", err)
	if e, ok := errors.AsType[exit](err); ok {
		return e.status
	}
	if strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "required flag") {
		return exitUsage // cobra has no type for them
	}
	return exitFailed
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "annals",
		Short:         "The CRM that remembers",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q: see annals --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit{exitUsage, err} })
	cmd.AddCommand(serveCommand(), accessCommand(), importCommand(), exportCommand(), eraseCommand(), demoCommand(), replayCommand(), signInCommand(), projectionsCommand(), logCommand(), keysCommand(), auditCommand(), witnessCommand(), mailCommand(), backupCommand(), restoreCommand(), benchCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print which software this is",
		Args:  wantArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "annals", version.String())
			return err
		},
	})
	return cmd
}

// group is a command that only holds others.
func group(use, short string, cmds ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%s: there is no %q", cmd.CommandPath(), args[0])
		}
		return usage("%s: say which: see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}}
	cmd.AddCommand(cmds...)
	return cmd
}

// wantArgs is a number of arguments, told as a mistake in use.
func wantArgs(n int) cobra.PositionalArgs { return wantBetween(n, n) }

func wantBetween(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return usage("usage: %s", cmd.UseLine())
		}
		return nil
	}
}
