package client

import (
	"annals/domain"
	"annals/domain/field"
	"annals/domain/tag"
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
		Forms
		ProjectID domain.ID               `json:"project_id" doc:"The project that the client belongs to" format:"uuid"`
		DeskID    domain.Field[domain.ID] `json:"desk_id,omitzero" doc:"A desk of that project"`
		ManagerID domain.Field[domain.ID] `json:"manager_id,omitzero" doc:"An employee assigned to the project, and to the desk if there is one"`
		Status    Status                  `json:"status,omitempty" doc:"lead unless given" enum:"lead,active,inactive"`
		Tags      []string                `json:"tags,omitempty" doc:"Names of tags" maxItems:"100"`
	}
	// Edit changes details by a JSON merge patch of an [Editable].
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
	// Retag adds and removes tags, by what they are called.
	Retag struct {
		Add    []string `json:"add,omitempty" doc:"Names of tags" maxItems:"100"`
		Remove []string `json:"remove,omitempty" doc:"Names of tags" maxItems:"100"`
	}
	// ChangeStatus moves the client along its lifecycle, as the project allows it.
	ChangeStatus struct {
		Status Status `json:"status" enum:"lead,active,inactive"`
		Reason string `json:"reason,omitempty" doc:"Why, for the history" maxLength:"1000"`
	}
	// Deactivate disables the client and keeps all that is known about it.
	Deactivate struct {
		Reason string `json:"reason" doc:"Why, for the history" maxLength:"1000"`
	}
	// Reactivate takes the deactivation back.
	Reactivate struct{}
)

// Editable is what an [Edit] is a patch of.
type Editable struct {
	Details
	Forms
}

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

// State is a client, folded from its events. Its maps and lists never change: whatever
// changes them makes new ones.
type State struct {
	exists      bool
	Details     Details
	Assignment  Assignment
	Status      Status
	Tags        []string // keys of package tag, sorted
	Deactivated bool
	Held        bool
	heldFor     string
	erasure     *Erased
}

// Exists says whether there is such a client.
func (s State) Exists() bool { return s.exists }

// Aggregate is the client for the command side.
var Aggregate = domain.Decider[State, Command, Event]{
	Category:   domain.Client,
	Refs:       refs,
	Decide:     decide,
	Evolve:     evolve,
	Depends:    depends,
	Correct:    correct,
	Collisions: collisions,
}

func refs(s State, c Command) []domain.Ref {
	var a Assignment
	var refs []domain.Ref
	switch c := c.(type) {
	case Register:
		a = c.assignment()
		refs = append(field.Refs(c.Custom), field.Ref()) // where some are required, or have a default
		if len(c.Tags) > 0 {
			refs = append(refs, tag.Ref())
		}
	case Assign:
		a = c.over(s.Assignment)
	case HandOver:
		a = c.assign().over(s.Assignment)
	case Edit:
		if values, said := c.custom(s); said {
			refs = append(field.Refs(values), field.Ref())
		}
		return refs
	case Retag:
		return []domain.Ref{tag.Ref()}
	case ChangeStatus:
		return []domain.Ref{{Category: domain.Project, ID: s.Assignment.ProjectID}}
	case Deactivate, Reactivate, Hold, Release, Erase, TellKey, EraseAgain:
		return nil
	}
	refs = append(refs, domain.Ref{Category: domain.Project, ID: a.ProjectID})
	if a.DeskID != (domain.ID{}) {
		refs = append(refs, domain.Ref{Category: domain.Desk, ID: a.DeskID})
	}
	if a.ManagerID != (domain.ID{}) {
		refs = append(refs, domain.Ref{Category: domain.Employee, ID: a.ManagerID})
	}
	return refs
}
