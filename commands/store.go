package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/internal/eventlog"
)

// Log is the part of [eventlog.Log] that commands need.
type Log interface {
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error)
	Fingerprint(ctx context.Context, stream string, request []byte) (string, error)
}

// Store folds aggregates from the log and remembers them. What it remembers is
// only where folding starts: nothing is decided from it that the log does not
// confirm, by the exact revision of an append or by being read again.
type Store struct {
	log   Log
	cache *lru.Cache[domain.Ref, *entry]
}

// cached bounds how many aggregates are remembered.
const cached = 100_000

// NewStore returns a store of the aggregates in log.
func NewStore(log Log) *Store {
	cache, err := lru.New[domain.Ref, *entry](cached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Store{log, cache}
}

// entry is an aggregate folded up to a revision. It never changes.
type entry struct {
	state    any
	revision eventlog.Revision
	position eventlog.Position
	commands []carriedOut // in order; later entries may share the array
}

// carriedOut is a command that has led to events.
type carriedOut struct {
	command     domain.ID
	fingerprint string
	result      eventlog.Result // of its last event
}

// kinds says how to fold each category. An aggregate that others refer to, or
// that takes commands, is a line here.
var kinds = map[string]kind{
	domain.Client:   kindOf(client.Aggregate),
	domain.Desk:     kindOf(desk.Aggregate),
	domain.Employee: kindOf(employee.Aggregate),
	domain.Project:  kindOf(project.Aggregate),
}

// kind is a [domain.Decider] without its types.
type kind struct {
	zero   any
	evolve func(state, event any) (any, error)
}

func kindOf[S, C, E any](d domain.Decider[S, C, E]) kind {
	var zero S
	return kind{zero, func(state, event any) (any, error) {
		e, ok := event.(E)
		if !ok {
			return nil, fmt.Errorf("a stream of %s holds a foreign %T", d.Category, event)
		}
		return d.Evolve(state.(S), e), nil
	}}
}

// Load returns an aggregate's state as it is in the log now: the zero state where
// it does not exist.
func Load[S any](ctx context.Context, s *Store, ref domain.Ref) (S, error) {
	var none S
	e, err := s.load(ctx, ref)
	if err != nil {
		return none, err
	}
	return e.state.(S), nil
}

// load reads what the log has beyond what is remembered.
func (s *Store) load(ctx context.Context, ref domain.Ref) (*entry, error) {
	e := s.remembered(ref)
	if e == nil {
		k, ok := kinds[ref.Category]
		if !ok {
			return nil, fmt.Errorf("%s is not an aggregate", ref.Category)
		}
		e = &entry{state: k.zero, revision: eventlog.NoStream}
	}
	start := e
	for rec, err := range s.log.Read(ctx, ref.Stream(), e.revision+1) {
		if errors.Is(err, eventlog.ErrDeleted) {
			return nil, domain.Errorf(domain.NotFound, "deleted", "%s has been deleted for good", ref.Category)
		}
		if err != nil {
			return nil, err
		}
		if e, err = e.with(ref, rec.Event, rec.Meta.Command, rec.Meta.Fingerprint, eventlog.Result{Revision: rec.Revision, Position: rec.Position}); err != nil {
			return nil, err
		}
	}
	if e != start {
		s.remember(ref, e)
	}
	return e, nil
}

func (s *Store) remembered(ref domain.Ref) *entry {
	e, _ := s.cache.Get(ref)
	return e
}

// remember keeps the later of two states: whoever is late does not undo.
func (s *Store) remember(ref domain.Ref, e *entry) {
	if old, ok := s.cache.Peek(ref); !ok || old.revision < e.revision {
		s.cache.Add(ref, e)
	}
}

// with is e after one more event.
func (e *entry) with(ref domain.Ref, event any, command domain.ID, fingerprint string, at eventlog.Result) (*entry, error) {
	state, err := kinds[ref.Category].evolve(e.state, event)
	if err != nil {
		return nil, err
	}
	next := &entry{state: state, revision: at.Revision, position: at.Position}
	done := carriedOut{command, fingerprint, at}
	if n := len(e.commands); n > 0 && e.commands[n-1].command == command {
		next.commands = append(slices.Clip(e.commands[:n-1]), done)
	} else {
		next.commands = append(slices.Clip(e.commands), done)
	}
	return next, nil
}

// done returns the outcome of a command that was carried out before.
func (e *entry) done(command domain.ID) (carriedOut, bool) {
	i := slices.IndexFunc(e.commands, func(c carriedOut) bool { return c.command == command })
	if i < 0 {
		return carriedOut{}, false
	}
	return e.commands[i], true
}

// world loads, all at once, what a decision refers to.
func (s *Store) world(ctx context.Context, refs []domain.Ref) (domain.World, error) {
	entries := make([]*entry, len(refs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, ref := range refs {
		if ref.ID == (domain.ID{}) {
			continue
		}
		g.Go(func() (err error) {
			entries[i], err = s.load(ctx, ref)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w := domain.World{}
	for i, ref := range refs {
		if entries[i] != nil {
			w[ref] = entries[i].state
		}
	}
	return w, nil
}
