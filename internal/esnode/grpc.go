package esnode

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	// protocolVersion is the version of the protocol that clients look at: from 22.6 on there are positions on stream
	// reads, from 23 on caught-up messages.
	protocolVersion = "24.10.0"
	// maxMessage bounds one gRPC message.
	maxMessage = 16 << 20
)

func (n *Node) newGRPC() *grpc.Server {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		// Clients ping every 10 s even when nothing goes on; the default policy would end their connections.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(2*maxMessage), // an event of the largest size, and what goes around it
		grpc.WriteBufferSize(128<<10),
		grpc.ReadBufferSize(64<<10),
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(4<<20),
		grpc.ConnectionTimeout(sortTimeout),
		grpc.UnaryInterceptor(n.unary),
		grpc.StreamInterceptor(n.stream),
	)
	streams.RegisterStreamsServer(s, &streamsService{node: n})
	serverfeatures.RegisterServerFeaturesServer(s, &featuresService{node: n})
	gossip.RegisterGossipServer(s, &gossipService{node: n})
	return s
}

func (n *Node) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer n.recover(ctx, info.FullMethod, &err)
	ctx, err = n.admit(ctx)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (n *Node) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer n.recover(ss.Context(), info.FullMethod, &err)
	ctx, err := n.admit(ss.Context())
	if err != nil {
		if !info.IsServerStream {
			drain(ss) // only Append sends many messages for one answer
		}
		return err
	}
	return handle(srv, &admitted{ss, ctx})
}

// admitted is a call whose context says who is calling.
type admitted struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // as grpc.ServerStream has it
}

func (a *admitted) Context() context.Context { return a.ctx }

// admit turns a call away while the node is not ready, and one with wrong credentials.
func (n *Node) admit(ctx context.Context) (context.Context, error) {
	if n.engine.Load() == nil || n.run.Err() != nil {
		return ctx, status.Error(codes.Unavailable, "the node is not ready")
	}
	who, err := n.users.identify(ctx)
	if err != nil {
		return ctx, err
	}
	return withIdentity(ctx, who), nil
}

// recover keeps a fault in one call from ending the process.
func (n *Node) recover(ctx context.Context, method string, err *error) {
	if r := recover(); r != nil {
		n.cfg.Logger.ErrorContext(ctx, "node: a call failed",
			slog.String("method", method), slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
		*err = errHandler
	}
}

// errHandler is how the protocol's servers answer what they did not foresee.
var errHandler = status.Error(codes.Unknown, "Exception was thrown by handler.")

type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
	node *Node
}

func (f *featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	const streamsName = "event_store.client.streams.streams"
	method := func(service, name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: service, MethodName: name, Features: features}
	}
	return &serverfeatures.SupportedMethods{
		EventStoreServerVersion: protocolVersion,
		Methods: []*serverfeatures.SupportedMethod{
			method(streamsName, "read"),
			method(streamsName, "append"),
			method(streamsName, "batchappend", "deadline_duration"),
			method(streamsName, "delete"),
			method(streamsName, "tombstone"),
			method("event_store.client.gossip.gossip", "read"),
			method("event_store.client.server_features.serverfeatures", "getsupportedmethods"),
		},
	}, nil
}

type gossipService struct {
	gossip.UnimplementedGossipServer
	node *Node
}

// Read tells of the one member, which leads, at the address by which the caller has found it.
func (g *gossipService) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port := g.node.reached(ctx)
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structuredUUID(g.node.id),
		TimeStamp:    ticks(time.Now()), //nolint:forbidigo // what the protocol asks for is the clock
		State:        gossip.MemberInfo_Leader,
		IsAlive:      g.node.Err() == nil,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}}}, nil
}

func (n *Node) reached(ctx context.Context) (host string, port uint32) {
	var candidates []string
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		candidates = md.Get(":authority")
	}
	if p, ok := peer.FromContext(ctx); ok && p.LocalAddr != nil {
		candidates = append(candidates, p.LocalAddr.String())
	}
	for _, c := range append(candidates, n.Addr()) {
		h, p, err := net.SplitHostPort(c)
		if err != nil || h == "" {
			continue
		}
		if number, err := strconv.ParseUint(p, 10, 16); err == nil && number > 0 {
			return h, uint32(number)
		}
	}
	return "127.0.0.1", 0
}
