// Package portal is whether a client may sign in to the portal: a system outside, which
// acts on these events. It follows the client's status by a rule, until somebody says
// otherwise.
//
// It has a stream of its own, with the client's id, so that what the rule does is in
// nobody's way who works with the client at that moment.
package portal

import (
	"time"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
)

// Event is the closed set of facts about a client's portal. A shipped event never
// changes shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// AccessGranted opens the portal to the client. Where the cause is an override, it
	// may have been open already.
	AccessGranted struct {
		ClientID domain.ID `json:"client_id"`
		Cause    Cause     `json:"cause"`
		Reason   string    `json:"reason,omitempty" personal:"yes"`
	}
	// AccessRevoked closes it. Where the cause is an override, it may have been closed
	// already.
	AccessRevoked struct {
		ClientID domain.ID `json:"client_id"`
		Cause    Cause     `json:"cause"`
		Reason   string    `json:"reason,omitempty" personal:"yes"`
	}
	// OverrideCleared leaves it to the rule again whether the client has access.
	OverrideCleared struct {
		ClientID domain.ID `json:"client_id"`
		Reason   string    `json:"reason,omitempty" personal:"yes"`
	}
	// SignedIn is the latest time that the client has been at the portal.
	SignedIn struct {
		ClientID domain.ID `json:"client_id"`
		At       time.Time `json:"at"`
	}
)

func (AccessGranted) event()   {}
func (AccessRevoked) event()   {}
func (OverrideCleared) event() {}
func (SignedIn) event()        {}

// Cause is why access was granted or revoked.
type Cause string

// The causes.
const (
	ByRule     Cause = "rule"
	ByOverride Cause = "override"
)

// Command is the closed set of requests about a client's portal.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Set opens or closes the portal to the client by hand, or leaves it to the rule again.
	Set struct {
		Access Access `json:"access" doc:"granted and revoked override the rule, until automatic takes that back: that who is active has access" enum:"granted,revoked,automatic"`
		Reason string `json:"reason,omitempty" maxLength:"1000"`
	}
	// Follow is the rule: the portal is open to clients who are active, unless somebody
	// said otherwise.
	Follow struct{}
	// SignIn is told by the portal.
	SignIn struct {
		At time.Time `json:"at,omitzero" doc:"When the client signed in; now, unless given" format:"date-time"`
	}
)

// Access is what somebody can say about it.
type Access string

// What somebody can say about it.
const (
	Granted   Access = "granted"
	Revoked   Access = "revoked"
	Automatic Access = "automatic"
)

func (Set) command()    {}
func (Follow) command() {}
func (SignIn) command() {}

// Needs implements [attached.Command].
func (Set) Needs() domain.Permission { return domain.ClientsEdit }

// Needs implements [attached.Command].
func (Follow) Needs() domain.Permission { return domain.ClientsEdit }

// Needs implements [attached.Command].
func (SignIn) Needs() domain.Permission { return domain.ClientsEdit }

// Creates implements [attached.Command]: each client has a portal, of which nothing is
// known at first.
func (Set) Creates() bool { return true }

// Creates implements [attached.Command].
func (Follow) Creates() bool { return true }

// Creates implements [attached.Command].
func (SignIn) Creates() bool { return true }

// State is a client's portal, folded from its events.
type State struct {
	client     domain.ID
	Access     bool
	Override   bool      // somebody said so, and the rule does not count
	LastSignIn time.Time // the latest that is known
}

// Exists implements [attached.State]: nothing has to be made before it is changed.
func (s State) Exists() bool { return false }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Aggregate is the portal for the command side. Its id is the client's.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Portal, Decide: decide, Evolve: evolve})

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Set:
		return c.decide(s, in)
	case Follow:
		return s.follow(in), nil
	case SignIn:
		return c.decide(s, in)
	}
	return nil, nil
}

// wanted says whether the rule opens the portal to the client.
func wanted(c client.State) bool { return c.Status == client.Active && !c.Deactivated }

func (c Set) decide(s State, in attached.Context) ([]Event, error) {
	reason := domain.LongText(c.Reason)
	if err := domain.CheckText("reason", reason, 1000); err != nil {
		return nil, err
	}
	access := c.Access == Granted
	switch c.Access {
	case Granted, Revoked:
		switch {
		case access && in.Client.Deactivated:
			return nil, client.ErrDeactivated
		case s.Override && s.Access == access:
			return nil, nil
		case access:
			return []Event{AccessGranted{in.ClientID, ByOverride, reason}}, nil
		}
		return []Event{AccessRevoked{in.ClientID, ByOverride, reason}}, nil
	case Automatic:
		if !s.Override {
			return s.follow(in), nil
		}
		cleared := OverrideCleared{in.ClientID, reason}
		return append([]Event{cleared}, evolve(s, cleared).follow(in)...), nil
	}
	return nil, domain.Fault("access", "unknown", "is %q, and has to be granted, revoked or automatic", c.Access)
}

// follow is what the rule leads to. A deactivated client has no access, whatever
// somebody said.
func (s State) follow(in attached.Context) []Event {
	var events []Event
	if s.Override && in.Client.Deactivated {
		events = append(events, OverrideCleared{ClientID: in.ClientID})
		s.Override = false
	}
	switch {
	case s.Override || s.Access == wanted(in.Client):
	case wanted(in.Client):
		events = append(events, AccessGranted{ClientID: in.ClientID, Cause: ByRule})
	default:
		events = append(events, AccessRevoked{ClientID: in.ClientID, Cause: ByRule})
	}
	return events
}

// ahead is how far other systems' clocks may be.
const ahead = 5 * time.Minute

func (c SignIn) decide(s State, in attached.Context) ([]Event, error) {
	at := c.At.UTC().Truncate(time.Microsecond)
	if c.At.IsZero() {
		at = in.At
	}
	switch {
	case at.After(in.At.Add(ahead)):
		return nil, domain.Fault("at", "future", "is in the future")
	case !at.After(s.LastSignIn):
		return nil, nil // a later one is known
	}
	return []Event{SignedIn{in.ClientID, at}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case AccessGranted:
		s.client, s.Access, s.Override = e.ClientID, true, s.Override || e.Cause == ByOverride
	case AccessRevoked:
		s.client, s.Access, s.Override = e.ClientID, false, s.Override || e.Cause == ByOverride
	case OverrideCleared:
		s.client, s.Override = e.ClientID, false
	case SignedIn:
		s.client = e.ClientID
		if e.At.After(s.LastSignIn) {
			s.LastSignIn = e.At
		}
	}
	return s
}
