package commands

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/message"
	"annals/domain/template"
	"annals/internal/accesslog"
	"annals/internal/httpapi"
	"annals/internal/safehtml"
)

// messages takes the commands to messages. How they are sent, [Messages] says.
func (a *API) messages(api *httpapi.API) {
	const path = "/api/v1/clients/{id}/messages"
	on := func(path, summary string) route { return route{"POST", path, domain.ClientsMessage, summary} }
	a.compose(api, on(path, "Send an e-mail to a client, of a template or as it is written, with documents of the client"))
	a.previewMessage(api, on(path+"/preview", "See what a message would be, and whether it would be sent; nothing is sent or kept"))
	a.logReply(api, on(path+"/log", "Write down an e-mail from a client"))
	within[message.Bounce](a, api, on(path+"/{item}/bounced", "Tell that a message came back"), message.Aggregate)
}

// Writing is a message as somebody writes it. It is exported for huma, see Keyed.
type Writing struct {
	TemplateID  domain.Field[domain.ID] `json:"template_id,omitzero" doc:"The template that says what it says; else subject and text do"`
	Language    string                  `json:"language,omitempty" doc:"Of the template's texts: the client's own unless given" maxLength:"100" example:"de-AT"`
	To          string                  `json:"to,omitempty" doc:"One of the client's addresses: the first unless given" maxLength:"254" example:"elena@example.com"`
	Subject     string                  `json:"subject,omitempty" maxLength:"200" example:"Your quote"`
	Text        string                  `json:"text,omitempty" doc:"What it says, as it stands here: placeholders are for templates" maxLength:"100000" example:"Dear Elena,\n\nhere it is."`
	HTML        string                  `json:"html,omitempty" doc:"The same as HTML, for those who show it. What is not safe in a mail is left out" maxLength:"100000" example:"<p>Dear Elena,</p><p>here it is.</p>"`
	Attachments []message.Attachment    `json:"attachments,omitempty" doc:"Documents of the client that go with it" maxItems:"20"`
}

// command is the message that a client is sent: the domain decides whether.
func (a *API) command(ctx context.Context, id domain.ID, w Writing, by domain.Authority) (message.Compose, error) {
	c := message.Compose{SenderID: sender(by), To: w.To, Subject: w.Subject, Text: w.Text, Attach: w.Attachments}
	if w.TemplateID.Value == (domain.ID{}) {
		c.HTML = safehtml.Mail(domain.LongText(w.HTML))
		if w.Language != "" {
			return c, domain.Fault("language", "contradiction", "is for messages of a template")
		}
		return c, nil
	}
	if w.Subject != "" || w.Text != "" || w.HTML != "" {
		return c, domain.Fault("template_id", "contradiction", "says what the message says: leave out subject, text and html")
	}
	of, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: id})
	if err == nil {
		err = of.Admits(by, domain.ClientsMessage) // before anything that would tell of the client
	}
	if err != nil {
		return c, err
	}
	t, err := Load[template.State](ctx, a.Store, domain.Ref{Category: domain.Template, ID: w.TemplateID.Value})
	if err != nil {
		return c, err
	}
	switch err := t.CheckUse(by, of.Assignment.ProjectID); {
	case domain.KindOf(err) == domain.NotFound:
		return c, domain.Fault("template_id", "unknown", "names no template")
	case err != nil:
		return c, err
	}
	r, err := a.render(ctx, by, of, t, w.Language)
	c.TemplateID, c.Language, c.Subject, c.Text, c.HTML = w.TemplateID.Value, r.language, r.subject, r.text, r.html
	return c, err
}

func toClient(id domain.ID, c message.Command) attached.To[message.Command] {
	return attached.To[message.Command]{Client: id, Command: c}
}

// ofClient is the route with the id of the client in its path.
func (r route) ofClient(id uuid.UUID) route {
	r.path = strings.Replace(r.path, "{id}", id.String(), 1)
	return r
}

func (a *API) compose(api *httpapi.API, r route) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
		Keyed
		Body Writing
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		at := r.ofClient(in.ID)
		m, err := a.meta(ctx, at.method+" "+at.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		c, err := a.command(ctx, in.ID, in.Body, m.By)
		if err != nil {
			return a.create(refuse(ctx, a.Store, message.Aggregate, newID(m), toClient(in.ID, c), m, AnyRevision, err))(at)
		}
		return a.create(Handle(ctx, a.Store, message.Aggregate, newID(m), toClient(in.ID, c), m, AnyRevision))(at)
	})
}

func (a *API) previewMessage(api *httpapi.API, r route) {
	type input struct {
		ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
		Body Writing
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*previewed, error) {
		m, err := a.meta(ctx, "", "", nil)
		if err != nil {
			return nil, err
		}
		c, err := a.command(ctx, in.ID, in.Body, m.By)
		if err != nil {
			return nil, err
		}
		events, err := would(ctx, a.Store, message.Aggregate, newID(m), toClient(in.ID, c), m)
		if err != nil {
			return nil, err
		}
		out := &previewed{}
		for _, e := range events {
			if e, ok := e.(message.Composed); ok {
				out.Body = preview{To: e.To, Language: e.Language, Subject: e.Subject, Text: e.Text, HTML: e.HTML}
				for _, f := range e.Attachments {
					out.Body.Attachments = append(out.Body.Attachments, previewFile(f))
				}
			}
		}
		return out, a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.Preview, Clients: []domain.ID{in.ID}})
	})
}

func (a *API) logReply(api *httpapi.API, r route) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
		Keyed
		Body message.LogReply
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		at := r.ofClient(in.ID)
		m, err := a.meta(ctx, at.method+" "+at.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		at.path = strings.TrimSuffix(at.path, "/log") // where messages are
		return a.create(Handle(ctx, a.Store, message.Aggregate, newID(m), toClient(in.ID, in.Body), m, AnyRevision))(at)
	})
}
