package readapi

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain"
	"annals/domain/view"
)

// A query that asks for all views gets those that the rule in Go lets its caller see: the
// policy is that rule, and the condition of the list as well.
func TestPolicyOfViews(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	views := map[string]view.State{}
	for owner := 1; owner <= 3; owner++ {
		for _, with := range []view.Shared{
			{}, {With: view.Everybody}, {With: view.Desk, ID: nth(1)}, {With: view.Desk, ID: nth(2)}, {With: view.Project, ID: nth(1)}, {With: view.Project, ID: nth(2)},
		} {
			id := uuid.New()
			views[id.String()] = view.Aggregate.Evolve(view.State{}, view.Created{OwnerID: nth(owner), Definition: view.Definition{Shared: with}})
			m.exec(t, `insert into views (id, owner_id, name, columns, filter, q, sort, shared, desk_id, project_id, created_at, updated_at, revision)
				select $1, $2, '', '[]', '', '', '{}', coalesce(nullif($3, ''), 'nobody'), case $3 when 'desk' then $4::uuid end, case $3 when 'project' then $4::uuid end, $5::timestamptz, $5, 0`,
				id, nth(owner), with.With, with.ID, time.Now())
			m.exec(t, `insert into default_views (role, view_id, set_at) values ($1::text, $1::uuid, now())`, id.String())
			for who := 1; who <= 3; who++ {
				m.exec(t, `insert into view_favourites (employee_id, view_id, starred_at) values ($1, $2, now())`, nth(who), id)
			}
		}
	}
	const all = `select id::text from annals_read.views`
	if out := m.ids(t.Context(), t, nil, all); len(out) != 0 {
		t.Errorf("nobody sees %d views", len(out))
	}
	set := rapid.Custom(func(t *rapid.T) []domain.ID {
		return nths(rapid.SliceOfN(rapid.IntRange(1, 3), 0, 2).Draw(t, "ids")...)
	})
	rapid.Check(t, func(rt *rapid.T) {
		a := someone(domain.Own, set.Draw(rt, "projects"), set.Draw(rt, "desks"))
		a.ID = nth(rapid.IntRange(0, 3).Draw(rt, "me")) // none: a key
		a.Rights[domain.SettingsManage] = domain.Reach(rapid.IntRange(0, 4).Draw(rt, "settings"))
		var want []string
		for id, v := range views {
			if v.Visible(a.Authority) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		ctx := as(t, a)
		for _, sql := range []string{all, `select view_id::text from annals_read.default_views`} {
			if got := m.ids(ctx, t, nil, sql); !slices.Equal(got, want) {
				rt.Fatalf("%+v: %s: %d instead of %d", a.Authority, sql, len(got), len(want))
			}
		}
		starred := m.ids(ctx, t, nil, `select distinct employee_id::text from annals_read.view_favourites`)
		if a.ID == (domain.ID{}) && len(starred) > 0 || a.ID != (domain.ID{}) && !slices.Equal(starred, []string{a.ID.String()}) {
			rt.Fatalf("%v sees favourites of %v", a.ID, starred)
		}
		list, err := m.views(ctx, &viewsRequest{Page: Page{Limit: 500}})
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for _, v := range list.Body.Items {
			got = append(got, v.ID.String())
		}
		if slices.Sort(got); !slices.Equal(got, want) || list.Body.Total.Count != len(want) {
			rt.Fatalf("%+v: the list has %d of %d", a.Authority, len(got), len(want))
		}
	})
}
