package portal

import (
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
)

var (
	lee   = domain.ID{1}
	here  = domain.ID{2}
	today = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
)

// in is a world in which the client is as these events leave it.
func in(events ...client.Event) domain.World {
	var c client.State
	for _, e := range events {
		c = client.Aggregate.Evolve(c, e)
	}
	return domain.World{{Category: domain.Client, ID: lee}: c}
}

func registered(s client.Status) client.Event {
	return client.Registered{Details: client.Details{LastName: "Lee"}, Assignment: client.Assignment{ProjectID: here}, Status: s}
}

func TestPortal(t *testing.T) {
	off := client.Deactivated{Reason: "x"}
	lead, active := in(registered(client.Lead)), in(registered(client.Active))
	inactive := in(registered(client.Active), client.StatusChanged{From: client.Active, To: client.Inactive})
	disabled, enabled := in(registered(client.Active), off), in(registered(client.Active), off, client.Reactivated{})
	grantedBy := func(c Cause) Event { return AccessGranted{ClientID: lee, Cause: c} }
	revokedBy := func(c Cause) Event { return AccessRevoked{ClientID: lee, Cause: c} }
	cleared := OverrideCleared{ClientID: lee}
	agent := domain.Authority{ID: domain.ID{9}, Rights: domain.RightsOf(domain.Grant{Permission: domain.ClientsView, Reach: domain.InProjects}), Scope: domain.ScopeOf([]domain.ID{here}, nil)}
	fault := func(field, code string) error { return domain.Fault(field, code, "") }
	type portalCase struct {
		given []Event
		world domain.World
		by    domain.Authority
		when  Command
		then  []Event
		err   error
	}
	cases := map[string]domaintest.Case[attached.To[Command], Event]{}
	for name, c := range map[string]portalCase{
		"of nobody":                          {when: Set{Access: Granted}, err: client.ErrAbsent},
		"by who may not":                     {by: agent, world: active, when: Set{Access: Granted}, err: domain.ErrForbidden},
		"to what there is not":               {world: active, when: Set{Access: "open"}, err: fault("access", "unknown")},
		"for too many reasons":               {world: active, when: Set{Granted, strings.Repeat("x", 1001)}, err: fault("reason", "too_long")},
		"granted to a lead":                  {world: lead, when: Set{Granted, " asked \n for it"}, then: []Event{AccessGranted{lee, ByOverride, "asked \n for it"}}},
		"granted again":                      {given: []Event{grantedBy(ByOverride)}, world: lead, when: Set{Access: Granted}},
		"granted whatever the rule says":     {given: []Event{grantedBy(ByRule)}, world: active, when: Set{Access: Granted}, then: []Event{grantedBy(ByOverride)}},
		"granted to a deactivated client":    {world: disabled, when: Set{Access: Granted}, err: client.ErrDeactivated},
		"revoked":                            {given: []Event{grantedBy(ByRule)}, world: active, when: Set{Revoked, "abuse"}, then: []Event{AccessRevoked{lee, ByOverride, "abuse"}}},
		"revoked before there is any":        {world: lead, when: Set{Access: Revoked}, then: []Event{revokedBy(ByOverride)}},
		"revoked again":                      {given: []Event{revokedBy(ByOverride)}, world: lead, when: Set{Access: Revoked}},
		"revoked for a deactivated client":   {given: []Event{grantedBy(ByRule)}, world: disabled, when: Set{Access: Revoked}, then: []Event{revokedBy(ByOverride)}},
		"automatic again":                    {given: []Event{revokedBy(ByOverride)}, world: active, when: Set{Automatic, "over"}, then: []Event{OverrideCleared{lee, "over"}, grantedBy(ByRule)}},
		"automatic again, to the same":       {given: []Event{grantedBy(ByOverride)}, world: active, when: Set{Access: Automatic}, then: []Event{cleared}},
		"automatic, as it is":                {world: lead, when: Set{Access: Automatic}},
		"automatic, before the rule came by": {world: active, when: Set{Access: Automatic}, then: []Event{grantedBy(ByRule)}},

		"the rule, of nobody":           {when: Follow{}, err: client.ErrAbsent},
		"the rule, for a lead":          {world: lead, when: Follow{}},
		"the rule, for an active":       {world: active, when: Follow{}, then: []Event{grantedBy(ByRule)}},
		"the rule, again":               {given: []Event{grantedBy(ByRule)}, world: active, when: Follow{}},
		"the rule, once inactive":       {given: []Event{grantedBy(ByRule)}, world: inactive, when: Follow{}, then: []Event{revokedBy(ByRule)}},
		"the rule, once deactivated":    {given: []Event{grantedBy(ByRule)}, world: disabled, when: Follow{}, then: []Event{revokedBy(ByRule)}},
		"the rule, once reactivated":    {given: []Event{revokedBy(ByRule)}, world: enabled, when: Follow{}, then: []Event{grantedBy(ByRule)}},
		"the rule, overridden":          {given: []Event{revokedBy(ByOverride)}, world: active, when: Follow{}},
		"deactivation ends an override": {given: []Event{grantedBy(ByOverride)}, world: disabled, when: Follow{}, then: []Event{cleared, revokedBy(ByRule)}},
		"a refusal, when deactivated":   {given: []Event{revokedBy(ByOverride)}, world: disabled, when: Follow{}, then: []Event{cleared}},

		"signed in":               {world: active, when: SignIn{}, then: []Event{SignedIn{lee, today}}},
		"signed in then":          {world: active, when: SignIn{today.Add(-time.Hour).In(time.FixedZone("", 3600))}, then: []Event{SignedIn{lee, today.Add(-time.Hour)}}},
		"signed in, told late":    {given: []Event{SignedIn{lee, today}}, world: active, when: SignIn{today.Add(-time.Hour)}},
		"signed in, a fast clock": {world: active, when: SignIn{today.Add(time.Minute)}, then: []Event{SignedIn{lee, today.Add(time.Minute)}}},
		"signed in tomorrow":      {world: active, when: SignIn{today.Add(time.Hour)}, err: fault("at", "future")},
		"signed in, deactivated":  {world: disabled, when: SignIn{}, then: []Event{SignedIn{lee, today}}},
	} {
		cases[name] = domaintest.Case[attached.To[Command], Event]{
			Given: c.given, World: c.world, By: c.by, At: today, When: attached.To[Command]{Client: lee, Command: c.when}, Then: c.then, Err: c.err,
		}
	}
	domaintest.Run(t, Aggregate, cases)
}

// Whatever happens in whatever order: once the rule has been followed, a client who is
// deactivated has no access, and access that nobody overrode is that of the status.
func TestRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clients := map[string]domain.World{
			"lead": in(registered(client.Lead)), "active": in(registered(client.Active)),
			"deactivated": in(registered(client.Active), client.Deactivated{Reason: "x"}),
		}
		names := []string{"lead", "active", "deactivated"}
		var s State
		now := clients["lead"]
		do := func(c Command) {
			events, _ := Aggregate.Decide(s, attached.To[Command]{Client: lee, Command: c}, maps.Clone(now), domain.Meta{By: domain.Root, At: today})
			for _, e := range events {
				s = Aggregate.Evolve(s, e)
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				now = clients[rapid.SampledFrom(names).Draw(t, "client")]
			case 1:
				do(Set{Access: rapid.SampledFrom([]Access{Granted, Revoked, Automatic, "open"}).Draw(t, "access")})
			case 2:
				do(SignIn{At: today.Add(-time.Duration(rapid.IntRange(0, 9).Draw(t, "hours")) * time.Hour)})
			}
		}
		do(Follow{})
		c := domain.Look[client.State](now, domain.Ref{Category: domain.Client, ID: lee})
		if c.Deactivated && (s.Access || s.Override) || !s.Override && s.Access != wanted(c) {
			t.Fatalf("%s, deactivated: %v, and the portal is %+v", c.Status, c.Deactivated, s)
		}
		before := s
		if do(Follow{}); s != before {
			t.Fatal("following the rule twice is not following it once")
		}
	})
}
