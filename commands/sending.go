package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/document"
	"annals/domain/employee"
	"annals/domain/message"
	"annals/internal/blobs"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/mail"
)

// Opener opens what goes with messages; [blobs.ErrGone] says that it is not there any
// more.
type Opener interface {
	Open(ctx context.Context, n blobs.Name) (io.ReadCloser, error)
}

// Messages sends the e-mails to clients that are in the log, each once, and notes in the
// log how that ended.
//
// Of a message the mailer knows the id only. What it says is read from the log when it
// is sent, and so is whether it may be: a client who was deactivated, withdrew consent or
// was erased in between gets no mail, and nothing of it stays anywhere.
type Messages struct {
	MessagesConfig
}

// MessagesConfig is what [NewMessages] needs.
type MessagesConfig struct {
	Store     *Store
	Mailer    *mail.Mailer
	Jobs      *jobs.Jobs
	Documents Opener // nil: messages with attachments wait
	Now       func() time.Time
	App       string // software version, stored with every event
	Logger    *slog.Logger
}

// source is what the mailer knows these messages by.
const source = "message"

// NewMessages makes what sends messages known to the mailer and the jobs: before those
// run, in every process that runs them.
func NewMessages(cfg MessagesConfig) (*Messages, error) {
	m := &Messages{cfg}
	return m, errors.Join(
		cfg.Mailer.Add(source, mail.Source{Fetch: m.fetch, Ended: m.ended}),
		jobs.Add(cfg.Jobs, jobs.Kind[outcome]{
			Work:     func(ctx context.Context, job *jobs.Job[outcome]) error { return m.note(ctx, job.Args) },
			Attempts: 1000, Retry: jobs.Backoff(time.Second, 5*time.Minute), // it waits for the log as long as it takes
		}),
	)
}

// Follow queues the mail of a message that was composed, in the transaction tx, once
// however often it is called: a handler of package process. Other events it leaves alone.
func (m *Messages) Follow(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	if _, ok := rec.Event.(message.Composed); !ok {
		return nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	_, err = m.Mailer.SendFrom(ctx, tx, source, ref.ID, rec.Meta.At.Add(mail.Lifetime))
	return err
}

// Why a message is not sent that was composed.
const (
	reasonEnded       = "it was sent or given up before"
	reasonErased      = "the client has been erased"
	reasonDeactivated = "the client is deactivated"
	reasonNoConsent   = "the client does not want to get e-mail"
	reasonNoAddress   = "the address is no longer one of the client's"
	reasonNoDocument  = "a document that was to go with it has been deleted"
)

// fetch is a message as it is to be sent now.
func (m *Messages) fetch(ctx context.Context, id uuid.UUID) (out mail.Message, err error) {
	e, phase, err := m.read(ctx, id)
	if err != nil {
		return out, err
	}
	switch {
	case phase != message.IsComposed:
		return out, mail.Refuse(reasonEnded)
	case e.To == "":
		return out, mail.Refuse(reasonErased)
	}
	of, err := Load[client.State](ctx, m.Store, domain.Ref{Category: domain.Client, ID: e.ClientID})
	if err != nil {
		return out, err
	}
	if of.Erased() {
		return out, mail.Refuse(reasonErased)
	}
	switch err := message.CheckRecipient(of, e.To); {
	case errors.Is(err, client.ErrDeactivated):
		return out, mail.Refuse(reasonDeactivated)
	case errors.Is(err, message.ErrNoConsent):
		return out, mail.Refuse(reasonNoConsent)
	case err != nil:
		return out, mail.Refuse(reasonNoAddress)
	}
	out = mail.Message{To: e.To, ToName: e.ToName, Subject: e.Subject, Text: e.Text, HTML: e.HTML, Written: true}
	from, err := Load[employee.State](ctx, m.Store, domain.Ref{Category: domain.Employee, ID: e.SenderID})
	if err != nil {
		return out, err
	}
	if from.Active() && from.Email != "" {
		out.ReplyTo, out.ReplyToName = from.Email, from.Name
	}
	out.Attachments, err = m.attachments(ctx, e)
	return out, err
}

// read is what a message says in the log at this moment, and what became of it. It is not
// remembered: it may be erased.
func (m *Messages) read(ctx context.Context, id uuid.UUID) (c message.Composed, phase message.Phase, err error) {
	var s message.State
	for rec, err := range m.Store.log.Read(ctx, eventlog.Stream(domain.Message, id), 0) {
		if err != nil {
			return c, "", err
		}
		e, ok := rec.Event.(message.Event)
		if !ok {
			return c, "", fmt.Errorf("%s holds a foreign %T", rec.Stream, rec.Event)
		}
		if first, ok := e.(message.Composed); ok {
			c = first
		}
		s = message.Aggregate.Evolve(s, e)
	}
	if !s.Exists() {
		return c, "", fmt.Errorf("message %s is not in the log yet", id) // that a follower is behind
	}
	return c, s.Phase, nil
}

func (m *Messages) attachments(ctx context.Context, e message.Composed) (out []mail.Attachment, err error) {
	for _, f := range e.Attachments {
		d, err := Load[document.State](ctx, m.Store, domain.Ref{Category: domain.Document, ID: f.DocumentID})
		switch {
		case err != nil:
			return nil, err
		case d.Deleted || !d.Has(f.VersionID):
			return nil, mail.Refuse(reasonNoDocument)
		case m.Documents == nil:
			return nil, errors.New("there is no storage of documents")
		}
		name := blobs.Name{Client: e.ClientID, Document: f.DocumentID, Version: f.VersionID}
		out = append(out, mail.Attachment{Name: f.Name, Type: f.MediaType, Size: f.Size, Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := m.Documents.Open(ctx, name)
			if errors.Is(err, blobs.ErrGone) {
				return nil, mail.Refuse(reasonNoDocument)
			}
			return r, err
		}})
	}
	return out, nil
}

// giveUp ends all messages to an erased client that wait to be sent.
func (m *Messages) giveUp(ctx context.Context, of domain.ID) (n int, err error) {
	waiting, err := m.Mailer.Waiting(ctx, source)
	if err != nil {
		return 0, err
	}
	for _, id := range waiting {
		s, err := Load[message.State](ctx, m.Store, domain.Ref{Category: domain.Message, ID: id})
		if err != nil {
			return n, err
		}
		if s.ClientID() != of {
			continue
		}
		done, err := m.Mailer.GiveUp(ctx, source, id, reasonErased)
		if err != nil {
			return n, err
		}
		if done {
			n++
		}
	}
	return n, nil
}

// outcome is the job of noting in the log how a message ended.
type outcome struct {
	Message   uuid.UUID  `json:"message"`
	State     mail.State `json:"state"`
	Reason    string     `json:"reason,omitempty"`
	Attempts  int        `json:"attempts"`
	MessageID string     `json:"message_id"`
	At        time.Time  `json:"at"`
}

func (outcome) Kind() string { return "message_outcome" }

func (m *Messages) ended(ctx context.Context, tx pgx.Tx, id uuid.UUID, o mail.Outcome) error {
	return m.Jobs.Insert(ctx, tx, outcome{id, o.State, o.Reason, o.Attempts, o.MessageID, o.At})
}

// note appends how a message ended. The command has an id of its own, so that it is
// there once however often this runs.
func (m *Messages) note(ctx context.Context, o outcome) error {
	c, _, err := m.read(ctx, o.Message)
	if err != nil {
		return err
	}
	at := o.At.UTC().Truncate(time.Microsecond)
	command := message.Command(message.MarkSent{MessageID: o.MessageID, Attempts: o.Attempts, At: at})
	if o.State != mail.Sent {
		command = message.MarkFailed{Reason: o.Reason, Attempts: o.Attempts, At: at}
	}
	_, err = Handle(ctx, m.Store, message.Aggregate, o.Message, toClient(c.ClientID, command), domain.Meta{
		Actor: domain.System, By: domain.Root, Command: uuid.NewSHA1(o.Message, []byte("outcome/"+string(o.State))),
		Correlation: o.Message, Causation: o.Message, At: m.Now().UTC().Truncate(time.Microsecond), App: m.App,
	}, AnyRevision)
	if errors.Is(err, eventlog.ErrErased) || errors.Is(err, client.ErrErased) {
		m.Logger.InfoContext(ctx, "message: how it ended is not noted, since the client has been erased",
			slog.String("message", o.Message.String()), slog.String("state", string(o.State)))
		return nil
	}
	return err
}
