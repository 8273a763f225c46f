// Package esnode is a server of the EventStoreDB gRPC protocol, in the process that uses it: a single node that official
// clients cannot tell from a server of their own. Its events are kept by package engine in a PostgreSQL table.
//
// It speaks the services Streams, ServerFeatures and Gossip, in the clear on loopback, and elsewhere with TLS and basic
// authentication only. Persistent subscriptions are not offered: what order matters to uses catch-up subscriptions.
// The protocol is that of the client module's .proto files; package esnodetest holds the suite that proves it.
package esnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"annals/internal/esnode/engine"
)

// Config says where a node listens and where its log is.
type Config struct {
	// Listen is the address of the node; port 0 picks one. Anything but a loopback address needs CertFile, KeyFile and
	// AdminPassword.
	Listen string
	// Database is the postgres:// URL of the database that holds the log.
	Database string
	// CertFile and KeyFile are PEM files. With them the node speaks TLS, and asks who is calling.
	CertFile, KeyFile string
	// AdminPassword and OpsPassword are those of the users admin and ops; without one there is no such user.
	AdminPassword, OpsPassword string
	// MaxAppendSize bounds one append in bytes. The default is 1 MiB.
	MaxAppendSize int
	// Logger takes what an operator should know. The default discards it.
	Logger *slog.Logger
	// Forgetful nodes keep next to nothing in memory: for those that are only written to, each stream once.
	Forgetful bool
}

const (
	defaultMaxAppendSize = 1 << 20
	// writeTimeout is how long a write may wait for its commit before it is answered ABORTED.
	writeTimeout = 2 * time.Second
	// closeGrace is how long a node that closes lets calls finish. What takes longer is a client that does not read, and
	// there must be time left to close the log.
	closeGrace = time.Second
)

// Check says what is wrong with the addresses, files and passwords that are configured. It opens none of them.
func (c Config) Check() error { return c.check() }

func (c *Config) check() error {
	if c.MaxAppendSize == 0 {
		c.MaxAppendSize = defaultMaxAppendSize
	}
	if c.MaxAppendSize < 0 || c.MaxAppendSize > maxMessage {
		return fmt.Errorf("the largest append must be between 1 and %d bytes", maxMessage)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("a certificate and its key belong together: one of the two is missing")
	}
	if c.CertFile != "" && c.AdminPassword == "" {
		return errors.New("with a certificate the node asks who is calling: set the administrator's password")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("address %q: %w", c.Listen, err)
	}
	if !loopback(host) && !c.secure() {
		return fmt.Errorf("%q is not a loopback address: there the node listens only with a certificate, its key and an "+
			"administrator's password", c.Listen)
	}
	return nil
}

func (c *Config) secure() bool { return c.CertFile != "" && c.KeyFile != "" && c.AdminPassword != "" }

// loopback tells whether a host is reached from this machine only. A name other than localhost is not trusted to be.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Node is a running server.
type Node struct {
	cfg      Config
	id       uuid.UUID
	listener net.Listener
	grpc     *grpc.Server
	http     *http.Server
	mux      *mux
	engine   atomic.Pointer[engine.Engine] // nil until it is ready
	users    *users
	settings settings

	run      context.Context //nolint:containedctx // ends when the node closes
	stop     context.CancelFunc
	serving  sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// Start opens the log, and returns when the node serves. It listens, and answers that it is not ready, while
// PostgreSQL is starting; ctx bounds that.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n := &Node{cfg: cfg, id: uuid.New(), users: newUsers(&cfg)}
	var tlsConfig *tls.Config
	if cfg.secure() {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("node: certificate: %w", err)
		}
		tlsConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	n.run, n.stop = context.WithCancel(context.Background())
	n.listener = listener
	n.serve(tlsConfig)
	options := engine.Options{Database: cfg.Database, Logger: cfg.Logger}
	if cfg.Forgetful {
		options.TailEvents, options.TailBytes, options.Heads = 1024, 1<<20, 1024
	}
	e, err := engine.Open(ctx, options)
	if err == nil {
		if err = n.found(ctx, e); err == nil {
			n.engine.Store(e)
			return n, nil
		}
		err = errors.Join(err, e.Close(context.WithoutCancel(ctx)))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return nil, errors.Join(fmt.Errorf("node: %w", err), n.Close(closing))
}

func (n *Node) serve(tlsConfig *tls.Config) {
	n.grpc = n.newGRPC()
	n.http = n.newHTTP()
	n.mux = newMux(n.listener, tlsConfig)
	n.serving.Go(func() { n.mux.run(n.run) })
	n.serving.Go(func() { _ = n.grpc.Serve(n.mux.grpc) }) // ends with the mux
	n.serving.Go(func() { _ = n.http.Serve(n.mux.http) }) // likewise
}

// Addr is the address that the node listens on.
func (n *Node) Addr() string { return n.listener.Addr().String() }

// ConnectionString is what a client on this machine connects with. With TLS it holds the administrator's password.
func (n *Node) ConnectionString() string {
	host, port, err := net.SplitHostPort(n.Addr())
	if err != nil {
		return "esdb://" + n.Addr()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "esdb", Host: net.JoinHostPort(host, port), RawQuery: "tls=false"}
	if n.cfg.secure() {
		// The certificate names the node as others know it, not as 127.0.0.1.
		u.User, u.RawQuery = url.UserPassword("admin", n.cfg.AdminPassword), "tls=true&tlsVerifyCert=false"
	}
	return u.String()
}

// Err is nil while the node can read and write its log.
func (n *Node) Err() error {
	e := n.engine.Load()
	if e == nil {
		return engine.ErrUnavailable
	}
	return e.Err()
}

// Close ends subscriptions, lets calls in progress finish for a moment, and closes the log. ctx bounds it.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	n.stop()
	drained := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(closeGrace):
		n.grpc.Stop()
		<-drained
	case <-ctx.Done():
		n.grpc.Stop()
		<-drained
	}
	err := n.http.Close()
	n.mux.close()
	n.serving.Wait()
	if e := n.engine.Load(); e != nil {
		err = errors.Join(err, e.Close(ctx))
	}
	return err
}
