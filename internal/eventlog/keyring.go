package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"annals/domain"
	"annals/eventschema"
)

// keyring finds the data keys of streams, which are in streams of their own. It
// remembers the latest used; nil stands for a key that is gone, which is not
// remembered, since a key that does not exist yet looks the same.
type keyring struct {
	log    *Log
	master eventschema.Master
	cache  *lru.Cache[domain.ID, eventschema.DataKey]
	gone   *lru.Cache[domain.ID, struct{}] // destroyed for good, whatever a slow reader may bring yet
	flight singleflight.Group
}

// keysCached bounds the keyring's memory to about 150 MB unless told otherwise, reached
// only by logs with as many clients.
const keysCached = 1 << 20

func newKeyring(l *Log, master eventschema.Master, keys int) *keyring {
	cache, err := lru.New[domain.ID, eventschema.DataKey](keys)
	gone, err2 := lru.New[domain.ID, struct{}](max(keys/16, 1))
	if err != nil || err2 != nil {
		panic(errors.Join(err, err2)) // the sizes are positive
	}
	return &keyring{log: l, master: master, cache: cache, gone: gone}
}

// find returns the key of an aggregate, or nil if it has none (any more).
func (k *keyring) find(ctx context.Context, id domain.ID) (*eventschema.DataKey, error) {
	if key, ok := k.cache.Get(id); ok {
		return &key, nil
	}
	found := k.flight.DoChan(id.String(), func() (any, error) { // for all who wait, so bounded by none of them
		return k.read(context.WithoutCancel(ctx), id)
	})
	select {
	case f := <-found:
		if f.Err != nil {
			return nil, fmt.Errorf("data key of %s: %w", id, f.Err)
		}
		return f.Val.(*eventschema.DataKey), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("data key of %s: %w: %w", id, ErrUnavailable, ctx.Err())
	}
}

func (k *keyring) read(ctx context.Context, id domain.ID) (*eventschema.DataKey, error) {
	last, _, err := k.last(ctx, id)
	if err != nil || last.Wrapped == nil {
		return nil, err // no key is an answer
	}
	return k.unwrap(ctx, id, last)
}

// last is how the key of an aggregate was wrapped last, by which event of its stream;
// nothing where there is no key (any more).
func (k *keyring) last(ctx context.Context, id domain.ID) (last eventschema.KeyRewrapped, at Revision, err error) {
	for e, err := range k.log.raw(ctx, Stream(eventschema.Key, id), 0) {
		if errors.Is(err, ErrDeleted) {
			return eventschema.KeyRewrapped{}, NoStream, nil
		}
		if err != nil {
			return last, at, err
		}
		rec := k.log.decode(ctx, e)
		if rec.Err != nil {
			return last, at, rec.Err
		}
		if w, ok := wrapping(rec.Event); ok {
			last = w
		}
		at = rec.Revision
	}
	return last, at, nil
}

// wrapping is how an event says that a key is wrapped, if it does.
func wrapping(event any) (eventschema.KeyRewrapped, bool) {
	switch e := event.(type) {
	case eventschema.KeyCreated:
		return eventschema.KeyRewrapped(e), true
	case eventschema.KeyRewrapped:
		return e, true
	}
	return eventschema.KeyRewrapped{}, false
}

// ensure is find for a writer: with create, a key that does not exist is made,
// before the first event that needs it.
func (k *keyring) ensure(ctx context.Context, id domain.ID, m domain.Meta, create bool) (*eventschema.DataKey, error) {
	if key, ok := k.cache.Get(id); ok {
		return &key, nil
	}
	if !create {
		return k.find(ctx, id)
	}
	m.Request = nil // its digest may tell something of the person, and this stream has no key to hide it
	key := eventschema.NewDataKey()
	wrapped, err := k.master.Wrap(ctx, id, key)
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	stream := Stream(eventschema.Key, id)
	// The event's id is random, unlike those of a command: a later attempt at the
	// same command brings another key, which must not pass for this one.
	e, err := encode(stream, uuid.New(), m, eventschema.KeyCreated{Master: k.master.ID(), Wrapped: wrapped}, nil)
	if err != nil {
		return nil, err
	}
	_, err = k.log.append(ctx, stream, NoStream, []esdb.EventData{e})
	switch {
	case err == nil:
		k.keep(id, key)
		return key, nil
	case errors.Is(err, ErrConflict):
		return k.find(ctx, id) // an earlier attempt, or somebody else, made it
	case errors.Is(err, ErrDeleted):
		return nil, ErrErased
	}
	return nil, fmt.Errorf("data key of %s: %w", id, err)
}

// learn keeps a key that came by in the log.
func (k *keyring) learn(ctx context.Context, id domain.ID, e eventschema.KeyRewrapped) {
	if !k.cache.Contains(id) {
		_, _ = k.unwrap(ctx, id, e) // what cannot be unwrapped fails again, with its error, where it is needed
	}
}

func (k *keyring) unwrap(ctx context.Context, id domain.ID, e eventschema.KeyRewrapped) (*eventschema.DataKey, error) {
	key, err := k.master.Unwrap(ctx, e.Master, id, e.Wrapped)
	if err != nil {
		return nil, err
	}
	k.keep(id, key)
	return key, nil
}

func (k *keyring) keep(id domain.ID, key *eventschema.DataKey) {
	k.cache.Add(id, *key)
	if k.gone.Contains(id) { // looked at after adding, as forget removes after noting
		k.cache.Remove(id)
	}
}

// forget drops a key whose stream has been deleted.
func (k *keyring) forget(id domain.ID) {
	k.gone.Add(id, struct{}{})
	k.cache.Remove(id)
}
