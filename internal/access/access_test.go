package access_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/internal/access"
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

// TestClients holds the predicate as SQL against the one in Go, in PostgreSQL.
func TestClients(t *testing.T) {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	// Every client that there can be, one without a project included: no table holds it, and nobody sees it.
	_, err = db.Exec(ctx, `create table clients (project_id uuid, desk_id uuid);
		insert into clients select p, d from
			(select null::uuid union all select ('00000000-0000-0000-0000-00000000000' || n)::uuid from generate_series(1, 4) n) p (p),
			(select null::uuid union all select ('00000000-0000-0000-0000-00000000000' || n)::uuid from generate_series(1, 4) n) d (d)`)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := domain.Scope{All: rapid.IntRange(0, 9).Draw(t, "all") == 0, Projects: ids(t, "projects"), Desks: ids(t, "desks")}
		if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
			s = domain.Scope{}
		}
		args := []any{"an argument before"}
		bind := func(v any) string {
			args = append(args, v)
			return fmt.Sprintf("$%d", len(args))
		}
		predicate := access.Clients(s, "c", bind)
		rows, err := db.Query(ctx, "select c.project_id, c.desk_id, "+predicate+" is true from clients c where $1::text <> ''", args...)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			var project, desk *domain.ID
			var sees bool
			if err := rows.Scan(&project, &desk, &sees); err != nil {
				t.Fatal(err)
			}
			n++
			var p, d domain.ID
			if project != nil {
				p = *project
			}
			if desk != nil {
				d = *desk
			}
			if want := s.Covers(p, d); sees != want {
				t.Fatalf("%+v: SQL says %v and Go %v of project %v, desk %v", s, sees, want, p, d)
			}
		}
		if rows.Err() != nil || n != 25 {
			t.Fatalf("%d rows, %v", n, rows.Err())
		}
		// The organisation: the projects themselves, whatever the desks.
		var projects int
		args = args[:1]
		predicate = access.Projects(s, "c.project_id", bind)
		err = db.QueryRow(ctx, "select count(distinct c.project_id) from clients c where $1::text <> '' and c.project_id is not null and "+predicate, args...).Scan(&projects)
		if want := len(s.Projects); err != nil || !s.All && projects != want || s.All && projects != 4 {
			t.Fatalf("%+v: %d projects, %v", s, projects, err)
		}
	})
}

func TestCaller(t *testing.T) {
	if c := access.From(t.Context()); c.Actor != nil {
		t.Errorf("somebody in an empty context: %+v", c)
	}
	a := &access.Actor{ID: id(1)}
	if c := access.From(access.With(t.Context(), access.Caller{Actor: a})); c.Actor != a {
		t.Errorf("%+v", c)
	}
	projects, desks := access.Assigned(domain.Scope{Projects: map[domain.ID]bool{id(3): true, id(1): true, id(2): true}})
	if fmt.Sprint(projects) != fmt.Sprint([]domain.ID{id(1), id(2), id(3)}) || len(desks) > 0 {
		t.Errorf("%v %v", projects, desks)
	}
}
