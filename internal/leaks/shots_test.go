package leaks_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/google/uuid"

	"annals/internal/eventlog"
)

// shot is a command that is tried, and how it has to end.
type shot struct {
	route  string
	id     id // of the target; none where there is none
	item   id // of what belongs to it
	query  string
	body   any
	raw    string // or the bytes of a file
	want   int
	code   string // of a refusal, where it matters
	stream string // that the command is about, if there is one already
	idle   bool   // it changes nothing, or perhaps not

	elsewhere bool // they see the target, and the item is another's
	hides     id   // that the body names: the refusal is as if it were not there
}

// fire tries a command, and says whether it was carried out.
func (a *asker) fire(s shot) (answer, bool) {
	a.Helper()
	body := ""
	if s.body != nil {
		raw, err := json.Marshal(s.body)
		if err != nil {
			a.Fatal(err)
		}
		body = string(raw)
	}
	before := a.w.head(a.T)
	r := a.send(s, s.id, s.item, body)
	a.w.asked++
	a.w.tally[r.status]++
	done := r.status < 300
	switch {
	case r.status != s.want || !done && s.code != "" && r.code() != s.code:
		a.wrong(r.request, "want %d %s, got %d %s", s.want, s.code, r.status, r.body)
	case r.status == http.StatusNotFound && s.code == "":
		n := uuid.New()
		if s.elsewhere {
			n = s.id
		}
		absent := a.send(s, n, uuid.New(), body)
		if absent.status != r.status || !bytes.Equal(absent.body, r.body) {
			a.wrong(r.request, "they do not see it: want %d %s\ngot %s", absent.status, absent.body, r.body)
		}
	case s.hides != none:
		other := uuid.New()
		absent := a.send(s, s.id, s.item, strings.ReplaceAll(body, s.hides.String(), other.String()))
		if text := strings.ReplaceAll(string(absent.body), other.String(), s.hides.String()); absent.status != r.status || text != string(r.body) {
			a.wrong(r.request, "they do not see %s: want %d %s\ngot %s", s.hides, absent.status, text, r.body)
		}
	}
	if after := a.w.head(a.T); !done && after != before {
		a.wrong(r.request, "it was refused with %d, and the log went from %s to %s", r.status, before, after)
	} else if done && !s.idle && after == before && strings.HasPrefix(r.request, "POST /api/v1/clients") {
		a.wrong(r.request, "it was answered %d, and nothing is in the log", r.status)
	}
	if !done {
		a.noneHidden(r)
	}
	if s.stream != "" {
		a.changed(s, r, done)
	}
	return r, done && r.status == s.want
}

// send sends a command to a target, and an item of it.
func (a *asker) send(s shot, n, item id, body string) answer {
	a.Helper()
	method, _, _ := cut(s.route)
	path := at(s.route, n, item) + s.query
	if s.raw == "" {
		rec := send(a.T, a.to, method, path, a.tokens[a.who], body)
		return answer{method + " " + path + " " + body, rec.Code, rec.Header(), rec.Body.Bytes()}
	}
	req := httptest.NewRequestWithContext(a.Context(), method, path, strings.NewReader(s.raw))
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Authorization", "Bearer "+a.tokens[a.who])
	rec := httptest.NewRecorder()
	a.to.ServeHTTP(rec, req)
	return answer{method + " " + path, rec.Code, rec.Header(), rec.Body.Bytes()}
}

// changed looks into the log for what a command has done.
func (a *asker) changed(s shot, r answer, done bool) {
	a.Helper()
	before := a.end(s.stream)
	last := a.readOn(s.stream)
	switch {
	case !done && last != before:
		a.wrong(r.request, "it was refused with %d, and has changed %s from revision %d to %d", r.status, s.stream, before, last)
	case done && last == before && !s.idle:
		a.wrong(r.request, "it was answered %d, and has changed nothing", r.status)
	}
}

// end is the last revision of a stream that we know of. Some are of all organisations.
func (o *org) end(stream string) eventlog.Revision {
	last, ok := o.ends[stream]
	if o.w.registries[stream] {
		last, ok = o.w.ends[stream]
	}
	if ok {
		return last
	}
	return eventlog.NoStream
}

func (o *org) ended(stream string, at eventlog.Revision) {
	if o.w.registries[stream] {
		o.w.ends[stream] = at
		return
	}
	o.ends[stream] = at
}

// readOn is the last revision that there is.
func (a *asker) readOn(stream string) eventlog.Revision {
	a.Helper()
	last := a.end(stream)
	for rec, err := range a.w.s.Log.Read(a.Context(), stream, last+1) {
		if err != nil {
			a.Fatal(err)
		}
		last = rec.Revision
	}
	a.ended(stream, last)
	return last
}

// made is the id of what a command has made.
func made(r answer) id { return parse(field(r.json(), "id")) }
