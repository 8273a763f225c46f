package esnode_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"annals/internal/esnode"
	"annals/internal/postgres"
	"annals/internal/postgres/pgtest"
)

func start(t *testing.T, c esnode.Config) *esnode.Node {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Database == "" {
		c.Database = pgtest.Database(t)
	}
	n, err := esnode.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { closeNode(t, n) })
	return n
}

func closeNode(t *testing.T, n *esnode.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func client(t *testing.T, connectionString string) *esdb.Client {
	t.Helper()
	c, err := esdb.ParseConnectionString(connectionString)
	if err != nil {
		t.Fatalf("parse %s: %v", connectionString, err)
	}
	c.Logger = nil
	db, err := esdb.NewClient(c)
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func event() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "happened", ContentType: esdb.ContentTypeJson, Data: []byte(`1`)}
}

// get answers the status of a page, and which HTTP it came by.
func get(t *testing.T, c *http.Client, url string) (code, major int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.ProtoMajor
}

// freePort is a port that nobody listens on for now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStarting(t *testing.T) {
	t.Parallel()
	address := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := esnode.Start(ctx, esnode.Config{Listen: address, Database: "postgres://nobody@" + freePort(t) + "/none"})
		ended <- err
	}()
	conn := dial(t, address)
	for { // until it listens, the client says Unavailable by itself
		call, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(call, &shared.Empty{}, grpc.WaitForReady(true))
		cancel()
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("while starting: %v", err)
		}
		if status.Convert(err).Message() == "the node is not ready" {
			break
		}
	}
	if code, _ := get(t, http.DefaultClient, "http://"+address+"/health/live"); code != http.StatusServiceUnavailable {
		t.Errorf("health while starting: %d", code)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("started without a database")
	}
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	stop := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	}
	t.Cleanup(stop)
	n := start(t, esnode.Config{Database: server.URL()})
	db := client(t, n.ConnectionString())
	if _, err := db.AppendToStream(t.Context(), "stream", esdb.AppendToStreamOptions{}, event()); err != nil {
		t.Fatalf("append: %v", err)
	}
	stop()
	for {
		_, err := db.AppendToStream(t.Context(), "stream", esdb.AppendToStreamOptions{}, event())
		var fault *esdb.Error
		if !errors.As(err, &fault) {
			t.Fatalf("append while PostgreSQL is down: %v", err)
		}
		if fault.Code() == esdb.ErrorUnavailable {
			break
		}
		if fault.Code() != esdb.ErrorAborted { // until the loss is noticed
			t.Fatalf("append while PostgreSQL is down: %v", err)
		}
	}
	if n.Err() == nil {
		t.Error("the node is called healthy")
	}
	if code, _ := get(t, http.DefaultClient, "http://"+n.Addr()+"/health/live"); code != http.StatusServiceUnavailable {
		t.Errorf("health: %d", code)
	}
}

func TestCloseEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	n := start(t, esnode.Config{})
	db := client(t, n.ConnectionString())
	if _, err := db.AppendToStream(t.Context(), "stream", esdb.AppendToStreamOptions{}, event()); err != nil {
		t.Fatalf("append: %v", err)
	}
	all, err := db.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	one, err := db.SubscribeToStream(t.Context(), "stream", esdb.SubscribeToStreamOptions{From: esdb.End{}})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	batch, err := streams.NewStreamsClient(dial(t, n.Addr())).BatchAppend(t.Context())
	if err != nil {
		t.Fatalf("batch: %v", err)
	}
	for _, sub := range []*esdb.Subscription{all, one} {
		if sub.Recv().CaughtUp == nil {
			t.Error("not caught up")
		}
	}
	silent, err := net.Dial("tcp", n.Addr()) // a client that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closeNode(t, n)
	for _, sub := range []*esdb.Subscription{all, one} {
		dropped := sub.Recv().SubscriptionDropped
		if dropped == nil || status.Code(dropped.Error) != codes.Unavailable {
			t.Errorf("after the close: %+v", dropped)
		}
	}
	if _, err := batch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a batch after the close: %v", err)
	}
}

// certificate writes one for 127.0.0.1, and returns its files and a pool that trusts it.
func certificate(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, trust = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	trust.AppendCertsFromPEM(certPEM)
	for name, content := range map[string][]byte{
		cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, trust
}

// TestGeneralClients reaches a node with TLS by clients that are not gRPC's own: over either HTTP, health is told, and
// gRPC works through HTTP/2 as net/http speaks it.
func TestGeneralClients(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t)
	n := start(t, esnode.Config{CertFile: cert, KeyFile: key, AdminPassword: "secret"})
	for major, transport := range map[int]*http.Transport{
		1: {TLSClientConfig: &tls.Config{RootCAs: trust, NextProtos: []string{"http/1.1"}}},
		2: {TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true},
	} {
		c := &http.Client{Transport: transport}
		defer transport.CloseIdleConnections()
		if code, by := get(t, c, "https://"+n.Addr()+"/health/live"); code != http.StatusNoContent || by != major {
			t.Errorf("health: %d by HTTP/%d, want HTTP/%d", code, by, major)
		}
		if major != 2 {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"https://"+n.Addr()+"/event_store.client.server_features.ServerFeatures/GetSupportedMethods", bytes.NewReader(make([]byte, 5)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("gRPC through net/http: %v", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("read: %v", err)
		}
		_ = resp.Body.Close()
		if resp.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("gRPC through net/http: %s, trailers %v", resp.Status, resp.Trailer)
		}
	}
	db := client(t, n.ConnectionString())
	if _, err := db.AppendToStream(t.Context(), "stream", esdb.AppendToStreamOptions{}, event()); err != nil {
		t.Errorf("append by the node's own connection string: %v", err)
	}
}
