package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"annals/domain"
)

// Pages of as many activities as both clients have: what is compared is how long it
// takes to find them, and not how long to write them down.
const (
	feedRows = 10
	kindRows = 5
	walkRows = 200
)

// record measures what people do with a client of very many activities against the same
// with one of ten.
func (r *run) record(ctx context.Context) error {
	return r.with(ctx, func(database string) (err error) {
		l, err := newLife(r)
		if err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "making up activities", "of_one_client", r.Activities)
		if err := load(ctx, database, l.batches(ctx)); err != nil {
			return err
		}
		s, err := r.Serve(ctx, database)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c := newCaller(s)
		defer c.http.CloseIdleConnections()
		if err := caughtUp(ctx, c, l); err != nil {
			return err
		}
		// The same long client every time, and a few short ones in turns.
		path := func(of domain.ID) string { return "/api/v1/clients/" + of.String() }
		for _, one := range []struct {
			what   string
			target bool
			ask    func(of domain.ID) error
		}{
			{"first page of the feed, 10 rows", true, c.gets(ctx, func(of domain.ID) string { return fmt.Sprintf("%s/activity?limit=%d", path(of), feedRows) })},
			{"first page of its notes, 5 rows", true, c.gets(ctx, func(of domain.ID) string { return fmt.Sprintf("%s/activity?kind=note&limit=%d", path(of), kindRows) })},
			{"first page of the feed, all 50 rows", false, c.gets(ctx, func(of domain.ID) string { return path(of) + "/activity" })},
			{"first page of the history, 10 rows", true, c.gets(ctx, func(of domain.ID) string { return fmt.Sprintf("%s/history?limit=%d", path(of), feedRows) })},
			{"first page of the history, all 50 rows", false, c.gets(ctx, func(of domain.ID) string { return path(of) + "/history" })},
			{"the client itself", true, c.gets(ctx, path)},
			{"a note added", true, func(of domain.ID) error {
				_, err := c.command(ctx, http.MethodPost, strings.TrimPrefix(path(of), "/api/v1/")+"/notes", map[string]string{"text": "Called back"})
				return err
			}},
		} {
			if err := r.longAndShort(ctx, l, one.what, one.target, one.ask); err != nil {
				return fmt.Errorf("%s: %w", one.what, err)
			}
		}
		if err := r.walk(ctx, c, l); err != nil {
			return err
		}
		if err := r.retold(ctx, c, l); err != nil {
			return err
		}
		return r.eventful(ctx, c, l)
	})
}

// ofOne is how many events a client has to whom very much has happened.
const ofOne = 10_000

// eventful has a client be changed very often, and measures retelling that and the record as it
// was at any moment of it.
func (r *run) eventful(ctx context.Context, c *caller, l *life) error {
	changes := min(ofOne, r.Activities)
	r.Logger.InfoContext(ctx, "changing a client again and again", "times", changes)
	of := l.short[1].id
	begun := now()
	for n := range changes {
		if _, err := c.command(ctx, http.MethodPatch, "clients/"+of.String(), map[string]any{"last_name": fmt.Sprint("Moreau ", n)}); err != nil {
			return err
		}
	}
	ended := now()
	path := "/api/v1/clients/" + of.String()
	start := now()
	raw, err := c.do(ctx, http.MethodGet, path+"/replay", nil, true)
	if err != nil {
		return err
	}
	took := now().Sub(start)
	steps := strings.Count(string(raw), "\n")
	if steps < changes {
		return fmt.Errorf("of %d changes %d are told", changes, steps)
	}
	r.add(Figure{
		Name: "record", What: fmt.Sprintf("told of a client of %s events, in a replay with each state", number(float64(steps))), Value: float64(steps) / took.Seconds(), Unit: "events/s",
	})
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same moments every time
	var then, present []time.Duration
	for start := now(); len(then) < 100 || now().Sub(start) < r.Duration; {
		at := begun.Add(time.Duration(rnd.Int64N(int64(ended.Sub(begun)))))
		for query, each := range map[string]*[]time.Duration{"?as_of=" + url.QueryEscape(at.UTC().Format(time.RFC3339Nano)): &then, "": &present} {
			asked := now()
			if _, err := c.do(ctx, http.MethodGet, path+query, nil, true); err != nil {
				return err
			}
			*each = append(*each, now().Sub(asked))
		}
	}
	a, b := newTook(0, then), newTook(0, present)
	r.add(Figure{
		Name: "record", What: "the same client as it was at any moment, p99", Value: milli(a.at(99)), Unit: "ms", P50: a.at(50), P99: a.at(99),
		Limit: milli(b.at(99)), LimitIs: "p99 of the client as it is",
	})
	return nil
}

func (c *caller) gets(ctx context.Context, path func(domain.ID) string) func(domain.ID) error {
	return func(of domain.ID) error {
		_, err := c.do(ctx, http.MethodGet, path(of), nil, true)
		return err
	}
}

// longAndShort asks about the client with many activities and one with ten, in turns.
func (r *run) longAndShort(ctx context.Context, l *life, what string, target bool, ask func(domain.ID) error) error {
	r.Logger.InfoContext(ctx, "asking", "for", what)
	var long, short []time.Duration
	for i, start := 0, now(); i < 4*askers || now().Sub(start) < r.Duration; i++ {
		for turn := range 2 {
			of, to := l.long.id, &long
			if turn == i%2 {
				of, to = l.short[i%askers].id, &short
			}
			begun := now()
			if err := ask(of); err != nil {
				return err
			}
			if i >= askers { // everybody has been asked about before
				*to = append(*to, now().Sub(begun))
			}
		}
	}
	a, b := newTook(0, long), newTook(0, short)
	for _, percent := range []int{50, 99} {
		f := Figure{
			Name: "record", What: fmt.Sprintf("%s, p%d", what, percent), Value: milli(a.at(percent)), Unit: "ms", P50: a.at(50), P99: a.at(99),
			Limit: milli(b.at(percent)), LimitIs: fmt.Sprintf("p%d of a client with ten activities, not %s", percent, number(float64(r.Activities))),
		}
		if target {
			f = f.atMostRatio(1.5)
		}
		r.add(f)
	}
	return nil
}

// walk reads the long feed to its end, page by page.
func (r *run) walk(ctx context.Context, c *caller, l *life) error {
	r.Logger.InfoContext(ctx, "reading the feed to its end")
	base := fmt.Sprintf("/api/v1/clients/%s/activity?limit=%d", l.long.id, walkRows)
	seen := map[string]bool{}
	var pages []time.Duration
	start := now()
	for next := base; next != ""; {
		begun := now()
		raw, err := c.do(ctx, http.MethodGet, next, nil, true)
		if err != nil {
			return err
		}
		pages = append(pages, now().Sub(begun))
		var page struct {
			Items []struct {
				ID string `json:"id"`
				At string `json:"at"`
			} `json:"items"`
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if seen[item.ID] {
				return fmt.Errorf("activity %s is on two pages", item.ID)
			}
			seen[item.ID] = true
		}
		if next = ""; page.NextCursor != "" {
			next = base + "&cursor=" + url.QueryEscape(page.NextCursor)
		}
	}
	all := newTook(now().Sub(start), pages)
	if len(seen) < l.long.rows {
		return fmt.Errorf("the pages have %d activities, and there are at least %d", len(seen), l.long.rows)
	}
	r.add(Figure{
		Name: "record", What: fmt.Sprintf("each of %d pages of %d to the end of the feed, p50", len(pages), walkRows), Value: milli(all.at(50)), Unit: "ms", P50: all.at(50), P99: all.at(99),
		Limit: milli(pages[0]), LimitIs: "the first of them",
		Note: fmt.Sprintf("%s activities were read by cursor in %.1f s, none skipped and none twice", number(float64(len(seen))), all.all.Seconds()),
	})
	return nil
}

// retold has a client of ten activities retold with them, which looks for them in all of
// the log.
func (r *run) retold(ctx context.Context, c *caller, l *life) error {
	start := now()
	raw, err := c.do(ctx, http.MethodGet, "/api/v1/clients/"+l.short[0].id.String()+"/replay?with=activities", nil, true)
	if err != nil {
		return err
	}
	took := now().Sub(start)
	if lines := strings.Count(string(raw), "\n"); lines < l.short[0].rows {
		return fmt.Errorf("the story has %d lines", lines)
	}
	r.add(Figure{
		Name: "record", What: "looked at to retell a client with its activities", Value: float64(l.activities) / took.Seconds(), Unit: "events/s",
	})
	return nil
}

// caughtUp waits until the read models show what was loaded.
func caughtUp(ctx context.Context, c *caller, l *life) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/api/v1/clients/"+l.long.id.String()+"/activity?limit=1", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.Token)
		req.Header.Set("Annals-After", l.last())
		res, err := c.http.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		switch {
		case err != nil:
			return err
		case res.StatusCode == http.StatusOK:
			return nil
		case res.StatusCode != http.StatusServiceUnavailable:
			return fmt.Errorf("the read models: %s: %.300s", res.Status, answer)
		}
	}
}
