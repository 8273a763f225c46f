package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"annals/internal/audit"
	"annals/internal/audit/bundle"
	"annals/internal/version"
)

func auditCommand() *cobra.Command {
	return group("audit", "Prove that nothing was altered: export, verify, public keys", auditExportCommand(), auditVerifyCommand(), auditKeyCommand())
}

// auditor is what local commands of auditing work with.
type auditor struct {
	*backend
	tree *audit.Store
	key  *audit.Key
}

// openAuditor opens the log and its tree, and waits until the tree has all of the log:
// grown by the server that runs beside, or else here.
func openAuditor(ctx context.Context, cfg config, stderr io.Writer) (_ *auditor, err error) {
	cfg.forgetful = true
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	b, err := openBackend(ctx, cfg, logger, false)
	if err != nil {
		return nil, err
	}
	a := &auditor{backend: b}
	defer func() { //nolint:contextcheck // what ended ctx must not end the closing
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if a.tree, err = audit.Open(ctx, b.pool); err != nil {
		return nil, err
	}
	if a.key, err = audit.LoadKey(cfg.data, cfg.auditKey); err != nil {
		return nil, err
	}
	return a, a.catchUp(ctx, logger)
}

// catchUp waits until the tree has what is in the log.
func (a *auditor) catchUp(ctx context.Context, logger *slog.Logger) error {
	head, err := a.log.Head(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	keeper := audit.NewKeeper(a.tree, a.log, a.key, now, logger)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = keeper.Run(ctx) // ends with ctx, and says nothing else
	}()
	defer func() {
		cancel()
		<-done
	}()
	var last audit.State
	for since := now(); ; {
		st, err := a.tree.State(ctx)
		if err != nil {
			return err
		}
		if st.At.Compare(head) >= 0 {
			if c, err := a.tree.Checkpoint(ctx); err == nil && c.Size == st.Size || st.Size == 0 {
				return nil
			}
		}
		if err := keeper.Err(); errors.Is(err, audit.ErrForeign) || errors.Is(err, audit.ErrTampered) {
			return err
		}
		if st != last {
			last, since = st, now()
		}
		if now().Sub(since) > time.Minute {
			return fmt.Errorf("the tree stays at position %s, and the log is at %s: does the worker run?", st.At, head)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func auditExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a bundle that others can check offline: events with their proofs, and the same for people to read",
		Args:  wantArgs(0),
	}
	load := configFlags(cmd)
	f := cmd.Flags()
	client := f.String("client", "", "a client, with all that belongs to it")
	project := f.String("project", "", "a project, with its desks and all clients that were ever in it")
	from := f.String("from", "", "everything from this moment on: a time as in 2026-01-31T15:04:05Z, or a date")
	to := f.String("to", "", "until this moment, which is not included; a date is included with all of its day")
	out := f.String("out", "", "the directory to write, which must not exist")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		scope, err := auditScope(*client, *project, *from, *to)
		if err != nil {
			return err
		}
		if *out == "" {
			return usage("--out is required: the directory to write")
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(*out)
		if err != nil {
			return usage("--out: %v", err)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
		defer stop()
		a, err := openAuditor(ctx, cfg, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return errors.Join(a.export(ctx, scope, dir, *out, cmd.OutOrStdout()), a.close())
	}
	return cmd
}

func (a *auditor) export(ctx context.Context, scope bundle.Scope, dir, called string, out io.Writer) error {
	witnesses, err := a.witnessKeys()
	if err != nil {
		return err
	}
	s := &bundle.Source{Log: a.log, Tree: a.tree, Key: a.key, Witnesses: witnesses, Now: now, App: version.String()}
	sum, err := s.Export(ctx, scope, dir)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	_, err = fmt.Fprintf(out, "%d events of %d streams, proven to be in the tree of %d, in %s\nto be checked with the public key %s\n",
		sum.Events, sum.Streams, sum.Leaves, called, a.key.Public)
	return err
}

func auditScope(client, project, from, to string) (s bundle.Scope, err error) {
	n := 0
	for kind, id := range map[string]string{"client": client, "project": project} {
		if id == "" {
			continue
		}
		parsed, err := uuid.Parse(id)
		if err != nil {
			return s, usage("--%s: %q is not an id", kind, id)
		}
		s.Kind, s.ID = kind, parsed.String()
		n++
	}
	if from != "" || to != "" {
		n++
		s.Kind, s.To = "period", now()
		if from != "" {
			if s.From, err = moment("from", from, false); err != nil {
				return s, err
			}
		}
		if to != "" {
			if s.To, err = moment("to", to, true); err != nil {
				return s, err
			}
		}
		if !s.From.Before(s.To) {
			return s, usage("--from has to be before --to")
		}
	}
	if n != 1 {
		return s, usage("either --client, or --project, or a period with --from and --to")
	}
	return s, nil
}

// moment reads a time, or a date: its beginning, or its end.
func moment(flag, s string, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, usage("--%s: %q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", flag, s)
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

func auditVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [BUNDLE]",
		Short: "Check a bundle, offline, with nothing but public keys; or, with --live, the running log against its tree",
		Args:  cobra.MaximumNArgs(1),
	}
	load := configFlags(cmd)
	keyFile := cmd.Flags().String("key", "", "file with the public keys, of the log and of witnesses; without it those that the bundle brings, which prove less")
	live := cmd.Flags().Bool("live", false, "check every event of the log against the tree, and the tree against what was signed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *live == (len(args) == 1) {
			return usage("either a bundle or --live")
		}
		if !*live {
			return verifyBundle(args[0], *keyFile, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return verifyLive(cmd.Context(), cfg, *keyFile, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

var errDamaged = errors.New("it is not what was signed")

func readKeys(path string) (bundle.Keys, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user says where
	if err != nil {
		return bundle.Keys{}, fmt.Errorf("public keys: %w", err)
	}
	keys, err := bundle.ParseKeys(string(text))
	if err != nil {
		return keys, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func verifyBundle(dir, keyFile string, out, stderr io.Writer) error {
	path := keyFile
	if path == "" {
		path = filepath.Join(dir, bundle.KeysFile)
		fmt.Fprintln(stderr, "checked with the keys that the bundle brings: compare them with those that you were given by another way, or use --key")
	}
	keys, err := readKeys(path)
	if err != nil {
		return err
	}
	v, err := bundle.Verify(dir, keys)
	if err != nil {
		return err
	}
	for _, fault := range v.Faults {
		fmt.Fprintln(out, fault)
	}
	if v.More > 0 {
		fmt.Fprintf(out, "… and %d more\n", v.More)
	}
	if len(v.Faults) > 0 {
		return errDamaged
	}
	fmt.Fprintf(out, "%s: %d events, unchanged and complete, in the tree of %d that %s has signed\n", v.Scope, v.Events, v.Leaves, keys.Log.Name())
	for _, w := range v.Cosigned {
		fmt.Fprintf(out, "countersigned by %s at %s\n", w.Witness, w.At.Format(time.RFC3339))
	}
	return nil
}

func verifyLive(ctx context.Context, cfg config, keyFile string, out, stderr io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	b, err := openBackend(ctx, cfg, logger, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // what ended ctx must not end the closing
	tree, err := audit.Open(ctx, b.pool)
	if err != nil {
		return err
	}
	key, err := audit.LoadKey(cfg.data, cfg.auditKey)
	if err != nil {
		return err
	}
	verifier := key.Verifier
	witnesses, err := cfg.witnessKeys()
	if err != nil {
		return err
	}
	if keyFile != "" {
		keys, err := readKeys(keyFile)
		if err != nil {
			return err
		}
		verifier, witnesses = keys.Log, append(witnesses, keys.Witnesses...)
	}
	authenticity, err := b.log.Authenticity(ctx)
	if err != nil {
		return err
	}
	faults := 0
	live, err := audit.Verification{
		Log: b.stored(), Tree: tree, Key: verifier, Witnesses: witnesses, Authenticity: authenticity,
	}.Live(ctx, func(f audit.Finding) {
		if faults++; faults <= 1000 {
			fmt.Fprintln(out, f)
		}
	})
	if errors.Is(err, audit.ErrAbsent) {
		return errors.New("there is no checkpoint yet: the worker signs the first when there are events")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d events of the log and the tree, %d of keys of erased people, %d younger than the checkpoint, %d faults\n", live.Leaves, live.Erased, live.Later, faults)
	for _, w := range live.Cosigned {
		fmt.Fprintf(out, "countersigned by %s at %s\n", w.Witness, w.At.Format(time.RFC3339))
	}
	if faults > 0 {
		return errDamaged
	}
	return nil
}

// stored is the log as it is stored: the rows themselves where it is ours.
func (b *backend) stored() audit.Log {
	if b.config.eventStore == "" {
		return audit.Table{DB: b.pool}
	}
	return b.log
}

func auditKeyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Print the public key that checkpoints and bundles are verified with", Args: wantArgs(0)}
	load := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.auditKey == "" {
			if _, err := os.Stat(filepath.Join(cfg.data, audit.KeyFile)); err != nil {
				return fmt.Errorf("there is no key yet: %w", err)
			}
		}
		key, err := audit.LoadKey(cfg.data, cfg.auditKey)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), key.Public)
		return err
	}
	return cmd
}
