package readapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"annals/domain"
	"annals/domain/filter"
)

// ClientsRequest asks for a list of clients in the address.
type ClientsRequest struct {
	After
	Sort        string   `query:"sort" doc:"Fields to sort by, separated by commas; a minus before one sorts it downwards. Empty values come last. Without it what is searched for is sorted by how well it is met, and other lists by when clients were created, the last first" maxLength:"1000"`
	Limit       int      `query:"limit" doc:"How many items at most" default:"50" minimum:"1" maximum:"500"`
	Cursor      string   `query:"cursor" doc:"next_cursor or prev_cursor of another page" maxLength:"20000"`
	Fields      []string `query:"fields" doc:"The fields that items have, separated by commas; without it those of a client in lists" maxItems:"100"`
	AsOf        string   `query:"as_of" doc:"A moment: the clients that you see now, as they were then" maxLength:"40"`
	Q           string   `query:"q" doc:"Finds by the words of name, e-mail, company and phone, and their beginnings, whatever their accents and case, and for one letter that is mistyped" maxLength:"200"`
	Project     []string `query:"project,explode" doc:"Ids of projects" maxItems:"100"`
	Desk        []string `query:"desk,explode" doc:"Ids of desks, or none" maxItems:"100"`
	Manager     []string `query:"manager,explode" doc:"Ids of employees, or none" maxItems:"100"`
	Status      []string `query:"status,explode" maxItems:"10"`
	Tag         []string `query:"tag,explode" doc:"Clients with any of these tags" maxItems:"100"`
	Active      string   `query:"active" doc:"false: only deactivated clients; true: only the others" enum:"true,false"`
	Favourite   string   `query:"favourite" doc:"true: only your favourites; false: only the others" enum:"true,false"`
	CreatedFrom string   `query:"created_from" doc:"A time or a date, included" maxLength:"40"`
	CreatedTo   string   `query:"created_to" doc:"A time, excluded, or a date, included" maxLength:"40"`
	UpdatedFrom string   `query:"updated_from" maxLength:"40"`
	UpdatedTo   string   `query:"updated_to" maxLength:"40"`
}

// ClientsQuery asks for a list of clients in a body.
type ClientsQuery struct {
	After
	Body struct {
		Filter rawFilter `json:"filter,omitempty" doc:"Which clients: a condition, or some put together; all without it"`
		Q      string    `json:"q,omitempty" doc:"Finds by the words of name, e-mail, company and phone, and their beginnings, whatever their accents and case, and for one letter that is mistyped" maxLength:"200"`
		Sort   []string  `json:"sort,omitempty" doc:"Fields to sort by; a minus before one sorts it downwards. Empty values come last. Without it what is searched for is sorted by how well it is met, and other lists by when clients were created, the last first" maxItems:"8"`
		Fields []string  `json:"fields,omitempty" doc:"The fields that items have; without it those of a client in lists" maxItems:"100"`
		Limit  int       `json:"limit,omitempty" doc:"How many items at most" default:"50" minimum:"1" maximum:"500"`
		Cursor string    `json:"cursor,omitempty" doc:"next_cursor or prev_cursor of another page" maxLength:"20000"`
		AsOf   string    `json:"as_of,omitempty" doc:"A moment: the clients that you see now, as they were then" maxLength:"40"`
		Facets []string  `json:"facets,omitempty" doc:"Fields of whose values is told how many clients have them: status, type, active, project, desk, manager, tags" maxItems:"10"`
	}
}

// rawFilter is a filter before it is read.
type rawFilter json.RawMessage

// UnmarshalJSON keeps it.
func (f *rawFilter) UnmarshalJSON(b []byte) error {
	*f = rawFilter(bytes.Clone(b))
	return nil
}

// Schema is that of a filter, which has others in it.
func (rawFilter) Schema(r huma.Registry) *huma.Schema {
	const name = "ClientFilter"
	ref := &huma.Schema{Ref: "#/components/schemas/" + name}
	if _, there := r.Map()[name]; !there {
		var lines, ops []string
		for _, t := range []filter.Type{filter.Text, filter.Number, filter.Date, filter.Time, filter.Boolean, filter.Choice, filter.Reference, filter.Several} {
			lines = append(lines, fmt.Sprintf("%s: %s", t, strings.Join(filter.Operators[t], ", ")))
			for _, op := range filter.Operators[t] {
				if !slices.Contains(ops, op) {
					ops = append(ops, op)
				}
			}
		}
		s := &huma.Schema{
			Type: huma.TypeObject, AdditionalProperties: true, Description: "Which clients: one of and, or, not, and a condition with field, op and value",
			Properties: map[string]*huma.Schema{
				"and":   {Type: huma.TypeArray, Items: ref, Description: "All of these are met"},
				"or":    {Type: huma.TypeArray, Items: ref, Description: "One of these is met"},
				"not":   ref,
				"field": {Type: huma.TypeString, Description: "One of " + strings.Join(filter.Names(), ", ") + "; or consents.CHANNEL, external_ids.SYSTEM, meta.KEY, custom.KEY"},
				"op":    {Type: huma.TypeString, Description: "By the type of the field. " + strings.Join(lines, ". "), Extensions: map[string]any{"x-operators": ops}},
				"value": {Description: "What the operator compares with: a list for one_of, none_of, has_any, has_all, has_none and, of two, between; a number of days for in_last and in_next; " +
					"none for empty and not_empty. Times are as in 2026-01-31 or 2026-01-31T15:04:05Z, or relative: now, today, yesterday, tomorrow, week, month, year, with an offset as in today-7d or month-1m. " +
					"Of managers @me is oneself, of desks and projects @my_desks and @my_projects one's own"},
			},
		}
		r.Map()[name] = s
	}
	return ref
}

// conditions are those that are asked for in the address.
func (r *ClientsRequest) conditions(f *domain.Faults) []filter.Node {
	var all []filter.Node
	condition := func(name, op string, values ...filter.Value) filter.Node {
		field, _ := filter.Lookup(name, nil)
		return filter.Node{Field: field, Op: op, Values: values}
	}
	for _, in := range []struct {
		name   string
		values []string
	}{{"project", r.Project}, {"desk", r.Desk}, {"manager", r.Manager}} {
		if len(in.values) == 0 {
			continue
		}
		ids, none, err := parseIDs(in.name, in.values)
		f.Add(err)
		values := make([]filter.Value, len(ids))
		for i, id := range ids {
			values[i].ID = id
		}
		is := condition(in.name, filter.OneOf, values...)
		if none {
			is = filter.Node{Or: []filter.Node{is, condition(in.name, filter.Empty)}}
		}
		all = append(all, is)
	}
	var statuses []filter.Value
	for _, s := range r.Status {
		if s != "lead" && s != "active" && s != "inactive" {
			f.Add(domain.Fault("status", "unknown", "%q is none of lead, active, inactive", s))
		}
		statuses = append(statuses, filter.Value{Text: s})
	}
	if len(statuses) > 0 {
		all = append(all, condition("status", filter.OneOf, statuses...))
	}
	if len(r.Tag) > 0 {
		tags := make([]filter.Value, len(r.Tag))
		for i, name := range r.Tag {
			tags[i].Text = domain.Text(name)
			f.Add(domain.CheckText("tag", tags[i].Text, 50))
		}
		all = append(all, condition("tags", filter.HasAny, tags...))
	}
	for name, is := range map[string]string{"active": r.Active, "favourite": r.Favourite} {
		if is != "" {
			all = append(all, condition(name, filter.Is, filter.Value{Bool: is == "true"}))
		}
	}
	for _, in := range []struct{ name, field, op, text string }{
		{"created_from", "created_at", filter.OnOrAfter, r.CreatedFrom},
		{"created_to", "created_at", filter.Before, r.CreatedTo},
		{"updated_from", "updated_at", filter.OnOrAfter, r.UpdatedFrom},
		{"updated_to", "updated_at", filter.Before, r.UpdatedTo},
	} {
		if in.text == "" {
			continue
		}
		m, err := filter.ParseMoment(in.text)
		if err != nil {
			f.Add(domain.Fault(in.name, "malformed", "%q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", short(in.text)))
		}
		if from, to := m.Range(time.Time{}); in.op == filter.Before && from.Before(to) {
			in.op = filter.OnOrBefore // a day is meant with all of it
		}
		all = append(all, condition(in.field, in.op, filter.Value{Moment: m}))
	}
	return all
}
