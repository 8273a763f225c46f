package commands

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/apikey"
	"annals/domain/attached"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/defaultview"
	"annals/domain/desk"
	"annals/domain/document"
	"annals/domain/employee"
	"annals/domain/erasure"
	"annals/domain/favourite"
	"annals/domain/field"
	"annals/domain/imported"
	"annals/domain/inbox"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/portal"
	"annals/domain/project"
	"annals/domain/record"
	"annals/domain/request"
	"annals/domain/retention"
	"annals/domain/role"
	"annals/domain/tag"
	"annals/domain/template"
	"annals/domain/view"
	"annals/domain/webhook"
	"annals/internal/coalesce"
	"annals/internal/eventlog"
)

// Log is the part of [eventlog.Log] that commands need.
type Log interface {
	Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error]
	Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error)
	Fingerprint(ctx context.Context, stream string, m domain.Meta) (string, error)
	Head(ctx context.Context) (eventlog.Position, error)
	ReadStored(ctx context.Context, stream string) iter.Seq2[eventlog.Record, error]
	DestroyKey(ctx context.Context, id domain.ID, last eventlog.Revision) error
}

// Store folds aggregates from the log and remembers them. What it remembers is
// only where folding starts: nothing is decided from it that the log does not
// confirm, by the exact revision of an append or by being read again.
type Store struct {
	Logger *slog.Logger // may be nil

	log   Log
	cache *lru.Cache[domain.Ref, *entry]
	// noops are commands with an Idempotency-Key that changed nothing, and so left no
	// trace in the log: sent again, they must not change what has become different since.
	noops *lru.Cache[domain.ID, carriedOut]

	queues queues
	reads  coalesce.Group[domain.Ref, *entry]

	mu    sync.Mutex
	weigh int // commands in the cache
}

// Bounds of what is remembered: aggregates, their commands in all (some 150 bytes
// each), and commands without effect.
const (
	cached       = 100_000
	cachedWeight = 2_000_000
	cachedNoops  = 20_000
)

// NewStore returns a store of the aggregates in log.
func NewStore(log Log) *Store {
	s := &Store{log: log}
	var err, err2 error
	s.cache, err = lru.NewWithEvict(cached, func(_ domain.Ref, e *entry) { s.weigh -= e.commands.count() })
	s.noops, err2 = lru.New[domain.ID, carriedOut](cachedNoops)
	if err != nil || err2 != nil {
		panic("commands: the sizes are positive")
	}
	return s
}

// entry is an aggregate folded up to a revision. It never changes.
type entry struct {
	state    any
	revision eventlog.Revision
	position eventlog.Position
	commands *commands
}

// kinds says how to fold each category. An aggregate that others refer to, or
// that takes commands, is a line here.
var kinds = map[string]kind{
	domain.Action:      kindOf(action.Aggregate),
	domain.APIKey:      kindOf(apikey.Aggregate),
	domain.Call:        kindOf(call.Aggregate),
	domain.Client:      kindOf(client.Aggregate),
	domain.CustomField: kindOf(field.Aggregate),
	domain.DefaultView: kindOf(defaultview.Aggregate),
	domain.Desk:        kindOf(desk.Aggregate),
	domain.Document:    kindOf(document.Aggregate),
	domain.Employee:    kindOf(employee.Aggregate),
	domain.Erasure:     kindOf(erasure.Aggregate),
	domain.Favourite:   kindOf(favourite.Aggregate),
	domain.Import:      kindOf(imported.Aggregate),
	domain.Inbox:       kindOf(inbox.Aggregate),
	domain.Message:     kindOf(message.Aggregate),
	domain.Note:        kindOf(note.Aggregate),
	domain.Portal:      kindOf(portal.Aggregate),
	domain.Project:     kindOf(project.Aggregate),
	domain.Record:      kindOf(record.Aggregate),
	domain.Request:     kindOf(request.Aggregate),
	domain.Retention:   kindOf(retention.Aggregate),
	domain.Role:        kindOf(role.Aggregate),
	domain.Tag:         kindOf(tag.Aggregate),
	domain.Template:    kindOf(template.Aggregate),
	domain.View:        kindOf(view.Aggregate),
	domain.Webhook:     kindOf(webhook.Aggregate),
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

// load returns an aggregate as it is in the log now.
func (s *Store) load(ctx context.Context, ref domain.Ref) (*entry, error) {
	return s.reads.Do(ctx, ref, func(ctx context.Context) (*entry, error) { return s.read(ctx, ref) })
}

// read reads what the log has beyond what is remembered.
func (s *Store) read(ctx context.Context, ref domain.Ref) (*entry, error) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.cache.Peek(ref)
	if ok && old.revision >= e.revision {
		return
	}
	if ok {
		s.weigh -= old.commands.count()
	}
	s.weigh += e.commands.count()
	s.cache.Add(ref, e)
	for s.weigh > cachedWeight && s.cache.Len() > 1 {
		s.cache.RemoveOldest()
	}
}

// Forget drops what is remembered of a client and of all that belongs to it, which may be
// personal: after an erasure.
func (s *Store) Forget(id domain.ID) {
	of := domain.Ref{Category: domain.Client, ID: id}
	for _, ref := range s.cache.Keys() {
		e, ok := s.cache.Peek(ref)
		if !ok {
			continue
		}
		if belongs, ok := e.state.(attached.State); ref == of || ok && belongs.ClientID() == id {
			s.mu.Lock()
			s.cache.Remove(ref)
			s.mu.Unlock()
		}
	}
}

// with is e after one more event.
func (e *entry) with(ref domain.Ref, event any, command domain.ID, fingerprint string, at eventlog.Result) (*entry, error) {
	state, err := kinds[ref.Category].evolve(e.state, event)
	if err != nil {
		return nil, err
	}
	return &entry{state, at.Revision, at.Position, e.commands.with(carriedOut{command: command, fingerprint: fingerprint, result: at})}, nil
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
