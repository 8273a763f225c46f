package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/internal/esnode"
	"annals/internal/esnode/engine"
)

// An event of 300 bytes, as small facts are.
var (
	someData     = fmt.Appendf(nil, `{"text":"%0239d"}`, 0)
	someMetadata = fmt.Appendf(nil, `{"at":"%042d"}`, 0)
)

const directBatch = 1000

// appends measures single-event appends, each to a stream of its own and each
// acknowledged when it is on disk.
func (r *run) appends(ctx context.Context) error {
	var direct, few float64 // with batches as large as pays, and as large as the callers could make them
	err := r.with(ctx, func(url string) (err error) {
		direct, few, err = r.direct(ctx, url)
		return err
	})
	if err != nil {
		return fmt.Errorf("written directly: %w", err)
	}
	return r.with(ctx, func(url string) error {
		return r.onNode(ctx, url, func(client *esdb.Client) error {
			if _, err := r.append(ctx, client, 64, r.Duration/8); err != nil { // warms up
				return err
			}
			var many, one took
			err := r.profiled(ctx, "append", url, func() (err error) {
				many, err = r.append(ctx, client, 64, r.Duration)
				return err
			})
			if err != nil {
				return err
			}
			if one, err = r.append(ctx, client, 1, r.Duration/2); err != nil {
				return err
			}
			r.appended = many.rate()
			// The verdict is against the table at its best. What it does with as many events a
			// commit as 64 waiting callers can fill is told beside it, and decides nothing.
			limit := fmt.Sprintf("the table written directly, %d a commit", directBatch)
			r.add(Figure{
				Name: "append", What: "64 callers", Value: many.rate(), Unit: "events/s", P50: many.at(50), P99: many.at(99),
				Limit: direct, LimitIs: limit,
			}.atLeastRatio(0.25))
			r.add(Figure{
				Name: "append", What: "64 callers", Value: many.rate(), Unit: "events/s",
				Limit: few, LimitIs: "the same, 64 a commit: no more can be waiting",
			})
			r.add(Figure{
				Name: "append", What: "1 caller", Value: one.rate(), Unit: "events/s", P50: one.at(50), P99: one.at(99),
				Limit: direct, LimitIs: limit,
			})
			return nil
		})
	})
}

// direct is how many events a second go into the log's table, by batches of
// directBatch and by batches of 64.
func (r *run) direct(ctx context.Context, url string) (many, few float64, err error) {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	if err := engine.CreateSchema(ctx, conn); err != nil {
		return 0, 0, err
	}
	var position uint64
	insert := func(size int, d time.Duration) (float64, error) {
		batch := make([]*engine.Event, size)
		from, start := position, now()
		for now().Sub(start) < d {
			created := now().UTC().Truncate(time.Microsecond)
			for i := range batch {
				position++
				id := uuid.New()
				batch[i] = &engine.Event{
					Position: position, Stream: "bench-" + id.String(), Type: "happened", Created: created,
					Data: someData, Metadata: someMetadata, ID: id, JSON: true,
				}
			}
			if err := engine.InsertDirect(ctx, conn, batch); err != nil {
				return 0, err
			}
		}
		return float64(position-from) / now().Sub(start).Seconds(), nil
	}
	if _, err := insert(directBatch, r.Duration/8); err != nil { // warms up
		return 0, 0, err
	}
	if many, err = insert(directBatch, r.Duration); err != nil {
		return 0, 0, err
	}
	few, err = insert(64, r.Duration/2)
	return many, few, err
}

// onNode runs f with an official client of a node on the database.
func (r *run) onNode(ctx context.Context, url string, f func(*esdb.Client) error) (err error) {
	node, err := esnode.Start(ctx, esnode.Config{Listen: "127.0.0.1:0", Database: url, Logger: r.Logger})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, node.Close(closing))
	}()
	conf, err := esdb.ParseConnectionString(node.ConnectionString())
	if err != nil {
		return fmt.Errorf("connection string: %w", err)
	}
	conf.Logger = nil
	client, err := esdb.NewClient(conf)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer func() { _ = client.Close() }()
	return f(client)
}

// append has callers append for a while.
func (r *run) append(ctx context.Context, client *esdb.Client, callers int, d time.Duration) (took, error) {
	each := make([][]time.Duration, callers)
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := now()
	for c := range callers {
		wg.Go(func() {
			for failed.Load() == nil {
				begun := now()
				if begun.Sub(start) >= d {
					return
				}
				_, err := client.AppendToStream(ctx, "bench-"+uuid.NewString(), esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, esdb.EventData{
					EventID: uuid.New(), EventType: "happened", ContentType: esdb.ContentTypeJson, Data: someData, Metadata: someMetadata,
				})
				if err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				each[c] = append(each[c], now().Sub(begun))
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return took{}, *err
	}
	return newTook(now().Sub(start), each...), nil
}
