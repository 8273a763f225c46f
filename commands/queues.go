package commands

import (
	"context"
	"sync"

	"annals/domain"
)

// queues has those who change one aggregate do so one after the other, instead of
// racing for its next revision. It keeps them from working in vain, no more: that
// each change is decided from the state before it, the log sees to, whichever
// processes the changes come from.
type queues struct {
	mu  sync.Mutex
	all map[domain.Ref]*queue
}

type queue struct {
	turn chan struct{} // holds a token while it is somebody's turn
	n    int           // of those whose turn it is or will be
}

// enter waits for the caller's turn; the returned function ends it.
func (q *queues) enter(ctx context.Context, ref domain.Ref) (leave func(), err error) {
	q.mu.Lock()
	if q.all == nil {
		q.all = map[domain.Ref]*queue{}
	}
	one := q.all[ref]
	if one == nil {
		one = &queue{turn: make(chan struct{}, 1)}
		q.all[ref] = one
	}
	one.n++
	q.mu.Unlock()
	gone := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if one.n--; one.n == 0 {
			delete(q.all, ref)
		}
	}
	select {
	case one.turn <- struct{}{}:
		return func() { <-one.turn; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
