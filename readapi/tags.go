package readapi

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// tagItem is a tag that somebody has defined, as it is answered.
type tagItem struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	ProjectID   *uuid.UUID `json:"project_id" format:"uuid" nullable:"true" doc:"The project whose clients are meant; null: clients of all projects"`
	Name        string     `json:"name" doc:"What clients show" example:"VIP"`
	Names       []string   `json:"names" doc:"Every name that means this tag: those that it, and the tags merged into it, have or had"`
	Key         string     `json:"key" doc:"The name that it was first given, under which events have it"`
	Colour      string     `json:"colour" example:"#1a7f37"`
	Description string     `json:"description"`
	MergedInto  *uuid.UUID `json:"merged_into" format:"uuid" nullable:"true" doc:"The tag that it is one with; null: it stands for itself"`
	RetiredAt   *time.Time `json:"retired_at" doc:"Since when it is not offered any more; null: it is"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	Revision    int64      `json:"revision" doc:"Of all tags together: send it as If-Match to change what you have seen, and nothing else"`
}

type tagRow struct {
	keyset
	ID          uuid.UUID
	ProjectID   *uuid.UUID
	Label       string
	Names       []string
	Key         string
	Colour      string
	Description string
	MergedInto  *uuid.UUID
	RetiredAt   *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64
}

func (r tagRow) at() int64 { return r.Revision }

func (r tagRow) item() tagItem {
	return tagItem{
		r.ID, r.ProjectID, r.Label, r.Names, r.Key, r.Colour, r.Description, r.MergedInto, r.RetiredAt, r.CreatedAt, r.UpdatedAt, r.Revision,
	}
}

var tagSource = source{
	columns: `t.id, t.project_id, t.label, array(select n.name from annals_read.tag_names n where n.tag_id = t.id order by n.name) as names, t.key, t.colour, t.description,
		t.merged_into, t.retired_at, t.created_at, t.updated_at, g.revision`,
	from:    "annals_read.tags t join annals_read.registries g on g.category = 'tag'",
	id:      "t.id",
	natural: "name",
	sorts: map[string]column{
		"name": textColumn("t.label"), "key": textColumn("t.key"), "created_at": {"t.created_at", "timestamptz"}, "updated_at": {"t.updated_at", "timestamptz"},
	},
}

func (a *API) tags(ctx context.Context, r *definitionsRequest) (*list[tagItem], error) {
	q := definitions(ctx, "t")
	q.and("t.merged_into is null")
	if err := r.narrow(q, "t"); err != nil {
		return nil, err
	}
	return fetch(ctx, a, tagSource, q, r.Page, tagRow.item)
}

func (a *API) tag(ctx context.Context, in *byID) (*one[tagItem], error) {
	return fetchOne(ctx, a, tagSource, definitions(ctx, "t"), *in, "tag", tagRow.item)
}

// forAll is the project of what is defined for all, where it is part of a key.
const forAll = "'00000000-0000-0000-0000-000000000000'"

// meant is SQL for the label of a tag on clients of a project: of one that is there by
// its key, or under a name in whatever case, and null if nobody has defined it. The
// project's own tags come before those for all, also before one that is called the same.
func meant(project, column, value string) string {
	return fmt.Sprintf(`coalesce(
		(select own.label from annals_read.tag_names own where own.project_id = %[1]s and own.%[2]s = %[3]s limit 1),
		(select coalesce((select mine.label from annals_read.tag_names mine where mine.project_id = %[1]s and mine.name_key = general.label_key limit 1), general.label)
			from annals_read.tag_names general where general.project_id = %[4]s and general.%[2]s = %[3]s limit 1))`, project, column, value, forAll)
}

// tagLabels is SQL for what the tags are called that a client has, sorted and each
// once: for the rows of a table with its tags, by their keys, and its project_id.
func tagLabels(table string) string {
	return fmt.Sprintf(`case when %[1]s.tags = '{}' or (select not exists (select from annals_read.tag_names)) then %[1]s.tags else
		array(select distinct coalesce(%[2]s, k.key) collate "C" from unnest(%[1]s.tags) k (key) order by 1) end`, table, meant(table+".project_id", "name", "k.key"))
}

// sameTags finds every key under which clients may have a tag that is meant by some
// names, and says whether that depends on the client's project.
const sameTags = `with named as (select tag_id from annals_read.tag_names where name_key = any($2)),
	-- a project's own tags that are called like one of those for all
	own as (select tag_id from named union select m.tag_id from annals_read.tag_names m where m.project_id <> ` + forAll + ` and m.name_key in (
		select g.label_key from annals_read.tag_names g where g.project_id = ` + forAll + ` and g.tag_id in (select tag_id from named))),
	-- and those for all that are called like them
	same as (select tag_id from own union select g.tag_id from annals_read.tag_names g where g.project_id = ` + forAll + ` and g.label_key in (
		select m.name_key from annals_read.tag_names m where m.project_id <> ` + forAll + ` and m.tag_id in (select tag_id from own))),
	keys as (select name from annals_read.tag_names where tag_id in (select tag_id from same) union select unnest($1::text[]))
	select array(select name from keys), exists (select from annals_read.tag_names n where n.project_id <> ` + forAll + `
		and (n.tag_id in (select tag_id from same) or n.name in (select name from keys)))`
