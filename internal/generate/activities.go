package generate

import (
	"strings"
	"time"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/attached"
	"annals/domain/call"
	"annals/domain/note"
)

// activity is that somebody does something about the client.
func (l *life) activity(at time.Time) error {
	if l.state.Deactivated {
		return nil
	}
	switch dice := l.rnd.IntN(100); {
	case dice < 45:
		return l.note(at)
	case dice < 75:
		return l.call(at)
	default:
		return l.action(at)
	}
}

// stream begins a stream of something that belongs to the client.
func (l *life) stream(category string) *Stream {
	l.streams = append(l.streams, Stream{Ref: domain.Ref{Category: category, ID: derive(l.id, "%s/%d", category, l.commands)}})
	return &l.streams[len(l.streams)-1]
}

// words is something to write about the client, in its language where there is something.
func (l *life) words() string {
	language, _, _ := strings.Cut(l.profile.of.language, "-")
	texts := notes[language]
	if len(texts) == 0 {
		texts = notes["en"]
	}
	return pick(l.rnd, texts)
}

func (l *life) note(at time.Time) error {
	c := note.Add{Text: l.words(), Pinned: percent(l.rnd, 8)}
	_, err := attach(l, l.stream(domain.Note), note.Aggregate, note.State{}, note.Command(c), l.meta(l.actor(), at), attached.People{})
	return err
}

func (l *life) call(at time.Time) error {
	c := call.Log{Direction: pick(l.rnd, call.Directions), Outcome: call.NoAnswer, Number: l.profile.phone.somehow(l.rnd)}
	if percent(l.rnd, 65) {
		c.Outcome, c.Duration, c.Text = call.Answered, 20+int(l.rnd.ExpFloat64()*240), l.words()
	}
	_, err := attach(l, l.stream(domain.Call), call.Aggregate, call.State{}, call.Command(c), l.meta(l.actor(), at), attached.People{})
	return err
}

// action is one that is done as a rule, perhaps after it has fallen due.
func (l *life) action(at time.Time) error {
	due := workday(l.rnd, at.AddDate(0, 0, 1+l.rnd.IntN(20))).Truncate(time.Hour)
	c := action.Add{Title: pick(l.rnd, titlesOf), Type: pick(l.rnd, []action.Type{action.Task, action.Call, action.Meeting, action.Email}), DueAt: domain.Set(due)}
	people := attached.People{}
	if m := l.managers[l.state.Assignment.ManagerID]; m != nil {
		c.AssigneeID, people.Assignee = domain.Set(m.id), m.authority
	}
	l.stream(domain.Action)
	which := len(l.streams) - 1
	s, err := attach(l, &l.streams[which], action.Aggregate, action.State{}, action.Command(c), l.meta(l.actor(), at), people)
	if err != nil {
		return err
	}
	then := func(c action.Command, by func(*life) domain.Authority) func(*life, time.Time) error {
		return func(l *life, at time.Time) (err error) {
			s, err = attach(l, &l.streams[which], action.Aggregate, s, c, l.meta(by(l), at), attached.People{})
			return err
		}
	}
	l.later(due, then(action.FallDue{At: due}, func(*life) domain.Authority { return domain.Root }))
	if percent(l.rnd, 85) {
		l.later(workday(l.rnd, at.AddDate(0, 0, 1+l.rnd.IntN(25))), then(action.Finish{Outcome: pick(l.rnd, outcomes)}, (*life).actor))
	}
	return nil
}
