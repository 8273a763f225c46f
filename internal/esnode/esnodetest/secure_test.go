package esnodetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"annals/internal/esnode"
)

// secure runs a node with TLS and users.
func secure(t *testing.T) *esnode.Node {
	t.Helper()
	cert, key := certificate(t)
	return start(t, esnode.Config{CertFile: cert, KeyFile: key, AdminPassword: "of the administrator", OpsPassword: "of operations"})
}

// TestConformanceSecure holds a node with TLS and users against the suite, as its administrator.
func TestConformanceSecure(t *testing.T) {
	t.Parallel()
	runBusy(t, newSuite(t, secure(t).ConnectionString()))
}

// TestAccess holds who may do what on a node with users.
func TestAccess(t *testing.T) {
	t.Parallel()
	node := secure(t)
	admin := newSuite(t, node.ConnectionString())
	ops := newSuite(t, as(t, node, url.UserPassword("ops", "of operations")))
	wrong := newSuite(t, as(t, node, url.UserPassword("admin", "changeit")))
	stranger := newSuite(t, as(t, node, url.UserPassword("nobody", "of operations")))
	anonymous := newSuite(t, as(t, node, nil))

	t.Run("wrong credentials", func(t *testing.T) {
		t.Parallel()
		for _, s := range []*suite{wrong, stranger} {
			_, _, err := s.raw.append(t, opening(to(newStream())), proposing(proposal("1")))
			wantStatus(t, err, codes.Unauthenticated)
			_, _, err = s.raw.read(t, reading(newStream()))
			wantStatus(t, err, codes.Unauthenticated)
		}
		_, err := admin.client.AppendToStream(bounded(t), newStream(), esdb.AppendToStreamOptions{
			Authenticated: &esdb.Credentials{Login: "admin", Password: "invalid"},
		}, event(`1`))
		wantCode(t, err, esdb.ErrorCodeUnauthenticated)
	})

	t.Run("no credentials", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		_, trailer, err := anonymous.raw.append(t, opening(to(stream)), proposing(proposal("1")))
		wantStatus(t, err, codes.PermissionDenied)
		wantTrailer(t, trailer, "exception", "access-denied")
		_, trailer, err = anonymous.raw.read(t, reading(stream))
		wantStatus(t, err, codes.PermissionDenied)
		wantTrailer(t, trailer, "exception", "access-denied")
		_, _, err = anonymous.raw.read(t, subscribing(readingAll(esdb.Position{}, 1)))
		wantStatus(t, err, codes.PermissionDenied)
		// What a client asks before it says who it is stays open.
		_, err = serverfeatures.NewServerFeaturesClient(anonymous.raw.conn).GetSupportedMethods(bounded(t), &shared.Empty{})
		if err != nil {
			t.Errorf("features: %v", err)
		}
		if code, _ := anonymous.get(t, "/health/live"); code != 204 {
			t.Errorf("/health/live answers %d", code)
		}
	})

	t.Run("user streams are everyone's, system streams the administrators'", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		ops.append(t, stream, esdb.NoStream{}, event(`1`))
		wantNumbers(t, ops.read(t, stream, esdb.ReadStreamOptions{}, all), "0")
		system := "$" + newStream()
		admin.append(t, system, esdb.NoStream{}, event(`1`))
		_, err := ops.tryRead(t, system, esdb.ReadStreamOptions{}, all)
		wantCode(t, err, esdb.ErrorCodeAccessDenied)
		_, _, err = ops.raw.append(t, opening(to(system)), proposing(proposal("1")))
		wantStatus(t, err, codes.PermissionDenied)
		_, _, err = ops.raw.read(t, readingAll(esdb.Position{}, 1))
		wantStatus(t, err, codes.PermissionDenied)
	})

	t.Run("a stream's access list", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		admin.append(t, stream, esdb.NoStream{}, event(`1`))
		admin.setMetadata(t, stream, `{"$acl":{"$r":["readers","ops"],"$w":"$admins","$d":"$admins","$mr":"$admins"}}`)
		wantNumbers(t, ops.read(t, stream, esdb.ReadStreamOptions{}, all), "0")
		_, _, err := ops.raw.append(t, opening(to(stream)), proposing(proposal("1")))
		wantStatus(t, err, codes.PermissionDenied)
		_, err = ops.client.DeleteStream(bounded(t), stream, esdb.DeleteStreamOptions{})
		wantCode(t, err, esdb.ErrorCodeAccessDenied)
		_, err = ops.tryRead(t, "$$"+stream, esdb.ReadStreamOptions{}, 1)
		wantCode(t, err, esdb.ErrorCodeAccessDenied)
		admin.append(t, stream, esdb.Revision(0), event(`2`))
		admin.read(t, "$$"+stream, esdb.ReadStreamOptions{}, 1)
	})

	t.Run("a subscription ends with its access", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		admin.append(t, stream, esdb.NoStream{}, event(`1`))
		sub := ops.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 0, 0)
		sub.wantCaughtUp(t)
		admin.setMetadata(t, stream, `{"$acl":{"$r":"$admins"}}`)
		admin.append(t, stream, esdb.Any{}, event(`"secret"`))
		for {
			message := sub.Recv()
			if message.EventAppeared != nil {
				t.Fatal("the event is delivered")
			}
			if message.SubscriptionDropped != nil {
				wantStatus(t, message.SubscriptionDropped.Error, codes.PermissionDenied)
				return
			}
		}
	})

	t.Run("links show no more than their targets", func(t *testing.T) {
		t.Parallel()
		secret, links := "$"+newStream(), newStream()
		admin.append(t, secret, esdb.NoStream{}, event(`"secret"`))
		admin.append(t, links, esdb.NoStream{}, linkTo(0, secret))
		list := ops.read(t, links, esdb.ReadStreamOptions{ResolveLinkTos: true}, all)
		if len(list) != 1 || list[0].Event != nil || list[0].Link == nil {
			t.Errorf("read as %+v", list)
		}
	})

	t.Run("a batch says who was denied", func(t *testing.T) {
		t.Parallel()
		mine, theirs := newStream(), "$"+newStream()
		var order []*streams.BatchAppendReq
		for _, stream := range []string{theirs, mine} {
			order = append(order, &streams.BatchAppendReq{
				CorrelationId: structured(uuid.New()), Options: batchTo(stream), ProposedMessages: batchOf(1), IsFinal: true,
			})
		}
		answers := ops.batch(t, order)
		wantFault(t, answers[theirs], codes.PermissionDenied, &shared.AccessDenied{})
		if answers[mine].GetSuccess() == nil {
			t.Errorf("answer %v", answers[mine])
		}
	})
}

// TestRefusesToStandOpen holds that a node is not reachable from other machines without TLS and a password.
func TestRefusesToStandOpen(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	for name, config := range map[string]esnode.Config{
		"every address":       {Listen: "0.0.0.0:0"},
		"every address, v6":   {Listen: "[::]:0"},
		"no host":             {Listen: ":0"},
		"without a password":  {Listen: "0.0.0.0:0", CertFile: cert, KeyFile: key},
		"without TLS":         {Listen: "0.0.0.0:0", AdminPassword: "x"},
		"half a certificate":  {Listen: "127.0.0.1:0", CertFile: cert, AdminPassword: "x"},
		"no such certificate": {Listen: "127.0.0.1:0", CertFile: cert + "x", KeyFile: key, AdminPassword: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node, err := esnode.Start(t.Context(), config)
			if err == nil {
				t.Errorf("it listens at %s", node.Addr())
				_ = node.Close(t.Context())
			}
		})
	}
}

// as is the node's connection string for another user, or for nobody.
func as(t *testing.T, node *esnode.Node, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(node.ConnectionString())
	if err != nil {
		t.Fatalf("parse the connection string: %v", err)
	}
	u.User = user
	return u.String()
}

// certificate writes a self-signed certificate for the loopback and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "node"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
