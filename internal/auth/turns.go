package auth

import (
	"context"
	"sync"
)

// maxTurns is how many may wait for a turn at once, whatever for.
const maxTurns = 1024

// turns lets one at a time go on for each key, in no connection of the database.
type turns struct {
	mu      sync.Mutex
	holders map[string]*turn
	waiting int
}

type turn struct {
	free  chan struct{} // holds one token unless somebody has it
	users int
}

// take waits for the turn and returns what gives it up.
func (t *turns) take(ctx context.Context, key string) (func(), error) {
	t.mu.Lock()
	if t.waiting >= maxTurns {
		t.mu.Unlock()
		return nil, errBusy
	}
	t.waiting++
	x := t.holders[key]
	if x == nil {
		x = &turn{free: make(chan struct{}, 1)}
		x.free <- struct{}{}
		if t.holders == nil {
			t.holders = map[string]*turn{}
		}
		t.holders[key] = x
	}
	x.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting--
		if x.users--; x.users == 0 {
			delete(t.holders, key)
		}
	}
	select {
	case <-x.free:
		return func() { x.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
