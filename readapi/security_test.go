package readapi

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/internal/access"
)

// Every table of every read model is under row-level security and has a policy; every
// view has the rights of its reader; and the role can do nothing but read these.
func TestTablesAreGuarded(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	for what, sql := range map[string]string{
		"tables without row-level security": `select relname::text from pg_class c join annals_projections.active a on c.relnamespace = a.schema::regnamespace
			where relkind in ('r', 'p') and not relrowsecurity`,
		"tables without a policy": `select relname::text from pg_class c join annals_projections.active a on c.relnamespace = a.schema::regnamespace
			where relkind in ('r', 'p') and not exists (select from pg_policy where polrelid = c.oid and polcmd in ('r', '*'))`,
		"views with the rights of their owner": `select relname::text from pg_class c where relnamespace = 'annals_read'::regnamespace
			and relname not in ('freshness', 'sorts') and not coalesce(reloptions, '{}') @> '{security_invoker=true}'`,
		"what the role can write": `select oid::regclass::text from pg_class where relkind in ('r', 'p', 'v') and relnamespace::regnamespace::text !~ '^pg_'
			and has_table_privilege('annals_reader', oid, 'insert, update, delete, truncate, references, trigger')`,
		"what the role can read besides": `select c.oid::regclass::text from pg_class c where relkind in ('r', 'p', 'v', 'm')
			and has_table_privilege('annals_reader', c.oid, 'select') and has_schema_privilege('annals_reader', relnamespace, 'usage')
			and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'annals_read')
			and not exists (select from annals_projections.active a where c.relnamespace = a.schema::regnamespace)`,
		"where the role can create": `select nspname::text from pg_namespace where nspname !~ '^pg_' and has_schema_privilege('annals_reader', oid, 'create')`,
		"what finders can read besides": `select c.oid::regclass::text from pg_class c where relkind in ('r', 'p', 'm')
			and has_table_privilege('annals_finder', c.oid, 'select') and has_schema_privilege('annals_finder', relnamespace, 'usage')
			and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema') and not exists (select from pg_policy where polrelid = c.oid and polname = 'find')`,
		"what finders can write": `select oid::regclass::text from pg_class where relkind in ('r', 'p', 'v') and relnamespace::regnamespace::text !~ '^pg_'
			and has_table_privilege('annals_finder', oid, 'insert, update, delete, truncate, references, trigger')`,
		"what else it can do": `select rolname::text from pg_roles where rolname = 'annals_reader' and
			(rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb or rolreplication)`,
	} {
		rows, err := m.owner.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(out) > 0 {
			t.Errorf("%s: %v %v", what, out, err)
		}
	}
	var tables int
	if err := m.owner.QueryRow(t.Context(), `select count(*) from pg_views where schemaname = 'annals_read'`).Scan(&tables); err != nil || tables < 10 {
		t.Errorf("%d views, %v", tables, err)
	}
}

// A query that asks for everything gets what the rule in Go lets its caller see: the
// policy is that rule.
func TestPolicyOfClients(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	clients := m.placed(t, 1)
	all := m.ids(as(t, someone(domain.Everywhere, nil, nil)), t, nil, `select id::text from annals_read.clients`)
	if len(all) != 125 {
		t.Fatalf("%d clients", len(all))
	}
	if out := m.ids(t.Context(), t, nil, `select id::text from annals_read.clients`); len(out) != 0 {
		t.Errorf("nobody sees %d clients", len(out))
	}
	set := rapid.Custom(func(t *rapid.T) (out []domain.ID) {
		return nths(rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "ids")...)
	})
	rapid.Check(t, func(rt *rapid.T) {
		a := someone(domain.Reach(rapid.IntRange(0, 4).Draw(rt, "reach")), set.Draw(rt, "projects"), set.Draw(rt, "desks"))
		a.ID = nth(rapid.IntRange(0, 4).Draw(rt, "me"))
		var want []string
		for place, ids := range clients {
			if a.May(domain.ClientsView, place) {
				want = append(want, ids...)
			}
		}
		slices.Sort(want)
		if got := m.ids(as(t, a), t, nil, `select id::text from annals_read.clients`); !slices.Equal(got, want) {
			rt.Fatalf("%+v sees %d clients instead of %d", a.Authority, len(got), len(want))
		}
	})
}

// The planted fault: the list, the record and the history as they are, with the
// predicate left out. As the tables' owner that shows everything; as it is asked here,
// nothing that the caller may not see.
func TestForgottenPredicate(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	clients := m.placed(t, 2)
	theirs := domain.Place{Project: nth(1), Desk: nth(2), Manager: nth(3)}
	others := domain.Place{Project: nth(2), Desk: nth(2), Manager: nth(1)}
	for _, ids := range clients {
		for _, id := range ids {
			m.exec(t, `insert into history (category, aggregate_id, client_id, revision, position, event_id, type, at, actor_id, command_id, correlation_id, causation_id, schema, changes)
				values ('client', $1, $1, 0, 0, gen_random_uuid(), 'client.registered', now(), $1, $1, $1, $1, 1, '[]')`, id)
			m.exec(t, `update clients set status = 'active', since = since + interval '1 second' where id = $1`, id)
			m.exec(t, `insert into client_contacts (id, client_id, at) values (gen_random_uuid(), $1, now())`, id)
			m.exec(t, `insert into client_values (client_id, key, value) values ($1, 'k', '"v"')`, id)
		}
	}
	ctx := as(t, someone(domain.OnDesks, nths(1), nths(2)))
	unguarded := func() *query { return &query{where: []string{"true"}} }

	var seen int
	sql, args := clientSource.count(unguarded())
	if err := m.owner.QueryRow(t.Context(), sql, args...).Scan(&seen); err != nil || seen != 250 {
		t.Fatalf("the owner counts %d clients, %v", seen, err)
	}
	list, err := fetch(ctx, m.API, sortedByID(clientSource), unguarded(), Page{Limit: 500}, clientRow.item)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for place, ids := range clients {
		if access.Authority(ctx).May(domain.ClientsView, place) {
			want += len(ids)
		}
	}
	if len(list.Body.Items) != want || list.Body.Total.Count != want || want == 0 || want > 20 {
		t.Errorf("%d clients are listed and %d counted, and %d may be seen", len(list.Body.Items), list.Body.Total.Count, want)
	}
	for _, c := range list.Body.Items {
		if c.Project == nil && c.Desk == nil {
			t.Errorf("%s is listed", c.ID)
		}
	}
	if _, err := fetchOne(ctx, m.API, clientSource, unguarded(), byID{ID: uuid.MustParse(clients[theirs][0])}, "client", clientRow.item); err != nil {
		t.Errorf("a client of theirs: %v", err)
	}
	if _, err := fetchOne(ctx, m.API, clientSource, unguarded(), byID{ID: uuid.MustParse(clients[others][0])}, "client", clientRow.item); err == nil {
		t.Error("somebody else's client")
	}
	// History needs a client that was found to be visible, and is only that one's.
	if out := m.ids(ctx, t, nil, `select event_id::text from annals_read.history`); len(out) > 0 {
		t.Errorf("%d events of nobody in particular", len(out))
	}
	for place, events := range map[domain.Place]int{theirs: 1, others: 0} {
		id := uuid.MustParse(clients[place][0])
		if out := m.ids(ctx, t, visible(ctx, id), `select event_id::text from annals_read.history`); len(out) != events {
			t.Errorf("%d events with a client at %v", len(out), place)
		}
		for _, table := range []string{"client_contacts"} {
			if out := m.ids(ctx, t, visible(ctx, id), `select client_id::text from annals_read.`+table); len(out) != events {
				t.Errorf("%d of %s with a client at %v", len(out), table, place)
			}
		}
	}
	// Values are compared with those of other clients, which are those that are seen.
	if out := m.ids(ctx, t, nil, `select client_id::text from annals_read.client_values`); len(out) != want {
		t.Errorf("%d clients' values, and %d clients may be seen", len(out), want)
	}
	// What clients were is seen with what they are.
	if out := m.ids(ctx, t, nil, `select id::text from annals_read.client_past`); len(out) != want {
		t.Errorf("what %d clients were, and %d clients may be seen", len(out), want)
	}
	// What clients are found by is shown to nobody.
	for _, table := range []string{"client_times", "client_counts", "client_words"} {
		if out := m.ids(ctx, t, nil, `select 'a row' from annals_read.`+table); len(out) > 0 {
			t.Errorf("%d rows of %s", len(out), table)
		}
	}
	// Nobody has signed in.
	list, err = fetch(t.Context(), m.API, sortedByID(clientSource), unguarded(), Page{Limit: 500}, clientRow.item)
	if err != nil || len(list.Body.Items) != 0 || list.Body.Total.Count != 0 {
		t.Errorf("nobody sees %d clients, %v", len(list.Body.Items), err)
	}
}

// What happened to other things than clients is for those who see what everybody did; what happened in a project, for
// those who see what was done there, of clients those that they see.
func TestPolicyOfHistory(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	insert := func(category string, id, client, project any) {
		m.exec(t, `insert into history (category, aggregate_id, client_id, project_id, revision, position, event_id, type, at, actor_id, command_id, correlation_id, causation_id, schema, changes)
			values ($1, $2, $3, $4, 0, 0, gen_random_uuid(), 'x', now(), $2, $2, $2, $2, 1, '[]')`, category, id, client, project)
	}
	m.exec(t, `insert into history_places values ($1, $2, $3, $4)`, nth(9), nth(1), nth(2), nth(3))
	insert("client", nth(9), nth(9), nil) // happens where the client is
	insert("note", nth(8), nth(9), nth(2))
	for _, category := range []string{"employee", "role"} {
		insert(category, nth(7), nil, nil)
	}
	insert("project", nth(1), nil, nth(1))
	insert("desk", nth(2), nil, nth(2))
	for _, c := range []struct {
		audit, clients domain.Reach
		projects       []uuid.UUID
		want           string
	}{
		{domain.Nothing, domain.Everywhere, nths(1), "[]"},
		{domain.Own, domain.Everywhere, nths(1), "[]"},
		{domain.OnDesks, domain.Everywhere, nths(1), "[]"},
		{domain.InProjects, domain.Everywhere, nil, "[]"},
		{domain.InProjects, domain.Everywhere, nths(1), "[client project]"},
		{domain.InProjects, domain.InProjects, nths(1), "[client project]"},
		{domain.InProjects, domain.OnDesks, nths(1), "[project]"},
		{domain.InProjects, domain.InProjects, nths(2), "[desk]"},
		{domain.Everywhere, domain.InProjects, nths(2), "[desk employee project role]"},
		{domain.Everywhere, domain.Everywhere, nil, "[client desk employee note project role]"},
	} {
		a := someone(c.clients, c.projects, nil)
		a.Rights[domain.AuditView] = c.audit
		out := m.ids(as(t, a), t, nil, `select category from annals_read.history order by 1`)
		if got := fmt.Sprint(out); got != c.want {
			t.Errorf("within %v, of clients %v, in %v: %v, want %s", c.audit, c.clients, c.projects, got, c.want)
		}
	}
}

// Nothing but Ask gets to the database: a pool of one's own would be one without a caller.
func TestOneWayToAsk(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	around := regexp.MustCompile(`pgxpool|pgconn\.Connect|pgx\.Connect|database/sql|\.SendBatch\(|reader\.Open`)
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := around.Find(src); found != nil && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s uses %s", file, found)
		}
	}
}
