package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"annals/domain"
	"annals/domain/webhook"
	"annals/internal/cloudevent"
	"annals/internal/eventlog"
)

// mostResponse is how much of an answer is kept, in bytes.
const mostResponse = 16 << 10

// outcome is how an attempt ended.
type outcome struct {
	at         time.Time
	took       time.Duration
	status     int    // 0: there was no answer
	error      string // why it failed
	response   string
	retryAfter time.Duration
	delivered  bool
	withheld   bool  // nothing was sent: the owner may not see it, or it is not asked for any more
	postponed  error // nothing was sent, for a reason of ours
}

// attempt delivers an event once, as it is at this moment to be told its owner.
func (c *courier) attempt(ctx context.Context, it *item) (o outcome) {
	o.at = c.cfg.Now().UTC().Truncate(time.Microsecond)
	body, withheld, err := c.body(ctx, it)
	if err != nil || withheld {
		o.postponed, o.withheld = err, withheld && err == nil
		return o
	}
	keys, err := c.ep.keys(ctx)
	if err == nil && len(keys) == 0 {
		err = errors.New("the webhook has no secret yet: its owner can rotate it")
	}
	if err != nil {
		o.postponed = err
		return o
	}
	req, cancel, err := c.request(ctx, it, body, keys, o.at)
	if err != nil {
		o.error = plain(err)
		return o
	}
	defer cancel()
	res, err := c.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			o.postponed = ctx.Err() // we stop
			return o
		}
		o.error, o.took = plain(err), c.cfg.Now().Sub(o.at)
		return o
	}
	defer func() { _ = res.Body.Close() }()
	begin, err := io.ReadAll(io.LimitReader(res.Body, mostResponse))
	o.status, o.response, o.took = res.StatusCode, text(begin), c.cfg.Now().Sub(o.at)
	switch {
	case err != nil && ctx.Err() == nil:
		o.error = plain(err)
	case res.StatusCode >= 200 && res.StatusCode < 300:
		o.delivered = true
	case res.StatusCode >= 300 && res.StatusCode < 400:
		o.error = "the endpoint redirects, which is not followed"
	default:
		o.error = "the endpoint answered " + strconv.Itoa(res.StatusCode)
	}
	o.retryAfter = retryAfter(res.Header.Get("Retry-After"), c.cfg.Now())
	return o
}

func (c *courier) request(ctx context.Context, it *item, body []byte, keys []Key, at time.Time) (*http.Request, context.CancelFunc, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.ep.definition().URL, bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, nil, err
	}
	for name, value := range c.ep.definition().Headers { // checked by the domain; ours are set over them
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", c.cfg.Agent)
	req.Header.Set(HeaderID, it.message.String())
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(HeaderSignature, Sign(keys, it.message.String(), at, body))
	if it.previous != (eventlog.Position{}) {
		req.Header.Set(HeaderPrevious, it.previous.String())
	}
	return req, cancel, nil
}

// body is what is sent.
func (c *courier) body(ctx context.Context, it *item) (body []byte, withheld bool, err error) {
	rec, err := c.record(ctx, it)
	if err != nil {
		return nil, false, err
	}
	d := c.ep.definition()
	sight, err := c.sight(ctx, rec, *d)
	if err != nil || !sight.Sees {
		return nil, true, err
	}
	e, err := cloudevent.Of(rec, c.cfg.Source, sight.Detail(d.Payload == webhook.Full))
	if err != nil {
		return nil, false, err
	}
	if it.previous != (eventlog.Position{}) {
		e.Previous = it.previous.String()
	}
	body, err = json.Marshal(e)
	return body, false, err
}

// sight is whether the owner may be told of an event now, and the webhook is.
func (c *courier) sight(ctx context.Context, rec *eventlog.Record, d webhook.Definition) (cloudevent.Sight, error) {
	if c.tests(rec) {
		return cloudevent.Sight{Sees: true}, nil
	}
	by, err := c.owners.get(ctx, c.cfg.Now(), c.ep.owner, func(ctx context.Context, o owner) (domain.Authority, error) {
		return c.cfg.Authority(ctx, o.employee, o.key)
	})
	if err != nil {
		return cloudevent.Sight{}, err
	}
	sight, at, err := cloudevent.Look(ctx, by, rec, c.place)
	if !d.WantsFrom(at) {
		sight = cloudevent.Sight{}
	}
	return sight, err
}

// place is where a client belongs now.
func (c *courier) place(ctx context.Context, client domain.ID) (domain.Place, bool, error) {
	return c.places.get(ctx, client, c.cfg.Place)
}

// record is the event of a delivery: as it was read, or read again where that may not
// be what it is any more.
func (c *courier) record(ctx context.Context, it *item) (*eventlog.Record, error) {
	if it.rec != nil && it.rec.Err == nil && !c.window.Gone(cloudevent.Client(it.rec)) {
		return it.rec, nil
	}
	for rec, err := range c.cfg.Log.Read(ctx, it.stream, it.revision) {
		if err != nil {
			return nil, err
		}
		rec.Position = it.position
		return &rec, nil
	}
	return nil, errors.New("the event is not in the log")
}

// plain is why a request failed, without the URL, which may hold a secret.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "there was no answer in time"
	}
	return text([]byte(err.Error()))
}

// text is what was received, fit to be kept as text.
func text(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(string(b), "\uFFFD"))
}

// retryAfter reads a Retry-After header (RFC 9110 §10.2.3): 0 for none.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(header), 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
