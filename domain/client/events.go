// Package client is the person or company that everything is about: registered
// in a project, perhaps on a desk, perhaps with a manager.
package client

import (
	"annals/domain"
)

// Event is the closed set of facts about a client. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Registered is a new client.
	Registered struct {
		Details
		Assignment
		Status Status   `json:"status"`
		Tags   []string `json:"tags,omitempty"` // by their keys
	}
	// Edited changes details. From and To hold those that differ and no others, of maps
	// the keys that do; one that is missing on a side is empty there. A list is all of it
	// on each side.
	Edited struct {
		From Details `json:"from,omitzero"`
		To   Details `json:"to,omitzero"`
	}
	// Reassigned moves the client to another project, desk or manager.
	Reassigned struct {
		From   Assignment `json:"from"`
		To     Assignment `json:"to"`
		Reason string     `json:"reason,omitempty" personal:"yes"`
	}
	// Retagged adds and removes tags, by their keys; no tag is in both.
	Retagged struct {
		Added   []string `json:"added,omitempty"`
		Removed []string `json:"removed,omitempty"`
	}
	// StatusChanged moves the client along its lifecycle.
	StatusChanged struct {
		From   Status `json:"from"`
		To     Status `json:"to"`
		Reason string `json:"reason,omitempty" personal:"yes"`
	}
	// Deactivated disables the client. Everything known about it is kept.
	Deactivated struct {
		Reason string `json:"reason" personal:"yes"`
	}
	// Reactivated takes a deactivation back.
	Reactivated struct{}
	// Held forbids to erase the client; of one that is held already it is another reason.
	Held struct {
		Reason string `json:"reason" personal:"yes"`
	}
	// Released ends a hold.
	Released struct {
		Reason string `json:"reason,omitempty" personal:"yes"`
	}
	// Erased is the end of what is known of the person: their data key is destroyed after
	// it, and nothing more happens to the client. What it says is in the clear, since it is
	// what proves that the person was rightly erased, and holds nothing of them. There is
	// another one, which alone counts, where the key got another event meanwhile.
	Erased struct {
		Basis       Basis  `json:"basis"`
		Reason      string `json:"reason"`
		RequestedBy string `json:"requested_by,omitempty"`
		// KeyLeaves are the leaves that the audit tree has of the events of the key, which
		// leave the log with it: by them what was rightly erased is told from what was removed.
		KeyLeaves [][]byte `json:"key_leaves,omitempty"`
	}
)

func (Registered) event()    {}
func (Edited) event()        {}
func (Reassigned) event()    {}
func (Retagged) event()      {}
func (StatusChanged) event() {}
func (Deactivated) event()   {}
func (Reactivated) event()   {}
func (Held) event()          {}
func (Released) event()      {}
func (Erased) event()        {}

// Assignment is where a client belongs. The zero ID stands for none.
type Assignment struct {
	ProjectID domain.ID `json:"project_id,omitzero"`
	DeskID    domain.ID `json:"desk_id,omitzero"`
	ManagerID domain.ID `json:"manager_id,omitzero"`
}

// Status is where in its lifecycle a client stands.
type Status string

// The statuses.
const (
	Lead     Status = "lead"     // has not bought anything yet
	Active   Status = "active"   // a paying client
	Inactive Status = "inactive" // a former client
)

// Statuses are all of them.
var Statuses = []Status{Lead, Active, Inactive}
