package projections

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/accessed"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/defaultview"
	"annals/domain/employee"
	"annals/domain/erasure"
	"annals/domain/favourite"
	"annals/domain/inbox"
	"annals/domain/project"
	"annals/domain/record"
	"annals/domain/retention"
	"annals/domain/role"
	"annals/domain/template"
	"annals/domain/view"
	"annals/domain/webhook"
	"annals/internal/unraced"
)

// altered is an expression that differs from a value of the type by little, or from
// null, and from what any other row has.
var altered = map[string]struct{ value, null string }{
	"uuid":                     {`(left(%[1]s::text, 35) || case right(%[1]s::text, 1) when '0' then '1' else '0' end)::uuid`, `'00000000-0000-0000-0000-000000000000'`},
	"text":                     {`%[1]s || ' '`, `''`},
	"text[]":                   {`%[1]s || array['']`, `'{}'`},
	"boolean":                  {`not %[1]s`, `false`},
	"bigint":                   {`%[1]s + 1000000`, `0`},
	"smallint":                 {`%[1]s + 100`, `0`},
	"integer":                  {`%[1]s + 1000000`, `0`},
	"numeric":                  {`%[1]s + 0.0000`, `0`}, // is equal, and told with more decimals
	"timestamp with time zone": {`case when isfinite(%[1]s) then %[1]s + interval '1 microsecond' else now() end`, `now()`},
	"jsonb":                    {`%[1]s || '[1.0]'`, `'[]'`},
	"uuid[]":                   {`%[1]s || array['00000000-0000-0000-0000-000000000000'::uuid]`, `'{}'`},
}

// ofFewRows are tables that have no more rows than this, whatever happens.
var ofFewRows = map[string]int{"registries": 3}

// Whatever is changed in any column of any table, down to a byte, is found and named.
// The log has events of all types, so that there is something in each column.
func TestVerifyFindsEveryChange(t *testing.T) {
	t.Parallel()
	if unraced.Only(t) {
		return
	}
	w := newWorld(t)
	runner, stop := w.run()
	r := newRandom(w)
	for range 10 { // more rows in every table than it has columns
		c := w.company()
		w.append(domain.Project, c.project, project.TransitionsChanged{To: project.Transitions{"lead": {"active"}}})
		for n := range 5 {
			id := w.client(c, n)
			w.append(domain.Client, id, client.Deactivated{Reason: "test"}, client.Edited{To: client.Details{Custom: map[string]any{"contract": "4711"}}})
			w.appendOf(id, domain.Record, uuid.New(), record.Added{ClientID: id, Kind: record.Transactions, System: "billing", Details: record.Details{Amount: "4.20", Currency: "EUR"}})
		}
		for n := range 2 {
			id, held := w.client(c, 10+n), w.client(c, 20+n)
			w.append(domain.Client, held, client.Deactivated{Reason: "test"}, client.Held{Reason: "case 17"})
			w.append(domain.Client, id, client.Deactivated{Reason: "test"}, client.Held{Reason: "case 18"}, client.Released{}, client.Erased{Basis: client.OnRequest, Reason: "letter", RequestedBy: "the person"})
			w.erase(id)
			w.append(domain.Erasure, id, erasure.CarriedOut{KeyEvents: 1, CleanBy: w.clock}, erasure.Cleaned{Cleaning: erasure.Cleaning{WAL: true}})
			w.append(domain.Access, uuid.New(), accessed.Recorded{Entries: []accessed.Entry{
				{Actor: c.manager, Kind: accessed.List, Clients: []domain.ID{id, held}, Count: 2, Filters: 1, At: w.clock, Request: uuid.New(), IP: "192.0.2.7", UserAgent: "test"},
				{Actor: uuid.New(), Owner: c.manager, Kind: accessed.Record, Clients: []domain.ID{held}, Count: 1, Item: uuid.New(), AsOf: "2026-01-01", At: w.clock, Request: uuid.New()},
			}})
		}
		hook := webhook.Definition{Name: "Accounting", URL: "https://example.com/annals", Types: []string{"*"}}
		w.append(domain.Webhook, uuid.New(), webhook.Created{OwnerID: c.manager, Definition: hook}, webhook.Changed{From: hook, To: webhook.Definition{URL: hook.URL, Types: []string{"client.*"}}},
			webhook.Paused{}, webhook.Resumed{}, webhook.Rotated{}, webhook.Tested{}, webhook.Replayed{From: webhook.Bound{Position: "0"}}, webhook.Disabled{Reason: webhook.Failing}, webhook.Deleted{})
		w.append(domain.Employee, c.manager, employee.Deactivated{}, employee.Reactivated{})
		w.append(domain.Role, uuid.New(), role.Created{Definition: role.Definition{Name: "Reviewer"}})
		w.append(domain.APIKey, uuid.New(), apikey.Created{Name: "sync", OwnerID: c.manager, ExpiresAt: &w.clock}, apikey.Revoked{})
		w.append(domain.Template, uuid.New(), template.Created{Definition: template.Definition{Name: "Welcome"}})
		for _, with := range []view.Shared{{}, {With: view.Everybody}} {
			w.append(domain.View, uuid.New(), view.Created{OwnerID: c.manager, Definition: view.Definition{Name: "Leads", Shared: with}})
		}
		w.append(domain.DefaultView, uuid.New(), defaultview.Changed{Role: c.project.String(), To: uuid.New()})
		for _, of := range []favourite.Of{{EmployeeID: c.manager, ClientID: uuid.New()}, {EmployeeID: c.manager, ViewID: uuid.New()}} {
			w.append(domain.Favourite, of.ID(), favourite.Starred{Of: of})
		}
		old, gone := retention.Settings{Name: "Old", Since: retention.Created, Days: 30, Action: retention.Propose}, uuid.New()
		w.append(domain.Retention, retention.Ref().ID, retention.Defined{RuleID: uuid.New(), ProjectID: c.project, Settings: old}, retention.Defined{RuleID: gone, Settings: old},
			retention.Changed{RuleID: gone, From: old, To: retention.Settings{Name: "Older", Statuses: []client.Status{client.Lead}, Since: retention.Deactivated, Days: 60, Action: retention.Erase}},
			retention.Deleted{RuleID: gone}, retention.Defined{RuleID: uuid.New(), Settings: retention.Settings{Name: "All", Statuses: []client.Status{client.Active}, Since: retention.StatusChanged, Days: 90, Action: retention.Erase}})
		w.rotate(c)
		w.append(domain.Inbox, c.manager, inbox.PreferencesChanged{Preferences: inbox.Preferences{inbox.Due: inbox.Email}})
	}
	anything := rapid.Custom(func(t *rapid.T) bool { r.event(t); return true })
	for seed := 0; seed < 900 || seed < 9000 && len(w.missing()) > 0; seed += 100 {
		for n := range 100 {
			anything.Example(seed + n)
		}
	}
	if missing := w.missing(); len(missing) > 0 {
		t.Errorf("nothing of the types %v has happened: have random do it", missing)
	}
	w.caughtUp(runner)
	w.verified()
	stop()
	for _, p := range All {
		w.tampered(p)
	}
}

// missing are the types of which there is no event. Every type has a sample.
func (w *world) missing() (types []string) {
	w.t.Helper()
	happened := map[string]bool{}
	for _, r := range w.everything().Records {
		happened[r.Type] = true
	}
	samples, err := filepath.Glob("../eventschema/testdata/*.v1.json")
	if err != nil || len(samples) == 0 {
		w.t.Fatal(samples, err)
	}
	for _, file := range samples {
		if name := strings.TrimSuffix(filepath.Base(file), ".v1.json"); !happened[name] {
			types = append(types, name)
		}
	}
	return types
}

// tampered alters all tables of the projector and expects all of it to be found.
func (w *world) tampered(p *Projector) {
	t := w.t
	t.Helper()
	names, err := tableNames(t.Context(), w.db, p.Schema())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, name := range names {
		want[name] = w.tamper(p.Schema(), name)
	}
	rep, err := Verify(t.Context(), w.cfg, p.Name)
	if !errors.Is(err, ErrDiffers) || len(rep.Tables) != len(names) {
		t.Fatalf("%s: verify: %d tables of %d, %v", p.Name, len(rep.Tables), len(names), err)
	}
	for _, table := range rep.Tables {
		var got []string
		for _, d := range table.First {
			got = append(append(got, d.Kind), d.Columns...)
		}
		for _, column := range want[table.Table] {
			if !slices.Contains(got, column) {
				t.Errorf("%s.%s: a change was not found: %s among %v", p.Name, table.Table, column, got)
			}
		}
	}
}

type column struct {
	name, typ string
	generated bool
}

// tamper alters a different row for every column, and deletes one; the columns of one
// row for all where there are few. It returns what has to be found.
func (w *world) tamper(schema, name string) (want []string) {
	t := w.t
	t.Helper()
	var active string
	w.scan(`select schema from annals_projections.active where schema like $1 || '%'`, schema)(&active)
	table := pgx.Identifier{active, name}.Sanitize()
	rows, err := w.db.Query(t.Context(), `select quote_ident(attname), format_type(atttypid, -1), attgenerated::text <> '' from pg_attribute
		where attrelid = $1::regclass and attnum > 0 order by attnum`, table)
	if err != nil {
		t.Fatal(err)
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
	few := ofFewRows[name] > 1 && len(ctids) == ofFewRows[name]
	if err != nil || len(ctids) <= len(columns) && !few {
		t.Fatalf("%d rows in %s, which has %d columns: have more happen to it. %v", len(ctids), table, len(columns), err)
	}
	for i, c := range columns {
		if c.generated {
			continue // PostgreSQL refuses to change it
		}
		key, row := w.inKey(table, c.name), i
		switch {
		case few && key:
			row = len(ctids) - 1
		case few:
			row = 0
		}
		w.alter(table, c, ctids[row])
		if !key {
			want = append(want, strings.Trim(c.name, `"`))
		}
	}
	if !few {
		w.quietly(fmt.Sprintf("delete from %s where ctid = $1::tid", table), ctids[len(ctids)-1])
	}
	return append(want, "missing", "extra") // a changed key is one of each
}

func (w *world) alter(table string, c column, ctid string) {
	w.t.Helper()
	to, ok := altered[c.typ]
	if !ok {
		w.t.Fatalf("no way to alter a %s", c.typ)
	}
	var null bool
	w.scan(fmt.Sprintf("select %s is null from %s where ctid = $1::tid", c.name, table), ctid)(&null)
	value := to.null
	if !null {
		value = fmt.Sprintf(to.value, c.name)
	}
	w.quietly(fmt.Sprintf("update %s set %s = %s where ctid = $1::tid", table, c.name, value), ctid)
}

// quietly changes one row and nothing else: no trigger keeps another table in step.
func (w *world) quietly(sql, ctid string) {
	w.t.Helper()
	err := pgx.BeginFunc(w.t.Context(), w.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(w.t.Context(), `set local session_replication_role = replica`); err != nil {
			return err
		}
		ct, err := tx.Exec(w.t.Context(), sql, ctid)
		if err == nil && ct.RowsAffected() != 1 {
			err = fmt.Errorf("%d rows", ct.RowsAffected())
		}
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
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
	w.verified()
	w.verified(clients, clients)
	stop()
	w.append(domain.Employee, c.manager, employee.Assigned{})
	w.caughtUp(r)
	w.verified()
}
