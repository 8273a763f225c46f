package domain

import "encoding/json"

// Field is an optional part of a command: left out, null, or a value. Null sets
// the zero value.
type Field[T any] struct {
	Set   bool
	Value T
}

// Set returns a field that sets v.
func Set[T any](v T) Field[T] { return Field[T]{Set: true, Value: v} }

// Or is the field's value if it is set, otherwise v.
func (f Field[T]) Or(v T) T {
	if f.Set {
		return f.Value
	}
	return v
}

// IsZero has encoding/json leave out what is not set (omitzero).
func (f Field[T]) IsZero() bool { return !f.Set }

// UnmarshalJSON is called for what is there, null included.
func (f *Field[T]) UnmarshalJSON(b []byte) error {
	*f = Field[T]{Set: true}
	return json.Unmarshal(b, &f.Value)
}

// MarshalJSON writes the value.
func (f Field[T]) MarshalJSON() ([]byte, error) { return json.Marshal(f.Value) }
