package engine_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"annals/internal/esnode/engine"
	"annals/internal/postgres"
)

// TestServerKilled kills PostgreSQL itself, again and again, under writers and a subscriber: whoever starts it anew, the
// log goes on by itself, and has all that was acknowledged.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	e := open(t, engine.Options{Database: server.URL()})
	_, wait := follow(t, e)
	const writers, kills = 4, 3
	var writing sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	progress := make(chan time.Time, 1)
	acknowledged := make([]int64, writers)
	streams := make([]string, writers)
	for w := range writers {
		streams[w] = newStream()
		writing.Go(func() {
			revision := int64(-1)
			defer func() { acknowledged[w] = revision }()
			for ctx.Err() == nil {
				events := proposed(2)
				for {
					call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
					r, err := e.Append(call, streams[w], engine.Expected(revision), events)
					cancel()
					if errors.Is(err, engine.ErrTimeout) || errors.Is(err, engine.ErrUnavailable) {
						continue
					}
					if err != nil {
						t.Errorf("append: %v", err)
						return
					}
					revision = r.Revision
					break
				}
				select {
				case progress <- time.Now():
				default:
				}
			}
		})
	}
	for range kills {
		for range 20 {
			<-progress
		}
		killed := time.Now()
		kill(t, server)
		for at := range progress {
			if at.After(killed.Add(50 * time.Millisecond)) { // what was under way when it died is not counted
				t.Logf("writing again %s after the kill", at.Sub(killed).Round(time.Millisecond))
				break
			}
		}
		if list := readStream(t, e, streams[0]); len(list) == 0 {
			t.Error("nothing is read after the kill")
		}
	}
	stop()
	writing.Wait()
	for w, stream := range streams {
		list := readStream(t, e, stream)
		if int64(len(list)) != acknowledged[w]+1 {
			t.Errorf("%s: %d events, acknowledged up to revision %d", stream, len(list), acknowledged[w])
		}
	}
	wait(e.Head())
	ready(t, server)
	verify(t, server.URL())
}

// ready waits until there is a postmaster to connect to: writing can go on for a moment by connections that outlive it.
func ready(t *testing.T, server *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for err := server.Ping(ctx); err != nil; err = server.Ping(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("PostgreSQL does not come back: %v", err)
		}
	}
}

// kill ends the postmaster as a power cut would.
func kill(t *testing.T, server *postgres.Server) {
	t.Helper()
	ready(t, server)
	conn := connect(t, server.URL())
	var dir string
	if err := conn.QueryRow(t.Context(), `show data_directory`).Scan(&dir); err != nil {
		t.Fatalf("data directory: %v", err)
	}
	file, err := os.ReadFile(dir + "/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(file), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatalf("kill PostgreSQL: %v", err)
	}
}

func TestUnavailableWhileDown(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	closeServer := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	}
	t.Cleanup(closeServer)
	e := open(t, engine.Options{Database: server.URL()})
	stream := newStream()
	mustAppend(t, e, stream, engine.NoStream, proposed(1))
	closeServer()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := e.Append(ctx, stream, 0, proposed(1))
		cancel()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s to answer", took)
		}
		if errors.Is(err, engine.ErrUnavailable) {
			break
		}
		if !errors.Is(err, engine.ErrTimeout) { // until the loss is noticed
			t.Fatalf("append while PostgreSQL is down: %v", err)
		}
	}
	if e.Err() == nil {
		t.Error("the log is called healthy")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, err := range e.ReadAll(ctx, 0, false, 1) {
		if err == nil {
			t.Error("read while PostgreSQL is down")
		}
	}
	if _, err := engine.Open(ctx, engine.Options{Database: server.URL()}); err == nil {
		t.Error("opened while PostgreSQL is down")
	}
}
