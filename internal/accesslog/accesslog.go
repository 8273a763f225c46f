// Package accesslog records who was shown what of clients, before they are shown it: an
// answer waits until its entry is in the log for good. Where that cannot be, there is no
// answer (see docs/adr/0018). TestNothingIsShownUnrecorded holds it.
//
// Entries that come at the same time are appended together, in one event: the next append
// takes all that came during the last one. So nobody waits for longer than two appends,
// and a thousand readers cost the log no more than one.
package accesslog

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/accessed"
	"annals/internal/access"
	"annals/internal/eventlog"
)

// Kind is what of clients is shown.
type Kind = accessed.Kind

// The kinds, as package accessed explains them.
const (
	Record     = accessed.Record
	Activities = accessed.Activities
	Records    = accessed.Records
	Documents  = accessed.Documents
	Content    = accessed.Content
	History    = accessed.History
	Replay     = accessed.Replay
	Visibility = accessed.Visibility
	AccessLog  = accessed.AccessLog
	List       = accessed.List
	Search     = accessed.Search
	Actions    = accessed.Actions
	Inbox      = accessed.Inbox
	Preview    = accessed.Preview
	Export     = accessed.Export
	Events     = accessed.Events
)

// Kinds are all of them.
var Kinds = accessed.Kinds

// Look is what is about to be shown to whoever asks.
type Look struct {
	Kind     Kind
	Clients  []domain.ID // those that are shown
	Item     domain.ID   // what of the client, as a document; the zero ID: nothing in particular
	AsOf     string      // the moment in the past that was asked for
	Filters  int         // how many conditions there were
	Searched string      // what was searched for; only its length is kept
}

// Log is the part of [eventlog.Log] that is written to.
type Log interface {
	Append(ctx context.Context, stream string, last eventlog.Revision, m domain.Meta, events ...any) (eventlog.Result, error)
}

// Config is what a [Recorder] needs.
type Config struct {
	Log     Log
	Now     func() time.Time
	App     string // software version
	Logger  *slog.Logger
	Timeout time.Duration // how long an append may take; 5 s if zero
}

// Recorder records. It is safe for concurrent use.
type Recorder struct {
	cfg Config

	mu      sync.Mutex
	pending []*waiting
	running bool

	// Of the one that appends:
	stream string
	last   eventlog.Revision
	day    time.Time
}

// waiting is entries of one look, and somebody who waits for them to be in the log.
type waiting struct {
	ctx     context.Context
	entries []accessed.Entry
	done    chan error
}

const (
	// mostBytes is about how much an event holds: a server takes no more than a megabyte.
	mostBytes = 512 << 10
	// mostEntries are those of one look that are recorded together.
	mostEntries = 50
	// mostEvents is how long a stream gets.
	mostEvents = 10_000
)

// ErrUnrecorded refuses to show what could not be recorded.
var ErrUnrecorded = domain.Errorf(domain.Unavailable, "access_unrecorded", "who looks at clients is recorded, and that cannot be done just now; nothing is shown until it can; try again")

// New returns a Recorder.
func New(cfg Config) *Recorder {
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Recorder{cfg: cfg}
}

// Record returns nil once it is in the log that whoever asks in ctx is shown this. With an
// error it may be in the log or not, and must not be shown. On a nil Recorder nothing can
// be recorded.
func (r *Recorder) Record(ctx context.Context, l Look) error {
	if r == nil {
		return ErrUnrecorded
	}
	for part := range slices.Chunk(r.entries(ctx, l), mostEntries) {
		if err := r.record(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) record(ctx context.Context, entries []accessed.Entry) error {
	w := &waiting{ctx: ctx, entries: entries, done: make(chan error, 1)}
	r.mu.Lock()
	r.pending = append(r.pending, w)
	if !r.running {
		r.running = true
		go r.run() //nolint:contextcheck // it is for others too, who last longer
	}
	r.mu.Unlock()
	waits := time.NewTimer(r.cfg.Timeout)
	defer waits.Stop()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-waits.C:
		return ErrUnrecorded
	}
}

// entries are those of a look: of one at many clients several, so that none is left out.
func (r *Recorder) entries(ctx context.Context, l Look) []accessed.Entry {
	from := access.From(ctx)
	e := accessed.Entry{
		Kind: l.Kind, Clients: []domain.ID{}, Count: len(l.Clients), Item: l.Item, AsOf: l.AsOf,
		Filters: l.Filters, Searched: utf8.RuneCountInString(l.Searched),
		At: r.cfg.Now().UTC().Truncate(time.Microsecond), Request: from.Request, UserAgent: from.UserAgent,
	}
	if from.Actor != nil {
		e.Actor, e.Owner = from.Actor.Who, from.Actor.Owner
	}
	if from.IP.IsValid() {
		e.IP = from.IP.String()
	}
	var all []accessed.Entry
	for rest := l.Clients; len(rest) > 0; {
		n := min(len(rest), accessed.MostClients)
		e.Clients, rest = rest[:n:n], rest[n:]
		all = append(all, e)
	}
	if all == nil {
		all = append(all, e)
	}
	return all
}

// run appends until nothing waits.
func (r *Recorder) run() {
	for {
		batch := r.take()
		if len(batch) == 0 {
			return
		}
		err := r.append(batch)
		if err != nil {
			r.cfg.Logger.ErrorContext(batch[0].ctx, "looks at clients could not be recorded, and were refused", "looks", len(batch), "err", err)
			err = ErrUnrecorded
		}
		for _, w := range batch {
			w.done <- err
		}
	}
}

// take is what one event holds of what waits, without those who have given up; none when
// nothing waits, and then this run has ended.
func (r *Recorder) take() (batch []*waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, n := 0, 0
	for _, w := range r.pending {
		if w.ctx.Err() == nil {
			if size += w.size(); size > mostBytes && len(batch) > 0 {
				break
			}
			batch = append(batch, w)
		}
		n++
	}
	clear(r.pending[:n])
	if r.pending = r.pending[n:]; len(r.pending) == 0 {
		r.pending = nil
	}
	r.running = len(batch) > 0
	return batch
}

// size is about how many bytes of JSON the entries come to.
func (w *waiting) size() (n int) {
	for i := range w.entries {
		e := &w.entries[i]
		n += 400 + 6*len(e.UserAgent) + 39*len(e.Clients)
	}
	return n
}

// append adds an event to the recorder's own stream. No other writer knows its name, so
// that there are no conflicts; after an error, of which nobody knows what it has left
// behind, it goes on in another one.
func (r *Recorder) append(batch []*waiting) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), r.cfg.Timeout)
	defer cancel()
	now := r.cfg.Now().UTC().Truncate(time.Microsecond)
	if day := now.Truncate(24 * time.Hour); r.stream == "" || r.last+1 >= mostEvents || !day.Equal(r.day) {
		r.stream, r.last, r.day = eventlog.Stream(domain.Access, uuid.New()), eventlog.NoStream, day
	}
	var e accessed.Recorded
	for _, w := range batch {
		e.Entries = append(e.Entries, w.entries...)
	}
	command := uuid.New()
	m := domain.Meta{Actor: domain.System, Command: command, Correlation: command, Causation: command, At: now, App: r.cfg.App}
	res, err := r.cfg.Log.Append(ctx, r.stream, r.last, m, e)
	if err != nil {
		r.stream = ""
		return err
	}
	r.last = res.Revision
	return nil
}
