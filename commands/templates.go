package commands

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/project"
	"annals/domain/template"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/httpapi"
	"annals/internal/safehtml"
)

// templates takes the commands to templates. Their HTML is made safe before anybody sees
// it.
func (a *API) templates(api *httpapi.API) {
	const path = "/api/v1/templates"
	on := func(method, path, summary string) route {
		return route{method, path, domain.OrganisationManage, summary}
	}
	a.createTemplate(api, on("POST", path, "Make a template of messages, for the clients of one project or of all"))
	patch(a, api, on("PATCH", path+"/{id}", "Edit a template"), template.Aggregate, template.Definition{},
		func(p map[string]any) template.Command { return template.Edit{Patch: safeTexts(p)} })
	bare(a, api, on("POST", path+"/{id}/retire", "Have a template no longer used"), template.Aggregate, template.Command(template.Retire{}))
	bare(a, api, on("POST", path+"/{id}/restore", "Have a retired template used again"), template.Aggregate, template.Command(template.Restore{}))
	httpapi.Handle(api, httpapi.GetOp(path+"/placeholders", "List what templates can have filled in"), placeholders)
	a.previewTemplate(api, route{"POST", path + "/{id}/preview", domain.ClientsView, "See what a template becomes for a client; nothing is sent or kept"})
}

// placeholderList is what templates can have filled in.
type placeholderList struct {
	Body struct {
		Items []string `json:"items" doc:"Each stands between {{ and }}, with what stands there where the client has none behind a |: {{client.first_name|there}}. Values by key are beside them: client.custom.KEY, client.meta.KEY, client.external_ids.KEY" example:"[\"client.name\",\"client.address.city\"]"`
	}
}

func placeholders(context.Context, *struct{}) (*placeholderList, error) {
	out := &placeholderList{}
	out.Body.Items = template.Placeholders()
	return out, nil
}

func (a *API) createTemplate(api *httpapi.API, r route) {
	type input struct {
		Keyed
		Body template.Create
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		m, err := a.meta(ctx, r.method+" "+r.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		c := in.Body
		c.Texts = make(map[string]template.Text, len(in.Body.Texts))
		for language, t := range in.Body.Texts {
			t.HTML = safeTemplate(t.HTML)
			c.Texts[language] = t
		}
		return a.create(Handle(ctx, a.Store, template.Aggregate, newID(m), template.Command(c), m, AnyRevision))(r)
	})
}

// safeTemplate brings HTML into form, and makes it safe. In this order: what is safe is
// not changed any more.
func safeTemplate(html string) string { return safehtml.Template(domain.LongText(html)) }

// safeTexts is a merge patch of a template with its HTML made safe. What is no template
// is left to be refused.
func safeTexts(patch map[string]any) map[string]any {
	texts, ok := patch["texts"].(map[string]any)
	if !ok {
		return patch
	}
	safe := make(map[string]any, len(texts))
	for language, t := range texts {
		if text, ok := t.(map[string]any); ok {
			t = with(text, "html", func(v any) any {
				if html, ok := v.(string); ok {
					return safeTemplate(html)
				}
				return v
			})
		}
		safe[language] = t
	}
	return with(patch, "texts", func(any) any { return safe })
}

// with is a copy of the object with another value for the key, if it has that.
func with(object map[string]any, key string, value func(any) any) map[string]any {
	out := make(map[string]any, len(object))
	for k, v := range object {
		if k == key {
			v = value(v)
		}
		out[k] = v
	}
	return out
}

// preview is what a message would be.
type preview struct {
	To          string        `json:"to,omitempty" doc:"The address that it would go to"`
	Language    string        `json:"language,omitempty" doc:"Of the template's text" example:"de"`
	Subject     string        `json:"subject"`
	Text        string        `json:"text"`
	HTML        string        `json:"html,omitempty" doc:"It runs nothing, and loads nothing but images"`
	Attachments []previewFile `json:"attachments,omitempty"`
}

type previewFile struct {
	DocumentID uuid.UUID `json:"document_id" format:"uuid"`
	VersionID  uuid.UUID `json:"version_id" format:"uuid"`
	Name       string    `json:"name"`
	MediaType  string    `json:"media_type"`
	Size       int64     `json:"size" doc:"Bytes"`
}

// previewRequest is for whom a template is looked at.
type previewRequest struct {
	ClientID domain.ID `json:"client_id" doc:"Whose values stand where placeholders are" format:"uuid"`
	Language string    `json:"language,omitempty" doc:"The client's own unless given" maxLength:"100" example:"de-AT"`
}

type previewed struct {
	Body preview
}

func (a *API) previewTemplate(api *httpapi.API, r route) {
	type input struct {
		ID   uuid.UUID `path:"id" format:"uuid"`
		Body previewRequest
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*previewed, error) {
		by := access.Authority(ctx)
		of, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: in.Body.ClientID})
		if err != nil {
			return nil, err
		}
		t, err := Load[template.State](ctx, a.Store, domain.Ref{Category: domain.Template, ID: in.ID})
		if err != nil {
			return nil, err
		}
		use := t.CheckUse(by, of.Assignment.ProjectID)
		switch {
		case domain.KindOf(use) == domain.NotFound:
			return nil, use
		case of.Admits(by, domain.ClientsView) != nil:
			return nil, domain.Fault("client_id", "unknown", "names no client")
		case domain.KindOf(use) == domain.Invalid: // one that is retired can be looked at
			return nil, domain.Fault("client_id", "other_project", "is a client of a project that the template is not for")
		}
		w, err := a.render(ctx, by, of, t, in.Body.Language)
		if err != nil {
			return nil, err
		}
		if err := a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.Preview, Clients: []domain.ID{in.Body.ClientID}, Item: in.ID}); err != nil {
			return nil, err
		}
		return &previewed{preview{Language: w.language, Subject: w.subject, Text: w.text, HTML: w.html}}, nil
	})
}

// written is what a template became.
type written struct{ language, subject, text, html string }

// render fills a template in for a client whom the caller sees, in the wanted language
// or the client's own.
func (a *API) render(ctx context.Context, by domain.Authority, of client.State, t template.State, wanted string) (w written, err error) {
	text, language, found := t.In(wanted)
	if !found && wanted != "" {
		return w, domain.Fault("language", "unknown", "is none of those that the template has, nor has it one for all who speak it")
	}
	if wanted == "" {
		text, language, _ = t.In(of.Details.Language)
	}
	v := template.Values{Client: of.Details}
	from, err := Load[employee.State](ctx, a.Store, domain.Ref{Category: domain.Employee, ID: sender(by)})
	if err != nil {
		return w, err
	}
	in, err := Load[project.State](ctx, a.Store, domain.Ref{Category: domain.Project, ID: of.Assignment.ProjectID})
	if err != nil {
		return w, err
	}
	v.EmployeeName, v.EmployeeEmail, v.ProjectName = from.Name, from.Email, in.Name
	w.language = language
	if w.subject, w.text, w.html, err = text.Render(v); err != nil {
		return w, err
	}
	w.html = safehtml.Mail(w.html)
	return w, nil
}

// sender is the employee who acts, or whose API key it is.
func sender(by domain.Authority) domain.ID {
	if by.Behalf != (domain.ID{}) {
		return by.Behalf
	}
	return by.ID
}
