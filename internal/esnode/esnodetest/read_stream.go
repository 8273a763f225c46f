package esnodetest

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func testReadStream(t *testing.T, s *suite) {
	t.Helper()

	t.Run("from everywhere, in both directions", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(10)...)
		for name, row := range map[string]struct {
			options esdb.ReadStreamOptions
			count   uint64
			want    string
		}{
			"forwards":                        {esdb.ReadStreamOptions{}, all, span(0, 9)},
			"forwards, from the start":        {esdb.ReadStreamOptions{From: esdb.Start{}}, 100, span(0, 9)},
			"forwards, some":                  {esdb.ReadStreamOptions{}, 4, span(0, 3)},
			"forwards, one":                   {esdb.ReadStreamOptions{}, 1, "0"},
			"forwards, exactly all":           {esdb.ReadStreamOptions{}, 10, span(0, 9)},
			"forwards, from a revision":       {esdb.ReadStreamOptions{From: esdb.Revision(3)}, all, span(3, 9)},
			"forwards, some from a revision":  {esdb.ReadStreamOptions{From: esdb.Revision(3)}, 2, span(3, 4)},
			"forwards, from the last":         {esdb.ReadStreamOptions{From: esdb.Revision(9)}, all, "9"},
			"forwards, from beyond":           {esdb.ReadStreamOptions{From: esdb.Revision(10)}, all, ""},
			"forwards, from far beyond":       {esdb.ReadStreamOptions{From: esdb.Revision(1 << 40)}, all, ""},
			"backwards, from the end":         {back(esdb.End{}), all, span(9, 0)},
			"backwards, some":                 {back(esdb.End{}), 4, span(9, 6)},
			"backwards, one":                  {back(esdb.End{}), 1, "9"},
			"backwards, from a revision":      {back(esdb.Revision(3)), all, span(3, 0)},
			"backwards, some from a revision": {back(esdb.Revision(3)), 2, span(3, 2)},
			"backwards, from the first":       {back(esdb.Revision(0)), all, "0"},
			"backwards, from the start":       {back(esdb.Start{}), all, "0"},
			"backwards, from beyond":          {back(esdb.Revision(50)), all, span(9, 0)},
			"backwards, some from beyond":     {back(esdb.Revision(50)), 3, span(9, 7)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				wantNumbers(t, s.read(t, stream, row.options, row.count), row.want)
			})
		}
	})

	t.Run("forwards from the end gives nothing", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		// Some servers refuse it; none gives an event.
		list, err := s.tryRead(t, stream, esdb.ReadStreamOptions{From: esdb.End{}}, all)
		if len(list) != 0 {
			t.Errorf("read %s, %v", numbers(list), err)
		}
	})

	t.Run("a missing stream", func(t *testing.T) {
		t.Parallel()
		for _, options := range []esdb.ReadStreamOptions{
			{}, {From: esdb.Revision(5)}, back(esdb.End{}), back(esdb.Revision(5)), {ResolveLinkTos: true},
		} {
			_, err := s.tryRead(t, newStream(), options, all)
			wantCode(t, err, esdb.ErrorCodeResourceNotFound)
		}
	})

	t.Run("a stream with metadata only", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.setMetadata(t, stream, `{"kind":"described"}`)
		_, err := s.tryRead(t, stream, esdb.ReadStreamOptions{}, all)
		wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	})

	t.Run("a deleted stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.delete(t, stream, esdb.Revision(2))
		for _, options := range []esdb.ReadStreamOptions{{}, {From: esdb.Revision(1)}, back(esdb.End{}), back(esdb.Revision(1))} {
			_, err := s.tryRead(t, stream, options, all)
			wantCode(t, err, esdb.ErrorCodeResourceNotFound)
		}
	})

	t.Run("a tombstoned stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.tombstone(t, stream, esdb.Revision(2))
		for _, options := range []esdb.ReadStreamOptions{{}, {From: esdb.Revision(1)}, back(esdb.End{}), back(esdb.Revision(1))} {
			_, err := s.tryRead(t, stream, options, all)
			wantCode(t, err, esdb.ErrorCodeStreamDeleted)
		}
	})

	t.Run("what was answered is there at once", func(t *testing.T) {
		t.Parallel()
		parallel(4, func(int) bool {
			stream := newStream()
			for n := range 15 {
				s.append(t, stream, esdb.Any{}, event(`1`))
				wantNumbers(t, s.read(t, stream, back(esdb.End{}), 1), span(n, n))
			}
			return true
		})
	})

	t.Run("leaving early", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(500)...)
		for range 20 {
			reading, err := s.client.ReadStream(bounded(t), stream, esdb.ReadStreamOptions{}, all)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if _, err := reading.Recv(); err != nil {
				t.Fatalf("read the first event: %v", err)
			}
			reading.Close()
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{From: esdb.Revision(499)}, all), "499")
	})
}

func back(from esdb.StreamPosition) esdb.ReadStreamOptions {
	return esdb.ReadStreamOptions{Direction: esdb.Backwards, From: from}
}
