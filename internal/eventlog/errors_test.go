package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// faulty is a server that fails in the way that a test asks for: with what real
// servers send, which a node in order cannot be brought to.
type faulty struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
	early    bool // fails before it has heard the request out
	err      error
	trailers metadata.MD
	read     *streams.ReadResp
	hang     bool
	headers  chan metadata.MD
}

func (f *faulty) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.0"}, nil
}

func (f *faulty) Append(s streams.Streams_AppendServer) error {
	for !f.early {
		if _, err := s.Recv(); err != nil {
			break
		}
	}
	return f.fail(s.Context(), s)
}

func (f *faulty) Read(_ *streams.ReadReq, s streams.Streams_ReadServer) error {
	if f.read != nil {
		return s.Send(f.read)
	}
	return f.fail(s.Context(), s)
}

func (f *faulty) fail(ctx context.Context, s grpc.ServerStream) error {
	if f.headers != nil {
		md, _ := metadata.FromIncomingContext(ctx)
		select {
		case f.headers <- md:
		default:
		}
	}
	if f.hang {
		<-ctx.Done()
	}
	s.SetTrailer(f.trailers)
	return f.err
}

func startFaulty(t *testing.T, f *faulty) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	streams.RegisterStreamsServer(server, f)
	serverfeatures.RegisterServerFeaturesServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return at(listener.Addr().String())
}

func quick(c *Config) { c.WriteTimeout = 300 * time.Millisecond }

// TestClassify: what servers answer, through the official client.
func TestClassify(t *testing.T) {
	t.Parallel()
	deleted := metadata.Pairs("exception", "stream-deleted", "stream-name", "x")
	leader := metadata.Pairs("exception", "not-leader", "leader-endpoint-host", "127.0.0.1", "leader-endpoint-port", "1")
	for name, c := range map[string]struct {
		server faulty
		append error // nil: none of ours
		read   error
	}{
		"stream deleted":      {faulty{err: status.Error(codes.FailedPrecondition, "x"), trailers: deleted}, ErrDeleted, ErrDeleted},
		"too large":           {faulty{err: status.Error(codes.InvalidArgument, "Maximum Append Size of 1048576 Exceeded.")}, ErrTooLarge, ErrTooLarge},
		"message too large":   {faulty{err: status.Error(codes.ResourceExhausted, "grpc: received message larger than max")}, ErrTooLarge, ErrTooLarge},
		"invalid":             {faulty{err: status.Error(codes.InvalidArgument, "bad position")}, nil, nil},
		"denied":              {faulty{err: status.Error(codes.PermissionDenied, "Access Denied")}, nil, nil},
		"unauthenticated":     {faulty{err: status.Error(codes.Unauthenticated, "who are you")}, nil, nil},
		"unimplemented":       {faulty{err: status.Error(codes.Unimplemented, "no such method")}, nil, nil},
		"handler failed":      {faulty{err: status.Error(codes.Unknown, "Exception was thrown by handler.")}, nil, nil},
		"not found":           {faulty{err: status.Error(codes.NotFound, "no leader")}, nil, nil},
		"timed out":           {faulty{err: status.Error(codes.Aborted, "Operation timed out")}, ErrUnknown, ErrUnavailable},
		"deadline":            {faulty{err: status.Error(codes.DeadlineExceeded, "x")}, ErrUnknown, ErrUnavailable},
		"not ready":           {faulty{err: status.Error(codes.Unavailable, "Server Is Not Ready")}, ErrUnknown, ErrUnavailable},
		"broken off":          {faulty{err: status.Error(codes.Internal, "stream terminated by RST_STREAM")}, ErrUnknown, ErrUnavailable},
		"canceled by server":  {faulty{err: status.Error(codes.Canceled, "x")}, ErrUnknown, ErrUnavailable},
		"not the leader":      {faulty{err: status.Error(codes.NotFound, "Leader info available"), trailers: leader}, ErrUnknown, ErrUnavailable},
		"silence":             {faulty{hang: true}, ErrUnknown, ErrUnavailable},
		"the client panicked": {faulty{err: status.Error(codes.FailedPrecondition, "x"), trailers: metadata.Pairs("exception", "stream-deleted")}, ErrUnknown, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLog(t, startFaulty(t, &c.server), quick)
			check := func(what string, err, want error) {
				t.Helper()
				if err == nil {
					t.Fatalf("%s: no error", what)
				}
				for _, ours := range []error{ErrConflict, ErrUnavailable, ErrUnknown, ErrErased, ErrDeleted, ErrTooLarge} {
					if what == "append" && errors.Is(want, ErrUnknown) && errors.Is(ours, ErrUnavailable) {
						continue // it may be told as well
					}
					if is := errors.Is(err, ours); is != errors.Is(want, ours) {
						t.Errorf("%s: %v is %v = %v", what, err, ours, is)
					}
				}
			}
			_, err := l.Append(t.Context(), "desk-00000000-0000-4000-8000-000000000001", NoStream, by(), north)
			check("append", err, c.append)
			for _, err := range l.Read(t.Context(), "desk-00000000-0000-4000-8000-000000000001", 0) {
				check("read", err, c.read)
			}
		})
	}
}

// TestEarlyRefusal: a server that refuses while the client is still sending looks,
// most of the time, like one that was lost. It must not pass for "not written".
func TestEarlyRefusal(t *testing.T) {
	l := openLog(t, startFaulty(t, &faulty{early: true, err: status.Error(codes.InvalidArgument, "Maximum Append Size of 1 Exceeded.")}), quick)
	batch := make([]any, 50)
	for i := range batch {
		batch[i] = north
	}
	for range 5 {
		if _, err := l.Append(t.Context(), "desk-00000000-0000-4000-8000-000000000001", NoStream, by(), batch...); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("append: %v", err)
		}
	}
}

// TestStrangeAnswers: what makes the client panic ends as an error.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, resp := range map[string]*streams.ReadResp{
		"a position that was not asked for": {Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: 7}},
		"no content":                        {},
		// Not an event without its time of creation: at that the client ends the whole program.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLog(t, startFaulty(t, &faulty{read: resp}), quick)
			for _, err := range l.Read(t.Context(), "desk-00000000-0000-4000-8000-000000000001", 0) {
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "panicked") {
					t.Errorf("read: %v", err)
				}
			}
			for _, err := range l.Subscribe(t.Context(), Position{}) {
				if err == nil {
					t.Error("subscribed")
				}
			}
		})
	}
}

// TestLeaderIsAsked: the client means to send requires-leader, and does not.
func TestLeaderIsAsked(t *testing.T) {
	f := &faulty{err: status.Error(codes.PermissionDenied, "x"), headers: make(chan metadata.MD, 1)}
	l := openLog(t, startFaulty(t, f), quick)
	for call, do := range calls {
		if err := do(t.Context(), l); err == nil {
			t.Errorf("%s: no error", call)
		}
		if md := <-f.headers; len(md.Get("requires-leader")) != 1 || md.Get("requires-leader")[0] != "true" {
			t.Errorf("%s sends %v", call, md)
		}
	}
}

func TestClassifyKeeps(t *testing.T) {
	if classify(nil) != nil || unread(nil) != nil {
		t.Error("an error out of nothing")
	}
	for _, ours := range []error{ErrConflict, ErrUnavailable, ErrUnknown, ErrErased, ErrDeleted, ErrTooLarge} {
		if err := fmt.Errorf("x: %w", ours); classify(err) != err { //nolint:errorlint // the very same
			t.Errorf("%v is wrapped again", ours)
		}
	}
	for err, want := range map[error]error{
		io.EOF:                   ErrUnknown,
		context.Canceled:         ErrUnknown,
		context.DeadlineExceeded: ErrUnknown,
		fmt.Errorf("deep: %w", status.Error(codes.Unavailable, "x")): ErrUnavailable,
	} {
		if got := classify(err); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
	if odd := errors.New("odd"); classify(odd) != odd || broken(odd) { //nolint:errorlint // the very same
		t.Error("an error that is nobody's")
	}
	if got := unread(errors.Join(ErrUnknown, context.Canceled)); errors.Is(got, ErrUnknown) || !errors.Is(got, ErrUnavailable) || !errors.Is(got, context.Canceled) {
		t.Errorf("a read that did not end: %v", got)
	}
	if absent(&esdb.Error{}) || absent(io.EOF) || absent(nil) {
		t.Error("absent")
	}
}
