package client

import (
	"time"

	"annals/domain"
)

// Portal is whether a client may use the portal: a system outside, which acts on the
// events.
type Portal struct {
	Access     bool
	Override   bool      // somebody said so, and the rule does not count
	LastSignIn time.Time // the latest that is known
}

// PortalAccess is what somebody can say about it.
type PortalAccess string

// What somebody can say about it.
const (
	Granted   PortalAccess = "granted"
	Revoked   PortalAccess = "revoked"
	Automatic PortalAccess = "automatic"
)

// Cause is why access was granted or revoked.
type Cause string

// The causes.
const (
	ByRule     Cause = "rule"
	ByOverride Cause = "override"
)

// wanted says whether the rule opens the portal to the client.
func (s State) wanted() bool { return s.Status == Active && !s.Deactivated }

func (c SetPortal) decide(s State) ([]Event, error) {
	reason := domain.LongText(c.Reason)
	if err := domain.CheckText("reason", reason, 1000); err != nil {
		return nil, err
	}
	access := c.Access == Granted
	switch c.Access {
	case Granted, Revoked:
		switch {
		case s.Portal.Override && s.Portal.Access == access:
			return nil, nil
		case access && s.Deactivated:
			return nil, ErrDeactivated
		case access:
			return []Event{PortalAccessGranted{ByOverride, reason}}, nil
		}
		return []Event{PortalAccessRevoked{ByOverride, reason}}, nil
	case Automatic:
		if !s.Portal.Override {
			return s.followPortal(), nil
		}
		cleared := PortalOverrideCleared{reason}
		return append([]Event{cleared}, evolve(s, cleared).followPortal()...), nil
	}
	return nil, domain.Fault("access", "unknown", "is %q, and has to be granted, revoked or automatic", c.Access)
}

// followPortal is what the rule leads to. A deactivated client has no access, whatever
// somebody said.
func (s State) followPortal() []Event {
	var events []Event
	if s.Portal.Override && s.Deactivated {
		events = append(events, PortalOverrideCleared{})
		s.Portal.Override = false
	}
	switch {
	case s.Portal.Override || s.Portal.Access == s.wanted():
	case s.wanted():
		events = append(events, PortalAccessGranted{Cause: ByRule})
	default:
		events = append(events, PortalAccessRevoked{Cause: ByRule})
	}
	return events
}

func (c SignedInToPortal) decide(s State, m domain.Meta) ([]Event, error) {
	at := c.At.UTC().Truncate(time.Microsecond)
	if c.At.IsZero() {
		at = m.At
	}
	if at.After(m.At.Add(ahead)) {
		return nil, domain.Fault("at", "future", "is in the future")
	}
	if !at.After(s.Portal.LastSignIn) {
		return nil, nil // a later one is known
	}
	return []Event{PortalSignedIn{at}}, nil
}
