// Package view is a saved list of clients: which columns, which of the clients, in which
// order. It is its owner's own, or shared with those who work on a desk or for a project,
// or with everybody. Whose default a view is, package defaultview says.
package view

import (
	"encoding/json"

	"annals/domain"
)

// Event is the closed set of facts about a view. A shipped event never changes shape:
// add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new view.
	Created struct {
		OwnerID domain.ID `json:"owner_id"`
		Definition
	}
	// Changed makes it another.
	Changed struct {
		From Definition `json:"from"`
		To   Definition `json:"to"`
	}
	// Deleted is the end of it, for everybody with whom it was shared.
	Deleted struct{}
)

func (Created) event() {}
func (Changed) event() {}
func (Deleted) event() {}

// Definition is what a view is called and shows, and with whom it is shared.
//
// What it is called, searches and filters by may name clients, and is sealed. The key is
// that of the view itself: no client's, since a view belongs to none and may name many;
// and not its owner's, since what they have shared stays for the others when the owner is
// gone and erased.
type Definition struct {
	Name    string          `json:"name" personal:"yes" doc:"What people call the view" maxLength:"100" example:"Leads without a desk"`
	Columns []Column        `json:"columns,omitempty" doc:"What it shows, in this order; what the list shows by itself if there are none" maxItems:"100"`
	Filter  json.RawMessage `json:"filter,omitempty" personal:"yes" doc:"Which clients it shows: an object, as the list of clients takes it"`
	Q       string          `json:"q,omitempty" personal:"yes" doc:"Words to search for, as in the list of clients" maxLength:"200" example:"anna"`
	Sort    []string        `json:"sort,omitempty" doc:"Columns to sort by, the first one first; a minus before one sorts it downwards" maxItems:"8" example:"[\"-created_at\",\"name\"]"`
	Shared  Shared          `json:"shared,omitzero" doc:"With whom it is shared: with nobody unless given"`
}

// Column is a column of a list.
type Column struct {
	Field  string `json:"field" doc:"What it shows of a client" maxLength:"200" example:"custom.contract"`
	Width  int    `json:"width,omitempty" doc:"In pixels; as it fits unless given" minimum:"20" maximum:"2000" example:"180"`
	Frozen bool   `json:"frozen,omitempty" doc:"It stays in sight while the others move"`
}

// Shared is with whom a view is shared.
type Shared struct {
	With string    `json:"with" doc:"nobody; those who work on a desk, or for a project; everybody" enum:"nobody,desk,project,everybody"`
	ID   domain.ID `json:"id,omitzero" doc:"Of the desk or project"`
}

// With whom a view is shared. With nobody is written as nothing.
const (
	Nobody    = "nobody"
	Desk      = "desk"
	Project   = "project"
	Everybody = "everybody"
)
