package readapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Clients are found in one step and shown in another. To find them, statements say what
// the caller may see, and ask for ids only, over tables without row-level security, where
// every index is of use; to show them, their rows are read by their ids under it.
//
// A page in the order of an index is found by walking along that, as long as enough of
// what is passed is on the page. Where what is asked for is rare among it, all that meets
// the conditions is gathered by other indexes, and sorted.

// hit is a client that has been found.
type hit struct {
	id     uuid.UUID
	level  int
	values []*string // of the sort, for the cursor; the last is the id
}

// gathered is how many clients are gathered and sorted rather than looked for along an
// index, as PostgreSQL expects their number.
const gathered = 4000

// searched is how many clients of all levels of a search are gathered at once: of more the
// better levels fill the page, and what else may have been meant need not be looked for.
const searched = 500

// find returns the clients on the page, and one more if there are more.
func (l *clientList) find(ctx context.Context, a *API) ([]hit, error) {
	hits, err := l.found(ctx, a)
	if err != nil {
		return nil, badCursor(err)
	}
	return hits, nil
}

func (l *clientList) found(ctx context.Context, a *API) ([]hit, error) {
	n := l.limit + 1
	if l.at != nil && l.at.Level >= max(len(l.levels), 1) {
		return nil, errCursor
	}
	w, _ := l.walk()
	if len(l.conds)+len(l.levels) > l.implied || l.asOf != nil || l.vis != "true" && !w.armed {
		expected, err := l.expect(ctx, a, len(l.levels)-1)
		if err != nil {
			return nil, err
		}
		l.expected = expected
		switch gathered, err := l.gathers(ctx, a, w, expected, n); {
		case err != nil:
			return nil, err
		case gathered:
			return l.gather(ctx, a, n)
		}
	}
	first, step, end := 0, 1, max(len(l.levels), 1)
	if l.back {
		first, step, end = end-1, -1, -1
	}
	at := l.at
	if at != nil {
		first = at.Level
	}
	var out []hit
	for level := first; level != end && len(out) < n; level += step {
		found, err := l.level(ctx, a, level, at, n-len(out))
		if err != nil {
			return nil, err
		}
		out, at = append(out, found...), nil
	}
	return out, nil
}

// expect is how many clients are expected at a level of the search and the better ones:
// PostgreSQL knows little of how often words are, which are counted.
func (l *clientList) expect(ctx context.Context, a *API, level int) (expectation, error) {
	if level < 0 {
		return l.estimate(ctx, a, l.within(l.conds))
	}
	most, known := l.text.most(level)
	if !known {
		return l.estimate(ctx, a, l.within(append(slices.Clip(l.conds), l.levels[level])))
	}
	rest, err := l.estimate(ctx, a, l.within(l.conds))
	if err != nil {
		return rest, err
	}
	every, err := l.estimate(ctx, a, "true")
	if err != nil {
		return every, err
	}
	part := min(1, float64(most)/float64(max(every.rows, 1)))
	likely := float64(rest.rows) * l.text.likely(level, every.rows)
	return expectation{int(float64(rest.rows) * part), min(rest.cost, float64(most)*fetched), likely}, nil
}

// expectLevel is how many clients are expected at a level of the search alone.
func (l *clientList) expectLevel(ctx context.Context, a *API, level int) (expectation, error) {
	e, err := l.expect(ctx, a, level)
	if err != nil || level == 0 {
		return e, err
	}
	better, err := l.expect(ctx, a, level-1)
	e.rows, e.likely = e.rows-better.rows, e.likely-better.likely
	if level == len(l.levels)-1 && l.typos != "" {
		e.cost = min(e.cost, float64(l.text.terms[0].meant)*fetched)
	}
	return e, err
}

// gathers says whether all that is expected is to be gathered, of all levels at once.
func (l *clientList) gathers(ctx context.Context, a *API, w walk, expected expectation, n int) (bool, error) {
	switch {
	case l.asOf != nil: // what was has no order
		return true, nil
	case len(l.levels) > 0 && expected.rows > searched:
		return false, nil
	}
	if merged, err := l.merges(ctx, a, w, expected, n); merged || err != nil {
		return false, err
	}
	_, grouped := groupings[l.sorts[0]]
	switch {
	case len(l.levels) > 0 || len(l.conds) > l.implied || len(l.keys) != 2:
		return expected.rare(), nil
	case grouped:
		return false, nil // each group has its index
	case w.from == "":
		return expected.rare(), nil
	}
	// Along the index of all, as many times the page is passed as all is what is visible.
	every, err := l.estimate(ctx, a, "true")
	passed := float64(n) * float64(every.rows) / float64(max(expected.rows, 1))
	return passed > 2*walked || float64(expected.rows) < passed*w.fetches(), err
}

// fetched is what PostgreSQL reckons that a row costs which is looked up.
const fetched = 1.5

// merges says whether the arms of the list, each along its index until the page is full,
// are cheaper than to gather all that is expected, and sort it: what is passed is as many
// times the page as what is visible is what meets the conditions.
func (l *clientList) merges(ctx context.Context, a *API, w walk, expected expectation, n int) (bool, error) {
	if !w.armed {
		return false, nil
	}
	visible, err := l.estimate(ctx, a, l.within(l.conds[:l.implied]))
	return visible.cost*float64(n)/max(expected.likely, 1) < expected.cost, err
}

// gather finds those of all levels at once, and counts them.
func (l *clientList) gather(ctx context.Context, a *API, n int) ([]hit, error) {
	f := &finding{clientList: l, api: a, keys: l.keys, conds: l.conds, counts: l.at == nil}
	var values []*string
	if l.at != nil {
		values = l.at.Values
	}
	if last := len(l.levels) - 1; last >= 0 {
		f.conds = append(slices.Clip(f.conds), l.levels[last])
		var level strings.Builder
		for i, cond := range l.levels[:last] {
			fmt.Fprintf(&level, " when %s then %d", cond, i)
		}
		f.keys = append([]key{{column{fmt.Sprintf("(case%s else %d end)", level.String(), last), "int"}, false}}, l.keys...)
		if l.at != nil {
			values = append([]*string{new(strconv.Itoa(l.at.Level))}, values...)
		}
		if last == 0 {
			f.keys[0].sql = "0"
		}
	}
	hits, err := f.sorted(ctx, values, n, l.asOf == nil)
	for i := range hits {
		if len(l.levels) > 0 {
			hits[i].level, _ = strconv.Atoi(*hits[i].values[0])
			hits[i].values = hits[i].values[1:]
		}
	}
	return hits, err
}

// level finds those of one level of a search, or all if nothing is searched for.
func (l *clientList) level(ctx context.Context, a *API, level int, at *cursor, n int) ([]hit, error) {
	conds := slices.Clone(l.conds)
	expected := l.expected
	if len(l.levels) > 0 {
		if l.levels[level] == "false" {
			return nil, nil
		}
		cond := l.levels[level]
		if level == len(l.levels)-1 && l.typos != "" {
			cond = l.typos
		}
		conds = append(conds, cond)
		if level > 0 {
			conds = append(conds, "not "+l.levels[level-1])
		}
		var err error
		if expected, err = l.expectLevel(ctx, a, level); err != nil {
			return nil, err
		}
	}
	f := &finding{clientList: l, api: a, keys: l.keys, conds: conds, level: level}
	var values []*string
	if at != nil {
		values = at.Values
	}
	w, ok := l.walk()
	switch {
	case w.armed && len(conds) == l.implied: // nothing is passed
		q, sql := f.arms(w, values, n)
		return f.ask(ctx, q, sql)
	case l.reach != "":
		if merged, err := l.merges(ctx, a, w, expected, n); err != nil {
			return nil, err
		} else if merged {
			return f.merge(ctx, w, values, n)
		}
	}
	if len(l.levels) > 0 && expected.rare() {
		return f.sorted(ctx, values, n, true)
	}
	if ok {
		return f.walk(ctx, w, values, n)
	}
	if g, ok := groupings[l.sorts[0]]; ok && len(l.sorts) == 1 {
		return f.grouped(ctx, g, values, n)
	}
	return f.sorted(ctx, values, n, false)
}

// finding is the search for the clients of one level.
type finding struct {
	*clientList
	api    *API
	keys   []key
	conds  []string
	level  int
	counts bool // how many there are
}

func (f *finding) all() string { return strings.Join(append(slices.Clip(f.conds), "true"), " and ") }

// ask runs a statement that finds ids and their values.
func (f *finding) ask(ctx context.Context, q *query, sql string) ([]hit, error) {
	return f.askFor(ctx, q, sql, 0)
}

// askFor is ask with a time after which it is given up, unless that is zero.
func (f *finding) askFor(ctx context.Context, q *query, sql string, most time.Duration) ([]hit, error) {
	var out []hit
	var b pgx.Batch
	sql, args := q.only(sql)
	b.Queue(sql, args...).Query(func(r pgx.Rows) error {
		h := hit{level: f.level}
		into := []any{&h.id, &h.values}
		if f.counts {
			f.total = new(int)
			into = append(into, f.total)
		}
		_, err := pgx.ForEachRow(r, into, func() error {
			out = append(out, h)
			h.values = nil
			return nil
		})
		return err
	})
	if err := f.api.DB.Find(ctx, &b, most); err != nil {
		return nil, err
	}
	return out, nil
}

// order is the order of the keys.
func (f *finding) order(keys []key) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		nulls := " nulls last"
		if f.back {
			nulls = " nulls first"
		}
		if i == len(keys)-1 {
			nulls = ""
		}
		parts[i] = k.sql + k.direction() + nulls
	}
	return strings.Join(parts, ", ")
}

// sorted gathers what meets the conditions and sorts it; with a fence it does so also
// where PostgreSQL would rather walk along an index.
func (f *finding) sorted(ctx context.Context, at []*string, n int, fence bool) ([]hit, error) {
	q := f.q.clone()
	keys := f.turned()
	where := f.seen(f.conds)
	if at != nil {
		where += " and " + past(q, keys, at, f.back)
	}
	var names, values, outer []string
	for i, k := range keys {
		name := fmt.Sprintf("k%d", i)
		names = append(names, k.sql+" as "+name)
		values = append(values, name+"::text")
		outer = append(outer, name)
	}
	renamed := slices.Clone(keys)
	for i := range renamed {
		renamed[i].sql = outer[i]
	}
	offset := ""
	if fence {
		offset = " offset 0"
	}
	count := ""
	if f.counts {
		count = ", count(*) over ()"
	}
	return f.ask(ctx, q, fmt.Sprintf("select k%d, array[%s]"+count+" from (select %s from %s where %s%s) found order by %s limit %d",
		len(keys)-1, strings.Join(values, ", "), strings.Join(names, ", "), f.from(), where, offset, f.order(renamed), n))
}

// turned are the keys in the direction in which the page is read.
func (f *finding) turned() []key {
	keys := slices.Clone(f.keys)
	for i := range keys {
		keys[i].down = keys[i].down != f.back
	}
	return keys
}

// past is the condition that a row comes after the cursor, at every level of the sort:
// after the first value, or equal to it and after the second, … Nulls come last, and
// first on the way back.
func past(q *query, keys []key, values []*string, back bool) string {
	cond := "false"
	for i, k := range slices.Backward(keys) {
		v := values[i]
		id := i == len(keys)-1
		if v == nil {
			after := "false"
			if back {
				after = k.sql + " is not null"
			}
			cond = fmt.Sprintf("(%s or %s is null and %s)", after, k.sql, cond)
			continue
		}
		p := fmt.Sprintf("%s::text::%s", q.bind(*v), k.cast)
		null := ""
		if !id && !back {
			null = fmt.Sprintf(" or %s is null", k.sql)
		}
		cond = fmt.Sprintf("(%s %s %s%s or (%[1]s = %[3]s and %[5]s))", k.sql, k.after(), p, null, cond)
	}
	return cond
}

// from is what clients are found in: a row c of each as it is, or was.
func (l *clientList) from() string {
	from := "annals_read.clients c"
	if l.asOf != nil {
		from = asTable(l.past) + " c join annals_read.clients v on v.id = c.id"
	}
	for _, name := range l.sorts {
		switch name {
		case "project":
			from += " left join annals_read.projects p on p.id = c.project_id"
		case "desk":
			from += " left join annals_read.desks d on d.id = c.desk_id"
		case "manager":
			from += " left join annals_read.names m on m.id = c.manager_id"
		}
	}
	return from
}
