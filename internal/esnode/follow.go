package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"annals/internal/esnode/engine"
)

func (r *reader) confirm() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

func (r *reader) caughtUp() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

// followAll answers a subscription to the whole log. With a filter it tells as well how far the log has been looked
// at, so that a client which begins again need not have everything considered once more.
func (r *reader) followAll(ctx context.Context) error {
	sub := r.service.log().SubscribeAll(r.plan.position)
	if err := r.confirm(); err != nil {
		return err
	}
	var considered, checkpoint uint64
	tell := func(position uint64) error {
		considered = 0
		if r.plan.filter == nil || position <= checkpoint {
			return nil
		}
		checkpoint = position
		return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
			Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: position, PreparePosition: position},
		}})
	}
	for {
		batch, err := r.next(ctx, sub)
		if err != nil {
			return err
		}
		for events := batch.Events; len(events) > 0; {
			// A checkpoint must come after what was considered before it: so up to there, and then the next.
			n := len(events)
			if r.plan.filter != nil {
				n = int(min(uint64(n), r.plan.interval-considered)) //nolint:gosec // not above n
			}
			chosen, err := r.choose(events[:n])
			if err != nil {
				return err
			}
			if err := r.send(ctx, chosen); err != nil {
				return err
			}
			considered += uint64(n)
			if r.plan.filter != nil && considered >= r.plan.interval {
				if err := tell(events[n-1].Position); err != nil {
					return err
				}
			}
			events = events[n:]
		}
		if batch.CaughtUp {
			if err := tell(batch.Position); err != nil {
				return err
			}
			if err := r.caughtUp(); err != nil {
				return err
			}
		}
	}
}

func (r *reader) followStream(ctx context.Context) error {
	after := r.plan.revision
	switch {
	case r.plan.start:
		after = -1
	case r.plan.end:
		after = engine.MaxRevision
	}
	sub, err := r.service.log().SubscribeStream(ctx, r.plan.stream, after)
	if err != nil {
		return err
	}
	if err := r.confirm(); err != nil {
		return err
	}
	for {
		batch, err := r.next(ctx, sub)
		if err != nil {
			return err
		}
		if err := r.send(ctx, batch.Events); err != nil {
			return err
		}
		if batch.CaughtUp {
			if err := r.caughtUp(); err != nil {
				return err
			}
		}
	}
}

// next waits for a batch, and looks again whether the caller may still see it.
func (r *reader) next(ctx context.Context, sub engine.Subscription) (engine.Batch, error) {
	batch, err := sub.Next(ctx)
	if err != nil {
		return batch, err
	}
	return batch, r.service.node.authorize(ctx, r.plan.stream, opRead)
}
