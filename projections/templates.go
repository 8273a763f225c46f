package projections

import (
	_ "embed"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"annals/domain/template"
	"annals/internal/eventlog"
)

//go:embed templates.sql
var templatesTables string

// templates is what messages to clients are made of.
var templates = &Projector{
	Name: "templates", Version: 1, Tables: templatesTables,
	Apply: applyTemplates, Inserts: []*Insert{insertTemplate}, Updates: []*Update{editTemplate, retireTemplate},
}

var (
	insertTemplate = NewInsert("templates", "id", "project_id", "name", "default_language", "texts", "created_at", "updated_at", "revision")
	editTemplate   = NewUpdate("templates", "id", `updated_at = $2, revision = $3, name = $4, default_language = $5, texts = (texts - $6::text[]) || $7::jsonb`)
	retireTemplate = NewUpdate("templates", "id", `updated_at = $2, revision = $3, retired_at = $4`)
)

func applyTemplates(b *pgx.Batch, r *eventlog.Record) {
	e, ok := r.Event.(template.Event)
	if !ok {
		return
	}
	id, at := id(r), r.Meta.At
	switch e := e.(type) {
	case template.Created:
		insertTemplate.Queue(b, id, orNull(e.ProjectID), e.Name, e.DefaultLanguage, texts(e.Texts), at, at, r.Revision)
	case template.Edited:
		gone := slices.Sorted(maps.Keys(e.From.Texts))
		editTemplate.Queue(b, id, at, r.Revision, e.To.Name, e.To.DefaultLanguage, list(gone), texts(e.To.Texts))
	case template.Retired:
		retireTemplate.Queue(b, id, at, r.Revision, at)
	case template.Restored:
		retireTemplate.Queue(b, id, at, r.Revision, nil)
	}
}

func texts(t map[string]template.Text) []byte {
	if t == nil {
		return []byte("{}")
	}
	return asJSON(t)
}
