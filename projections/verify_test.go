package projections

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/role"
)

// altered is an expression that differs from a value of the type by little.
var altered = map[string]string{
	"uuid":                     `(left(%[1]s::text, 35) || case right(%[1]s::text, 1) when '0' then '1' else '0' end)::uuid`,
	"text":                     `%[1]s || ' '`,
	"text[]":                   `%[1]s || array['']`,
	"boolean":                  `not %[1]s`,
	"bigint":                   `%[1]s + 1`,
	"integer":                  `%[1]s + 1`,
	"timestamp with time zone": `case when isfinite(%[1]s) then %[1]s + interval '1 microsecond' else now() end`,
	"jsonb":                    `%[1]s || '[1.0]'`,
	"uuid[]":                   `%[1]s || array['00000000-0000-0000-0000-000000000000'::uuid]`,
}

// Whatever is changed in any column of any table, down to a byte, is found and named.
func TestVerifyFindsEveryChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.run()
	for range 10 { // more rows in every table than it has columns
		c := w.company()
		for n := range 5 {
			id := w.client(c, n)
			w.append(domain.Client, id, client.Deactivated{Reason: "test"})
		}
		definition := role.Definition{Name: "Reviewer", Permissions: []domain.Grant{{Permission: domain.ClientsView, Reach: domain.OnDesks}}}
		for range 2 {
			w.append(domain.Role, uuid.New(), role.Created{Definition: definition})
			w.append(domain.APIKey, uuid.New(), apikey.Created{Name: "sync", OwnerID: c.manager, Permissions: definition.Permissions, ExpiresAt: &w.clock})
		}
	}
	w.caughtUp(r)
	stop()
	for _, p := range All {
		names, err := tableNames(t.Context(), w.db, p.Schema())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			w.tampered(p, name)
			if err := Rebuild(t.Context(), w.cfg, p.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tampered alters the table and expects all of it to be found.
func (w *world) tampered(p *Projector, name string) {
	t := w.t
	t.Helper()
	want := w.tamper(t, p.Schema(), name)
	rep, err := Verify(t.Context(), w.cfg, p.Name)
	if !errors.Is(err, ErrDiffers) {
		t.Fatalf("%s.%s: verify: %v", p.Name, name, err)
	}
	var got []string
	for _, table := range rep.Tables {
		if (table.Differences > 0) != (table.Table == name) {
			t.Errorf("%s.%s: %d differences in %s", p.Name, name, table.Differences, table.Table)
		}
		for _, d := range table.First {
			got = append(append(got, d.Kind), d.Columns...)
		}
	}
	for _, column := range want {
		if !slices.Contains(got, column) {
			t.Errorf("%s.%s: a change was not found: %s among %v", p.Name, name, column, got)
		}
	}
}

// tamper alters a different row for every column, deletes one and adds one. It
// returns what has to be found.
func (w *world) tamper(t *testing.T, schema, name string) (want []string) {
	t.Helper()
	var active string
	w.scan(`select schema from annals_projections.active where schema like $1 || '%'`, schema)(&active)
	table := pgx.Identifier{active, name}.Sanitize()
	rows, err := w.db.Query(t.Context(), `select quote_ident(attname), format_type(atttypid, -1), attgenerated::text <> '' from pg_attribute
		where attrelid = $1::regclass and attnum > 0 order by attnum`, table)
	if err != nil {
		t.Fatal(err)
	}
	type column struct {
		name, typ string
		generated bool
	}
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.typ, &c.generated)
		return c, err
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctids []string
	rows, err = w.db.Query(t.Context(), "select ctid::text from "+table)
	if err == nil {
		ctids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(ctids) < 10 {
		t.Fatalf("%d rows in %s: %v", len(ctids), table, err)
	}
	for i, c := range columns {
		if c.generated {
			continue // PostgreSQL refuses to change it
		}
		ctid := ctids[i%(len(ctids)-1)]
		value, ok := altered[c.typ]
		if !ok {
			t.Fatalf("no way to alter a %s", c.typ)
		}
		var null bool
		w.scan(fmt.Sprintf("select %s is null from %s where ctid = $1::tid", c.name, table), ctid)(&null)
		if null {
			value = map[string]string{"uuid": `'00000000-0000-0000-0000-000000000000'`, "timestamp with time zone": "now()"}[c.typ]
		} else {
			value = fmt.Sprintf(value, c.name)
		}
		w.exec(fmt.Sprintf("update %s set %s = %s where ctid = $1::tid", table, c.name, value), ctid)
		if len(columns) < len(ctids) && !w.inKey(table, c.name) {
			want = append(want, strings.Trim(c.name, `"`))
		}
	}
	w.exec(fmt.Sprintf("delete from %s where ctid = $1::tid", table), ctids[len(ctids)-1])
	return append(want, "missing", "extra") // a changed key is one of each
}

func (w *world) inKey(table, column string) (in bool) {
	w.scan(`select $2 = any(select quote_ident(attname) from pg_attribute a join pg_index i on i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)
		where a.attrelid = $1::regclass)`, table, column)(&in)
	return in
}

// A read model whose tables were changed themselves is told from one whose rows were.
func TestVerifyFindsAnotherShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, stop := w.run()
	w.company()
	w.caughtUp(r)
	stop()
	w.exec(`alter table ` + organisation.Schema() + `.employees add column nickname text`)
	if _, err := Verify(t.Context(), w.cfg, "organisation"); !errors.Is(err, errShape) {
		t.Errorf("verify: %v", err)
	}
	w.exec(`drop table ` + organisation.Schema() + `.employees cascade`)
	if _, err := Verify(t.Context(), w.cfg, "organisation"); !errors.Is(err, errShape) {
		t.Errorf("verify: %v", err)
	}
	if err := Rebuild(t.Context(), w.cfg, "organisation"); err != nil {
		t.Fatal(err)
	}
	w.verified(organisation)
	var n int
	w.scan(`select count(*) from annals_read.employees`)(&n)
	if n != 1 {
		t.Errorf("%d employees", n)
	}
}

// Verifying goes on beside the projector, whatever that does meanwhile.
func TestVerifyUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := w.run()
	c := w.company()
	w.caughtUp(r)
	stop := w.busy(c)
	for range 3 {
		w.verified()
	}
	stop()
	w.append(domain.Employee, c.manager, employee.Assigned{})
	w.caughtUp(r)
	w.verified()
}
