package esnode

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"annals/internal/esnode/engine"
)

// fail turns an error into what a client expects: a status, and for the faults it knows by name the trailers.
func fail(ctx context.Context, err error) error {
	var wrong *engine.WrongRevisionError
	var deleted *engine.DeletedError
	var denied *deniedError
	var large *tooLargeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &deleted):
		trail(ctx, "exception", "stream-deleted", "stream-name", deleted.Stream)
		return status.Errorf(codes.FailedPrecondition, "Event stream '%s' is deleted.", deleted.Stream)
	case errors.As(err, &wrong):
		trail(ctx, "exception", "wrong-expected-version", "stream-name", wrong.Stream,
			"expected-version", strconv.FormatInt(int64(wrong.Expected), 10),
			"actual-version", strconv.FormatInt(wrong.Actual, 10))
		return status.Errorf(codes.FailedPrecondition, "Append failed due to WrongExpectedVersion. Stream: %s, "+
			"Expected version: %d, Actual version: %d", wrong.Stream, wrong.Expected, wrong.Actual)
	case errors.As(err, &denied):
		trail(ctx, "exception", "access-denied")
		return status.Error(codes.PermissionDenied, "Access Denied")
	case errors.As(err, &large):
		trail(ctx, "exception", "maximum-append-size-exceeded", "maximum-append-size", strconv.Itoa(large.limit))
		return status.Error(codes.InvalidArgument, large.Error())
	case errors.Is(err, errMissingMetadata):
		trail(ctx, "exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
		return status.Error(codes.InvalidArgument, err.Error())
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, engine.ErrTimeout):
		return status.Error(codes.Aborted, "Operation timed out")
	case errors.Is(err, engine.ErrUnavailable), errors.Is(err, engine.ErrClosed):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, engine.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

// trail sets trailers, given as pairs. A value is made of what a header may hold.
func trail(ctx context.Context, pairs ...string) {
	md := metadata.MD{}
	for i := 0; i+1 < len(pairs); i += 2 {
		md.Set(pairs[i], printable(pairs[i+1]))
	}
	_ = grpc.SetTrailer(ctx, md) // it fails only after the call has ended, when nobody listens
}

func printable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// errMissingMetadata reports an event without type or content type.
var errMissingMetadata = errors.New("required metadata property 'type' or 'content-type' is missing")

// tooLargeError reports an append that is larger than one may be.
type tooLargeError struct{ limit int }

func (e *tooLargeError) Error() string {
	return "Maximum Append Size of " + strconv.Itoa(e.limit) + " Exceeded."
}

// deniedError reports a call that its caller may not make.
type deniedError struct{}

func (*deniedError) Error() string { return "access denied" }
