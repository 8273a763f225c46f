package readapi

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Page is what every list is asked for.
type Page struct {
	After
	Sort   string `query:"sort" doc:"Columns to sort by, separated by commas; a minus before one sorts it downwards. Empty values come last" maxLength:"200"`
	Limit  int    `query:"limit" doc:"How many items at most" default:"50" minimum:"1" maximum:"500"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before" maxLength:"20000"`
}

// list is how every list is answered.
type list[T any] struct {
	Fresh
	Body struct {
		Items      []T    `json:"items"`
		NextCursor string `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		Total      total  `json:"total"`
		Position   string `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

func (l *list[T]) empty() bool { return len(l.Body.Items) == 0 }

type total struct {
	Count int  `json:"count"`
	Exact bool `json:"exact" doc:"false: there are more than count, or about so many"`
}

// countMost is where counting stops: beyond it nobody reads the number, and
// everybody would wait for it.
const countMost = 1000

// keyset is embedded in the rows of lists: the values that a page after one begins with.
type keyset struct {
	Cursor []*string `db:"cursor"`
}

func (k keyset) end() []*string { return k.Cursor }

// fetch runs the list: how fresh it is, how many there are, and the page, in one
// round trip. Item makes of a row R what is answered.
func fetch[R interface{ end() []*string }, T any](ctx context.Context, a *API, s source, q *query, in Page, item func(R) T) (*list[T], error) {
	keys, err := s.keys(in.Sort)
	if err != nil {
		return nil, err
	}
	var at *cursor
	if in.Cursor != "" {
		c, err := parseCursor(in.Cursor, in.Sort, len(keys))
		if err != nil {
			return nil, err
		}
		at = &c
	}
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out := &list[T]{}
	var rows []R
	var b pgx.Batch
	if q.before != nil {
		q.before(&b)
	}
	if at != nil {
		at.check(&b, keys)
	}
	sql, args := s.count(q)
	b.Queue(fmt.Sprintf("select f.*, (%s) from (select) one left join (%s) f on true", sql, freshness), args...).QueryRow(func(r pgx.Row) error {
		var commit, prepare *int64
		err := r.Scan(&commit, &prepare, &out.Body.Total.Count)
		out.Position = reached(commit, prepare).String()
		out.Body.Position = out.Position
		return err
	})
	sql, args = s.page(q, keys, at, in.Limit+1)
	b.Queue(sql, args...).Query(func(r pgx.Rows) (err error) {
		rows, err = collect[R](r, in.Limit+1)
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, badCursor(err)
	}
	if t := &out.Body.Total; t.Count <= countMost || s.numbered(q) {
		t.Exact = true
	} else {
		t.Count = countMost
	}
	out.Body.Items = make([]T, 0, min(len(rows), in.Limit))
	for i, r := range rows {
		if i == in.Limit {
			out.Body.NextCursor = cursor{Sort: in.Sort, Values: rows[i-1].end()}.String()
			break
		}
		out.Body.Items = append(out.Body.Items, item(r))
	}
	return out, nil
}

// collect reads all rows, of which about so many are expected, as
// [pgx.RowToStructByName] does, but finds out only once which column goes where.
func collect[R any](rows pgx.Rows, about int) ([]R, error) {
	defer rows.Close()
	var row, none R
	fields := map[string]any{}
	v := reflect.ValueOf(&row).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous {
			fields[strings.ToLower(f.Name)] = v.FieldByIndex(f.Index).Addr().Interface()
		}
	}
	var targets []any
	for _, c := range rows.FieldDescriptions() {
		target, ok := fields[strings.ReplaceAll(c.Name, "_", "")]
		if !ok {
			return nil, fmt.Errorf("%T has no field for %s", row, c.Name)
		}
		targets = append(targets, target)
	}
	if len(targets) != len(fields) {
		return nil, fmt.Errorf("%T has more fields than there are columns", row)
	}
	all := make([]R, 0, about)
	for rows.Next() {
		row = none
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// numbered says whether the last row tells how many there are: nothing else is asked for
// than one of the arms that are numbered.
func (s source) numbered(q *query) bool {
	return s.ordinal != "" && len(q.where) == 0 && len(q.arms) == 1 && len(q.arms[0].ids) == 1
}

// count is the statement that counts the rows, up to one more than countMost, or all of
// them where that costs nothing.
func (s source) count(q *query) (string, []any) {
	if s.numbered(q) {
		q = q.clone()
		return q.only(fmt.Sprintf("select coalesce((select %s + 1 from %s where %s order by %[1]s desc limit 1), 0)", s.ordinal, s.table, q.ways()[0].cond))
	}
	if s.table == "" || len(q.arms) == 0 {
		return fmt.Sprintf("select count(*) from (select from %s where %s limit %d) c", cmp.Or(s.table, s.from), q.all(), countMost+1), q.args
	}
	q = q.clone()
	rest, _ := q.rest()
	var arms []string
	for _, a := range q.arms {
		arms = append(arms, fmt.Sprintf("(select from %s where %s = any(%s::uuid[]) and %s and %s limit %d)",
			s.table, a.column, q.bind(a.ids), a.and(), rest, countMost+1))
	}
	return q.only(fmt.Sprintf("select count(*) from (select from (%s) c limit %d) c", strings.Join(arms, " union all "), countMost+1))
}

// page is the statement for a page that begins after the cursor, if there is one.
func (s source) page(q *query, keys []key, at *cursor, limit int) (string, []any) {
	q = q.clone()
	if s.table != "" && len(keys) == 2 {
		if nulls, ok := s.indexed[keys[0].sql]; ok {
			return s.merged(q, keys[0], nulls, at, limit), q.args
		}
	}
	var order, values []string
	for _, k := range keys {
		order = append(order, k.sql+k.direction()+" nulls last")
		values = append(values, "("+k.sql+")::text")
	}
	where := q.all()
	if len(q.arms) > 0 && len(q.implied) == 0 { // which the conditions do not say again
		var arms []string
		for _, a := range q.arms {
			arms = append(arms, fmt.Sprintf("%s = any(%s::uuid[]) and %s", a.column, q.bind(a.ids), a.and()))
		}
		where += " and (" + strings.Join(arms, " or ") + ")"
	}
	if at != nil {
		where += " and " + past(q, keys, at.Values, false)
	}
	return fmt.Sprintf("select %s, array[%s] as cursor from %s where %s order by %s limit %d",
		s.columns, strings.Join(values, ", "), s.from, where, strings.Join(order, ", "), limit), q.args
}
