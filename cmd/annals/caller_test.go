package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// caller talks to the API of a server.
type caller struct {
	http  *http.Client
	url   string
	token string
}

func newCaller(url string) *caller {
	return &caller{url: url, http: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
	}}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) problem() (code, detail string) {
	var p struct{ Code, Detail string }
	_ = json.Unmarshal(r.body, &p)
	return p.Code, p.Detail
}

// send sends a request, with header given as name, value, name, value.
func (c *caller) send(ctx context.Context, method, path string, body any, header ...string) (*reply, error) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	return &reply{res.StatusCode, res.Header, raw}, nil
}

// must sends a request that has to succeed, and decodes the answer.
func must[T any](ctx context.Context, c *caller, method, path string, body any, header ...string) (out T, err error) {
	res, err := c.send(ctx, method, path, body, header...)
	if err != nil {
		return out, err
	}
	if res.status/100 != 2 {
		return out, fmt.Errorf("%s %s: %d: %s", method, path, res.status, res.body)
	}
	if len(res.body) > 0 {
		err = json.Unmarshal(res.body, &out)
	}
	return out, err
}

// signIn returns a caller that is signed in.
func (c *caller) signIn(ctx context.Context, email, password string) (*caller, error) {
	s, err := must[struct{ Token string }](ctx, c, "POST", "/api/v1/session", map[string]string{"email": email, "password": password})
	return &caller{c.http, c.url, s.Token}, err
}

// receipt is what a command answers.
type receipt struct {
	ID       string
	Revision int64
	Position string
}
