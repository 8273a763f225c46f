package readapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
	"annals/internal/access"
)

// facet is how many clients have which value of a field.
type facet struct {
	Values []facetValue `json:"values" doc:"The most frequent ones, 200 at most"`
	Exact  bool         `json:"exact" doc:"false: the numbers are estimated"`
}

type facetValue struct {
	Value any    `json:"value" doc:"null: clients that have none"`
	Name  string `json:"name,omitempty" doc:"What the value is called, of ids"`
	Count int64  `json:"count"`
}

const mostValues = 200

// facets are the fields that clients are counted by, as SQL.
var facets = map[string]string{
	"status": "c.status", "type": "c.type", "active": "c.deactivated_at is null", "project": "c.project_id", "desk": "c.desk_id", "manager": "c.manager_id",
	"tags": "", // each of them
}

func (l *clientList) parseFacets(names []string) error {
	var f domain.Faults
	for i, name := range names {
		if _, ok := facets[name]; !ok {
			f.Add(domain.Fault(domain.At("facets", i), "unknown", "%q is none of %s", short(name), strings.Join(sortedKeys(facets), ", ")))
		} else if !slices.Contains(l.facets, name) {
			l.facets = append(l.facets, name)
		}
	}
	return f.Err()
}

// dimensions are the fields by which clients are counted as they change.
var dimensions = []string{"project", "desk", "manager", "status", "active"}

// numbers are the rows of client_counts, as far as the caller may see any of them, as if
// each were a client. Those of all statuses are fewer, and do for what the caller sees: of
// those on a desk the managers are left out.
func (l *clientList) numbers(q *query, statuses string) string {
	within := "true"
	reach := l.who.Rights[domain.ClientsView]
	if projects, desks := access.Assigned(l.who.Scope); reach != domain.Everywhere {
		within = "project_id = any(" + q.bind(projects) + "::uuid[])"
		if reach != domain.InProjects {
			within += " and desk_id = any(" + q.bind(append(desks, domain.ID{})) + "::uuid[])"
		}
	}
	return fmt.Sprintf(`(select nullif(project_id, '00000000-0000-0000-0000-000000000000') as project_id, nullif(desk_id, '00000000-0000-0000-0000-000000000000') as desk_id,
		nullif(manager_id, '00000000-0000-0000-0000-000000000000') as manager_id, status, case when not active then now() end as deactivated_at, n
		from annals_read.client_counts where %s and %s) c`, statuses, within)
}

const (
	eachStatus = "status <> '*'"
	allStatus  = "status = '*'"
)

// counted says whether the numbers are kept of what is asked for.
func (l *clientList) counted() bool {
	return l.asOf == nil && len(l.text.terms) == 0 && !l.text.wordless && !slices.ContainsFunc(l.filter.Fields(), func(name string) bool { return !slices.Contains(dimensions, name) })
}

// ofNumbers is the condition for the numbers of what is asked for.
func (l *clientList) ofNumbers() string {
	return strings.Join(append([]string{l.vis}, l.conds...), " and ")
}

// counts is what PostgreSQL reckons that it costs, at most, to gather what is counted.
const counts = 3000

// countTime is how long a list waits for its number, unless [API.Counting] says so.
const countTime = 60 * time.Millisecond

// size is how many clients there are. What is found says so itself if it is all of it.
func (l *clientList) size(ctx context.Context, a *API, hits []hit) (total, error) {
	if l.at == nil && len(hits) <= l.limit {
		return total{Count: len(hits), Exact: true}, nil
	}
	if l.total != nil {
		return total{Count: *l.total, Exact: true}, nil
	}
	var t total
	var b pgx.Batch
	if l.counted() {
		of := eachStatus
		if len(l.filter.Fields()) == 0 && l.who.Rights[domain.ClientsView] != domain.Own {
			of = allStatus
		}
		sql, args := l.q.only(fmt.Sprintf("select coalesce(sum(n), 0)::bigint from %s where %s", l.numbers(l.q, of), l.ofNumbers()))
		b.Queue(sql, args...).QueryRow(func(r pgx.Row) error { return r.Scan(&t.Count) })
		t.Exact = true
		return t, a.DB.Find(ctx, &b, 0)
	}
	if l.expected.rows > gathered || l.expected.cost > counts || len(l.levels) > 0 && l.expected.rows > searched { // an index that has them all would be read through before the first of them
		return total{Count: max(l.expected.rows, len(hits))}, nil
	}
	sql, args := l.q.only(fmt.Sprintf("select count(*) from (select from %s where %s limit %d) c", l.from(), l.seen(l.met()), countMost+1))
	b.Queue(sql, args...).QueryRow(func(r pgx.Row) error { return r.Scan(&t.Count) })
	err := a.DB.Find(ctx, &b, cmp.Or(a.Counting, countTime))
	if tookTooLong(ctx, err) {
		expected, err := l.estimate(ctx, a, l.within(l.met()))
		t.Count = max(expected.rows, len(hits))
		return t, err
	}
	if err != nil {
		return t, fmt.Errorf("count: %w", err)
	}
	if t.Exact = t.Count <= countMost; !t.Exact {
		t.Count = countMost
	}
	return t, nil
}

// tookTooLong says whether a statement was given up that was given little time.
func tookTooLong(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "57014" && ctx.Err() == nil
}

// expectation is how many rows PostgreSQL plans for, and what it reckons they cost.
type expectation struct {
	rows   int
	cost   float64
	likely float64 // how many there are if words that are searched for have nothing to do with each other
}

// rare says whether they are better gathered than looked for along an index: not where no
// index has them, unless they are hardly there.
func (e expectation) rare() bool { return e.rows <= gathered && (e.cost <= dear || e.rows <= fewest) }

const (
	dear   = 20_000
	fewest = 100
)

// estimate is what PostgreSQL expects of a condition.
func (l *clientList) estimate(ctx context.Context, a *API, cond string) (expectation, error) {
	if e, ok := l.plans[cond]; ok {
		return e, nil
	}
	e, err := l.explain(ctx, a, l.q, cond)
	if err != nil {
		return e, err
	}
	if l.plans == nil {
		l.plans = map[string]expectation{}
	}
	l.plans[cond] = e
	return e, nil
}

// explain is estimate of a condition whose parameters a query has: of rows that are
// fetched, and not only seen in an index.
func (l *clientList) explain(ctx context.Context, a *API, q *query, cond string) (expectation, error) {
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
			Cost float64 `json:"Total Cost"`
		}
	}
	var b pgx.Batch
	sql, args := q.only(fmt.Sprintf("explain (format json) select c.status from %s where %s", l.from(), cond))
	b.Queue(sql, args...).QueryRow(func(r pgx.Row) error { return r.Scan(&plan) })
	if err := a.DB.Find(ctx, &b, 0); err != nil {
		return expectation{}, fmt.Errorf("estimate: %w", err)
	}
	of := plan[0].Plan // there is one
	return expectation{int(of.Rows), of.Cost, of.Rows}, nil
}

// Limits of counting by values: of how many clients each is looked at, and otherwise
// how many of them.
const (
	mostCounted = 2_500
	sampled     = 2_000
)

// count counts by the facets that are asked for.
func (l *clientList) count(ctx context.Context, a *API) (map[string]facet, error) {
	if len(l.facets) == 0 {
		return nil, nil
	}
	out := map[string]*facet{}
	var kept, rest []string
	for _, name := range l.facets {
		out[name] = &facet{Values: []facetValue{}, Exact: true}
		if l.counted() && slices.Contains(dimensions, name) {
			kept = append(kept, "("+byValue(name, "sum(n::int)")+")")
		} else {
			rest = append(rest, name)
		}
	}
	if len(kept) > 0 {
		if err := l.ask(ctx, a, fmt.Sprintf("with counted as materialized (select * from %s where %s) %s", l.numbers(l.q, eachStatus), l.ofNumbers(), strings.Join(kept, " union all ")), out, 1); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		if err := l.countEach(ctx, a, rest, out); err != nil {
			return nil, err
		}
	}
	return a.nameFacets(ctx, out)
}

// countEach looks at the clients, or at a part of them if they are many: which one is
// told by their ids, that are spread evenly.
func (l *clientList) countEach(ctx context.Context, a *API, names []string, out map[string]*facet) error {
	var parts []string
	for _, name := range names {
		parts = append(parts, "("+byValue(name, "count(*)")+")")
	}
	found := func(cond string) string {
		return fmt.Sprintf(`with counted as materialized (select c.id, c.project_id, c.desk_id, c.manager_id, c.status, c.type, c.deactivated_at, c.tags from %s where %s%s)
			%s union all select '', null, count(*) from counted`, l.from(), l.seen(l.met()), cond, strings.Join(parts, " union all "))
	}
	all := &facet{}
	out[""] = all
	defer delete(out, "")
	if l.asOf != nil {
		return l.ask(ctx, a, found(""), out, 1)
	}
	plan, err := l.expect(ctx, a, len(l.levels)-1)
	if err != nil {
		return err
	}
	expected := plan.rows
	if expected <= mostCounted {
		err := l.ask(ctx, a, found(fmt.Sprintf(" limit %d", mostCounted+1)), out, 1)
		if err != nil || all.Values[0].Count <= mostCounted {
			return err
		}
		expected = max(expected, mostCounted)
	}
	for _, name := range names {
		*out[name] = facet{Values: []facetValue{}}
	}
	part := max(1, int64(1<<32*float64(sampled)/float64(expected)))
	return l.ask(ctx, a, found(fmt.Sprintf(" and c.id < '%08x-0000-0000-0000-000000000000'::uuid", part)), out, (1<<32)/float64(part))
}

// byValue counts those that were found by the values of a field.
func byValue(name, count string) string {
	if name != "tags" {
		return fmt.Sprintf("select %s, to_jsonb(v), n from (select %s as v, %s as n from counted c group by 1 having %[3]s > 0 order by 2 desc, 1 limit %d) x",
			literal(name), facets[name], count, mostValues)
	}
	// Many have the same tags, and what these are called has to be looked up.
	return fmt.Sprintf(`select 'tags', to_jsonb(label), sum(n)::bigint from (
			select %s as labels, n from (select project_id, tags, count(*) as n from counted group by 1, 2) x) y, unnest(labels) label
		group by 2 order by 3 desc, 2 limit %d`, tagLabels("x"), mostValues)
}

// ask runs a statement that counts by values of facets, of which each stands for so many.
func (l *clientList) ask(ctx context.Context, a *API, sql string, out map[string]*facet, each float64) error {
	var b pgx.Batch
	sql, args := l.q.only(sql)
	b.Queue(sql, args...).Query(func(r pgx.Rows) error {
		var name string
		var v facetValue
		_, err := pgx.ForEachRow(r, []any{&name, &v.Value, &v.Count}, func() error {
			v.Count = int64(math.Round(float64(v.Count) * each))
			out[name].Values = append(out[name].Values, v)
			v.Value = nil
			return nil
		})
		return err
	})
	if err := a.DB.Find(ctx, &b, 0); err != nil {
		return fmt.Errorf("facets: %w", err)
	}
	return nil
}

// nameFacets says what projects, desks and managers are called.
func (a *API) nameFacets(ctx context.Context, all map[string]*facet) (map[string]facet, error) {
	var b pgx.Batch
	out := map[string]facet{}
	for field, f := range all {
		table, named := map[string]string{"project": "projects", "desk": "desks", "manager": "names"}[field]
		if !named {
			continue
		}
		var ids []string
		for _, v := range f.Values {
			if id, ok := v.Value.(string); ok {
				ids = append(ids, id)
			}
		}
		b.Queue("select id::text, name from annals_read."+table+" where id = any($1::text[]::uuid[])", ids).Query(func(r pgx.Rows) error {
			var id, name string
			_, err := pgx.ForEachRow(r, []any{&id, &name}, func() error {
				for i := range f.Values {
					if f.Values[i].Value == id {
						f.Values[i].Name = name
					}
				}
				return nil
			})
			return err
		})
	}
	if len(b.QueuedQueries) > 0 {
		if err := a.DB.Ask(ctx, &b); err != nil {
			return nil, fmt.Errorf("facets: %w", err)
		}
	}
	for field, f := range all {
		out[field] = *f
	}
	return out, nil
}
