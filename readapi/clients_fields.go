package readapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/filter"
)

// listField is a field of clients in lists: as SQL about a row c, and as it is shown.
type listField struct {
	filter.Field
	detail bool   // it is kept among the details
	index  bool   // there may be an index of it, made when it is asked for
	value  string // what it is filtered by; null where empty
	sort   column // and sorted by; of a text its beginning
	show   func(*clientRecordRow) any
}

// longestSort is how many letters of a text are sorted by.
const longestSort = 200

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// listFields are those that have columns of their own.
var listFields = func() map[string]listField {
	all := map[string]listField{}
	add := func(name, value string, sort column, show func(*clientRecordRow) any) {
		f, ok := filter.Lookup(name, nil)
		if !ok {
			panic("readapi: no field " + name)
		}
		if sort.sql == "" {
			sort.sql = value
		}
		all[name] = listField{Field: f, value: value, sort: sort, show: show}
	}
	text := func(name, column string, show func(*clientRecordRow) any) {
		add(name, "(c.keys ->> "+literal(name)+`) collate "C"`, stringColumn(column), show)
	}
	moment := func(name, sql string, show func(*clientRecordRow) any) {
		add(name, sql, column{"", "timestamptz"}, show)
	}
	boolean := func(name, sql string, show func(*clientRecordRow) any) { add(name, sql, column{"", "boolean"}, show) }

	add("id", "c.id", column{"", "uuid"}, func(r *clientRecordRow) any { return r.ID })
	add("name", "c.name_key", stringColumn("c.name_key"), func(r *clientRecordRow) any { return r.Name })
	add("type", "c.type", stringColumn(`c.type collate "C"`), func(r *clientRecordRow) any { return r.Type })
	add("status", "c.status", column{"c.status_rank", "smallint"}, func(r *clientRecordRow) any { return r.Status })
	add("project", "c.project_id", stringColumn("nullif(p.name_key, '')"), func(r *clientRecordRow) any { return namedOrNil(r.ProjectID, r.ProjectName) })
	add("desk", "c.desk_id", stringColumn("nullif(d.name_key, '')"), func(r *clientRecordRow) any { return namedOrNil(r.DeskID, r.DeskName) })
	add("manager", "c.manager_id", stringColumn("nullif(m.name_key, '')"), func(r *clientRecordRow) any { return namedOrNil(r.ManagerID, r.ManagerName) })
	add("tags", "c.tags", stringColumn(`nullif(array_to_string(c.tags, ' '), '') collate "C"`), func(r *clientRecordRow) any { return append([]string{}, r.Tags...) })
	add("revision", "c.revision", column{"", "bigint"}, func(r *clientRecordRow) any { return r.Revision })

	text("first_name", "c.first_name_key", func(r *clientRecordRow) any { return r.FirstName })
	text("last_name", "c.last_name_key", func(r *clientRecordRow) any { return r.LastName })
	text("company", "c.company_key", func(r *clientRecordRow) any { return r.Company })
	text("email", "c.email_key", func(r *clientRecordRow) any { return r.Email })
	text("phone", "c.phone_key", func(r *clientRecordRow) any { return r.Phone })
	text("address.city", "c.city_key", func(r *clientRecordRow) any { return r.City })
	text("address.country", "c.country_key", func(r *clientRecordRow) any { return r.Country })
	for name, show := range map[string]func(*clientRecordRow) any{
		"middle_name": func(r *clientRecordRow) any { return r.MiddleName }, "display_name": func(r *clientRecordRow) any { return r.DisplayName },
		"website": func(r *clientRecordRow) any { return r.Website }, "address.street": func(r *clientRecordRow) any { return r.Street },
		"address.region": func(r *clientRecordRow) any { return r.Region }, "address.postal_code": func(r *clientRecordRow) any { return r.PostalCode },
		"status_reason": func(r *clientRecordRow) any { return r.StatusReason }, "deactivation_reason": func(r *clientRecordRow) any { return r.DeactivationReason },
	} {
		text(name, beginning(name), show)
	}

	moment("created_at", "c.created_at", func(r *clientRecordRow) any { return r.CreatedAt })
	moment("updated_at", "c.updated_at", func(r *clientRecordRow) any { return r.UpdatedAt })
	moment("status_changed_at", "c.status_at", func(r *clientRecordRow) any { return r.StatusAt })
	moment("deactivated_at", "c.deactivated_at", func(r *clientRecordRow) any { return r.DeactivatedAt })
	moment("last_contacted_at", "c.last_contacted_at", func(r *clientRecordRow) any { return r.LastContactedAt })
	moment("portal.last_sign_in_at", "c.portal_signed_in_at", func(r *clientRecordRow) any { return r.PortalSignedInAt })
	boolean("active", "(c.deactivated_at is null)", func(r *clientRecordRow) any { return r.DeactivatedAt == nil })
	boolean("erased", "c.erased", func(r *clientRecordRow) any { return r.Erased })
	boolean("portal.access", "c.portal_access", func(r *clientRecordRow) any { return r.PortalAccess })
	boolean("portal.override", "c.portal_override", func(r *clientRecordRow) any { return r.PortalOverride })
	boolean("favourite", favourite, func(r *clientRecordRow) any { return r.Favourite })
	// Not of what is sorted by names of others, is several values, or changes with every event.
	for name, f := range all {
		f.index = walks[name].from == "" && groupings[name].names == "" && !slices.Contains([]string{"id", "tags", "favourite", "revision"}, name)
		all[name] = f
	}
	for _, name := range filter.Names() {
		if _, ok := all[name]; !ok {
			f, _ := filter.Lookup(name, nil)
			all[name] = byPath(f)
		}
	}
	return all
}()

// favourite is whether a client is one of the caller's favourites; who that is takes the
// place of the parameter.
const favourite = `exists (select from annals_read.favourites s where s.client_id = c.id and s.employee_id = $me)`

// stringColumn is a text that is stored folded.
func stringColumn(sql string) column { return column{sql, `text collate "C"`} }

func beginning(path string) string {
	return fmt.Sprintf(`left(c.keys ->> %s, %d) collate "C"`, literal(path), longestSort)
}

// byPath is a field that is kept by its path.
func byPath(f filter.Field) listField {
	key := "(c.keys ->> " + literal(f.Name) + ")"
	out := listField{Field: f, detail: true, index: true, value: key + ` collate "C"`, sort: stringColumn(beginning(f.Name)), show: func(r *clientRecordRow) any { return r.Details[f.Name] }}
	switch f.Type {
	case filter.Number:
		out.value = fmt.Sprintf(`(case when %[1]s ~ '^-?[0-9]{1,30}(\.[0-9]{1,30})?$' then %[1]s::numeric end)`, key)
		out.sort = column{out.value, "numeric"}
	case filter.Boolean:
		out.value = "(" + key + " = 'true')"
		out.sort = column{out.value, "boolean"}
	case filter.Several:
		out.value, out.index = "(c.keys -> "+literal(f.Name)+")", false
	case filter.Date, filter.Time, filter.Choice, filter.Reference:
		out.value = out.sort.sql // they are short
	case filter.Text, filter.Unknown:
	}
	for _, any := range []string{"meta.", "external_ids."} {
		out.index = out.index && !strings.HasPrefix(f.Name, any) // they can be called whatever somebody likes
	}
	return out
}

// fieldOf finds a field by its name.
func (l *clientList) fieldOf(name string) (listField, bool) {
	f, ok := filter.Lookup(name, l.customType)
	if !ok {
		return listField{}, false
	}
	if own, ok := listFields[f.Name]; ok {
		own.value, own.sort.sql = l.mine(own.value), l.mine(own.sort.sql)
		return own, true
	}
	return byPath(f), true
}

// mine puts the caller where SQL is about who asks.
func (l *clientList) mine(sql string) string {
	if !strings.Contains(sql, "$me") {
		return sql
	}
	return strings.ReplaceAll(sql, "$me", literal(l.who.ID.String())+"::uuid")
}

func (l *clientList) customType(key string) (field.Type, bool) {
	t, ok := l.custom[key]
	return t, ok
}

// chosen is an item of a list with the fields that were asked for alone, inner ones
// within outer ones, and the id.
func chosen(r *clientRecordRow, fields []listField) map[string]any {
	out := map[string]any{"id": r.ID}
	for _, f := range fields {
		to, name := out, f.Name
		if outer, inner, nested := strings.Cut(name, "."); nested {
			in, ok := out[outer].(map[string]any)
			if !ok {
				in = map[string]any{}
				out[outer] = in
			}
			to, name = in, inner
		}
		value := f.show(r)
		switch v := value.(type) {
		case json.RawMessage:
			if v == nil {
				value = nothing(f)
			}
		case *time.Time:
			if v == nil {
				value = nil
			}
		case *named:
			if v == nil {
				value = nil
			}
		}
		to[name] = value
	}
	return out
}

// nothing is how a field is shown that has no value.
func nothing(f listField) any {
	switch f.Type {
	case filter.Text:
		if strings.HasPrefix(f.Name, "other_") {
			return []string{}
		}
		return ""
	case filter.Several:
		return []string{}
	case filter.Unknown, filter.Number, filter.Date, filter.Time, filter.Boolean, filter.Choice, filter.Reference:
	}
	return nil
}

func (l *clientList) parseFields(names []string) error {
	var f domain.Faults
	for i, name := range names {
		field, ok := l.fieldOf(strings.TrimSpace(name))
		if !ok {
			f.Add(domain.Fault(domain.At("fields", i), "unknown", "%q is none of the fields of clients", short(name)))
		}
		l.fields = append(l.fields, field)
	}
	return f.Err()
}

func (l *clientList) parseSort(sort string) error {
	seen := map[string]bool{}
	for i, name := range strings.Split(sort, ",") {
		bare, down := strings.CutPrefix(strings.TrimSpace(name), "-")
		f, ok := l.fieldOf(bare)
		switch {
		case !ok:
			return domain.Fault("sort", "unknown", "%q is none of the fields of clients to sort by", short(bare))
		case i == mostSorts:
			return domain.Fault("sort", "too_many", "has more than %d fields", mostSorts)
		case seen[f.Name]:
			return domain.Fault("sort", "twice", "has %s twice", short(bare))
		}
		seen[f.Name] = true
		l.keys = append(l.keys, key{f.sort, down})
		l.sorts = append(l.sorts, f.Name)
	}
	// Rows that are equal in all that was asked for are sorted by their ids, in the last one's direction.
	l.keys = append(l.keys, key{column{"c.id", "uuid"}, l.keys[len(l.keys)-1].down})
	return nil
}

const mostSorts = 8

func short(s string) string {
	if r := []rune(s); len(r) > 50 {
		return string(r[:50]) + "…"
	}
	return s
}
