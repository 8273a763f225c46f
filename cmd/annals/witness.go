package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"annals/internal/audit"
	"annals/internal/audit/proof"
	"annals/internal/keyfile"
)

func witnessCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "Watch the log with a key of its own: countersign what is signed, and stop when anything was altered",
		Long: `Watch the log with a key of its own.

The witness builds a tree of its own from the log and signs a checkpoint only if its
tree is the same; what it has signed it remembers, in a directory of its own. From time
to time it reads the whole log again. It stops, with status 1, as soon as the log is not
what it was: changed, cut off, rolled back or forked.

It reads the log as configured by ANNALS_EVENTSTORE, or else the rows in ANNALS_DATABASE,
where a user that may only read is enough with --url: then checkpoints come from the API
of a server, and signatures go there, which takes a token of somebody who may view the
audit, and the witness's public key among ANNALS_WITNESSES of the server.`,
		Args: wantArgs(0),
	}
	load := configFlags(cmd)
	f := cmd.Flags()
	state := f.String("state", "", "directory of the witness's key and of what it remembers (default: witness in the data directory; better another disk)")
	name := f.String("name", "", "what the witness is called when its key is made (default: witness and a random number)")
	server := f.String("url", "", "the server to get checkpoints from, by ANNALS_TOKEN; without it they come from the database")
	logKey := f.String("key", "", "file with the public key of the log (default: what the log says when the witness first sees it, which it then remembers)")
	every := f.Duration("every", 2*time.Second, "how often to look for a new checkpoint")
	patrol := f.Duration("patrol", time.Hour, "how often to read the whole log again")
	once := f.Bool("once", false, "look once, read the whole log once, and end")
	public := f.Bool("public", false, "print the witness's public key, and end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if *every < 10*time.Millisecond || *patrol < time.Second {
			return usage("--every is at least 10ms, --patrol at least 1s")
		}
		if *state == "" {
			*state = filepath.Join(cfg.data, "witness")
		}
		signer, err := loadWitness(*state, *name)
		if err != nil {
			return err
		}
		if *public {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), signer.Witness)
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		w := &watching{state: *state, signer: signer, every: *every, patrol: *patrol, once: *once, out: cmd.OutOrStdout()}
		return w.start(ctx, cfg, *server, *logKey, cmd.ErrOrStderr())
	}
	return cmd
}

// loadWitness is the witness's key, which is made at first.
func loadWitness(dir, name string) (*proof.Cosigner, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	text, err := keyfile.Load(filepath.Join(dir, "witness.key"), func() (string, error) {
		var seed [ed25519.SeedSize]byte
		rand.Read(seed[:])
		if name == "" {
			var id [4]byte
			rand.Read(id[:])
			name = "witness/" + hex.EncodeToString(id[:])
		}
		return name + " " + hex.EncodeToString(seed[:]), nil
	})
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	var called, secret string
	if _, err := fmt.Sscan(text, &called, &secret); err != nil {
		return nil, errors.New("witness: witness.key does not hold a name and a key")
	}
	seed, err := hex.DecodeString(secret)
	if err != nil {
		return nil, errors.New("witness: witness.key does not hold a name and a key")
	}
	return proof.NewCosigner(called, seed, now)
}

// watching is a witness at work.
type watching struct {
	state         string
	signer        *proof.Cosigner
	every, patrol time.Duration
	once          bool
	out           io.Writer
	*audit.Witness
}

func (w *watching) start(ctx context.Context, cfg config, server, keyPath string, stderr io.Writer) (err error) {
	cfg.forgetful = true
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	b, err := openBackend(ctx, cfg, logger, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }() //nolint:contextcheck // what ended ctx must not end the closing
	tree := audit.View(b.pool)
	var from audit.Checkpoints = dbCheckpoints{tree, w.signer}
	keyOf := func(ctx context.Context) (string, error) {
		st, err := tree.State(ctx)
		return st.Public, err
	}
	if server != "" {
		r := remote{server, os.Getenv("ANNALS_TOKEN")}
		if u, err := url.Parse(server); err != nil || u.Host == "" || r.token == "" {
			return usage("--url takes a URL as in http://127.0.0.1:8080, and ANNALS_TOKEN a token: annals sign-in prints one")
		}
		from = apiCheckpoints{r, w.signer}
		keyOf = func(ctx context.Context) (string, error) { return r.text(ctx, "/api/v1/audit/key") }
	}
	key, err := w.logKey(ctx, keyPath, keyOf)
	if err != nil {
		return err
	}
	w.Witness = &audit.Witness{
		Log: b.stored(), Checkpoints: from, Key: key, Signer: w.signer, File: filepath.Join(w.state, "seen.json"), Patience: 30 * time.Second,
		Leaves: tree.All,
	}
	if server == "" { // beside the log, where its master key is
		if w.Authenticity, err = b.log.Authenticity(ctx); err != nil {
			return err
		}
	}
	if err := w.Open(); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "witness %s\n", w.signer.Witness)
	return w.watch(ctx)
}

// logKey is the log's public key: as given, or as it was at first.
func (w *watching) logKey(ctx context.Context, path string, keyOf func(context.Context) (string, error)) (note.Verifier, error) {
	if path != "" {
		keys, err := readKeys(path)
		return keys.Log, err
	}
	text, err := keyfile.Load(filepath.Join(w.state, "log.key"), func() (string, error) {
		for {
			text, err := keyOf(ctx)
			if err != nil || text != "" {
				return text, err
			}
			select { // the log has not been begun
			case <-time.After(w.every):
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("public key of the log: %w", err)
	}
	key, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("public key of the log: %w", err)
	}
	return key, nil
}

// watch looks until ctx ends, or until the log is not what it was.
func (w *watching) watch(ctx context.Context) error {
	var walked time.Time
	for {
		signed, err := w.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop
		case errors.Is(err, audit.ErrBroken) || err != nil && w.once:
			return err
		case err != nil:
			fmt.Fprintf(w.out, "%s could not look: %v\n", now().Format(time.RFC3339), err)
		case signed:
			fmt.Fprintf(w.out, "%s signed the tree of %d\n", now().Format(time.RFC3339), w.Size())
		}
		if err == nil && (walked.IsZero() || now().Sub(walked) >= w.patrol) {
			switch err := w.walk(ctx); {
			case err == nil:
				walked = now()
			case ctx.Err() != nil:
				return nil //nolint:nilerr // it was told to stop
			case w.once || errors.Is(err, audit.ErrBroken):
				return err
			default:
				fmt.Fprintf(w.out, "%s %v\n", now().Format(time.RFC3339), err)
			}
		}
		if w.once {
			return nil
		}
		select {
		case <-time.After(w.every):
		case <-ctx.Done():
			return nil
		}
	}
}

// walk reads the whole log again.
func (w *watching) walk(ctx context.Context) error {
	faults := 0
	out, err := w.Patrol(ctx, func(f audit.Finding) {
		if faults++; faults <= 1000 {
			fmt.Fprintln(w.out, f)
		}
	})
	if err != nil {
		return fmt.Errorf("reading the log again: %w", err)
	}
	if faults > 0 {
		return fmt.Errorf("%w: %d faults among the %d events that this witness has signed", audit.ErrBroken, faults, out.Leaves)
	}
	fmt.Fprintf(w.out, "%s read the log again: %d events, as they were\n", now().Format(time.RFC3339), out.Leaves)
	return nil
}

// dbCheckpoints are those in the database.
type dbCheckpoints struct {
	tree   *audit.Store
	signer *proof.Cosigner
}

func (d dbCheckpoints) Latest(ctx context.Context) ([]byte, error) {
	c, err := d.tree.Checkpoint(ctx)
	return c.Note, err
}

func (d dbCheckpoints) Cosign(ctx context.Context, size int64, line []byte) error {
	st, err := d.tree.State(ctx)
	if err != nil {
		return err
	}
	key, err := note.NewVerifier(st.Public)
	if err != nil {
		return fmt.Errorf("public key of the log: %w", err)
	}
	return d.tree.Cosign(ctx, size, key, d.signer.Witness, line)
}

// apiCheckpoints are those of a server.
type apiCheckpoints struct {
	remote
	signer *proof.Cosigner
}

// text is an answer that is short.
func (r remote) text(ctx context.Context, path string) (string, error) {
	res, err := r.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(raw), err
}

func (a apiCheckpoints) Latest(ctx context.Context) ([]byte, error) {
	text, err := a.text(ctx, "/api/v1/audit/checkpoint")
	return []byte(text), err
}

func (a apiCheckpoints) Cosign(ctx context.Context, size int64, line []byte) error {
	res, err := a.do(ctx, http.MethodPost, "/api/v1/audit/cosignature", map[string]any{
		"size": size, "witness": a.signer.Name(), "signature": string(line),
	})
	if err != nil {
		return fmt.Errorf("signature of %s leaves: %w", strconv.FormatInt(size, 10), err)
	}
	return res.Body.Close()
}
