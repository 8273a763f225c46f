package esnodetest

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
)

func testMetadata(t *testing.T, s *suite) {
	t.Helper()

	t.Run("what is set is got", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		acl := esdb.Acl{}
		acl.AddReadRoles("admin", "readers")
		acl.AddWriteRoles("$all")
		acl.AddDeleteRoles("ops")
		acl.AddMetaReadRoles("$all")
		acl.AddMetaWriteRoles("$admins")
		var set esdb.StreamMetadata
		set.SetMaxCount(50)
		set.SetMaxAge(time.Hour)
		set.SetTruncateBefore(0)
		set.SetCacheControl(45 * time.Second)
		set.AddCustomProperty("owner", "conformance")
		set.AddCustomProperty("nested", map[string]any{"a": []any{1.0, nil, "ü"}})
		want, err := set.ToJson()
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		result, err := s.client.SetStreamMetadata(bounded(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, set)
		if err != nil {
			t.Fatalf("set: %v", err)
		}
		wantRevision(t, result, 0)
		got, err := s.client.GetStreamMetadata(bounded(t), stream, esdb.ReadStreamOptions{})
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		back, err := got.ToJson()
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		if diff := cmp.Diff(decode(t, want), decode(t, back)); diff != "" {
			t.Error(diff)
		}

		// The access list is taken, and an open or an administrator's connection goes on as before.
		set.SetAcl(acl)
		if _, err := s.client.SetStreamMetadata(bounded(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, set); err != nil {
			t.Fatalf("set an access list: %v", err)
		}
		keys := s.metadata(t, stream)
		if keys["$acl"] != `{"$d":"ops","$mr":"$all","$mw":"$admins","$r":["admin","readers"],"$w":"$all"}` {
			t.Errorf("the access list is %s", keys["$acl"])
		}
		s.append(t, stream, esdb.Revision(0), event(`2`))
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1")
	})

	t.Run("has revisions of its own", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		wantRevision(t, s.setMetadata(t, stream, `{"n":0}`), 0)
		wantRevision(t, s.setMetadata(t, stream, `{"n":1}`), 1)
		_, err := s.client.SetStreamMetadata(bounded(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, esdb.StreamMetadata{})
		wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)
		// Only the last is kept readable.
		wantNumbers(t, s.read(t, "$$"+stream, esdb.ReadStreamOptions{}, all), "1")
		wantNumbers(t, s.read(t, "$$"+stream, back(esdb.End{}), all), "1")
		if got := s.metadata(t, stream); got["n"] != "1" {
			t.Errorf("the metadata is %v", got)
		}
	})

	t.Run("of a stream without any", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`1`))
		_, err := s.tryRead(t, "$$"+stream, esdb.ReadStreamOptions{}, 1)
		wantCode(t, err, esdb.ErrorCodeResourceNotFound)
	})

	t.Run("the words for all users and for the system", func(t *testing.T) {
		t.Parallel()
		for _, word := range []string{esdb.UserStreamAcl, esdb.SystemStreamAcl} {
			stream := newStream()
			var set esdb.StreamMetadata
			set.SetAcl(word)
			if _, err := s.client.SetStreamMetadata(bounded(t), stream, esdb.AppendToStreamOptions{}, set); err != nil {
				t.Fatalf("set %s: %v", word, err)
			}
			got, err := s.client.GetStreamMetadata(bounded(t), stream, esdb.ReadStreamOptions{})
			if err != nil || got.Acl() != word {
				t.Errorf("got %v, %v, want %s", got, err, word)
			}
		}
	})

	t.Run("malformed metadata counts as none", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{
			``, `{`, `nonsense`, `[]`, `null`, `"text"`, `{"$maxCount":"two"}`, `{"$maxCount":0}`, `{"$maxCount":-1}`,
			`{"$tb":"x"}`, `{"$tb":-5}`, `{"$maxAge":0}`, `{"$maxAge":-1}`, `{"$maxAge":"soon"}`, `{"$acl":7}`, "\xff\xfe\x00",
		} {
			stream := newStream()
			s.append(t, stream, esdb.NoStream{}, events(3)...)
			s.setMetadata(t, stream, text)
			if got := numbers(s.read(t, stream, esdb.ReadStreamOptions{}, all)); got != "0 1 2" {
				t.Errorf("under %q reads %q", text, got)
			}
			s.append(t, stream, esdb.Revision(2), event(`3`))
			list := s.read(t, "$$"+stream, esdb.ReadStreamOptions{}, all)
			if len(list) != 1 || !bytes.Equal(list[0].Event.Data, []byte(text)) {
				t.Errorf("%q is not kept as it is", text)
			}
		}
	})
}

func testTruncation(t *testing.T, s *suite) {
	t.Helper()

	t.Run("by count and by revision", func(t *testing.T) {
		t.Parallel()
		for name, row := range map[string]struct {
			metadata    string
			want, after string // before and after one more event
		}{
			"count":                     {`{"$maxCount":3}`, span(7, 9), span(8, 10)},
			"count of one":              {`{"$maxCount":1}`, "9", "10"},
			"count of more":             {`{"$maxCount":100}`, span(0, 9), span(0, 10)},
			"before":                    {`{"$tb":4}`, span(4, 9), span(4, 10)},
			"before the first":          {`{"$tb":0}`, span(0, 9), span(0, 10)},
			"before the end":            {`{"$tb":10}`, "", "10"},
			"before beyond the end":     {`{"$tb":11}`, "", ""},
			"the later of both: count":  {`{"$tb":2,"$maxCount":3}`, span(7, 9), span(8, 10)},
			"the later of both: before": {`{"$tb":8,"$maxCount":5}`, span(8, 9), span(8, 10)},
			"a long age":                {`{"$maxAge":86400}`, span(0, 9), span(0, 10)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				stream := newStream()
				s.append(t, stream, esdb.NoStream{}, events(10)...)
				s.setMetadata(t, stream, row.metadata)
				wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), row.want)
				wantNumbers(t, reversed(s.read(t, stream, back(esdb.End{}), all)), row.want)
				wantRevision(t, s.append(t, stream, esdb.Revision(9), event(`"more"`)), 10)
				wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), row.after)
			})
		}
	})

	t.Run("reading below starts where the stream does", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(200)...)
		s.setMetadata(t, stream, `{"$tb":150}`)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{From: esdb.Revision(3)}, all), span(150, 199))
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{From: esdb.Revision(160)}, 2), "160 161")
		wantNumbers(t, s.read(t, stream, back(esdb.Revision(151)), all), "151 150")
		if list := s.read(t, stream, back(esdb.Revision(100)), all); len(list) != 0 {
			t.Errorf("backwards from below reads %s", numbers(list))
		}
		// Moving the mark down again shows what it hid.
		s.setMetadata(t, stream, `{"$tb":148}`)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, 3), "148 149 150")
	})

	t.Run("by age", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		s.setMetadata(t, stream, `{"$maxAge":1}`)
		ctx := bounded(t)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for list := s.read(t, stream, esdb.ReadStreamOptions{}, all); len(list) > 0; list = s.read(t, stream, esdb.ReadStreamOptions{}, all) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("the events do not expire")
			}
		}
		if list := s.read(t, stream, back(esdb.End{}), all); len(list) != 0 {
			t.Errorf("backwards reads %s", numbers(list))
		}
		wantRevision(t, s.append(t, stream, esdb.Revision(2), event(`"young"`)), 3)
		// A longer age brings them back.
		s.setMetadata(t, stream, `{"$maxAge":86400}`)
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0 1 2 3")
	})

	t.Run("a subscription starts where the stream does", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, events(10)...)
		s.setMetadata(t, stream, `{"$tb":6}`)
		sub := s.toStream(t, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		sub.wantEvents(t, 6, 9)
		sub.wantCaughtUp(t)
	})
}

func reversed(list []*esdb.ResolvedEvent) []*esdb.ResolvedEvent {
	turned := make([]*esdb.ResolvedEvent, len(list))
	for i, e := range list {
		turned[len(list)-1-i] = e
	}
	return turned
}

// metadata reads the keys of the stream's metadata, each as JSON with sorted keys.
func (s *suite) metadata(t *testing.T, stream string) map[string]string {
	t.Helper()
	list := s.read(t, "$$"+stream, back(esdb.End{}), 1)
	if len(list) != 1 {
		t.Fatalf("%s has no metadata", stream)
	}
	return decode(t, list[0].Event.Data)
}

// decode answers the members of a JSON object, each as text with sorted keys and numbers as they stand.
func decode(t *testing.T, data []byte) map[string]string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		t.Fatalf("%q is no object: %v", data, err)
	}
	texts := map[string]string{}
	for key, value := range members {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("encode %s: %v", key, err)
		}
		texts[key] = string(text)
	}
	return texts
}
