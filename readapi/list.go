package readapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
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

type total struct {
	Count int  `json:"count"`
	Exact bool `json:"exact" doc:"false when there are more than count"`
}

// countMost is where counting stops: beyond it nobody reads the number, and
// everybody would wait for it.
const countMost = 10_000

// column is something to sort by. SQL never comes from a request: only the key
// of a column in its list does.
type column struct {
	sql  string // null where empty
	cast string // the PostgreSQL type that a cursor's text is read back as
}

func textColumn(sql string) column {
	return column{`nullif(lower(` + sql + `), '') collate "C"`, "text"}
}

// query is a SELECT in the making. Values only ever enter it through bind.
type query struct {
	where []string
	args  []any
}

func (q *query) bind(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *query) and(cond string) { q.where = append(q.where, cond) }

// in adds that column is one of values, or null where a value is "none".
func in(q *query, field, column string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	var ids []uuid.UUID
	cond := "false"
	for _, v := range values {
		if v == "none" {
			cond = column + " is null"
			continue
		}
		id, err := uuid.Parse(v)
		if err != nil {
			return domain.Fault(field, "malformed", "%q is neither an id nor none", v)
		}
		ids = append(ids, id)
	}
	q.and(fmt.Sprintf("(%s = any(%s::uuid[]) or %s)", column, q.bind(ids), cond))
	return nil
}

// span adds that column is in [from, to).
func span(q *query, name, column, from, to string) error {
	for _, end := range []struct{ field, op, text string }{{name + "_from", ">=", from}, {name + "_to", "<", to}} {
		if end.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, end.text)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, end.text); err == nil && end.op == "<" {
				t = t.AddDate(0, 0, 1) // a day is meant with all of it
			}
		}
		if err != nil {
			return domain.Fault(end.field, "malformed", "%q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", end.text)
		}
		q.and(fmt.Sprintf("%s %s %s", column, end.op, q.bind(t)))
	}
	return nil
}

// source is what a list selects from.
type source struct {
	columns string // of the SELECT
	from    string // FROM and JOINs
	id      string // unique; breaks ties
	sorts   map[string]column
	natural string // the sort when none is asked for
}

// key is one level of a sort.
type key struct {
	column
	down bool
}

func (s source) keys(sort string) ([]key, error) {
	if sort == "" {
		sort = s.natural
	}
	var keys []key
	for name := range strings.SplitSeq(sort, ",") {
		bare, down := strings.CutPrefix(strings.TrimSpace(name), "-")
		c, ok := s.sorts[bare]
		if !ok || len(keys) == 8 {
			return nil, domain.Fault("sort", "unknown", "%q is none of the columns to sort by: %s", bare, strings.Join(sortedKeys(s.sorts), ", "))
		}
		keys = append(keys, key{c, down})
	}
	return append(keys, key{column{s.id, "uuid"}, false}), nil
}

// cursor is where a page ended: the sort, and the last row's values of it.
type cursor struct {
	Sort   string    `json:"s"`
	Values []*string `json:"v"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

var errCursor = domain.Fault("cursor", "malformed", "is no cursor of this list with this sort: start again without one")

func parseCursor(s, sort string, n int) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &c) != nil || c.Sort != sort || len(c.Values) != n || c.Values[n-1] == nil {
		return c, errCursor
	}
	return c, nil
}

// beyond is the condition that a row comes after the cursor, with nulls last at
// every level: after the first value, or equal to it and after the second, …
func beyond(q *query, keys []key, c cursor) string {
	cond := "false"
	for i, k := range slices.Backward(keys) {
		v := c.Values[i]
		if v == nil {
			cond = fmt.Sprintf("(%s is null and %s)", k.sql, cond)
			continue
		}
		op, p := ">", q.bind(*v)+"::text::"+k.cast
		if k.down {
			op = "<"
		}
		null := ""
		if i < len(keys)-1 {
			null = fmt.Sprintf(" or %s is null", k.sql)
		}
		cond = fmt.Sprintf("(%s %s %s%s or (%[1]s = %[3]s and %[5]s))", k.sql, op, p, null, cond)
	}
	return cond
}

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
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	var order, values []string
	for _, k := range keys {
		dir := " asc nulls last"
		if k.down {
			dir = " desc nulls last"
		}
		order = append(order, k.sql+dir)
		values = append(values, "("+k.sql+")::text")
	}
	where := strings.Join(append(q.where, "true"), " and ")
	counted := len(q.args)
	pageWhere := where
	if in.Cursor != "" {
		c, err := parseCursor(in.Cursor, in.Sort, len(keys))
		if err != nil {
			return nil, err
		}
		pageWhere += " and " + beyond(q, keys, c)
	}
	sql := fmt.Sprintf("select %s, array[%s] as cursor from %s where %s order by %s limit %s",
		s.columns, strings.Join(values, ", "), s.from, pageWhere, strings.Join(order, ", "), q.bind(in.Limit+1))

	out := &list[T]{}
	var rows []R
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position, out.Body.Position = at.String(), at.String()
		return err
	})
	b.Queue(fmt.Sprintf("select count(*) from (select from %s where %s limit %d) c", s.from, where, countMost+1), q.args[:counted]...).
		QueryRow(func(r pgx.Row) error { return r.Scan(&out.Body.Total.Count) })
	b.Queue(sql, q.args...).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, pgx.RowToStructByName[R])
		return err
	})
	if err := a.DB.SendBatch(ctx, &b).Close(); err != nil {
		return nil, badCursor(err)
	}
	if t := &out.Body.Total; t.Count <= countMost {
		t.Exact = true
	} else {
		t.Count = countMost
	}
	out.Body.Items = []T{}
	for i, r := range rows {
		if i == in.Limit {
			out.Body.NextCursor = cursor{in.Sort, rows[i-1].end()}.String()
			break
		}
		out.Body.Items = append(out.Body.Items, item(r))
	}
	return out, nil
}
