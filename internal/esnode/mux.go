package esnode

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// mux sorts the connections of one port: HTTP/2 that a gRPC client opened goes to the gRPC server's own transport, and
// everything else to net/http, which can carry gRPC as well, slower. In the clear the preface tells, with TLS the ALPN
// offer: a gRPC client offers h2 and nothing else, a general HTTP client http/1.1 too.
type mux struct {
	listener net.Listener
	tls      *tls.Config
	grpc     *branch
	http     *branch
	pending  sync.WaitGroup

	mu      sync.Mutex
	sorting map[net.Conn]struct{} // accepted, and not yet known what for
	closed  bool
}

// sortTimeout bounds how long a client may take to say what it speaks.
const sortTimeout = 10 * time.Second

func newMux(l net.Listener, c *tls.Config) *mux {
	return &mux{
		listener: l, tls: c, grpc: newBranch(l.Addr()), http: newBranch(l.Addr()),
		sorting: map[net.Conn]struct{}{},
	}
}

// run accepts until the listener is closed.
func (m *mux) run(ctx context.Context) {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				time.Sleep(10 * time.Millisecond) // out of file descriptors: some will come back
				continue
			}
			return
		}
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			_ = conn.Close()
			return
		}
		m.sorting[conn] = struct{}{}
		m.pending.Add(1)
		m.mu.Unlock()
		go m.sort(ctx, conn)
	}
}

func (m *mux) sort(ctx context.Context, conn net.Conn) {
	defer m.pending.Done()
	sorted, to := m.look(ctx, conn)
	m.mu.Lock()
	delete(m.sorting, conn)
	m.mu.Unlock()
	if to == nil || !to.offer(sorted) {
		_ = conn.Close()
	}
}

func (m *mux) look(ctx context.Context, conn net.Conn) (net.Conn, *branch) {
	if conn.SetDeadline(time.Now().Add(sortTimeout)) != nil { //nolint:forbidigo // a network deadline
		return nil, nil
	}
	var sorted net.Conn
	var to *branch
	if m.tls != nil {
		sorted, to = m.lookTLS(ctx, conn)
	} else {
		sorted, to = m.lookClear(conn)
	}
	if to == nil || conn.SetDeadline(time.Time{}) != nil {
		return nil, nil
	}
	return sorted, to
}

func (m *mux) lookTLS(ctx context.Context, conn net.Conn) (net.Conn, *branch) {
	var offered []string
	c := m.tls.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = hello.SupportedProtos
		return nil, nil //nolint:nilnil // "keep the configuration", by its contract
	}
	secured := tls.Server(conn, c)
	ctx, cancel := context.WithTimeout(ctx, sortTimeout)
	defer cancel()
	if secured.HandshakeContext(ctx) != nil {
		return nil, nil
	}
	if secured.ConnectionState().NegotiatedProtocol == "h2" && !slices.Contains(offered, "http/1.1") {
		return secured, m.grpc
	}
	return secured, m.http
}

func (m *mux) lookClear(conn net.Conn) (net.Conn, *branch) {
	var first [4]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return nil, nil
	}
	read := &prefixed{Conn: conn, prefix: first[:]}
	if string(first[:]) == "PRI " { // RFC 9113, 3.4: the preface of HTTP/2
		return read, m.grpc
	}
	return read, m.http
}

func (m *mux) close() {
	m.mu.Lock()
	m.closed = true
	for conn := range m.sorting {
		_ = conn.Close()
	}
	m.mu.Unlock()
	_ = m.listener.Close()
	m.grpc.end()
	m.http.end()
	m.pending.Wait()
}

// prefixed is a connection of which the first bytes have been read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// branch is a listener for one kind of connection.
type branch struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newBranch(addr net.Addr) *branch {
	return &branch{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (b *branch) offer(conn net.Conn) bool {
	select {
	case b.conns <- conn:
		return true
	case <-b.ended:
		return false
	}
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.ended:
		return nil, net.ErrClosed
	}
}

func (b *branch) end() { b.once.Do(func() { close(b.ended) }) }

// Close is called by the server of the branch when it stops.
func (b *branch) Close() error {
	b.end()
	return nil
}

func (b *branch) Addr() net.Addr { return b.addr }
