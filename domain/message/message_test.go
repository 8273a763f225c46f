package message

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/document"
	"annals/domain/domaintest"
)

var (
	elena, other, project = uuid.UUID{1}, uuid.UUID{2}, uuid.UUID{3}
	quote, secret, gone   = uuid.UUID{4}, uuid.UUID{5}, uuid.UUID{6}
	v1, v2                = uuid.UUID{7}, uuid.UUID{8}
	answered              = uuid.MustParse("7f8c2f0e-5a86-4a53-9c0a-0d4f4b6f8f11")
	now                   = time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)
	details               = client.Details{FirstName: "Elena", LastName: "Petrova", Email: "elena@example.com", OtherEmails: []client.Email{{Email: "e@home.example"}}}
	plain                 = Compose{Subject: "Your quote", Text: "Here it is."}
	composed              = Composed{ClientID: elena, To: "elena@example.com", ToName: "Elena Petrova", Subject: "Your quote", Text: "Here it is."}
	logged                = Logged{ClientID: elena, From: "elena@example.com", Text: "Yes", At: now}
)

func state(d client.Details, events ...client.Event) client.State {
	s := client.Aggregate.Evolve(client.State{}, client.Registered{Details: d, Assignment: client.Assignment{ProjectID: project}})
	for _, e := range events {
		s = client.Aggregate.Evolve(s, e)
	}
	return s
}

func filed(of domain.ID, size int64, events ...document.Event) document.State {
	s := document.Aggregate.Evolve(document.State{}, document.Added{ClientID: of, Title: document.Title{Name: "quote.pdf"}, Version: document.Version{ID: v1, Size: 1, MediaType: "application/pdf"}})
	s = document.Aggregate.Evolve(s, document.VersionAdded{Version: document.Version{ID: v2, Size: size, MediaType: "application/pdf"}})
	for _, e := range events {
		s = document.Aggregate.Evolve(s, e)
	}
	return s
}

func world(c client.State) domain.World {
	return domain.World{
		{Category: domain.Client, ID: elena}:     c,
		{Category: domain.Client, ID: other}:     state(details),
		{Category: domain.Document, ID: quote}:   filed(elena, 3),
		{Category: domain.Document, ID: secret}:  filed(other, 3),
		{Category: domain.Document, ID: gone}:    filed(elena, 3, document.Deleted{}),
		{Category: domain.Message, ID: answered}: State{elena, IsSent},
	}
}

func to(c Command) attached.To[Command] { return attached.To[Command]{Client: elena, Command: c} }

func with(change func(*Compose)) attached.To[Command] {
	c := plain
	change(&c)
	return to(c)
}

func TestMessage(t *testing.T) {
	t.Parallel()
	fault := func(field, code string) error { return domain.Fault(field, code, "") }
	consent := func(granted bool) client.State {
		d := details
		d.Consents = map[client.Channel]client.Consent{client.ByEmail: {Granted: granted}}
		return state(d)
	}
	absent := attached.Absent(domain.Message)
	sent := Sent{"x@crm.example", 2, now}
	files := []File{{quote, v2, "quote.pdf", "application/pdf", 3}}
	attaching := func(a ...Attachment) attached.To[Command] { return with(func(c *Compose) { c.Attach = a }) }
	withFiles, elsewhere := composed, composed
	withFiles.Attachments, elsewhere.To = files, "e@home.example"
	by := func(grants ...domain.Grant) domain.Authority {
		return domain.Authority{ID: uuid.UUID{9}, Rights: domain.RightsOf(grants...), Scope: domain.ScopeOf([]domain.ID{project}, nil)}
	}
	sees := domain.Grant{Permission: domain.ClientsView, Reach: domain.InProjects}
	writes := domain.Grant{Permission: domain.ClientsMessage, Reach: domain.InProjects}
	big := world(state(details))
	big[domain.Ref{Category: domain.Document, ID: quote}] = filed(elena, 16<<20)
	cases := map[string]domaintest.Case[attached.To[Command], Event]{
		"writing":                 {When: to(plain), Then: []Event{composed}},
		"by who may":              {When: to(plain), By: by(sees, writes), Then: []Event{composed}},
		"by who may only look":    {When: to(plain), By: by(sees), Err: domain.ErrForbidden},
		"by who may not look":     {When: to(plain), By: by(writes), Err: client.ErrAbsent},
		"in form":                 {When: with(func(c *Compose) { c.Subject, c.Text = " Your\r\nquote ", "\r\nHere it is.\r\n" }), Then: []Event{composed}},
		"to another address":      {When: with(func(c *Compose) { c.To = "e@home.example" }), Then: []Event{elsewhere}},
		"to somebody else":        {When: with(func(c *Compose) { c.To = "e@evil.example" }), Err: fault("to", "unknown")},
		"saying nothing":          {When: to(Compose{}), Err: errors.Join(fault("subject", "required"), fault("text", "required"))},
		"saying too much":         {When: with(func(c *Compose) { c.Subject, c.HTML = strings.Repeat("x", 201), strings.Repeat("x", 100_001) }), Err: errors.Join(fault("subject", "too_long"), fault("html", "too_long"))},
		"in too many bytes":       {When: with(func(c *Compose) { c.Text = strings.Repeat("日", 70_000) }), Err: fault("text", "too_long")},
		"to a deactivated client": {World: world(state(details, client.Deactivated{})), When: to(plain), Err: client.ErrDeactivated},
		"to who withdrew consent": {World: world(consent(false)), When: to(plain), Err: ErrNoConsent},
		"to who gave it":          {World: world(consent(true)), When: to(plain), Then: []Event{composed}},
		"to nowhere":              {World: world(state(client.Details{FirstName: "Elena"})), When: to(plain), Err: ErrNoEmail},
		"twice":                   {Given: []Event{composed}, When: to(plain), Err: domain.Errorf(domain.Conflict, "message.exists", "")},

		"with a document":   {When: attaching(Attachment{DocumentID: quote}), Then: []Event{withFiles}},
		"in that version":   {When: attaching(Attachment{quote, v2}), Then: []Event{withFiles}},
		"no version of it":  {When: attaching(Attachment{quote, uuid.UUID{99}}), Err: fault("attachments[0]", "unknown")},
		"of somebody else":  {When: attaching(Attachment{DocumentID: quote}, Attachment{DocumentID: secret}), Err: fault("attachments[1]", "unknown")},
		"deleted":           {When: attaching(Attachment{DocumentID: gone}), Err: fault("attachments[0]", "unknown")},
		"that there is not": {When: attaching(Attachment{DocumentID: uuid.UUID{99}}), Err: fault("attachments[0]", "unknown")},
		"too large":         {World: big, When: attaching(Attachment{DocumentID: quote}), Err: fault("attachments", "too_large")},
		"large, but not this one": {World: big, When: attaching(Attachment{quote, v1}), Then: []Event{func() Event {
			e := composed
			e.Attachments = []File{{quote, v1, "quote.pdf", "application/pdf", 1}}
			return e
		}()}},
		"too many": {When: attaching(make([]Attachment, 21)...), Err: fault("attachments", "too_many")},

		"sent":                       {Given: []Event{composed}, When: to(MarkSent(sent)), Then: []Event{sent}},
		"sent twice":                 {Given: []Event{composed, sent}, When: to(MarkSent(sent))},
		"sent after it was given up": {Given: []Event{composed, Failed{}}, When: to(MarkSent(sent)), Then: []Event{sent}},
		"failed":                     {Given: []Event{composed}, When: to(MarkFailed{"expired", 3, now}), Then: []Event{Failed{"expired", 3, now}}},
		"failed after it was sent":   {Given: []Event{composed, sent}, When: to(MarkFailed{})},
		"sent, says somebody":        {Given: []Event{composed}, When: to(MarkSent(sent)), By: by(sees, writes), Err: domain.ErrForbidden},
		"failed, says somebody":      {Given: []Event{composed}, When: to(MarkFailed{}), By: by(sees, writes), Err: domain.ErrForbidden},
		"sent, of another client":    {Given: []Event{composed}, When: attached.To[Command]{Client: other, Command: MarkSent(sent)}, Err: absent},
		"came back":                  {Given: []Event{composed, sent}, When: to(Bounce{Reason: " full "}), At: now, Then: []Event{Bounced{"full", now}}},
		"came back twice":            {Given: []Event{composed, sent, Bounced{}}, When: to(Bounce{Reason: "full"})},
		"came back before":           {Given: []Event{composed}, When: to(Bounce{}), Err: ErrNotSent},
		"came back, from them":       {Given: []Event{logged}, When: to(Bounce{}), Err: ErrNotSent},
		"comes back tomorrow":        {Given: []Event{composed, sent}, When: to(Bounce{At: now.Add(time.Hour)}), At: now, Err: fault("at", "future")},

		"an answer": {When: to(LogReply{From: "elena@example.com", Text: "Yes"}), At: now, Then: []Event{logged}},
		"an answer to a message": {When: to(LogReply{From: "elena@example.com", Text: "Yes", InReplyTo: "<" + answered.String() + "@crm.example>"}), At: now, Then: []Event{func() Event {
			e := logged
			e.InReplyTo, e.AnswerTo = "<"+answered.String()+"@crm.example>", answered
			return e
		}()}},
		"an answer to something":        {When: to(LogReply{From: "elena@example.com", Text: "Yes", InReplyTo: "<x@example.com>"}), At: now, Then: []Event{func() Event { e := logged; e.InReplyTo = "<x@example.com>"; return e }()}},
		"an answer to no message":       {When: to(LogReply{From: "elena@example.com", Text: "Yes", InReplyTo: uuid.New().String()}), At: now, Err: fault("in_reply_to", "unknown")},
		"an answer of one deactivated":  {World: world(state(details, client.Deactivated{})), When: to(LogReply{From: "elena@example.com", Text: "Yes"}), At: now, Then: []Event{logged}},
		"an answer that says nothing":   {When: to(LogReply{Direction: "outbound", At: now.Add(time.Hour)}), At: now, Err: errors.Join(fault("at", "future"), fault("direction", "unknown"), fault("from", "email"), fault("text", "required"))},
		"an answer with a header in it": {When: to(LogReply{From: "elena@example.com\r\nBcc: x@example.com", Text: "Yes"}), At: now, Err: fault("from", "email")},
	}
	for name, c := range cases {
		if c.World == nil {
			c.World = world(state(details))
			cases[name] = c
		}
	}
	domaintest.Run(t, Aggregate, cases)
}

// What a decision needs is no more than a document each, and no more than are allowed.
func TestRefs(t *testing.T) {
	t.Parallel()
	if n := len(refs(State{}, with(func(c *Compose) { c.Attach = make([]Attachment, 1000) }))); n != maxFiles {
		t.Error(n)
	}
}
