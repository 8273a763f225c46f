package webhook

import (
	"context"
	"iter"
	"maps"
	"sync"

	"annals/domain"
	"annals/internal/eventlog"
)

// places is where clients belong now, as far as it was asked for, or has happened of late.
type places struct {
	mu    sync.Mutex
	known map[domain.ID]located
	since eventlog.Position // of what happened after this nothing has been forgotten
	heard eventlog.Position // what was told last
	lost  int               // how often something was forgotten
	most  int               // are remembered
	doubt bool              // something happened that this program does not know: the read models do not either
}

type located struct {
	at    domain.Place
	known bool // there is such a client
}

// begin begins at a position of the log, after which it is told everything.
func (p *places) begin(at eventlog.Position) {
	p.known, p.since, p.heard, p.most = map[domain.ID]located{}, at, at, memorised
}

// tell notes what an event at a position says.
func (p *places) tell(id domain.ID, at domain.Place, position eventlog.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = position
	p.put(id, located{at, true})
}

func (p *places) put(id domain.ID, l located) {
	if len(p.known) >= p.most {
		p.known, p.since = map[domain.ID]located{}, p.heard
		p.lost++
	}
	p.known[id] = l
}

// doubts notes that something unknown happened to a client.
func (p *places) doubts(id domain.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, id)
	p.doubt = true
	p.lost++
}

// get is where a client belongs: what is not known is loaded from the log.
func (p *places) get(ctx context.Context, id domain.ID, load func(context.Context, domain.ID) (domain.Place, bool, error)) (domain.Place, bool, error) {
	p.mu.Lock()
	l, ok := p.known[id]
	lost := p.lost
	p.mu.Unlock()
	if ok {
		return l.at, l.known, nil
	}
	var err error
	if l.at, l.known, err = load(ctx, id); err != nil {
		return l.at, l.known, err
	}
	p.keep(lost, map[domain.ID]located{id: l})
	return l.at, l.known, nil
}

// keep remembers what was loaded since so much was lost, but for what has been told meanwhile.
func (p *places) keep(lost int, loaded map[domain.ID]located) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != lost {
		return
	}
	maps.DeleteFunc(loaded, func(id domain.ID, _ located) bool { _, newer := p.known[id]; return newer })
	for id, l := range loaded {
		p.put(id, l)
	}
}

// unknown are those of some who are not known.
func (p *places) unknown(some iter.Seq[domain.ID]) (out []domain.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range some {
		if _, ok := p.known[id]; !ok {
			out = append(out, id)
		}
	}
	return out
}

// learn remembers what ask answers, which has to know everything up to the position that it
// is given.
func (p *places) learn(ask func(eventlog.Position) (map[domain.ID]domain.Place, error)) error {
	p.mu.Lock()
	since, lost, doubt := p.since, p.lost, p.doubt
	p.mu.Unlock()
	if doubt {
		return nil
	}
	answer, err := ask(since)
	if err != nil {
		return err
	}
	loaded := make(map[domain.ID]located, len(answer))
	for id, at := range answer {
		loaded[id] = located{at, true}
	}
	p.keep(lost, loaded)
	return nil
}
