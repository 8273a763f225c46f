package csvimport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"annals/internal/csvimport"
)

// wire carries requests to the API without a network, so that time can be the
// bubble's. What breaks on the way, before says.
type wire struct {
	api    *api
	before func(n int64, r *http.Request) error
	after  func(n int64) error
	n      atomic.Int64
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	n := w.n.Add(1)
	if w.before != nil {
		if err := w.before(n, r); err != nil {
			return nil, err
		}
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	if w.after != nil {
		if err := w.after(n); err != nil {
			return nil, err
		}
	}
	return rec.Result(), nil
}

// imports runs text through the wire and returns how long it took.
func (w *wire) imports(t *testing.T, text string) (csvimport.Summary, []string, time.Duration, error) {
	t.Helper()
	var told []string
	o := csvimport.Options{
		Project: project, Concurrency: 4,
		Rejected: func(r csvimport.Reject) { told = append(told, r.String()) },
	}
	began := time.Now()
	sum, err := csvimport.Run(t.Context(), strings.NewReader(text), csvimport.Client{URL: "http://annals.test/", Token: token, HTTP: w}, o)
	return sum, told, time.Since(began), err
}

func companies(n int) string {
	var b strings.Builder
	b.WriteString("company\n")
	for i := range n {
		fmt.Fprintf(&b, "Company %d\n", i)
	}
	return b.String()
}

func offline() *wire { return &wire{api: &api{done: map[string]bool{}}} }

func TestServerFailsAtTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		w.before = func(n int64, r *http.Request) error {
			switch n % 10 {
			case 2:
				return syscall.ECONNREFUSED
			case 5:
				return io.ErrUnexpectedEOF
			case 8: // no answer
				<-r.Context().Done()
				return r.Context().Err()
			}
			return nil
		}
		var failed atomic.Int64
		w.api.before = func(rw http.ResponseWriter, r *http.Request) bool {
			if failed.Add(1)%7 == 0 {
				problem(rw, http.StatusServiceUnavailable, "starting")
				return true
			}
			return false
		}
		sum, rejects, _, err := w.imports(t, companies(200))
		if want := (csvimport.Summary{Rows: 200, Registered: 200}); err != nil || sum != want {
			t.Errorf("got %+v, %v, %v", sum, rejects, err)
		}
		if len(w.api.accepted) != 200 {
			t.Errorf("%d were registered", len(w.api.accepted))
		}
	})
}

func TestAnswersGetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		w.after = func(n int64) error {
			if n%4 == 0 {
				return syscall.ECONNRESET
			}
			return nil
		}
		sum, _, _, err := w.imports(t, companies(60))
		if err != nil || sum.Registered+sum.Unchanged != 60 || sum.Unchanged == 0 {
			t.Errorf("got %+v, %v", sum, err)
		}
		if len(w.api.accepted) != 60 {
			t.Errorf("%d were registered", len(w.api.accepted))
		}
	})
}

func TestOutage(t *testing.T) {
	for name, c := range map[string]struct {
		from, to time.Duration // nothing is answered in between
		fails    time.Duration // after the start; 0: not at all
		err      string
	}{
		"short": {from: 0, to: 10 * time.Second},
		"long":  {from: time.Second, to: 100 * time.Second},
		"never there": {
			from: 0, to: time.Hour, fails: 15 * time.Second,
			err: "stopped after line 1, from where importing the file again goes on: the server has taken nothing for 15s: connection refused",
		},
		"gone for good": {
			from: time.Second, to: time.Hour, fails: 121 * time.Second,
			err: "the server has taken nothing for 2m0s: connection refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := offline()
				began := time.Now()
				w.before = func(int64, *http.Request) error {
					time.Sleep(10 * time.Millisecond) // the bubble's
					if d := time.Since(began); d >= c.from && d < c.to {
						return syscall.ECONNREFUSED
					}
					return nil
				}
				const rows = 2000
				sum, _, took, err := w.imports(t, companies(rows))
				if c.fails == 0 {
					if err != nil || sum.Registered != rows || len(w.api.accepted) != rows {
						t.Errorf("got %+v, %v", sum, err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
				if took < c.fails || took > c.fails+2*time.Second {
					t.Errorf("took %s, want %s", took, c.fails)
				}
				if sum.Registered != len(w.api.accepted) {
					t.Errorf("%d counted of %d", sum.Registered, len(w.api.accepted))
				}
			})
		})
	}
}

func TestSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		var until time.Time
		w.api.before = func(rw http.ResponseWriter, r *http.Request) bool {
			w.api.mu.Lock()
			defer w.api.mu.Unlock()
			switch {
			case w.api.calls == 20:
				until = time.Now().Add(30 * time.Second)
				rw.Header().Set("Retry-After", "30")
				problem(rw, http.StatusTooManyRequests, "slow down")
				return true
			case w.api.calls > 30 && time.Now().Before(until):
				t.Error("a command came while they were to wait")
			}
			return false
		}
		w.before = func(int64, *http.Request) error {
			time.Sleep(time.Millisecond)
			return nil
		}
		sum, _, took, err := w.imports(t, companies(100))
		if err != nil || sum.Registered != 100 || took < 30*time.Second || took > 31*time.Second {
			t.Errorf("got %+v, %v in %s", sum, err, took)
		}
	})
}

func TestRowTheServerFailsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		var poison atomic.Value
		w.before = func(n int64, r *http.Request) error {
			time.Sleep(10 * time.Millisecond)
			if n == 3 {
				poison.Store(r.Header.Get("Idempotency-Key"))
			}
			return nil
		}
		w.api.before = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Idempotency-Key") != poison.Load() {
				return false
			}
			problem(rw, http.StatusInternalServerError, "index out of range")
			return true
		}
		sum, rejects, _, err := w.imports(t, companies(2000))
		if want := (csvimport.Summary{Rows: 2000, Registered: 1999, Rejected: 1}); err != nil || sum != want {
			t.Errorf("got %+v, %v", sum, err)
		}
		if len(rejects) != 1 || !strings.HasSuffix(rejects[0], ": the server fails on it: 500: index out of range") {
			t.Errorf("got %q", rejects)
		}
	})
}

func TestAnswers(t *testing.T) {
	const jsonProblem = "application/problem+json; charset=utf-8"
	for name, c := range map[string]struct {
		status int
		media  string
		body   string
		header string // Location or Retry-After
		reject string
		err    string
	}{
		"fields":              {status: 422, media: jsonProblem, body: `{"detail":"d","errors":[{"field":"email","message":"is bad"},{"message":"odd"},{"field":"x"}]}`, reject: "line 2: email: is bad; odd"},
		"detail":              {status: 403, media: jsonProblem, body: `{"title":"t","detail":"you are not assigned to this project"}`, reject: "line 2: you are not assigned to this project"},
		"title":               {status: 400, media: jsonProblem, body: `{"title":"Bad Request"}`, reject: "line 2: Bad Request"},
		"no JSON":             {status: 409, media: jsonProblem, body: `<html>`, reject: "line 2: 409 Conflict"},
		"not found":           {status: 404, media: jsonProblem, body: `{"detail":"no such project"}`, reject: "line 2: no such project"},
		"too large":           {status: 413, media: "text/html", body: "x", reject: "line 2: 413 Request Entity Too Large"},
		"another server":      {status: 404, media: "text/html", body: "x", err: "is this the address of Annals?"},
		"a page":              {status: 200, media: "text/html", body: "x", err: "is this the address of Annals?"},
		"another way":         {status: 308, header: "https://annals.test/", err: `answered 308 Permanent Redirect to "https://annals.test/"`},
		"another token":       {status: 401, media: jsonProblem, body: `{"detail":"expired"}`, err: "the server does not accept the token (expired): sign in again"},
		"down for good":       {status: 503, media: jsonProblem, body: `{"detail":"draining"}`, err: "the server has taken nothing for 15s: 503: draining"},
		"down behind a proxy": {status: 502, media: "text/html", err: "the server has taken nothing for 15s: 502 Bad Gateway"},
		"never again":         {status: 429, header: "86400", err: "the server has taken nothing for 15s: 429 Too Many Requests"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := offline()
				w.api.before = func(rw http.ResponseWriter, _ *http.Request) bool {
					rw.Header().Set("Content-Type", c.media)
					rw.Header().Set("Location", c.header)
					rw.Header().Set("Retry-After", c.header)
					rw.WriteHeader(c.status)
					_, _ = io.WriteString(rw, c.body)
					return true
				}
				_, rejects, took, err := w.imports(t, companies(1))
				var want []string
				if c.reject != "" {
					want = []string{c.reject}
				}
				if diff := cmp.Diff(want, rejects); diff != "" {
					t.Error(diff)
				}
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				if took > 15*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestBusyWithTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		w.api.before = func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Retry-After", time.Now().Add(3*time.Second).UTC().Format(http.TimeFormat))
			if w.api.calls == 1 {
				problem(rw, http.StatusConflict, "the same command is under way")
				return true
			}
			return false
		}
		sum, rejects, took, err := w.imports(t, companies(1))
		if err != nil || sum.Registered != 1 || took < 2*time.Second {
			t.Errorf("got %+v, %q, %v in %s", sum, rejects, err, took)
		}
	})
}

func TestHopeless(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	o := csvimport.Options{Project: project}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("it tried again and again"))
	defer cancel()
	for _, address := range []string{server.URL, "http" + strings.TrimPrefix(server.URL, "https")} {
		_, err := csvimport.Run(ctx, strings.NewReader(companies(1)), csvimport.Client{URL: address, Token: token}, o)
		if err == nil || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "again and again") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestTrouble tells people why nothing goes on.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := offline()
		w.before = func(n int64, _ *http.Request) error {
			if n < 10 {
				return syscall.ECONNREFUSED
			}
			return nil
		}
		var last csvimport.Progress
		troubled := false
		_, err := csvimport.Run(t.Context(), strings.NewReader(companies(3)), csvimport.Client{URL: "http://annals.test", Token: token, HTTP: w}, csvimport.Options{
			Project:  project,
			Progress: func(p csvimport.Progress) { troubled, last = troubled || p.Trouble == "connection refused", p },
		})
		if err != nil || !troubled || last.Trouble != "" || last.Registered != 3 || last.Bytes == 0 {
			t.Errorf("got %v, %v, %+v", err, troubled, last)
		}
	})
}
