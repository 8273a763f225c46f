package generate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
)

// life is what happens with one client, in the order of time.
type life struct {
	g       *Generator
	rnd     *rand.Rand
	id      domain.ID
	n       int
	profile profile

	state    client.State
	unit     *unit
	managers map[domain.ID]*colleague // who has been one
	commands int
	streams  []Stream // the client's own first
	agenda   []moment // what is to come, sorted
}

// A moment is something that is to happen at a time.
type moment struct {
	at time.Time
	do func(*life, time.Time) error
}

// later puts something on the agenda, unless it comes after the end.
func (l *life) later(at time.Time, do func(*life, time.Time) error) {
	if !at.Before(until) {
		return
	}
	i, _ := slices.BinarySearchFunc(l.agenda, at, func(m moment, at time.Time) int {
		if m.at.After(at) {
			return 1
		}
		return -1
	})
	l.agenda = slices.Insert(l.agenda, i, moment{at, do})
}

// live has everything happen.
func (l *life) live() error {
	l.managers = map[domain.ID]*colleague{}
	l.streams = []Stream{{Ref: domain.Ref{Category: domain.Client, ID: l.id}}}
	// There are more of them every year.
	born := workday(l.rnd, start.Add(time.Duration(math.Pow(l.rnd.Float64(), 0.7)*float64(span-24*time.Hour))))
	if err := l.register(born); err != nil {
		return err
	}
	if percent(l.rnd, 45) {
		for again := true; again; again = percent(l.rnd, 45) {
			l.later(l.after(born), (*life).change)
		}
	}
	if percent(l.rnd, 12) {
		for again := true; again; again = percent(l.rnd, 35) {
			l.later(l.after(born), (*life).activity)
		}
	}
	for len(l.agenda) > 0 {
		next := l.agenda[0]
		l.agenda = l.agenda[1:]
		if err := next.do(l, next.at); err != nil {
			return err
		}
	}
	return nil
}

// after is some time between a moment and the end.
func (l *life) after(t time.Time) time.Time {
	at := workday(l.rnd, t.Add(time.Duration(l.rnd.Float64()*float64(until.Sub(t)))))
	if !at.After(t) {
		return t.Add(time.Duration(1+l.rnd.IntN(3600)) * time.Second)
	}
	return at
}

// workday is a moment of that day when people work, mostly.
func workday(rnd *rand.Rand, t time.Time) time.Time {
	minutes := 7*60 + rnd.IntN(4*60) + rnd.IntN(6*60)
	return t.Truncate(24 * time.Hour).Add(time.Duration(minutes)*time.Minute + time.Duration(rnd.IntN(60_000_000))*time.Microsecond)
}

// meta is the circumstances of the next command.
func (l *life) meta(by domain.Authority, at time.Time) domain.Meta {
	id := derive(l.id, "command/%d", l.commands)
	l.commands++
	m := domain.Meta{Actor: by.ID, Command: id, Correlation: id, Causation: id, At: at, App: l.g.app, By: by}
	if by.ID != domain.System {
		m.IP, m.UserAgent = fmt.Sprintf("198.51.100.%d", 1+by.ID[15]%250), agents[int(by.ID[14])%len(agents)]
	}
	return m
}

// actor is who does something: the manager as a rule, or else the project's admin.
func (l *life) actor() domain.Authority {
	if c := l.managers[l.state.Assignment.ManagerID]; c != nil && !percent(l.rnd, 15) {
		return c.authority
	}
	return l.unit.admin.authority
}

// do carries out a command to the client.
func (l *life) do(by domain.Authority, at time.Time, c client.Command) (err error) {
	l.state, err = decide(&l.streams[0], client.Aggregate, l.state, c, l.g.org.world, l.meta(by, at))
	return err
}

// decide carries out a command: what it led to is added to the stream.
func decide[S, C, E any](to *Stream, d domain.Decider[S, C, E], s S, c C, w domain.World, m domain.Meta) (S, error) {
	m.Aggregate = to.Ref.ID
	events, err := d.Decide(s, c, w, m)
	if err != nil {
		return s, fmt.Errorf("%T at %s: %w", c, m.At.Format(time.DateOnly), err)
	}
	if len(events) == 0 {
		return s, nil
	}
	commit := Commit{Events: make([]any, len(events))}
	for i, e := range events {
		s, commit.Events[i] = d.Evolve(s, e), e
	}
	if d.Subject != nil {
		m.Subject = d.Subject(s)
	}
	commit.Meta = m
	to.Commits = append(to.Commits, commit)
	return s, nil
}

// attach carries out a command to something that belongs to the client.
func attach[S, C, E any](l *life, to *Stream, d domain.Decider[S, attached.To[C], E], s S, c C, m domain.Meta, people attached.People) (S, error) {
	w := domain.World{{Category: domain.Client, ID: l.id}: l.state}
	return decide(to, d, s, attached.To[C]{Client: l.id, Command: c, People: people}, w, m)
}

func (l *life) register(at time.Time) error {
	u, t, manager := l.g.org.place(l.rnd)
	l.unit = u
	c := client.Register{Details: l.profile.details, ProjectID: u.id, Status: client.Lead, Tags: l.g.org.someTags(l.rnd)}
	if t != nil {
		c.DeskID = domain.Set(t.id)
	}
	by := u.admin.authority
	if manager != nil {
		c.ManagerID = domain.Set(manager.id)
		l.managers[manager.id] = manager
		by = manager.authority
	}
	switch dice := l.rnd.IntN(100); {
	case dice < 32:
		c.Status = client.Active
	case dice < 40:
		c.Status = client.Inactive
	}
	c.Custom = l.g.custom(l.rnd, l.profile.of)
	return l.do(by, at, c)
}
