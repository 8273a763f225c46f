// Package message is an e-mail to a client, and what became of it; or one from a client
// that was written down here.
package message

import (
	"time"

	"annals/domain"
)

// Event is the closed set of facts about a message. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Composed is a message that is to be sent. What it says is what is sent, whatever
	// becomes of the template that it was made of.
	Composed struct {
		ClientID    domain.ID `json:"client_id"`
		SenderID    domain.ID `json:"sender_id,omitzero"` // the employee whom answers go to
		TemplateID  domain.ID `json:"template_id,omitzero"`
		Language    string    `json:"language,omitempty" personal:"yes"` // of the template's text
		To          string    `json:"to" personal:"yes"`
		ToName      string    `json:"to_name,omitempty" personal:"yes"`
		Subject     string    `json:"subject" personal:"yes"`
		Text        string    `json:"text" personal:"yes"`
		HTML        string    `json:"html,omitempty" personal:"yes"`
		Attachments []File    `json:"attachments,omitempty" personal:"yes"`
	}
	// Sent says that a mail server has accepted the message.
	Sent struct {
		MessageID string    `json:"message_id"` // of the header
		Attempts  int       `json:"attempts"`
		At        time.Time `json:"at"`
	}
	// Failed says that the message is not tried to be sent any more.
	Failed struct {
		Reason   string    `json:"reason"` // quotes nothing of the message
		Attempts int       `json:"attempts,omitempty"`
		At       time.Time `json:"at"`
	}
	// Bounced says that the message was sent and came back.
	Bounced struct {
		Reason string    `json:"reason,omitempty" personal:"yes"`
		At     time.Time `json:"at"`
	}
	// Logged is a message from the client.
	Logged struct {
		ClientID  domain.ID `json:"client_id"`
		From      string    `json:"from" personal:"yes"`
		Subject   string    `json:"subject,omitempty" personal:"yes"`
		Text      string    `json:"text" personal:"yes"`
		At        time.Time `json:"at"` // when it was received
		InReplyTo string    `json:"in_reply_to,omitempty" personal:"yes"`
		AnswerTo  domain.ID `json:"answer_to,omitzero"` // the message of ours that it answers
	}
)

func (Composed) event() {}
func (Sent) event()     {}
func (Failed) event()   {}
func (Bounced) event()  {}
func (Logged) event()   {}

// File is a version of a document that goes with a message, as it was then.
type File struct {
	DocumentID domain.ID `json:"document_id" format:"uuid"`
	VersionID  domain.ID `json:"version_id" format:"uuid"`
	Name       string    `json:"name"`
	MediaType  string    `json:"media_type"`
	Size       int64     `json:"size" doc:"Bytes"`
}
