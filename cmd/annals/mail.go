package main

import (
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"annals/internal/jobs"
	"annals/internal/mail"
)

func mailCommand() *cobra.Command {
	return group("mail", "See the messages to people, sent or kept because no mail server is configured",
		onMail("list", "List the latest messages, without what they say", 0, listMail),
		onMail("show ID", "Print a message, to pass it on", 1, showMail),
	)
}

// onMail is a subcommand that reads messages, beside a running server or without one.
func onMail(use, short string, args int, f func(*cobra.Command, *mail.Mailer, []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: wantArgs(args)}
	load := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		b, err := openBackend(cmd.Context(), cfg, logger, false)
		if err != nil {
			return err
		}
		read := func() error {
			queue, err := jobs.Open(cmd.Context(), b.pool, jobs.Config{Logger: logger, Now: now})
			if err != nil {
				return err
			}
			m, err := mail.Open(cmd.Context(), b.pool, queue, mail.Config{Master: b.master, Logger: logger, Now: now})
			if err != nil {
				return err
			}
			return f(cmd, m, args)
		}
		return errors.Join(read(), b.close())
	}
	return cmd
}

func listMail(cmd *cobra.Command, m *mail.Mailer, _ []string) error {
	all, err := m.Messages(cmd.Context(), mail.Filter{})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCREATED\tSTATE\tATTEMPTS\tTO\tSUBJECT\tLAST ERROR")
	for _, e := range all {
		to := e.To
		if e.Ref != nil {
			to = e.Source + " " + e.Ref.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", e.ID, e.Created.UTC().Format(time.RFC3339), e.State, e.Attempts, to, e.Subject, e.LastError)
	}
	return w.Flush()
}

func showMail(cmd *cobra.Command, m *mail.Mailer, args []string) error {
	id, err := uuid.Parse(args[0])
	if err != nil {
		return usage("%q is not the id of a message", args[0])
	}
	e, text, _, err := m.Message(cmd.Context(), id)
	if err != nil {
		return err
	}
	if e.Ref != nil {
		text = "(what it says is in " + e.Source + " " + e.Ref.String() + ", and whom it is to)\n"
	}
	if e.Wiped != nil {
		text = "(what it said is gone since " + e.Wiped.UTC().Format(time.RFC3339) + ")\n"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "To: %s\nSubject: %s\nState: %s\nExpires: %s\n\n%s", e.To, e.Subject, e.State, e.Expires.UTC().Format(time.RFC3339), text)
	return err
}
