package eventlog

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/esnode/esnodetest"
	"annals/internal/postgres/pgtest"
)

// calls are all there are; every one has to end with its context.
var calls = map[string]func(context.Context, *Log) error{
	"append": func(ctx context.Context, l *Log) error {
		_, err := l.Append(ctx, Stream(domain.Desk, uuid.New()), NoStream, by(), north)
		return err
	},
	"append under a key": func(ctx context.Context, l *Log) error {
		_, err := l.Append(ctx, Stream(domain.Client, uuid.New()), NoStream, by(), kim())
		return err
	},
	"append under an older key": func(ctx context.Context, l *Log) error {
		_, err := l.Append(ctx, Stream(domain.Client, uuid.New()), 3, by(), kim())
		return err
	},
	"read": func(ctx context.Context, l *Log) error {
		for _, err := range l.Read(ctx, Stream(domain.Client, uuid.New()), 0) {
			return err
		}
		return nil
	},
	"head": func(ctx context.Context, l *Log) error {
		_, err := l.Head(ctx)
		return err
	},
	"fingerprint": func(ctx context.Context, l *Log) error {
		_, err := l.Fingerprint(ctx, Stream(domain.Client, uuid.New()), domain.Meta{Request: []byte("x")})
		return err
	},
	"subscribe": func(ctx context.Context, l *Log) error {
		for _, err := range l.Subscribe(ctx, Position{}) {
			return err
		}
		return nil
	},
}

// TestUnreachable: with nobody there, and with somebody there who does not speak,
// every call returns in time; and when the node comes the same Log works.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"nobody listens": false, "nobody answers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := listener.Addr().String()
			if !silent {
				_ = listener.Close()
			}
			t.Cleanup(func() { _ = listener.Close() })
			l := openLog(t, at(address))
			const patience = 2 * time.Second
			var wg sync.WaitGroup
			for range 10 {
				for call, do := range calls {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						begun := time.Now()
						err := do(ctx, l)
						if took := time.Since(begun); took > patience+time.Second {
							t.Errorf("%s took %v", call, took)
						}
						if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) {
							t.Errorf("%s: %v", call, err)
						}
					})
				}
			}
			wg.Wait()
			_ = listener.Close()
			startNode(t, address, pgtest.Database(t))
			// First one that tries until it gets through: an attempt to connect may still be failing.
			if _, err := l.Head(t.Context()); err != nil {
				t.Fatal(err)
			}
			for call, do := range calls {
				if err := do(t.Context(), l); err != nil && !errors.Is(err, ErrErased) { // nobody has a key yet
					t.Errorf("%s, now that there is a node: %v", call, err)
				}
			}
		})
	}
}

// TestLostAnswer: the node has written and its answer is lost. The append is
// repeated, and written once.
func TestLostAnswer(t *testing.T) {
	node := esnodetest.Start(t)
	target := strings.TrimSuffix(strings.TrimPrefix(node, "esdb://"), "?tls=false")
	p := startProxy(t, target[strings.LastIndex(target, "@")+1:])
	l, direct := openLog(t, p.connection()), openLog(t, node)
	for name, e := range map[string]any{domain.Desk: north, domain.Client: kim()} {
		mustAppend(t, l, Stream(domain.Desk, uuid.New()), NoStream, north) // connected
		stream := Stream(name, uuid.New())
		head, err := direct.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.setMute(true)
		done := make(chan error)
		var res Result
		go func() {
			var err error
			res, err = l.Append(t.Context(), stream, NoStream, by(), e)
			done <- err
		}()
		for item, err := range direct.Subscribe(t.Context(), head) {
			if err != nil {
				t.Fatal(err)
			}
			if item.Record != nil { // written: the event, or its key
				break
			}
		}
		p.setMute(false)
		p.cut()
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := all(t, direct, stream)
		if len(got) != 1 || got[0].Position != res.Position || got[0].Revision != res.Revision || len(got[0].Erased) > 0 {
			t.Errorf("%s: %+v, told %+v", name, got, res)
		}
	}
}

// TestCuts: connections break all the time, and every append still ends up in the
// log exactly once, in the order of its writer.
func TestCuts(t *testing.T) {
	node := esnodetest.Start(t)
	target := strings.TrimSuffix(strings.TrimPrefix(node, "esdb://"), "?tls=false")
	p := startProxy(t, target[strings.LastIndex(target, "@")+1:])
	l, direct := openLog(t, p.connection()), openLog(t, node)
	const writers, each = 6, 25
	streams := make([]string, writers)
	progress := make(chan struct{})
	var wg sync.WaitGroup
	for i := range streams {
		streams[i] = Stream(domain.Client, uuid.New())
		wg.Go(func() {
			last := NoStream
			for range each {
				res, err := l.Append(t.Context(), streams[i], last, by(), kim())
				if err != nil || res.Revision != last+1 {
					t.Errorf("after %d: %+v, %v", last, res, err)
					return
				}
				last = res.Revision
				progress <- struct{}{}
			}
		})
	}
	go func() { wg.Wait(); close(progress) }()
	cuts, done := 0, 0
	for range progress {
		if done++; done%5 == 0 {
			p.cut()
			cuts++
		}
	}
	for _, stream := range streams {
		seen := map[uuid.UUID]bool{}
		got := all(t, direct, stream)
		for _, rec := range got {
			seen[rec.Meta.Command] = true
		}
		if len(got) != each || len(seen) != each {
			t.Errorf("%d events of %d commands, want %d", len(got), len(seen), each)
		}
	}
	if cuts < 10 {
		t.Errorf("%d cuts", cuts)
	}
}

// TestNodeStopsMidAppend: writers go on while their node is stopped and started.
func TestNodeStopsMidAppend(t *testing.T) {
	database := pgtest.Database(t)
	node, stop := startNode(t, "127.0.0.1:0", database)
	address := node.Addr()
	l := openLog(t, at(address), func(c *Config) { c.WriteTimeout = 30 * time.Second })
	const writers, each = 4, 30
	var wg sync.WaitGroup
	streams := make([]string, writers)
	progress := make(chan struct{}, writers*each)
	for i := range streams {
		streams[i] = Stream(domain.Desk, uuid.New())
		wg.Go(func() {
			last := NoStream
			for range each {
				res, err := l.Append(t.Context(), streams[i], last, by(), north)
				if err != nil || res.Revision != last+1 {
					t.Errorf("after %d: %+v, %v", last, res, err)
					return
				}
				last = res.Revision
				progress <- struct{}{}
			}
		})
	}
	for range 3 {
		for range writers * each / 5 {
			<-progress
		}
		stop()
		_, stop = startNode(t, address, database)
	}
	wg.Wait()
	for _, stream := range streams {
		if got := all(t, l, stream); len(got) != each {
			t.Errorf("%d events, want %d", len(got), each)
		}
	}
	stop()
}

// TestClose: calls under way end, later ones are refused, and nothing is left.
func TestClose(t *testing.T) {
	node := esnodetest.Start(t)
	l := openLog(t, node)
	mustAppend(t, l, Stream(domain.Desk, uuid.New()), NoStream, north)
	live, ended := make(chan struct{}), make(chan error)
	go func() {
		for item, err := range l.Subscribe(context.WithoutCancel(t.Context()), Position{}) {
			if item.Live {
				close(live)
			}
			if err != nil {
				ended <- err
			}
		}
	}()
	<-live
	l.Close()
	l.Close()
	if err := <-ended; err == nil {
		t.Error("the subscription ended without an error")
	}
	for call, do := range calls {
		if err := do(t.Context(), l); !errors.Is(err, errClosed) {
			t.Errorf("%s of a closed log: %v", call, err)
		}
	}
}
