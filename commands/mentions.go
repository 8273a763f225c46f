package commands

import (
	"context"

	"golang.org/x/sync/errgroup"

	"annals/domain"
	"annals/domain/attached"
	"annals/internal/eventlog"
	"annals/internal/markdown"
)

// Attach is [Handle] for a command to what belongs to a client, with the people whom the
// command names as they are now.
func Attach[S, C, E any](ctx context.Context, a *API, d domain.Decider[S, attached.To[C], E], client, id domain.ID, c C, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	to, err := addressedTo(ctx, a, client, c)
	if err != nil {
		return Outcome{}, err
	}
	return Handle(ctx, a.Store, d, id, to, m, ifMatch)
}

// addressedTo finds out about the people whom a command names: who is assigned, and whom
// its text mentions. Who of them may be, the domain decides.
func addressedTo[C any](ctx context.Context, a *API, client domain.ID, c C) (to attached.To[C], err error) {
	to = attached.To[C]{Client: client, Command: c}
	if c, ok := any(c).(attached.Assigning); ok && c.Assignee() != (domain.ID{}) {
		if _, to.People.Assignee, err = a.authority(ctx, c.Assignee()); err != nil {
			return to, err
		}
	}
	if c, ok := any(c).(attached.Mentioning); ok {
		to.People.Mentions, err = a.mentions(ctx, c.Markdown())
	}
	return to, err
}

// mostCalled bounds how many employees one handle is looked up for.
const mostCalled = 20

// mentions are those whom a text may mention: every active employee by whose handle or id
// it calls somebody. What is nobody's is text like any other.
func (a *API) mentions(ctx context.Context, text string) ([]attached.Mention, error) {
	found := markdown.Mentions(domain.LongText(text))
	var handles []string
	for _, m := range found {
		if m.Handle != "" {
			handles = append(handles, m.Handle)
		}
	}
	var called map[string][]domain.ID
	if len(handles) > 0 {
		var err error
		if called, err = a.Directory.Handles(ctx, handles); err != nil {
			return nil, err
		}
	}
	var who [][]domain.ID
	var out []attached.Mention
	for _, m := range found {
		ids := called[m.Handle]
		if m.Handle == "" {
			ids = []domain.ID{m.ID}
		}
		if len(ids) > 0 {
			who, out = append(who, ids[:min(len(ids), mostCalled)]), append(out, attached.Mention{Typed: m.Typed})
		}
		if len(out) > attached.MostMentions {
			return out, nil // is refused, whoever they are
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range out {
		g.Go(func() error {
			for _, id := range who[i] {
				s, may, err := a.authority(ctx, id)
				if err != nil {
					return err
				}
				if s.Active() {
					out[i].Who = append(out[i].Who, may)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	there := out[:0]
	for _, m := range out {
		if len(m.Who) > 0 {
			there = append(there, m)
		}
	}
	return there, nil
}
