package eventlog

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/eventschema"
	"annals/internal/esnode"
	"annals/internal/raced"
)

// startNode runs a node until the test ends, or until it is stopped.
func startNode(t *testing.T, listen, database string) (n *esnode.Node, stop func()) {
	t.Helper()
	n, err := esnode.Start(t.Context(), esnode.Config{Listen: listen, Database: database})
	if err != nil {
		t.Fatalf("start a node: %v", err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Errorf("close the node: %v", err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func openLog(tb testing.TB, connection string, settings ...func(*Config)) *Log {
	tb.Helper()
	master, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	cfg := Config{ConnectionString: connection, Master: master}
	for _, set := range settings {
		set(&cfg)
	}
	l, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	return l
}

func at(address string) string { return "esdb://" + address + "?tls=false" }

// vendor is the official client itself, for what only it can do.
func vendor(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = func(esdb.LogLevel, string, ...any) {}
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// by is a new command of somebody.
func by() domain.Meta {
	return domain.Meta{Actor: uuid.New(), Command: uuid.New(), Correlation: uuid.New(), Causation: uuid.New(), At: time.UnixMicro(1_700_000_000_123_456).UTC()}
}

func kim() client.Registered {
	return client.Registered{
		Details:    client.Details{Type: client.Person, FirstName: "Kimberly", LastName: "Leeuwenhoek", Email: "kimberly@example.com", Phone: "+49 30 5550123", Address: client.Address{City: "Wolfenbuettel"}},
		Assignment: client.Assignment{ProjectID: uuid.UUID{1}},
		Status:     client.Lead,
	}
}

var north = desk.Created{ProjectID: uuid.UUID{1}, Name: "North"}

// all reads a stream to its end.
func all(t *testing.T, l *Log, stream string) []Record {
	t.Helper()
	var records []Record
	for rec, err := range l.Read(t.Context(), stream, 0) {
		if err != nil {
			t.Fatalf("read %s: %v", stream, err)
		}
		records = append(records, rec)
	}
	return records
}

func mustAppend(t *testing.T, l *Log, stream string, last Revision, events ...any) Result {
	t.Helper()
	res, err := l.Append(t.Context(), stream, last, by(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// leftovers are the goroutines of this package and of the client's connections.
func leftovers() []string {
	buf := make([]byte, 16<<20)
	var left []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		ours := strings.Contains(g, "annals/internal/eventlog.") && !strings.Contains(g, "testing.tRunner") &&
			!strings.Contains(strings.ToLower(g), "faulty") && !strings.Contains(g, "roxy") // these tests' servers
		if raced.On && strings.Contains(g, "chan send") && strings.Contains(g, "(*grpcClient)") {
			continue // see clients.drop
		}
		theirs := strings.Contains(g, "EventStore-Client-Go") || strings.Contains(g, "(*http2Client)")
		if ours || theirs {
			left = append(left, g)
		}
	}
	return left
}

// proxy stands between a client and a node, and breaks what goes through it.
type proxy struct {
	net.Listener
	mu     sync.Mutex
	target string
	mute   bool // what the node says is lost
	conns  map[net.Conn]bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = p.Close()
		p.cut()
	})
	go func() {
		for {
			down, err := p.Accept()
			if err != nil {
				return
			}
			go p.serve(down)
		}
	}()
	return p
}

func (p *proxy) serve(down net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	up, err := net.Dial("tcp", target)
	if err != nil {
		_ = down.Close()
		return
	}
	p.mu.Lock()
	p.conns[down], p.conns[up] = true, true
	p.mu.Unlock()
	both := func() { _, _ = down.Close(), up.Close() }
	go func() {
		defer both()
		_, _ = io.Copy(up, down)
	}()
	defer both()
	buf := make([]byte, 32<<10)
	for {
		n, err := up.Read(buf)
		p.mu.Lock()
		mute := p.mute
		p.mu.Unlock()
		if !mute {
			if _, err := down.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) setMute(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) connection() string { return at(p.Addr().String()) }
