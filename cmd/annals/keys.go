package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"annals/internal/eventlog"
	"annals/internal/lease"
	"annals/internal/masterkey"
	"annals/internal/rotation"
	"annals/internal/version"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Have a new master key take the place of the one of now, and everything be wrapped by it",
		Long: `Have a new master key take the place of the one of now, and everything be wrapped by it:
the keys of clients and employees in the log, secrets of second factors and of webhooks, and
mails that wait. After it the former key is needed by nothing but old backups: once its last
copy is destroyed, nobody can bring back who has been erased since.

A generated key: a new one is made in the data directory, before the former one. Where a
process of Annals runs, this says so: restart it, so that it works with the new key, and
run this again. In the end the former key is removed from the data directory.

A configured key: put a new one before it, ANNALS_MASTER_KEY=NEW,FORMER, restart every process
of Annals with that, and run this with it; in the end, configure the new one alone.

It works beside running processes, may be ended at any time, and goes on when it is run
again. Before it begins it waits for a quarter of a minute, in which whoever has lost the
former key without knowing comes to know.`,
		Args: wantArgs(0),
	}
	load := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if _, err := os.Stat(filepath.Join(cfg.data, masterkey.File)); err != nil && cfg.masterKey == "" {
			return fmt.Errorf("there is no master key to rotate: %w", err)
		}
		cfg.forgetful = true
		b, err := openDatabase(ctx, cfg, quiet(cmd), false)
		if err != nil {
			return err
		}
		r := &rotating{backend: b, out: cmd.OutOrStdout()}
		err = r.alone(ctx, func(ctx context.Context) error { return r.run(ctx, cmd) })
		return errors.Join(err, b.close())
	}
	return group("keys", "Work with the master key", cmd)
}

// rotating is a rotation under way.
type rotating struct {
	*backend
	out  io.Writer
	told time.Time
}

// alone has only one process rotate.
func (r *rotating) alone(ctx context.Context, do func(context.Context) error) error {
	held, release, err := lease.Try(ctx, r.pool.Config().ConnConfig, "rotation")
	if err != nil {
		return err
	}
	defer release()
	return do(held)
}

func (r *rotating) run(ctx context.Context, cmd *cobra.Command) (err error) {
	if len(r.master.Former()) == 0 {
		if r.masterKey != "" {
			return errors.New("ANNALS_MASTER_KEY holds one key: put a new one before it, as in NEW,FORMER, restart every process of Annals with that, and run this again with it")
		}
		if err := masterkey.Renew(r.data); err != nil {
			return err
		}
		if r.master, err = masterkey.Load(r.data, ""); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "%s is the new master key, in %s\n", r.master.ID(), filepath.Join(r.data, masterkey.File))
	}
	ctx, release, err := rotation.Alone(ctx, r.pool, r.master)
	if err != nil {
		if errors.Is(err, rotation.ErrInUse) {
			err = fmt.Errorf("%w: restart it, so that it works with %s, and run this again", err, r.master.ID())
		}
		return err
	}
	defer release()
	if err := r.openLog(ctx, quiet(cmd), false); err != nil {
		return err
	}
	sum, err := rotation.Run(ctx, rotation.Config{Log: r.log, DB: r.pool, Master: r.master, Now: now, App: version.String(), Progress: r.progress})
	fmt.Fprintf(r.out, "wrapped by %s: %d keys in the log, %d secrets of second factors, %d of webhooks, %d mails\n",
		r.master.ID(), sum.Keys, sum.Factors, sum.Hooks, sum.Mails)
	if err != nil {
		return fmt.Errorf("it is not finished, run it again: %w", err)
	}
	return r.finish()
}

// progress is said every few seconds.
func (r *rotating) progress(done eventlog.Rewrapped) {
	if now().Sub(r.told) < 5*time.Second {
		return
	}
	if !r.told.IsZero() {
		fmt.Fprintf(r.out, "position %s of %s: %d keys wrapped, %d were, %d are destroyed\n", done.Position, done.Head, done.Keys, done.Held, done.Gone)
	}
	r.told = now()
}

// finish says what is to be destroyed, now that nothing needs it.
func (r *rotating) finish() error {
	if r.masterKey == "" {
		if err := masterkey.Retire(r.data); err != nil {
			return err
		}
	}
	for _, f := range r.master.Former() {
		where := "it is no longer in " + filepath.Join(r.data, masterkey.File)
		if r.masterKey != "" {
			where = "take it out of ANNALS_MASTER_KEY"
		}
		fmt.Fprintf(r.out, "nothing needs %s any more: %s. Destroy every copy of it, and backups that hold it (keys/%s): until then they can be read, and who has been erased since\n",
			f.ID(), where, masterkey.File)
	}
	return nil
}
