package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/employee"
	"annals/domain/role"
	"annals/internal/auth"
	"annals/internal/version"
)

// systemCommand is the circumstances of what the system does by itself, each
// thing once: its name is its identity, so doing it again changes nothing.
func systemCommand(name string) domain.Meta {
	id := uuid.NewSHA1(domain.System, []byte(name))
	return domain.Meta{
		Actor: domain.System, Command: id, Correlation: id, Causation: id,
		At: now().UTC().Truncate(time.Microsecond), App: version.String(), By: domain.Root,
	}
}

func systemID(name string) domain.ID { return uuid.NewSHA1(domain.System, []byte("id/"+name)) }

// firstAdministrator makes sure that somebody can sign in. A generated password
// is printed before it is set: a crash in between prints another one at the next
// start, and never leaves one that nobody has seen.
func (s *server) firstAdministrator(ctx context.Context, out io.Writer) error {
	credentials := s.commands.Credentials
	id := systemID("administrator")
	if claimed, err := credentials.Claimed(ctx, id); err != nil {
		return err
	} else if !claimed {
		password := s.adminPassword
		if password == "" {
			password = rand.Text()
			if _, err := fmt.Fprintf(out, "first administrator: %s, password %s\n", s.adminEmail, password); err != nil {
				return err
			}
		} else if err := auth.CheckNewPassword("ANNALS_ADMIN_PASSWORD", password); err != nil {
			return exit{exitUsage, err}
		}
		never := func(context.Context, domain.ID) (bool, error) { return true, nil }
		if err := credentials.Claim(ctx, id, s.adminEmail, password, never); err != nil {
			return fmt.Errorf("first administrator: %w", err)
		}
	}
	_, err := commands.Handle(ctx, s.commands.Store, employee.Aggregate, id,
		employee.Command(employee.Register{Name: "Administrator", Email: s.adminEmail, Roles: &[]string{role.Admin}}),
		systemCommand("administrator"), commands.AnyRevision)
	if err != nil {
		return fmt.Errorf("first administrator: %w", err)
	}
	return nil
}
