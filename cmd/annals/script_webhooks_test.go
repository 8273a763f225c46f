package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"annals/internal/webhook"
)

// endpoint is where webhooks of a story lead.
type endpoint struct {
	mu     sync.Mutex
	down   bool
	bodies []string
	secret string
	wrong  error
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil || e.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case e.secret != "":
		e.wrong = webhook.Verify(e.secret, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body, time.Now())
	}
	e.bodies = append(e.bodies, string(body))
}

var endpoints sync.Map // by URL

func endpointScript(ts *testscript.TestScript, _ bool, args []string) {
	e := &endpoint{}
	server := httptest.NewServer(e)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
	endpoints.Store(server.URL, e)
}

// endpointDown has an endpoint refuse everything, or take it.
func endpointDown(down bool) func(ts *testscript.TestScript, _ bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		e := endpointAt(ts, args[0])
		e.mu.Lock()
		defer e.mu.Unlock()
		e.down = down
	}
}

func endpointChecks(ts *testscript.TestScript, _ bool, args []string) {
	e := endpointAt(ts, args[0])
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secret = args[1]
}

func receivedScript(ts *testscript.TestScript, _ bool, args []string) {
	e, n := endpointAt(ts, args[0]), 0
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		e.mu.Lock()
		all, wrong := append([]string(nil), e.bodies...), e.wrong
		e.mu.Unlock()
		ts.Check(wrong)
		if len(all) >= n {
			fmt.Fprintln(ts.Stdout(), all[n-1])
			if !strings.Contains(all[n-1], args[2]) {
				ts.Fatalf("delivery %d is %s", n, all[n-1])
			}
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%d deliveries came", len(all))
		}
	}
}

func untilNoted(ts *testscript.TestScript, _ bool, args []string) {
	c := newCaller(ts.Getenv("ANNALS_URL"))
	defer c.http.CloseIdleConnections()
	c.token = ts.Getenv("ANNALS_TOKEN")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		list, err := must[struct{ Items []struct{ ID string } }](context.Background(), c, "GET", "/api/v1/webhooks/"+args[0]+"/deliveries?state=delivered", nil)
		ts.Check(err)
		if len(list.Items) == n {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%d deliveries are noted", len(list.Items))
		}
	}
}

func endpointAt(ts *testscript.TestScript, url string) *endpoint {
	e, ok := endpoints.Load(url)
	if !ok {
		ts.Fatalf("there is no endpoint %s", url)
	}
	return e.(*endpoint)
}
