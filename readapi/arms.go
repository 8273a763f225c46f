package readapi

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// arm is a part of a list's rows: those in which a column is one of some ids. No row
// is in two arms of a query, and every row that meets its conditions is in one.
//
// A page of a list is merged from pages of its arms, each of which is read off an
// index. Otherwise PostgreSQL would fetch and sort all that somebody may see in order
// to show the first fifty.
type arm struct {
	column string
	ids    []uuid.UUID
	cond   string // besides; may be empty
}

func (a arm) and() string { return cmp.Or(a.cond, "true") }

// way is one of the scans that find the rows of a query.
type way struct {
	ids  string // the parameter with the ids, where it is a scan for each
	cond string
}

// ways are the scans of a query's arms. Those for many ids are written as one, whose
// policies PostgreSQL then sets up once: with some desks, that takes longer than the
// reading of a page for each.
func (q *query) ways() []way { return q.waysOf(false) }

// waysOf are the ways of a query; apart is to have those for few ids written as one for
// each id.
func (q *query) waysOf(apart bool) []way {
	if len(q.arms) == 0 {
		return []way{{"", "true"}}
	}
	var ways []way
	for _, a := range q.arms {
		if len(a.ids) > mostScans || len(a.ids) > 1 && !apart {
			ways = append(ways, way{q.bind(a.ids), a.column + " = way.id and " + a.and()})
			continue
		}
		for _, id := range a.ids {
			ways = append(ways, way{"", a.column + " = " + q.bind(id) + "::uuid and " + a.and()})
		}
	}
	if len(ways) == 0 {
		return []way{{"", "false"}}
	}
	return ways
}

// inArms is that a row is in one of the query's arms.
func (q *query) inArms() string {
	arms := make([]string, len(q.arms))
	for i, a := range q.arms {
		arms[i] = a.column + " = any(" + q.bind(a.ids) + "::uuid[]) and " + a.and()
	}
	return "(" + strings.Join(arms, " or ") + ")"
}

// scan is the SELECT, which has the way's condition, for each of its ids.
func (w way) scan(sql, order string, limit int) string {
	if w.ids == "" {
		return sql
	}
	return fmt.Sprintf("select found.* from unnest(%s::uuid[]) way (id) cross join lateral (%s) found %s limit %d", w.ids, sql, order, limit)
}

// merged is a page sorted by one indexed column: the ids that are on it, merged from
// the arms, and only then their rows. The last row is there to tell that there are
// more, and the one before it has the cursor: to write one for each takes long.
func (s source) merged(q *query, k key, nulls bool, at *cursor, limit int) string {
	dir := k.direction()
	var scans []string
	rest, implied := q.rest()
	between := s.parts(q, k, nulls, at)
	for _, w := range q.ways() {
		for _, part := range between {
			sql := fmt.Sprintf("select %s as id, %s as key from %s where %s and %s and %s order by %[2]s%[7]s, %[1]s%[7]s limit %[8]d",
				s.id, k.sql, s.table, w.cond, part, rest, dir, limit)
			scans = append(scans, "("+w.scan(sql, "order by key"+dir+", id"+dir, limit)+")")
		}
	}
	last := dir
	if nulls && k.down {
		last += " nulls last"
	}
	return fmt.Sprintf(`select %s, case page.n when %d then array[page.key::text, page.id::text] end as cursor
		from (select id, key, row_number() over (order by key%[4]s, id%[5]s) as n from (%[3]s) arms order by key%[4]s, id%[5]s limit %[6]d) page
		join (%[7]s) on %[8]s = page.id and %[9]s
		order by page.key%[4]s, page.id%[5]s`,
		s.columns, limit-1, strings.Join(scans, " union all "), last, dir, limit, s.from, s.id, opaque(implied))
}

// opaque is a condition of which PostgreSQL only knows that it may hold. Of those that
// arms imply it would think that they leave few of the rows, and look for these first.
func opaque(cond string) string { return "case when " + cond + " then true else false end" }

// parts are conditions that take the rows after the cursor apart such that an index
// has the order of each: nulls come last, and going down an index they would come
// first.
func (s source) parts(q *query, k key, nulls bool, at *cursor) []string {
	id := s.id
	null := k.sql + " is null"
	if at == nil {
		if nulls && k.down {
			return []string{k.sql + " is not null", null}
		}
		return []string{"true"}
	}
	last := q.bind(*at.Values[1]) + "::text::" + s.idType()
	if at.Values[0] == nil {
		return []string{fmt.Sprintf("%s and %s %s %s", null, id, k.after(), last)}
	}
	beyond := fmt.Sprintf("(%s, %s) %s (%s::text::%s, %s)", k.sql, id, k.after(), q.bind(*at.Values[0]), k.cast, last)
	if nulls {
		return []string{beyond, null}
	}
	return []string{beyond}
}
