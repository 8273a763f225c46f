package project_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/domaintest"
	. "annals/domain/project"
	"annals/domain/role"
)

var retail = domain.ID{1}

// as is somebody with a built-in role in these projects.
func as(name string, projects ...domain.ID) domain.Authority {
	b, _ := role.Named(name)
	return domain.Authority{ID: uuid.UUID{9}, Rights: b.Rights, Scope: domain.ScopeOf(projects, nil)}
}

func TestTransitions(t *testing.T) {
	created := Created{Name: "Retail", DefaultDeskID: defaultDesk}
	forward := Transitions{"lead": {"active"}, "active": {"inactive"}, "inactive": {}}
	set := func(from, to Transitions) []Event { return []Event{TransitionsChanged{from, to}} }
	ask := func(by domain.Authority, given []Event, allowed Transitions, then []Event, err error) domaintest.Case[Command, Event] {
		return domaintest.Case[Command, Event]{ID: retail, By: by, Given: given, When: SetTransitions{allowed}, Then: then, Err: err}
	}
	root, there := domain.Authority{}, []Event{created}
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"of what there is not":        ask(root, nil, forward, nil, ErrAbsent),
		"by who works elsewhere":      ask(as(role.ProjectAdmin, domain.ID{2}), there, forward, nil, ErrAbsent),
		"by an agent of the project":  ask(as(role.Agent, retail), there, forward, nil, domain.ErrForbidden),
		"by who manages the project":  ask(as(role.ProjectAdmin, retail), there, forward, set(nil, forward), nil),
		"said shortly":                ask(root, there, Transitions{"active": {"inactive"}, "lead": {"active", "lead"}}, set(nil, forward), nil),
		"to what they are":            ask(root, append(there, set(nil, forward)...), forward, nil, nil),
		"to others":                   ask(root, append(there, set(nil, forward)...), Transitions{"lead": {"inactive", "active"}}, set(forward, Transitions{"lead": {"active", "inactive"}, "active": {}, "inactive": {}}), nil),
		"back to all":                 ask(root, append(there, set(nil, forward)...), nil, set(forward, nil), nil),
		"to all, which is none":       ask(root, there, Transitions{"lead": {"active", "inactive"}, "active": {"lead", "inactive"}, "inactive": {"active", "lead"}}, nil, nil),
		"to none at all":              ask(root, there, Transitions{"lead": nil}, set(nil, Transitions{"lead": {}, "active": {}, "inactive": {}}), nil),
		"with statuses that are none": ask(root, there, Transitions{"lead": {"active", "won"}, "Lost": nil}, nil, errors.Join(domain.Fault("allowed.lead[1]", "unknown", ""), domain.Fault("allowed.Lost", "unknown", ""))),
		"with too much":               ask(root, there, Transitions{"lead": make([]string, 4)}, nil, domain.Fault("allowed.lead", "too_many", "")),
		"from too much":               ask(root, there, Transitions{"a": nil, "b": nil, "c": nil, "d": nil}, nil, domain.Fault("allowed", "too_many", "")),
	})
}

// What is allowed is what was asked for, and to stay what one is always is.
func TestAllows(t *testing.T) {
	statuses := []string{"lead", "active", "inactive"}
	rapid.Check(t, func(t *rapid.T) {
		allowed := Transitions(rapid.MapOf(rapid.SampledFrom(statuses), rapid.SliceOfN(rapid.SampledFrom(statuses), 0, 3)).Draw(t, "allowed"))
		s := Aggregate.Evolve(State{}, Created{})
		events, err := Aggregate.Decide(s, SetTransitions{allowed}, nil, domain.Meta{By: domain.Root})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			s = Aggregate.Evolve(s, e)
		}
		for _, from := range statuses {
			for _, to := range statuses {
				want := len(allowed) == 0 || from == to
				for _, one := range allowed[from] {
					want = want || one == to
				}
				if got := s.Allows(from, to); got != want {
					t.Fatalf("%v: from %s to %s: %v", allowed, from, to, got)
				}
			}
		}
	})
}
