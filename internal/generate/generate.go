// Package generate makes up a company and its clients: names in many languages and
// scripts, e-mail addresses on reserved domains (RFC 2606) only, phone numbers as people
// write them, tags, custom fields, activities, a history of three years, and the duplicates
// that nobody wants.
//
// All of it follows from a seed. The n-th client is the same however many there are, so
// that what was cut off can be continued, see TestClientsAreTheSame. What happens is decided
// by the aggregates of the domain, for employees who may do it: nothing comes out that a
// command would not have led to.
package generate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"annals/domain"
)

// start is when everything begins. It is no matter of the clock, so that the same seed
// makes the same history whenever that is done.
var start = time.Date(2023, 1, 2, 8, 0, 0, 0, time.UTC)

const (
	years = 3
	span  = years * 365 * 24 * time.Hour
)

// until is before when everything happens.
var until = start.Add(span)

// Step is a command, and its circumstances. The command is of the aggregate of the ref's
// category.
type Step struct {
	Ref     domain.Ref
	Command any
	Meta    domain.Meta
}

// Commit is what one command led to.
type Commit struct {
	Meta   domain.Meta
	Events []any
}

// Stream is all that happened to an aggregate, from the beginning.
type Stream struct {
	Ref     domain.Ref
	Commits []Commit
}

// Client is a client's whole story: its own stream, then those of what belongs to it.
type Client struct {
	Streams   []Stream
	Duplicate bool // it is somebody who is a client already
}

// A Generator makes clients. It is safe for concurrent use.
type Generator struct {
	seed   uint64
	id     domain.ID // that others derive from
	app    string
	org    *organisation
	fields []customField
}

// New returns the generator of a seed. The world holds the company as it is in the log,
// see [Refs]; app names the software that does it.
func New(seed uint64, app string, w domain.World) *Generator {
	return &Generator{seed: seed, id: seedID(seed), app: app, org: newOrganisation(seed, w), fields: usable(w)}
}

func seedID(seed uint64) domain.ID {
	return uuid.NewSHA1(domain.System, []byte("generate/"+strconv.FormatUint(seed, 10)))
}

// ID is that of the n-th client.
func (g *Generator) ID(n int) domain.ID { return derive(g.id, "client/%d", n) }

func derive(from domain.ID, format string, args ...any) domain.ID {
	return uuid.NewSHA1(from, fmt.Appendf(nil, format, args...))
}

// What a client's dice are for: each has dice of its own, so that a duplicate can be made
// from what its original was made from.
const (
	ofProfile = iota
	ofKinship
	ofLife
)

// random are the n-th client's dice.
func (g *Generator) random(n int, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(g.seed, uint64(n)<<2|purpose)) //nolint:gosec // the same every time, and no secret
}

// duplicates is how many clients of a hundred are there already.
const duplicates = 3

// original is the client of which the n-th is a duplicate.
func (g *Generator) original(n int) (m int, is bool) {
	rnd := g.random(n, ofKinship)
	if n == 0 || !percent(rnd, duplicates) {
		return 0, false
	}
	m = rnd.IntN(n)
	if _, too := g.original(m); too {
		return 0, false // nobody is there three times by way of two
	}
	return m, true
}

// Client is the n-th client.
func (g *Generator) Client(n int) (Client, error) {
	l := life{g: g, rnd: g.random(n, ofLife), id: g.ID(n), n: n}
	m, duplicate := g.original(n)
	if duplicate {
		l.profile = g.profile(m)
		l.profile.n = n
		l.profile.again(l.rnd)
	} else {
		l.profile = g.profile(n)
	}
	if err := l.live(); err != nil {
		return Client{}, fmt.Errorf("client %d (%s): %w", n, l.id, err)
	}
	return Client{l.streams, duplicate}, nil
}
