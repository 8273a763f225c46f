package readapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"annals/internal/access"
)

// fieldItem is a custom field as it is answered.
type fieldItem struct {
	ID        uuid.UUID     `json:"id" format:"uuid"`
	ProjectID *uuid.UUID    `json:"project_id" format:"uuid" nullable:"true" doc:"The project whose clients have the field; null: clients of all projects"`
	Key       string        `json:"key" doc:"What the field is called in a client's custom" example:"customer_number"`
	Type      string        `json:"type" enum:"text,long_text,number,money,date,datetime,boolean,one_of,several_of,email,phone,url,employee,client"`
	Label     string        `json:"label" example:"Customer number"`
	Help      string        `json:"help"`
	Group     string        `json:"group" doc:"The heading under which the field is shown"`
	Order     int           `json:"order"`
	Required  bool          `json:"required"`
	Unique    bool          `json:"unique" doc:"Two clients with the same value are something to warn of"`
	Default   any           `json:"default" doc:"What a new client has; null for nothing"`
	Options   []fieldChoice `json:"options" doc:"What there is to choose from"`
	RetiredAt *time.Time    `json:"retired_at" doc:"Since when the field is not in use any more; null: it is"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
	Revision  int64         `json:"revision" doc:"Of all custom fields together: send it as If-Match to change what you have seen, and nothing else"`
}

type fieldChoice struct {
	Key     string `json:"key"`
	Label   string `json:"label"`
	Retired bool   `json:"retired,omitempty" doc:"Not to be chosen any more"`
}

type fieldRow struct {
	keyset
	ID           uuid.UUID
	ProjectID    *uuid.UUID
	Key          string
	Type         string
	Label        string
	Help         string
	Heading      string
	Ordinal      int
	Required     bool
	UniqueValues bool
	Initial      any
	Options      []fieldChoice
	RetiredAt    *time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Revision     int64
}

func (r fieldRow) at() int64 { return r.Revision }

func (r fieldRow) item() fieldItem {
	return fieldItem{
		r.ID, r.ProjectID, r.Key, r.Type, r.Label, r.Help, r.Heading, r.Ordinal, r.Required, r.UniqueValues, r.Initial, r.Options,
		r.RetiredAt, r.CreatedAt, r.UpdatedAt, r.Revision,
	}
}

var fieldSource = source{
	columns: `f.id, f.project_id, f.key, f.type, f.label, f.help, f.heading, f.ordinal, f.required, f.unique_values, f.initial, f.options,
		f.retired_at, f.created_at, f.updated_at, g.revision`,
	from:    "annals_read.custom_fields f join annals_read.registries g on g.category = 'field'",
	id:      "f.id",
	natural: "order,key",
	sorts: map[string]column{
		"order": {"f.ordinal", "int"}, "key": textColumn("f.key"), "label": textColumn("f.label"), "group": textColumn("f.heading"), "type": textColumn("f.type"),
		"created_at": {"f.created_at", "timestamptz"}, "updated_at": {"f.updated_at", "timestamptz"},
	},
}

// definitionsRequest asks for what is defined for clients.
type definitionsRequest struct {
	Page
	Project []string `query:"project,explode" doc:"Ids of projects: those for their clients, which are their own and those for all; or none: those for all alone" maxItems:"100"`
	Retired string   `query:"retired" doc:"true: only what is not in use any more; false: only what is" enum:"true,false"`
}

// definitions begins a query of what is defined for a project, or for all where its
// project_id is null.
func definitions(ctx context.Context, table string) *query {
	q := &query{}
	q.and("(" + table + ".project_id is null or " + access.Projects(access.Authority(ctx), table+".project_id", q.bind) + ")")
	return q
}

func (r *definitionsRequest) narrow(q *query, table string) error {
	if len(r.Project) > 0 {
		if err := in(q, "project", table+".project_id", append(r.Project, "none")); err != nil {
			return err
		}
	}
	switch r.Retired {
	case "true":
		q.and(table + ".retired_at is not null")
	case "false":
		q.and(table + ".retired_at is null")
	}
	return nil
}

func (a *API) customFields(ctx context.Context, r *definitionsRequest) (*list[fieldItem], error) {
	q := definitions(ctx, "f")
	if err := r.narrow(q, "f"); err != nil {
		return nil, err
	}
	return fetch(ctx, a, fieldSource, q, r.Page, fieldRow.item)
}

func (a *API) customField(ctx context.Context, in *byID) (*one[fieldItem], error) {
	return fetchOne(ctx, a, fieldSource, definitions(ctx, "f"), *in, "field", fieldRow.item)
}
