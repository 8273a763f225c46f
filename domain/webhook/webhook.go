package webhook

import (
	"reflect"

	"annals/domain"
	"annals/domain/registry"
)

// Command is the closed set of requests to a webhook.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a webhook of one's own.
	Create struct{ Definition }
	// Edit changes it by a JSON merge patch of its [Definition].
	Edit struct{ Patch map[string]any }
	// Pause holds deliveries back.
	Pause struct{}
	// Resume has them go on where they stopped.
	Resume struct{}
	// Disable is Pause by the system, which says why.
	Disable struct{ Reason Reason }
	// Rotate gives it other secrets.
	Rotate struct{}
	// Test has a delivery made that tells of nothing else.
	Test struct{}
	// Replay has events delivered that were before.
	Replay struct {
		From Bound `json:"from" doc:"Where in the log to begin: after a position, or with a time"`
		To   Bound `json:"to,omitzero" doc:"The last position or time; left out, now"`
	}
	// Delete ends it.
	Delete struct{}
)

func (Create) command()  {}
func (Edit) command()    {}
func (Pause) command()   {}
func (Resume) command()  {}
func (Disable) command() {}
func (Rotate) command()  {}
func (Test) command()    {}
func (Replay) command()  {}
func (Delete) command()  {}

// Status is whether deliveries are made.
type Status string

// The statuses.
const (
	Active   Status = "active"
	IsPaused Status = "paused"
	Off      Status = "disabled"
)

// State is a webhook, folded from its events.
type State struct {
	exists  bool
	OwnerID domain.ID
	KeyID   domain.ID // of the owner; the zero ID where they made it themselves
	Status  Status
	Reason  Reason // why it is disabled
	Definition
}

// Exists says whether there is such a webhook, still.
func (s State) Exists() bool { return s.exists }

// Owns says whether somebody who acts as actor decides what the webhook is told, and
// where: its owner, and of one that a key made, the key. Another key of theirs may do
// less than they, and must not have told itself what it may not see.
func (s State) Owns(by domain.Authority, actor domain.ID) bool {
	return by.ID != domain.ID{} && by.ID == s.OwnerID || s.KeyID != domain.ID{} && actor == s.KeyID
}

// Visible says whether somebody who acts as actor may know of the webhook: its owner,
// and who manages all webhooks. Nobody else learns that there is one.
func (s State) Visible(by domain.Authority, actor domain.ID) bool {
	return s.exists && (s.Owns(by, actor) || by.MayIn(domain.WebhooksManage, domain.ID{}))
}

// Reasons to refuse a command.
var (
	ErrExists   = domain.Errorf(domain.Conflict, "webhook.exists", "the webhook exists already")
	ErrAbsent   = domain.Errorf(domain.NotFound, "webhook.absent", "there is no such webhook")
	ErrInactive = domain.Errorf(domain.Conflict, "webhook.inactive", "the webhook is paused or disabled: resume it first")
)

// Aggregate is the webhook for the command side.
var Aggregate = domain.Decider[State, Command, Event]{Category: domain.Webhook, Refs: refs, Decide: decide, Evolve: evolve}

// refs are the projects and desks that a webhook is to be told of.
func refs(s State, c Command) (refs []domain.Ref) {
	var d Definition
	switch c := c.(type) {
	case Create:
		d = c.Definition
	case Edit:
		d, _ = registry.Patched(s.Definition, c.Patch, "is no part of a webhook") // what is wrong with it, the decision tells
	case Pause, Resume, Disable, Rotate, Test, Replay, Delete:
	}
	for _, id := range d.Projects {
		refs = append(refs, domain.Ref{Category: domain.Project, ID: id})
	}
	for _, id := range d.Desks {
		refs = append(refs, domain.Ref{Category: domain.Desk, ID: id})
	}
	return refs
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if c, creating := c.(Create); creating {
		return c.decide(s, w, m)
	}
	if !s.Visible(m.By, m.Actor) {
		return nil, ErrAbsent
	}
	owns := s.Owns(m.By, m.Actor)
	switch c := c.(type) {
	case Edit:
		if !owns {
			return nil, domain.ErrForbidden // it would be told elsewhere what its owner may see
		}
		to, err := registry.Patched(s.Definition, c.Patch, "is no part of a webhook")
		if err != nil {
			return nil, err
		}
		if to, err = to.normal(w, m.By); err != nil || reflect.DeepEqual(to, s.Definition) {
			return nil, err
		}
		return []Event{Changed{s.Definition, to}}, nil
	case Pause:
		return unless(s.Status == IsPaused, Paused{}), nil
	case Resume:
		return unless(s.Status == Active, Resumed{}), nil
	case Disable:
		return unless(s.Status != Active, Disabled(c)), nil
	case Rotate:
		if !owns {
			return nil, domain.ErrForbidden
		}
		return []Event{Rotated{}}, nil
	case Test:
		if s.Status != Active {
			return nil, ErrInactive
		}
		return []Event{Tested{}}, nil
	case Replay:
		if !owns {
			return nil, domain.ErrForbidden
		}
		return c.decide(m)
	case Delete:
		return []Event{Deleted{}}, nil
	case Create:
	}
	return nil, nil
}

func unless(done bool, e Event) []Event {
	if done {
		return nil
	}
	return []Event{e}
}

func (c Create) decide(s State, w domain.World, m domain.Meta) ([]Event, error) {
	e := Created{OwnerID: m.By.ID}
	if m.By.ID == (domain.ID{}) {
		e.OwnerID, e.KeyID = m.By.Behalf, m.Actor
	}
	switch {
	case s.OwnerID != domain.ID{}:
		return nil, ErrExists
	case m.By.Rights[domain.WebhooksManage] == domain.Nothing, e.OwnerID == domain.ID{}:
		return nil, domain.ErrForbidden
	}
	var err error
	if e.Definition, err = c.normal(w, m.By); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func (c Replay) decide(m domain.Meta) ([]Event, error) {
	e := Replayed(c)
	var f domain.Faults
	if (c.From.Position == "") == c.From.Time.IsZero() {
		f.Add(domain.Fault("from", "required", "has to be a position or a time, one of them"))
	}
	if c.To.Position != "" && !c.To.Time.IsZero() {
		f.Add(domain.Fault("to", "contradiction", "has to be a position or a time, not both"))
	}
	for at, b := range map[string]*Bound{"from": &e.From, "to": &e.To} {
		b.Time = b.Time.UTC()
		if y := b.Time.Year(); y < 1 || y > 9999 {
			f.Add(domain.Fault(at+".time", "range", "has to be a time of the years 1 to 9999"))
		}
	}
	if e.From.Time.After(m.At) {
		f.Add(domain.Fault("from.time", "future", "is not before now"))
	}
	if !e.To.Time.IsZero() && e.To.Time.Before(e.From.Time) {
		f.Add(domain.Fault("to.time", "before", "is before the time that it begins with"))
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s = State{exists: true, OwnerID: e.OwnerID, KeyID: e.KeyID, Status: Active, Definition: e.Definition}
	case Changed:
		s.Definition = e.To
	case Paused:
		s.Status, s.Reason = IsPaused, ""
	case Resumed:
		s.Status, s.Reason = Active, ""
	case Disabled:
		s.Status, s.Reason = Off, e.Reason
	case Rotated, Tested, Replayed:
	case Deleted:
		s.exists = false
	}
	return s
}
