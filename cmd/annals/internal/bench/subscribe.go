package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/internal/esnode/engine"
)

// subscribes measures catching up with a log of small events.
func (r *run) subscribes(ctx context.Context) error {
	total := max(r.Events/2, 1)
	return r.with(ctx, func(url string) error {
		r.Logger.InfoContext(ctx, "filling the log", "events", total)
		if err := fillSmall(ctx, url, total); err != nil {
			return err
		}
		table, err := r.passes(total, func() (int, error) { return selectAll(ctx, url) })
		if err != nil {
			return fmt.Errorf("select: %w", err)
		}
		direct, err := r.readDirectly(ctx, url, total)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		return r.onNode(ctx, url, func(client *esdb.Client) error {
			if _, err := catchUp(ctx, client, total/10); err != nil { // warms up
				return err
			}
			var got float64
			err := r.profiled(ctx, "subscribe", url, func() (err error) {
				got, err = r.passes(total, func() (int, error) { return catchUp(ctx, client, total) })
				return err
			})
			if err != nil {
				return err
			}
			const what = "catch-up of %s events of %d bytes"
			r.add(Figure{
				Name: "subscribe", What: fmt.Sprintf(what, number(float64(total)), len(someData)+len(someMetadata)), Value: got, Unit: "events/s",
				Limit: direct, LimitIs: "the engine read directly",
			}.atLeast(150_000))
			r.add(Figure{
				Name: "subscribe", What: "the engine read directly", Value: direct, Unit: "events/s",
				Limit: table, LimitIs: "select of the table",
			})
			return nil
		})
	})
}

func fillSmall(ctx context.Context, url string, total int) error {
	made := 0
	return load(ctx, url, func(n int) ([]*engine.Event, error) {
		out := make([]*engine.Event, min(n, total-made))
		created := now().UTC().Truncate(time.Microsecond)
		for i := range out {
			made++
			id := uuid.New()
			out[i] = &engine.Event{
				Position: uint64(made), Stream: "bench-" + id.String(), Type: "happened", Created: created, //nolint:gosec // positive
				Data: someData, Metadata: someMetadata, ID: id, JSON: true,
			}
		}
		return out, nil
	})
}

// passes repeats a pass over the log for a while, and at least once.
func (r *run) passes(total int, pass func() (int, error)) (float64, error) {
	start, seen := now(), 0
	for seen == 0 || now().Sub(start) < r.Duration {
		n, err := pass()
		if err != nil {
			return 0, err
		}
		if n < total {
			return 0, fmt.Errorf("%d of %d events came", n, total)
		}
		seen += n
	}
	return float64(seen) / now().Sub(start).Seconds(), nil
}

func selectAll(ctx context.Context, url string) (int, error) {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return 0, err
	}
	defer done()
	rows, err := conn.Query(ctx, `select position, revision, stream, id, type, created, is_json, data, metadata
		from annals_log.events order by position`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		_ = rows.RawValues()
		n++
	}
	return n, rows.Err()
}

func (r *run) readDirectly(ctx context.Context, url string, total int) (rate float64, err error) {
	e, err := engine.Open(ctx, engine.Options{Database: url, Logger: r.Logger})
	if err != nil {
		return 0, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, e.Close(closing))
	}()
	return r.passes(total, func() (int, error) {
		n := 0
		for events, err := range e.ReadAll(ctx, 0, false, math.MaxUint64) {
			if err != nil {
				return n, err
			}
			n += len(events)
		}
		return n, nil
	})
}

// catchUp subscribes from the start until so many events have come.
func catchUp(ctx context.Context, client *esdb.Client, total int) (int, error) {
	sub, err := client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		return 0, fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Close() }()
	for n := 0; ; {
		e := sub.Recv()
		switch {
		case e.SubscriptionDropped != nil:
			return n, fmt.Errorf("subscription: %w", e.SubscriptionDropped.Error)
		case e.EventAppeared != nil && e.EventAppeared.OriginalEvent().EventType == "happened":
			if n++; n == total {
				return n, nil
			}
		case e.CaughtUp != nil:
			return n, nil
		}
	}
}
