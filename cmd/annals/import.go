package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"annals/internal/csvimport"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clients FILE",
		Short: "Register the clients of a CSV file",
		Long: `Register the clients of a CSV file, one command a row, through the API.

A row's idempotency key derives from its content: importing the file again
registers nothing twice. Rows that cannot be read, or that the server refuses,
go to the rejects file with line and reason; the others go on.

The fields are ` + fmt.Sprint(csvimport.Fields()) + `.`,
		Args: wantArgs(1),
	}
	server := remoteFlags(cmd, true)
	var o csvimport.Options
	var maps []string
	var rejects string
	f := cmd.Flags()
	f.StringVar(&o.Project, "project", "", "id of the project that the clients belong to")
	f.StringVar(&o.Desk, "desk", "", "id of their desk")
	f.StringArrayVar(&maps, "map", nil, "field=Column,…: which column holds which field; columns named like a field need none")
	f.StringArrayVar(&o.Null, "null", nil, "a word that stands for an empty cell, such as NULL")
	f.StringVar(&rejects, "rejects", "", "CSV file that rejected rows are written to, with line and reason, to be mended and imported again")
	f.StringVar(&o.Encoding, "encoding", "", "of the file, such as windows-1252 (default UTF-8, or by its byte order mark)")
	delimiter := f.String("delimiter", "", "between cells (default: told from the header)")
	f.IntVar(&o.Concurrency, "concurrency", 16, "commands under way at once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		if o.Map, err = csvimport.ParseMap(maps...); err != nil {
			return exit{exitUsage, fmt.Errorf("--map: %w", err)}
		}
		for name, id := range map[string]string{"--project": o.Project, "--desk": o.Desk} {
			if _, err := uuid.Parse(id); id != "" && err != nil {
				return usage("%s: %q is not an id", name, id)
			}
		}
		if len(maps) == 0 {
			o.Map = nil
		}
		if o.Concurrency < 1 || o.Concurrency > 256 {
			return usage("--concurrency: has to be 1 to 256")
		}
		if d := []rune(*delimiter); len(d) > 1 {
			return usage("--delimiter: has to be one character")
		} else if len(d) == 1 {
			o.Delimiter = d[0]
		}
		return importFile(cmd, r, o, args[0], rejects)
	}
	return group("import", "Bring in data from files", cmd)
}

func importFile(cmd *cobra.Command, r remote, o csvimport.Options, name, rejects string) error {
	file, err := os.Open(name) //nolint:gosec // whoever calls may read what they may read
	if err != nil {
		return usage("%v", err)
	}
	defer file.Close() //nolint:errcheck // read only
	info, err := file.Stat()
	if err != nil {
		return usage("%v", err)
	}
	console := &csvimport.Console{Out: cmd.ErrOrStderr(), Rejects: rejects}
	if f, ok := console.Out.(*os.File); ok {
		console.Terminal = term.IsTerminal(int(f.Fd()))
	}
	if info.Mode().IsRegular() {
		console.Size = info.Size()
	}
	out := &lazyFile{name: rejects}
	defer out.Close() //nolint:errcheck // done below, unless there is an error already
	if rejects != "" {
		if there, err := os.Stat(rejects); err == nil && os.SameFile(info, there) {
			return usage("--rejects: is the file that is to be imported")
		}
		o.Rejects = out
	}
	o.Progress, o.Rejected = console.Progress, console.Rejected
	sum, err := csvimport.Run(cmd.Context(), file, csvimport.Client{URL: r.url, Token: r.token}, o)
	console.Finish()
	if u, ok := errors.AsType[*csvimport.UsageError](err); ok {
		return exit{exitUsage, u}
	}
	fmt.Fprintln(cmd.OutOrStdout(), sum)
	if err == nil {
		finished(cmd, r, sum)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("import: %w (run it again to go on: what is registered stays registered once)", err)
	}
	if sum.Rejected > 0 && rejects != "" {
		return exit{exitRejected, fmt.Errorf("%d rows were rejected: see %s", sum.Rejected, rejects)}
	}
	if sum.Rejected > 0 {
		return exit{exitRejected, fmt.Errorf("%d rows were rejected", sum.Rejected)}
	}
	return nil
}

// finished has whoever imports be notified of how it ended. That this fails, as where
// they may register clients and not import them, is no failure of the import.
func finished(cmd *cobra.Command, r remote, sum csvimport.Summary) {
	res, err := r.do(cmd.Context(), http.MethodPost, "/api/v1/imports",
		map[string]int{"registered": sum.Registered, "skipped": sum.Unchanged, "rejected": sum.Rejected})
	if err == nil {
		_ = res.Body.Close() // nothing is expected of it
	}
}

// lazyFile is created by the first write, so that an import that is used wrongly
// leaves the rejects of the time before as they are. One that runs replaces them.
type lazyFile struct {
	name string
	file *os.File
}

func (l *lazyFile) Write(b []byte) (int, error) {
	if l.file == nil {
		f, err := os.OpenFile(l.name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // it holds personal data
		if err != nil {
			return 0, err
		}
		l.file = f
	}
	return l.file.Write(b)
}

func (l *lazyFile) Close() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
