package eventlog

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
)

// TestDestroyKey: a key is destroyed at the revision that is told of it and at no other,
// again without an error, and for whoever remembers it.
func TestDestroyKey(t *testing.T) {
	t.Parallel()
	l := openLog(t, esnodetest.Start(t))
	id := uuid.New()
	stream, key := Stream(domain.Client, id), Stream(eventschema.Key, id)
	mustAppend(t, l, stream, NoStream, kim())
	var last Revision
	for rec, err := range l.ReadStored(t.Context(), key) {
		if err != nil || rec.Stored == nil || len(rec.Stored.Data) == 0 || rec.Event != nil || rec.Position == (Position{}) || rec.Stored.Created.IsZero() {
			t.Fatalf("%+v, %v", rec, err)
		}
		last = rec.Revision
	}
	if err := l.DestroyKey(t.Context(), id, last+1); !errors.Is(err, ErrConflict) {
		t.Errorf("at another revision: %v", err)
	}
	if got := all(t, l, stream); len(got[0].Erased) > 0 {
		t.Error("it was destroyed nevertheless")
	}
	for range 2 {
		if err := l.DestroyKey(t.Context(), id, last); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, l, stream); len(got[0].Erased) == 0 {
		t.Error("it is read as before")
	}
	for _, err := range l.ReadStored(t.Context(), key) {
		if !errors.Is(err, ErrDeleted) {
			t.Errorf("the key: %v", err)
		}
	}
	if _, err := l.Append(t.Context(), stream, 0, by(), kim()); !errors.Is(err, ErrErased) {
		t.Errorf("appending: %v", err)
	}
}
