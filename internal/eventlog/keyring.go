package eventlog

import (
	"context"
	"errors"
	"fmt"

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
	flight singleflight.Group
}

// keysCached bounds the keyring's memory to about 150 MB, reached only by logs
// with as many clients.
const keysCached = 1 << 20

func newKeyring(l *Log, master eventschema.Master) *keyring {
	cache, err := lru.New[domain.ID, eventschema.DataKey](keysCached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &keyring{log: l, master: master, cache: cache}
}

// find returns the key of an aggregate, or nil if it has none (any more).
func (k *keyring) find(ctx context.Context, id domain.ID) (*eventschema.DataKey, error) {
	if key, ok := k.cache.Get(id); ok {
		return &key, nil
	}
	found, err, _ := k.flight.Do(id.String(), func() (any, error) {
		for e, err := range k.log.raw(context.WithoutCancel(ctx), Stream(eventschema.Key, id), 0) {
			if errors.Is(err, ErrDeleted) {
				return (*eventschema.DataKey)(nil), nil
			}
			if err != nil {
				return nil, fmt.Errorf("data key of %s: %w", id, err)
			}
			if rec := k.log.decode(ctx, e); rec.Err != nil {
				return nil, rec.Err
			} else if created, ok := rec.Event.(eventschema.KeyCreated); ok {
				return k.unwrap(ctx, id, created)
			}
		}
		return (*eventschema.DataKey)(nil), nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*eventschema.DataKey), nil
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
	_, err = k.log.Append(ctx, Stream(eventschema.Key, id), NoStream, m, eventschema.KeyCreated{Master: k.master.ID(), Wrapped: wrapped})
	switch {
	case err == nil:
		// Not simply key: an append repeated under the same ids answers as the
		// first did, and the first may have been made with another key.
		return k.find(ctx, id)
	case errors.Is(err, ErrConflict):
		return k.find(ctx, id) // an earlier attempt made it
	case errors.Is(err, ErrDeleted):
		return nil, ErrErased
	}
	return nil, err
}

// learn keeps a key that came by in the log.
func (k *keyring) learn(ctx context.Context, id domain.ID, e eventschema.KeyCreated) {
	if !k.cache.Contains(id) {
		_, _ = k.unwrap(ctx, id, e) // what cannot be unwrapped fails again, with its error, where it is needed
	}
}

func (k *keyring) unwrap(ctx context.Context, id domain.ID, e eventschema.KeyCreated) (*eventschema.DataKey, error) {
	key, err := k.master.Unwrap(ctx, e.Master, id, e.Wrapped)
	if err != nil {
		return nil, err
	}
	k.cache.Add(id, *key)
	return key, nil
}

// forget drops a key whose stream has been deleted.
func (k *keyring) forget(id domain.ID) { k.cache.Remove(id) }
