package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"annals/domain"
	"annals/internal/access"
)

// streaming is a site with a stream, whose requests take no longer than a moment.
func streaming(t *testing.T, follow Follow) (*site, *httptest.Server) {
	t.Helper()
	s := newSite(t, Config{})
	s.api.timeout = 300 * time.Millisecond
	HandleEvents(s.api, Op{ID: "stream", Method: "GET", Path: "/api/v1/stream", Tag: "things", Events: struct{ N int }{}},
		func(context.Context, *struct{}) (Follow, error) { return follow, s.fail })
	server := httptest.NewUnstartedServer(s.router)
	server.Config.ReadTimeout = s.api.timeout
	server.Start()
	t.Cleanup(server.Close)
	return s, server
}

func follow(t *testing.T, server *httptest.Server, method string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer mira")
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// A stream outlives what a request may take, and ends with its connection.
func TestStreamsTakeAsLongAsTheyTake(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	_, server := streaming(t, func(ctx context.Context, e *Events) error {
		for n := range 3 {
			select {
			case <-time.After(e.api.timeout / 2):
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
			if err := e.Add("count", "7", map[string]int{"n": n}); err != nil {
				return err
			}
			if err := e.Beat(""); err != nil {
				return err
			}
		}
		<-ctx.Done()
		ended <- nil
		return nil
	})
	res := follow(t, server, http.MethodGet)
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", res.Header)
	}
	var got []string
	for lines := bufio.NewScanner(res.Body); len(got) < 12 && lines.Scan(); {
		if line := lines.Text(); line != "" {
			got = append(got, line)
		}
		if strings.HasPrefix(lines.Text(), `data: {"n":2}`) {
			break
		}
	}
	text := strings.Join(got, "\n")
	if !strings.HasPrefix(text, "retry: ") || !strings.Contains(text, "id: 7\nevent: count\ndata: {\"n\":0}\n: beat\nid: 7") || !strings.Contains(text, `{"n":2}`) {
		t.Errorf("%s", text)
	}
	_ = res.Body.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream does not end with its connection")
	}
}

// Who does not take what is sent is cut off.
func TestSlowReadersAreCutOff(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	_, server := streaming(t, func(ctx context.Context, e *Events) error {
		for ctx.Err() == nil {
			if err := e.Add("much", "", strings.Repeat("x", 64<<10)); err != nil {
				return err
			}
			if err := e.Flush(); err != nil {
				ended <- err
				return err
			}
		}
		ended <- nil
		return nil
	})
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mira\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it was the client who went")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is still sent to")
	}
}

// A stream can find out whether it is still wanted, and by whom.
func TestStreamsAreRenewed(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 2)
	var api *API
	s, server := streaming(t, func(ctx context.Context, e *Events) error {
		renewed, err := e.Renew()
		if err == nil && access.From(renewed).Actor == access.From(ctx).Actor { //nolint:contextcheck // it is of the same request
			t.Error("nobody was asked")
		}
		errs <- err
		api.authenticate = func(context.Context, string) (*access.Actor, error) {
			return nil, domain.Errorf(domain.Unauthorized, "token", "gone")
		}
		_, err = e.Renew()
		errs <- err
		return err
	})
	api = s.api
	res := follow(t, server, http.MethodGet)
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if err := <-errs; domain.KindOf(err) != domain.Unauthorized {
		t.Errorf("%v", err)
	}
}

// What fails before is a problem like any other, and who asks for the header only gets that.
func TestStreamsThatAreNone(t *testing.T) {
	t.Parallel()
	ended := make(chan bool, 1)
	s, server := streaming(t, func(ctx context.Context, _ *Events) error {
		<-ctx.Done()
		ended <- true
		return nil
	})
	res := follow(t, server, http.MethodHead)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("%d", res.StatusCode)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("somebody is told what they did not ask for")
	}
	server.CloseClientConnections()
	s.fail = domain.Errorf(domain.TooMany, "streams", "too many")
	res = follow(t, server, http.MethodGet)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}
