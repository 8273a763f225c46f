package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/access"
	"annals/internal/textfold"
)

// where is a filter as SQL about a row c, in which null is as good as false.
func (l *clientList) where(n filter.Node) string {
	join := func(parts []filter.Node, op string) string {
		conds := make([]string, len(parts))
		for i, part := range parts {
			conds[i] = l.where(part)
		}
		return "(" + strings.Join(conds, op) + ")"
	}
	switch {
	case len(n.And) > 0:
		return join(n.And, " and ")
	case len(n.Or) > 0:
		return join(n.Or, " or ")
	case n.Not != nil:
		return "(" + l.where(*n.Not) + ") is not true"
	case n.Field.Name != "":
		return l.condition(n)
	}
	return "true"
}

// condition is one condition. What is empty is neither this nor that, so that it meets
// is_not, none_of, not_contains and has_none.
func (l *clientList) condition(n filter.Node) string {
	f, _ := l.fieldOf(n.Field.Name) // the filter was read with the same fields
	empty := f.value + " is null"
	if n.Field.Name == "tags" {
		empty = "c.tags = '{}'"
	}
	switch n.Op {
	case filter.Empty:
		return "(" + empty + ")"
	case filter.NotEmpty:
		return "(not " + empty + ")"
	}
	var positive string
	negative := false
	switch n.Op {
	case filter.IsNot:
		n.Op, negative = filter.Is, true
	case filter.NoneOf:
		n.Op, negative = filter.OneOf, true
	case filter.NotContains:
		n.Op, negative = filter.Contains, true
	case filter.HasNone:
		n.Op, negative = filter.HasAny, true
	}
	switch n.Field.Type {
	case filter.Text:
		positive = l.textual(f, n)
	case filter.Choice:
		values := make([]string, len(n.Values))
		for i, v := range n.Values {
			values[i] = textfold.Fold(v.Text)
		}
		positive = f.value + " = any(" + l.q.bind(values) + "::text[])"
	case filter.Number:
		positive = l.number(f, n)
	case filter.Date, filter.Time:
		positive = l.moment(f, n)
	case filter.Boolean:
		positive = f.value + " = " + l.q.bind(n.Values[0].Bool) + "::boolean"
	case filter.Reference:
		positive = l.reference(f, n)
	case filter.Several:
		positive = l.several(f, n)
	case filter.Unknown: // is none of a list's
		positive = "false"
	}
	if negative {
		return "(" + positive + ") is not true"
	}
	return "(" + positive + ")"
}

// last is after all texts that begin with one, where it follows that.
const last = "\U0010ffff"

func (l *clientList) textual(f listField, n filter.Node) string {
	v := textfold.Fold(n.Values[0].Text)
	sorted := f.sort.sql
	if len([]rune(v)) >= longestSort { // there only the beginning is
		sorted = f.value
	}
	switch n.Op {
	case filter.OneOf:
		values := make([]string, len(n.Values))
		for i, v := range n.Values {
			values[i] = textfold.Fold(v.Text)
			if len([]rune(values[i])) >= longestSort {
				sorted = f.value
			}
		}
		return sorted + " = any(" + l.q.bind(values) + "::text[])"
	case filter.Contains:
		return f.value + " like " + l.q.bind("%"+likeEscape.Replace(v)+"%") + "::text"
	case filter.EndsWith:
		return f.value + " like " + l.q.bind("%"+likeEscape.Replace(v)) + "::text"
	case filter.BeginsWith:
		return fmt.Sprintf("(%s >= %s::text and %[1]s < %[3]s::text)", sorted, l.q.bind(v), l.q.bind(v+last))
	}
	return sorted + " = " + l.q.bind(v) + "::text"
}

var comparisons = map[string]string{filter.Is: "=", filter.Greater: ">", filter.AtLeast: ">=", filter.Less: "<", filter.AtMost: "<="}

func (l *clientList) number(f listField, n filter.Node) string {
	bind := func(i int) string { return l.q.bind(n.Values[i].Text) + "::text::numeric" }
	switch n.Op {
	case filter.OneOf:
		values := make([]string, len(n.Values))
		for i, v := range n.Values {
			values[i] = v.Text
		}
		return f.value + " = any(" + l.q.bind(values) + "::text[]::numeric[])"
	case filter.Between:
		return fmt.Sprintf("(%s >= %s and %[1]s <= %[3]s)", f.value, bind(0), bind(1))
	}
	return f.value + " " + comparisons[n.Op] + " " + bind(0)
}

// moment compares times with periods: those of a text sort as they are written.
func (l *clientList) moment(f listField, n filter.Node) string {
	value := func(t time.Time) string { return l.q.bind(t) + "::timestamptz" }
	switch {
	case f.Type == filter.Date:
		value = func(t time.Time) string { return l.q.bind(t.Format(time.DateOnly)) + "::text" }
	case f.sort.cast != "timestamptz":
		value = func(t time.Time) string { return l.q.bind(sortable(t)) + "::text" }
	}
	compare := func(op string, t time.Time) string { return f.value + " " + op + " " + value(t) }
	both := func(a, b string) string { return "(" + a + " and " + b + ")" }
	now := l.now
	if f.Type == filter.Date { // whole days are compared
		now = now.UTC().Truncate(24 * time.Hour)
	}
	switch n.Op {
	case filter.InLast:
		return both(compare(">", now.AddDate(0, 0, -n.Values[0].Days)), compare("<=", now))
	case filter.InNext:
		return both(compare(">=", now), compare("<", now.AddDate(0, 0, n.Values[0].Days)))
	}
	from, to := n.Values[0].Moment.Range(l.now)
	end := "<" // of what is up to the period's end
	if from.Equal(to) {
		end = "<="
	}
	if f.Type == filter.Date && from.Equal(to) { // a moment stands for its day
		from = from.UTC().Truncate(24 * time.Hour)
		to, end = from.AddDate(0, 0, 1), "<"
	}
	switch n.Op {
	case filter.Before:
		return compare("<", from)
	case filter.OnOrBefore:
		return compare(end, to)
	case filter.After:
		if end == "<=" {
			return compare(">", to)
		}
		return compare(">=", to)
	case filter.OnOrAfter:
		return compare(">=", from)
	case filter.Between:
		last := n.Values[1]
		_, until := last.Moment.Range(l.now)
		if begin, _ := last.Moment.Range(l.now); begin.Equal(until) && f.Type == filter.Time {
			return both(compare(">=", from), compare("<=", until))
		} else if begin.Equal(until) {
			until = begin.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
		}
		return both(compare(">=", from), compare("<", until))
	}
	if end == "<=" {
		return compare("=", from)
	}
	return both(compare(">=", from), compare("<", to))
}

// sortable is a time as the read model keeps it in keys; see projections.Moment.
func sortable(t time.Time) string { return t.UTC().Format("2006-01-02t15:04:05.000000z") }

// ids are those that a condition about references is about.
func (l *clientList) ids(n filter.Node) []uuid.UUID {
	var ids []uuid.UUID
	projects, desks := access.Assigned(l.who.Scope)
	for _, v := range n.Values {
		switch v.Ref {
		case "@me":
			ids = append(ids, l.who.ID)
		case "@my_desks":
			ids = append(ids, desks...)
		case "@my_projects":
			ids = append(ids, projects...)
		default:
			ids = append(ids, v.ID)
		}
	}
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids)
}

func (l *clientList) reference(f listField, n filter.Node) string {
	ids := l.ids(n)
	if _, custom := filter.Custom(f.Name); custom {
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = id.String()
		}
		return f.sort.sql + " = any(" + l.q.bind(texts) + "::text[])"
	}
	return f.value + " = any(" + l.q.bind(ids) + "::uuid[])"
}

func (l *clientList) several(f listField, n filter.Node) string {
	if f.Name == "tags" {
		return l.tagged(n)
	}
	values := make([]string, len(n.Values))
	for i, v := range n.Values {
		values[i] = v.Text
	}
	op := "?|"
	if n.Op == filter.HasAll {
		op = "?&"
	}
	return f.value + " " + op + " " + l.q.bind(values) + "::text[]"
}

// meaning is what a name of a tag stands for.
type meaning struct {
	keys    []string // under which clients may have it
	depends bool     // on the client's project
}

func (l *clientList) tagged(n filter.Node) string {
	var conds, all []string
	for _, v := range n.Values {
		m := l.tags[v.Text]
		if n.Op == filter.HasAny && !m.depends {
			all = append(all, m.keys...)
			continue
		}
		cond := "c.tags && " + l.q.bind(m.keys) + "::text[]"
		if m.depends {
			cond = fmt.Sprintf(`(%s and exists (select from unnest(c.tags) k (key) where k.key = %s::text or coalesce(%s, k.key) = %s))`,
				cond, l.q.bind(v.Text), meant("c.project_id", "name", "k.key"), meant("c.project_id", "name_key", l.q.bind(domain.Fold(v.Text))+"::text"))
		}
		conds = append(conds, cond)
	}
	if len(all) > 0 {
		conds = append(conds, "c.tags && "+l.q.bind(all)+"::text[]")
	}
	if n.Op == filter.HasAll {
		return "(" + strings.Join(conds, " and ") + ")"
	}
	return "(" + strings.Join(conds, " or ") + ")"
}

// resolve finds out what the request's custom fields and tags are.
func (a *API) resolveFields(ctx context.Context, l *clientList, names []string) error {
	keys := []string{}
	for _, name := range names {
		if key, ok := filter.Custom(strings.TrimSpace(name)); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	var b pgx.Batch
	// Of fields of several projects that are called the same the first counts, unless they differ.
	b.Queue(`select key, case when count(distinct type) = 1 then min(type) else 'text' end from annals_read.custom_fields where key = any($1) group by key`, keys).
		Query(func(r pgx.Rows) error {
			var key, typ string
			_, err := pgx.ForEachRow(r, []any{&key, &typ}, func() error {
				l.custom[key] = field.Type(typ)
				return nil
			})
			return err
		})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return fmt.Errorf("custom fields: %w", err)
	}
	return nil
}

func (a *API) resolveTags(ctx context.Context, l *clientList) error {
	var names []string
	var visit func(n filter.Node)
	visit = func(n filter.Node) {
		for _, part := range slices.Concat(n.And, n.Or) {
			visit(part)
		}
		if n.Not != nil {
			visit(*n.Not)
		}
		if n.Field.Name == "tags" {
			for _, v := range n.Values {
				names = append(names, v.Text)
			}
		}
	}
	visit(l.filter)
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	l.tags = map[string]meaning{}
	var b pgx.Batch
	for _, name := range names {
		b.Queue(sameTags, []string{name}, []string{domain.Fold(name)}).QueryRow(func(r pgx.Row) error {
			var m meaning
			err := r.Scan(&m.keys, &m.depends)
			l.tags[name] = m
			return err
		})
	}
	if err := a.DB.Ask(ctx, &b); err != nil {
		return fmt.Errorf("tags: %w", err)
	}
	return nil
}

// mentioned are the fields that a filter mentions, before it is read.
func mentioned(raw json.RawMessage) []string {
	var names []string
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				visit(one)
			}
		case map[string]any:
			if name, ok := v["field"].(string); ok {
				names = append(names, name)
			}
			for _, one := range v {
				visit(one)
			}
		}
	}
	var v any
	if json.Unmarshal(raw, &v) == nil {
		visit(v)
	}
	return names
}
