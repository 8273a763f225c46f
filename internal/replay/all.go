package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"annals/domain"
	"annals/domain/client"
	"annals/internal/eventlog"
)

// WholeLog is the part of [eventlog.Log] that replaying all clients needs.
type WholeLog interface {
	Log
	Head(ctx context.Context) (eventlog.Position, error)
	SubscribeStored(ctx context.Context, after eventlog.Position, pattern string) iter.Seq2[eventlog.Item, error]
	Opened(ctx context.Context, r *eventlog.Record) (*eventlog.Record, error)
}

// Told is one client of many: an event with what the client was before and after it, or at
// last what it was in the end.
type Told struct {
	Client domain.ID `json:"client_id"`
	*Step
	Last   *Last  `json:"last,omitempty"`
	Before *State `json:"-"` // nil: it was not there
}

// Last is a client at the end of a replay.
type Last struct {
	Revision eventlog.Revision `json:"revision"`
	Position string            `json:"position"`
	At       time.Time         `json:"at"`
	State    *State            `json:"state"`
}

// Which clients are replayed, and how.
type Which struct {
	Project domain.ID // those that were in it in the end, and while they were; the zero ID: all
	Until   Until     // Revision has no meaning here
	Steps   bool      // each event is told, in the order of the log, and not only what was in the end
}

// kept is a client as it was left by its latest event, in some hundred bytes: memory is
// bounded by how many clients there are, whatever happened to them.
type kept struct {
	state    []byte // a [client.Registered] that makes it, as JSON
	inactive bool
	over     bool // what comes later is past the bound
	revision eventlog.Revision
	position eventlog.Position
	at       time.Time
}

func (k *kept) keep(s client.State) error {
	k.inactive = s.Deactivated
	var err error
	k.state, err = json.Marshal(client.Registered{Details: s.Details, Assignment: s.Assignment, Status: s.Status, Tags: s.Tags})
	return err
}

func (k *kept) get() (s client.State, err error) {
	if k.state == nil {
		return s, nil
	}
	var r client.Registered
	if err := json.Unmarshal(k.state, &r); err != nil {
		return s, err
	}
	if s = client.Aggregate.Evolve(s, r); k.inactive {
		s = client.Aggregate.Evolve(s, client.Deactivated{})
	}
	return s, nil
}

// All yields what happened to clients, up to where the log ends now or to the bound, and
// then, or alone, what each of them was in the end, by their ids. A client's story ends
// before its first event that is past the bound, as that of one client does.
func All(ctx context.Context, log WholeLog, w Which) iter.Seq2[Told, error] {
	return func(yield func(Told, error) bool) {
		clients := map[domain.ID]*kept{}
		more := true
		err := w.walk(ctx, log, clients, func(t Told) bool {
			more = yield(t, nil)
			return more
		})
		if !more {
			return
		}
		if err != nil {
			yield(Told{}, err)
			return
		}
		if w.Steps {
			return
		}
		for _, id := range slices.SortedFunc(maps.Keys(clients), domain.CompareIDs) {
			k := clients[id]
			s, err := k.get()
			if err == nil && (!s.Exists() || !w.has(s)) {
				continue
			}
			t := Told{Client: id, Last: &Last{Revision: k.revision, Position: k.position.String(), At: k.at, State: stateOf(s)}}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

func (w Which) has(s client.State) bool {
	return w.Project == domain.ID{} || s.Assignment.ProjectID == w.Project
}

// ofClients are the streams of clients, and of the keys that open them.
const ofClients = `^(client|key)-`

// walk reads the log into clients, and tells the steps that are asked for until nobody listens.
func (w Which) walk(ctx context.Context, log WholeLog, clients map[domain.ID]*kept, tell func(Told) bool) error {
	head, err := log.Head(ctx)
	if err != nil {
		return err
	}
	if w.Until.Position != nil && w.Until.Position.Compare(head) < 0 {
		head = *w.Until.Position
	}
	if head == (eventlog.Position{}) {
		return nil
	}
	names := NewNames(log)
	for item, err := range log.SubscribeStored(ctx, eventlog.Position{}, ofClients) {
		if err != nil {
			return err
		}
		if item.Position.Compare(head) > 0 {
			return nil
		}
		if item.Record != nil {
			told, err := w.step(ctx, log, clients, names, item.Record)
			if err != nil || told != nil && !tell(*told) {
				return err
			}
		}
		if item.Live || item.Position.Compare(head) >= 0 {
			return nil
		}
	}
	return ctx.Err()
}

// step goes on with the client of a record, and returns what there is to tell, if anything.
func (w Which) step(ctx context.Context, log WholeLog, clients map[domain.ID]*kept, names *Names, stored *eventlog.Record) (*Told, error) {
	rec, err := log.Opened(ctx, stored)
	if err != nil || rec == nil {
		return nil, err
	}
	if rec.Err != nil {
		return nil, rec.Err
	}
	e, ok := rec.Event.(client.Event)
	if !ok {
		return nil, nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return nil, err
	}
	k := clients[ref.ID]
	if k == nil {
		k = &kept{}
		clients[ref.ID] = k
	}
	if k.over = k.over || !w.Until.admits(rec); k.over {
		return nil, nil
	}
	before, err := k.get()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rec.Stream, err)
	}
	after := client.Aggregate.Evolve(before, e)
	k.revision, k.position, k.at = rec.Revision, rec.Position, rec.Meta.At
	if err := k.keep(after); err != nil {
		return nil, fmt.Errorf("%s: %w", rec.Stream, err)
	}
	if !w.Steps || !w.has(after) && (!before.Exists() || !w.has(before)) {
		return nil, nil
	}
	step, err := names.step(ctx, rec)
	step.State = stateOf(after)
	told := &Told{Client: ref.ID, Step: &step}
	if before.Exists() {
		told.Before = stateOf(before)
	}
	return told, err
}
