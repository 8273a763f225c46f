package tag_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"annals/domain"
	. "annals/domain/tag"
)

// Whatever is defined, renamed, merged and retired, in whichever order, in projects and
// for all: every name that a tag has or had means exactly one tag everywhere, what a
// key is called means that key, and decisions leave what was folded before as it was.
func TestNames(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "A", "b", "B", "ß", "SS", "c", "d", "e", " f", "F g"})
	scopes := []domain.ID{everywhere, retail, wholesale}
	rapid.Check(t, func(t *rapid.T) {
		var s State
		var ids []domain.ID
		project := map[domain.ID]domain.ID{}
		was := map[domain.ID][]string{} // every name that a tag, and those merged with it, ever had
		root := map[domain.ID]domain.ID{}
		label := map[domain.ID]string{}
		w := domain.World{{Category: domain.Project, ID: retail}: exists{}, {Category: domain.Project, ID: wholesale}: exists{}}
		for i := range rapid.IntRange(1, 25).Draw(t, "commands") {
			var c Command
			some := func(label string) domain.ID { return rapid.SampledFrom(ids).Draw(t, label) }
			kind := rapid.IntRange(0, 5).Draw(t, "command")
			if len(ids) == 0 {
				kind = 0
			}
			switch kind {
			case 0, 1:
				c = Define{domain.ID{100, byte(i)}, domain.Set(rapid.SampledFrom(scopes).Draw(t, "project")), Settings{Name: names.Draw(t, "name")}}
			case 2, 3:
				c = Change{some("tag"), Map{"name": names.Draw(t, "name")}}
			case 4:
				c = Merge{some("tag"), some("into")}
			case 5:
				c = Retire{some("tag")}
			}
			events, err := Aggregate.Decide(s, c, w, domain.Meta{By: domain.Root})
			if domain.KindOf(err) == domain.Internal && err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				before := labels(s)
				after := Aggregate.Evolve(s, e)
				if !slices.Equal(before, labels(s)) {
					t.Fatalf("%T changed the state before it", e)
				}
				s = after
				switch e := e.(type) {
				case Defined:
					ids, project[e.TagID], root[e.TagID] = append(ids, e.TagID), e.ProjectID, e.TagID
					was[e.TagID], label[e.TagID] = []string{e.Name}, e.Name
				case Changed:
					was[e.TagID], label[e.TagID] = append(was[e.TagID], e.To.Name), e.To.Name
				case Merged:
					for id, r := range root {
						if r == e.TagID {
							root[id] = e.Into
						}
					}
					was[e.Into] = append(was[e.Into], was[e.TagID]...)
				case Retired, Restored:
				}
			}
		}
		for _, id := range ids {
			if root[id] != id {
				continue
			}
			for _, name := range was[id] {
				// In its own scope nothing comes before it.
				if got := s.Label(project[id], s.Key(project[id], name)); got != label[id] {
					t.Fatalf("%q of %v means %q, want %q", name, id, got, label[id])
				}
				if got := s.Label(project[id], name); got != label[id] {
					t.Fatalf("on clients, %q of %v is called %q, want %q", name, id, got, label[id])
				}
			}
		}
		all := []string{"a", "A", "b", "B", "ß", "SS", "ss", "c", "d", "e", "f", "F G", "zz"}
		for _, in := range append(scopes, domain.ID{7}) {
			for _, name := range all {
				key := s.Key(in, name)
				shown := s.Label(in, key)
				if again := s.Key(in, key); again != key {
					t.Fatalf("the key of %q, which is one, is %q", key, again)
				}
				if again := s.Key(in, shown); again != key {
					t.Fatalf("%q is called %q, which means %q", key, shown, again)
				}
				if stored := s.Stored(in, all, name); slices.Contains(all, key) && !slices.Contains(stored, key) {
					t.Fatalf("%q is stored as %q, and not found among %q", name, key, stored)
				}
			}
		}
	})
}

type exists struct{}

func (exists) Exists() bool { return true }

func labels(s State) (all []string) {
	for _, in := range []domain.ID{everywhere, retail, wholesale} {
		for _, name := range []string{"a", "b", "ß", "c", "d", "e", "f", "F g"} {
			all = append(all, s.Key(in, name), s.Label(in, name))
		}
	}
	return all
}
