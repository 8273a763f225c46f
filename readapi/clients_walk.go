package readapi

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// walked is how many rows are looked at along an index before the rest is gathered.
const walked = 10_000

// walk is a table that has an index in the order of a sort.
type walk struct {
	from     string // the table and its alias
	alias    string
	id, key  string
	nullable bool
	armed    bool // the index is there for each project, desk and manager as well
}

// fetches is what it costs to pass a row along the index, in rows that are fetched: what an
// index has of an expression is not read off it.
func (w walk) fetches() float64 {
	if strings.Contains(w.key, "(") {
		return 1
	}
	return 0.05
}

// walks are the sorts for which an index is always there.
var walks = map[string]walk{
	"name":       {"annals_read.clients c", "c", "c.id", "c.name_key", true, true},
	"created_at": {"annals_read.clients c", "c", "c.id", "c.created_at", false, true},
	"updated_at": {"annals_read.client_times t", "t", "t.client_id", "t.updated_at", false, false},
}

// walk is the index that has the list's order, if there is one.
func (l *clientList) walk() (walk, bool) {
	if l.asOf != nil || len(l.keys) != 2 {
		return walk{}, false
	}
	w, ok := walks[l.sorts[0]]
	if !ok {
		w, ok = l.indexed[l.sorts[0]]
	}
	return w, ok
}

// part is a part of an index that has its own order.
type part struct {
	cond string
	null bool // the key is
}

// parts are what comes after the cursor along an index, in its order.
func (f *finding) parts(q *query, w walk, k key, at []*string) []part {
	null, some := part{w.key + " is null", true}, part{w.key + " is not null", false}
	switch {
	case at == nil && !w.nullable:
		return []part{{"true", false}}
	case at == nil && f.back:
		return []part{null, some}
	case at == nil:
		return []part{some, null}
	}
	last := q.bind(*at[1]) + "::text::uuid"
	if at[0] == nil {
		null.cond += fmt.Sprintf(" and %s %s %s", w.id, k.after(), last)
		if f.back {
			return []part{null, some}
		}
		return []part{null}
	}
	beyond := part{fmt.Sprintf("(%s, %s) %s (%s::text::%s, %s)", w.key, w.id, k.after(), q.bind(*at[0]), k.cast, last), false}
	if w.nullable && !f.back {
		return []part{beyond, null}
	}
	return []part{beyond}
}

// walk goes along an index, part by part.
func (f *finding) walk(ctx context.Context, w walk, at []*string, n int) ([]hit, error) {
	k := f.turned()[0]
	var out []hit
	q := f.q.clone()
	for _, p := range f.parts(q, w, k, at) {
		found, err := f.ask(ctx, q, f.along(w, k, p, n-len(out)))
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) == n {
			return out, nil
		}
		done, err := f.passed(ctx, q, w, k, p)
		if err != nil {
			return nil, err
		}
		if !done {
			return f.sorted(ctx, at, n, true)
		}
	}
	return out, nil
}

// along is the statement that looks at the next rows of a part.
func (f *finding) along(w walk, k key, p part, n int) string {
	dir := k.direction()
	key := "w.key::text"
	if p.null {
		key = "null"
	}
	if f.vis == "true" && w.alias == "c" { // the rows are looked at in any case
		return fmt.Sprintf("select c.id, array[c.walked::text, c.id::text] from (select c.*, %s as walked from %s where %s order by %[1]s%[4]s, %[5]s%[4]s limit %[6]d) c where %[7]s order by c.walked%[4]s, c.id%[4]s limit %[8]d",
			w.key, w.from, p.cond, dir, w.id, walked, f.all(), n)
	}
	join, cond := "", strings.ReplaceAll(f.vis, "c.", "w.")
	if len(f.conds) > 0 {
		join, cond = " join annals_read.clients c on c.id = w.id", cond+" and "+f.all()
	}
	return fmt.Sprintf(`select w.id, array[%s, w.id::text] from (select %s as id, %s as key, %s.project_id, %[4]s.desk_id, %[4]s.manager_id from %s where %s
		order by %[3]s%[7]s, %[2]s%[7]s limit %[8]d) w%s where %s order by w.key%[7]s, w.id%[7]s limit %[11]d`,
		key, w.id, w.key, w.alias, w.from, p.cond, dir, 2*walked, join, cond, n)
}

// passed says whether all of a part has been looked at.
func (f *finding) passed(ctx context.Context, q *query, w walk, k key, p part) (bool, error) {
	most := 2 * walked
	if f.vis == "true" && w.alias == "c" {
		most = walked
	}
	if w.alias == "c" { // to go through them takes as long as to find none on the page
		if e, err := f.explain(ctx, f.api, q, p.cond); err != nil || e.rows > 5*most {
			return false, err
		}
	}
	var more bool
	var b pgx.Batch
	sql, args := q.only(fmt.Sprintf("select exists (select from %s where %s order by %s%[4]s, %[5]s%[4]s offset %[6]d)", w.from, p.cond, w.key, k.direction(), w.id, most))
	b.Queue(sql, args...).QueryRow(func(r pgx.Row) error { return r.Scan(&more) })
	err := f.api.DB.Find(ctx, &b, 0)
	return !more, err
}

// mergeTime is how long arms are walked along for what meets conditions, unless
// [API.Merging] says so: what was expected may be wrong.
const mergeTime = 250 * time.Millisecond

// merge walks along the arms, and gathers instead if that takes too long.
func (f *finding) merge(ctx context.Context, w walk, at []*string, n int) ([]hit, error) {
	q, sql := f.arms(w, at, n)
	found, err := f.askFor(ctx, q, sql, cmp.Or(f.api.Merging, mergeTime))
	if tookTooLong(ctx, err) {
		return f.sorted(ctx, at, n, true)
	}
	return found, err
}

// mostScans is how many arms are scans of their own: to plan each takes time.
const mostScans = 40

// arms is the statement that merges what the arms of the list have next, each of which is
// read off an index, and no further than the page needs.
func (f *finding) arms(w walk, at []*string, n int) (*query, string) {
	q := f.q.clone()
	k := f.turned()[0]
	dir := k.direction()
	var scans []string
	between := f.parts(q, w, k, at)
	cond := opaque(strings.Join(append([]string{f.vis}, f.conds...), " and ")) // or others of their indexes would be of use
	for _, way := range q.waysOf(len(f.conds) > f.implied) {
		for _, p := range between {
			sql := fmt.Sprintf("select c.id as id, %s as key from %s where %s and %s and %s order by %[1]s%[6]s, c.id%[6]s limit %[7]d",
				w.key, w.from, way.cond, p.cond, cond, dir, n)
			scans = append(scans, "("+way.scan(sql, "order by key"+dir+", id"+dir, n)+")")
		}
	}
	nulls := " nulls last"
	if f.back {
		nulls = " nulls first"
	}
	if !w.nullable {
		nulls = ""
	}
	return q, fmt.Sprintf("select id, array[key::text, id::text] from (%s) arms order by key%s%s, id%[2]s limit %[4]d", strings.Join(scans, " union all "), dir, nulls, n)
}
