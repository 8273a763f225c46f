package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

type streamRequest struct {
	Wanted
	LastEventID string `header:"Last-Event-ID" doc:"Of the last event that was received, as browsers send it: the stream goes on from there" maxLength:"50"`
	From        string `query:"after" doc:"The same, for the first time; now, if left out" maxLength:"50" example:"1234"`
}

func (a *API) stream(ctx context.Context, in *streamRequest) (httpapi.Follow, error) {
	d, err := in.definition()
	if err != nil {
		return nil, err
	}
	text, field := in.LastEventID, "Last-Event-ID"
	if text == "" {
		text, field = in.From, "after"
	}
	at, err := positionOf(field, text)
	if err != nil {
		return nil, err
	}
	leave, err := a.Enter(access.From(ctx).Actor.Who)
	if err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, at, "")
	if err != nil {
		leave()
		return nil, err
	}
	if text == "" {
		r.at = r.window.UpTo()
	}
	return func(ctx context.Context, e *httpapi.Events) error {
		defer leave()
		defer r.stop()
		r.ctx = ctx
		return a.tellOn(ctx, e, r)
	}, nil
}

// tellOn tells what comes, to who it is for as it was last found out: every now and then,
// and when something may have changed it.
func (a *API) tellOn(ctx context.Context, e *httpapi.Events, r *reading) error { //nolint:contextcheck // the stream knows its own
	beat := time.NewTicker(cmp.Or(a.Quiet, 15*time.Second))
	defer beat.Stop()
	renew := time.NewTicker(cmp.Or(a.Trust, 10*time.Second))
	defer renew.Stop()
	for {
		s, err := r.next(ctx, atOnce)
		if err == nil {
			err = a.told(ctx, s.clients)
		}
		if err == nil {
			err = send(e, s)
		}
		if err == nil && s.rights {
			r.since = r.window.UpTo()
			ctx, err = e.Renew() //nolint:fatcontext // each is of the stream's own, not of the one before
		}
		if err != nil {
			return err
		}
		more := s.more
		if more == nil { // there is: but who it is for is found out as often
			more = ready
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.Hub.Done():
			return nil
		case <-beat.C:
			err = e.Beat(r.at.String())
		case <-renew.C:
			ctx, err = e.Renew()
		case <-more:
		}
		if err != nil {
			return err
		}
	}
}

var ready = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func send(e *httpapi.Events, s stretch) error {
	for i := range s.events {
		if err := e.Add("message", s.events[i].Position, &s.events[i]); err != nil {
			return err
		}
	}
	return e.Flush()
}

type exportRequest struct {
	Wanted
	Fresh string `header:"Annals-After" doc:"A position of the log, as a command answered it: the answer shows at least everything up to there" maxLength:"50"`
	From  string `query:"after" doc:"Only what comes after this position of the log; from the beginning, if left out" maxLength:"50"`
	To    string `query:"to" doc:"Up to this position, included; all that is there, if left out" maxLength:"50"`
}

// export writes what is there now. It is recorded page by page, before it is written.
func (a *API) export(ctx context.Context, in *exportRequest) (*httpapi.Export, error) {
	var f domain.Faults
	d, err := in.definition()
	f.Add(err)
	from, err := positionOf("after", in.From)
	f.Add(err)
	to, err := positionOf("to", in.To)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	r, err := a.reading(ctx, d, from, in.Fresh)
	if err != nil {
		return nil, err
	}
	if end := r.window.UpTo(); in.To == "" || to.Compare(end) > 0 {
		to = end
	}
	return &httpapi.Export{
		Name: "events.ndjson", MediaType: "application/x-ndjson", Header: map[string][]string{"Annals-Position": {to.String()}},
		Write: func(ctx context.Context, w io.Writer) error {
			r.ctx = ctx
			defer r.stop()
			lines := json.NewEncoder(w)
			for r.at.Compare(to) < 0 {
				s, err := r.next(ctx, atOnce)
				if err == nil {
					err = r.unchanged(ctx)
				}
				if err == nil {
					err = a.told(ctx, s.clients)
				}
				if err != nil {
					return err
				}
				for i := range s.events {
					if at, err := eventlog.ParsePosition(s.events[i].Position); err != nil || at.Compare(to) > 0 {
						return err
					}
					if err := lines.Encode(&s.events[i]); err != nil {
						return err
					}
				}
				if s.more != nil {
					return nil
				}
			}
			return nil
		},
	}, nil
}

var errRightsChanged = errors.New("what somebody may has changed while events were exported: what comes next may not be for them")
