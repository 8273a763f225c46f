package readapi

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/tag"
	"annals/internal/access"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
	"annals/projections"
)

type thereIs struct{}

func (thereIs) Exists() bool { return true }

// What clients show, and by which names they are found, is what the domain says, whatever
// was defined, renamed and merged, in projects and for all.
func TestTagsAsInTheDomain(t *testing.T) {
	t.Parallel()
	url, log := pgtest.Database(t), newLog(t)
	m := modelsOf(t, url, log)
	i := slices.IndexFunc(projections.All, func(p *projections.Projector) bool { return p.Name == "settings" })
	settings := projections.All[i]

	names := []string{"a", "A", "b", "c", "ß", "SS", "d"}
	projects := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	scopes := append([]uuid.UUID{{}}, projects[:2]...)
	type of struct {
		project uuid.UUID
		key     string
	}
	clients := map[uuid.UUID]of{}
	w := domain.World{}
	for _, p := range projects {
		w[domain.Ref{Category: domain.Project, ID: p}] = thereIs{}
		for _, key := range names {
			id := uuid.New()
			clients[id] = of{p, key}
			m.exec(t, `insert into clients (id, project_id, tags, created_at, since, updated_at, revision) values ($1, $2, $3, now(), current_timestamp, '2026-01-01', 0)`, id, p, []string{key})
		}
	}
	root := access.With(t.Context(), access.Caller{Actor: &access.Actor{Authority: domain.Root, Who: domain.System}})
	var s tag.State
	var ids []uuid.UUID
	last := eventlog.NoStream
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from []uuid.UUID) uuid.UUID { return from[rnd.IntN(len(from))] }
	general, own := uuid.New(), uuid.New()
	script := []tag.Command{ // in the first project, what is called A for all is its own d, which was called that
		tag.Define{ID: general, Settings: tag.Settings{Name: "b"}},
		tag.Change{ID: general, Patch: map[string]any{"name": "A"}},
		tag.Define{ID: own, ProjectID: domain.Set(projects[0]), Settings: tag.Settings{Name: "c"}},
		tag.Change{ID: own, Patch: map[string]any{"name": "a"}},
		tag.Change{ID: own, Patch: map[string]any{"name": "d"}},
	}
	for round := range 8 {
		for range 5 {
			name := names[rnd.IntN(len(names))]
			command := tag.Command(tag.Define{ID: uuid.New(), ProjectID: domain.Set(pick(scopes)), Settings: tag.Settings{Name: name}})
			switch kind := rnd.IntN(5); {
			case len(ids) > 1 && kind < 2:
				command = tag.Change{ID: pick(ids), Patch: map[string]any{"name": name}}
			case len(ids) > 1 && kind == 2:
				command = tag.Merge{ID: pick(ids), Into: pick(ids)}
			}
			if len(script) > 0 {
				command, script = script[0], script[1:]
			}
			events, _ := tag.Aggregate.Decide(s, command, w, domain.Meta{By: domain.Root})
			for _, e := range events {
				s = tag.Aggregate.Evolve(s, e)
				if e, ok := e.(tag.Defined); ok {
					ids = append(ids, e.TagID)
				}
				res, err := log.Append(t.Context(), tag.Ref().Stream(), last, domain.Meta{Command: uuid.New(), At: time.Now()}, e)
				if err != nil {
					t.Fatal(err)
				}
				last = res.Revision
			}
		}
		if err := projections.Rebuild(t.Context(), projections.Config{Database: url, Log: log}, settings.Name); err != nil {
			t.Fatal(err)
		}
		var b pgx.Batch
		b.Queue(`select c.id, ` + tagLabels("c") + ` from annals_read.clients c`).Query(func(rows pgx.Rows) error {
			n := 0
			for ; rows.Next(); n++ {
				var id uuid.UUID
				var got []string
				if err := rows.Scan(&id, &got); err != nil {
					return err
				}
				if want := s.Label(clients[id].project, clients[id].key); !slices.Equal(got, []string{want}) {
					t.Errorf("round %d: %q is shown as %q, want %q", round, clients[id].key, got, want)
				}
			}
			if n != len(clients) {
				t.Errorf("%d clients", n)
			}
			return rows.Err()
		})
		if err := m.DB.Ask(root, &b); err != nil {
			t.Fatal(err)
		}
		for _, asked := range [][]string{{"a"}, {"A"}, {"b"}, {"c"}, {"ss"}, {"ß"}, {"d"}, {"b", "c"}, {"zz"}} {
			out, err := m.Clients(root, &ClientsRequest{Limit: 100, Tag: asked})
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, c := range out.Body.Items {
				got = append(got, fmt.Sprint(slices.Index(projects, clients[c.ID].project), clients[c.ID].key))
			}
			for _, c := range clients {
				if slices.ContainsFunc(asked, func(name string) bool { return len(s.Stored(c.project, []string{c.key}, name)) > 0 }) {
					want = append(want, fmt.Sprint(slices.Index(projects, c.project), c.key))
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || out.Body.Total.Count != len(want) {
				t.Errorf("round %d: %q finds %q, %d in all, want %q", round, asked, got, out.Body.Total.Count, want)
			}
		}
	}
	if len(ids) < 6 {
		t.Errorf("only %d tags were defined", len(ids))
	}

	// Whoever asks sees what is for all and for their projects, whatever a query forgets to say.
	for _, table := range []string{"tags", "tag_names"} {
		for _, c := range []struct {
			actor *access.Actor
			where string
		}{
			{&access.Actor{Authority: domain.Authority{ID: domain.ID{1}, Rights: domain.Rights{domain.ClientsView: domain.Own}, Scope: domain.ScopeOf(projects[:1], nil)}, Who: domain.ID{1}}, "project_id is null or project_id in ('00000000-0000-0000-0000-000000000000', '" + projects[0].String() + "')"},
			{&access.Actor{Authority: domain.Authority{ID: domain.ID{1}}, Who: domain.ID{1}}, "project_id is null or project_id = '00000000-0000-0000-0000-000000000000'"},
			{nil, "false"},
			{&access.Actor{Authority: domain.Root, Who: domain.System}, "true"},
		} {
			var all, want int
			ctx := access.With(t.Context(), access.Caller{Actor: c.actor})
			var b pgx.Batch
			b.Queue("select count(*) from annals_read." + table).QueryRow(func(r pgx.Row) error { return r.Scan(&all) })
			if err := m.DB.Ask(ctx, &b); err != nil {
				t.Fatal(err)
			}
			if err := m.owner.QueryRow(t.Context(), "select count(*) from annals_read."+table+" where "+c.where).Scan(&want); err != nil {
				t.Fatal(err)
			}
			if all != want || want == 0 != (c.actor == nil) {
				t.Errorf("%s where %s: %d, want %d", table, c.where, all, want)
			}
		}
	}
}
