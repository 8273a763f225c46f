package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"annals/commands"
	"annals/domain"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/field"
	"annals/domain/project"
	"annals/domain/tag"
	"annals/internal/auth"
	"annals/internal/generate"
	"annals/internal/version"
)

// mostGenerating is how much memory is taken before it is collected more eagerly.
const mostGenerating = 200 << 20

// mostGenerated is how many clients somebody can ask for.
const mostGenerated = 10_000_000

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate --clients N",
		Short: "Make up a company with N clients and three years of history",
		Long: `Make up a company with N clients and three years of history, beside a running
server or without one.

There are persons and companies with names in many languages and scripts, in
several projects and on their desks, with managers, tags, custom fields, notes,
calls and actions; with changes of status, manager and details since; and some
of them are there twice, mistyped. No e-mail address is anybody's: all are on
reserved domains such as example.com.

The same seed makes the same clients, and each of them once: what was
interrupted is continued, and a larger N adds the rest. Another seed makes
another company, with the same tags and custom fields.

One of each role in its largest project can sign in with the password ` + demoPassword + `:
standard error says who.`,
		Args: wantArgs(0),
	}
	load := configFlags(cmd)
	clients := cmd.Flags().Int("clients", 0, fmt.Sprintf("how many there are to be, 1 to %d", mostGenerated))
	seed := cmd.Flags().Uint64("seed", 1, "a number that everything follows from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case !cmd.Flags().Changed("clients"):
			return usage("--clients: is required: how many clients there are to be")
		case *clients < 1 || *clients > mostGenerated:
			return usage("--clients: has to be 1 to %d", mostGenerated)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		cfg.forgetful = true
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(mostGenerating)
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		b, err := openBackend(cmd.Context(), cfg, logger, false)
		if err != nil {
			return err
		}
		return errors.Join(generateDemo(cmd, b, *seed, *clients, logger), b.close())
	}
	return group("demo", "Fill the system with data that is made up", cmd)
}

func generateDemo(cmd *cobra.Command, b *backend, seed uint64, clients int, logger *slog.Logger) error {
	ctx, began := cmd.Context(), now()
	credentials, err := auth.Open(ctx, b.pool, now, auth.MasterBox(b.master))
	if err != nil {
		return err
	}
	store := commands.NewStore(b.log)
	store.Logger = logger
	f := founder{&commands.API{Store: store, Credentials: credentials, Now: now, App: version.String(), Logger: logger}, seed}
	world, fresh, err := f.found(ctx)
	if err != nil {
		return fmt.Errorf("the company: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "the company: %s\nsign in with the password %s as %s\n", counted(generate.Counts(seed)), demoPassword, strings.Join(generate.SignIns(seed), ", "))
	m := &making{log: b.log, generator: generate.New(seed, version.String(), world), fresh: fresh, out: cmd.ErrOrStderr()}
	made, err := m.run(ctx, clients)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted") // and not however the log told it
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w (%d clients were added: run it again to go on)", err, made.clients)
	case made.clients == 0:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "nothing was added: the first %d clients of seed %d are there already\n", clients, seed)
		return err
	}
	took := now().Sub(began).Seconds()
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "generated %d clients of seed %d (%d were there already): %d duplicates, %d changes, %d activities, %d events, in %.1f s, %.0f clients/s\n",
		made.clients, seed, clients-int(made.clients), made.duplicates, made.changes, made.activities, made.events, took, float64(made.clients)/math.Max(took, 0.001))
	return err
}

// counted says how many there are of what a company has.
func counted(n map[string]int) string {
	var parts []string
	for _, of := range [][2]string{
		{domain.Project, "projects"}, {domain.Desk, "desks"}, {domain.Employee, "employees"}, {domain.Tag, "tags"}, {domain.CustomField, "custom fields"},
	} {
		parts = append(parts, fmt.Sprintf("%d %s", n[of[0]], of[1]))
	}
	return strings.Join(parts, ", ")
}

// founder has the company of a seed come to be, each part of it once.
type founder struct {
	api  *commands.API
	seed uint64
}

// found returns the company as it is in the log: somebody may have changed it since it was
// made. It is fresh if it was not there, and so has no client.
func (f founder) found(ctx context.Context) (w domain.World, fresh bool, err error) {
	steps := generate.Organisation(f.seed, version.String())
	last, err := commands.Load[employee.State](ctx, f.api.Store, steps[len(steps)-1].Ref)
	if err != nil {
		return nil, false, err
	}
	if fresh = !last.Exists(); fresh {
		for _, s := range steps {
			err := f.carryOut(ctx, s)
			if s.Ref.Category == domain.Tag || s.Ref.Category == domain.CustomField {
				err = unlessTaken(err) // a tag or field of that name that somebody else has defined does as well
			}
			if err != nil {
				return nil, fresh, fmt.Errorf("%s: %w", s.Ref.Stream(), err)
			}
		}
	}
	refs := generate.Refs(f.seed)
	states := make([]any, len(refs))
	load, ctx := errgroup.WithContext(ctx)
	load.SetLimit(16)
	for i, ref := range refs {
		load.Go(func() (err error) {
			if states[i], err = f.state(ctx, ref); err != nil {
				return fmt.Errorf("%s: %w", ref.Stream(), err)
			}
			return nil
		})
	}
	if err := load.Wait(); err != nil {
		return nil, fresh, err
	}
	w = domain.World{}
	for i, ref := range refs {
		w[ref] = states[i]
	}
	return w, fresh, nil
}

func (f founder) carryOut(ctx context.Context, s generate.Step) error {
	switch c := s.Command.(type) {
	case project.Command:
		return handle(ctx, f, project.Aggregate, s, c)
	case desk.Command:
		return handle(ctx, f, desk.Aggregate, s, c)
	case tag.Command:
		return handle(ctx, f, tag.Aggregate, s, c)
	case field.Command:
		return handle(ctx, f, field.Aggregate, s, c)
	case employee.Command:
		r := c.(employee.Register)
		password := ""
		if slices.Contains(generate.SignIns(f.seed), r.Email) {
			password = demoPassword
		}
		_, err := f.api.RegisterEmployee(ctx, s.Ref.ID, r, password, s.Meta)
		return err
	}
	return fmt.Errorf("nobody carries out a %T", s.Command)
}

func handle[S, C, E any](ctx context.Context, f founder, d domain.Decider[S, C, E], s generate.Step, c C) error {
	_, err := commands.Handle(ctx, f.api.Store, d, s.Ref.ID, c, s.Meta, commands.AnyRevision)
	return err
}

func unlessTaken(err error) error {
	for _, e := range domain.All(err) {
		if e.Code != "taken" {
			return err
		}
	}
	if domain.KindOf(err) == domain.Invalid {
		return nil
	}
	return err
}

func (f founder) state(ctx context.Context, ref domain.Ref) (any, error) {
	switch ref.Category {
	case domain.Project:
		return commands.Load[project.State](ctx, f.api.Store, ref)
	case domain.Desk:
		return commands.Load[desk.State](ctx, f.api.Store, ref)
	case domain.Employee:
		return commands.Load[employee.State](ctx, f.api.Store, ref)
	case domain.Tag:
		return commands.Load[tag.State](ctx, f.api.Store, ref)
	case domain.CustomField:
		return commands.Load[field.State](ctx, f.api.Store, ref)
	}
	return nil, errors.New("is nothing that clients need")
}
