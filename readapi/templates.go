package readapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// TemplateHead is a template without what it says. It is exported for huma, which does
// not look into what is not.
type TemplateHead struct {
	ID              uuid.UUID  `json:"id" format:"uuid"`
	ProjectID       *uuid.UUID `json:"project_id" format:"uuid" nullable:"true" doc:"The project for whose clients it is; null: for all clients"`
	Name            string     `json:"name" example:"Welcome"`
	DefaultLanguage string     `json:"default_language" doc:"The language for clients whose own there is not" example:"en"`
	Languages       []string   `json:"languages" doc:"Those that it has texts in"`
	RetiredAt       *time.Time `json:"retired_at" doc:"Since when it is no longer used; null: it is"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
	Revision        int64      `json:"revision"`
}

type templateWords struct {
	Subject string `json:"subject" example:"Welcome, {{client.first_name|dear client}}"`
	Text    string `json:"text" example:"Hello {{client.name}},\n\nyour contact is {{employee.name}}."`
	HTML    string `json:"html,omitempty" doc:"As it was made safe" example:"<p>Hello <b>{{client.name}}</b>,</p>"`
}

type templateItem struct {
	TemplateHead
	Texts map[string]templateWords `json:"texts" doc:"What it says, by language"`
}

type templateHeadRow struct {
	keyset
	TemplateHead
}

func (r templateHeadRow) at() int64 { return r.Revision }

func (r templateHeadRow) item() TemplateHead { return r.TemplateHead }

type templateRow struct {
	keyset
	TemplateHead
	Texts json.RawMessage
}

func (r templateRow) at() int64 { return r.Revision }

func (r templateRow) item() templateItem {
	item := templateItem{TemplateHead: r.TemplateHead}
	if err := json.Unmarshal(r.Texts, &item.Texts); err != nil {
		panic(err) // the projector wrote it
	}
	return item
}

const templateHead = `t.id, t.project_id, t.name, t.default_language, array(select jsonb_object_keys(t.texts) order by 1) as languages,
	t.retired_at, t.created_at, t.updated_at, t.revision`

var templateSource = source{
	columns: templateHead,
	from:    "annals_read.templates t",
	id:      "t.id",
	natural: "name",
	sorts: map[string]column{
		"name": textColumn("t.name"), "created_at": {"t.created_at", "timestamptz"}, "updated_at": {"t.updated_at", "timestamptz"},
	},
}

func (a *API) templates(ctx context.Context, r *definitionsRequest) (*list[TemplateHead], error) {
	q := definitions(ctx, "t")
	if err := r.narrow(q, "t"); err != nil {
		return nil, err
	}
	return fetch(ctx, a, templateSource, q, r.Page, templateHeadRow.item)
}

func (a *API) template(ctx context.Context, in *byID) (*one[templateItem], error) {
	whole := templateSource
	whole.columns = templateHead + ", t.texts"
	return fetchOne(ctx, a, whole, definitions(ctx, "t"), *in, "template", templateRow.item)
}
