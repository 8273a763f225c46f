package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func eraseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client ID",
		Short: "Erase a client for good, wait until that is done, and print the certificate",
		Long: `Erase a client for good, wait until that is done, and print the certificate.

What is personal becomes unreadable, in the log, its copies and the read models; the
history stays whole and can be proven. The reason and who asked for it stay as well, so
they must hold nothing of the person.

Within a day the files of the database are cleaned of what it has deleted; with
--clean-now at once, which is waited for.`,
		Args: wantArgs(1),
	}
	server := remoteFlags(cmd, true)
	f := cmd.Flags()
	reason := f.String("reason", "", "why, for the certificate (required)")
	basis := f.String("basis", "request", "request: the person asked for it; retention: the data are needed no longer; obligation: a law, a court or an authority demands it; other")
	by := f.String("requested-by", "", "who asked for it, by what they are and not by name (default, with request: the person)")
	cleanNow := f.Bool("clean-now", false, "clean the files of the database at once")
	wait := f.Duration("wait", 5*time.Minute, "how long to wait")
	asJSON := f.Bool("json", false, "print the certificate as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usage("%q is not a client's id", args[0])
		}
		if *reason == "" {
			return usage("--reason is required: the certificate says it")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *wait)
		defer cancel()
		path := "/api/v1/clients/" + id.String()
		res, err := r.do(ctx, http.MethodPost, path+"/erase", map[string]string{"basis": *basis, "reason": *reason, "requested_by": *by})
		if err != nil {
			return err
		}
		_ = res.Body.Close() // where it is, the erasure tells
		until := "carried_out"
		if *cleanNow {
			until = "cleaned"
		}
		raw, err := r.awaitErasure(ctx, path, until)
		if err != nil {
			return err
		}
		if *asJSON {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), string(raw))
			return err
		}
		return certify(cmd.OutOrStdout(), raw)
	}
	return group("erase", "Forget a person", cmd)
}

// awaitErasure waits until an erasure is that far, and answers its certificate.
func (r remote) awaitErasure(ctx context.Context, path, until string) (json.RawMessage, error) {
	asked := false
	for {
		res, err := r.do(ctx, http.MethodGet, path+"/erasure", nil)
		if err != nil {
			return nil, err
		}
		var is struct {
			State       string
			Certificate json.RawMessage
		}
		err = json.NewDecoder(res.Body).Decode(&is)
		_ = res.Body.Close() // read only
		if err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		switch {
		case is.State == until, is.State == "cleaned":
			return is.Certificate, nil
		case is.State == "carried_out" && !asked:
			res, err := r.do(ctx, http.MethodPost, "/api/v1/erasures/clean", nil)
			if err != nil {
				return nil, err
			}
			_ = res.Body.Close() // nothing is expected of it
			asked = true
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.New("the erasure is in the log, and not carried out yet: it goes on; see " + path + "/erasure")
		}
	}
}

// certify prints a certificate for people.
func certify(out io.Writer, raw json.RawMessage) error {
	var c struct {
		ClientID    string `json:"client_id"`
		At          time.Time
		By          struct{ ID, Name string }
		Basis       string
		Reason      string
		RequestedBy string `json:"requested_by"`
		Positions   struct {
			Erased     string
			Key        string `json:"key_destroyed"`
			CarriedOut string `json:"carried_out"`
			Cleaned    string
		}
		DoneAt time.Time `json:"carried_out_at"`
		Done   struct {
			KeyEvents int `json:"key_events"`
			Rows      map[string]int
			Mails     int
			Jobs      int
		}
		CleanBy   time.Time  `json:"clean_by"`
		CleanedAt *time.Time `json:"cleaned_at"`
		Cleaning  struct {
			Rewritten, Freed []string
			WAL              bool
		}
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("Certificate of erasure", "client %s", c.ClientID)
	line("Decided", "%s by %s (%s)", c.At.Format(time.RFC3339), c.By.Name, c.By.ID)
	line("Basis", "%s", c.Basis)
	line("Requested by", "%s", c.RequestedBy)
	line("Reason", "%s", c.Reason)
	line("Carried out", "%s", c.DoneAt.Format(time.RFC3339))
	line("Key", "destroyed, with %d events", c.Done.KeyEvents)
	for _, table := range slices.Sorted(maps.Keys(c.Done.Rows)) {
		line("Emptied", "%d rows of %s", c.Done.Rows[table], table)
	}
	line("Given up", "%d messages, %d jobs", c.Done.Mails, c.Done.Jobs)
	if c.CleanedAt == nil {
		line("Files", "may hold deleted bytes until %s", c.CleanBy.Format(time.RFC3339))
	} else {
		line("Files", "cleaned %s: %d tables rewritten, %d freed, write-ahead log deleted: %t", c.CleanedAt.Format(time.RFC3339),
			len(c.Cleaning.Rewritten), len(c.Cleaning.Freed), c.Cleaning.WAL)
	}
	line("Positions", "client.erased %s, key %s, erasure.carried_out %s %s", c.Positions.Erased, c.Positions.Key, c.Positions.CarriedOut, c.Positions.Cleaned)
	return w.Flush()
}
