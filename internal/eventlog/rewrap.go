package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/eventschema"
)

// rewrappers is how many data keys are wrapped anew at once: as many appends become one
// commit of the embedded node.
const rewrappers = 64

// Rewrapped is how far [Log.Rewrap] is.
type Rewrapped struct {
	Keys     int64 // that were wrapped anew
	Held     int64 // that were looked at and wrapped by the master key already
	Gone     int64 // that were destroyed
	Position Position
	Head     Position // of the log when it began
}

// Rewrap has every data key that another master key has wrapped be wrapped by that of now,
// and holds those that are against it. What it did stays done, whatever it ends of: called
// again, it goes on with the rest. Keys that are made while it runs are the master key's of
// whoever makes them. It needs no more memory for more keys. Progress is called now and then.
func (l *Log) Rewrap(ctx context.Context, m domain.Meta, progress func(Rewrapped)) (out Rewrapped, err error) {
	if out.Head, err = l.Head(ctx); err != nil {
		return out, err
	}
	var rewrapped, held, gone atomic.Int64
	now := func() Rewrapped {
		out.Keys, out.Held, out.Gone = rewrapped.Load(), held.Load(), gone.Load()
		return out
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(rewrappers)
	var failed error
	for item, err := range l.SubscribeStored(ctx, Position{}, "^"+eventschema.Key+"-") {
		if err != nil {
			failed = err
			break
		}
		out.Position = item.Position
		if id, other, err := l.otherMaster(ctx, item.Record); err != nil {
			failed = err
			break
		} else if other {
			g.Go(func() error {
				switch is, err := l.rewrap(ctx, id, m); {
				case err != nil:
					return err
				case is == rewrappedNow:
					rewrapped.Add(1)
				case is == heldAlready:
					held.Add(1)
				default:
					gone.Add(1)
				}
				return nil
			})
		}
		if progress != nil {
			progress(now())
		}
		if item.Live || item.Position.Compare(out.Head) >= 0 {
			break
		}
	}
	if err := g.Wait(); err != nil {
		failed = err // which ended the subscription
	}
	if failed != nil {
		return now(), fmt.Errorf("wrap data keys anew: %w", failed)
	}
	return now(), nil
}

// otherMaster says whose key a record has wrapped, if that was another master key's work.
func (l *Log) otherMaster(ctx context.Context, r *Record) (id domain.ID, other bool, err error) {
	if r == nil || r.Type[0] == '$' {
		return id, false, nil
	}
	opened, err := l.Opened(ctx, r)
	if err == nil && opened != nil {
		err = opened.Err
	}
	if err != nil || opened == nil {
		return id, false, err
	}
	w, ok := wrapping(opened.Event)
	if !ok || w.Master == l.keys.master.ID() {
		return id, false, nil
	}
	id, err = opened.Subject()
	return id, true, err
}

type outcome int

const (
	keyGone outcome = iota
	heldAlready
	rewrappedNow
)

// rewrap wraps the key of an aggregate by the master key of now, unless it is.
func (l *Log) rewrap(ctx context.Context, id domain.ID, m domain.Meta) (outcome, error) {
	stream := Stream(eventschema.Key, id)
	for {
		last, at, err := l.keys.last(ctx, id)
		if err != nil || last.Wrapped == nil {
			return keyGone, err
		}
		key, err := l.keys.master.Unwrap(ctx, last.Master, id, last.Wrapped)
		if err != nil || last.Master == l.keys.master.ID() {
			return heldAlready, err
		}
		wrapped, err := l.keys.master.Wrap(ctx, id, key)
		if err != nil {
			return keyGone, fmt.Errorf("wrap data key: %w", err)
		}
		// A random id, as that of a key: a later attempt wraps in other bytes.
		e, err := encode(stream, uuid.New(), m, eventschema.KeyRewrapped{Master: l.keys.master.ID(), Wrapped: wrapped}, nil)
		if err != nil {
			return keyGone, err
		}
		switch err := l.appendWithin(ctx, stream, at, e); {
		case err == nil:
			return rewrappedNow, nil
		case errors.Is(err, ErrDeleted):
			return keyGone, nil
		case !errors.Is(err, ErrConflict): // else somebody else has, and it is looked at again
			return keyGone, fmt.Errorf("data key of %s: %w", id, err)
		}
	}
}

func (l *Log) appendWithin(ctx context.Context, stream string, last Revision, batch ...esdb.EventData) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	_, err := l.append(ctx, stream, last, batch)
	return err
}

// ErrRetired means that a master key had been retired: nothing may be written with it.
var ErrRetired = errors.New("the master key has been retired")

// retired is what the log tells of master keys that write nothing any more.
type retired struct {
	event eventschema.MasterRetired // the last that tells of it
	since Position                  // from where on it writes nothing
}

func (l *Log) retired(ctx context.Context) (all map[string]retired, last Revision, err error) {
	all, last = map[string]retired{}, NoStream
	for rec, err := range l.Read(ctx, Stream(eventschema.Key, eventschema.MastersID), 0) {
		if err != nil {
			return nil, last, err
		}
		last = rec.Revision
		if e, ok := rec.Event.(eventschema.MasterRetired); ok {
			r, told := all[e.Retired]
			if r.event = e; !told {
				r.since = rec.Position
			}
			all[e.Retired] = r
		}
	}
	return all, last, nil
}

// CheckMaster says whether the master key may write: [ErrRetired] where it may not.
func (l *Log) CheckMaster(ctx context.Context) error {
	all, _, err := l.retired(ctx)
	if r, ok := all[l.keys.master.ID()]; ok {
		return fmt.Errorf("%w: %s, and %s wraps now", ErrRetired, r.event.Retired, r.event.Master)
	}
	return err
}

// Retire notes in the log that former master keys write nothing from now on, which has to be
// so, and keeps what their codes are checked with under the master key of now, as it does for
// those that were retired before.
func (l *Log) Retire(ctx context.Context, m domain.Meta, former ...*eventschema.LocalMaster) error {
	all, last, err := l.retired(ctx)
	if err != nil {
		return err
	}
	master := l.keys.master
	if _, ok := all[master.ID()]; ok {
		return fmt.Errorf("%w: %s", ErrRetired, master.ID())
	}
	codes := map[string]*eventschema.Authenticator{}
	for name, r := range all {
		if r.event.Master == master.ID() {
			continue
		}
		if codes[name], err = r.event.Codes(ctx, master); err != nil {
			return err
		}
	}
	for _, f := range former {
		if _, ok := all[f.ID()]; !ok {
			codes[f.ID()] = f.Authenticator()
		}
	}
	var batch []esdb.EventData
	stream := Stream(eventschema.Key, eventschema.MastersID)
	for name, a := range codes {
		told, err := eventschema.RetireMaster(ctx, master, name, a)
		if err != nil {
			return err
		}
		e, err := encode(stream, uuid.New(), m, told, nil)
		if err != nil {
			return err
		}
		batch = append(batch, e)
	}
	if len(batch) == 0 {
		return nil
	}
	if err := l.appendWithin(ctx, stream, last, batch...); err != nil {
		return fmt.Errorf("retire master keys: %w", err)
	}
	return nil
}

// Authenticity returns what says what the code of a record says of it, which has to have
// [Record.Stored]: by the master key, and by those that the log knows as retired.
func (l *Log) Authenticity(ctx context.Context) (func(*Record) eventschema.Authenticity, error) {
	type former struct {
		*eventschema.Authenticator
		since Position // zero: not retired yet
	}
	all, _, err := l.retired(ctx)
	if err != nil {
		return nil, err
	}
	var others []former
	if m, ok := l.keys.master.(*eventschema.Masters); ok {
		for _, f := range m.Former() {
			if _, known := all[f.ID()]; !known {
				others = append(others, former{f.Authenticator(), Position{}})
			}
		}
	}
	for _, r := range all {
		codes, err := r.event.Codes(ctx, l.keys.master)
		if err != nil {
			return nil, err
		}
		others = append(others, former{codes, r.since})
	}
	check := func(a *eventschema.Authenticator, r *Record) eventschema.Authenticity {
		return a.Check(r.Stream, uint64(r.Revision), r.ID, r.Type, r.Stored.Data, r.Stored.Metadata) //nolint:gosec // not negative
	}
	own := l.keys.master.Authenticator()
	return func(r *Record) eventschema.Authenticity {
		is := check(own, r)
		for i := 0; is == eventschema.Foreign && i < len(others); i++ {
			o := others[i]
			if is = check(o.Authenticator, r); is == eventschema.Authentic && o.since != (Position{}) && r.Position.Compare(o.since) > 0 {
				is = eventschema.Retired
			}
		}
		return is
	}, nil
}
