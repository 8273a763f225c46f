package esnodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func testAppend(t *testing.T, s *suite) {
	t.Helper()

	t.Run("what is written is read", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		sent := []esdb.EventData{
			{
				EventID: uuid.New(), EventType: "json", ContentType: esdb.ContentTypeJson,
				Data: []byte(`{"b": 1,  "a":[true,null,"ü"]}`), Metadata: []byte(` {"x" : 1}`),
			},
			{
				EventID: uuid.New(), EventType: "binary", ContentType: esdb.ContentTypeBinary,
				Data: []byte{0, 1, 0xff, 0, 0xfe}, Metadata: []byte{0, 0xd, 0xe, 0xa, 0xd},
			},
			{EventID: uuid.New(), EventType: "empty", ContentType: esdb.ContentTypeBinary},
			{EventID: uuid.New(), EventType: "not json at all", ContentType: esdb.ContentTypeJson, Data: []byte(`{"unfinished`)},
			{EventID: uuid.New(), EventType: "ünïcode – 🙂'\"\\;%", ContentType: esdb.ContentTypeJson, Data: []byte(`""`)},
		}
		result := s.append(t, stream, esdb.NoStream{}, sent...)
		wantRevision(t, result, 4)

		list := s.read(t, stream, esdb.ReadStreamOptions{}, all)
		if len(list) != len(sent) {
			t.Fatalf("read %d events of %d", len(list), len(sent))
		}
		contentTypes := map[esdb.ContentType]string{
			esdb.ContentTypeBinary: "application/octet-stream",
			esdb.ContentTypeJson:   "application/json",
		}
		var last esdb.Position
		for i, e := range list {
			got, want := e.OriginalEvent(), sent[i]
			if e.Link != nil {
				t.Errorf("%s: is a link", want.EventType)
			}
			if got.EventID != want.EventID || got.EventType != want.EventType || got.StreamID != stream {
				t.Errorf("%s: is %s %q of %s", want.EventType, got.EventID, got.EventType, got.StreamID)
			}
			if !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.UserMetadata, want.Metadata) {
				t.Errorf("%s: bytes %q and %q, want %q and %q", want.EventType, got.Data, got.UserMetadata, want.Data, want.Metadata)
			}
			if got.ContentType != contentTypes[want.ContentType] {
				t.Errorf("%s: content type %q", want.EventType, got.ContentType)
			}
			if got.EventNumber != uint64(i) {
				t.Errorf("%s: revision %d, want %d", want.EventType, got.EventNumber, i)
			}
			if off := time.Since(got.CreatedDate); off > time.Hour || off < -time.Hour {
				t.Errorf("%s: created %s ago", want.EventType, off)
			}
			if got.Position.Commit != got.Position.Prepare || got.Position.Commit <= last.Commit {
				t.Errorf("%s: position %v after %v", want.EventType, got.Position, last)
			}
			if e.Commit == nil || *e.Commit != got.Position.Commit {
				t.Errorf("%s: commit position is missing or another", want.EventType)
			}
			last = got.Position
		}
		if (esdb.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition}) != last {
			t.Errorf("answered position %d/%d, want that of the last event, %v", result.CommitPosition, result.PreparePosition, last)
		}
	})

	t.Run("names of every kind", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{
			fresh("with spaces and 'quotes' \"both\""), fresh("ünïcode – 🙂"), fresh("a/b\\c?d=e&f%20"), fresh("0@x@y"),
			fresh("UPPER"), fresh("$own"), fresh(strings.Repeat("long", 100)), fresh("tab\tand\nline"), uuid.NewString(),
		} {
			s.append(t, name, esdb.NoStream{}, event(`1`))
			list := s.read(t, name, esdb.ReadStreamOptions{}, all)
			if len(list) != 1 || list[0].OriginalEvent().StreamID != name {
				t.Errorf("stream %q is not read back", name)
			}
			if _, err := s.tryRead(t, name+" ", esdb.ReadStreamOptions{}, 1); err == nil {
				t.Errorf("stream %q is read by another name", name)
			}
		}
		lower := fresh("case")
		s.append(t, lower, esdb.NoStream{}, event(`1`))
		s.append(t, strings.ToUpper(lower), esdb.NoStream{}, event(`1`))
	})

	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		sent := events(3000)
		wantRevision(t, s.append(t, stream, esdb.NoStream{}, sent...), 2999)
		list := s.read(t, stream, esdb.ReadStreamOptions{}, all)
		if len(list) != len(sent) {
			t.Fatalf("read %d events of %d", len(list), len(sent))
		}
		for i, e := range list {
			if e.Event.EventID != sent[i].EventID || !bytes.Equal(e.Event.Data, sent[i].Data) {
				t.Fatalf("event %d is another", i)
			}
		}
		back := s.read(t, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, all)
		wantNumbers(t, back, span(2999, 0))
	})

	t.Run("one of many writers starts the stream", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		won := parallel(12, func(int) bool {
			_, err := s.tryAppend(t, stream, esdb.NoStream{}, event(`1`))
			if err != nil {
				wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)
			}
			return err == nil
		})
		if won != 1 {
			t.Errorf("%d writers started the stream", won)
		}
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), "0")
	})

	t.Run("writers at any revision leave no gap", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		parallel(8, func(int) bool {
			for range 10 {
				if _, err := s.tryAppend(t, stream, esdb.Any{}, events(2)...); err != nil {
					t.Errorf("append: %v", err)
				}
			}
			return true
		})
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), span(0, 159))
	})

	t.Run("writers at the exact revision take turns", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		s.append(t, stream, esdb.NoStream{}, event(`"first"`))
		const writers, each = 4, 8
		parallel(writers, func(int) bool {
			for n := 0; n < each; {
				last := s.read(t, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
				_, err := s.tryAppend(t, stream, esdb.Revision(last[0].OriginalEvent().EventNumber), event(`1`))
				if err == nil {
					n++
					continue
				}
				wantCode(t, err, esdb.ErrorCodeWrongExpectedVersion)
				if t.Failed() {
					return false
				}
			}
			return true
		})
		wantNumbers(t, s.read(t, stream, esdb.ReadStreamOptions{}, all), span(0, writers*each))
	})

	t.Run("an append is whole and consecutive in $all", func(t *testing.T) {
		t.Parallel()
		from := s.end(t)
		mine := fresh("whole")
		parallel(6, func(writer int) bool {
			for range 5 {
				if _, err := s.tryAppend(t, fmt.Sprintf("%s-%d", mine, writer), esdb.Any{}, events(20)...); err != nil {
					t.Errorf("append: %v", err)
				}
			}
			return true
		})
		run, stream, seen := 0, "", 0
		for _, e := range s.readAll(t, esdb.ReadAllOptions{From: from}, all) {
			got := e.OriginalEvent()
			if run > 0 && (got.StreamID != stream || string(got.Data) != strconv.Itoa(run)) {
				t.Fatalf("%d of %s stands inside an append to %s", got.EventNumber, got.StreamID, stream)
			}
			if !strings.HasPrefix(got.StreamID, mine) {
				continue
			}
			stream, run, seen = got.StreamID, (run+1)%20, seen+1
		}
		if seen != 600 {
			t.Errorf("$all holds %d of 600 events", seen)
		}
	})

	t.Run("a cancelled append writes nothing or all of it", func(t *testing.T) {
		t.Parallel()
		stream := newStream()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{}, events(5)...)
		if err == nil {
			t.Fatal("a cancelled call succeeded")
		}
		list, err := s.tryRead(t, stream, esdb.ReadStreamOptions{}, all)
		if err != nil {
			wantCode(t, err, esdb.ErrorCodeResourceNotFound)
		} else if len(list) != 5 {
			t.Errorf("%d of 5 events were written", len(list))
		}
	})

	t.Run("to streams that cannot be", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"$all", "$$", ""} {
			_, err := s.tryAppend(t, name, esdb.Any{}, event(`1`))
			if err == nil {
				t.Errorf("append to %q succeeded", name)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("append to %q hangs", name)
			}
		}
	})
}

// parallel runs n workers and counts those that answer true.
func parallel(n int, work func(worker int) bool) int {
	var wait sync.WaitGroup
	count := make(chan int, n)
	for worker := range n {
		wait.Go(func() {
			if work(worker) {
				count <- 1
			}
		})
	}
	wait.Wait()
	return len(count)
}
