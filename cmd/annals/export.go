package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client ID",
		Short: "Write everything that there is about a client, to be handed to them",
		Long: `Write everything that there is about a client, to be handed to them: the record, notes,
calls, actions, requests, messages, what is known of their documents, records of other
systems, the history, and when they were shown to somebody.

That you had it is recorded. Nothing is left in the file where it could not be had whole.`,
		Args: wantArgs(1),
	}
	server := remoteFlags(cmd, true)
	asHTML := cmd.Flags().Bool("html", false, "one page to be read, instead of JSON")
	file := cmd.Flags().String("out", "", "write to this file, which must not exist (default: print)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usage("%q is not a client's id", args[0])
		}
		path := "/api/v1/clients/" + id.String() + "/export"
		if *asHTML {
			path += "?format=html"
		}
		if *file == "" {
			return r.export(cmd, path, cmd.OutOrStdout())
		}
		return newFile(*file, func(w io.Writer) error { return r.export(cmd, path, w) })
	}
	return group("export", "Hand out what is known", cmd)
}

func (r remote) export(cmd *cobra.Command, path string, to io.Writer) error {
	res, err := r.doFor(cmd.Context(), 0, http.MethodGet, path, nil) // however long it takes
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if _, err := io.Copy(to, res.Body); err != nil {
		return fmt.Errorf("the export broke off, what there is of it is not whole: %w", err)
	}
	return nil
}

// newFile writes a file that only its owner reads, whole or not at all.
func newFile(name string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(name); err == nil { // which is found out before anything is asked for
		return usage("--out: %s: file exists", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".annals-*") // with mode 0600
	if err != nil {
		return usage("--out: %v", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil { // which does not replace one
		return usage("--out: %v", err)
	}
	return nil
}
