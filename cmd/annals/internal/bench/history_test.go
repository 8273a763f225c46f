package bench

import (
	"testing"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/engine"
)

// What is made up is what the server could have stored: it decodes, the revisions
// have no gap, and the stories hold together.
func TestHistoryIsOne(t *testing.T) {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory(master, "test")
	var events []*engine.Event
	for len(events) < 3000 {
		batch, err := h.batch(t.Context(), 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) != 500 {
			t.Fatalf("%d events instead of 500", len(batch))
		}
		events = append(events, batch...)
	}
	keys := map[string]*eventschema.DataKey{}
	for _, s := range h.clients {
		keys[domain.Ref{Category: domain.Client, ID: s.id}.Stream()] = s.key
	}
	states, last := map[string]client.State{}, map[string]int64{}
	for i, e := range events {
		if e.Position != uint64(i+1) {
			t.Fatalf("event %d has position %d", i, e.Position)
		}
		if n, there := last[e.Stream]; !there && e.Revision != 0 || there && e.Revision != n+1 {
			t.Fatalf("%s goes from %d to %d", e.Stream, n, e.Revision)
		}
		last[e.Stream] = e.Revision
		event, erased, err := eventschema.Decode(e.Type, 1, e.Data, e.Stream, keys[e.Stream])
		if err != nil || len(erased) > 0 {
			t.Fatalf("%s: %v, erased %v", e.Type, err, erased)
		}
		if _, err := eventschema.DecodeMetadata(e.Metadata); err != nil {
			t.Fatal(err)
		}
		state := states[e.Stream]
		switch event := event.(type) {
		case client.Edited:
			if event.From.Phone != state.Details.Phone {
				t.Errorf("the phone was %q, not %q", state.Details.Phone, event.From.Phone)
			}
		case client.Reassigned:
			if event.From != state.Assignment {
				t.Errorf("the client was at %v, not %v", state.Assignment, event.From)
			}
		case client.StatusChanged:
			if event.From != state.Status {
				t.Errorf("the status was %v, not %v", state.Status, event.From)
			}
		}
		if event, ok := event.(client.Event); ok {
			states[e.Stream] = client.Aggregate.Evolve(state, event)
		}
	}
	for name, want := range map[string]int{"client.registered": 900, "key.created": 900, "client.edited": 480, "client.retagged": 240} {
		if n := h.counts[name]; n < want*3/4 || n > want*5/4 {
			t.Errorf("%d %s of %d, not about %d", n, name, len(events), want)
		}
	}
}
