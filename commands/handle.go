// Package commands is the write side: it takes commands in over HTTP, has the
// domain decide, and appends what was decided to the log.
package commands

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"annals/domain"
	"annals/internal/eventlog"
)

// Outcome is what a command led to.
type Outcome struct {
	ID domain.ID
	eventlog.Result
	Replayed bool // the request had been carried out before, and this is how that ended
}

// AnyRevision has a command carried out whatever the aggregate's revision is.
const AnyRevision eventlog.Revision = -2

// attempts is how often a command is decided when other writers get in between.
const attempts = 20

// Handle decides c against the aggregate's history and appends the outcome. When
// another writer got in between, it decides again. A command that was carried out
// before is not carried out twice, but answered as then. With ifMatch other than
// [AnyRevision] the aggregate has to be at that revision.
func Handle[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], id domain.ID, c C, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	ref := domain.Ref{Category: d.Category, ID: id}
	leave, err := s.queues.enter(ctx, ref)
	if err != nil {
		return Outcome{}, err
	}
	defer leave()
	if done, ok := s.noops.Get(m.Command); ok {
		m.Subject = done.subject
		out, err := replay(ctx, s, ref, done, m)
		out.ID = id
		return out, err
	}
	e, fresh := s.remembered(ref), false
	for try := 1; ; {
		if e == nil {
			if e, err = s.load(ctx, ref); err != nil {
				return Outcome{}, err
			}
			fresh = true
		}
		out, err := attempt(ctx, s, d, ref, e, c, m, ifMatch)
		stale := err != nil || out.Revision == e.revision // a decision to do nothing, perhaps from a state that is past
		switch {
		case errors.Is(err, eventlog.ErrConflict):
			if try++; try > attempts {
				return out, errBusy
			}
			if err := pause(ctx, try); err != nil {
				return out, err
			}
		case !stale || fresh:
			if err == nil && out.Revision == e.revision && !out.Replayed && m.Request != nil {
				m.Subject = d.SubjectAfter(e.state.(S))
				err = s.rememberNoop(ctx, ref, out, m)
			}
			out.ID = id
			return out, err
		}
		e = nil
	}
}

func attempt[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], ref domain.Ref, e *entry, c C, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	state := e.state.(S)
	if done, ok := e.commands.find(m.Command); ok {
		m.Subject = d.SubjectAfter(state)
		return replay(ctx, s, ref, done, m)
	}
	var world domain.World
	if d.Refs != nil {
		var err error
		if world, err = s.world(ctx, d.Refs(state, c)); err != nil {
			return Outcome{}, err
		}
	}
	m.Aggregate = ref.ID
	events, err := d.Decide(state, c, world, m)
	if domain.KindOf(err) == domain.NotFound {
		return Outcome{}, err // before anything that would tell that it exists
	}
	if ifMatch != AnyRevision && ifMatch != e.revision {
		return Outcome{}, collided(ctx, s, d, ref, c, e.revision, ifMatch)
	}
	if err != nil {
		return Outcome{}, err
	}
	if len(events) == 0 {
		return Outcome{Result: eventlog.Result{Revision: e.revision, Position: e.position}}, nil
	}
	if err := companions(ctx, s, d, ref.ID, events, m); err != nil {
		return Outcome{}, err
	}
	m.Subject = d.SubjectAfter(state, events...)
	boxed := make([]any, len(events))
	for i, e := range events {
		boxed[i] = e
	}
	res, err := s.log.Append(ctx, ref.Stream(), e.revision, m, boxed...)
	if err != nil {
		return Outcome{}, err
	}
	mac, err := s.log.Fingerprint(ctx, ref.Stream(), m)
	for i := 0; err == nil && i < len(boxed); i++ {
		at := eventlog.Result{Revision: e.revision + 1, Position: res.Position}
		e, err = e.with(ref, boxed[i], m.Command, mac, at)
	}
	if err == nil && e.revision == res.Revision {
		s.remember(ref, e)
	}
	settle(ctx, s, d, ref, events, m)
	return Outcome{Result: res}, nil // it is in the log; what could not be remembered will be read
}

// collided is why a command is not carried out that was meant for an earlier revision:
// with the fields that it would change and that have been changed since.
func collided[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], ref domain.Ref, c C, now, wanted eventlog.Revision) error {
	var f domain.Faults
	f.Add(domain.Errorf(domain.Precondition, "revision", "is at revision %d, not %d: somebody changed it since you read it", now, wanted))
	if d.Collisions == nil || wanted > now || wanted < 0 {
		return f.Err()
	}
	var since []E
	for rec, err := range s.log.Read(ctx, ref.Stream(), wanted+1) {
		if err != nil {
			return err
		}
		if e, ok := rec.Event.(E); ok {
			since = append(since, e)
		}
		if rec.Revision >= now || len(since) == mostSince {
			break
		}
	}
	for _, field := range d.Collisions(c, since) {
		f.Add(&domain.Error{Kind: domain.Precondition, Code: "collided", Field: field, Msg: "has been changed since you read it"})
	}
	return f.Err()
}

// mostSince is how many events are looked at to tell what has changed: who is further
// behind has to look at all of it anyway.
const mostSince = 1000

// settle corrects what events rest on and has changed before they were in the log. It
// has to hold whoever looks first: whoever changes the one looks at the other
// afterwards.
func settle[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], ref domain.Ref, events []E, m domain.Meta) {
	if d.Depends == nil {
		return
	}
	var refs []domain.Ref
	for _, e := range events {
		refs = append(refs, d.Depends(e)...)
	}
	if len(refs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	if err := correct(ctx, s, d, ref, refs, derived(m)); err != nil && s.Logger != nil {
		s.Logger.ErrorContext(ctx, "what was decided on what has changed could not be corrected", "stream", ref.Stream(), "err", err)
	}
}

func correct[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], ref domain.Ref, refs []domain.Ref, m domain.Meta) error {
	world, err := s.world(ctx, refs)
	if err != nil {
		return err
	}
	e, err := s.load(ctx, ref)
	if err != nil {
		return err
	}
	c, wrong := d.Correct(e.state.(S), world)
	if !wrong {
		return nil
	}
	m.Aggregate = ref.ID
	found, err := d.Decide(e.state.(S), c, world, m)
	if err != nil || len(found) == 0 {
		return err
	}
	m.Subject = d.SubjectAfter(e.state.(S), found...)
	boxed := make([]any, len(found))
	for i, e := range found {
		boxed[i] = e
	}
	_, err = s.log.Append(ctx, ref.Stream(), e.revision, m, boxed...)
	if errors.Is(err, eventlog.ErrConflict) {
		return nil // somebody else got in between, and what they changed is settled after it
	}
	return err
}

// settling bounds how long a correction takes, with nobody waiting for it any more.
const settling = 10 * time.Second

// replay answers a command that was carried out before, if it is the same one.
func replay(ctx context.Context, s *Store, ref domain.Ref, done carriedOut, m domain.Meta) (Outcome, error) {
	mac, err := s.log.Fingerprint(ctx, ref.Stream(), m)
	if errors.Is(err, eventlog.ErrErased) { // the erasure sent again, as a rule: its fingerprint went with the key
		mac, err = done.fingerprint, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	if mac != done.fingerprint {
		return Outcome{}, errReused
	}
	return Outcome{Result: done.result, Replayed: m.Request != nil}, nil
}

var errBusy = domain.Errorf(domain.Conflict, "busy", "others keep changing this at the same moment; try again")

var errReused = domain.Fault("Idempotency-Key", "reused", "was used before for another request")

// pause keeps those who lost a race from losing the next one together.
func pause(ctx context.Context, try int) error {
	if try <= 2 {
		return nil
	}
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond)))): //nolint:gosec // no secret
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) rememberNoop(ctx context.Context, ref domain.Ref, out Outcome, m domain.Meta) error {
	mac, err := s.log.Fingerprint(ctx, ref.Stream(), m)
	if err == nil {
		s.noops.Add(m.Command, carriedOut{m.Command, mac, out.Result, m.Subject})
	}
	return err
}

// companions creates the streams that have to exist before events do. Those that
// exist were created by an earlier attempt at the same command.
func companions[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], id domain.ID, events []E, m domain.Meta) error {
	if d.Companions == nil {
		return nil
	}
	for _, e := range events {
		for _, c := range d.Companions(id, e) {
			_, err := s.log.Append(ctx, c.Ref.Stream(), eventlog.NoStream, m, c.Events...)
			if err != nil && !errors.Is(err, eventlog.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

// refuse is how a command ends that would be refused: so, unless it was carried out
// before.
func refuse[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], id domain.ID, c C, m domain.Meta, ifMatch eventlog.Revision, why error) (Outcome, error) {
	d.Refs, d.Decide = nil, func(S, C, domain.World, domain.Meta) ([]E, error) { return nil, why }
	return Handle(ctx, s, d, id, c, m, ifMatch)
}

// did says whether a command was carried out before on an aggregate, as far as this
// process knows.
func (s *Store) did(e *entry, command domain.ID) bool {
	_, done := e.commands.find(command)
	return done || s.noops.Contains(command)
}

// would returns what a command would lead to now, or why it would be refused, and
// changes nothing.
func would[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], id domain.ID, c C, m domain.Meta) ([]E, error) {
	ref := domain.Ref{Category: d.Category, ID: id}
	state, err := Load[S](ctx, s, ref)
	if err != nil {
		return nil, err
	}
	var world domain.World
	if d.Refs != nil {
		if world, err = s.world(ctx, d.Refs(state, c)); err != nil {
			return nil, err
		}
	}
	m.Aggregate = id
	return d.Decide(state, c, world, m)
}
