// Package commands is the write side: it takes commands in over HTTP, has the
// domain decide, and appends what was decided to the log.
package commands

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"annals/domain"
	"annals/internal/eventlog"
)

// Outcome is what a command led to.
type Outcome struct {
	ID domain.ID
	eventlog.Result
	Replayed bool // it had been carried out before, and this is how that ended
}

// AnyRevision has a command carried out whatever the aggregate's revision is.
const AnyRevision eventlog.Revision = -2

// attempts is how often a command is decided when other writers get in between.
const attempts = 10

// Handle decides c against the aggregate's history and appends the outcome. When
// another writer got in between, it decides again. A command that was carried out
// before is not carried out twice, but answered as then. With ifMatch other than
// [AnyRevision] the aggregate has to be at that revision.
func Handle[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], id domain.ID, c C, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	ref := domain.Ref{Category: d.Category, ID: id}
	e, fresh := s.remembered(ref), false
	for try := 1; ; {
		if e == nil {
			var err error
			if e, err = s.load(ctx, ref); err != nil {
				return Outcome{}, public(err)
			}
			fresh = true
		}
		out, err := attempt(ctx, s, d, ref, e, c, m, ifMatch)
		stale := err != nil || out.Revision == e.revision // a decision to do nothing, perhaps from a state that is past
		switch {
		case errors.Is(err, eventlog.ErrConflict):
			if try++; try > attempts {
				return out, domain.Errorf(domain.Conflict, "busy", "others keep changing this at the same moment; try again")
			}
			if try > 2 {
				time.Sleep(time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond))))
			}
		case !stale || fresh:
			out.ID = id
			return out, public(err)
		}
		e = nil
	}
}

func attempt[S, C, E any](ctx context.Context, s *Store, d domain.Decider[S, C, E], ref domain.Ref, e *entry, c C, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	if done, ok := e.done(m.Command); ok {
		return replay(ctx, s, ref, done, m)
	}
	state := e.state.(S)
	var world domain.World
	if d.Refs != nil {
		var err error
		if world, err = s.world(ctx, d.Refs(state, c)); err != nil {
			return Outcome{}, err
		}
	}
	events, err := d.Decide(state, c, world, m)
	if domain.KindOf(err) == domain.NotFound {
		return Outcome{}, err // before anything that would tell that it exists
	}
	if ifMatch != AnyRevision && ifMatch != e.revision {
		return Outcome{}, domain.Errorf(domain.Precondition, "revision", "is at revision %d, not %d: somebody changed it since you read it", e.revision, ifMatch)
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
	boxed := make([]any, len(events))
	for i, e := range events {
		boxed[i] = e
	}
	res, err := s.log.Append(ctx, ref.Stream(), e.revision, m, boxed...)
	if err != nil {
		return Outcome{}, err
	}
	mac, err := s.log.Fingerprint(ctx, ref.Stream(), m.Request)
	for i := 0; err == nil && i < len(boxed); i++ {
		at := eventlog.Result{Revision: e.revision + 1, Position: res.Position}
		e, err = e.with(ref, boxed[i], m.Command, mac, at)
	}
	if err == nil && e.revision == res.Revision {
		s.remember(ref, e)
	}
	return Outcome{Result: res}, nil // it is in the log; what could not be remembered will be read
}

// replay answers a command that was carried out before, if it is the same one.
func replay(ctx context.Context, s *Store, ref domain.Ref, done carriedOut, m domain.Meta) (Outcome, error) {
	mac, err := s.log.Fingerprint(ctx, ref.Stream(), m.Request)
	if err != nil {
		return Outcome{}, err
	}
	if mac != done.fingerprint {
		return Outcome{}, domain.Fault("Idempotency-Key", "reused", "was used before for another request")
	}
	return Outcome{Result: done.result, Replayed: true}, nil
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

// public brings the log's errors into a form that callers may see.
func public(err error) error {
	switch {
	case err == nil || len(domain.All(err)) > 0:
		return err
	case errors.Is(err, eventlog.ErrErased):
		return domain.Errorf(domain.Conflict, "erased", "the person has been erased: there is nothing left to change")
	case errors.Is(err, eventlog.ErrDeleted):
		return domain.Errorf(domain.NotFound, "deleted", "this has been deleted for good")
	case errors.Is(err, eventlog.ErrTooLarge):
		return domain.Errorf(domain.TooLarge, "too_large", "this is larger than the log takes at once")
	case errors.Is(err, eventlog.ErrUnknown):
		return errors.Join(domain.Errorf(domain.Unavailable, "outcome_unknown",
			"the log did not answer in time, and may or may not have taken this: send it again with the same Idempotency-Key"), fmt.Errorf("%w", err))
	case errors.Is(err, eventlog.ErrUnavailable):
		return errors.Join(domain.Errorf(domain.Unavailable, "log_unavailable", "the log cannot be reached; try again"), err)
	}
	return err
}
