package readapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"annals/internal/apitest"
	"annals/readapi"
)

// goLive has a system tell of what comes, with streams that look often who they are for.
func goLive(t *testing.T, s *apitest.System, change ...func(*readapi.Live)) *apitest.System {
	t.Helper()
	hub := s.Reads.Follow(s.Log, s.Logs.Logger())
	s.Reads.Live.Trust, s.Reads.Live.Pace = 200*time.Millisecond, 50*time.Millisecond
	for _, f := range change {
		f(s.Reads.Live)
	}
	s.Serve(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// event is one that was received.
type event struct {
	name, id string
	data     apitest.Map
}

func (e event) text(name string) string { return fmt.Sprint(e.data[name]) }

// stream is what somebody receives, until they close it.
type stream struct {
	t      *testing.T
	events chan event
	beats  chan string // ids
	close  context.CancelFunc
	last   string
}

// open follows a stream.
func open(t *testing.T, u *apitest.User, path string, headers ...string) *stream {
	t.Helper()
	s, status, header := try(t, u, path, headers...)
	if status != http.StatusOK || header.Get("Content-Type") != "text/event-stream" || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d %v", path, status, header)
	}
	return s
}

func try(t *testing.T, u *apitest.User, path string, headers ...string) (s *stream, status int, header http.Header) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.Token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // read does
	if err != nil {
		t.Fatal(err)
	}
	s = &stream{t: t, events: make(chan event, 1000), beats: make(chan string, 1000), close: cancel}
	go s.read(res)
	return s, res.StatusCode, res.Header
}

// read reads as a browser does.
func (s *stream) read(res *http.Response) {
	defer close(s.events)
	defer func() { _ = res.Body.Close() }()
	var e event
	var id, data string
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			e.name = value
		case "data":
			data = value
		case "":
			if value == "beat" {
				s.beats <- id
				continue
			}
			if data != "" {
				e.id = id
				_ = json.Unmarshal([]byte(data), &e.data)
				s.events <- e
			}
			e, data = event{}, ""
		}
	}
}

// next is the next event.
func (s *stream) next() event {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			s.t.Fatal("the stream has ended")
		}
		s.last = e.id
		return e
	case <-time.After(20 * time.Second):
		s.t.Fatal("nothing comes")
	}
	return event{}
}

// ended waits for the end of the stream.
func (s *stream) ended() {
	s.t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case _, ok := <-s.events:
			if !ok {
				return
			}
		case <-deadline:
			s.t.Fatal("the stream does not end")
		}
	}
}

// office is a project with two desks, and people on them.
type office struct {
	*apitest.System
	admin, ann, bob *apitest.User // Ann and Bob are agents on desks of their own
	project         string
	north, south    string
	head            *apitest.User // of the north desk
}

func newOffice(t *testing.T, change ...func(*readapi.Live)) *office {
	t.Helper()
	t.Parallel()
	o := &office{System: goLive(t, apitest.Shared(t).Again(t), change...)}
	o.admin = o.Admin(t)
	o.project = o.admin.Project(t, "Retail")
	o.north, o.south = o.admin.Desk(t, o.project, "North"), o.admin.Desk(t, o.project, "South")
	o.ann = o.admin.Employee(t, "Ann", []string{o.project}, []string{o.north})
	o.bob = o.admin.Employee(t, "Bob", []string{o.project}, []string{o.south})
	o.head = o.admin.EmployeeAs(t, "Hera", []string{"desk_manager"}, []string{o.project}, []string{o.north})
	return o
}

// client is one of Ann's.
func (o *office) client(t *testing.T, name string) string {
	t.Helper()
	return o.admin.Client(t, o.project, name, apitest.Map{"desk_id": o.north, "manager_id": o.ann.ID})
}

const clientsStream, inboxStream = "/api/v1/clients/stream", "/api/v1/notifications/stream"

func TestStreamOfClients(t *testing.T) {
	o := newOffice(t)
	anns, heads, bobs := open(t, o.ann, clientsStream), open(t, o.head, clientsStream), open(t, o.bob, clientsStream)
	frida := o.client(t, "Frida")
	for _, s := range []*stream{anns, heads} {
		e := s.next()
		if e.name != "client" || e.text("id") != frida || e.text("kind") != "changed" || e.id != e.text("position") || e.text("revision") != "0" || fmt.Sprint(e.data["what"]) != "[client.registered]" {
			t.Fatalf("%+v", e)
		}
	}
	// What is told is there to be read, and what belongs to a client is told of, too.
	o.admin.Patch(t, "/api/v1/clients/"+frida, apitest.Map{"last_name": "Freya"}).Want(t, 200)
	anns.next()
	o.ann.After = ""
	if got := o.ann.Get(t, "/api/v1/clients/"+frida).Want(t, 200).Text("last_name"); got != "Freya" {
		t.Errorf("told before it can be read: %s", got)
	}
	heads.next()
	o.admin.Create(t, "/api/v1/clients/"+frida+"/notes", apitest.Map{"text": "Hello"})
	if e := anns.next(); e.text("id") != frida || fmt.Sprint(e.data["what"]) != "[note.added]" || e.data["revision"] != nil {
		t.Errorf("%+v", e)
	}
	heads.next()
	// Who loses sight of it is told that it is gone, and whose it is now, that it changed.
	o.admin.Post(t, "/api/v1/clients/"+frida+"/assign", apitest.Map{"desk_id": o.south, "manager_id": o.bob.ID}).Want(t, 200)
	for _, s := range []*stream{anns, heads} {
		if e := s.next(); e.text("id") != frida || e.text("kind") != "gone" || e.data["what"] != nil || e.data["revision"] != nil {
			t.Errorf("%+v", e)
		}
	}
	if e := bobs.next(); e.text("id") != frida || e.text("kind") != "changed" {
		t.Errorf("%+v: the first that Bob is told", e)
	}
	// From then on they are told nothing of it.
	o.admin.Patch(t, "/api/v1/clients/"+frida, apitest.Map{"last_name": "Secret"}).Want(t, 200)
	bobs.next()
	gerd := o.client(t, "Gerd")
	if e := anns.next(); e.text("id") != gerd {
		t.Errorf("%+v", e)
	}
}

// Where somebody comes back, they are told what they have missed, once, by any process;
// of what is too long ago, that they have to read everything again.
func TestStreamOfClientsGoesOn(t *testing.T) {
	o := newOffice(t)
	other := goLive(t, o.Again(t))
	anns := open(t, o.ann, clientsStream)
	first := o.client(t, "First")
	anns.next()
	last := anns.last
	anns.close()
	var missed []string
	for i := range 5 {
		missed = append(missed, o.client(t, fmt.Sprint("Missed ", i)))
	}
	for _, s := range []*apitest.System{o.System, other} {
		again := open(t, o.ann.At(s), clientsStream, "Last-Event-ID", last)
		at := last
		for _, id := range missed {
			e := again.next()
			if e.name != "client" || e.text("id") != id || len(e.id) < len(at) || e.id <= at && len(e.id) == len(at) {
				t.Errorf("%+v, want %s after %s", e, id, at)
			}
			at = e.id
		}
		// As it begins, without an event.
		from := open(t, o.ann.At(s), clientsStream+"?after="+at)
		o.admin.Patch(t, "/api/v1/clients/"+first, apitest.Map{"last_name": fmt.Sprint("Last ", at)}).Want(t, 200)
		for _, s := range []*stream{again, from} {
			if e := s.next(); e.text("id") != first {
				t.Errorf("%+v", e)
			}
		}
		if e := open(t, o.ann.At(s), clientsStream, "Last-Event-ID", "1").next(); e.name != "reset" || e.id == "" {
			t.Errorf("%+v", e)
		}
	}
	o.ann.Get(t, clientsStream, "Last-Event-ID", "x").Problem(t, 422, "invalid", "Last-Event-ID")
	o.ann.Get(t, clientsStream+"?after=x").Problem(t, 422, "invalid", "after")
}

// What somebody may is found out again and again: with other rights everything is read
// anew, and without any there is no stream.
func TestStreamsEndWithTheSession(t *testing.T) {
	o := newOffice(t)
	anns, inbox := open(t, o.ann, clientsStream), open(t, o.ann, inboxStream)
	o.admin.Assign(t, o.ann.ID, []string{o.project}, []string{o.north, o.south})
	if e := anns.next(); e.name != "reset" {
		t.Errorf("%+v", e)
	}
	o.ann.Do(t, "DELETE", "/api/v1/session", nil).Want(t, 204)
	anns.ended()
	inbox.ended()
	heads := open(t, o.head, clientsStream)
	o.admin.Post(t, "/api/v1/employees/"+o.head.ID+"/deactivate", apitest.Map{}).Want(t, 200)
	heads.ended()
	bobs := open(t, o.bob, clientsStream)
	o.admin.Post(t, "/api/v1/employees/"+o.bob.ID+"/roles", apitest.Map{"roles": []string{}}).Want(t, 200)
	bobs.ended()
}

func TestStreamsBeat(t *testing.T) {
	o := newOffice(t, func(l *readapi.Live) { l.Quiet = 20 * time.Millisecond })
	bobs, inbox := open(t, o.bob, clientsStream), open(t, o.bob, inboxStream)
	frida := o.client(t, "Frida")
	at := o.admin.Get(t, "/api/v1/clients/"+frida).Header.Get("Annals-Position")
	for id := ""; len(id) < len(at) || len(id) == len(at) && id < at; { // up to where nothing concerned Bob
		select {
		case id = <-bobs.beats:
		case <-time.After(20 * time.Second):
			t.Fatalf("no beat with %s", at)
		}
	}
	select {
	case <-inbox.beats:
	case <-time.After(20 * time.Second):
		t.Fatal("no beat")
	}
}

func TestStreamsAreLimited(t *testing.T) {
	o := newOffice(t, func(l *readapi.Live) { l.EachMost, l.AllMost = 2, 3 })
	a, b := open(t, o.ann, clientsStream), open(t, o.ann, inboxStream)
	o.ann.Get(t, clientsStream).Problem(t, 429, "streams")
	open(t, o.bob, clientsStream)
	o.head.Get(t, clientsStream).Problem(t, 503, "streams")
	a.close()
	b.close()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		s, status, _ := try(t, o.head, clientsStream)
		s.close()
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("streams that were closed still count")
		}
	}
}

// Many changes at once are told as one, and nothing stays behind when streams end.
func TestManyStreams(t *testing.T) {
	o := newOffice(t, func(l *readapi.Live) { l.EachMost = 1000 })
	var all []*stream
	for range 40 {
		all = append(all, open(t, o.ann, clientsStream), open(t, o.ann, inboxStream))
	}
	var ids []string
	for i := range 30 {
		ids = append(ids, o.client(t, fmt.Sprint("C", i)))
	}
	for i, s := range all {
		var got []string
		for len(got) < len(ids) {
			e := s.next()
			if i%2 == 0 {
				got = append(got, e.text("id"))
			} else {
				got = append(got, e.data["client"].(apitest.Map)["id"].(string))
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("stream %d: %v, want %v", i, got, ids)
		}
		s.close()
		s.ended()
	}
	for deadline := time.Now().Add(20 * time.Second); o.Reads.Live.Streams() > 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are left behind", o.Reads.Live.Streams())
		}
	}
}
