package domain

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error.
type Kind uint8

// The kinds of error.
const (
	Internal     Kind = iota // a bug or an outage: nothing
	Invalid                  // send something else
	NotFound                 // look elsewhere
	Conflict                 // look again, then decide
	Forbidden                // ask somebody with the right
	Unauthorized             // sign in
	Precondition             // If-Match names another revision
	Unavailable              // try again later
	TooMany                  // slow down
	TooLarge                 // send less
)

// Error is an error that its caller may see. Any other error is Internal and
// is only logged.
type Error struct {
	Kind  Kind
	Code  string // stable, part of the API
	Field string // the path of the field at fault, as in "address.city"; empty when it is none
	Msg   string // for people; not stable
	Items []ID   // what else it is about, as in the clients that are in the way
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Msg
	}
	return e.Msg
}

// Is holds two errors for the same when code and field are, so that tests and
// callers need not repeat the message.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Code == e.Code && t.Field == e.Field
}

// Errorf returns an [Error] that is about the whole request.
func Errorf(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Msg: fmt.Sprintf(format, args...)}
}

// Fault returns an [Invalid] error about one field.
func Fault(field, code, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Code: code, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first [Error] in err's tree, else [Internal].
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// All returns every [Error] in err's tree, in order.
func All(err error) []*Error {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case nil:
		return nil
	case *Error:
		return []*Error{e}
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, one := range e.Unwrap() {
			all = append(all, All(one)...)
		}
		return all
	}
	return All(errors.Unwrap(err))
}

// Faults collects what is wrong with one input, so that all of it is told at once.
type Faults []error

// Add keeps err unless it is nil.
func (f *Faults) Add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

// Err is all that was collected, or nil.
func (f *Faults) Err() error { return errors.Join(*f...) }

// At is the path of the i-th element of a field.
func At(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
