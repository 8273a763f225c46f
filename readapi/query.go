package readapi

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// query is a SELECT in the making. Values only ever enter it through bind.
type query struct {
	where   []string
	args    []any
	arms    []arm            // how its rows are found; by the conditions alone if there are none
	implied []string         // conditions that hold for the rows of the arms, as far as they are visible
	before  func(*pgx.Batch) // queues what has to run first, if anything
}

func (q *query) bind(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *query) and(cond string) { q.where = append(q.where, cond) }

// all is that all conditions hold.
func (q *query) all() string { return strings.Join(append(slices.Clip(q.where), "true"), " and ") }

// rest is that those conditions hold that the arms do not imply, and implied that the
// others do.
func (q *query) rest() (rest, implied string) {
	rest, implied = "true", "true"
	for _, cond := range q.where {
		if slices.Contains(q.implied, cond) {
			implied += " and " + cond
		} else {
			rest += " and " + cond
		}
	}
	return rest, implied
}

var parameter = regexp.MustCompile(`\$[0-9]+`)

// only is sql with those of the arguments that it mentions.
func (q *query) only(sql string) (string, []any) {
	var args []any
	names := map[string]string{}
	sql = parameter.ReplaceAllStringFunc(sql, func(p string) string {
		if names[p] == "" {
			n, _ := strconv.Atoi(p[1:])
			args = append(args, q.args[n-1])
			names[p] = fmt.Sprintf("$%d", len(args))
		}
		return names[p]
	})
	return sql, args
}

// clone is for adding to without changing q.
func (q *query) clone() *query {
	return &query{slices.Clip(q.where), slices.Clip(q.args), q.arms, q.implied, q.before}
}

// parseIDs reads ids, each of them once, and whether "none" is among them.
func parseIDs(field string, values []string) (ids []uuid.UUID, none bool, err error) {
	for _, v := range values {
		if v == "none" {
			none = true
			continue
		}
		id, err := uuid.Parse(v)
		if err != nil {
			return nil, false, domain.Fault(field, "malformed", "%q is neither an id nor none", v)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, none, nil
}

// in adds that column is one of values, or null where a value is "none".
func in(q *query, field, column string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	ids, none, err := parseIDs(field, values)
	if err != nil {
		return err
	}
	cond := "false"
	if none {
		cond = column + " is null"
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
