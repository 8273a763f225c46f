package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a caller may want to tell apart.
var (
	ErrConflict    = errors.New("the stream is not at the expected revision")
	ErrUnavailable = errors.New("the log cannot be reached")
	ErrUnknown     = errors.New("the log did not say in time whether it wrote") // retry with the same command
	ErrErased      = errors.New("the person has been erased")
	ErrDeleted     = errors.New("the stream has been deleted")
	ErrTooLarge    = errors.New("the events are larger than the log takes at once")
)

// clientCodes and statusCodes say which of our errors one of the client's stands
// for; what is in neither is a fault of the program or of its setting up.
var (
	clientCodes = map[esdb.ErrorCode]error{
		esdb.ErrorCodeWrongExpectedVersion: ErrConflict,
		esdb.ErrorCodeStreamDeleted:        ErrDeleted,
		esdb.ErrorCodeConnectionClosed:     ErrUnavailable,
		esdb.ErrorUnavailable:              ErrUnavailable,
		esdb.ErrorCodeNotLeader:            ErrUnavailable,
		esdb.ErrorCodeDeadlineExceeded:     ErrUnknown,
		esdb.ErrorAborted:                  ErrUnknown,
	}
	statusCodes = map[codes.Code]error{
		codes.Unavailable:       ErrUnavailable,
		codes.Aborted:           ErrUnknown,
		codes.DeadlineExceeded:  ErrUnknown,
		codes.Canceled:          ErrUnknown,
		codes.Internal:          ErrUnknown, // also: the connection broke in the middle of an answer
		codes.ResourceExhausted: ErrTooLarge,
	}
)

// classify brings the client's errors into ours. The client wraps some errors in
// its own type, some in none, and maps several codes to one: the gRPC status
// below is what counts.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for _, ours := range []error{ErrConflict, ErrUnavailable, ErrUnknown, ErrErased, ErrDeleted, ErrTooLarge} {
		if errors.Is(err, ours) {
			return err
		}
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok && clientCodes[e.Code()] != nil {
		return errors.Join(clientCodes[e.Code()], err)
	}
	s, told := statusOf(err)
	switch {
	case told && s.Code() == codes.InvalidArgument && strings.Contains(s.Message(), "Size"):
		return errors.Join(ErrTooLarge, err) // in words only: the client hides the trailers
	case told && statusCodes[s.Code()] != nil:
		return errors.Join(statusCodes[s.Code()], err)
	case errors.Is(err, io.EOF), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errors.Join(ErrUnknown, err) // EOF: the server ended the call while the client was sending
	}
	return err
}

// statusOf is the gRPC status that a server or connection gave, somewhere in err.
func statusOf(err error) (*status.Status, bool) {
	if e, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return e.GRPCStatus(), true
	}
	return nil, false
}

// transient says whether trying again may help.
func transient(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown)
}

// broken says whether after err the client is of no more use. Not after "not the
// leader": that client is about to connect to the one that is.
func broken(err error) bool {
	if e, ok := errors.AsType[*esdb.Error](err); ok && e.Code() == esdb.ErrorCodeNotLeader {
		return false
	}
	return errors.Is(classify(err), ErrUnavailable)
}

// absent says whether err is the answer that a stream does not exist. A server
// that is not found, or has no such method, is not one.
func absent(err error) bool {
	e, ok := errors.AsType[*esdb.Error](err)
	if !ok || e.Code() != esdb.ErrorCodeResourceNotFound {
		return false
	}
	_, told := statusOf(err)
	return !told
}

// unread is the error of a read, which leaves no doubt whether it wrote.
func unread(err error) error {
	if errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, without(err, ErrUnknown))
	}
	return err
}

// without is err less one of the errors joined in it.
func without(err, one error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	return errors.Join(slices.DeleteFunc(slices.Clone(joined.Unwrap()), func(e error) bool { return e == one })...) //nolint:errorlint // itself
}
