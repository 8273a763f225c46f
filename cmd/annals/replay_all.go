package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"annals/domain"
	"annals/internal/eventlog"
	"annals/internal/replay"
)

// replayFromLog is a replay of many clients by who runs the server: on the log itself, beside
// a running server or without one.
func replayFromLog(use, short string, args int) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + `.

The log is read from its beginning, with the server's own settings. Of each client
some hundred bytes are kept meanwhile, whatever happened to it.`,
		Args: wantArgs(args),
	}
	load := configFlags(cmd)
	asOf := cmd.Flags().String("as-of", "", "stop after this moment: a time as in 2026-01-31T15:04:05Z, or a date with all of its day")
	position := cmd.Flags().String("position", "", "stop after this position of the log")
	steps := cmd.Flags().Bool("steps", false, "tell each event, in the order of the log, instead of what each client was in the end")
	differences := cmd.Flags().Bool("diff", false, "of each step only what it changed; takes --steps")
	asJSON := cmd.Flags().Bool("json", false, "print a line of JSON per client or step")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		which := replay.Which{Steps: *steps}
		var err error
		if len(args) > 0 {
			if which.Project, err = uuid.Parse(args[0]); err != nil {
				return usage("%q is not a project's id", args[0])
			}
		}
		if *differences && !*steps {
			return usage("--diff: tells what each step changed, and takes --steps")
		}
		if *asOf != "" {
			if which.Until.AsOf, err = parseMoment(*asOf); err != nil {
				return err
			}
		}
		if *position != "" {
			at, err := eventlog.ParsePosition(*position)
			if err != nil {
				return usage("--position: %v", err)
			}
			which.Until.Position = &at
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		b, err := openBackend(cmd.Context(), cfg, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})), false)
		if err != nil {
			return err
		}
		return errors.Join(tellAll(cmd, b, which, *asJSON, *differences), b.close())
	}
	return cmd
}

func tellAll(cmd *cobra.Command, b *backend, which replay.Which, asJSON, differences bool) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	if which.Project != (domain.ID{}) {
		there := false
		for _, err := range b.log.Read(ctx, eventlog.Stream(domain.Project, which.Project), 0) {
			if err != nil {
				return err
			}
			there = true
			break
		}
		if !there {
			return fmt.Errorf("there is no project %s", which.Project)
		}
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for t, err := range replay.All(ctx, b.log, which) {
		switch {
		case err != nil:
			return fmt.Errorf("replay: %w", err)
		case asJSON:
			err = out.Encode(t)
		case t.Last != nil:
			err = tellLast(w, t)
		default:
			err = tellOneOfAll(w, t, differences)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tellLast prints a client as it was in the end.
func tellLast(w io.Writer, t replay.Told) error {
	state, err := fieldsOfState(t.Last.State)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s  revision %d\n", t.Client, t.Last.Revision); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(state)) {
		if _, err := fmt.Fprintf(w, "     %s: %v\n", field, state[field]); err != nil {
			return err
		}
	}
	return nil
}

func tellOneOfAll(w io.Writer, t replay.Told, differences bool) error {
	before, err := fieldsOfState(t.Before)
	if err != nil {
		return err
	}
	now, err := fieldsOfState(t.State)
	if err != nil {
		return err
	}
	s := step{Revision: int64(t.Revision), Type: t.Type, At: t.At, Erased: t.Erased}
	s.Actor.ID, s.Actor.Name = t.Actor.ID.String(), t.Actor.Name
	if _, err := fmt.Fprintf(w, "%s  ", t.Client); err != nil {
		return err
	}
	return tellStep(w, s, before, now, differences)
}

// fieldsOfState are the fields of a state by path, as a server's answer has them.
func fieldsOfState(s *replay.State) (map[string]any, error) {
	if s == nil {
		return map[string]any{}, nil
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	err = json.Unmarshal(raw, &m)
	return flatten("", m), err
}
