package client

import (
	"slices"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/project"
)

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	if err := s.admits(c, m.By); err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case Register:
		return c.decide(w, m)
	case Edit:
		return c.decide(s, w, m)
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
		return c.decide(s, w)
	case ChangeStatus:
		return c.decide(s, w)
	case Deactivate:
		return c.decide(s)
	case Reactivate:
		if !s.Deactivated {
			return nil, nil
		}
		return []Event{Reactivated{}}, nil
	case Hold:
		return c.decide(s)
	case Release:
		return c.decide(s)
	case Erase:
		return c.decide(s)
	case TellKey:
		return c.decide(s, m.By)
	case EraseAgain:
		return c.decide(s, m.By)
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
	if _, telling := c.(TellKey); telling && s.exists {
		return nil // it is about erased clients
	}
	if err := s.Admits(by, c.Needs()); err != nil || !s.Deactivated {
		return err
	}
	switch c.(type) {
	case Edit, Retag, ChangeStatus:
		return ErrDeactivated
	case Register, Assign, HandOver, Deactivate, Reactivate, Hold, Release, Erase, TellKey, EraseAgain:
	}
	return nil
}

// Admits says whether somebody may do with the client what takes the permission. What
// they may not see does not exist for them, and with an erased client nobody does anything
// but see that there was one.
func (s State) Admits(by domain.Authority, p domain.Permission) error {
	switch at := s.Assignment.Place(); {
	case !s.exists || !by.May(domain.ClientsView, at):
		return ErrAbsent
	case s.Erased() && p != domain.ClientsView:
		return ErrErased
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
	details, err := c.details(w, m)
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
	return []Event{Registered{details, to, c.Status, keysOf(w, to.ProjectID, tags)}}, nil
}

// details are those of the new client.
func (c Register) details(w domain.World, m domain.Meta) (Details, error) {
	to, names := c.Details, map[string]string(nil)
	var g given
	if !c.Forms.empty() {
		var err error
		if to, g, names, err = c.into(c.Details); err != nil {
			return to, err
		}
	}
	var f domain.Faults
	to, err := to.normal(Details{}, g, m.At)
	f.Add(renamed(err, names))
	to.Custom, err = domain.Look[field.State](w, field.Ref()).Merge(c.ProjectID, nil, c.Custom, true, w, m.By)
	f.Add(err)
	return to, f.Err()
}

func (c Edit) decide(s State, w domain.World, m domain.Meta) ([]Event, error) {
	var f domain.Faults
	patch, names, err := expand(c.Patch)
	f.Add(err)
	to, g, err := s.Details.merge(patch)
	f.Add(renamed(err, names))
	if err := f.Err(); err != nil {
		return nil, err
	}
	to, err = to.normal(s.Details, g, m.At)
	f.Add(renamed(err, names))
	if values, said := c.custom(s); said {
		to.Custom, err = domain.Look[field.State](w, field.Ref()).Merge(s.Assignment.ProjectID, s.Details.Custom, values, false, w, m.By)
		f.Add(err)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	e := Diff(s.Details, to)
	if e.From.empty() && e.To.empty() {
		return nil, nil
	}
	return []Event{e}, nil
}

// custom is the patch of custom fields, if there is one. Null empties all of them.
func (c Edit) custom(s State) (patch map[string]any, said bool) {
	value, said := c.Patch["custom"]
	if patch, isObject := value.(map[string]any); isObject || !said {
		return patch, isObject
	}
	patch = map[string]any{}
	for key := range s.Details.Custom {
		patch[key] = nil
	}
	return patch, value == nil
}

func (c ChangeStatus) decide(s State, w domain.World) ([]Event, error) {
	var f domain.Faults
	reason := domain.LongText(c.Reason)
	f.Add(checkStatus(c.Status))
	f.Add(domain.CheckText("reason", reason, 1000))
	if err := f.Err(); err != nil || c.Status == s.Status {
		return nil, err
	}
	p := domain.Look[project.State](w, domain.Ref{Category: domain.Project, ID: s.Assignment.ProjectID})
	if !p.Allows(string(s.Status), string(c.Status)) {
		return nil, domain.Errorf(domain.Conflict, "client.transition", "clients of this project do not change from %s to %s", s.Status, c.Status)
	}
	return []Event{StatusChanged{From: s.Status, To: c.Status, Reason: reason}}, nil
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
	case Held:
		s.Held, s.heldFor = true, e.Reason
	case Released:
		s.Held, s.heldFor = false, ""
	case Erased:
		s.Details, s.heldFor, s.erasure = Details{}, "", &e // nothing of the person stays in memory
	}
	return s
}
