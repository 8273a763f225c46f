package projections

import (
	_ "embed"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/field"
	"annals/domain/project"
	"annals/domain/retention"
	"annals/domain/tag"
	"annals/internal/eventlog"
)

var (
	//go:embed settings.sql
	settingsTables string
	//go:embed settings.indexes.sql
	settingsIndexes string
)

// settings is what people define for their clients: custom fields, tags, rules of
// retention, and changes of status.
var settings = &Projector{
	Name: "settings", Version: 2, Tables: settingsTables, Indexes: settingsIndexes,
	Found:   []string{"tag_names"},
	Apply:   applySettings,
	Inserts: []*Insert{insertCustomField, insertTag, insertRetention},
	Updates: []*Update{changeCustomField, retireCustomField, changeTag, retireTag, mergeTag, changeRetention},
}

var (
	insertCustomField = NewInsert("custom_fields", "id", "project_id", "key", "type", "label", "help", "heading", "ordinal", "required", "unique_values",
		"initial", "options", "created_at", "updated_at")
	insertTag       = NewInsert("tags", "id", "project_id", "key", "label", "label_key", "colour", "description", "created_at", "updated_at")
	insertRetention = NewInsert("retention_rules", "id", "project_id", "name", "statuses", "since", "days", "action", "created_at", "updated_at")

	changeCustomField = NewUpdate("custom_fields", "id", `updated_at = $2, label = $3, help = $4, heading = $5, ordinal = $6, required = $7, unique_values = $8,
		initial = $9, options = $10`)
	retireCustomField = NewUpdate("custom_fields", "id", `updated_at = $2, retired_at = $3`)
	changeTag         = NewUpdate("tags", "id", `updated_at = $2, label = $3, label_key = $4, colour = $5, description = $6`)
	retireTag         = NewUpdate("tags", "id", `updated_at = $2, retired_at = $3`)
	mergeTag          = NewUpdate("tags", "id", `updated_at = $2, merged_into = $3`)
	changeRetention   = NewUpdate("retention_rules", "id", `updated_at = $2, name = $3, statuses = $4, since = $5, days = $6, action = $7`)
)

const (
	newRevision = `insert into registries (category, revision) values ($1, $2) on conflict (category) do update set revision = excluded.revision`
	// A tag that takes a name again has it already.
	addTagName = `insert into tag_names (project_id, name, name_key, tag_id, label, label_key)
		select coalesce(project_id, '00000000-0000-0000-0000-000000000000'), $2, $3, id, $2, $3 from tags where id = $1 on conflict (project_id, name) do nothing`
	relabel         = `update tag_names set label = $2, label_key = $3 where tag_id = $1`
	mergeTagNames   = `update tag_names n set tag_id = t.id, label = t.label, label_key = t.label_key from tags t where n.tag_id = $1 and t.id = $2`
	deleteRetention = `delete from retention_rules where id = $1`
	setTransitions  = `insert into status_transitions (project_id, allowed) values ($1, $2) on conflict (project_id) do update set allowed = excluded.allowed`
)

func applySettings(b *pgx.Batch, r *eventlog.Record) {
	switch e := r.Event.(type) {
	case field.Event:
		b.Queue(newRevision, domain.CustomField, r.Revision)
		applyCustomField(b, r, e)
	case tag.Event:
		b.Queue(newRevision, domain.Tag, r.Revision)
		applyTag(b, r, e)
	case retention.Event:
		b.Queue(newRevision, domain.Retention, r.Revision)
		applyRetention(b, r, e)
	case project.TransitionsChanged:
		var allowed []byte
		if e.To != nil {
			allowed = asJSON(e.To)
		}
		b.Queue(setTransitions, id(r), allowed)
	}
}

func applyCustomField(b *pgx.Batch, r *eventlog.Record, e field.Event) {
	at := r.Meta.At
	switch e := e.(type) {
	case field.Defined:
		insertCustomField.Queue(b, orNull(e.FieldID), orNull(e.ProjectID), e.Key, string(e.Type), e.Label, e.Help, e.Group, e.Order, e.Required, e.Unique,
			initial(e.Settings), asJSON(list(e.Options)), at, at)
	case field.Changed:
		to := e.To
		changeCustomField.Queue(b, orNull(e.FieldID), at, to.Label, to.Help, to.Group, to.Order, to.Required, to.Unique, initial(to), asJSON(list(to.Options)))
	case field.Retired:
		retireCustomField.Queue(b, orNull(e.FieldID), at, at)
	case field.Restored:
		retireCustomField.Queue(b, orNull(e.FieldID), at, nil)
	}
}

func initial(s field.Settings) []byte {
	if s.Default == nil {
		return nil
	}
	return asJSON(s.Default)
}

func applyTag(b *pgx.Batch, r *eventlog.Record, e tag.Event) {
	at := r.Meta.At
	name := func(tag pgtype.UUID, name string) { b.Queue(addTagName, tag, name, domain.Fold(name)) }
	switch e := e.(type) {
	case tag.Defined:
		insertTag.Queue(b, orNull(e.TagID), orNull(e.ProjectID), e.Name, e.Name, domain.Fold(e.Name), e.Colour, e.Description, at, at)
		name(orNull(e.TagID), e.Name)
	case tag.Changed:
		changeTag.Queue(b, orNull(e.TagID), at, e.To.Name, domain.Fold(e.To.Name), e.To.Colour, e.To.Description)
		name(orNull(e.TagID), e.To.Name)
		b.Queue(relabel, orNull(e.TagID), e.To.Name, domain.Fold(e.To.Name))
	case tag.Merged:
		mergeTag.Queue(b, orNull(e.TagID), at, orNull(e.Into))
		b.Queue(mergeTagNames, orNull(e.TagID), orNull(e.Into))
	case tag.Retired:
		retireTag.Queue(b, orNull(e.TagID), at, at)
	case tag.Restored:
		retireTag.Queue(b, orNull(e.TagID), at, nil)
	}
}

func applyRetention(b *pgx.Batch, r *eventlog.Record, e retention.Event) {
	at := r.Meta.At
	switch e := e.(type) {
	case retention.Defined:
		insertRetention.Queue(b, orNull(e.RuleID), orNull(e.ProjectID), e.Name, statuses(e.Statuses), string(e.Since), e.Days, string(e.Action), at, at)
	case retention.Changed:
		to := e.To
		changeRetention.Queue(b, orNull(e.RuleID), at, to.Name, statuses(to.Statuses), string(to.Since), to.Days, string(to.Action))
	case retention.Deleted:
		b.Queue(deleteRetention, orNull(e.RuleID))
	}
}

// statuses is statuses of clients as they are stored.
func statuses(all []client.Status) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return out
}

// asJSON is what was read from JSON before.
func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
