package esnodetest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// rawClient speaks the protocol itself, for what the official client hides or never says.
type rawClient struct {
	conn    *grpc.ClientConn
	streams streams.StreamsClient
	address string
	tls     *tls.Config // nil in the clear
}

// dialRaw connects to the server of the configuration; of a cluster, to its leader.
func dialRaw(t *testing.T, config *esdb.Configuration) rawClient {
	t.Helper()
	address, discover := config.Address, config.DnsDiscover
	if len(config.GossipSeeds) > 0 {
		address, discover = config.GossipSeeds[0].String(), true
	}
	client := connectRaw(t, config, address)
	if !discover {
		return client
	}
	info, err := gossip.NewGossipClient(client.conn).Read(bounded(t), &shared.Empty{})
	if err != nil {
		t.Fatalf("gossip with %s: %v", address, err)
	}
	for _, member := range info.GetMembers() {
		if member.GetState() == gossip.MemberInfo_Leader && member.GetIsAlive() {
			end := member.GetHttpEndPoint()
			return connectRaw(t, config, net.JoinHostPort(end.GetAddress(), strconv.Itoa(int(end.GetPort()))))
		}
	}
	t.Fatalf("%s knows no leader", address)
	return client
}

func connectRaw(t *testing.T, config *esdb.Configuration, address string) rawClient {
	t.Helper()
	client := rawClient{address: address}
	transport := insecure.NewCredentials()
	options := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(17 << 20))}
	if !config.DisableTLS {
		client.tls = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            config.RootCAs,
			InsecureSkipVerify: config.SkipCertificateVerification, //nolint:gosec // as the connection string asks
		}
		transport = credentials.NewTLS(client.tls)
		if config.Username != "" {
			options = append(options, grpc.WithPerRPCCredentials(basic{config.Username, config.Password}))
		}
	}
	conn, err := grpc.NewClient(address, append(options, grpc.WithTransportCredentials(transport))...)
	if err != nil {
		t.Fatalf("connect to %s: %v", address, err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
	})
	client.conn, client.streams = conn, streams.NewStreamsClient(conn)
	return client
}

type basic struct{ user, password string }

func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b.user+":"+b.password))}, nil
}

func (basic) RequireTransportSecurity() bool { return true }

// append sends the messages as they stand. A server may answer before it has heard all of them.
func (c rawClient) append(t *testing.T, messages ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	t.Helper()
	call, err := c.streams.Append(bounded(t))
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		if err := call.Send(m); err != nil {
			break // the reason comes with the answer
		}
	}
	answer, err := call.CloseAndRecv()
	return answer, call.Trailer(), err
}

// read collects all the answers to a request that ends by itself, and its trailers.
func (c rawClient) read(t *testing.T, request *streams.ReadReq) ([]*streams.ReadResp, metadata.MD, error) {
	t.Helper()
	call, err := c.streams.Read(bounded(t), request)
	if err != nil {
		return nil, nil, err
	}
	var list []*streams.ReadResp
	for {
		answer, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return list, call.Trailer(), nil
		}
		if err != nil {
			return list, call.Trailer(), err
		}
		list = append(list, answer)
	}
}

// subscribe opens a subscription and takes its confirmation.
func (c rawClient) subscribe(t *testing.T, request *streams.ReadReq) streams.Streams_ReadClient {
	t.Helper()
	call, err := c.streams.Read(bounded(t), request)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	first, err := call.Recv()
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	if first.GetConfirmation().GetSubscriptionId() == "" {
		t.Fatalf("first message is %v, want a confirmation with an id", first)
	}
	return call
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// to opens an append at any revision; the tests change what they care about.
func to(stream string) *streams.AppendReq_Options {
	return &streams.AppendReq_Options{
		StreamIdentifier:       identifier(stream),
		ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}
}

func opening(options *streams.AppendReq_Options) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: options}}
}

func proposing(message *streams.AppendReq_ProposedMessage) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: message}}
}

func proposal(data string) *streams.AppendReq_ProposedMessage {
	return &streams.AppendReq_ProposedMessage{
		Id:       structured(uuid.New()),
		Metadata: map[string]string{"type": "happened", "content-type": "application/json"},
		Data:     []byte(data),
	}
}

func structured(id uuid.UUID) *shared.UUID {
	most, least := esdb.UUIDAsInt64(id)
	return &shared.UUID{Value: &shared.UUID_Structured_{
		Structured: &shared.UUID_Structured{MostSignificantBits: most, LeastSignificantBits: least},
	}}
}

func textual(id string) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id}}
}

// reading asks for a whole stream forwards; the tests change what they care about.
func reading(stream string) *streams.ReadReq {
	return &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: identifier(stream),
			RevisionOption:   &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}},
		}},
		CountOption:  &streams.ReadReq_Options_Count{Count: all},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption: &streams.ReadReq_Options_UUIDOption{
			Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}},
		},
	}}
}

// readingAll asks for $all forwards from a position.
func readingAll(from esdb.Position, count uint64) *streams.ReadReq {
	request := reading("")
	request.Options.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
		AllOption: &streams.ReadReq_Options_AllOptions_Position{
			Position: &streams.ReadReq_Options_Position{CommitPosition: from.Commit, PreparePosition: from.Prepare},
		},
	}}
	request.Options.CountOption = &streams.ReadReq_Options_Count{Count: count}
	return request
}

// subscribing turns a read into a subscription.
func subscribing(request *streams.ReadReq) *streams.ReadReq {
	request.Options.CountOption = &streams.ReadReq_Options_Subscription{
		Subscription: &streams.ReadReq_Options_SubscriptionOptions{},
	}
	return request
}

// filtering puts a filter on a read of $all, with a window of considered events between two checkpoints.
func filtering(request *streams.ReadReq, filter *streams.ReadReq_Options_FilterOptions, window uint32) *streams.ReadReq {
	filter.Window = &streams.ReadReq_Options_FilterOptions_Max{Max: window}
	filter.CheckpointIntervalMultiplier = 1
	request.Options.FilterOption = &streams.ReadReq_Options_Filter{Filter: filter}
	return request
}

func byType(expression *streams.ReadReq_Options_FilterOptions_Expression) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: expression},
	}
}

func byStream(expression *streams.ReadReq_Options_FilterOptions_Expression) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: expression},
	}
}

func prefix(list ...string) *streams.ReadReq_Options_FilterOptions_Expression {
	return &streams.ReadReq_Options_FilterOptions_Expression{Prefix: list}
}

func regex(expression string) *streams.ReadReq_Options_FilterOptions_Expression {
	return &streams.ReadReq_Options_FilterOptions_Expression{Regex: expression}
}

func backwards(request *streams.ReadReq) *streams.ReadReq {
	request.Options.ReadDirection = streams.ReadReq_Options_Backwards
	return request
}

func compatible(request *streams.ReadReq) *streams.ReadReq {
	request.Options.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	return request
}

func wantStatus(t *testing.T, err error, want ...codes.Code) {
	t.Helper()
	for _, code := range want {
		if status.Code(err) == code {
			return
		}
	}
	t.Errorf("answered %v, want %v", err, want)
}

func wantTrailer(t *testing.T, trailer metadata.MD, key, want string) {
	t.Helper()
	if got := trailer.Get(key); len(got) != 1 || got[0] != want {
		t.Errorf("trailer %s is %q, want %q", key, got, want)
	}
}
