package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
)

// Directory answers what no aggregate knows alone, from the read models, whoever
// asks: everything up to the position after.
type Directory interface {
	// Managed are the clients that an employee manages, at most limit, and how many they are.
	Managed(ctx context.Context, employee domain.ID, after eventlog.Position, limit int) ([]domain.Placed, int, error)
	// Holders are the employees who hold a role, at most 100, and how many they are.
	Holders(ctx context.Context, role domain.ID, after eventlog.Position) ([]domain.ID, int, error)
	// Keys are the API keys of an employee that are not revoked.
	Keys(ctx context.Context, owner domain.ID, after eventlog.Position) ([]domain.ID, error)
	// Documents is about how many documents a client has; it waits for no position.
	Documents(ctx context.Context, client domain.ID) (int, error)
	// Handles are the active employees by the part of their e-mail addresses before the @,
	// as it is in lower case; it waits for no position.
	Handles(ctx context.Context, handles []string) (map[string][]domain.ID, error)
	// Erased is how many rows of the read models are of an erased client, by table, once none
	// of them shows anything of the person any more.
	Erased(ctx context.Context, client domain.ID, after eventlog.Position) (map[string]int, error)
	// Uncleaned are the clients whose erasure was carried out, and when, after which the
	// database's files have not been cleaned; by everything up to that position, and no more.
	Uncleaned(ctx context.Context, upTo eventlog.Position) (map[domain.ID]time.Time, error)
	// Due are clients that are due by a retention rule at that time and not held, of a bounded
	// number with ids after the given one, and the id to go on after: the zero ID at the end.
	Due(ctx context.Context, rule domain.ID, now time.Time, from domain.ID, after eventlog.Position) (due []domain.ID, next domain.ID, err error)
	// LastContacted is when somebody was in contact with a client: the zero time for never.
	LastContacted(ctx context.Context, client domain.ID, after eventlog.Position) (time.Time, error)
}

// mostAtOnce bounds how many clients change hands in one request.
const mostAtOnce = 10_000

// stillManaged are the clients that an employee manages, at most limit, and how many
// they are.
func (a *API) stillManaged(ctx context.Context, employee domain.ID, limit int) ([]domain.Placed, int, error) {
	head, err := a.Store.log.Head(ctx)
	if err != nil {
		return nil, 0, err
	}
	return a.Directory.Managed(ctx, employee, head, limit)
}

// managed are the clients that an employee manages outside of what stays theirs.
func (a *API) managed(ctx context.Context, employee domain.ID, stays func(domain.Place) bool) ([]domain.Placed, error) {
	all, total, err := a.stillManaged(ctx, employee, mostAtOnce)
	if err != nil {
		return nil, err
	}
	if total > mostAtOnce {
		return nil, domain.Errorf(domain.Conflict, "employee.manages_too_many", "the employee manages more than %d clients: assign some of them to somebody else first", mostAtOnce)
	}
	var out []domain.Placed
	for _, c := range all {
		if !stays(c.Place) {
			out = append(out, c)
		}
	}
	return out, nil
}

// shown is how many ids an answer lists at most.
const shown = 100

// seen are those of the clients that somebody may see, at most as many as are shown,
// and how many they are: others do not count.
func seen(clients []domain.Placed, by domain.Authority) (ids []domain.ID, n int) {
	ids = []domain.ID{}
	for _, c := range clients {
		if !by.May(domain.ClientsView, c.Place) {
			continue
		}
		if n++; n <= shown {
			ids = append(ids, c.ID)
		}
	}
	return ids, n
}

// inTheWay refuses to leave clients behind.
func inTheWay(clients []domain.Placed, by domain.Authority) error {
	ids, n := seen(clients, by)
	e := domain.Errorf(domain.Conflict, "employee.manages_clients",
		"the employee manages clients there, of whom you see %d: assign them to somebody else, or name who takes them over in reassign_to", n)
	e.Items = ids
	return e
}

// checkHeir refuses who cannot be the manager of all the clients.
func (a *API) checkHeir(ctx context.Context, to addressed, clients []domain.Placed, heir domain.ID) error {
	s, err := a.employee(ctx, heir)
	if err != nil {
		return err
	}
	if heir == to.id {
		return domain.Fault("reassign_to", "self", "has to be somebody else")
	}
	if !s.Active() {
		return domain.Fault("reassign_to", "not_assigned", "%s is no active employee", heir)
	}
	var not []domain.Placed
	for _, c := range clients {
		if !s.Eligible(c.Project, c.Desk) {
			not = append(not, c)
		}
	}
	if len(not) == 0 {
		return nil
	}
	ids, n := seen(not, to.meta.By)
	e := domain.Fault("reassign_to", "not_assigned", "%s is not assigned to the project and desk of each of the clients; of those you see %d", heir, n)
	e.Items = ids
	return e
}

// handOver gives the clients to another manager, or to none. Cut off, it goes on where
// it was when the command is sent again.
func (a *API) handOver(ctx context.Context, to addressed, clients []domain.Placed, heir domain.ID) error {
	if len(clients) == 0 {
		return nil
	}
	if heir != (domain.ID{}) {
		if err := a.checkHeir(ctx, to, clients, heir); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, c := range clients {
		g.Go(func() error {
			_, err := Handle(ctx, a.Store, client.Aggregate, c.ID, client.Command(client.HandOver{From: to.id, To: heir}), derived(to.meta), AnyRevision)
			if errors.Is(err, client.ErrErased) {
				return nil // whom nobody manages any more
			}
			if err != nil {
				return fmt.Errorf("hand over client %s: %w", c.ID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// derived is the circumstances of what follows from a command, and is not bounded by
// what its actor may do, which the command was. It is another command each time, since
// what it is for may have come about again: a client that was handed over and given back.
func derived(m domain.Meta) domain.Meta {
	m.Causation, m.Command, m.By, m.Request = m.Command, uuid.New(), domain.Root, nil
	return m
}
