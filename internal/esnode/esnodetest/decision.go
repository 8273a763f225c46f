package esnodetest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// testDecision goes through what a server does with an append, row by row: the state of the stream, the revision that
// is expected, and whether the events are there already.
func testDecision(t *testing.T, s *suite) {
	t.Helper()
	var (
		none   = esdb.NoStream{}
		some   = esdb.StreamExists{}
		either = esdb.Any{}
	)
	// Every row starts from five events, 0 to 4, unless it prepares something else.
	for name, row := range map[string]struct {
		prepare  func(t *testing.T, stream string, old []esdb.EventData)
		none     bool // the stream never was
		expected esdb.ExpectedRevision
		events   func(old []esdb.EventData) []esdb.EventData

		code     esdb.ErrorCode // of the refusal, or
		revision uint64         // the answer, and
		last     int            // the last revision afterwards; -1 for no stream
	}{
		"any, new stream":            {none: true, expected: either, events: new2, revision: 1, last: 1},
		"no stream, new stream":      {none: true, expected: none, events: new2, revision: 1, last: 1},
		"exists, new stream":         {none: true, expected: some, events: new2, code: conflict, last: -1},
		"revision 0, new stream":     {none: true, expected: esdb.Revision(0), events: new2, code: conflict, last: -1},
		"revision 7, new stream":     {none: true, expected: esdb.Revision(7), events: new2, code: conflict, last: -1},
		"any":                        {expected: either, events: new2, revision: 6, last: 6},
		"exists":                     {expected: some, events: new2, revision: 6, last: 6},
		"no stream":                  {expected: none, events: new2, code: conflict, last: 4},
		"current":                    {expected: esdb.Revision(4), events: new2, revision: 6, last: 6},
		"below current":              {expected: esdb.Revision(3), events: new2, code: conflict, last: 4},
		"above current":              {expected: esdb.Revision(5), events: new2, code: conflict, last: 4},
		"any, again":                 {expected: either, events: olds(3, 5), revision: 4, last: 4},
		"any, all again":             {expected: either, events: olds(0, 5), revision: 4, last: 4},
		"any, again from the middle": {expected: either, events: olds(1, 3), revision: 2, last: 4},
		"exists, again":              {expected: some, events: olds(3, 5), revision: 4, last: 4},
		"any, again and one more":    {expected: either, events: oldThenNew(4), code: conflict, last: 4},
		"exists, again and one more": {expected: some, events: oldThenNew(4), code: conflict, last: 4},
		"any, new then old":          {expected: either, events: newThenOld(4), revision: 6, last: 6},
		"no stream, again":           {expected: none, events: olds(0, 5), revision: 4, last: 4},
		"no stream, part again":      {expected: none, events: olds(0, 2), revision: 1, last: 4},
		"revision, again":            {expected: esdb.Revision(2), events: olds(3, 5), revision: 4, last: 4},
		"revision, part again":       {expected: esdb.Revision(0), events: olds(1, 3), revision: 2, last: 4},
		"revision, old from elsewhere": {
			expected: esdb.Revision(0), events: olds(3, 5), code: conflict, last: 4,
		},
		"revision, again past the end":     {expected: esdb.Revision(3), events: oldThenNew(4), code: conflict, last: 4},
		"revision, again then another":     {expected: esdb.Revision(2), events: oldThenNew(3), code: conflict, last: 4},
		"current, old id is no duplicate":  {expected: esdb.Revision(4), events: olds(4, 5), revision: 5, last: 5},
		"no stream, an id twice":           {none: true, expected: none, events: twice, revision: 1, last: 1},
		"empty, any, new stream":           {none: true, expected: either, events: nothing, revision: 1, last: -1},
		"empty, no stream, new stream":     {none: true, expected: none, events: nothing, revision: 1, last: -1},
		"empty, exists, new stream":        {none: true, expected: some, events: nothing, code: conflict, last: -1},
		"empty, any":                       {expected: either, events: nothing, revision: 4, last: 4},
		"empty, current":                   {expected: esdb.Revision(4), events: nothing, revision: 4, last: 4},
		"empty, below current":             {expected: esdb.Revision(2), events: nothing, code: conflict, last: 4},
		"empty, no stream":                 {expected: none, events: nothing, code: conflict, last: 4},
		"empty, above current":             {expected: esdb.Revision(9), events: nothing, code: conflict, last: 4},
		"any, id known in another stream":  {prepare: s.borrow, expected: either, events: olds(2, 3), revision: 1, last: 1},
		"exists, only metadata":            {none: true, prepare: s.described, expected: some, events: new2, revision: 1, last: 1},
		"no stream, only metadata":         {none: true, prepare: s.described, expected: none, events: new2, revision: 1, last: 1},
		"deleted, any":                     {prepare: s.deleted, expected: either, events: new2, revision: 6, last: 6},
		"deleted, no stream":               {prepare: s.deleted, expected: none, events: new2, revision: 6, last: 6},
		"deleted, last revision":           {prepare: s.deleted, expected: esdb.Revision(4), events: new2, revision: 6, last: 6},
		"deleted, exists":                  {prepare: s.deleted, expected: some, events: new2, code: gone, last: -1},
		"deleted, below":                   {prepare: s.deleted, expected: esdb.Revision(1), events: new2, code: conflict, last: -1},
		"deleted, above":                   {prepare: s.deleted, expected: esdb.Revision(5), events: new2, code: conflict, last: -1},
		"tombstoned, any":                  {prepare: s.buried, expected: either, events: new2, code: gone, last: -2},
		"tombstoned, no stream":            {prepare: s.buried, expected: none, events: new2, code: gone, last: -2},
		"tombstoned, exists":               {prepare: s.buried, expected: some, events: new2, code: gone, last: -2},
		"tombstoned, last revision":        {prepare: s.buried, expected: esdb.Revision(4), events: new2, code: gone, last: -2},
		"tombstoned, again":                {prepare: s.buried, expected: none, events: olds(0, 5), code: gone, last: -2},
		"tombstoned before it began, any":  {none: true, prepare: s.buried, expected: either, events: new2, code: gone, last: -2},
		"tombstoned before it began, none": {none: true, prepare: s.buried, expected: none, events: new2, code: gone, last: -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream, old := newStream(), events(5)
			if !row.none {
				s.append(t, stream, none, old...)
			}
			if row.prepare != nil {
				row.prepare(t, stream, old)
				if name == "any, id known in another stream" {
					stream += "-other"
				}
			}
			result, err := s.tryAppend(t, stream, row.expected, row.events(old)...)
			switch {
			case row.code != 0:
				wantCode(t, err, row.code)
			case err != nil:
				t.Errorf("refused: %v", err)
			default:
				wantRevision(t, result, row.revision)
				s.wantPosition(t, stream, result, len(row.events(old)))
			}
			s.wantLast(t, stream, row.last)
		})
	}
}

const (
	conflict = esdb.ErrorCodeWrongExpectedVersion
	gone     = esdb.ErrorCodeStreamDeleted
)

func new2([]esdb.EventData) []esdb.EventData    { return events(2) }
func nothing([]esdb.EventData) []esdb.EventData { return nil }

func twice([]esdb.EventData) []esdb.EventData {
	e := event(`1`)
	return []esdb.EventData{e, e}
}

func olds(from, before int) func([]esdb.EventData) []esdb.EventData {
	return func(old []esdb.EventData) []esdb.EventData { return old[from:before] }
}

func oldThenNew(i int) func([]esdb.EventData) []esdb.EventData {
	return func(old []esdb.EventData) []esdb.EventData { return []esdb.EventData{old[i], event(`"new"`)} }
}

func newThenOld(i int) func([]esdb.EventData) []esdb.EventData {
	return func(old []esdb.EventData) []esdb.EventData { return []esdb.EventData{event(`"new"`), old[i]} }
}

// borrow starts a second stream, whose next event has an id that the first one holds.
func (s *suite) borrow(t *testing.T, stream string, _ []esdb.EventData) {
	t.Helper()
	s.append(t, stream+"-other", esdb.NoStream{}, event(`"own"`))
}

func (s *suite) described(t *testing.T, stream string, _ []esdb.EventData) {
	t.Helper()
	s.setMetadata(t, stream, `{"kind":"described"}`)
}

func (s *suite) deleted(t *testing.T, stream string, _ []esdb.EventData) {
	t.Helper()
	s.delete(t, stream, esdb.Any{})
}

func (s *suite) buried(t *testing.T, stream string, _ []esdb.EventData) {
	t.Helper()
	s.tombstone(t, stream, esdb.Any{})
}

// wantPosition checks that the answer names the position of the event it names, unless the append was empty.
func (s *suite) wantPosition(t *testing.T, stream string, result *esdb.WriteResult, count int) {
	t.Helper()
	if count == 0 {
		return
	}
	list := s.read(t, stream, esdb.ReadStreamOptions{From: esdb.Revision(result.NextExpectedVersion)}, 1)
	if len(list) != 1 {
		t.Errorf("event %d is not there", result.NextExpectedVersion)
		return
	}
	got := esdb.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition}
	if want := list[0].OriginalEvent().Position; got != want {
		t.Errorf("position %v, want %v", got, want)
	}
}

// wantLast checks the stream's last revision: -1 for not found, -2 for tombstoned.
func (s *suite) wantLast(t *testing.T, stream string, want int) {
	t.Helper()
	list, err := s.tryRead(t, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	switch want {
	case -2:
		wantCode(t, err, esdb.ErrorCodeStreamDeleted)
	case -1:
		wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	default:
		if err != nil {
			t.Errorf("read the last event: %v", err)
			return
		}
		wantNumbers(t, list, span(want, want))
	}
}
