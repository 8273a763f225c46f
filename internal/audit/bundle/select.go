package bundle

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

// selection says which events go into a bundle.
type selection struct {
	all      bool                // of the period
	from, to int64               // ticks
	of       map[domain.Ref]bool // clients, with what belongs to them, projects and desks
	gone     map[eventlog.Position]*proof.Leaf
}

func (s *selection) has(r *eventlog.Record) bool {
	if s.all {
		return s.during(proof.Ticks(r.Stored.Created))
	}
	ref, err := r.Ref()
	if err != nil || ref.Category == eventschema.Key {
		return false
	}
	if s.of[ref] {
		return true
	}
	md, err := eventschema.DecodeMetadata(r.Stored.Metadata)
	return err == nil && md.Subject != domain.ID{} && s.of[domain.Ref{Category: domain.Client, ID: md.Subject}]
}

func (s *selection) during(at int64) bool { return at >= s.from && at < s.to }

// choose says what is of a scope, up to the position. A project's clients are all that
// were ever in it.
func (s *Source) choose(ctx context.Context, scope Scope, until eventlog.Position) (*selection, error) {
	if scope.Kind == "period" {
		return s.erased(ctx, &selection{all: true, from: proof.Ticks(scope.From), to: proof.Ticks(scope.To)}, until)
	}
	id, err := uuid.Parse(scope.ID)
	if err != nil {
		return nil, fmt.Errorf("%q is not an id", scope.ID)
	}
	sel := &selection{of: map[domain.Ref]bool{{Category: scope.Kind, ID: id}: true}}
	if scope.Kind == domain.Client {
		return sel, nil
	}
	for item, err := range s.Log.Subscribe(ctx, eventlog.Position{}) {
		if err != nil {
			return nil, err
		}
		if r := item.Record; r != nil && within(r.Event, id) {
			ref, err := r.Ref()
			if err != nil {
				return nil, err
			}
			sel.of[ref] = true
		}
		if item.Position.Compare(until) >= 0 || item.Live {
			break
		}
	}
	return sel, nil
}

// within says whether an event shows that its aggregate is of the project.
func within(event any, project domain.ID) bool {
	switch e := event.(type) {
	case client.Registered:
		return e.ProjectID == project
	case client.Reassigned:
		return e.To.ProjectID == project
	case desk.Created:
		return e.ProjectID == project
	}
	return false
}

// erased finds the leaves of keys that have left the log: what erasures tell of them.
func (s *Source) erased(ctx context.Context, sel *selection, until eventlog.Position) (*selection, error) {
	sel.gone = map[eventlog.Position]*proof.Leaf{}
	for item, err := range s.Log.SubscribeStored(ctx, eventlog.Position{}, "^"+domain.Client+"-") {
		if err != nil {
			return nil, err
		}
		if r := item.Record; r != nil && r.Type == audit.ErasedType {
			for _, l := range audit.Told(r.Stored.Data) {
				sel.gone[eventlog.Position{Commit: l.Commit, Prepare: l.Prepare}] = l
			}
		}
		if item.Position.Compare(until) >= 0 || item.Live {
			break
		}
	}
	return sel, nil
}
