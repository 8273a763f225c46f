package readapi

import (
	"slices"
	"testing"

	"annals/domain"
)

// A query that asks for everybody's favourites gets one's own.
func TestPolicyOfFavourites(t *testing.T) {
	t.Parallel()
	m := newModels(t)
	for who := range 3 {
		m.exec(t, `insert into favourites (employee_id, client_id, starred_at) values ($1, $2, now())`, nth(who+1), nth(who+5))
	}
	ann := someone(domain.Everywhere, nil, nil)
	if got := m.ids(as(t, ann), t, nil, `select client_id::text from annals_read.favourites`); !slices.Equal(got, []string{nth(5).String()}) {
		t.Errorf("somebody's are %v", got)
	}
	key := *ann
	key.ID, key.Behalf, key.Owner, key.Who = domain.ID{}, nth(1), nth(1), nth(9)
	for name, ctx := range map[string]func() []string{
		"a key": func() []string {
			return m.ids(as(t, &key), t, nil, `select client_id::text from annals_read.favourites`)
		},
		"nobody": func() []string {
			return m.ids(t.Context(), t, nil, `select client_id::text from annals_read.favourites`)
		},
	} {
		if got := ctx(); len(got) > 0 {
			t.Errorf("%s sees %v", name, got)
		}
	}
}
