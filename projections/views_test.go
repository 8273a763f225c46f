package projections

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/view"
	"annals/internal/eventlog"
)

// Whatever happens to views: what the projector made of it as it came is what the domain
// says, and what it makes of it from the start, where it takes many at once.
func TestViewsAreAsDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runner, _ := w.run(views)
	owner := domain.Authority{ID: uuid.New(), Rights: domain.AllRights()}
	states := map[uuid.UUID]view.State{}
	var ids []uuid.UUID
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			var c view.Command = view.Create{Definition: view.Definition{Name: "V"}}
			id := uuid.New()
			switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case kind == 0 || len(ids) == 0:
				ids = append(ids, id)
			case kind == 1:
				id, c = rapid.SampledFrom(ids).Draw(t, "id"), view.Delete{}
			default:
				id = rapid.SampledFrom(ids).Draw(t, "id")
				c = view.Edit{Patch: rapid.SampledFrom([]map[string]any{
					{"name": "W", "q": "anna"},
					{"name": "V", "q": nil},
					{"filter": map[string]any{"a": "\\u0000'", "b": 1e300}},
					{"filter": nil},
					{"columns": []any{map[string]any{"field": "name", "width": 30.0, "frozen": true}}},
					{"columns": nil, "sort": []any{"-name", "status"}},
					{"sort": nil, "shared": map[string]any{"with": "everybody"}},
					{"shared": nil},
				}).Draw(t, "patch")}
			}
			events, err := view.Aggregate.Decide(states[id], c, domain.World{}, domain.Meta{By: owner, Aggregate: id})
			if err != nil {
				continue // as of one that was deleted
			}
			for _, e := range events {
				w.append(domain.View, id, e)
				states[id] = view.Aggregate.Evolve(states[id], e)
			}
		}
	})
	for range 2 {
		w.caughtUp(runner)
		w.verified(views)
		w.nothingParked()
		for id, s := range states {
			var there bool
			if w.scan(`select exists (select from annals_read.views where id = $1)`, id)(&there); there != s.Exists() {
				t.Fatalf("view %s is there: %v", id, there)
			}
			if !there {
				continue
			}
			var got view.Definition
			var columns []byte
			var filter string
			var by uuid.UUID
			var revision eventlog.Revision
			w.scan(`select owner_id, name, columns, filter, q, sort, shared, revision from annals_read.views where id = $1`, id)(
				&by, &got.Name, &columns, &filter, &got.Q, &got.Sort, &got.Shared.With, &revision)
			if err := json.Unmarshal(columns, &got.Columns); err != nil {
				t.Fatal(err)
			}
			if filter != "" {
				got.Filter = json.RawMessage(filter)
			}
			if got.Shared.With == view.Nobody {
				got.Shared.With = ""
			}
			if got.Columns, got.Sort = orNil(got.Columns), orNil(got.Sort); cmp.Diff(s.Definition, got) != "" || by != owner.ID || revision != w.at[eventlog.Stream(domain.View, id)] {
				t.Fatalf("view %s of %s at %d: %s", id, by, revision, cmp.Diff(s.Definition, got))
			}
		}
		if err := Rebuild(t.Context(), w.cfg, views.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// What a view is called and searches for goes with its key; that it was there stays.
func TestViewsAreErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := view.Definition{Name: "Anna's", Q: "anna", Filter: json.RawMessage(`{"name":"anna"}`), Sort: []string{"name"}}
	live, built := uuid.New(), uuid.New()
	w.append(domain.View, built, view.Created{OwnerID: uuid.New(), Definition: d})
	w.erase(built)
	runner, _ := w.run(views)
	w.append(domain.View, live, view.Created{OwnerID: uuid.New(), Definition: d})
	w.caughtUp(runner)
	w.erase(live)
	w.caughtUp(runner)
	var left string
	if w.scan(`select string_agg(distinct concat_ws('|', name, q, filter, sort::text), ' ') from annals_read.views`)(&left); left != "|||{name}" {
		t.Errorf("left is %q", left)
	}
	w.verified(views)
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
