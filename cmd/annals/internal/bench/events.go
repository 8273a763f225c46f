package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"annals/internal/eventlog"
)

const (
	hookRate    = 200 // commands a second, while it is measured how soon they are delivered
	hookTurns   = 3   // at it alone, and beside others
	hookSenders = 8   // requests at a time to an endpoint, as webhooks have them
	pulledPage  = 1000

	mostReplayed = 100_000 // events: their bodies are kept, to be posted again
)

// events measures how fast events get out: to a webhook, and to who pulls them.
func (r *run) events(ctx context.Context) error {
	if err := r.hooked(ctx); err != nil {
		return err
	}
	return r.pulled(ctx)
}

// delivered is an event that came to the endpoint.
type delivered struct {
	at       time.Time
	position eventlog.Position
}

// endpoint takes everything that is posted to it.
type endpoint struct {
	*http.Server
	url string

	mu     sync.Mutex
	all    []delivered
	bodies [][]byte
	wrong  error
}

// listen starts an endpoint, which answers as it says itself, or as another handler does.
func listen(ctx context.Context, as http.Handler) (*endpoint, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	e := &endpoint{url: "http://" + l.Addr().String() + "/"}
	if as == nil {
		as = e
	}
	e.Server = &http.Server{Handler: as, ReadHeaderTimeout: time.Minute}
	go func() { _ = e.Serve(l) }() // until it is closed
	return e, nil
}

// ServeHTTP implements [http.Handler].
func (e *endpoint) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	at := now()
	var event struct {
		Position string `json:"annalsposition"`
	}
	err = errors.Join(err, json.Unmarshal(body, &event))
	position, err2 := eventlog.ParsePosition(event.Position)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := errors.Join(err, err2); err != nil {
		e.wrong = err
	}
	e.all, e.bodies = append(e.all, delivered{at, position}), append(e.bodies, body)
	w.WriteHeader(http.StatusNoContent)
}

// until waits until so many events have come, or all up to a position, and takes them.
func (e *endpoint) until(ctx context.Context, n int) ([]delivered, [][]byte, error) {
	for {
		e.mu.Lock()
		if len(e.all) >= n || e.wrong != nil {
			all, bodies, err := e.all, e.bodies, e.wrong
			e.all, e.bodies = nil, nil
			e.mu.Unlock()
			return all, bodies, err
		}
		e.mu.Unlock()
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// hooked measures how soon what happens is delivered.
func (r *run) hooked(ctx context.Context) error {
	return r.served(ctx, func(_ string, o *office) (err error) {
		e, err := listen(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		if _, err := o.command(ctx, http.MethodPost, "webhooks", map[string]any{"url": e.url, "types": []string{"*"}}); err != nil {
			return err
		}
		// In turns, since a machine is not the same from one minute to the next.
		var alones, besides [][]time.Duration
		for range hookTurns {
			a, err := r.soon(ctx, o, e)
			if err != nil {
				return err
			}
			b, err := r.besides(ctx, o, e)
			if err != nil {
				return err
			}
			alones, besides = append(alones, a.each), append(besides, b.each)
		}
		alone, beside := newTook(0, alones...), newTook(0, besides...)
		what := fmt.Sprintf("acknowledged to delivered at %d commands/s", hookRate)
		r.add(Figure{Name: "events", What: what + ", p50", Value: milli(alone.at(50)), Unit: "ms", P50: alone.at(50), P99: alone.at(99)})
		r.add(Figure{Name: "events", What: what + ", p99", Value: milli(alone.at(99)), Unit: "ms"})
		r.add(Figure{
			Name: "events", What: what + ", beside an endpoint that is slow and one that is down, p99", Value: milli(beside.at(99)), Unit: "ms", P50: beside.at(50), P99: beside.at(99),
			Limit: milli(alone.at(99)), LimitIs: "p99 alone",
		}.atMostRatio(1.1))
		return nil
	})
}

// replayed measures how fast the beginning of the log is delivered again, against a client
// that only posts the same.
func (r *run) replayed(ctx context.Context, url string, c *caller) (err error) {
	e, err := listen(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	hook, err := c.command(ctx, http.MethodPost, "webhooks", map[string]any{"url": e.url, "types": []string{"*"}})
	if err != nil {
		return err
	}
	defer func() {
		_, gone := c.command(ctx, http.MethodDelete, "webhooks/"+hook.ID.String(), map[string]any{})
		err = errors.Join(err, gone)
	}()
	r.Logger.InfoContext(ctx, "delivering the log")
	if err := e.quiet(ctx); err != nil {
		return err
	}
	until := eventlog.Position{Commit: uint64(min(r.Events, mostReplayed)), Prepare: uint64(min(r.Events, mostReplayed))} //nolint:gosec // checked by Bench
	var begun time.Time
	var again []delivered
	var bodies [][]byte
	if err := r.profiled(ctx, "events", url, func() error {
		begun = now()
		if _, err := c.command(ctx, http.MethodPost, "webhooks/"+hook.ID.String()+"/replay", map[string]any{
			"from": map[string]string{"position": "0"}, "to": map[string]string{"position": until.String()},
		}); err != nil {
			return err
		}
		again, bodies, err = e.rest(ctx)
		return err
	}); err != nil {
		return err
	}
	if len(again) == 0 {
		return errors.New("nothing was delivered again")
	}
	rate := float64(len(again)) / again[len(again)-1].at.Sub(begun).Seconds()
	plain, err := posted(ctx, e.url, bodies)
	if err != nil {
		return err
	}
	r.add(Figure{
		Name: "events", What: number(float64(len(again))) + " deliveries to an endpoint, in a replay", Value: rate, Unit: "deliveries/s",
		Limit: plain, LimitIs: fmt.Sprintf("the same bytes posted by %d plain clients", hookSenders),
	}.atLeastRatio(0.5))
	return nil
}

// soon is how long after their acknowledgement commands came to the endpoint.
func (r *run) soon(ctx context.Context, o *office, e *endpoint) (took, error) {
	r.Logger.InfoContext(ctx, "delivering what happens")
	if err := e.quiet(ctx); err != nil {
		return took{}, err
	}
	acks, _, err := openLoop(ctx, o, r.Duration, hookRate)
	if err != nil {
		return took{}, err
	}
	return e.first(ctx, acks)
}

// besides is the same while an endpoint takes as long as it may for each answer, and another
// one is not there.
func (r *run) besides(ctx context.Context, o *office, e *endpoint) (_ took, err error) {
	hold := make(chan struct{})
	slow, err := listen(ctx, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-hold:
		case <-req.Context().Done():
		case <-time.After(10 * time.Second):
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	if err != nil {
		return took{}, err
	}
	defer func() {
		close(hold)
		err = errors.Join(err, slow.Close())
	}()
	down, err := listen(ctx, nil)
	if err != nil {
		return took{}, err
	}
	if err := down.Close(); err != nil {
		return took{}, err
	}
	for _, url := range []string{slow.url, down.url} {
		hook, err := o.command(ctx, http.MethodPost, "webhooks", map[string]any{"url": url, "types": []string{"*"}})
		if err != nil {
			return took{}, err
		}
		defer func() {
			_, gone := o.command(ctx, http.MethodDelete, "webhooks/"+hook.ID.String(), map[string]any{})
			err = errors.Join(err, gone)
		}()
	}
	return r.soon(ctx, o, e)
}

// first is how long after its acknowledgement each command's event came. A command that
// changed nothing has none.
func (e *endpoint) first(ctx context.Context, acks []ack) (took, error) {
	all, _, err := e.rest(ctx)
	if err != nil {
		return took{}, err
	}
	came := map[eventlog.Position]time.Time{}
	for _, d := range all {
		came[d.position] = d.at
	}
	var each []time.Duration
	for _, a := range acks {
		if at, ok := came[a.position]; ok {
			each = append(each, max(0, at.Sub(a.at)))
		}
	}
	if 2*len(each) < len(acks) {
		return took{}, fmt.Errorf("of %d commands only %d were delivered", len(acks), len(each))
	}
	return newTook(0, each), nil
}

// quiet waits until nothing has come for a second, and forgets what did.
func (e *endpoint) quiet(ctx context.Context) error {
	_, _, err := e.rest(ctx)
	return err
}

// rest is what comes until nothing has for a second.
func (e *endpoint) rest(ctx context.Context) (all []delivered, bodies [][]byte, err error) {
	for last := now(); now().Sub(last) < time.Second; {
		d, b, err := e.until(ctx, 0)
		if err != nil {
			return nil, nil, err
		}
		if all, bodies = append(all, d...), append(bodies, b...); len(d) > 0 {
			last = now()
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	return all, bodies, nil
}

// posted is how many of the bodies a second plain clients post.
func posted(ctx context.Context, url string, bodies [][]byte) (float64, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: hookSenders}}
	defer client.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(hookSenders)
	begun := now()
	for _, body := range bodies {
		g.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/cloudevents+json")
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, res.Body)
			return errors.Join(err, res.Body.Close())
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("plain client: %w", err)
	}
	return float64(len(bodies)) / now().Sub(begun).Seconds(), nil
}

// pulled measures delivering what happened, and reading all of it through the feed, page by
// page.
func (r *run) pulled(ctx context.Context) error {
	return r.with(ctx, func(url string) (err error) {
		_, log, done, err := r.madeUp(ctx, url)
		if err != nil {
			return err
		}
		direct, err := r.read(ctx, log)
		if err := errors.Join(err, done()); err != nil {
			return err
		}
		s, err := r.Serve(ctx, url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c := newCaller(s)
		defer c.http.CloseIdleConnections()
		if err := r.replayed(ctx, url, c); err != nil {
			return err
		}
		for _, payload := range []string{"full", "thin"} {
			r.Logger.InfoContext(ctx, "pulling events", "payload", payload)
			begun := now()
			n, err := c.pull(ctx, payload)
			if err != nil {
				return err
			}
			r.add(Figure{
				Name: "events", What: fmt.Sprintf("%s events pulled, %d a page, %s", number(float64(n)), pulledPage, payload), Value: float64(n) / now().Sub(begun).Seconds(), Unit: "events/s",
				Limit: direct, LimitIs: "events read from the log and opened",
			})
		}
		return nil
	})
}

// read is how many events of the log a second are read and opened.
func (r *run) read(ctx context.Context, log *eventlog.Log) (float64, error) {
	r.Logger.InfoContext(ctx, "reading the log")
	n, begun := 0, now()
	for item, err := range log.Subscribe(ctx, eventlog.Position{}) {
		if err != nil {
			return 0, err
		}
		if item.Record != nil {
			n++
		}
		if item.Live {
			break
		}
	}
	return float64(n) / now().Sub(begun).Seconds(), nil
}

// pull reads the feed to its end.
func (c *caller) pull(ctx context.Context, payload string) (n int, err error) {
	for at := "0"; ; {
		raw, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/events?limit=%d&payload=%s&after=%s", pulledPage, payload, at), nil, true)
		if err != nil {
			return n, err
		}
		var page struct {
			Items []struct {
				ID uuid.UUID `json:"id"`
			} `json:"items"`
			Next     string `json:"next"`
			Position string `json:"position"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return n, fmt.Errorf("feed: %w", err)
		}
		n += len(page.Items)
		if at = page.Next; at == page.Position || len(page.Items) == 0 {
			return n, nil
		}
	}
}
