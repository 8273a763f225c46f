package eventlog

import (
	"context"
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
)

// TestSecret: a derived key is one's own, for one purpose, the same in every process,
// and gone with the data key, also where that was in use.
func TestSecret(t *testing.T) {
	t.Parallel()
	node := esnodetest.Start(t)
	here, there := openLog(t, node), openLog(t, node)
	id, other := uuid.New(), uuid.New()
	for _, client := range []domain.ID{id, other} {
		mustAppend(t, here, Stream(domain.Client, client), NoStream, kim())
	}
	secret := func(l *Log, id domain.ID, purpose string) [32]byte {
		t.Helper()
		s, err := l.Secret(t.Context(), id, purpose)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	mine := secret(here, id, "x")
	if mine == ([32]byte{}) || mine != secret(here, id, "x") || mine != secret(there, id, "x") {
		t.Error("is not the same everywhere")
	}
	if mine == secret(here, id, "y") || mine == secret(here, other, "x") {
		t.Error("is the same for another purpose or somebody else")
	}
	if key, _ := here.keys.find(context.Background(), id); key == nil || mine == [32]byte(*key) {
		t.Error("is the data key itself")
	}
	if _, err := here.Secret(t.Context(), uuid.New(), "x"); !errors.Is(err, ErrErased) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := vendor(t, node).TombstoneStream(t.Context(), Stream(eventschema.Key, id), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Log{here, there} {
		if _, err := l.Secret(t.Context(), id, "x"); !errors.Is(err, ErrErased) {
			t.Errorf("after erasing: %v", err)
		}
	}
	if mine == secret(here, other, "x") {
		t.Error("somebody else's has changed")
	}
}
