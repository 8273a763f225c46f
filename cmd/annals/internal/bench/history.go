package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/engine"
	"annals/internal/eventlog"
)

// history makes up what happened to many clients, encoded and sealed as the
// server does it: of ten events three register a client, three create its key, and
// four change a client that is there, any of them.
type history struct {
	master  eventschema.Master
	app     string
	rnd     *rand.Rand
	places  places
	clients []someone
	at      time.Time
	next    uint64 // position
	counts  map[string]int
}

// someone is what has to be known of a client to go on with its story.
type someone struct {
	id       domain.ID
	key      *eventschema.DataKey
	revision int64
	edits    int
	at       client.Assignment
	status   client.Status
	tags     []string
	inactive bool
}

// of a thousand changes so many are these, about.
const (
	ofEdits    = 400
	ofAssigns  = 200
	ofRetags   = 200
	ofStatus   = 150
	ofInactive = 50 // and half as many reactivated
)

func newHistory(master eventschema.Master, app string) *history {
	return &history{
		master: master, app: app, rnd: rand.New(rand.NewPCG(1, 2)), places: somePlaces(), //nolint:gosec // the same story every time
		at: now().UTC().Truncate(time.Microsecond).AddDate(-1, 0, 0), next: 1, counts: map[string]int{},
	}
}

// madeUp is a log in the database with as many events of a history as are asked for; done
// ends it.
func (r *run) madeUp(ctx context.Context, url string) (h *history, log *eventlog.Log, done func() error, err error) {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		return nil, nil, nil, err
	}
	r.Logger.InfoContext(ctx, "making up the history of clients", "events", r.Events)
	h = newHistory(master, r.App)
	made := 0
	err = load(ctx, url, func(n int) ([]*engine.Event, error) {
		events, err := h.batch(ctx, min(n, r.Events-made))
		made += len(events)
		return events, err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	log, done, err = r.openLog(ctx, url, master)
	return h, log, done, err
}

// batch is the next n events; the first is at least two.
func (h *history) batch(ctx context.Context, n int) ([]*engine.Event, error) {
	out := make([]*engine.Event, 0, n)
	for len(out) < n {
		var err error
		if len(h.clients) == 0 || n-len(out) > 1 && h.rnd.IntN(7) < 3 {
			out, err = h.register(ctx, out)
		} else {
			out, err = h.change(out)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (h *history) meta() domain.Meta {
	h.at = h.at.Add(time.Duration(h.rnd.IntN(60_000)) * time.Millisecond)
	command := uuid.New()
	return domain.Meta{
		Actor: h.places.managers[h.rnd.IntN(len(h.places.managers))], Command: command, Correlation: uuid.New(), Causation: command,
		At: h.at, IP: "192.0.2.17", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)", App: h.app,
	}
}

func (h *history) register(ctx context.Context, out []*engine.Event) ([]*engine.Event, error) {
	n := len(h.clients)
	s := someone{id: uuid.New(), key: eventschema.NewDataKey(), revision: -1, at: h.places.somewhere(h.rnd), status: client.Lead}
	for _, tag := range tagNames {
		if h.rnd.IntN(6) == 0 {
			s.tags = append(s.tags, tag)
		}
	}
	m := h.meta()
	wrapped, err := h.master.Wrap(ctx, s.id, s.key)
	if err != nil {
		return nil, fmt.Errorf("wrap a key: %w", err)
	}
	key := someone{id: s.id, revision: -1}
	if out, err = h.add(out, eventschema.Key, &key, m, eventschema.KeyCreated{Master: h.master.ID(), Wrapped: wrapped}); err != nil {
		return nil, err
	}
	out, err = h.add(out, domain.Client, &s, m, client.Registered{Details: person(n), Assignment: s.at, Status: s.status, Tags: s.tags})
	h.clients = append(h.clients, s)
	return out, err
}

func (h *history) change(out []*engine.Event) ([]*engine.Event, error) {
	n := h.rnd.IntN(len(h.clients))
	s := &h.clients[n]
	var e client.Event
	switch dice := h.rnd.IntN(1000); {
	case s.inactive:
		s.inactive, e = false, client.Reactivated{}
	case dice < ofEdits:
		s.edits++
		was, is := client.Details{Phone: phone(n, s.edits-1)}, client.Details{Phone: phone(n, s.edits)}
		e = client.Edited{From: was, To: is}
	case dice < ofEdits+ofAssigns:
		from := s.at
		s.at = h.places.somewhere(h.rnd)
		e = client.Reassigned{From: from, To: s.at, Reason: "the portfolio was split"}
	case dice < ofEdits+ofAssigns+ofRetags:
		tag := tagNames[h.rnd.IntN(len(tagNames))]
		if i := slices.Index(s.tags, tag); i >= 0 {
			s.tags = slices.Delete(slices.Clone(s.tags), i, i+1)
			e = client.Retagged{Removed: []string{tag}}
		} else {
			s.tags = append(slices.Clone(s.tags), tag)
			slices.Sort(s.tags)
			e = client.Retagged{Added: []string{tag}}
		}
	case dice < ofEdits+ofAssigns+ofRetags+ofStatus:
		from := s.status
		s.status = client.Statuses[(slices.Index(client.Statuses, from)+1)%len(client.Statuses)]
		e = client.StatusChanged{From: from, To: s.status}
	default:
		s.inactive, e = true, client.Deactivated{Reason: "closed the business"}
	}
	return h.add(out, domain.Client, s, h.meta(), e)
}

func (h *history) add(out []*engine.Event, category string, s *someone, m domain.Meta, e any) ([]*engine.Event, error) {
	stream := domain.Ref{Category: category, ID: s.id}.Stream()
	name, version, data, err := eventschema.Encode(e, stream, s.key)
	if err != nil {
		return nil, err
	}
	metadata, err := eventschema.EncodeMetadata(m, version)
	if err != nil {
		return nil, err
	}
	s.revision++
	h.counts[name]++
	out = append(out, &engine.Event{
		Position: h.next, Revision: s.revision, Stream: stream, Type: name, Created: m.At,
		Data: data, Metadata: metadata, ID: uuid.New(), JSON: true,
	})
	h.next++
	return out, nil
}

// load writes events into the log's table by the shortest way: it is the same log,
// filled sooner. next answers up to so many events, and none at the end.
func load(ctx context.Context, url string, next func(n int) ([]*engine.Event, error)) error {
	conn, done, err := connect(ctx, url, map[string]string{"synchronous_commit": "off"})
	if err != nil {
		return err
	}
	defer done()
	if err := engine.CreateSchema(ctx, conn); err != nil {
		return err
	}
	type batch struct {
		events []*engine.Event
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	made := make(chan batch, 4)
	go func() {
		defer close(made)
		for {
			events, err := next(directBatch)
			if err == nil && len(events) == 0 {
				return
			}
			select {
			case made <- batch{events, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for b := range made {
		if b.err != nil {
			return b.err
		}
		if err := engine.InsertDirect(ctx, conn, b.events); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What autovacuum would do meanwhile is done before.
	if _, err := conn.Exec(ctx, "vacuum analyze annals_log.events"); err != nil {
		return fmt.Errorf("vacuum the log: %w", err)
	}
	return nil
}
