// Package apikey is a key with which a program acts, by the permissions that it is
// given, on behalf of the employee who made it: never further than they may
// themselves.
package apikey

import (
	"slices"
	"time"

	"annals/domain"
	"annals/domain/desk"
)

// Event is the closed set of facts about a key. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new key. Its secret is not in the log, nor derived from it.
	Created struct {
		Name        string         `json:"name"`
		OwnerID     domain.ID      `json:"owner_id"`
		Permissions []domain.Grant `json:"permissions"`
		Projects    []domain.ID    `json:"projects,omitempty"` // none of both: those of the owner
		Desks       []domain.ID    `json:"desks,omitempty"`
		ExpiresAt   *time.Time     `json:"expires_at,omitempty"` // none: never
	}
	// Revoked is the end of a key.
	Revoked struct{}
)

func (Created) event() {}
func (Revoked) event() {}

// Command is the closed set of requests to a key.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Create makes a key for whoever asks.
	Create struct {
		Name        string         `json:"name" doc:"What the key is for" maxLength:"100"`
		Permissions []domain.Grant `json:"permissions" doc:"What it permits, how far; nothing that you may not do yourself" minItems:"1" maxItems:"100"`
		Projects    []domain.ID    `json:"projects,omitempty" doc:"The projects that it is for; left out together with desks, those that you are assigned to at any time" maxItems:"1000"`
		Desks       []domain.ID    `json:"desks,omitempty" doc:"The desks that it is for; each belongs to one of the projects" maxItems:"1000"`
		ExpiresAt   *time.Time     `json:"expires_at,omitempty" doc:"When it ends; left out, never"`
	}
	// Revoke ends a key.
	Revoke struct{}
)

func (Create) command() {}
func (Revoke) command() {}

// State is a key.
type State struct {
	exists, revoked bool
	Name            string
	OwnerID         domain.ID
	Permissions     []domain.Grant
	Projects        []domain.ID // none of both: those of the owner
	Desks           []domain.ID
	ExpiresAt       *time.Time // none: never
}

// Exists says whether there is such a key, revoked or not.
func (s State) Exists() bool { return s.exists }

// Live says whether the key can be used at a time.
func (s State) Live(at time.Time) bool {
	return s.exists && !s.revoked && (s.ExpiresAt == nil || at.Before(*s.ExpiresAt))
}

// Revoked says whether the key was ended.
func (s State) Revoked() bool { return s.revoked }

// Authority is what the key may do at this moment: what it was given, and its owner
// may do as well. No client is its own.
func (s State) Authority(owner domain.Authority) domain.Authority {
	rights := domain.RightsOf(s.Permissions...).Within(owner.Rights)
	scope := owner.Scope
	if len(s.Projects)+len(s.Desks) > 0 {
		scope = domain.ScopeOf(s.Projects, s.Desks)
		for p := range rights {
			if owner.Rights[p] < domain.Everywhere {
				scope = scope.Within(owner.Scope)
				break
			}
		}
	}
	return domain.Authority{Behalf: owner.ID, Rights: rights, Scope: scope}
}

// Reasons to refuse a command.
var (
	ErrExists = domain.Errorf(domain.Conflict, "api_key.exists", "the key exists already")
	ErrAbsent = domain.Errorf(domain.NotFound, "api_key.absent", "there is no such key")
)

// Aggregate is the key for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category: domain.APIKey,
	Refs:     refs,
	Decide:   decide,
	Evolve:   evolve,
}

func refs(_ State, c Command) []domain.Ref {
	var refs []domain.Ref
	switch c := c.(type) {
	case Create:
		for _, id := range c.Projects {
			refs = append(refs, domain.Ref{Category: domain.Project, ID: id})
		}
		for _, id := range c.Desks {
			refs = append(refs, domain.Ref{Category: domain.Desk, ID: id})
		}
	case Revoke:
	}
	return refs
}

func decide(s State, c Command, w domain.World, m domain.Meta) ([]Event, error) {
	switch c := c.(type) {
	case Create:
		if s.exists {
			return nil, ErrExists
		}
		if m.By.ID == (domain.ID{}) {
			return nil, domain.ErrForbidden // a key makes no keys
		}
		return c.decide(w, m)
	case Revoke:
		if !s.exists || s.OwnerID != m.By.ID && !m.By.MayIn(domain.SettingsManage, domain.ID{}) {
			return nil, ErrAbsent
		}
		if s.revoked {
			return nil, nil
		}
		return []Event{Revoked{}}, nil
	}
	return nil, nil
}

func (c Create) decide(w domain.World, m domain.Meta) ([]Event, error) {
	e := Created{
		Name: domain.Text(c.Name), OwnerID: m.By.ID, Permissions: domain.RightsOf(c.Permissions...).Grants(),
		Projects: sorted(c.Projects), Desks: sorted(c.Desks),
	}
	var f domain.Faults
	f.Add(domain.CheckName("name", e.Name, 100))
	if len(c.Permissions) == 0 {
		f.Add(domain.Fault("permissions", "required", "has to hold at least one"))
	}
	f.Add(domain.CheckGrants("permissions", c.Permissions, m.By))
	everywhere := true // may the owner do anywhere what the key is to do?
	for i, g := range c.Permissions {
		if g.Reach == domain.Own {
			f.Add(domain.Fault(domain.At("permissions", i)+".reach", "own", "a key manages no clients: give it desk, project or all"))
		}
		if g.Reach == domain.Everywhere && len(c.Projects)+len(c.Desks) > 0 {
			f.Add(domain.Fault(domain.At("permissions", i)+".reach", "all", "is more than the projects and desks that the key is for: give it desk or project"))
		}
		everywhere = everywhere && m.By.Rights[g.Permission] == domain.Everywhere
	}
	if c.Projects != nil && len(c.Projects) == 0 {
		f.Add(domain.Fault("projects", "empty", "names no project: leave it out for those that you are assigned to"))
	}
	f.Add(e.checkScope(w, m.By.Scope, everywhere))
	if c.ExpiresAt != nil {
		e.ExpiresAt = new(c.ExpiresAt.UTC().Truncate(time.Second))
		if !e.ExpiresAt.After(m.At) {
			f.Add(domain.Fault("expires_at", "past", "has to be in the future"))
		}
		if e.ExpiresAt.Year() > 9999 { // in UTC, which RFC 3339 cannot write
			f.Add(domain.Fault("expires_at", "late", "has to be before the year 10000"))
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func (e Created) checkScope(w domain.World, owners domain.Scope, everywhere bool) error {
	var f domain.Faults
	for _, id := range e.Projects {
		switch at := "projects"; {
		case !everywhere && !owners.Projects[id]:
			f.Add(domain.OutOfReach(at, "project"))
		case !w.Has(domain.Ref{Category: domain.Project, ID: id}):
			f.Add(domain.Fault(at, "unknown", "%s names no project", id))
		}
	}
	for _, id := range e.Desks {
		d := domain.Look[desk.State](w, domain.Ref{Category: domain.Desk, ID: id})
		switch at := "desks"; {
		case !everywhere && !owners.Desks[id]:
			f.Add(domain.OutOfReach(at, "desk"))
		case !d.Exists():
			f.Add(domain.Fault(at, "unknown", "%s names no desk", id))
		case !slices.Contains(e.Projects, d.ProjectID):
			f.Add(domain.Fault(at, "other_project", "%s belongs to project %s, which is not among the projects", id, d.ProjectID))
		}
	}
	return f.Err()
}

func sorted(ids []domain.ID) []domain.ID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids)
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s = State{
			exists: true, Name: e.Name, OwnerID: e.OwnerID, Permissions: e.Permissions,
			Projects: e.Projects, Desks: e.Desks, ExpiresAt: e.ExpiresAt,
		}
	case Revoked:
		s.revoked = true
	}
	return s
}
