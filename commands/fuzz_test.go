package commands

import (
	"strconv"
	"testing"

	"annals/domain"
	"annals/internal/eventlog"
)

func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{"", "*", `"0"`, `W/"12"`, "7", `"-1"`, `"9223372036854775807"`, `"9223372036854775808"`, `"1`, `1"`, "\x00", `""1""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		at, err := revision(tag)
		switch {
		case err != nil:
			if domain.KindOf(err) != domain.Invalid {
				t.Errorf("%q: %v", tag, err)
			}
		case at == AnyRevision:
			if tag != "" && tag != "*" {
				t.Errorf("%q is any", tag)
			}
		default:
			again, err := revision(strconv.Quote(strconv.FormatInt(int64(at), 10)))
			if at < 0 || err != nil || again != at {
				t.Errorf("%q is %d, and that is %d, %v", tag, at, again, err)
			}
		}
	})
}

func TestCommands(t *testing.T) {
	var c *commands
	if _, ok := c.find(domain.ID{1}); ok || c.count() != 0 {
		t.Error("no commands hold one")
	}
	id := func(i int) domain.ID { return domain.ID{byte(i >> 8), byte(i)} }
	const n = 10*chunk + 3
	var at [n + 1]*commands
	for i := range n {
		at[i] = c
		for e := range 3 { // each command leads to three events
			c = c.with(carriedOut{command: id(i), result: eventlog.Result{Revision: eventlog.Revision(3*i + e)}})
		}
	}
	at[n] = c
	for m, c := range at { // those made earlier have not changed
		if c.count() != m {
			t.Fatalf("%d of %d", c.count(), m)
		}
		for i := range n {
			done, ok := c.find(id(i))
			if ok != (i < m) || ok && done.result.Revision != eventlog.Revision(3*i+2) {
				t.Fatalf("%d among %d: %+v %v", i, m, done, ok)
			}
		}
	}
	// Two that go on from the same one do not see each other.
	for _, before := range at {
		a, b := before.with(carriedOut{command: domain.ID{0xaa}}), before.with(carriedOut{command: domain.ID{0xbb}})
		_, inA := a.find(domain.ID{0xbb})
		_, inB := b.find(domain.ID{0xaa})
		if inA || inB || a.count() != before.count()+1 {
			t.Fatal("one sees the other's command")
		}
	}
}

// TestMemory: the cache is bounded by the commands in it, not only by the aggregates.
func TestMemory(t *testing.T) {
	s := NewStore(nil)
	heavy := &entry{commands: &commands{before: cachedWeight/4 - 1, recent: make([]carriedOut, 1)}}
	ref := func(i int) domain.Ref { return domain.Ref{Category: domain.Client, ID: domain.ID{byte(i)}} }
	for i := range 10 {
		e := *heavy
		e.revision = 5
		s.remember(ref(i), &e)
		s.remember(ref(i), &e) // the same again is counted once
		older := *heavy
		older.revision = 4
		s.remember(ref(i), &older) // and whoever is late does not undo
		if got := s.remembered(ref(i)); got == nil || got.revision != 5 {
			t.Fatalf("%d: %+v", i, got)
		}
		if s.weigh > cachedWeight || s.weigh != s.cache.Len()*cachedWeight/4 {
			t.Fatalf("%d: %d aggregates weigh %d", i, s.cache.Len(), s.weigh)
		}
	}
	if s.cache.Len() != 4 || s.remembered(ref(0)) != nil {
		t.Errorf("%d are remembered", s.cache.Len())
	}
	// One alone may be as heavy as it is: without it every command would read all of it.
	s.remember(ref(99), &entry{revision: 1, commands: &commands{before: 2 * cachedWeight, recent: make([]carriedOut, 1)}})
	if s.cache.Len() != 1 || s.remembered(ref(99)) == nil {
		t.Errorf("%d are remembered", s.cache.Len())
	}
}
