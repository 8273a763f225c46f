package commands_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/commands"
	"annals/domain"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/internal/apitest"
	"annals/internal/eventlog"
)

// cut is a log whose process dies at the n-th append: just before it, or just after,
// when it is written and nobody has been told.
type cut struct {
	commands.Log
	n     int
	after bool
}

var errDied = errors.New("the process has died")

func (c *cut) Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error) {
	c.n--
	if c.n < 0 {
		return eventlog.Result{}, errDied
	}
	if c.n > 0 {
		return c.Log.Append(ctx, stream, last, m, events...)
	}
	if c.after {
		if _, err := c.Log.Append(ctx, stream, last, m, events...); err != nil {
			return eventlog.Result{}, err
		}
	}
	return eventlog.Result{}, errDied
}

// TestCrash: whenever the process dies, the same request in the next process carries
// the command out once and answers what it led to.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := apitest.Shared(t)
	a := s.Admin(t)
	p := uuid.MustParse(a.Project(t, "Crashing"))
	meta := func() domain.Meta {
		return domain.Meta{
			Actor: uuid.MustParse(a.ID), Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(),
			At: time.Now().UTC().Truncate(time.Microsecond), By: domain.Root, Request: []byte("what was asked"),
		}
	}
	do := map[string]func(*commands.API, uuid.UUID, domain.Meta) (commands.Outcome, error){
		"project": func(api *commands.API, id uuid.UUID, m domain.Meta) (commands.Outcome, error) {
			return commands.Handle(t.Context(), api.Store, project.Aggregate, id, project.Command(project.Create{Name: "Crashed"}), m, commands.AnyRevision)
		},
		"client": func(api *commands.API, id uuid.UUID, m domain.Meta) (commands.Outcome, error) {
			c := client.Register{Details: client.Details{LastName: "Crashed"}, ProjectID: p}
			return commands.Handle(t.Context(), api.Store, client.Aggregate, id, client.Command(c), m, commands.AnyRevision)
		},
		"employee": func(api *commands.API, id uuid.UUID, m domain.Meta) (commands.Outcome, error) {
			c := employee.Register{Name: "Crashed", Email: "crashed-" + id.String()[:8] + "@example.com"}
			return api.RegisterEmployee(t.Context(), id, c, "", m)
		},
	}
	for category, do := range do {
		for n := 1; n <= 2; n++ {
			for _, after := range []bool{false, true} {
				name := fmt.Sprintf("%s, append %d, after it %v", category, n, after)
				id, m := uuid.New(), meta()
				dying := &commands.API{Store: commands.NewStore(&cut{Log: s.Log, n: n, after: after}), Credentials: s.Auth, Now: time.Now}
				first, err := do(dying, id, m)
				if err == nil && n == 1 {
					t.Fatalf("%s: survived: %+v", name, first)
				}
				next := &commands.API{Store: commands.NewStore(s.Log), Credentials: s.Auth, Now: time.Now}
				second, err := do(next, id, m)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				third, err := do(next, id, m)
				if err != nil || !third.Replayed || third.Result != second.Result || third.ID != id {
					t.Errorf("%s: %+v, and then %+v, %v", name, second, third, err)
				}
				events := 0
				for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(category, id), 0) {
					if err != nil {
						t.Fatal(err)
					}
					events++
					if rec.Meta.Command != m.Command || rec.Position != second.Position {
						t.Errorf("%s: %+v", name, rec)
					}
				}
				if events != 1 {
					t.Errorf("%s: %d events", name, events)
				}
			}
		}
	}
}
