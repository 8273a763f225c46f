// Package webhook is a subscription to what happens: events of the log, delivered to a
// URL on behalf of its owner, who is told nothing that they may not see. How deliveries
// are made, internal/webhook says.
package webhook

import (
	"time"

	"annals/domain"
)

// Event is the closed set of facts about a webhook. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Created is a new webhook: it is delivered what happens from here on. The secrets
	// that its deliveries are signed with are not in the log, nor derived from it.
	Created struct {
		OwnerID domain.ID `json:"owner_id"`
		KeyID   domain.ID `json:"key_id,omitzero"` // the owner's API key that made it, and bounds what it is told
		Definition
	}
	// Changed makes it another.
	Changed struct {
		From Definition `json:"from"`
		To   Definition `json:"to"`
	}
	// Paused holds deliveries back until it is resumed.
	Paused struct{}
	// Resumed has deliveries go on where they stopped.
	Resumed struct{}
	// Disabled holds deliveries back because they fail.
	Disabled struct {
		Reason Reason `json:"reason"`
	}
	// Rotated gives it other secrets; those before sign along for a while.
	Rotated struct{}
	// Tested is that somebody wanted to see a delivery: of this very event.
	Tested struct{}
	// Replayed is that somebody wanted to have events again, or for the first time.
	Replayed struct {
		From Bound `json:"from"`
		To   Bound `json:"to,omitzero"` // none: up to where the log ended then
	}
	// Deleted is the end of it.
	Deleted struct{}
)

func (Created) event()  {}
func (Changed) event()  {}
func (Paused) event()   {}
func (Resumed) event()  {}
func (Disabled) event() {}
func (Rotated) event()  {}
func (Tested) event()   {}
func (Replayed) event() {}
func (Deleted) event()  {}

// Definition is what a webhook is told, and where. The URL and the headers may hold what
// lets somebody in, so they are sealed by the webhook's own key.
type Definition struct {
	Name     string            `json:"name,omitempty" personal:"yes" doc:"What people call it" maxLength:"100" example:"Accounting"`
	URL      string            `json:"url" personal:"yes" doc:"Where deliveries are posted to: https, or http; on port 80, 443, or from 1024 on" maxLength:"2000" example:"https://example.com/annals"`
	Types    []string          `json:"types" doc:"Types of events: client.edited, all of a kind as in client.*, or * for all" minItems:"1" maxItems:"100" example:"[\"client.*\"]"`
	Projects []domain.ID       `json:"projects,omitempty" doc:"Only events of clients of these projects; left out, of all that you may see" maxItems:"1000"`
	Desks    []domain.ID       `json:"desks,omitempty" doc:"Only events of clients on these desks; left out, of all that you may see" maxItems:"1000"`
	Fields   []string          `json:"fields,omitempty" doc:"Only events that change one of these fields; left out, all" maxItems:"100" example:"[\"email\"]"`
	Payload  Payload           `json:"payload,omitempty" doc:"thin: ids, and which fields changed; full: also to what. Personal data is in it only for clients that you may export. thin unless given" enum:"thin,full"`
	Order    Order             `json:"order,omitempty" doc:"client: an event that fails holds back only later events of its client; global: everything after it. client unless given" enum:"client,global"`
	Headers  map[string]string `json:"headers,omitempty" personal:"yes" doc:"Headers of each delivery"`
}

// Payload is how much of an event is delivered.
type Payload string

// The payloads.
const (
	Thin Payload = "thin"
	Full Payload = "full"
)

// Order is which events wait for which.
type Order string

// The orders.
const (
	PerClient Order = "client"
	Global    Order = "global"
)

// Reason is why a webhook was disabled.
type Reason string

// The reasons.
const (
	Gone    Reason = "gone"    // the endpoint answered 410
	Failing Reason = "failing" // for days nothing was delivered
)

// Bound is a place in the log, by position or by time.
type Bound struct {
	Position string    `json:"position,omitempty" doc:"A position of the log" maxLength:"50" example:"1234"`
	Time     time.Time `json:"time,omitzero" doc:"Or a time"`
}
