package bench

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/note"
	"annals/domain/project"
	"annals/domain/request"
	"annals/eventschema"
	"annals/internal/esnode/engine"
)

// MasterKey is the one that servers to be measured have, so that their log can be filled
// beforehand. It keeps nothing secret.
var MasterKey = hex.EncodeToString(make([]byte, 32))

const shortLife = 10 // activities

// life makes up what happened with clients: with one of them very much, and with others
// ten things each, all mixed.
type life struct {
	*history
	long       *lived
	short      []*lived
	left       []*lived // who lacks activities yet: the long one many times
	place      client.Assignment
	begun      bool
	activities int // events that are one
}

// lived is a client and what it still lacks.
type lived struct {
	someone
	rows, most int // activities and changes so far, and how many there are to be
}

func newLife(r *run) (*life, error) {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	l := &life{history: newHistory(master, r.App)}
	l.place = client.Assignment{ProjectID: l.places.projects[0], DeskID: l.places.desks[0][0]}
	newcomer := func(most int) *lived {
		return &lived{someone: someone{id: uuid.New(), key: eventschema.NewDataKey(), revision: -1}, most: most}
	}
	l.long = newcomer(r.Activities)
	for range max(r.Activities/100, askers) {
		l.short = append(l.short, newcomer(shortLife))
	}
	l.left = append([]*lived{l.long}, l.short...)
	return l, nil
}

// last is the position of the last event that was made up.
func (l *life) last() string { return strconv.FormatUint(l.next-1, 10) }

// batches answers the events, as load takes them.
func (l *life) batches(ctx context.Context) func(int) ([]*engine.Event, error) {
	return func(n int) (out []*engine.Event, err error) {
		if !l.begun {
			l.begun = true
			if out, err = l.begin(ctx); err != nil {
				return nil, err
			}
		}
		for len(out) < n && len(l.left) > 0 {
			// Of ten activities one is of somebody with few of them, until these have all.
			i := 0
			if len(l.left) > 1 && (l.rnd.IntN(10) == 0 || l.left[0] != l.long) {
				i = 1 + l.rnd.IntN(len(l.left)-1)
			}
			c := l.left[i]
			if out, err = l.activity(out, c); err != nil {
				return nil, err
			}
			if c.rows >= c.most {
				l.left[i] = l.left[len(l.left)-1]
				l.left = l.left[:len(l.left)-1]
			}
		}
		return out, nil
	}
}

// begin makes a project with a desk, and all of the clients.
func (l *life) begin(ctx context.Context) ([]*engine.Event, error) {
	d, p := someone{id: l.place.DeskID, revision: -1}, someone{id: l.place.ProjectID, revision: -1}
	out, err := l.add(nil, domain.Desk, &d, l.meta(), desk.Created{ProjectID: p.id, Name: "Default", Default: true})
	if err != nil {
		return nil, err
	}
	if out, err = l.add(out, domain.Project, &p, l.meta(), project.Created{Name: "Harbour", DefaultDeskID: d.id}); err != nil {
		return nil, err
	}
	for n, c := range l.left {
		wrapped, err := l.master.Wrap(ctx, c.id, c.key)
		if err != nil {
			return nil, fmt.Errorf("wrap a key: %w", err)
		}
		key := someone{id: c.id, revision: -1}
		if out, err = l.add(out, eventschema.Key, &key, l.meta(), eventschema.KeyCreated{Master: l.master.ID(), Wrapped: wrapped}); err != nil {
			return nil, err
		}
		if out, err = l.add(out, domain.Client, &c.someone, l.meta(), client.Registered{Details: person(n), Assignment: l.place, Status: client.Lead}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// activity is one more with the client: half of them are notes.
func (l *life) activity(out []*engine.Event, c *lived) ([]*engine.Event, error) {
	n := c.rows
	c.rows++
	l.activities++
	m := l.meta()
	m.Subject = c.id
	item := someone{id: uuid.New(), key: c.key, revision: -1}
	text := fmt.Sprintf("Wants a **call** in May about order %d, and asks whether it can come in two parts", n)
	switch n % shortLife {
	case 0, 2, 4, 6, 8:
		return l.add(out, domain.Note, &item, m, note.Added{ClientID: c.id, Text: text})
	case 1, 3:
		return l.add(out, domain.Call, &item, m, call.Logged{ClientID: c.id, Details: call.Details{
			Direction: call.Inbound, Number: phone(n, 0), Duration: n % 600, Outcome: call.Answered, Text: text, At: m.At,
		}})
	case 5:
		return l.add(out, domain.Action, &item, m, action.Added{ClientID: c.id, Details: action.Details{Type: action.Task, Title: "Send the offer", Text: text, DueAt: m.At.AddDate(2, 0, 0)}})
	case 7:
		return l.add(out, domain.Request, &item, m, request.Opened{ClientID: c.id, Subject: "A copy of the invoice", Text: text})
	default:
		m.Subject = domain.ID{}
		was, is := client.Details{Phone: phone(n, c.edits)}, client.Details{Phone: phone(n, c.edits+1)}
		c.edits++
		return l.add(out, domain.Client, &c.someone, m, client.Edited{From: was, To: is})
	}
}
