package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// shown is how many differing rows of a table a report names.
const shown = 100

// compare compares the tables of two schemas. PostgreSQL does it, by primary key,
// on the rows' text, in which two values look alike only if they are: numbers and
// documents that are merely equal differ there.
func compare(ctx context.Context, tx pgx.Tx, used *tables, shadow string) ([]TableReport, error) {
	names, err := tableNames(ctx, tx, shadow)
	if err != nil {
		return nil, err
	}
	var out []TableReport
	for _, name := range names {
		rep, err := compareTable(ctx, tx, used.schema, shadow, name)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		out = append(out, rep)
	}
	return out, nil
}

var errShape = errors.New("its columns are not those that the program makes: rebuild the read model")

func compareTable(ctx context.Context, tx pgx.Tx, used, shadow, name string) (rep TableReport, err error) {
	rep.Table = name
	cols, err := columns(ctx, tx, shadow, name)
	if err != nil {
		return rep, err
	}
	was, err := columns(ctx, tx, used, name)
	if err != nil {
		return rep, err
	}
	if strings.Join(cols, ",") != strings.Join(was, ",") {
		return rep, errShape
	}
	key, all, err := keyAndColumns(ctx, tx, shadow, name)
	if err != nil {
		return rep, err
	}
	a, b := pgx.Identifier{used, name}.Sanitize(), pgx.Identifier{shadow, name}.Sanitize()
	var keyText, changed []string
	for _, c := range key {
		keyText = append(keyText, fmt.Sprintf("coalesce(a.%[1]s, b.%[1]s)::text", c))
	}
	for _, c := range all {
		changed = append(changed, fmt.Sprintf("case when a.%[1]s::text is distinct from b.%[1]s::text then %[2]s end", c, quote(c)))
	}
	if err := tx.QueryRow(ctx, "select count(*) from "+a).Scan(&rep.Rows); err != nil {
		return rep, err
	}
	// a is null of a row is true only for one that is missing: its key cannot be null.
	sql := fmt.Sprintf(`select concat_ws(' ', %s),
			case when a.%[2]s is null then 'missing' when b.%[2]s is null then 'extra' else 'changed' end,
			case when a.%[2]s is not null and b.%[2]s is not null then array_remove(array[%[3]s], null) else '{}' end, count(*) over ()
		from %[4]s a full join %[5]s b using (%[6]s)
		where a.%[2]s is null or b.%[2]s is null or a::text collate "C" <> b::text collate "C"
		limit %[7]d`,
		strings.Join(keyText, ", "), key[0], strings.Join(changed, ", "), a, b, strings.Join(key, ", "), shown)
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return rep, err
	}
	rep.First, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Difference, err error) {
		err = row.Scan(&d.Key, &d.Kind, &d.Columns, &rep.Differences)
		return d, err
	})
	return rep, err
}

func quote(s string) string { return "'" + strings.ReplaceAll(strings.Trim(s, `"`), "'", "''") + "'" }

// keyAndColumns are the quoted names of a table's primary key and of all its columns.
func keyAndColumns(ctx context.Context, tx pgx.Tx, schema, name string) (key, all []string, err error) {
	rows, err := tx.Query(ctx, `select quote_ident(a.attname), coalesce(a.attnum = any(i.indkey::int2[]), false)
		from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
		where a.attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) and a.attnum > 0 and not a.attisdropped order by a.attnum`, schema, name)
	if err != nil {
		return nil, nil, err
	}
	var column string
	var inKey bool
	_, err = pgx.ForEachRow(rows, []any{&column, &inKey}, func() error {
		all = append(all, column)
		if inKey {
			key = append(key, column)
		}
		return nil
	})
	if err == nil && len(key) == 0 {
		err = errors.New("it has no primary key to compare by")
	}
	return key, all, err
}
