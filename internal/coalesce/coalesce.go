// Package coalesce has callers who ask for the same thing at the same time share one
// answer. Unlike golang.org/x/sync/singleflight it never gives anybody an answer that
// was asked for before they came: what is true when they call shows in it. So it saves
// work without making anything stale.
package coalesce

import (
	"context"
	"sync"
	"time"
)

// Group asks for values by key. The zero Group is ready to use.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

// call is one question, which may be under way or about to be.
type call[V any] struct {
	ask   func(context.Context) (V, error)
	ctx   context.Context // of the first who asked, without its end
	next  *call[V]        // for those who came since this one was asked
	done  chan struct{}
	value V
	err   error
}

// most bounds a question that those who asked it have given up.
const most = 30 * time.Second

// Do returns what ask does, begun after Do was called, by this caller or another one
// of the same key. It returns early when ctx ends; ask is then left to the others.
func (g *Group[K, V]) Do(ctx context.Context, key K, ask func(context.Context) (V, error)) (V, error) {
	g.mu.Lock()
	running := g.calls[key]
	var c *call[V]
	switch {
	case running == nil:
		if g.calls == nil {
			g.calls = map[K]*call[V]{}
		}
		c = newCall(ctx, ask)
		g.calls[key] = c
		go g.run(key, c) //nolint:contextcheck // it is for others too, who last longer
	case running.next == nil:
		c = newCall(ctx, ask)
		running.next = c
	default:
		c = running.next
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

func newCall[V any](ctx context.Context, ask func(context.Context) (V, error)) *call[V] {
	return &call[V]{ask: ask, ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
}

// run asks c, and what was put behind it meanwhile, until nobody is left.
func (g *Group[K, V]) run(key K, c *call[V]) {
	for c != nil {
		ctx, cancel := context.WithTimeout(c.ctx, most)
		c.value, c.err = c.ask(ctx)
		cancel()
		g.mu.Lock()
		next := c.next
		if next == nil {
			delete(g.calls, key)
		} else {
			g.calls[key] = next
		}
		g.mu.Unlock()
		close(c.done)
		c = next
	}
}
