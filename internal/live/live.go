// Package live tells those who look at the record what changes, as it changes: one
// subscription to the log for all of them in a process, and a bounded memory of what
// has changed last, from which each takes what concerns them at their own pace.
//
// What is told has been brought into the read models before, so that whoever looks
// there again finds it. Who may see it, the Hub does not know: that is for its readers
// to find out, each for themselves.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/inbox"
	"annals/domain/role"
	"annals/eventschema"
	"annals/internal/eventlog"
	"annals/internal/feed"
)

// Log is the part of [eventlog.Log] that is followed.
type Log interface {
	Subscribe(ctx context.Context, after eventlog.Position) iter.Seq2[eventlog.Item, error]
	Head(ctx context.Context) (eventlog.Position, error)
}

// Config is what a [Hub] needs.
type Config struct {
	Log Log
	// Reached returns when the read models show everything up to a position, or ctx ends.
	Reached func(ctx context.Context, at eventlog.Position) error
	// Places are where clients belong by the read models; those that there are not are left out.
	Places func(ctx context.Context, clients []domain.ID) (map[domain.ID]domain.Place, error)
	Logger *slog.Logger
	Keep   int // how many changes are remembered; 20,000 if zero
}

// Change is an event of a client, or of what belongs to one.
type Change struct {
	Position eventlog.Position
	Client   domain.ID
	Type     string            // of the event
	Revision eventlog.Revision // of the client; NoStream where the event is not its own
	At       domain.Place      // where the client belonged when it was told
	Left     *domain.Place     // where it belonged before, if it moved

	// Rights says that this is no change of a client, but of what somebody may do: of that
	// employee or key, or, with the zero ID, of anybody.
	Rights bool
	Who    domain.ID
}

// Hub follows the log.
type Hub struct {
	cfg  Config
	done chan struct{}
	once sync.Once

	mu    sync.RWMutex
	ring  []Change          // the n-th change is at n modulo its length
	next  int               // number of the next change
	since eventlog.Position // every change after this is in the ring
	upTo  eventlog.Position // and every one up to this
	known bool              // the log has been reached: since and upTo count
	end   *feed.Window      // nil before that
	more  chan struct{}     // closed at the next publication
	inbox map[domain.ID]map[*Bell]bool
}

// New returns a Hub that tells of nothing before [Hub.Run].
func New(cfg Config) *Hub {
	cfg.Keep = cmp.Or(cfg.Keep, 20_000)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Hub{cfg: cfg, done: make(chan struct{}), more: make(chan struct{}), ring: make([]Change, cfg.Keep), inbox: map[domain.ID]map[*Bell]bool{}}
}

// Done is closed when Run has ended: nothing more will be told.
func (h *Hub) Done() <-chan struct{} { return h.done }

// Window is the end of the log as far as it has been told: the read models show what is in
// it. It is nil until the log has been reached.
func (h *Hub) Window() *feed.Window {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.end
}

// Run follows the log until ctx ends; then it returns nil. What is away is waited out.
func (h *Hub) Run(ctx context.Context) error {
	defer h.once.Do(func() { close(h.done) })
	failing := false
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		before := h.upTo
		err := h.follow(ctx, func() { failing = false })
		if ctx.Err() == nil && !failing {
			h.cfg.Logger.WarnContext(ctx, "live changes wait", "err", err)
		}
		failing = true
		if h.upTo != before {
			wait = 50 * time.Millisecond
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)): //nolint:gosec // jitter
		case <-ctx.Done():
		}
	}
	return nil
}

func (h *Hub) follow(ctx context.Context, works func()) error {
	if !h.known {
		head, err := h.cfg.Log.Head(ctx)
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.since, h.upTo, h.known, h.end = head, head, true, feed.NewWindow(head)
		h.mu.Unlock()
	}
	for run, err := range feed.Runs(ctx, h.cfg.Log, h.upTo, 0) {
		if err == nil {
			err = h.tell(ctx, run)
		}
		if err != nil {
			return err
		}
		works()
	}
	return errors.New("the log ended its subscription without a word")
}

// tell publishes what the run holds, once the read models show it.
func (h *Hub) tell(ctx context.Context, run feed.Run) error {
	changes, told := digest(run.Records)
	if len(changes)+len(told) > 0 {
		if err := h.cfg.Reached(ctx, run.Records[len(run.Records)-1].Position); err != nil {
			return fmt.Errorf("wait for the read models: %w", err)
		}
		if err := h.locate(ctx, changes); err != nil {
			return fmt.Errorf("places of clients: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range changes {
		at := h.next % len(h.ring)
		if h.next >= len(h.ring) {
			h.since = h.ring[at].Position
		}
		h.ring[at] = c
		h.next++
	}
	h.upTo = run.To
	h.end.Add(run)
	for id := range told {
		for bell := range h.inbox[id] {
			bell.ring()
		}
	}
	if len(changes) > 0 {
		close(h.more)
		h.more = make(chan struct{})
	}
	return nil
}

// locate fills in where the clients belong. One that cannot be found is not told of.
func (h *Hub) locate(ctx context.Context, changes []Change) error {
	var ids []domain.ID
	for _, c := range changes {
		if !c.Rights {
			ids = append(ids, c.Client)
		}
	}
	slices.SortFunc(ids, domain.CompareIDs)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return nil
	}
	places, err := h.cfg.Places(ctx, ids)
	if err != nil {
		return err
	}
	for i := range changes {
		changes[i].At = places[changes[i].Client]
	}
	return nil
}

// digest is what changes by the records, and who is notified of something.
func digest(records []eventlog.Record) (changes []Change, told map[domain.ID]bool) {
	told = map[domain.ID]bool{}
	for i := range records {
		rec := &records[i]
		ref, err := rec.Ref()
		if err != nil {
			continue
		}
		for _, n := range inbox.Notices(rec.Event, rec.Meta.Actor) {
			told[n.Employee] = true
		}
		c := Change{Position: rec.Position, Type: rec.Type, Revision: eventlog.NoStream}
		switch e := rec.Event.(type) {
		case eventschema.KeyCreated, eventschema.KeyRewrapped, eventschema.MasterRetired:
			continue
		case eventschema.KeyDestroyed:
			c.Client, c.Type = ref.ID, "client.erased"
		case client.Reassigned:
			c.Client, c.Revision, c.Left = ref.ID, rec.Revision, new(e.From.Place())
		case employee.Event, apikey.Event:
			c.Rights, c.Who = true, ref.ID
		case role.Event:
			c.Rights = true
		default:
			switch {
			case ref.Category == domain.Client:
				c.Client, c.Revision = ref.ID, rec.Revision
			case rec.Meta.Subject != domain.ID{}:
				c.Client = rec.Meta.Subject
			default:
				continue
			}
		}
		changes = append(changes, c)
	}
	return changes, told
}
