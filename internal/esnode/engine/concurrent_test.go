package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/esnode/engine"
	"annals/internal/postgres/pgtest"
)

// call is an operation on one stream: an append at an expected revision, or a read of the last one.
type call struct {
	stream   string
	read     bool
	expected int64
}

// result is a revision, or that the stream was at another one, or that nobody knows.
type result struct {
	revision int64
	wrong    bool
	unknown  bool
}

// register is a stream as linearizability sees it: its state is the last revision. An append whose outcome is unknown
// may have happened or not.
var register = porcupine.NondeterministicModel{
	Init: func() []any { return []any{int64(-1)} },
	Step: func(state, input, output any) []any {
		last, in, out := state.(int64), input.(call), output.(result)
		switch {
		case out.unknown && in.expected == last:
			return []any{last, last + 1}
		case out.unknown:
			return []any{last}
		case in.read && out.revision == last, out.wrong && out.revision == last && in.expected != last:
			return []any{last}
		case !in.read && !out.wrong && in.expected == last && out.revision == last+1:
			return []any{last + 1}
		default:
			return nil
		}
	},
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			stream := op.Input.(call).stream
			parts[stream] = append(parts[stream], op)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
}

// history collects operations with their times.
type history struct {
	mu    sync.Mutex
	start time.Time
	ops   []porcupine.Operation
}

func (h *history) do(client int, in call, f func() result) result {
	begin := time.Since(h.start)
	out := f()
	end := time.Since(h.start)
	if out.unknown {
		end = time.Hour // it may still happen
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{
		ClientId: client, Input: in, Call: begin.Nanoseconds(), Output: out, Return: end.Nanoseconds(),
	})
	return out
}

func (h *history) check(t *testing.T) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(register.ToModel(), h.ops, 20*time.Second); got != porcupine.Ok {
		t.Errorf("%d operations are not linearizable: %s", len(h.ops), got)
	}
}

func lastRevision(ctx context.Context, e *engine.Engine, stream string) (int64, error) {
	r, err := e.ReadStream(ctx, stream, engine.MaxRevision, true, 1)
	if errors.Is(err, engine.ErrNoStream) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	for page, err := range r.Pages {
		if err != nil {
			return 0, err
		}
		return page[0].Revision, nil
	}
	return -1, nil
}

// contend lets writers append to a few streams at the revision they believe in, and records what they are told.
func contend(ctx context.Context, t *testing.T, e *engine.Engine, h *history, writers, each int, streams []string) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			believed := map[string]int64{}
			for _, s := range streams {
				believed[s] = -1
			}
			for i := range each {
				in := call{stream: streams[(w+i)%len(streams)], read: (w+i)%5 == 0}
				in.expected = believed[in.stream]
				out := h.do(w, in, func() result {
					if in.read {
						last, err := lastRevision(ctx, e, in.stream)
						if err != nil {
							return result{revision: in.expected, unknown: true}
						}
						return result{revision: last}
					}
					r, err := e.Append(ctx, in.stream, engine.Expected(in.expected), proposed(1))
					var wrong *engine.WrongRevisionError
					switch {
					case errors.As(err, &wrong):
						return result{revision: wrong.Actual, wrong: true}
					case errors.Is(err, engine.ErrTimeout):
						return result{revision: in.expected, unknown: true}
					case errors.Is(err, engine.ErrUnavailable):
						return result{revision: in.expected, unknown: true} // it was not written; unknown says less
					case err != nil:
						t.Errorf("append: %v", err)
					}
					return result{revision: r.Revision}
				})
				believed[in.stream] = out.revision
			}
		})
	}
	wg.Wait()
}

func TestLinearizable(t *testing.T) {
	t.Parallel()
	e := open(t, engine.Options{})
	h := &history{start: time.Now()}
	contend(t.Context(), t, e, h, 8, 100, []string{newStream(), newStream(), newStream()})
	h.check(t)
}

// TestNothingAcknowledgedIsLost ends the writer's connection again and again while many write, and holds afterwards
// that the log has every acknowledged event, and no event twice.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	e := open(t, engine.Options{Database: url})
	subscribed, wait := follow(t, e)
	admin := connect(t, url)
	const writers, kills = 16, 12
	var acknowledged sync.Map // id → stream
	var attempts, unknown, acked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	progress := make(chan struct{}, 1)
	for w := range writers {
		wg.Go(func() {
			stream, revision := fmt.Sprintf("writer-%d", w), int64(-1)
			for ctx.Err() == nil {
				events := proposed(1 + w%3)
				for { // the same events at the same revision until it is known what became of them
					attempts.Add(1)
					call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
					r, err := e.Append(call, stream, engine.Expected(revision), events)
					cancel()
					if errors.Is(err, engine.ErrTimeout) || errors.Is(err, engine.ErrUnavailable) {
						unknown.Add(1)
						continue
					}
					if err != nil {
						t.Errorf("append: %v", err)
						return
					}
					revision = r.Revision
					break
				}
				for _, p := range events {
					acknowledged.Store(p.ID, stream)
				}
				acked.Add(1)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for range kills {
		for range 30 { // some progress between two kills
			<-progress
		}
		_, err := admin.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and application_name like 'annals log, pid%'`)
		if err != nil {
			t.Fatalf("kill: %v", err)
		}
	}
	for range 30 {
		<-progress
	}
	stop()
	wg.Wait()

	seen := map[uuid.UUID]string{}
	for _, event := range collect(t, e.ReadAll(t.Context(), 0, false, engine.MaxPosition)) {
		if _, twice := seen[event.ID]; twice {
			t.Errorf("event %s stands twice in %s", event.ID, event.Stream)
		}
		seen[event.ID] = event.Stream
	}
	lost := 0
	acknowledged.Range(func(id, stream any) bool {
		if seen[id.(uuid.UUID)] != stream {
			lost++
		}
		return true
	})
	if lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	if e.Err() != nil {
		t.Errorf("health: %v", e.Err())
	}
	wait(e.Head())
	if got := subscribed(); len(got) != len(seen) {
		t.Errorf("the subscriber saw %d events of %d", len(got), len(seen))
	}
	r := verify(t, url)
	t.Logf("%d attempts, %d acknowledged, %d unknown; %d events in %d streams", attempts.Load(), acked.Load(), unknown.Load(), r.Events, r.Streams)
}

func TestLinearizableOverLostConnections(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	e := open(t, engine.Options{Database: url})
	admin := connect(t, url)
	h := &history{start: time.Now()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx := t.Context(); ctx.Err() == nil; {
			mark := e.Head()
			for e.Head() < mark+40 {
				sub := e.SubscribeAll(e.Head())
				bounded, cancel := context.WithTimeout(ctx, time.Second)
				_, err := sub.Next(bounded) // caught up
				if err == nil {
					_, err = sub.Next(bounded)
				}
				cancel()
				if err != nil {
					return // the writers have finished
				}
			}
			if _, err := admin.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and application_name like 'annals log, pid%'`); err != nil {
				t.Errorf("kill: %v", err)
				return
			}
		}
	}()
	// An unknown outcome doubles what the checker must consider, so a few operations are enough.
	contend(t.Context(), t, e, h, 5, 60, []string{newStream(), newStream(), newStream(), newStream(), newStream()})
	<-done
	h.check(t)
}

// follow subscribes to the whole log, and returns what it has seen, and a function that waits for a position.
func follow(t *testing.T, e *engine.Engine) (seen func() []*engine.Event, wait func(uint64)) {
	t.Helper()
	var mu sync.Mutex
	var list []*engine.Event
	moved := make(chan struct{}, 1)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		sub := e.SubscribeAll(0)
		for {
			batch, err := sub.Next(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			for _, event := range batch.Events {
				if n := len(list); n > 0 && list[n-1].Position >= event.Position {
					t.Errorf("position %d follows %d", event.Position, list[n-1].Position)
				}
				list = append(list, event)
			}
			mu.Unlock()
			select {
			case moved <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	seen = func() []*engine.Event {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
	wait = func(position uint64) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for {
			if l := seen(); len(l) > 0 && l[len(l)-1].Position >= position {
				return
			}
			select {
			case <-moved:
			case <-timeout:
				t.Fatalf("the subscriber did not reach %d", position)
			}
		}
	}
	return seen, wait
}

func TestServerRefusal(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	e := open(t, engine.Options{Database: url})
	stream := newStream()
	mustAppend(t, e, stream, engine.NoStream, proposed(1))
	conn := connect(t, url)
	// What a full disk is like: the statement fails, the connection stands.
	mustExec(t, conn, `alter table annals_log.events add constraint refused check (type <> 'refused') not valid`)
	refused := proposed(1)
	refused[0].Type = "refused"
	if _, err := e.Append(t.Context(), stream, 0, refused); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := e.Append(ctx, stream, 0, proposed(1))
	if err != nil || r.Revision != 1 {
		t.Errorf("after the refusal: %+v, %v", r, err)
	}
}

func mustExec(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}
