package commands

import (
	"slices"

	"annals/domain"
	"annals/internal/eventlog"
)

// carriedOut is a command that was carried out.
type carriedOut struct {
	command     domain.ID
	fingerprint string
	result      eventlog.Result // of its last event
	subject     domain.ID       // whose key the fingerprint was made with, where that is another's
}

// commands are those that led to an aggregate's events. They never change: what is
// added makes a new one, which shares all but the latest few with the old one. Nil
// holds none.
type commands struct {
	older  *commands
	before int // how many are in older
	recent []carriedOut
}

// chunk bounds how many commands are copied when one is added.
const chunk = 32

func (c *commands) count() int {
	if c == nil {
		return 0
	}
	return c.before + len(c.recent)
}

// with is c and one more. The events of a command follow each other, so that the
// last one of them replaces those before.
func (c *commands) with(done carriedOut) *commands {
	switch {
	case c == nil:
		return &commands{recent: []carriedOut{done}}
	case c.recent[len(c.recent)-1].command == done.command:
		recent := slices.Clone(c.recent)
		recent[len(recent)-1] = done
		return &commands{c.older, c.before, recent}
	case len(c.recent) == chunk:
		return &commands{c, c.count(), []carriedOut{done}}
	}
	return &commands{c.older, c.before, append(slices.Clip(c.recent), done)}
}

// find returns the outcome of a command that is among them.
func (c *commands) find(command domain.ID) (carriedOut, bool) {
	for ; c != nil; c = c.older {
		i := slices.IndexFunc(c.recent, func(d carriedOut) bool { return d.command == command })
		if i >= 0 {
			return c.recent[i], true
		}
	}
	return carriedOut{}, false
}
