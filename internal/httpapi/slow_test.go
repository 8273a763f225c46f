package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// drip is a client of a real server that sends a request's head, and then a byte at
// a time. It returns the answer's status, and how long the server kept it.
func drip(t *testing.T, at net.Addr, head string) (status int, took time.Duration) {
	t.Helper()
	conn, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	gone := make(chan struct{})
	defer close(gone)
	wg.Go(func() {
		rest := strings.Repeat(" ", 1000)
		for _, piece := range append([]string{head}, strings.Split(rest, "")...) {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
			select {
			case <-gone:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	_ = conn.SetReadDeadline(start.Add(20 * time.Second))
	raw := bufio.NewReader(conn)
	res, err := http.ReadResponse(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if _, err := raw.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection is still there: %v", err)
	}
	return res.StatusCode, time.Since(start)
}

// TestSlowBody attacks a real server with bodies that never end: it neither waits for
// them longer than for any request, nor keeps their connections.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{})
	s.api.timeout = 300 * time.Millisecond
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"read":    {"POST " + rename + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mira\r\nContent-Length: 1000\r\n\r\n{", 408},
		"refused": {"POST " + rename + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{", 401},
		"unread":  {"GET " + thing + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mira\r\nContent-Length: 1000\r\n\r\n{", 204},
		"unknown": {"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{", 404},
		"chunked": {"POST " + rename + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mira\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{", 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, took := drip(t, server.Listener.Addr(), c.head)
			if status != c.status || took > 10*time.Second {
				t.Errorf("%d after %s, want %d", status, took, c.status)
			}
		})
	}
}

// TestSlowReader asks a real server for much, and takes none of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{})
	s.api.timeout = 300 * time.Millisecond
	ended := make(chan error)
	s.router.HandleFunc("/much", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for block := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(block)
		}
		ended <- err
	})
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
