package access_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/postgres"
	"annals/internal/postgres/pgtest"
)

// id is one of a few, so that those drawn independently often meet.
func id(n int) domain.ID { return domain.ID{15: byte(n)} }

func ids(t *rapid.T, label string) map[domain.ID]bool {
	set := map[domain.ID]bool{}
	for _, n := range rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, label) {
		set[id(n)] = true
	}
	return set
}

// authority draws who asks: an employee, or a key, which manages nobody.
func authority(t *rapid.T) domain.Authority {
	a := domain.Authority{Rights: domain.Rights{}, Scope: domain.Scope{Projects: ids(t, "projects"), Desks: ids(t, "desks")}}
	if rapid.IntRange(0, 4).Draw(t, "key") > 0 {
		a.ID = id(rapid.IntRange(1, 4).Draw(t, "me"))
	}
	for _, p := range []domain.Permission{domain.ClientsView, domain.ClientsEdit, domain.EmployeesView, domain.OrganisationManage} {
		if reach := domain.Reach(rapid.IntRange(0, 4).Draw(t, string(p))); reach > domain.Nothing {
			a.Rights[p] = reach
		}
	}
	return a
}

// policy is row-level security of the read model of clients.
var policy = regexp.MustCompile(`(?s)create policy visible on clients .*?;`)

// TestClients holds the predicate as SQL, and as row-level security, against the one
// in Go, in PostgreSQL.
func TestClients(t *testing.T) {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	// Every client that there can be, one without a project included: no table holds it, and nobody sees it but who
	// sees everything.
	_, err = db.Exec(ctx, `create table clients as
		with id as (select null::uuid as id union all select ('00000000-0000-0000-0000-00000000000' || n)::uuid from generate_series(1, 4) n)
		select p.id as project_id, d.id as desk_id, m.id as manager_id from id p, id d, id m`)
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("../../projections/clients.sql")
	if err == nil {
		err = postgres.EnsureReader(ctx, db)
	}
	if err == nil {
		_, err = db.Exec(ctx, "alter table clients enable row level security; grant select on clients to "+postgres.Reader+";"+policy.FindString(string(model)))
	}
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := authority(t)
		shown := visible(ctx, t, db, a)
		args := []any{"an argument before"}
		bind := func(v any) string {
			args = append(args, v)
			return fmt.Sprintf("$%d", len(args))
		}
		p := rapid.SampledFrom([]domain.Permission{domain.ClientsView, domain.ClientsEdit, domain.ClientsErase}).Draw(t, "permission")
		predicate := access.Clients(a, p, "c", bind)
		rows, err := db.Query(ctx, "select c.project_id, c.desk_id, c.manager_id, "+predicate+" is true from clients c where $1::text <> ''", args...)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var at [3]*domain.ID
		var may bool
		_, err = pgx.ForEachRow(rows, []any{&at[0], &at[1], &at[2], &may}, func() error {
			n++
			place := placed(at)
			if a.May(p, place) != may {
				t.Fatalf("%+v: SQL says %v, and Go does not, of %s at %+v", a, may, p, place)
			}
			if a.May(domain.ClientsView, place) != shown[place] {
				t.Fatalf("%+v: row-level security says %v, and Go does not, of %+v", a, shown[place], place)
			}
			return nil
		})
		if err != nil || n != 125 {
			t.Fatalf("%d rows, %v", n, err)
		}
		// The organisation: the projects themselves, whatever the desks.
		var projects int
		args = args[:1]
		predicate = access.Projects(a, "c.project_id", bind)
		err = db.QueryRow(ctx, "select count(distinct c.project_id) from clients c where $1::text <> '' and c.project_id is not null and "+predicate, args...).Scan(&projects)
		want := len(a.Scope.Projects)
		if access.Organisation(a) {
			want = 4
		}
		if err != nil || projects != want {
			t.Fatalf("%+v: %d projects, %v", a, projects, err)
		}
	})
}

// visible are the places of the clients that row-level security shows to somebody, who
// asks without saying what they may see.
func visible(ctx context.Context, t *rapid.T, db *pgx.Conn, a domain.Authority) map[domain.Place]bool {
	tx, err := db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "set local role "+postgres.Reader); err != nil {
		t.Fatal(err)
	}
	for _, s := range access.Settings(&access.Actor{Authority: a}) {
		if _, err := tx.Exec(ctx, `select set_config($1, $2, true)`, s.Name, s.Value); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query(ctx, `select project_id, desk_id, manager_id from clients`)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[domain.Place]bool{}
	var at [3]*domain.ID
	if _, err := pgx.ForEachRow(rows, []any{&at[0], &at[1], &at[2]}, func() error { shown[placed(at)] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return shown
}

func placed(at [3]*domain.ID) domain.Place {
	of := func(id *domain.ID) domain.ID {
		if id == nil {
			return domain.ID{}
		}
		return *id
	}
	return domain.Place{Project: of(at[0]), Desk: of(at[1]), Manager: of(at[2])}
}

// Whoever it is, the same settings are set: none is left from somebody before.
func TestSettings(t *testing.T) {
	nobody := access.Settings(nil)
	everybody := access.Settings(&access.Actor{
		Who: id(1), Authority: domain.Authority{ID: id(2), Rights: domain.AllRights(), Scope: domain.ScopeOf([]domain.ID{id(4), id(3)}, []domain.ID{id(5)})},
	})
	if len(nobody) != len(everybody) {
		t.Fatalf("%d and %d settings", len(nobody), len(everybody))
	}
	for i, s := range nobody {
		if s.Value != "" || everybody[i].Name != s.Name || everybody[i].Value == "" {
			t.Errorf("%q for nobody, %q for somebody who may do everything", s, everybody[i])
		}
	}
	if !slices.Contains(everybody, access.Setting{Name: "annals.projects", Value: "{" + id(3).String() + "," + id(4).String() + "}"}) {
		t.Errorf("%v", everybody)
	}
}

func TestCaller(t *testing.T) {
	if c := access.From(t.Context()); c.Actor != nil || access.Authority(t.Context()).ID != (domain.ID{}) {
		t.Errorf("somebody in an empty context: %+v", c)
	}
	a := &access.Actor{Authority: domain.Authority{ID: id(1)}}
	ctx := access.With(t.Context(), access.Caller{Actor: a})
	if c := access.From(ctx); c.Actor != a || access.Authority(ctx).ID != id(1) || a.IsKey() {
		t.Errorf("%+v", c)
	}
	projects, desks := access.Assigned(domain.Scope{Projects: map[domain.ID]bool{id(3): true, id(1): true, id(2): true}})
	if fmt.Sprint(projects) != fmt.Sprint([]domain.ID{id(1), id(2), id(3)}) || len(desks) > 0 {
		t.Errorf("%v %v", projects, desks)
	}
}
