package readapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/access"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
	"annals/internal/reader"
	"annals/projections"
)

// models is a database with empty read models, which tests fill as they like.
type models struct {
	*API
	owner *pgx.Conn // of the tables, held by no policy
}

func newModels(t *testing.T) *models {
	t.Helper()
	return modelsOf(t, pgtest.Database(t), newLog(t))
}

func newLog(t *testing.T) *eventlog.Log {
	t.Helper()
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(eventlog.Config{ConnectionString: esnodetest.Start(t), Master: master})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

// modelsOf are the read models of what is in the log.
func modelsOf(t *testing.T, url string, log *eventlog.Log) *models {
	t.Helper()
	for _, p := range projections.All {
		if err := projections.Rebuild(t.Context(), projections.Config{Database: url, Log: log}, p.Name); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	m := &models{API: &API{}, owner: owner}
	t.Cleanup(func() { _ = m.owner.Close(context.Background()) })
	var path []string
	for _, p := range projections.All {
		path = append(path, p.Schema())
	}
	m.exec(t, "set search_path = "+strings.Join(path, ", "))
	if m.DB, err = reader.Open(t.Context(), url, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.DB.Close)
	return m
}

func (m *models) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := m.owner.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ids asks as somebody for what is one column of text.
func (m *models) ids(ctx context.Context, t *testing.T, before func(*pgx.Batch), sql string) (out []string) {
	t.Helper()
	var b pgx.Batch
	if before != nil {
		before(&b)
	}
	b.Queue(sql).Query(func(rows pgx.Rows) (err error) {
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := m.DB.Ask(ctx, &b); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	slices.Sort(out)
	return out
}

// nth is one of a few ids, the zero one for none.
func nth(n int) domain.ID {
	if n == 0 {
		return domain.ID{}
	}
	return domain.ID{15: byte(n)}
}

func nths(n ...int) (out []domain.ID) {
	for _, n := range n {
		out = append(out, nth(n))
	}
	return out
}

// someone sees clients within a reach, as the employee 1.
func someone(reach domain.Reach, projects, desks []domain.ID) *access.Actor {
	return &access.Actor{Who: nth(1), Authority: domain.Authority{
		ID: nth(1), Rights: domain.Rights{domain.ClientsView: reach}, Scope: domain.ScopeOf(projects, desks),
	}}
}

func as(t *testing.T, a *access.Actor) context.Context {
	t.Helper()
	return access.With(t.Context(), access.Caller{Actor: a})
}

// placed are clients at every place that there can be, n at each; the first at a place
// has no name. Their ids are those that come back, by place.
func (m *models) placed(t *testing.T, n int) map[domain.Place][]string {
	t.Helper()
	out := map[domain.Place][]string{}
	null := func(id domain.ID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != domain.ID{}} }
	var rows [][]any
	for i := range 5 * 5 * 5 * n {
		p, d, w := i/n%5, i/n/5%5, i/n/25
		id, name := uuid.New(), ""
		if i%n > 0 {
			name = fmt.Sprintf("Name %d", i*7%10)
		}
		place := domain.Place{Project: nth(p), Desk: nth(d), Manager: nth(w)}
		out[place] = append(out[place], id.String())
		rows = append(rows, []any{
			id, "person", name, strings.ToLower(name), []string{"lead", "active"}[i%2],
			null(place.Project), null(place.Desk), null(place.Manager), fmt.Sprintf("2026-01-01 00:%02d:00Z", i%11), "2026-01-01 00:00:00Z", 0,
		})
	}
	for _, r := range rows {
		m.exec(t, `insert into clients (id, type, last_name, keys, status, project_id, desk_id, manager_id, created_at, updated_at, revision, since)
			values ($1, $2, $3, case when $4::text <> '' then jsonb_build_object('last_name', $4::text) else '{}' end, $5, $6, $7, $8, $9::text::timestamptz, $10::text::timestamptz, $11, $9::text::timestamptz)`, r...)
	}
	return out
}
