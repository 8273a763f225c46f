package esnodetest

import (
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

func linkTo(revision int, stream string) esdb.EventData {
	return linkText(fmt.Sprintf("%d@%s", revision, stream))
}

func linkText(data string) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(data)}
}

func testLinks(t *testing.T, s *suite) {
	t.Helper()

	resolving := esdb.ReadStreamOptions{ResolveLinkTos: true}

	t.Run("resolved where asked for", func(t *testing.T) {
		t.Parallel()
		target, links := newStream(), newStream()
		sent := events(3)
		s.append(t, target, esdb.NoStream{}, sent...)
		s.append(t, links, esdb.NoStream{}, linkTo(2, target), event(`"own"`), linkTo(0, target))

		plain := s.read(t, links, esdb.ReadStreamOptions{}, all)
		wantNumbers(t, plain, "0 1 2")
		if plain[0].Link != nil || plain[0].Event.EventType != "$>" || string(plain[0].Event.Data) != "2@"+target {
			t.Errorf("unresolved: %+v", plain[0].Event)
		}
		for name, options := range map[string]esdb.ReadStreamOptions{
			"forwards":  resolving,
			"backwards": {Direction: esdb.Backwards, From: esdb.End{}, ResolveLinkTos: true},
		} {
			list := s.read(t, links, options, all)
			if len(list) != 3 {
				t.Fatalf("%s: read %d events", name, len(list))
			}
			if name == "backwards" {
				list[0], list[2] = list[2], list[0]
			}
			s.wantLink(t, list[0], links, 0, sent[2].EventID, target, 2)
			s.wantLink(t, list[2], links, 2, sent[0].EventID, target, 0)
			if list[1].Link != nil || list[1].Event.EventNumber != 1 || list[1].Event.StreamID != links {
				t.Errorf("%s: what is no link is read as %+v", name, list[1])
			}
		}
	})

	t.Run("the position is the link's", func(t *testing.T) {
		t.Parallel()
		target, links := newStream(), newStream()
		s.append(t, target, esdb.NoStream{}, event(`1`))
		at := s.append(t, links, esdb.NoStream{}, linkTo(0, target)).CommitPosition
		request := reading(links)
		request.Options.ResolveLinks = true
		answers, _, err := s.raw.read(t, request)
		if err != nil || len(answers) != 1 {
			t.Fatalf("read: %v, %v", answers, err)
		}
		e := answers[0].GetEvent()
		if e.GetCommitPosition() != at || e.GetLink().GetCommitPosition() != at {
			t.Errorf("position %d, link at %d, want %d", e.GetCommitPosition(), e.GetLink().GetCommitPosition(), at)
		}
	})

	t.Run("targets that are not there", func(t *testing.T) {
		t.Parallel()
		deleted, truncated, links := newStream(), newStream(), newStream()
		s.append(t, deleted, esdb.NoStream{}, event(`1`))
		s.delete(t, deleted, esdb.Any{})
		s.append(t, truncated, esdb.NoStream{}, events(3)...)
		s.setMetadata(t, truncated, `{"$tb":2}`)
		s.append(t, links, esdb.NoStream{},
			linkTo(0, newStream()), linkTo(0, deleted), linkTo(9, truncated), linkTo(0, truncated))
		for i, e := range s.read(t, links, resolving, all) {
			if e.Event != nil || e.Link == nil || e.OriginalEvent().StreamID != links {
				t.Errorf("link %d is read as %+v", i, e)
			}
		}
	})

	t.Run("a tombstoned target", func(t *testing.T) {
		t.Parallel()
		target, links := newStream(), newStream()
		s.append(t, target, esdb.NoStream{}, event(`1`))
		s.append(t, links, esdb.NoStream{}, linkTo(0, target))
		s.tombstone(t, target, esdb.Any{})
		list := s.read(t, links, resolving, all)
		if len(list) != 1 || list[0].Event != nil || list[0].Link == nil {
			t.Errorf("read as %+v", list)
		}
	})

	t.Run("links that cannot be read are left alone", func(t *testing.T) {
		t.Parallel()
		links := newStream()
		texts := []string{"", "no link", "x@stream", "1.5@stream", "@stream"}
		for _, text := range texts {
			s.append(t, links, esdb.Any{}, linkText(text))
		}
		list := s.read(t, links, resolving, all)
		if len(list) != len(texts) {
			t.Fatalf("read %d events of %d", len(list), len(texts))
		}
		for i, e := range list {
			if e.Link != nil || e.Event == nil || string(e.Event.Data) != texts[i] || e.Event.EventType != "$>" {
				t.Errorf("%q is read as %+v", texts[i], e)
			}
		}
	})

	t.Run("split at the first @", func(t *testing.T) {
		t.Parallel()
		target, links := fresh("5@at@"), newStream()
		sent := event(`1`)
		s.append(t, target, esdb.NoStream{}, sent)
		s.append(t, links, esdb.NoStream{}, linkTo(0, target))
		list := s.read(t, links, resolving, all)
		if len(list) != 1 {
			t.Fatalf("read %d events", len(list))
		}
		s.wantLink(t, list[0], links, 0, sent.EventID, target, 0)
	})

	t.Run("a link to a link is followed once", func(t *testing.T) {
		t.Parallel()
		target, first, second := newStream(), newStream(), newStream()
		s.append(t, target, esdb.NoStream{}, event(`1`))
		s.append(t, first, esdb.NoStream{}, linkTo(0, target))
		s.append(t, second, esdb.NoStream{}, linkTo(0, first))
		list := s.read(t, second, resolving, all)
		if len(list) != 1 || list[0].Link == nil || list[0].Event == nil || list[0].Event.StreamID != first || list[0].Event.EventType != "$>" {
			t.Errorf("read as %+v", list)
		}
	})

	t.Run("in $all and in subscriptions", func(t *testing.T) {
		t.Parallel()
		target, links, linkType := newStream(), newStream(), fresh("target")
		sent := typed(linkType, events(1))
		s.append(t, target, esdb.NoStream{}, sent...)
		s.append(t, links, esdb.NoStream{}, linkTo(0, target), event(`"own"`))
		begin := s.read(t, links, esdb.ReadStreamOptions{}, 1)[0].OriginalEvent().Position

		list := s.readAll(t, esdb.ReadAllOptions{From: begin, ResolveLinkTos: true}, 1)
		if len(list) != 1 {
			t.Fatalf("read %d events", len(list))
		}
		s.wantLink(t, list[0], links, 0, sent[0].EventID, target, 0)

		sub := s.toStream(t, links, esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
		s.wantLink(t, sub.event(t), links, 0, sent[0].EventID, target, 0)
		if e := sub.event(t); e.Link != nil || e.OriginalEvent().EventNumber != 1 {
			t.Errorf("what is no link is delivered as %+v", e)
		}
		s.append(t, links, esdb.Revision(1), linkTo(0, target))
		s.wantLink(t, sub.event(t), links, 2, sent[0].EventID, target, 0)

		// A filter sees the link, not what it points to.
		request := filtering(readingAll(begin, all), byStream(prefix(links)), 32)
		request.Options.ResolveLinks = true
		answers, _, err := s.raw.read(t, request)
		if err != nil || countEvents(answers) != 3 {
			t.Errorf("by the link's stream: %d events, %v", countEvents(answers), err)
		}
		request = filtering(readingAll(begin, all), byType(prefix(linkType)), 32)
		request.Options.ResolveLinks = true
		answers, _, err = s.raw.read(t, request)
		if err != nil || countEvents(answers) != 0 {
			t.Errorf("by the target's type: %d events, %v", countEvents(answers), err)
		}
	})
}

func countEvents(answers []*streams.ReadResp) int {
	n := 0
	for _, answer := range answers {
		if answer.GetEvent() != nil {
			n++
		}
	}
	return n
}

func (s *suite) wantLink(t *testing.T, got *esdb.ResolvedEvent, links string, at uint64, id uuid.UUID, target string, revision uint64) {
	t.Helper()
	if got.Link == nil || got.Event == nil {
		t.Errorf("%d of %s is no resolved link: %+v", at, links, got)
		return
	}
	if got.Link.StreamID != links || got.Link.EventNumber != at || got.Link.EventType != "$>" {
		t.Errorf("the link is %d of %s, want %d of %s", got.Link.EventNumber, got.Link.StreamID, at, links)
	}
	if got.Event.EventID != id || got.Event.StreamID != target || got.Event.EventNumber != revision {
		t.Errorf("the target is %d of %s, want %d of %s", got.Event.EventNumber, got.Event.StreamID, revision, target)
	}
}
