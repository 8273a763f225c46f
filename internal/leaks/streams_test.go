package leaks_test

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"annals/internal/apitest"
)

// sent is an event that a stream has sent.
type sent struct {
	name, id string
	data     apitest.Map
}

// watcher is somebody who follows streams.
type watcher struct {
	*asker
	clients, inbox <-chan sent
}

// Who follows the streams is told of what changes about the clients that they see, and
// of no others; and of a client just lost, that it is gone. What they are notified of
// comes as it does, unless it is about a client that they do not see.
func TestStreams(t *testing.T) {
	t.Parallel()
	p := planned(t, 4, 200)
	w := newWorld(t)
	hub := w.s.Reads.Follow(w.s.Log, w.s.Logs.Logger())
	live := w.s.Reads.Live
	live.Quiet, live.Trust, live.Pace = 50*time.Millisecond, 10*time.Second, 4*time.Millisecond
	w.s.Serve(t)
	n := min(p.n, 4)
	for i := range n {
		w.add(t, p.seed, i, false, true)
	}
	w.settle(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	orgs := w.orgs[:n]
	var all []*watcher
	start, told := w.head(t), 0
	for i := range 12 * n {
		if i%8 == 0 {
			for _, o := range orgs {
				all = o.join(ctx, t, all)
			}
		}
		o := pick(orgs[0].rnd, orgs)
		all = o.stepWatched(t, all, &told)
	}
	for _, x := range all {
		x.resume(ctx, start)
	}
	t.Logf("%d watchers were told of %d changes", len(all), told)
	if told == 0 && n >= 4 {
		t.Error("nobody was told of anything: the test has hardly tested anything")
	}
}

// join has those follow who can, and do not yet.
func (o *org) join(ctx context.Context, t *testing.T, all []*watcher) []*watcher {
	t.Helper()
	for _, who := range append(sorted(o.now.people), sorted(o.now.keys)...) {
		if o.dead(who) || slices.ContainsFunc(all, func(x *watcher) bool { return x.who == who }) {
			continue
		}
		if _, key := o.now.keys[who]; !key {
			o.session(t, who) //nolint:contextcheck // the test's
		}
		if x := o.watch(ctx, t, who); x != nil {
			all = append(all, x)
		}
	}
	return all
}

// watch opens the streams of somebody, who may have none.
func (o *org) watch(ctx context.Context, t *testing.T, who id) *watcher {
	t.Helper()
	x := &watcher{asker: o.asker(t, who, o.w.s.Router)}
	var status int
	x.clients, status = x.follow(ctx, "/api/v1/clients/stream")
	if want := whether(x.v.rights["clients.view"] > nothing, http.StatusOK); status != want {
		x.wrong("GET /api/v1/clients/stream", "want %d, got %d", want, status)
	}
	inbox, status2 := x.follow(ctx, "/api/v1/notifications/stream")
	if want := whether(x.v.me != none, http.StatusOK); status2 != want {
		x.wrong("GET /api/v1/notifications/stream", "want %d, got %d", want, status2)
	}
	if x.inbox = inbox; status != http.StatusOK {
		return nil
	}
	return x
}

// follow reads a stream as a browser does; a beat comes as an event without a name.
func (x *watcher) follow(ctx context.Context, path string) (<-chan sent, int) {
	x.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.w.s.URL+path, nil)
	if err != nil {
		x.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+x.tokens[x.who])
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // whoever reads it does
	if err != nil {
		x.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, res.StatusCode
	}
	out := make(chan sent, 10_000)
	go func() {
		defer close(out)
		defer func() { _ = res.Body.Close() }()
		var e sent
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			switch name, value, _ := strings.Cut(lines.Text(), ":"); name {
			case "id":
				e.id = strings.TrimSpace(value)
			case "event":
				e.name = strings.TrimSpace(value)
			case "data":
				_ = json.Unmarshal([]byte(value), &e.data)
			case "":
				if strings.TrimSpace(value) == "beat" || e.name != "" {
					out <- e
				}
				if value == "" {
					e = sent{}
				}
			}
		}
	}()
	return out, res.StatusCode
}

// until collects what the stream of clients sends until it has told all up to a
// position. Ended says that it has ended instead.
func (x *watcher) until(stream <-chan sent, head string) (got map[string]string, reset, ended bool) {
	x.Helper()
	want, err := position(head)
	if err != nil {
		x.Fatal(err)
	}
	got = map[string]string{}
	for deadline := time.After(60 * time.Second); ; {
		select {
		case e, ok := <-stream:
			switch at, _ := strconv.ParseInt(e.id, 10, 64); {
			case !ok:
				return got, reset, true
			case e.name == "reset":
				reset = true
			case e.name == "client":
				got[text(e.data["id"])] = text(e.data["kind"])
			case at >= want:
				return got, reset, false
			}
		case <-deadline:
			x.Fatalf("organisation %s: the stream does not come to %s", x.name, head)
		}
	}
}

// stepWatched changes something in an organisation, and holds what everybody is told
// against what they see.
func (o *org) stepWatched(t *testing.T, all []*watcher, told *int) (left []*watcher) {
	t.Helper()
	places, stories, notices := map[id]place{}, map[id]int{}, map[id]int{}
	for n, c := range o.now.clients {
		places[n], stories[n] = c.place, len(o.stories[n])
	}
	for n, list := range o.told {
		notices[n] = len(list)
	}
	before := o.ofInterest()
	if o.clock = o.w.s.Clock.Now(); o.chance(60) {
		o.step(t)
	} else {
		o.thingStep(t)
	}
	o.keep()
	head := o.w.head(t)
	if o.ofInterest() == before {
		return all // no stream moves on for it
	}
	for _, x := range all {
		was := x.v
		x.look()
		got, reset, ended := x.until(x.clients, head)
		if dead := x.dead(x.who) || x.v.rights["clients.view"] == nothing; ended || dead {
			if ended != dead {
				x.wrong("GET /api/v1/clients/stream", "has it ended: %v, and should have: %v", ended, dead)
			}
			continue
		}
		left = append(left, x)
		if changed := !maps.Equal(was.rights, x.v.rights) || !maps.Equal(was.projects, x.v.projects) || !maps.Equal(was.desks, x.v.desks); changed != reset {
			x.wrong("GET /api/v1/clients/stream", "was everything to be read again: want %v, got %v", changed, reset)
		}
		want := map[string]string{}
		for n, c := range o.now.clients {
			switch {
			case len(o.stories[n]) == stories[n] || reset:
			case x.v.sees(c.place):
				want[n.String()] = "changed"
			case places[n] != c.place && x.v.sees(places[n]):
				want[n.String()] = "gone"
			}
		}
		*told += len(got)
		x.compare("GET /api/v1/clients/stream at "+head, want, got)
		if x.org == o && x.inbox != nil {
			x.notified(o.told[x.who][notices[x.who]:])
		}
	}
	return left
}

// ofInterest counts what happened to clients, to what belongs to them, and to who sees them.
func (o *org) ofInterest() (n int) {
	for of, events := range o.events {
		_, client := o.now.clients[of]
		_, person := o.now.people[of]
		_, role := o.now.roles[of]
		if _, thing := o.things[of]; client || person || role || thing {
			n += len(events)
		}
	}
	return n
}

// notified waits for what has to be told, and holds what was told against it.
func (x *watcher) notified(news []notice) {
	x.Helper()
	want := set{}
	for _, n := range news {
		if n.client == none || x.v.sees(x.now.clients[n.client].place) {
			want[n.item] = true
		}
	}
	for deadline := time.After(2 * time.Minute); ; {
		select {
		case e, ok := <-x.inbox:
			if !ok {
				x.wrong("GET /api/v1/notifications/stream", "it has ended")
				return
			}
			if e.name != "notification" {
				if len(want) == 0 {
					return
				}
				continue
			}
			item := parse(field(e.data, "about", "id"))
			if !slices.ContainsFunc(x.told[x.who], func(n notice) bool { return n.item == item }) {
				x.wrong("GET /api/v1/notifications/stream", "told of %s, which is none of theirs", item)
			}
			if c := field(e.data, "client", "id"); c != "" && slices.Contains(x.hidden, c) {
				x.wrong("GET /api/v1/notifications/stream", "told of client %s, of which they may not know", c)
			}
			delete(want, item)
		case <-deadline:
			x.wrong("GET /api/v1/notifications/stream", "not told of %v", sorted(want))
			return
		}
	}
}

// resume follows the stream from where all of it began: what was told then is not told
// to who has never seen it.
func (x *watcher) resume(ctx context.Context, start string) {
	x.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path := "/api/v1/clients/stream?after=" + start
	stream, _ := x.follow(ctx, path)
	if stream == nil {
		x.wrong("GET "+path, "nothing comes")
		return
	}
	got, _, _ := x.until(stream, x.w.head(x.T)) //nolint:contextcheck // the test's
	for _, o := range x.w.orgs {
		for n := range o.now.clients {
			kind := got[n.String()]
			if kind == "changed" && !x.v.sees(o.now.clients[n].place) || kind == "gone" && !x.saw(o, n) {
				x.wrong("GET "+path, "told that %s is %s, which they do not see", n, kind)
			}
		}
	}
}

// saw says whether somebody has ever seen a client.
func (x *watcher) saw(o *org, n id) bool {
	return slices.ContainsFunc(o.past, func(m moment) bool {
		c, there := m.clients[n]
		return there && x.at(m.at).viewer(x.who).sees(c.place)
	})
}
