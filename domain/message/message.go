package message

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/document"
)

// Phase is what became of a message.
type Phase string

// The phases.
const (
	IsComposed Phase = "composed" // is to be sent
	IsSent     Phase = "sent"
	IsFailed   Phase = "failed" // was not sent, and is not tried any more
	IsBounced  Phase = "bounced"
	IsLogged   Phase = "logged" // came from the client
)

// State is what decisions need to know about a message. What it says is not part of it.
type State struct {
	client domain.ID
	Phase  Phase
}

// Exists says whether there is such a message.
func (s State) Exists() bool { return s.client != domain.ID{} }

// ClientID implements [attached.State].
func (s State) ClientID() domain.ID { return s.client }

// Reasons to refuse a command.
var (
	ErrNoEmail   = domain.Errorf(domain.Conflict, "client.no_email", "the client has no e-mail address")
	ErrNoConsent = domain.Errorf(domain.Conflict, "client.no_consent", "the client does not want to get e-mail")
	ErrNotSent   = domain.Errorf(domain.Conflict, "message.not_sent", "the message was not sent, as far as is known, so it cannot have come back")
)

// Aggregate is the message for the command side.
var Aggregate = attached.Aggregate(attached.Kind[State, Command, Event]{Category: domain.Message, Refs: refs, Decide: decide, Evolve: evolve})

func refs(_ State, to attached.To[Command]) (refs []domain.Ref) {
	switch c := to.Command.(type) {
	case Compose:
		for _, a := range c.Attach[:min(len(c.Attach), maxFiles)] {
			refs = append(refs, file(a.DocumentID))
		}
	case LogReply:
		if id, ok := ours(c.InReplyTo); ok {
			refs = append(refs, domain.Ref{Category: domain.Message, ID: id})
		}
	case MarkSent, MarkFailed, Bounce:
	}
	return refs
}

func file(id domain.ID) domain.Ref { return domain.Ref{Category: domain.Document, ID: id} }

// ours is the id of a message that we sent, as it is written or in its Message-ID, which
// begins with it.
func ours(inReplyTo string) (domain.ID, bool) {
	s := strings.TrimPrefix(strings.TrimSpace(inReplyTo), "<")
	s, _, _ = strings.Cut(s, "@")
	id, err := uuid.Parse(s)
	return id, err == nil && len(s) == 36
}

func decide(s State, c Command, in attached.Context) ([]Event, error) {
	switch c := c.(type) {
	case Compose:
		return c.decide(in)
	case LogReply:
		return c.decide(in)
	case Bounce:
		return c.decide(s, in)
	case MarkSent:
		switch {
		case in.By.ID != domain.System:
			return nil, domain.ErrForbidden
		case s.Phase == IsComposed, s.Phase == IsFailed: // it was given up too early
			return []Event{Sent(c)}, nil
		}
	case MarkFailed:
		switch {
		case in.By.ID != domain.System:
			return nil, domain.ErrForbidden
		case s.Phase == IsComposed:
			return []Event{Failed(c)}, nil
		}
	}
	return nil, nil
}

// CheckRecipient says why the client may not be sent e-mail at that address, if so: asked
// when a message is written, and again when it is sent.
func CheckRecipient(c client.State, to string) error {
	consent, said := c.Details.Consents[client.ByEmail]
	switch {
	case c.Deactivated:
		return client.ErrDeactivated
	case said && !consent.Granted:
		return ErrNoConsent
	case to == "" && c.Details.Email == "":
		return ErrNoEmail
	}
	if to == "" || strings.EqualFold(to, c.Details.Email) {
		return nil
	}
	for _, e := range c.Details.OtherEmails {
		if strings.EqualFold(to, e.Email) {
			return nil
		}
	}
	return domain.Fault("to", "unknown", "is none of the client's addresses")
}

const (
	maxSubject = 200             // characters
	maxBytes   = 200_000         // bytes, of the text and of the HTML: both have to fit into an event
	maxText    = 100_000         // characters, of the text and of the HTML
	maxFiles   = 20              //
	maxSize    = 15 << 20        // bytes of all attachments: in base64 it is what common servers take
	ahead      = 5 * time.Minute // how far a clock elsewhere may be ahead of ours
)

func (c Compose) decide(in attached.Context) ([]Event, error) {
	var f domain.Faults
	to := domain.Text(c.To)
	if err := CheckRecipient(in.Client, to); domain.KindOf(err) == domain.Conflict {
		return nil, err
	} else if err != nil {
		f.Add(err)
	}
	if to == "" {
		to = in.Client.Details.Email
	}
	e := Composed{
		ClientID: in.ClientID, SenderID: c.SenderID, TemplateID: c.TemplateID, Language: c.Language, To: to, ToName: name(in.Client.Details),
		Subject: domain.Text(c.Subject), Text: domain.LongText(c.Text), HTML: c.HTML,
	}
	f.Add(domain.CheckName("subject", e.Subject, maxSubject))
	f.Add(domain.CheckName("text", e.Text, maxText))
	f.Add(domain.CheckText("html", e.HTML, maxText))
	for _, body := range [...]struct{ field, value string }{{"text", e.Text}, {"html", e.HTML}} {
		if len(body.value) > maxBytes {
			f.Add(domain.Fault(body.field, "too_long", "has %d bytes, at most %d are allowed", len(body.value), maxBytes))
		}
	}
	files, err := c.files(in)
	f.Add(err)
	if err := f.Err(); err != nil {
		return nil, err
	}
	e.Attachments = files
	return []Event{e}, nil
}

// name is what a client is called in a header, which is short.
func name(d client.Details) string {
	n := []rune(d.Name())
	return string(n[:min(len(n), 200)])
}

func (c Compose) files(in attached.Context) (files []File, err error) {
	if len(c.Attach) > maxFiles {
		return nil, domain.Fault("attachments", "too_many", "has %d documents, at most %d are allowed", len(c.Attach), maxFiles)
	}
	var f domain.Faults
	size := int64(0)
	for i, a := range c.Attach {
		d := domain.Look[document.State](in.World, file(a.DocumentID))
		v, ok := version(d, a.VersionID)
		if !ok || d.ClientID() != in.ClientID {
			f.Add(domain.Fault(domain.At("attachments", i), "unknown", "names no document of the client, or no version of it"))
			continue
		}
		size += v.Size
		files = append(files, File{a.DocumentID, v.ID, d.Title.Name, v.MediaType, v.Size})
	}
	if size > maxSize {
		f.Add(domain.Fault("attachments", "too_large", "have %d bytes together, at most %d are allowed", size, maxSize))
	}
	return files, f.Err()
}

// version is the one of that id, or for the zero id the last.
func version(d document.State, id domain.ID) (document.Version, bool) {
	if d.Deleted || len(d.Versions) == 0 {
		return document.Version{}, false
	}
	for _, v := range d.Versions {
		if v.ID == id {
			return v, true
		}
	}
	return d.Versions[len(d.Versions)-1], id == domain.ID{}
}

func (c Bounce) decide(s State, in attached.Context) ([]Event, error) {
	switch s.Phase {
	case IsBounced:
		return nil, nil
	case IsComposed, IsFailed, IsLogged:
		return nil, ErrNotSent
	case IsSent:
	}
	var f domain.Faults
	at, err := moment(c.At, in)
	f.Add(err)
	reason := domain.LongText(c.Reason)
	f.Add(domain.CheckText("reason", reason, 2000))
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{Bounced{reason, at}}, nil
}

// moment is when something happened elsewhere: now unless it is said.
func moment(at time.Time, in attached.Context) (time.Time, error) {
	switch {
	case at.IsZero():
		return in.At, nil
	case at.After(in.At.Add(ahead)):
		return at, domain.Fault("at", "future", "is in the future")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

func (c LogReply) decide(in attached.Context) ([]Event, error) {
	var f domain.Faults
	at, err := moment(c.At, in)
	f.Add(err)
	e := Logged{ClientID: in.ClientID, From: domain.Text(c.From), Subject: domain.Text(c.Subject), Text: domain.LongText(c.Text), At: at, InReplyTo: domain.Text(c.InReplyTo)}
	if c.Direction != "" && c.Direction != "inbound" {
		f.Add(domain.Fault("direction", "unknown", "has to be inbound: what goes out is sent from here"))
	}
	f.Add(domain.CheckEmail("from", e.From))
	f.Add(domain.CheckText("subject", e.Subject, 1000))
	f.Add(domain.CheckName("text", e.Text, maxText))
	f.Add(domain.CheckText("in_reply_to", e.InReplyTo, 1000))
	if id, ok := ours(e.InReplyTo); ok {
		switch to := domain.Look[State](in.World, domain.Ref{Category: domain.Message, ID: id}); {
		case to.Exists() && to.ClientID() == in.ClientID:
			e.AnswerTo = id
		case !strings.Contains(e.InReplyTo, "@"):
			f.Add(domain.Fault("in_reply_to", "unknown", "names no message to the client"))
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Composed:
		s = State{e.ClientID, IsComposed}
	case Sent:
		s.Phase = IsSent
	case Failed:
		s.Phase = IsFailed
	case Bounced:
		s.Phase = IsBounced
	case Logged:
		s = State{e.ClientID, IsLogged}
	}
	return s
}
