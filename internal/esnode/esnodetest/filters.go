package esnodetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

func testFilters(t *testing.T, s *suite) {
	t.Helper()

	t.Run("by everything there is", func(t *testing.T) {
		t.Parallel()
		from := s.end(t)
		mine := fresh("filter")
		write := func(stream, eventType string) {
			s.append(t, mine+stream, esdb.Any{}, typed(mine+eventType, events(1))...)
		}
		write("-a", ".red")
		write("-b", ".green")
		write("-a", ".blue")
		write("-c", ".red")
		write("-A", ".RED")
		s.append(t, "$"+mine, esdb.Any{}, typed("$"+mine, events(1))...)
		quoted := strings.ReplaceAll(mine, "-", `\-`)

		for name, row := range map[string]struct {
			filter *streams.ReadReq_Options_FilterOptions
			want   string // streams and types without what all have in common
		}{
			"a stream's prefix":          {byStream(prefix(mine + "-a")), "-a.red -a.blue"},
			"prefixes of streams":        {byStream(prefix(mine+"-a", mine+"-c")), "-a.red -a.blue -c.red"},
			"a common prefix of streams": {byStream(prefix(mine)), "-a.red -b.green -a.blue -c.red -A.RED"},
			"a type's prefix":            {byType(prefix(mine + ".r")), "-a.red -c.red"},
			"prefixes of types":          {byType(prefix(mine+".g", mine+".b")), "-b.green -a.blue"},
			"a prefix of none":           {byType(prefix(mine + ".x")), ""},
			"a regex on streams":         {byStream(regex("^" + quoted + "-[ac]$")), "-a.red -a.blue -c.red"},
			"a regex on types":           {byType(regex("^" + quoted + `\.(red|green)$`)), "-a.red -b.green -c.red"},
			"a regex that looks ahead":   {byType(regex("^" + quoted + `\.(?!red|RED)`)), "-b.green -a.blue"},
			"a regex that looks back":    {byStream(regex("^" + quoted + `-[aA](?<!a)$`)), "-A.RED"},
			"a regex with an inner flag": {byType(regex("^" + quoted + `\.(?i)red$`)), "-a.red -c.red -A.RED"},
			"a regex with a reference":   {byType(regex("^" + quoted + `\.gr(.)\1n$`)), "-b.green"},
			"a regex anywhere":           {byType(regex(quoted + `\.re`)), "-a.red -c.red"},
			"a regex beats prefixes": {byType(&streams.ReadReq_Options_FilterOptions_Expression{
				Regex: "^" + quoted + `\.green`, Prefix: []string{mine + ".red"},
			}), "-b.green"},
			"a system stream":       {byStream(prefix("$" + mine)), "$$"},
			"a system type's regex": {byType(regex(`^\$` + quoted)), "$$"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				short := func(r *streams.ReadResp_ReadEvent_RecordedEvent) string {
					text := string(r.GetStreamIdentifier().GetStreamName()) + r.GetMetadata()["type"]
					return strings.ReplaceAll(text, mine, "")
				}
				collect := func(answers []*streams.ReadResp) []string {
					var list []string
					for _, answer := range answers {
						if e := answer.GetEvent(); e != nil {
							list = append(list, short(e.GetEvent()))
						}
					}
					return list
				}
				answers, _, err := s.raw.read(t, filtering(readingAll(from, all), row.filter, 32))
				if err != nil {
					t.Fatalf("read forwards: %v", err)
				}
				if got := strings.Join(collect(answers), " "); got != row.want {
					t.Errorf("forwards %q, want %q", got, row.want)
				}
				answers, _, err = s.raw.read(t, filtering(backwards(readingAll(s.end(t), all)), row.filter, 32))
				if err != nil {
					t.Fatalf("read backwards: %v", err)
				}
				list := collect(answers)
				slices.Reverse(list)
				if got := strings.Join(list, " "); got != row.want {
					t.Errorf("backwards %q, want %q", got, row.want)
				}

				call := s.raw.subscribe(t, filtering(subscribing(readingAll(from, all)), row.filter, 32))
				list = nil
				for {
					answer, err := call.Recv()
					if err != nil {
						t.Fatalf("subscription: %v", err)
					}
					if e := answer.GetEvent(); e != nil {
						list = append(list, short(e.GetEvent()))
					}
					if answer.GetCaughtUp() != nil {
						break
					}
				}
				if got := strings.Join(list, " "); got != row.want {
					t.Errorf("subscription %q, want %q", got, row.want)
				}
			})
		}
	})

	t.Run("a regex knows letters outside ASCII", func(t *testing.T) {
		t.Parallel()
		from, mine := s.end(t), strings.ReplaceAll(fresh("letters"), "-", "")
		s.append(t, newStream(), esdb.NoStream{}, typed(mine+"grün", events(1))...)
		s.append(t, newStream(), esdb.NoStream{}, typed(mine+"grün!", events(1))...)
		answers, _, err := s.raw.read(t, filtering(readingAll(from, all), byType(regex("^"+mine+`\w+$`)), 32))
		if err != nil || countEvents(answers) != 1 {
			t.Errorf("%d events, %v, want 1", countEvents(answers), err)
		}
	})

	t.Run("a count of matches", func(t *testing.T) {
		t.Parallel()
		from, mine := s.end(t), fresh("counted")
		for range 5 {
			s.append(t, newStream(), esdb.NoStream{}, events(40)...)
			s.append(t, newStream(), esdb.NoStream{}, typed(mine, events(2))...)
		}
		answers, _, err := s.raw.read(t, filtering(readingAll(from, 7), byType(prefix(mine)), 32))
		if err != nil || countEvents(answers) != 7 {
			t.Errorf("%d events, %v, want 7", countEvents(answers), err)
		}
		request := filtering(backwards(readingAll(s.end(t), 3)), byType(prefix(mine)), 1)
		request.Options.GetFilter().Window = &streams.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}}
		answers, _, err = s.raw.read(t, request)
		if err != nil || countEvents(answers) != 3 {
			t.Errorf("%d events backwards, %v, want 3", countEvents(answers), err)
		}
	})

	t.Run("the official client's own", func(t *testing.T) {
		t.Parallel()
		from, stream := s.end(t), newStream()
		s.setMetadata(t, stream, `{"custom":1}`)
		s.append(t, stream, esdb.NoStream{}, events(3)...)
		sub := s.toAll(t, esdb.SubscribeToAllOptions{From: from, Filter: esdb.ExcludeSystemEventsFilter()})
		for n := 0; n < 3; {
			got := sub.event(t).OriginalEvent()
			if strings.HasPrefix(got.EventType, "$") {
				t.Fatalf("got a %q", got.EventType)
			}
			if got.StreamID == stream {
				n++
			}
		}
	})

	t.Run("live", func(t *testing.T) {
		t.Parallel()
		mine := fresh("live")
		sub := s.toAll(t, esdb.SubscribeToAllOptions{
			From:   s.end(t),
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{mine}},
		})
		sub.wantCaughtUp(t)
		stream := newStream()
		for n := range uint64(10) {
			s.append(t, stream+"-noise", esdb.Any{}, events(5)...)
			s.append(t, stream, esdb.Any{}, typed(mine, events(1))...)
			sub.wantEvents(t, n, n)
		}
	})

	t.Run("checkpoints", func(t *testing.T) {
		t.Parallel()
		from, mine, noise := s.end(t), fresh("checked"), newStream()
		want := map[esdb.Position]bool{} // what must have come before a checkpoint at or behind it
		write := func() {
			s.append(t, noise, esdb.Any{}, events(50)...)
			result := s.append(t, mine, esdb.Any{}, typed(mine, events(1))...)
			want[esdb.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition}] = true
		}
		for range 6 {
			write()
		}
		sub := s.toAll(t, esdb.SubscribeToAllOptions{
			From: from, MaxSearchWindow: 8, CheckpointInterval: 2,
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{mine}},
		})
		last, checkpoints := from, 0
		// take reads until done, holding every checkpoint against what was delivered.
		take := func(done func(*esdb.SubscriptionEvent) bool) {
			t.Helper()
			for {
				message := sub.next(t)
				if e := message.EventAppeared; e != nil {
					if !want[e.OriginalEvent().Position] {
						t.Fatalf("event at %v comes twice or was never asked for", e.OriginalEvent().Position)
					}
					delete(want, e.OriginalEvent().Position)
				}
				if at := message.CheckPointReached; at != nil {
					checkpoints++
					if at.Commit <= last.Commit || at.Commit != at.Prepare {
						t.Errorf("checkpoint %v after %v", at, last)
					}
					last = *at
					for position := range want {
						if position.Commit <= at.Commit {
							t.Errorf("checkpoint %v, but the event at %v was not delivered", at, position)
						}
					}
				}
				if done(message) {
					return
				}
			}
		}
		take(func(m *esdb.SubscriptionEvent) bool { return m.CaughtUp != nil })
		if len(want) > 0 {
			t.Fatalf("caught up without %d events", len(want))
		}
		// 306 events were considered at least, 16 to a checkpoint.
		if checkpoints < 306/16-1 {
			t.Errorf("%d checkpoints on the way", checkpoints)
		}
		before := checkpoints
		for range 3 {
			write()
		}
		take(func(*esdb.SubscriptionEvent) bool { return len(want) == 0 && checkpoints >= before+3 })

		// A subscription that begins at a checkpoint goes on from there.
		result := s.append(t, mine, esdb.Any{}, typed(mine, events(1))...)
		again := s.toAll(t, esdb.SubscribeToAllOptions{
			From: last, Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{mine}},
		})
		for seen := last; seen.Commit < result.CommitPosition; {
			got := again.event(t).OriginalEvent()
			if got.Position.Commit <= seen.Commit {
				t.Fatalf("from the checkpoint %v comes the event at %v", last, got.Position)
			}
			seen = got.Position
		}
		again.wantCaughtUp(t)
	})

	t.Run("a checkpoint where nothing matches", func(t *testing.T) {
		t.Parallel()
		from := s.end(t)
		s.append(t, newStream(), esdb.NoStream{}, events(40)...)
		sub := s.toAll(t, esdb.SubscribeToAllOptions{
			From:   from,
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{fresh("nothing")}},
		})
		checkpoint := esdb.Position{}
		for {
			message := sub.next(t)
			if message.CheckPointReached != nil {
				checkpoint = *message.CheckPointReached
			}
			if message.CaughtUp != nil {
				break
			}
		}
		if checkpoint.Commit <= from.Commit {
			t.Errorf("caught up with the checkpoint %v, having begun at %v", checkpoint, from)
		}
	})

	t.Run("an interval of nothing is refused", func(t *testing.T) {
		t.Parallel()
		request := filtering(subscribing(readingAll(s.end(t), all)), byType(prefix("x")), 32)
		request.Options.GetFilter().CheckpointIntervalMultiplier = 0
		_, _, err := s.raw.read(t, request)
		wantStatus(t, err, codes.InvalidArgument, codes.Unknown)
	})

	t.Run("a broken expression is refused", func(t *testing.T) {
		t.Parallel()
		for _, expression := range []string{`(`, `[a`, `*`} {
			_, _, err := s.raw.read(t, filtering(subscribing(readingAll(s.end(t), all)), byType(regex(expression)), 32))
			wantStatus(t, err, codes.InvalidArgument, codes.Unknown)
		}
	})
}
