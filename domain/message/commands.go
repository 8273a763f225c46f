package message

import (
	"time"

	"annals/domain"
	"annals/domain/attached"
)

// Command is the closed set of requests to a message.
//
//sumtype:decl
type Command interface {
	attached.Command
	command()
}

type (
	// Compose has a message sent. Its HTML has been made safe, and is not changed.
	Compose struct {
		SenderID   domain.ID // the employee whom answers go to
		TemplateID domain.ID // what it was made of, if of one
		Language   string
		To         string // the first address if empty
		Subject    string
		Text       string
		HTML       string
		Attach     []Attachment
	}
	// MarkSent and MarkFailed say how sending ended. They are commands of the system.
	MarkSent struct {
		MessageID string
		Attempts  int
		At        time.Time
	}
	// MarkFailed is the other end.
	MarkFailed struct {
		Reason   string
		Attempts int
		At       time.Time
	}
	// Bounce says that a message came back.
	Bounce struct {
		Reason string    `json:"reason,omitempty" doc:"Why, as the mail that came back says" maxLength:"2000" example:"550 5.1.1 mailbox unknown"`
		At     time.Time `json:"at,omitzero" doc:"When it came back; now unless given"`
	}
	// LogReply writes a message from the client down.
	LogReply struct {
		Direction string    `json:"direction,omitempty" doc:"From the client" enum:"inbound" default:"inbound"`
		From      string    `json:"from" doc:"The address that it came from" maxLength:"254" example:"elena@example.com"`
		Subject   string    `json:"subject,omitempty" maxLength:"1000" example:"Re: Your quote"`
		Text      string    `json:"text" doc:"What it says" maxLength:"100000" example:"Yes, please."`
		At        time.Time `json:"at,omitzero" doc:"When it was received; now unless given"`
		InReplyTo string    `json:"in_reply_to,omitempty" doc:"The id of the message that it answers, or the header In-Reply-To" maxLength:"1000" example:"<7f8c2f0e-5a86-4a53-9c0a-0d4f4b6f8f11@crm.example>"`
	}
)

// Attachment names a document of the client, in its last version unless another is named.
type Attachment struct {
	DocumentID domain.ID `json:"document_id" format:"uuid"`
	VersionID  domain.ID `json:"version_id,omitzero" format:"uuid" doc:"The last version unless given"`
}

func (Compose) command()    {}
func (MarkSent) command()   {}
func (MarkFailed) command() {}
func (Bounce) command()     {}
func (LogReply) command()   {}

// Needs implements [attached.Command].
func (Compose) Needs() domain.Permission { return domain.ClientsMessage }

// Needs implements [attached.Command].
func (MarkSent) Needs() domain.Permission { return domain.ClientsMessage }

// Needs implements [attached.Command].
func (MarkFailed) Needs() domain.Permission { return domain.ClientsMessage }

// Needs implements [attached.Command].
func (Bounce) Needs() domain.Permission { return domain.ClientsMessage }

// Needs implements [attached.Command].
func (LogReply) Needs() domain.Permission { return domain.ClientsMessage }

// Creates implements [attached.Command].
func (Compose) Creates() bool { return true }

// Creates implements [attached.Command].
func (MarkSent) Creates() bool { return false }

// Creates implements [attached.Command].
func (MarkFailed) Creates() bool { return false }

// Creates implements [attached.Command].
func (Bounce) Creates() bool { return false }

// Creates implements [attached.Command].
func (LogReply) Creates() bool { return true }
