package engine

import (
	"strconv"
	"testing"

	"github.com/google/uuid"
)

// TestDecisionTable is the protocol's table of idempotency and expected revisions, row by row.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	a, b, c, x := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	// Stream s holds a, b, c at 0, 1, 2; x stands in another stream.
	log := map[int64]uuid.UUID{0: a, 1: b, 2: c}
	known := map[uuid.UUID]place{
		a: {"s", 0, 10}, b: {"s", 1, 11}, c: {"s", 2, 12}, x: {"other", 0, 13},
	}
	three := state{last: 2, pos: 12}
	deleted := state{last: 2, pos: 12, meta: true, deleted: true}
	none := state{last: -1}
	metaOnly := state{last: -1, meta: true}
	tombstoned := state{last: TombstoneRevision, tombstoned: true}
	n := uuid.New()
	for name, c := range map[string]struct {
		state    state
		expected Expected
		ids      []uuid.UUID
		want     verdict
		at       int64 // revision answered for a repetition
	}{
		"tombstoned, any":                               {tombstoned, Any, []uuid.UUID{n}, gone, 0},
		"tombstoned, no stream":                         {tombstoned, NoStream, []uuid.UUID{n}, gone, 0},
		"tombstoned, a known event":                     {tombstoned, Any, []uuid.UUID{a}, gone, 0},
		"tombstoned, its own revision":                  {tombstoned, TombstoneRevision, []uuid.UUID{n}, gone, 0},
		"exists, deleted":                               {deleted, StreamExists, []uuid.UUID{n}, gone, 0},
		"exists, no events, no metadata":                {none, StreamExists, []uuid.UUID{n}, wrong, 0},
		"exists, metadata only":                         {metaOnly, StreamExists, []uuid.UUID{n}, accept, 0},
		"exists":                                        {three, StreamExists, []uuid.UUID{n}, accept, 0},
		"any, new stream":                               {none, Any, []uuid.UUID{n}, accept, 0},
		"any, unknown":                                  {three, Any, []uuid.UUID{n}, accept, 0},
		"any, known in another stream":                  {three, Any, []uuid.UUID{x}, accept, 0},
		"any, all known":                                {three, Any, []uuid.UUID{a, b}, repeat, 1},
		"any, the last known":                           {three, Any, []uuid.UUID{c}, repeat, 2},
		"exists, all known":                             {three, StreamExists, []uuid.UUID{b, c}, repeat, 2},
		"any, first known, later one not":               {three, Any, []uuid.UUID{a, n}, wrong, 0},
		"any, first known, later one elsewhere":         {three, Any, []uuid.UUID{a, x}, wrong, 0},
		"any, first not, later one known":               {three, Any, []uuid.UUID{n, a}, accept, 0},
		"any, deleted, unknown":                         {deleted, Any, []uuid.UUID{n}, accept, 0},
		"any, nothing":                                  {three, Any, nil, accept, 0},
		"behind, all equal":                             {three, 0, []uuid.UUID{b, c}, repeat, 2},
		"behind, equal part":                            {three, 0, []uuid.UUID{b}, repeat, 1},
		"no stream, all equal":                          {three, NoStream, []uuid.UUID{a, b, c}, repeat, 2},
		"behind, first differs":                         {three, 0, []uuid.UUID{n}, wrong, 0},
		"behind, later one differs":                     {three, 0, []uuid.UUID{b, n}, wrong, 0},
		"behind, past the end":                          {three, 0, []uuid.UUID{b, c, n}, wrong, 0},
		"behind, nothing":                               {three, 0, nil, wrong, 0},
		"no stream, first differs":                      {three, NoStream, []uuid.UUID{n}, wrong, 0},
		"no stream, deleted, first differs":             {deleted, NoStream, []uuid.UUID{n}, accept, 0},
		"no stream, deleted, all equal":                 {deleted, NoStream, []uuid.UUID{a}, repeat, 0},
		"behind, deleted, first differs":                {deleted, 0, []uuid.UUID{n}, wrong, 0},
		"equal":                                         {three, 2, []uuid.UUID{n}, accept, 0},
		"equal, an event that is there: no second look": {three, 2, []uuid.UUID{a}, accept, 0},
		"equal, deleted":                                {deleted, 2, []uuid.UUID{n}, accept, 0},
		"equal, nothing":                                {three, 2, nil, accept, 0},
		"no stream, new":                                {none, NoStream, []uuid.UUID{n}, accept, 0},
		"above":                                         {three, 3, []uuid.UUID{n}, wrong, 0},
		"above, new stream":                             {none, 0, []uuid.UUID{n}, wrong, 0},
	} {
		got, at := decide("s", c.state, c.expected, c.ids,
			func(id uuid.UUID) (place, bool) { p, ok := known[id]; return p, ok },
			func(r int64) (uuid.UUID, uint64, bool) { id, ok := log[r]; return id, known[id].pos, ok })
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if got == repeat && (at.revision != c.at || at.pos != uint64(10+c.at)) {
			t.Errorf("%s: repetition of %+v, want revision %d", name, at, c.at)
		}
	}
}

func TestNameSet(t *testing.T) {
	t.Parallel()
	known := nameSet{}
	known.add("a")
	if known.lacks("a") || !known.lacks("b") {
		t.Errorf("%v", known)
	}
	for i := range namesKnown {
		known.add(strconv.Itoa(i))
	}
	if known != nil || known.lacks("b") {
		t.Errorf("%d names are known", len(known))
	}
	known.add("c") // still too many to know
	if known.lacks("b") {
		t.Error("too many names, and one is said to lack")
	}
}

func TestMetadataIsForgiving(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]Metadata{
		``:                            {},
		`null`:                        {},
		`[1]`:                         {},
		`{"$maxCount":`:               {},
		`{"$maxCount":3,"$tb":7}`:     {MaxCount: 3, TruncateBefore: 7},
		`{"$maxCount":-3,"$tb":0}`:    {},
		`{"$maxCount":"3","$tb":1.5}`: {},
		`{"$maxAge":10}`:              {MaxAge: 10e9},
		`{"$maxAge":9223372036854775807,"$cacheControl":1}`: {CacheControl: 1e9},
		`{"$tb":9223372036854775807}`:                       {TruncateBefore: softDeleted},
		`{"x":1}`:                                           {},
	} {
		got := ParseMetadata([]byte(data))
		if got != want {
			t.Errorf("%s: %+v, want %+v", data, got, want)
		}
	}
	acl := ParseMetadata([]byte(`{"$acl":{"$r":"one","$w":["a","b"],"$d":[],"$mr":5,"$mw":null}}`)).ACL
	if acl == nil || len(acl.Read) != 1 || len(acl.Write) != 2 || acl.Delete == nil || len(acl.Delete) != 0 ||
		acl.MetaRead != nil || acl.MetaWrite != nil {
		t.Errorf("access list %+v", acl)
	}
	if m := ParseMetadata([]byte(`{"$acl":5}`)); m.ACL != nil {
		t.Errorf("access list %+v", m.ACL)
	}
}

// FuzzMetadata holds that no metadata panics, that none hides a stream by accident, and that showing a stream again
// keeps what else its metadata said.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"$tb":9223372036854775807}`, `{"$maxCount":1,"$acl":{"$r":["a"]},"custom":{"a":[1,2]}}`, `null`, `{`, `{"$tb":1e3}`,
	} {
		f.Add([]byte(seed), int64(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, first int64) {
		before := ParseMetadata(data)
		ParseSettings(data)
		if before.MaxCount < 0 || before.MaxAge < 0 || before.TruncateBefore < 0 {
			t.Errorf("%q: %+v", data, before)
		}
		if first <= 0 || first == softDeleted {
			return
		}
		after := ParseMetadata(undeleted(data, first))
		if after.SoftDeleted() || after.TruncateBefore != first {
			t.Errorf("%q: shown again it is %+v", data, after)
		}
		if after.MaxCount != before.MaxCount || after.MaxAge != before.MaxAge || (after.ACL == nil) != (before.ACL == nil) {
			t.Errorf("%q: %+v became %+v", data, before, after)
		}
	})
}
