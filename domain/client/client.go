package client

import (
	"fmt"
	"slices"

	"annals/domain"
)

// Reasons to refuse a command. Those that depend on the input are faults of its fields.
var (
	ErrExists      = domain.Errorf(domain.Conflict, "client.exists", "the client exists already")
	ErrAbsent      = domain.Errorf(domain.NotFound, "client.absent", "there is no such client")
	ErrDeactivated = domain.Errorf(domain.Conflict, "client.deactivated", "the client is deactivated: reactivate it first")
)

// Command is the closed set of requests to a client.
//
//sumtype:decl
type Command interface {
	// Needs is the permission that has to reach the client.
	Needs() domain.Permission
	command()
}

type (
	// Register makes a client.
	Register struct {
		Details
		ProjectID domain.ID               `json:"project_id" doc:"The project that the client belongs to" format:"uuid"`
		DeskID    domain.Field[domain.ID] `json:"desk_id,omitzero" doc:"A desk of that project"`
		ManagerID domain.Field[domain.ID] `json:"manager_id,omitzero" doc:"An employee assigned to the project, and to the desk if there is one"`
		Status    Status                  `json:"status,omitempty" doc:"lead unless given" enum:"lead,active,inactive"`
		Tags      []string                `json:"tags,omitempty" maxItems:"100"`
	}
	// Edit changes details by a JSON merge patch of them.
	Edit struct{ Patch map[string]any }
	// Assign changes where the client belongs. What is left out stays; null takes
	// the client off its desk or manager.
	Assign struct {
		ProjectID domain.Field[domain.ID] `json:"project_id,omitzero" doc:"The project to move to"`
		DeskID    domain.Field[domain.ID] `json:"desk_id,omitzero" doc:"A desk of the project, or null for none"`
		ManagerID domain.Field[domain.ID] `json:"manager_id,omitzero" doc:"An employee assigned to the project and the desk, or null for none"`
		Reason    string                  `json:"reason,omitempty" maxLength:"1000"`
	}
	// HandOver gives a client of one manager to another, or to none; one that has got
	// another manager since stays with them.
	HandOver struct{ From, To domain.ID }
	// Retag adds and removes tags.
	Retag struct {
		Add    []string `json:"add,omitempty" maxItems:"100"`
		Remove []string `json:"remove,omitempty" maxItems:"100"`
	}
	// ChangeStatus moves the client along its lifecycle.
	ChangeStatus struct {
		Status Status `json:"status" enum:"lead,active,inactive"`
	}
	// Deactivate disables the client and keeps all that is known about it.
	Deactivate struct {
		Reason string `json:"reason" doc:"Why, for the history" maxLength:"1000"`
	}
	// Reactivate takes the deactivation back.
	Reactivate struct{}
)

func (Register) command()     {}
func (Edit) command()         {}
func (Assign) command()       {}
func (HandOver) command()     {}
func (Retag) command()        {}
func (ChangeStatus) command() {}
func (Deactivate) command()   {}
func (Reactivate) command()   {}

// Needs implements [Command].
func (Register) Needs() domain.Permission { return domain.ClientsCreate }

// Needs implements [Command].
func (Edit) Needs() domain.Permission { return domain.ClientsEdit }

// Needs implements [Command].
func (Assign) Needs() domain.Permission { return domain.ClientsAssign }

// Needs implements [Command].
func (HandOver) Needs() domain.Permission { return domain.ClientsAssign }

// Needs implements [Command].
func (Retag) Needs() domain.Permission { return domain.ClientsRetag }

// Needs implements [Command].
func (ChangeStatus) Needs() domain.Permission { return domain.ClientsStatus }

// Needs implements [Command].
func (Deactivate) Needs() domain.Permission { return domain.ClientsDeactivate }

// Needs implements [Command].
func (Reactivate) Needs() domain.Permission { return domain.ClientsDeactivate }

// State is a client, folded from its events.
type State struct {
	exists      bool
	Details     Details
	Assignment  Assignment
	Status      Status
	Tags        []string // sorted
	Deactivated bool
}

// Exists says whether there is such a client.
func (s State) Exists() bool { return s.exists }

// Aggregate is the client for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.Client,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
	Depends:  depends,
	Correct:  correct,
}

func refs(s State, c Command) []domain.Ref {
	var a Assignment
	switch c := c.(type) {
	case Register:
		a = c.assignment()
	case Assign:
		a = c.over(s.Assignment)
	case HandOver:
		a = c.assign().over(s.Assignment)
	case Edit, Retag, ChangeStatus, Deactivate, Reactivate:
		return nil
	}
	refs := []domain.Ref{{Category: domain.Project, ID: a.ProjectID}}
	if a.DeskID != (domain.ID{}) {
		refs = append(refs, domain.Ref{Category: domain.Desk, ID: a.DeskID})
	}
	if a.ManagerID != (domain.ID{}) {
		refs = append(refs, domain.Ref{Category: domain.Employee, ID: a.ManagerID})
	}
	return refs
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if err := s.admits(c, m.By); err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case Register:
		return c.decide(w, m)
	case Edit:
		return c.decide(s)
	case Assign:
		return c.decide(s, w, m)
	case HandOver:
		if s.Assignment.ManagerID != c.From {
			return nil, nil
		}
		if c.To == (domain.ID{}) && c.From != c.To { // the rest of where it belongs was checked when it came there
			return []Event{Reassigned{From: s.Assignment, To: c.assign().over(s.Assignment)}}, nil
		}
		return c.assign().decide(s, w, m)
	case Retag:
		return c.decide(s)
	case ChangeStatus:
		return c.decide(s)
	case Deactivate:
		return c.decide(s)
	case Reactivate:
		if !s.Deactivated {
			return nil, nil
		}
		return []Event{Reactivated{}}, nil
	}
	return nil, nil
}

// admits says whether a client in state s takes a command of c's kind at all, from
// somebody with that authority. What they may not see does not exist for them.
func (s State) admits(c Command, by domain.Authority) error {
	if _, registering := c.(Register); registering {
		switch {
		case by.Rights[c.Needs()] == domain.Nothing:
			return domain.ErrForbidden
		case s.exists:
			return ErrExists
		}
		return nil
	}
	if err := s.Admits(by, c.Needs()); err != nil || !s.Deactivated {
		return err
	}
	switch c.(type) {
	case Edit, Retag, ChangeStatus:
		return ErrDeactivated
	case Register, Assign, HandOver, Deactivate, Reactivate:
	}
	return nil
}

// Admits says whether somebody may do with the client what takes the permission. What
// they may not see does not exist for them.
func (s State) Admits(by domain.Authority, p domain.Permission) error {
	switch at := s.Assignment.Place(); {
	case !s.exists || !by.May(domain.ClientsView, at):
		return ErrAbsent
	case !by.May(p, at):
		return domain.ErrForbidden
	}
	return nil
}

// Place is where the client belongs, as rights go by it.
func (s State) Place() domain.Place { return s.Assignment.Place() }

// Place is the assignment as rights go by it.
func (a Assignment) Place() domain.Place {
	return domain.Place{Project: a.ProjectID, Desk: a.DeskID, Manager: a.ManagerID}
}

func (c Register) decide(w domain.World, m domain.Meta) ([]Event, error) {
	var f domain.Faults
	details, err := c.normal(Details{})
	f.Add(err)
	if c.Status == "" {
		c.Status = Lead
	}
	f.Add(checkStatus(c.Status))
	tags, err := normalTags("tags", c.Tags)
	f.Add(err)
	to, reaches := c.assignment(), func(a Assignment) bool { return m.By.May(domain.ClientsCreate, a.Place()) }
	if mine := (Assignment{to.ProjectID, to.DeskID, m.By.ID}); !c.ManagerID.Set && !reaches(to) && reaches(mine) {
		to = mine // what somebody makes is theirs, unless their reach goes further
	}
	if err := to.check(w, m.By, domain.ClientsCreate); err != nil {
		f.Add(err)
	} else if !reaches(to) {
		f.Add(&domain.Error{Kind: domain.Forbidden, Code: "not_yours", Field: "manager_id", Msg: "you may only register clients that you manage yourself, or on your desks"})
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Registered{details, to, c.Status, tags}}, nil
}

func (c Edit) decide(s State) ([]Event, error) {
	to, err := s.Details.merge(c.Patch)
	if err != nil {
		return nil, err
	}
	if to, err = to.normal(s.Details); err != nil {
		return nil, err
	}
	if to == s.Details {
		return nil, nil
	}
	was, is := diff(s.Details, to)
	return []Event{Edited{From: was, To: is}}, nil
}

func (c Retag) decide(s State) ([]Event, error) {
	var f domain.Faults
	add, err := normalTags("add", c.Add)
	f.Add(err)
	remove, err := normalTags("remove", c.Remove)
	f.Add(err)
	for _, t := range add {
		if t != "" && slices.Contains(remove, t) {
			f.Add(domain.Fault("remove", "contradiction", "%q is to be added and removed at once", t))
		}
	}
	e := Retagged{
		Added:   slices.DeleteFunc(add, func(t string) bool { return slices.Contains(s.Tags, t) }),
		Removed: slices.DeleteFunc(remove, func(t string) bool { return !slices.Contains(s.Tags, t) }),
	}
	if n := len(s.Tags) + len(e.Added) - len(e.Removed); n > maxTags {
		f.Add(domain.Fault("add", "too_many", "would make %d tags, at most %d are allowed", n, maxTags))
	}
	if err := f.Err(); err != nil || len(e.Added)+len(e.Removed) == 0 {
		return nil, err
	}
	return []Event{e}, nil
}

const maxTags = 100

// normalTags brings tags into the form in which they are stored: each once, sorted.
func normalTags(field string, tags []string) ([]string, error) {
	var f domain.Faults
	var out []string
	if len(tags) > maxTags {
		return nil, domain.Fault(field, "too_many", "has %d tags, at most %d are allowed", len(tags), maxTags)
	}
	for i, t := range tags {
		t = domain.Text(t)
		f.Add(domain.CheckName(fmt.Sprintf("%s[%d]", field, i), t, 50))
		out = append(out, t)
	}
	slices.Sort(out)
	return slices.Compact(out), f.Err()
}

func (c ChangeStatus) decide(s State) ([]Event, error) {
	if err := checkStatus(c.Status); err != nil || c.Status == s.Status {
		return nil, err
	}
	return []Event{StatusChanged{From: s.Status, To: c.Status}}, nil
}

func checkStatus(s Status) error {
	if !slices.Contains(Statuses, s) {
		return domain.Fault("status", "unknown", "is %q, and has to be lead, active or inactive", s)
	}
	return nil
}

func (c Deactivate) decide(s State) ([]Event, error) {
	reason := domain.LongText(c.Reason)
	if reason == "" {
		return nil, domain.Fault("reason", "required", "is required: it is kept in the history")
	}
	if err := domain.CheckText("reason", reason, 1000); err != nil || s.Deactivated {
		return nil, err
	}
	return []Event{Deactivated{Reason: reason}}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s = State{exists: true, Details: e.Details, Assignment: e.Assignment, Status: e.Status, Tags: e.Tags}
	case Edited:
		s.Details = s.Details.apply(e)
	case Reassigned:
		s.Assignment = e.To
	case Retagged:
		s.Tags = slices.DeleteFunc(append(slices.Clone(s.Tags), e.Added...), func(t string) bool { return slices.Contains(e.Removed, t) })
		slices.Sort(s.Tags)
	case StatusChanged:
		s.Status = e.To
	case Deactivated:
		s.Deactivated = true
	case Reactivated:
		s.Deactivated = false
	}
	return s
}
