package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"unicode"

	lru "github.com/hashicorp/golang-lru/v2"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/attached"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/document"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/portal"
	"annals/domain/record"
	requests "annals/domain/request"
	"annals/internal/eventlog"
)

// kinds are what may belong to a client, with how each folds.
var kinds = map[string]kind{
	domain.Action:   kindOf(action.Aggregate),
	domain.Call:     kindOf(call.Aggregate),
	domain.Document: kindOf(document.Aggregate),
	domain.Message:  kindOf(message.Aggregate),
	domain.Note:     kindOf(note.Aggregate),
	domain.Portal:   kindOf(portal.Aggregate),
	domain.Record:   kindOf(record.Aggregate),
	domain.Request:  kindOf(requests.Aggregate),
}

// kind is a [domain.Decider] without its types.
type kind struct {
	zero   any
	evolve func(state, event any) (any, error)
}

func kindOf[S attached.State, C, E any](d domain.Decider[S, C, E]) kind {
	var zero S
	return kind{zero, func(state, event any) (any, error) {
		e, ok := event.(E)
		if !ok {
			return nil, fmt.Errorf("a stream of %s holds a foreign %T", d.Category, event)
		}
		return d.Evolve(state.(S), e), nil
	}}
}

func categories() []string {
	var all []string
	for category := range kinds {
		all = append(all, category)
	}
	return all
}

// End is the last line of a story that is whole.
type End struct {
	Position   string         `json:"position,omitempty" doc:"Of the last event told"`
	State      State          `json:"state"`
	Activities map[string]int `json:"activities" doc:"How many of each kind there are: notes, actions and so on, without those that were deleted"`
}

// Whole yields the steps of a client and of everything that belongs to it, in the order
// of the log, until and including the bound: the story ends before the first event that
// is past it. The last line is the end. What belongs to the client
// is found in the log, which takes as long as looking at all events of those kinds that
// are younger than the client: see [eventlog.Log.Story].
func Whole(ctx context.Context, log Log, id domain.ID, until Until) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		var s client.State
		end := End{Activities: map[string]int{}}
		items, names := newItems(log), NewNames(log)
		for rec, err := range log.Story(ctx, domain.Ref{Category: domain.Client, ID: id}, categories()) {
			if err != nil {
				yield(Line{}, err)
				return
			}
			own, isOwn := rec.Event.(client.Event)
			if !until.AsOf.IsZero() && rec.Meta.At.After(until.AsOf) || until.Position != nil && rec.Position.Compare(*until.Position) > 0 || isOwn && until.Revision != nil && rec.Revision > *until.Revision {
				break
			}
			step, err := names.step(ctx, &rec)
			if err == nil && isOwn {
				s = client.Aggregate.Evolve(s, own)
				step.State = stateOf(s)
			} else if err == nil {
				err = items.step(ctx, &rec, &step, end.Activities)
			}
			if !yield(Line{Step: &step}, err) || err != nil {
				return
			}
			end.Position = step.Position
			if isOwn && until.Revision != nil && rec.Revision == *until.Revision {
				break
			}
		}
		if end.Position != "" {
			end.State = *stateOf(s)
			yield(Line{End: &end}, nil)
		}
	}
}

// items are the states of what belongs to a client: of those that were last told of.
// Others are folded again when they come up, so that memory does not grow with how many
// there are.
type items struct {
	log   Log
	cache *lru.Cache[string, item]
}

type item struct {
	revision eventlog.Revision
	state    any
}

// itemsCached is more than are worked on at a time.
const itemsCached = 1000

func newItems(log Log) *items {
	cache, err := lru.New[string, item](itemsCached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &items{log, cache}
}

// step adds to a step what the record's item was after it, and counts those that there are.
func (i *items) step(ctx context.Context, rec *eventlog.Record, step *Step, count map[string]int) error {
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	step.Of = &Belonging{ref.Category, ref.ID}
	k, ok := kinds[ref.Category]
	if !ok {
		return fmt.Errorf("%s does not belong to clients", ref.Category)
	}
	before, ok := i.cache.Get(rec.Stream)
	if !ok || before.revision != rec.Revision-1 {
		if before, err = i.fold(ctx, k, rec); err != nil {
			return err
		}
	}
	state, err := k.evolve(before.state, rec.Event)
	if err != nil {
		return err
	}
	i.cache.Add(rec.Stream, item{rec.Revision, state})
	was, is := before.revision != eventlog.NoStream && !gone(before.state), !gone(state)
	switch {
	case is && !was:
		count[ref.Category]++
	case was && !is:
		count[ref.Category]--
	}
	step.Item, err = shown(state)
	return err
}

// fold is what the record's item was before it.
func (i *items) fold(ctx context.Context, k kind, rec *eventlog.Record) (item, error) {
	it := item{eventlog.NoStream, k.zero}
	if rec.Revision == 0 {
		return it, nil
	}
	for r, err := range i.log.Read(ctx, rec.Stream, 0) {
		if err != nil {
			return it, err
		}
		if r.Revision >= rec.Revision {
			break
		}
		if it.state, err = k.evolve(it.state, r.Event); err != nil {
			return it, err
		}
		it.revision = r.Revision
	}
	return it, nil
}

// shown is a state as it is told: its fields, named as those of events are.
func shown(state any) (map[string]any, error) {
	raw, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	out := map[string]any{}
	for name, value := range fields {
		out[lower(name)] = value
	}
	return out, nil
}

// lower brings the name of a field of a struct into the form that names have in JSON.
func lower(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && unicode.IsLower(runes[i-1]) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// gone says whether something is there no more, though its history is.
func gone(state any) bool {
	switch s := state.(type) {
	case action.State:
		return s.Deleted
	case call.State:
		return s.Deleted
	case document.State:
		return s.Deleted
	case note.State:
		return s.Deleted
	case record.State:
		return s.Removed
	default:
		return false
	}
}
